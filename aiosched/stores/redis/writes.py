"""What a decision wants, as the commands of one transaction.

Commands are variadic, so that their number follows from the kinds of change
and not from the number of ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aiosched.records import Apart, Change, Record, Start
from aiosched.rows import Lines, escape
from aiosched.stores.redis.codec import aparts, encode
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.link import Link

__all__ = ["Batch", "Composer", "blob_names", "compose"]

_REMEMBERED = 10_000


class Batch(NamedTuple):
    """A transaction ready to be sent.

    Attributes:
        prelude: To be acknowledged before: namespace-wide indexes.
        commands: What stands between MULTI and EXEC.
        written: Records to be written, as bytes.
        blobs: Names of what the starts need from apart, in the order of the
            reply of the first command; empty: that command is another.
        entry: Whether the ledger entry with the token is among the commands.
    """

    prelude: list[Command]
    commands: list[Command]
    written: dict[str, bytes]
    blobs: list[str]
    entry: bool


def blob_names(start: Start) -> list[str]:
    """Return the names of what a start's store keeps apart."""
    arguments, payload = start.definition.arguments, start.run.firing.payload
    if type(arguments) is bytes and type(payload) is bytes:
        return []  # of all but a few
    return [blob.key for blob in (arguments, payload) if isinstance(blob, Apart)]


class Composer:
    """Collects the writes of one decision over one shard."""

    def __init__(self, link: Link, shard: int, *, signal: bool) -> None:
        """Start with nothing to write.

        Args:
            link: The session's.
            shard: Whose records are written.
            signal: Tell owners of shards.
        """
        self._signal = signal
        self._link = link
        self._shard = shard
        self._tag = link.keys.tags[shard]
        self._job = link.keys.jobs[shard]
        self._written: dict[str, bytes] = {}
        self._shared: dict[str, bytes] = {}
        self._dropped: list[str] = []
        self._deleted: list[str] = []
        self._moved: dict[str, list[str | int]] = {}
        self._left: dict[str, list[str]] = {}
        self._joined: dict[str, list[str]] = {}
        self._quit: dict[str, list[str]] = {}
        self._queues: set[str] = set()
        self._entries: list[str] = []
        self._rows = Lines()
        self._final: dict[str, None] = {}
        self._blobs: dict[str, None] = {}

    # -- collecting ---------------------------------------------------------------

    def add(self, job_id: str, old: Record | None, change: Change) -> None:
        """Take in what is wanted for one id.

        Raises:
            ValueError: The record names bytes of another job's.
        """
        record = change.record
        if change.index_only:
            self._put_right(job_id, old, change.at)
        elif record is not None:
            self._write(job_id, old, record, change.at)
        elif old is not None:
            self._erase(job_id, old)
        else:
            self._put_right(job_id, None, None)
        for row in change.rows:
            self._rows.add(row)
            if row.final:
                self._final[row.job_id] = None
        for start in change.starts:
            names = blob_names(start)
            if names:
                self._blobs.update(dict.fromkeys(names))

    def _write(
        self, job_id: str, old: Record | None, record: Record, at: int | None
    ) -> None:
        definition = record.definition
        if definition.id != job_id:
            raise ValueError(f"a record of {definition.id!r} for {job_id!r}")
        spec = definition.spec
        line, body = self._link.specs.line(spec)
        apart: dict[str, bytes | None] = {}
        self._written[job_id] = encode(record, line, apart)
        self._place(job_id, spec.queue, at)
        if old is None or old.definition is not definition:
            if line[0] == "=":
                self._shared[f"x:{line[1:]}"] = body
            self._index(job_id, old, record)
        self._set_apart(job_id, old, apart)
        if self._signal:
            self._tell(job_id, spec.queue, at, record.state.seq)

    def _place(self, job_id: str, queue: str, at: int | None) -> None:
        moved = self._moved.get(queue)
        if moved is None:
            moved = self._moved[queue] = []
        moved.append("+inf" if at is None else at)
        moved.append(job_id)

    def _index(self, job_id: str, old: Record | None, record: Record) -> None:
        """Enter queue and keyword, and leave those of before."""
        spec = record.definition.spec
        self._queues.add(spec.queue)
        former = None
        if old is not None:
            was = old.definition.spec
            former = was.keyword
            if was.queue != spec.queue:
                self._left.setdefault(was.queue, []).append(job_id)
                self._tell(job_id, was.queue, None, record.state.seq)
        if former is not None and former != spec.keyword:
            self._quit.setdefault(former, []).append(job_id)
        if spec.keyword is not None and former != spec.keyword:
            self._joined.setdefault(spec.keyword, []).append(job_id)

    def _set_apart(
        self, job_id: str, old: Record | None, apart: dict[str, bytes | None]
    ) -> None:
        named = aparts(old) if old is not None else ()
        if not named and not apart:
            return
        before = set(named)
        for name, data in apart.items():
            if name in before:
                continue
            if data is None:
                raise ValueError(f"{job_id!r} names bytes that another job keeps apart")
            self._shared[f"b:{name}:{job_id}"] = data
        self._dropped += [f"b:{name}:{job_id}" for name in before - apart.keys()]

    def _erase(self, job_id: str, old: Record) -> None:
        spec = old.definition.spec
        self._deleted.append(job_id)
        self._left.setdefault(spec.queue, []).append(job_id)
        if spec.keyword is not None:
            self._quit.setdefault(spec.keyword, []).append(job_id)
        self._dropped += [f"b:{name}:{job_id}" for name in aparts(old)]
        self._tell(job_id, spec.queue, None, old.state.seq)

    def _put_right(self, job_id: str, old: Record | None, at: int | None) -> None:
        """Have an id in its own agenda only, and under its keyword.

        Of a missing job, in none.
        """
        own = None
        if old is not None:
            spec = old.definition.spec
            own = spec.queue
            self._place(job_id, own, at)
            self._tell(job_id, own, at, old.state.seq)
            if spec.keyword is not None:
                self._joined.setdefault(spec.keyword, []).append(job_id)
        for queue in sorted(self._link.queues | self._link.looked):
            if queue != own:
                self._left.setdefault(queue, []).append(job_id)

    def _tell(self, job_id: str, queue: str, at: int | None, seq: int) -> None:
        if self._signal:
            when = "" if at is None else at
            self._entries.append(f"{escape(job_id)}|{escape(queue)}|{when}|{seq}")

    # -- composing ----------------------------------------------------------------

    def batch(self, token: str, now: int, *, claim: bool) -> Batch:
        """Return all that was taken in as commands.

        Args:
            token: Names this attempt in the ledger.
            now: The store's instant.
            claim: Leave the ledger entry out where there are no rows.
        """
        tag, publish = self._tag, self._link.publish
        commands: list[Command] = []
        if self._blobs:
            commands.append(("MGET", *[f"{tag}:{name}" for name in self._blobs]))
        self._add_records(commands)
        self._add_agendas(commands)
        self._add_sets(commands)
        # Without rows and without a signal it is an extension or a repair of
        # the index, which may be done twice: it needs no token to be known by.
        entry = bool(self._rows) or (self._signal and not claim)
        if entry:
            commands.append(self._entry_command(token, now))
        if self._signal:
            commands.append(("INCR", f"{tag}:rev"))
            if self._entries:
                channel = self._link.keys.changed(self._shard)
                commands.append((publish, channel, "\n".join(self._entries)))
        if self._final:
            text = "\n".join([escape(job_id) for job_id in self._final])
            commands.append((publish, self._link.keys.done(self._shard), text))
        return Batch(self._prelude(), commands, self._written, list(self._blobs), entry)

    def _add_records(self, commands: list[Command]) -> None:
        job, tag = self._job, self._tag
        if self._written or self._shared:
            mset: list[str | bytes] = ["MSET"]
            for job_id, data in self._written.items():
                mset.append(job + job_id)
                mset.append(data)
            for name, data in self._shared.items():
                mset += (f"{tag}:{name}", data)
            commands.append(mset)
        if self._deleted or self._dropped:
            gone = [job + job_id for job_id in self._deleted]
            gone += [f"{tag}:{name}" for name in self._dropped]
            commands.append(("DEL", *gone))

    def _add_agendas(self, commands: list[Command]) -> None:
        agenda = self._link.keys.agenda
        for queue, moved in self._moved.items():
            commands.append(("ZADD", agenda(self._shard, queue), *moved))
        for queue, left in self._left.items():
            commands.append(("ZREM", agenda(self._shard, queue), *left))

    def _add_sets(self, commands: list[Command]) -> None:
        subscribers = self._link.keys.subscribers
        for keyword, ids in self._quit.items():
            commands.append(("SREM", subscribers(self._shard, keyword), *ids))
        for keyword, ids in self._joined.items():
            commands.append(("SADD", subscribers(self._shard, keyword), *ids))
        if self._dropped:
            commands.append(("SREM", f"{self._tag}:xs", *self._dropped))
        if self._shared:
            commands.append(("SADD", f"{self._tag}:xs", *self._shared))

    def _entry_command(self, token: str, now: int) -> Command:
        oldest = max(0, now - self._link.terms.ledger_age) // 1000
        head = ("XADD", f"{self._tag}:l", "MINID", "~", oldest, "*", "t", token)
        return (*head, "r", self._rows.text()) if self._rows else head

    def _prelude(self) -> list[Command]:
        """Return what must stand in the namespace's indexes before."""
        link = self._link
        commands: list[Command] = []
        new = sorted(self._queues - link.queues)
        if new:
            commands.append(("SADD", link.keys.queues, *new))
        # Always: a shard is taken from a keyword that had no subscribers for long.
        for keyword in self._joined:
            key = link.keys.keyword_shards(keyword)
            commands.append(("SADD", key, self._shard))
        return commands

    def indexed(self) -> None:
        """Note that the prelude was acknowledged, so that it is not repeated."""
        link = self._link
        link.queues |= self._queues
        link.written |= self._queues
        if len(link.keywords) > _REMEMBERED:
            link.keywords.clear()
        link.keywords |= {(word, self._shard) for word in self._joined}


def compose(
    link: Link,
    shard: int,
    records: Mapping[str, Record | None],
    changes: Mapping[str, Change],
    *,
    signal: bool,
) -> Composer:
    """Return a composer that has taken in all changes."""
    composer = Composer(link, shard, signal=signal)
    for job_id, change in changes.items():
        composer.add(job_id, records[job_id], change)
    return composer
