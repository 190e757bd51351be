"""Reads that change nothing: records, listings, agendas, keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

from aiosched.abc import Head, shard_of
from aiosched.records import Apart, Record
from aiosched.stores.redis.codec import Parts, decode, split
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.routing import AWAY
from aiosched.stores.redis.specs import UnreadableError

__all__ = [
    "MAX_READ",
    "agenda",
    "by_keyword",
    "known_queues",
    "numbers",
    "queue_names",
    "read",
    "scan_shard",
]

MAX_READ = 1_000
_KEYS = 250
_BLOBS = 50
_ROUNDS = 4

_Trouble = tuple[bytes, str, str]
"""(bytes of the record, key, problem): trouble only if met twice."""


# --- records -------------------------------------------------------------------


async def read(link: Link, ids: Sequence[str]) -> dict[str, Record]:
    """Do what :meth:`aiosched.abc.Session.read` promises."""
    if len(ids) > MAX_READ:
        raise ValueError(f"{len(ids)} ids are more than {MAX_READ}")
    found: dict[str, Record] = {}
    pending = list(dict.fromkeys(ids))
    troubles: dict[str, _Trouble] = {}
    for _ in range(_ROUNDS):
        if not pending:
            break
        # What a record names can go between two packets, with a write to the
        # record; so it is missing only if the record is still the same.
        before, troubles = troubles, {}
        await _round(link, pending, found, troubles)
        for job_id, trouble in troubles.items():
            if before.get(job_id) == trouble:
                link.unreadable(trouble[1], trouble[2])
        pending = [one for one in troubles if before.get(one) != troubles[one]]
    return {job_id: found[job_id] for job_id in ids if job_id in found}


async def _values(link: Link, keys: Sequence[str], size: int) -> list[bytes | None]:
    """Return the values of any number of keys."""
    parts = [keys[first : first + size] for first in range(0, len(keys), size)]
    replies = await link.ask([("MGET", *part) for part in parts]) if parts else []
    return [value for reply in replies for value in reply]


async def _round(
    link: Link,
    ids: Sequence[str],
    found: dict[str, Record],
    troubles: dict[str, _Trouble],
) -> None:
    keys, shards = link.keys, link.terms.shards
    names = {job_id: keys.job(shard_of(job_id, shards), job_id) for job_id in ids}
    values = await _values(link, list(names.values()), _KEYS)
    raw = {one: data for one, data in zip(ids, values, strict=True) if data is not None}
    parts: dict[str, Parts] = {}
    for job_id, data in raw.items():
        try:
            parts[job_id] = split(data)
            link.specs.find(parts[job_id].spec)
        except UnreadableError as error:
            parts.pop(job_id, None)
            link.unreadable(names[job_id], str(error))
    bodies = await _bodies(link, parts)
    fresh: dict[str, Record] = {}
    for job_id, cut in parts.items():
        try:
            spec = link.specs.find(cut.spec)
            if spec is None:
                body = bodies[shard_of(job_id, shards), cut.spec]
                if body is None:
                    problem = f"its spec {cut.spec[1:]!r} is missing"
                    troubles[job_id] = (raw[job_id], names[job_id], problem)
                    continue
                spec = link.specs.learn(cut.spec, body)
            fresh[job_id] = decode(cut, job_id, spec)
        except UnreadableError as error:
            link.unreadable(names[job_id], str(error))
    await _resolve(link, raw, fresh, troubles)
    found.update(fresh)


async def _bodies(
    link: Link, parts: Mapping[str, Parts]
) -> dict[tuple[int, bytes], bytes | None]:
    """Fetch the specs that are not known, by (shard, line)."""
    shards = link.terms.shards
    wanted = {
        (shard_of(job_id, shards), cut.spec): None
        for job_id, cut in parts.items()
        if link.specs.find(cut.spec) is None
    }
    keys = [link.keys.spec_of_line(shard, line) for shard, line in wanted]
    return dict(zip(wanted, await _values(link, keys, _KEYS), strict=True))


async def _resolve(
    link: Link,
    raw: Mapping[str, bytes],
    fresh: dict[str, Record],
    troubles: dict[str, _Trouble],
) -> None:
    """Put in what records keep apart."""
    shards, tags = link.terms.shards, link.keys.tags
    wanted: dict[str, str] = {}
    for job_id, record in fresh.items():
        tag = tags[shard_of(job_id, shards)]
        for one in _apart(record):
            wanted[one.key] = f"{tag}:{one.key}"
    if not wanted:
        return
    values = await _values(link, list(wanted.values()), _BLOBS)
    data = dict(zip(wanted, values, strict=True))
    for job_id, record in list(fresh.items()):
        names = [one.key for one in _apart(record)]
        missing = [name for name in names if data[name] is None]
        if missing:
            key = wanted[missing[0]]
            troubles[job_id] = (raw[job_id], key, "is missing and a record names it")
            del fresh[job_id]
        elif names:
            fresh[job_id] = _filled(record, data)


def _apart(record: Record) -> list[Apart]:
    state = record.state
    blobs = [
        record.definition.arguments,
        *[run.firing.payload for run in state.runs],
        *[one.payload for one in state.waiting],
    ]
    return [one for one in blobs if isinstance(one, Apart)]


def _filled(record: Record, data: Mapping[str, bytes | None]) -> Record:
    def blob(one: bytes | Apart) -> bytes | Apart:
        return (data[one.key] or b"") if isinstance(one, Apart) else one

    state = record.state.copy()
    state.runs = tuple(
        [
            replace(run, firing=replace(run.firing, payload=blob(run.firing.payload)))
            for run in state.runs
        ]
    )
    state.waiting = tuple(
        [replace(one, payload=blob(one.payload)) for one in state.waiting]
    )
    definition = record.definition
    return Record(replace(definition, arguments=blob(definition.arguments)), state)


# --- queues --------------------------------------------------------------------


async def queue_names(link: Link) -> list[str]:
    """Return every queue that ever had a job."""
    (members,) = await link.ask([("SMEMBERS", link.keys.queues)])
    return link.texts(link.keys.queues, members)


async def known_queues(link: Link) -> list[str] | None:
    """Return the same; None, and a report, where garbage stands in their place."""
    key = link.keys.queues
    (members,) = await link.try_typed([("SMEMBERS", key)])
    return None if members is None else link.texts(key, members)


async def scan_shard(
    link: Link, shard: int, queue: str, scan: str
) -> tuple[list[str], str] | None:
    """Return some ids of one agenda and where to go on; ``"0"`` is the end.

    None, and a report, where garbage stands in the agenda's place.
    """
    key = link.keys.agenda(shard, queue)
    (reply,) = await link.try_typed([("ZSCAN", key, scan, "COUNT", _KEYS)])
    if reply is None:
        return None
    following, pairs = reply
    return link.texts(key, pairs[::2]), following.decode()


# --- agendas and keywords ------------------------------------------------------


async def agenda(
    link: Link, heads: Sequence[tuple[int, str]], limit: int, *, partial: bool = False
) -> list[Head]:
    """Do what :meth:`aiosched.abc.Session.agenda` promises, in one packet."""
    if not heads:
        return []
    keys = link.keys
    shards = sorted({shard for shard, _ in heads})
    # The counter first: what is written between is then read again, not missed.
    commands: list[Command] = [("MGET", *[keys.rev(shard) for shard in shards])]
    for shard, queue in heads:
        link.looked.add(queue)
        key = keys.agenda(shard, queue)
        commands.append(
            ("ZRANGEBYSCORE", key, "-inf", "(+inf", "WITHSCORES", "LIMIT", 0, limit + 1)
        )
    spare = range(len(commands)) if partial else ()
    revs, *replies = await link.ask(commands, lenient=True, spare=spare)
    heads, replies = _reached(heads, replies)
    if AWAY in revs:
        here = [n for n, value in enumerate(revs) if value is not AWAY]
        shards, revs = [shards[n] for n in here], [revs[n] for n in here]
    counted = dict(zip(shards, numbers(link, shards, revs), strict=True))
    found: list[Head] = []
    for (shard, queue), reply in zip(heads, replies, strict=True):
        if shard not in counted:
            continue  # its server went away, or came back, between the two
        if isinstance(reply, Exception):
            link.unreadable(keys.agenda(shard, queue), f"is no agenda: {reply}")
            reply = []
        entries = _entries(link, shard, queue, reply[: 2 * limit])
        complete = len(reply) <= 2 * limit
        if not complete and 2 * len(entries) < limit:
            entries, complete = await _behind(link, shard, queue, limit)
        found.append(Head(shard, queue, entries, complete, counted[shard]))
    return found


def _reached(
    heads: Sequence[tuple[int, str]], replies: list[Any]
) -> tuple[Sequence[tuple[int, str]], list[Any]]:
    """Leave out what cannot be reached."""
    if AWAY not in replies:
        return heads, replies
    here = [n for n, reply in enumerate(replies) if reply is not AWAY]
    return [heads[n] for n in here], [replies[n] for n in here]


async def _behind(
    link: Link, shard: int, queue: str, limit: int
) -> tuple[tuple[tuple[str, int], ...], bool]:
    """Return a head most of whose entries are garbage, read further."""
    key = link.keys.agenda(shard, queue)
    found: list[tuple[str, int]] = []
    first, complete = 0, False
    while not complete and len(found) < limit:
        (words,) = await link.ask(
            [
                (
                    "ZRANGEBYSCORE",
                    key,
                    "-inf",
                    "(+inf",
                    "WITHSCORES",
                    "LIMIT",
                    first,
                    1_000,
                )
            ]
        )
        found += _entries(link, shard, queue, words)
        first += 1_000
        complete = len(words) < 2_000
    return tuple(found[:limit]), complete and len(found) <= limit


def _entries(
    link: Link, shard: int, queue: str, words: Sequence[bytes]
) -> tuple[tuple[str, int], ...]:
    """Return (id, instant) of a head; what can be nobody's job is reported."""
    shards = link.terms.shards
    entries: list[tuple[str, int]] = []
    for raw, score in zip(words[::2], words[1::2], strict=True):
        if crc32(raw) % shards != shard:
            problem = f"has the entry {raw[:40]!r} of another shard"
        else:
            try:
                entries.append((raw.decode(), int(float(score))))
                continue
            except (ValueError, OverflowError):
                problem = f"has the entry {raw[:40]!r} at {score!r}, no id and instant"
        link.unreadable(link.keys.agenda(shard, queue), problem)
    return tuple(entries)


def numbers(link: Link, shards: Sequence[int], values: object) -> list[int]:
    """Read change counters; one that is garbage counts as 0 and is reported."""
    found: list[int] = []
    rows = values if isinstance(values, list) else [None] * len(shards)
    for shard, value in zip(shards, rows, strict=True):
        try:
            found.append(int(value or 0))
        except ValueError:
            link.unreadable(link.keys.rev(shard), "is no number")
            found.append(0)
    return found


async def by_keyword(link: Link, keyword: str) -> list[str]:
    """Do what :meth:`aiosched.abc.Session.by_keyword` promises."""
    keys = link.keys
    (shards,) = await link.ask([("SMEMBERS", keys.keyword_shards(keyword))])
    names = [
        keys.subscribers(int(shard), keyword)
        for shard in shards
        if shard.isdigit() and len(shard) < 10 and int(shard) < link.terms.shards
    ]
    if not names:
        return []
    replies = await link.ask([("SMEMBERS", name) for name in names])
    return sorted(
        one
        for name, reply in zip(names, replies, strict=True)
        for one in link.texts(name, reply)
    )
