"""The names of all keys and channels; nothing else in the room spells one."""

from __future__ import annotations

from aiosched.errors import ConfigurationError

__all__ = ["Keys"]

_MAX_NAMESPACE = 100


class Keys:
    """The key names of one namespace.

    All keys of a shard carry the hash tag ``{namespace:shard}``, all others
    ``{namespace}``.

    Attributes:
        tags: Prefix of each shard.
        jobs: Prefix of each shard's records.
    """

    def __init__(self, namespace: str, shards: int = 0, *, database: int = 0) -> None:
        """Precompute the prefixes.

        Args:
            namespace: Whose.
            shards: How many it has; none before that is known.
            database: On the server; a channel belongs to all of its databases,
                so that those of another one than 0 carry its number.

        Raises:
            ConfigurationError: The namespace cannot be part of a key.
        """
        _check(namespace)
        self.namespace = namespace
        self.tags: list[str] = [f"{{{namespace}:{shard}}}" for shard in range(shards)]
        self.jobs: list[str] = [f"{tag}:j:" for tag in self.tags]
        common = f"{{{namespace}}}"
        self.meta: str = f"{common}:meta"
        self.members: str = f"{common}:members"
        self.queues: str = f"{common}:queues"
        self.executors: str = f"{common}:executors"
        self._database = database
        self._of_database = f"@{database}" if database else ""
        self.canary: str = f"{common}:canary{self._of_database}"
        self._keyword_shards = f"{common}:kw:"

    def of(self, shards: int) -> Keys:
        """Return the names of the same namespace, with so many shards."""
        return Keys(self.namespace, shards, database=self._database)

    def job(self, shard: int, job_id: str) -> str:
        """Return the key of a record, the one that is watched."""
        return self.jobs[shard] + job_id

    def agenda(self, shard: int, queue: str) -> str:
        """Return the key of a sorted set of (id, instant)."""
        return f"{self.tags[shard]}:a:{queue}"

    def spec(self, shard: int, name: str) -> str:
        """Return the key of a shared spec."""
        return f"{self.tags[shard]}:x:{name}"

    def spec_of_line(self, shard: int, line: bytes) -> str:
        """Return the key that a record's spec line refers to."""
        return self.spec(shard, line[1:].decode("ascii", "replace"))

    def blob(self, shard: int, digest: str, job_id: str) -> str:
        """Return the key of arguments or of a payload kept apart."""
        return f"{self.tags[shard]}:b:{digest}:{job_id}"

    def shared(self, shard: int) -> str:
        """Return the key of the set of names ``x:…`` and ``b:…``."""
        return f"{self.tags[shard]}:xs"

    def subscribers(self, shard: int, keyword: str) -> str:
        """Return the key of the set of ids that a keyword fires."""
        return f"{self.tags[shard]}:k:{keyword}"

    def ledger(self, shard: int) -> str:
        """Return the key of the stream of packed rows."""
        return f"{self.tags[shard]}:l"

    def rev(self, shard: int) -> str:
        """Return the key of the change counter."""
        return f"{self.tags[shard]}:rev"

    def guard(self, shard: int, name: str) -> str:
        """Return the key of a guarded name, which always has an end."""
        return f"{self.tags[shard]}:g:{name}"

    def changed(self, shard: int) -> str:
        """Return the channel of signals."""
        return f"{self.tags[shard]}:s{self._of_database}"

    def done(self, shard: int) -> str:
        """Return the channel of completions."""
        return f"{self.tags[shard]}:d{self._of_database}"

    def keyword_shards(self, keyword: str) -> str:
        """Return the key of the set of shards with subscribers of a keyword."""
        return self._keyword_shards + keyword


def _check(namespace: str) -> None:
    problem = ""
    if not namespace:
        problem = "is empty"
    elif len(namespace) > _MAX_NAMESPACE:
        problem = f"has {len(namespace)} characters"
    elif "{" in namespace or "}" in namespace:
        problem = "contains a brace, which would change the slot of its keys"
    elif not namespace.isprintable():
        problem = "contains a character that cannot be printed"
    if problem:
        raise ConfigurationError(
            "namespace",
            namespace,
            problem,
            f"use 1 to {_MAX_NAMESPACE} printable characters without braces",
        )
