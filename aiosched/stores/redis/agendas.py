"""Agendas that hold what is no entry, or are none: put aside, with nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from aiosched.stores.redis.connection import Command, LostError
from aiosched.stores.redis.layout import QUARANTINE
from aiosched.stores.redis.link import Link

__all__ = ["cleared", "foreign"]

_PAGE = 500


async def foreign(link: Link, shard: int, queue: str) -> bool:
    """Rename what stands in an agenda's place and is none; return whether it was."""
    key = link.keys.agenda(shard, queue)
    aside = f"{link.keys.tags[shard]}:{QUARANTINE}:{link.estimate()}:a:{queue}"
    return await _guarded(link, key, _of_another_type, [("RENAME", key, aside)])


def _of_another_type(kind: bytes) -> bool:
    return kind not in {b"zset", b"none"}


def _a_set(kind: bytes) -> bool:
    return kind == b"zset"


async def cleared(link: Link, shard: int, queue: str) -> int:
    """Take out members that can be nobody's job, with a copy; return how many."""
    key = link.keys.agenda(shard, queue)
    aside = f"{link.keys.tags[shard]}:{QUARANTINE}:{link.estimate()}:a:{queue}"
    scan: Any = b"0"
    gone = 0
    while True:
        (reply,) = await link.ask([("ZSCAN", key, scan, "COUNT", _PAGE)], lenient=True)
        if not isinstance(reply, list):
            return gone
        scan, words = reply
        bad: list[bytes] = []
        for raw, score in zip(words[::2], words[1::2], strict=True):
            if not _possible(raw, shard, link.terms.shards):
                bad += (raw, score)
        if bad:
            writes: list[Command] = [("HSET", aside, *bad), ("ZREM", key, *bad[::2])]
            gone += len(bad) // 2 * await _guarded(link, key, _a_set, writes)
        if scan == b"0":
            return gone


def _possible(raw: bytes, shard: int, shards: int) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return crc32(raw) % shards == shard


async def _guarded(
    link: Link, key: str, fits: Callable[[bytes], bool], writes: Sequence[Command]
) -> bool:
    """Write if the key is of the right type, and is so until that is done."""
    async with link.transactions.take(key) as lane:
        (kind,) = await link.watch(lane, [key], ("TYPE", key))
        if not fits(kind):
            return False
        try:
            replies = await lane.commit(writes)
        except LostError:
            return False  # done or not: the next pass sees it
    done = isinstance(replies[-1], list)
    if done:
        link.unreadable(key, "held what is no entry; that is in quarantine")
    return done
