"""Ledger rows, searched backwards in the streams of the shards."""

from __future__ import annotations

from aiosched.abc import shard_of
from aiosched.records import Row
from aiosched.rows import escape, unpack_row
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.link import Link

__all__ = ["rows"]

_PAGE = 100
_SLACK_MS = 60_000
"""How much later than its rows an entry may have been written, generously."""


class _Search:
    """One shard's stream, read from its end."""

    def __init__(self, shard: int, since: int | None, until: int | None) -> None:
        self.shard = shard
        self.found: list[Row] = []
        self.done = False
        self.end = "+" if until is None else str(until // 1000 + _SLACK_MS)
        # An entry is written after its rows were decided, save where the
        # server's clock was set back between the two.
        self.start = "-" if since is None else str(max(0, since // 1000 - _SLACK_MS))
        self._since = since
        self._until = until

    def take(
        self,
        link: Link,
        entries: list[tuple[bytes, list[bytes]]],
        needle: bytes | None,
        limit: int,
    ) -> None:
        """Take the fitting rows out of a page of entries."""
        for _, words in entries:
            packed = b""
            for name, value in zip(words[::2], words[1::2], strict=False):
                if name == b"r":
                    packed = value
            if packed and (needle is None or needle in b"\n" + packed):
                self._unpack(link, packed, needle)
        self.done = len(entries) < _PAGE or len(self.found) >= limit
        if entries:
            self.end = f"({entries[-1][0].decode()}"

    def _unpack(self, link: Link, packed: bytes, needle: bytes | None) -> None:
        for line in reversed(packed.split(b"\n")):
            if needle is not None and not line.startswith(needle[1:]):
                continue
            try:
                row = unpack_row(line.decode())
            except ValueError as error:
                link.unreadable(link.keys.ledger(self.shard), str(error))
                continue
            if (self._since is None or row.at >= self._since) and (
                self._until is None or row.at <= self._until
            ):
                self.found.append(row)


async def rows(
    link: Link,
    job_id: str | None,
    since: int | None,
    until: int | None,
    limit: int,
) -> list[Row]:
    """Do what :meth:`aiosched.abc.Session.ledger` promises."""
    if limit < 1:
        return []
    shards = link.terms.shards
    needle = None
    numbers = range(shards)
    if job_id is not None:
        # Searched for as bytes, so that only hits are decoded.
        needle = f"\n{escape(job_id)}|".encode()
        numbers = range(shard_of(job_id, shards), shard_of(job_id, shards) + 1)
    searches = [_Search(shard, since, until) for shard in numbers]
    active = searches
    while active:
        commands: list[Command] = [
            ("XREVRANGE", link.keys.ledger(s.shard), s.end, s.start, "COUNT", _PAGE)
            for s in active
        ]
        replies = await link.ask(commands, lenient=True)
        for search, reply in zip(active, replies, strict=True):
            if isinstance(reply, Exception):
                link.unreadable(link.keys.ledger(search.shard), f"no ledger: {reply}")
                search.done = True
            else:
                search.take(link, reply, needle, limit)
        active = [search for search in active if not search.done]
    found = [row for search in searches for row in search.found]
    if len(searches) > 1:
        found.sort(key=lambda row: row.at, reverse=True)
    return found[:limit]
