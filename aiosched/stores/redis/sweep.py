"""Deleting what no record uses any more.

A name is deleted under WATCH after a scan found no user of it.  A create or
modify writes the spec that it names, so either the scan sees the user or the
WATCH sees the write.
"""

from __future__ import annotations

from redis.exceptions import ResponseError

from aiosched.abc import MAX_BATCH
from aiosched.records import Spec
from aiosched.stores.redis.codec import aparts, decode, split
from aiosched.stores.redis.connection import Command, LostError
from aiosched.stores.redis.layout import classified, pattern
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.members import stale_executors
from aiosched.stores.redis.reading import known_queues, scan_shard
from aiosched.stores.redis.specs import UnreadableError

__all__ = ["delete_unused", "sweep", "without_users"]

_ANY_SPEC = Spec("")
_SCANNED = 1_000
"""Keys that the server is asked to look at in one step."""


async def sweep(link: Link) -> int:
    """Do what :meth:`aiosched.abc.Session.sweep` promises."""
    stored = await known_queues(link)
    queues = sorted({*(stored or ()), *link.queues})
    gone = await _sweep_executors(link)
    for shard in range(link.terms.shards):
        if stored is not None:  # or who knows what the jobs of others use
            gone += await _sweep_shard(link, shard, queues)
        await _cap_ledger(link, shard)
    return gone


async def _sweep_executors(link: Link) -> int:
    names = await stale_executors(link)
    if names:
        await link.ask([("HDEL", link.keys.executors, *names)])
    return len(names)


async def _sweep_shard(link: Link, shard: int, queues: list[str]) -> int:
    (raw,) = await link.try_typed([("SMEMBERS", link.keys.shared(shard))])
    names = set(link.texts(link.keys.shared(shard), raw or ()))
    if not names:
        return 0
    used = await _used(link, shard, queues)
    if used is None:
        return 0
    unused = sorted(names - used)
    gone = 0
    for first in range(0, len(unused), MAX_BATCH):
        batch = unused[first : first + MAX_BATCH]
        gone += await delete_unused(link, shard, queues, batch)
    return gone


async def _used(link: Link, shard: int, queues: list[str]) -> set[str] | None:
    """Return the names that records use, None if one cannot be read."""
    used: set[str] = set()
    for queue in queues:
        scan = "0"
        while True:
            found = await scan_shard(link, shard, queue, scan)
            if found is None:
                return None
            ids, scan = found
            if ids:
                keys = [link.keys.job(shard, job_id) for job_id in ids]
                (values,) = await link.ask([("MGET", *keys)])
                for job_id, data in zip(ids, values, strict=True):
                    try:
                        used.update(_names(job_id, data))
                    except UnreadableError as error:
                        # Who knows what it uses.
                        key = link.keys.job(shard, job_id)
                        link.unreadable(key, str(error))
                        return None
            if scan == "0":
                break
    return used


def _names(job_id: str, data: bytes | None) -> set[str]:
    if data is None:
        return set()
    parts = split(data)
    names = {f"b:{name}:{job_id}" for name in aparts(decode(parts, job_id, _ANY_SPEC))}
    if parts.spec.startswith(b"="):
        names.add(f"x:{parts.spec[1:].decode()}")
    return names


async def delete_unused(
    link: Link, shard: int, queues: list[str], names: list[str]
) -> int:
    """Look once more under WATCH, and delete what is still unused.

    Args:
        link: The session's.
        shard: Where the names are.
        queues: All that there are.
        names: Of specs (``x:``) and of what is kept apart (``b:``); at most
            ``MAX_BATCH``.

    Returns:
        How many are gone.
    """
    tag = link.keys.tags[shard]
    async with link.transactions.take(tag) as lane:
        await link.watch(lane, [f"{tag}:{name}" for name in names])
        used = await _used(link, shard, queues)
        unused = [] if used is None else [one for one in names if one not in used]
        if unused:
            unused = await without_users(link, shard, unused)
        if not unused:
            return 0
        writes: list[Command] = [
            ("DEL", *[f"{tag}:{name}" for name in unused]),
            ("SREM", link.keys.shared(shard), *unused),
        ]
        try:
            replies = await lane.commit(writes)
        except LostError:
            return 0  # deleted or not: the next sweep sees it
        result = replies[-1]
        if result is None or isinstance(result, ResponseError):
            link.counters.aborts += result is None
            return 0
        return len(unused)


async def without_users(link: Link, shard: int, names: list[str]) -> list[str]:
    """Return those names that no record uses, be it in an agenda or not.

    None at all while there is a record that this version cannot read.  A record
    that has lost its entry is damage that is mended; what it names has
    to be there when that happens.
    """
    unused = dict.fromkeys(names)
    scan = b"0"
    while unused:
        (reply,) = await link.ask(
            [
                (
                    "SCAN",
                    scan,
                    "MATCH",
                    pattern(link.keys, shard, "j:"),
                    "COUNT",
                    _SCANNED,
                )
            ]
        )
        scan, keys = reply
        values: list[bytes | None] = []
        if keys:
            (values,) = await link.ask([("MGET", *keys)])
        for key, data in zip(keys, values, strict=True):
            place = classified(link.keys, key)
            if place is None or place.name is None or data is None:
                continue
            try:
                used = _names(place.name, data)
            except UnreadableError:
                return []  # who knows what it uses
            for name in used:
                unused.pop(name, None)
        if scan == b"0":
            break
    return list(unused)


async def _cap_ledger(link: Link, shard: int) -> None:
    """Hold a ledger that is too long for its age limit at the namespace's cap."""
    key, cap = link.keys.ledger(shard), link.terms.ledger_cap
    (length,) = await link.ask([("XLEN", key)], lenient=True)
    if isinstance(length, int) and length > cap:
        link.tell(key, f"has {length} entries; the oldest beyond {cap} are let go")
        await link.ask([("XTRIM", key, "MAXLEN", "~", cap)])
