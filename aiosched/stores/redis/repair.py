"""Mending what an examination has found.

Each repair watches the keys that it is about, looks whether they are still as
they were found, and writes in one transaction; so it is safe beside peers that
work.  What nobody can read is never deleted: a whole key is renamed, a part is
copied, to a key behind ``quarantine`` with the same tag.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import ResponseError

from aiosched.stores.damage import Damage, Level
from aiosched.stores.redis import restate
from aiosched.stores.redis.checks import names_of
from aiosched.stores.redis.connection import Command, LostError
from aiosched.stores.redis.examine import Examination, ident
from aiosched.stores.redis.facts import meta_fields
from aiosched.stores.redis.failures import refusal
from aiosched.stores.redis.index import put_right
from aiosched.stores.redis.layout import QUARANTINE
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.mend import looked
from aiosched.stores.redis.parts import shown
from aiosched.stores.redis.spare import spare_blobs, spare_spec
from aiosched.stores.redis.sweep import delete_unused

__all__ = ["Repairs"]

_INDEX = {
    "record-without-entry",
    "entry-without-record",
    "entry-out-of-step",
    "keyword-missing",
    "queue-missing",
}
_RENAMED = {
    "record-unreadable",
    "record-astray",
    "state-impossible",
    "blob-garbled",
    "guard-unreadable",
    "type-wrong",
    "key-foreign",
}
_RESTATED = {"outcome-unreadable", "state-out-of-step", "lease-orphaned"}
_RECORDS = {"record-unreadable", "state-impossible", "spec-missing", "blob-missing"}
Writes = Callable[[], Awaitable[Sequence[Command]]]


class Repairs:
    """Repairs for one examination.

    Args:
        examination: Whose findings are mended.
        allowed: Whether what cannot be read may be put into quarantine.
    """

    def __init__(self, examination: Examination, *, allowed: bool) -> None:
        """Mend nothing yet."""
        self.examination: Examination = examination
        self.link: Link = examination.link
        self.allowed = allowed

    async def mend(self, one: Damage) -> bool:
        """Mend one finding, if it still holds and that is allowed.

        Returns:
            Whether anything was written.  False also where it was not needed,
            and where somebody else was faster; look again.

        Raises:
            StoreError: The store cannot be used.
        """
        if one.level is Level.NOTE:
            return False
        if one.kind in _INDEX and one.job_id is not None:
            return await self._index(one.shard, one.job_id)
        if one.kind == "spec-unused":
            name = one.raw.partition(b"}:")[2].decode()
            queues = sorted(self.link.queues)
            return bool(await delete_unused(self.link, one.shard, queues, [name]))
        if one.kind in _RESTATED and one.job_id is not None:
            if one.level is Level.UNREADABLE and not self.allowed:
                return False
            return await restate.restate(self.link, one)
        if one.kind in {"spec-missing", "blob-missing", "spec-garbled"}:
            mended = await self._copied(one)
            if mended or not self.allowed:
                return mended
        if one.level is Level.UNREADABLE and not self.allowed:
            return False
        if one.kind in {"meta-missing", "meta-unreadable"}:
            return await self._meta(one)
        return await self._guarded(one, self._watched(one), lambda: self._writes(one))

    # -- what is written -----------------------------------------------------------

    async def _writes(self, one: Damage) -> Sequence[Command]:
        """Return the commands of a repair whose keys are watched."""
        part = one.part or b""
        if one.kind in _RENAMED | {"spec-missing", "blob-missing", "spec-garbled"}:
            return await self._aside(one)
        if one.kind == "blob-unused":
            tag, _, name = one.raw.partition(b"}:")
            return [("DEL", one.raw), ("SREM", tag + b"}:xs", name)]
        if one.kind == "entry-astray":
            return [("ZREM", one.raw, part)]
        if one.kind in {"keyword-left-over", "name-left-over"}:
            return [("SREM", one.raw, part)]
        if one.kind == "name-missing":
            return [("SADD", one.raw, part)]
        if one.kind in {"member-stale", "executor-stale"}:
            return [("HDEL", one.raw, part)]
        if one.kind == "counter-unreadable":
            # As if much had happened: whoever compares it reads everything again.
            fresh = self.examination.facts.now
            return [
                ("RENAME", one.raw, self._beside(one.raw)),
                ("SET", one.raw, fresh),
            ]
        return await self._part_aside(one)

    async def _aside(self, one: Damage) -> list[Command]:
        """Rename a key into quarantine, with what only it may need."""
        writes: list[Command] = [("RENAME", one.raw, self._beside(one.raw))]
        if one.kind not in _RECORDS:
            return writes
        blobs = await spare_blobs(self.link, one.shard, one.job_id or "")
        writes += [("RENAME", raw, self._beside(raw)) for raw in blobs]
        (data,) = await self.link.ask([("GET", one.raw)])
        name = names_of(data) if isinstance(data, bytes) else None
        if name is not None:
            # The record may be its last user.
            spec = one.raw.partition(b"}:")[0] + b"}:x:" + name
            writes.append(("COPY", spec, self._beside(spec)))
        return writes

    async def _part_aside(self, one: Damage) -> list[Command]:
        """Copy a part into quarantine, and take it out."""
        part = one.part or b""
        room = one.raw.partition(b"}:")[2].partition(b":")[0]
        asking: dict[bytes, Command] = {
            b"a": ("ZSCORE", one.raw, part),
            b"l": ("XRANGE", one.raw, part, part),
            b"members": ("HGET", one.raw, part),
            b"executors": ("HGET", one.raw, part),
        }
        value: object = b""
        if room in asking:
            (value,) = await self.link.ask([asking[room]])
        if room == b"l" and isinstance(value, list):
            value = shown(value[0][1]).encode() if value else b""
        removing: dict[bytes, Command] = {
            b"a": ("ZREM", one.raw, part),
            b"l": ("XDEL", one.raw, part),
            b"members": ("HDEL", one.raw, part),
            b"executors": ("HDEL", one.raw, part),
        }
        saved = value if isinstance(value, bytes) else b""
        return [
            ("HSET", self._beside(one.raw), part, saved),
            removing.get(room, ("SREM", one.raw, part)),
        ]

    def _beside(self, raw: bytes) -> bytes:
        """Return a new name in quarantine, in the same slot."""
        tag, _, rest = raw.partition(b"}")
        # To the finding's instant: an earlier one of the same key stays.
        now = str(self.examination.facts.now).encode()
        return tag + b"}:" + QUARANTINE.encode() + b":" + now + rest

    # -- how -----------------------------------------------------------------------

    def _watched(self, one: Damage) -> list[bytes | str]:
        keys: list[bytes | str] = [one.raw]
        if one.part is not None and one.kind.startswith("name-"):
            keys.append(one.raw.partition(b"}:")[0] + b"}:" + one.part)
        if one.kind == "keyword-left-over" and one.part is not None:
            keys.append(one.raw.partition(b"}:")[0] + b"}:j:" + one.part)
        if one.kind == "blob-unused" and one.job_id is not None:
            keys.append(self.link.keys.job(one.shard, one.job_id))
        return keys

    async def _holds(self, one: Damage) -> bool:
        """Look again whether the finding holds."""
        source = one.raw
        if one.kind == "name-missing" and one.part is not None:
            source = one.raw.partition(b"}:")[0] + b"}:" + one.part
        found = await self.examination.look([source])
        return any(ident(one) == ident(each) for each in found.get(source, ()))

    async def _guarded(
        self, one: Damage, watched: Sequence[bytes | str], writes: Writes
    ) -> bool:
        """Write under WATCH, if the finding holds; return whether it was done."""
        async with self.link.transactions.take(one.raw) as lane:
            await self.link.watch(lane, watched)
            if not await self._holds(one):
                return False
            commands = await writes()
            try:
                replies = await lane.commit(commands)
            except LostError:
                return False  # done or not: the next look tells
        answer = replies[-1]
        if isinstance(answer, ResponseError):
            raise refusal(answer, self.link.place, one.key)
        for reply in answer or ():
            if isinstance(reply, ResponseError):
                raise refusal(reply, self.link.place, one.key)
        return answer is not None

    async def _index(self, shard: int, job_id: str) -> bool:
        wanted, _ = await looked(self.link, shard, [job_id])
        if job_id not in wanted:
            return False
        return bool(await put_right(self.link, shard, wanted))

    async def _copied(self, one: Damage) -> bool:
        """Restore what is named by its content from where it is, too."""
        spares = await spare_spec(self.link, one)
        if not spares:
            return False

        async def writes() -> Sequence[Command]:
            commands: list[Command] = []
            if one.kind == "spec-garbled":
                commands.append(("RENAME", one.raw, self._beside(one.raw)))
            for raw, body in spares.items():
                tag, _, name = raw.partition(b"}:")
                commands.append(("SET", raw, body))
                commands.append(("SADD", tag + b"}:xs", name))
            return commands

        if one.kind == "spec-garbled" and not self.allowed:
            return False
        return await self._guarded(one, [one.raw, *spares], writes)

    async def _meta(self, one: Damage) -> bool:
        link = self.link
        name = (one.part or b"").decode()
        value = meta_fields(link, link.ids())[name]
        key = link.keys.meta
        if one.kind == "meta-missing":
            (done,) = await link.ask([("HSETNX", key, name, value)], lenient=True)
            return bool(done == 1)
        (was,) = await link.ask([("HGET", key, name)], lenient=True)
        if not isinstance(was, bytes):
            return False
        saving: list[Command] = [
            ("HSET", self._beside(one.raw), name, was),
            ("HSET", key, name, value),
        ]
        async with link.transactions.take(key) as lane:
            await link.watch(lane, [key])
            (now,) = await link.ask([("HGET", key, name)], lenient=True)
            if now != was:
                return False
            replies = await lane.commit(saving)
        return replies[-1] is not None
