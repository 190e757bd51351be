"""Ledger rows, searched backwards in the streams of the shards.

All rows of a namespace stand in one order, newest first: by the id of the
stream entry that holds them, then by shard, then by their place in the entry.
A place in that order is a cursor: what is written later stands before it.
"""

from __future__ import annotations

from typing import NamedTuple

from aiosched.abc import RowPage, shard_of
from aiosched.records import Row
from aiosched.rows import escape, unpack_line
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.link import Link

__all__ = ["Wanted", "rows"]

_LEAST, _MOST = 100, 1_000
"""Entries read at once."""
_SLACK_MS = 60_000
"""How much later than its rows an entry may have been written, generously."""
_LAST = 2**64 - 1
"""The highest number in an entry's id."""


class Wanted(NamedTuple):
    """What :meth:`aiosched.abc.Session.ledger` was asked for."""

    job_id: str | None
    since: int | None
    until: int | None
    limit: int
    cursor: str | None


class _Place(NamedTuple):
    """Where a row stands: both parts of the entry's id, shard, number in the entry."""

    ms: int
    seq: int
    shard: int
    number: int

    def text(self) -> str:
        return f"{self.ms}-{self.seq}-{self.shard}-{self.number}"


def _place(cursor: str) -> _Place:
    parts = cursor.split("-")
    if len(parts) != 4 or not all(p.isascii() and p.isdecimal() for p in parts):
        raise ValueError(f"{cursor!r} is no cursor of this store")
    place = _Place(*map(int, parts))
    if max(place) > _LAST or place < _Place(0, 1, 0, 0):
        raise ValueError(f"{cursor!r} is no cursor of this store")
    return place


class _Search:
    """One shard's stream, read from its end."""

    def __init__(self, shard: int, wanted: Wanted, behind: _Place | None) -> None:
        self.shard = shard
        self.found: list[tuple[_Place, Row]] = []
        self.done = False
        self._wanted = wanted
        self._behind = behind
        job_id = wanted.job_id
        # Searched for as bytes, so that only hits are decoded.
        self._needle = b"" if job_id is None else escape(job_id).encode()
        since, until = wanted.since, wanted.until
        # An entry is written after its rows were decided, save where the
        # server's clock was set back between the two.
        self.start = "-" if since is None else str(max(0, since // 1000 - _SLACK_MS))
        last = _LAST if until is None else max(0, until // 1000 + _SLACK_MS)
        self.end = str(last) if until is not None else "+"
        if behind is not None and behind[:2] <= (last, _LAST):
            bound = "" if shard <= behind.shard else "("
            self.end = f"{bound}{behind.ms}-{behind.seq}"

    def take(
        self, link: Link, entries: list[tuple[bytes, list[bytes]]], count: int
    ) -> None:
        """Take the fitting rows out of a page of entries, of ``count`` at most."""
        for entry, words in entries:
            packed = b""
            for name, value in zip(words[::2], words[1::2], strict=False):
                if name == b"r":
                    packed = value
            if packed and self._needle in packed:
                self._unpack(link, entry, packed)
        # One more than is wanted tells whether there is more.
        self.done = len(entries) < count or len(self.found) > self._wanted.limit
        if entries:
            self.end = f"({entries[-1][0].decode()}"

    def _unpack(self, link: Link, entry: bytes, packed: bytes) -> None:
        ms, seq = map(int, entry.split(b"-"))
        hits: list[tuple[_Place, Row]] = []
        number = 0
        for line in packed.split(b"\n"):
            jobs = line.partition(b"|")[0].split(b",")
            first, number = number, number + len(jobs)
            if self._needle and self._needle not in jobs:
                continue
            try:
                rows_of_line = unpack_line(line.decode())
            except ValueError as error:
                link.unreadable(link.keys.ledger(self.shard), str(error))
                continue
            for at, row in enumerate(rows_of_line, first):
                place = _Place(ms, seq, self.shard, at)
                if (
                    self._wanted.job_id in (None, row.job_id)
                    and (self._behind is None or place < self._behind)
                    and self._timely(row.at)
                ):
                    hits.append((place, row))
        self.found += reversed(hits)

    def _timely(self, at: int) -> bool:
        since, until = self._wanted.since, self._wanted.until
        return (since is None or at >= since) and (until is None or at <= until)


async def rows(link: Link, wanted: Wanted) -> RowPage:
    """Do what :meth:`aiosched.abc.Session.ledger` promises."""
    behind = None if wanted.cursor is None else _place(wanted.cursor)
    if wanted.limit < 1:
        return RowPage()
    shards, numbers = link.terms.shards, range(link.terms.shards)
    count = _LEAST
    if wanted.job_id is not None:
        own = shard_of(wanted.job_id, shards)
        numbers = range(own, own + 1)
        count = max(_LEAST, min(wanted.limit + 1, _MOST))
    searches = [_Search(shard, wanted, behind) for shard in numbers]
    active = searches
    while active:
        commands: list[Command] = [
            ("XREVRANGE", link.keys.ledger(s.shard), s.end, s.start, "COUNT", count)
            for s in active
        ]
        replies = await link.ask(commands, lenient=True)
        for search, reply in zip(active, replies, strict=True):
            if isinstance(reply, Exception):
                link.unreadable(link.keys.ledger(search.shard), f"no ledger: {reply}")
                search.done = True
            else:
                search.take(link, reply, count)
        active = [search for search in active if not search.done]
    found = [hit for search in searches for hit in search.found]
    if len(searches) > 1:
        found.sort(key=lambda hit: hit[0], reverse=True)
    page = [(row, place.text()) for place, row in found[: wanted.limit]]
    return RowPage(page, complete=len(found) <= wanted.limit)
