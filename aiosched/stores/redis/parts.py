"""What can be wrong with the parts of a key: members, fields and entries."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

from aiosched.errors import StoreDataError
from aiosched.records import Record
from aiosched.rows import unpack_line
from aiosched.stores.damage import Damage
from aiosched.stores.redis.facts import Facts
from aiosched.stores.redis.guards import readable_guard
from aiosched.stores.redis.index import decoded
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.members import readable_executor, readable_member
from aiosched.stores.redis.mend import looked

__all__ = [
    "agenda",
    "counter",
    "executors",
    "guard",
    "keyword",
    "ledger",
    "members",
    "names",
    "queues",
    "shards_of_keyword",
]

_PAGE = 500
_LONG_GONE = 20
"""Member timeouts after which a peer is long gone."""


def _part(kind: str, key: str, part: bytes, detail: str, shard: int = -1) -> Damage:
    return Damage(kind, key, detail, None, shard, key.encode(), part)


async def _scanned(link: Link, verb: str, key: str) -> AsyncIterator[list[bytes]]:
    """Yield what a collection holds, page by page."""
    scan: Any = b"0"
    while True:
        (reply,) = await link.ask([(verb, key, scan, "COUNT", _PAGE)], lenient=True)
        if not isinstance(reply, list):
            return  # of another type by now
        scan, words = reply
        if words:
            yield words
        if scan == b"0":
            return


# --- of a shard --------------------------------------------------------------------


async def agenda(link: Link, shard: int, queue: str) -> list[Damage]:
    """Look at the entries of an agenda."""
    key = link.keys.agenda(shard, queue)
    link.looked.add(queue)
    found: list[Damage] = []
    async for words in _scanned(link, "ZSCAN", key):
        ids: dict[str, None] = {}
        for raw in words[::2]:
            if crc32(raw) % link.terms.shards != shard:
                detail = f"{raw[:40]!r} belongs to another shard"
                found.append(_part("entry-astray", key, raw, detail, shard))
                continue
            try:
                ids[raw.decode()] = None
            except UnicodeDecodeError:
                detail = f"{raw[:40]!r} is no id"
                found.append(_part("part-unreadable", key, raw, detail, shard))
        if ids:
            _, wrong = await looked(link, shard, list(ids))
            found += [one for one in wrong if one.kind != "record-without-entry"]
    return found


async def keyword(link: Link, shard: int, word: str) -> list[Damage]:
    """Look at the jobs that stand under a keyword."""
    key = link.keys.subscribers(shard, word)
    found: list[Damage] = []
    async for words in _scanned(link, "SSCAN", key):
        texts: list[str] = []
        for raw in words:
            try:
                texts.append(raw.decode())
            except UnicodeDecodeError:
                detail = f"{raw[:40]!r} is no id"
                found.append(_part("part-unreadable", key, raw, detail, shard))
        if not texts:
            continue
        jobs = [link.keys.job(shard, job_id) for job_id in texts]
        (values,) = await link.ask([("MGET", *jobs)])
        raws = {i: d for i, d in zip(texts, values, strict=True) if d is not None}
        known = await decoded(link, shard, raws)
        for job_id in texts:
            record = known.get(job_id)
            if record is None or (
                isinstance(record, Record) and record.definition.spec.keyword != word
            ):
                detail = f"{job_id!r} is not subscribed to {word!r}"
                part = job_id.encode()
                found.append(_part("keyword-left-over", key, part, detail, shard))
    return found


async def names(link: Link, shard: int) -> list[Damage]:
    """Look at the names that the sweep goes by."""
    key, tag = link.keys.shared(shard), link.keys.tags[shard].encode()
    found: list[Damage] = []
    async for words in _scanned(link, "SSCAN", key):
        good = [raw for raw in words if raw[:2] in {b"x:", b"b:"}]
        for raw in set(words) - set(good):
            detail = f"{raw[:40]!r} is no name"
            found.append(_part("part-unreadable", key, raw, detail, shard))
        there = await link.ask([("EXISTS", tag + b":" + raw) for raw in good])
        for raw, one in zip(good, there, strict=True):
            if not one:
                detail = f"{raw[:80]!r} is not there"
                found.append(_part("name-left-over", key, raw, detail, shard))
    return found


async def counter(link: Link, shard: int) -> list[Damage]:
    """Look at the change counter of a shard."""
    key = link.keys.rev(shard)
    (value,) = await link.ask([("GET", key)], lenient=True)
    if not isinstance(value, bytes):
        return []
    try:
        if str(int(value)).encode() == value and abs(int(value)) < 2**62:
            return []
    except ValueError:
        pass
    detail = f"is {value[:40]!r}"
    return [Damage("counter-unreadable", key, detail, None, shard, key.encode())]


async def guard(link: Link, shard: int, name: str) -> list[Damage]:
    """Look at who holds a guarded name."""
    key = link.keys.guard(shard, name)
    (value,) = await link.ask([("GET", key)], lenient=True)
    if not isinstance(value, bytes):
        return []
    try:
        readable_guard(key, value)
    except StoreDataError as error:
        found = Damage("guard-unreadable", key, error.problem, None, shard)
        return [replace(found, raw=key.encode())]
    return []


async def ledger(link: Link, shard: int) -> list[Damage]:
    """Look at all entries of a shard's ledger, page by page."""
    key, start = link.keys.ledger(shard), "-"
    found: list[Damage] = []
    while True:
        (entries,) = await link.ask(
            [("XRANGE", key, start, "+", "COUNT", _PAGE)], lenient=True
        )
        if not isinstance(entries, list) or not entries:
            return found
        for entry, words in entries:
            problem = _entry_problem(words)
            if problem is not None:
                found.append(_part("ledger-unreadable", key, entry, problem, shard))
        start = f"({entries[-1][0].decode()}"


def _entry_problem(words: Sequence[bytes]) -> str | None:
    fields = dict(zip(words[::2], words[1::2], strict=False))
    if b"t" not in fields or fields.keys() - {b"t", b"r"}:
        return f"has the fields {sorted(fields)!r:.80}"
    try:
        for line in fields[b"r"].decode().split("\n") if b"r" in fields else ():
            unpack_line(line)
    except ValueError as error:
        return str(error)
    return None


# --- of the namespace --------------------------------------------------------------


async def queues(link: Link) -> list[Damage]:
    """Look at the set of queues."""
    return await _texts(link, link.keys.queues, lambda text: bool(text))


async def shards_of_keyword(link: Link, word: str) -> list[Damage]:
    """Look at the shards that are entered for a keyword."""
    numbers = {str(number) for number in range(link.terms.shards)}
    return await _texts(link, link.keys.keyword_shards(word), numbers.__contains__)


async def _texts(link: Link, key: str, good: Callable[[str], bool]) -> list[Damage]:
    found: list[Damage] = []
    async for words in _scanned(link, "SSCAN", key):
        for raw in words:
            try:
                right = good(raw.decode())
            except UnicodeDecodeError:
                right = False
            if not right:
                detail = f"{raw[:40]!r} is nothing of ours"
                found.append(_part("part-unreadable", key, raw, detail))
    return found


async def members(link: Link, facts: Facts) -> list[Damage]:
    """Look at the peers."""
    key, found = link.keys.members, list[Damage]()
    oldest = facts.now - _LONG_GONE * link.terms.member_timeout
    async for words in _scanned(link, "HSCAN", key):
        for raw, value in zip(words[::2], words[1::2], strict=True):
            try:
                beat = readable_member(raw, value).beat
            except (ValueError, TypeError, RecursionError) as error:
                problem = f"{raw[:40]!r}: {error}"[:200]
                found.append(_part("part-unreadable", key, raw, problem))
                continue
            if beat < oldest:
                detail = f"{raw[:40]!r} has not beaten for long"
                found.append(_part("member-stale", key, raw, detail))
    return found


async def executors(link: Link, facts: Facts) -> list[Damage]:
    """Look at the catalogue of executors."""
    key, found = link.keys.executors, list[Damage]()
    async for words in _scanned(link, "HSCAN", key):
        for raw, value in zip(words[::2], words[1::2], strict=True):
            try:
                seen = readable_executor(raw, value).seen
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                problem = f"{raw[:40]!r}: {error}"[:200]
                found.append(_part("part-unreadable", key, raw, problem))
                continue
            if seen < facts.advertised:
                detail = f"{raw[:40]!r} was last advertised over a week ago"
                found.append(_part("executor-stale", key, raw, detail))
    return found


def shown(fields: Sequence[bytes]) -> str:
    """Return what an entry holds as text that can be read back."""
    return json.dumps([word.decode("latin-1") for word in fields])
