"""Deleting what no record uses any more.

A name is deleted under WATCH after a look found no user of it.  A create or
modify writes the spec that it names, so either the look sees the user or the
WATCH sees the write.

All records of all shards are looked through once, before anything is watched:
that takes long where others have many keys in the database.  Whoever begins to
use a name since then has entered its job in an agenda in the same EXEC, and the
agendas are what is looked at under WATCH.
"""

from __future__ import annotations

from redis.exceptions import ResponseError

from aiosched.abc import MAX_BATCH
from aiosched.records import Spec
from aiosched.stores.redis.codec import aparts, decode, split
from aiosched.stores.redis.connection import Command, Lane, LostError
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
    unused: dict[int, set[str]] = {}
    for shard in range(link.terms.shards):
        if stored is not None:  # or who knows what the jobs of others use
            unused[shard] = await _unused(link, shard, queues)
        await _cap_ledger(link, shard)
    await _keep_used(link, unused, pattern(link.keys))
    for shard, names in unused.items():
        ordered = sorted(names)
        for first in range(0, len(ordered), MAX_BATCH):
            batch = ordered[first : first + MAX_BATCH]
            gone += await _delete(link, shard, queues, batch, scanned=True)
    return gone


async def _sweep_executors(link: Link) -> int:
    if not await stale_executors(link):
        return 0
    key = link.keys.executors
    async with link.transactions.take() as lane:
        await link.watch(lane, [key])
        # Once more: a peer may have said meanwhile that it is here.
        names = await stale_executors(link)
        if not names:
            return 0
        done = await _committed(link, lane, [("HDEL", key, *names)])
        return len(names) if done else 0


async def _unused(link: Link, shard: int, queues: list[str]) -> set[str]:
    """Return the names that no record in an agenda uses."""
    (raw,) = await link.try_typed([("SMEMBERS", link.keys.shared(shard))])
    names = set(link.texts(link.keys.shared(shard), raw or ()))
    if not names:
        return set()
    used = await _used(link, shard, queues)
    return set() if used is None else names - used


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
    return await _delete(link, shard, queues, names)


async def _delete(
    link: Link,
    shard: int,
    queues: list[str],
    names: list[str],
    *,
    scanned: bool = False,
) -> int:
    """Do that; after all records were scanned, only the agendas are looked at."""
    tag = link.keys.tags[shard]
    async with link.transactions.take(tag) as lane:
        await link.watch(lane, [f"{tag}:{name}" for name in names])
        used = await _used(link, shard, queues)
        unused = [] if used is None else [one for one in names if one not in used]
        if unused and not scanned:
            unused = await without_users(link, shard, unused)
        if not unused:
            return 0
        writes: list[Command] = [
            ("DEL", *[f"{tag}:{name}" for name in unused]),
            ("SREM", link.keys.shared(shard), *unused),
        ]
        return len(unused) if await _committed(link, lane, writes) else 0


async def _committed(link: Link, lane: Lane, writes: list[Command]) -> bool:
    """Return whether a transaction is known to have been executed."""
    try:
        replies = await lane.commit(writes)
    except LostError:
        return False  # executed or not: the next sweep sees it
    result = replies[-1]
    if result is None or isinstance(result, ResponseError):
        link.counters.aborts += result is None
        return False
    return True


async def without_users(link: Link, shard: int, names: list[str]) -> list[str]:
    """Return those names that no record uses, be it in an agenda or not.

    None at all while there is a record that this version cannot read.  A record
    that has lost its entry is damage that is mended; what it names has
    to be there when that happens.
    """
    unused = {shard: set(names)}
    await _keep_used(link, unused, pattern(link.keys, shard, "j:"))
    return [name for name in names if name in unused[shard]]


async def _keep_used(link: Link, unused: dict[int, set[str]], which: str) -> None:
    """Take from the names of each shard those that one of its records uses.

    Args:
        link: The session's.
        unused: Names by shard, which are changed; all of a shard are taken if
            it has a record that cannot be read.
        which: Pattern of the keys to look at.
    """
    scan = b"0"
    while any(unused.values()):
        (reply,) = await link.ask([("SCAN", scan, "MATCH", which, "COUNT", _SCANNED)])
        scan, found = reply
        keys: list[bytes] = []
        places: list[tuple[int, str]] = []
        for key in found:
            place = classified(link.keys, key)
            if place is None or place.room != "j" or place.name is None:
                continue
            if unused.get(place.shard):
                keys.append(key)
                places.append((place.shard, place.name))
        values: list[bytes | None] = []
        if keys:
            (values,) = await link.ask([("MGET", *keys)])
        for (shard, job_id), data in zip(places, values, strict=True):
            try:
                unused[shard] -= _names(job_id, data)
            except UnreadableError:
                unused[shard].clear()  # who knows what it uses
        if scan == b"0":
            break


async def _cap_ledger(link: Link, shard: int) -> None:
    """Hold a ledger that is too long for its age limit at the namespace's cap."""
    key, cap = link.keys.ledger(shard), link.terms.ledger_cap
    (length,) = await link.ask([("XLEN", key)], lenient=True)
    if isinstance(length, int) and length > cap:
        link.tell(key, f"has {length} entries; the oldest beyond {cap} are let go")
        await link.ask([("XTRIM", key, "MAXLEN", "~", cap)])
