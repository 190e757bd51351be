"""Looking at every key of a namespace, page by page, without writing anything.

Each finding is met twice before it is told, for others go on working while the
keys are read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from aiosched.abc import shard_of
from aiosched.stores.damage import Damage
from aiosched.stores.redis import checks, parts
from aiosched.stores.redis.facts import Facts
from aiosched.stores.redis.layout import QUARANTINE, TYPES, Place, classified, pattern
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.sweep import without_users

__all__ = ["Examination"]

_SCANNED = 500
_BODIES = 50
"""Values that may be large, read by one command."""
Ident = tuple[str, bytes, bytes | None]


def ident(one: Damage) -> Ident:
    """Return what makes two findings the same."""
    return one.kind, one.raw, one.part


class Examination:
    """One look at a namespace."""

    def __init__(self, link: Link, facts: Facts) -> None:
        """Look through a link whose terms are settled."""
        self.link = link
        self.facts = facts

    async def run(self) -> AsyncIterator[Damage]:
        """Yield everything that is found, once."""
        told: set[Ident] = set()
        for one in self.facts.notes:
            yield one
        for one in self.facts.damage:
            yield one
        used: set[tuple[int, bytes]] = set()
        there: set[tuple[int, bytes]] = set()
        async for page in self.pages():
            await self._note(page, used, there)
            for one in await self.confirmed(page):
                if ident(one) not in told:
                    told.add(ident(one))
                    yield one
        spare: dict[int, list[str]] = {}
        for shard, name in sorted(there - used):
            spare.setdefault(shard, []).append(name.decode())
        for shard, names in spare.items():
            for one in await self.unused(shard, names):
                yield one

    async def pages(
        self, shard: int | None = None, room: str = ""
    ) -> AsyncIterator[list[bytes]]:
        """Yield all key names that may be of this namespace, or of one shard."""
        link, scan = self.link, b"0"
        match = pattern(link.keys, shard, room)
        while True:
            reply: Any
            (reply,) = await link.ask(
                [("SCAN", scan, "MATCH", match, "COUNT", _SCANNED)]
            )
            scan, names = reply
            if names:
                yield list(dict.fromkeys(names))
            if scan == b"0":
                return

    async def confirmed(self, names: Sequence[bytes]) -> list[Damage]:
        """Return what is found wrong with these keys at two looks."""
        first = await self.look(names)
        if not first:
            return []
        again = await self.look(list(first))
        found: list[Damage] = []
        for source, damages in first.items():
            known = {ident(one) for one in again.get(source, ())}
            found += [one for one in damages if ident(one) in known]
        return found

    async def look(self, names: Iterable[bytes]) -> dict[bytes, list[Damage]]:
        """Return what is found wrong with these keys, by key, at one look."""
        link = self.link
        found: dict[bytes, list[Damage]] = {}
        places: dict[bytes, Place] = {}
        for raw in names:
            place = classified(link.keys, raw)
            if place is not None:
                places[raw] = place
        types = await link.ask([("TYPE", raw) for raw in places])
        groups: dict[tuple[str, int], dict[str, bytes]] = {}
        for (raw, place), kind in zip(places.items(), types, strict=True):
            one = self._by_name(raw, place, kind.decode())
            if one is not None:
                found[raw] = [one]
            elif kind != b"none":
                group = groups.setdefault((place.room, place.shard), {})
                group[place.name or ""] = raw
        for (room, shard), keys in groups.items():
            for raw, damages in (await self._group(room, shard, keys)).items():
                found.setdefault(raw, []).extend(damages)
        return {raw: damages for raw, damages in found.items() if damages}

    def _by_name(self, raw: bytes, place: Place, kind: str) -> Damage | None:
        """Return what is wrong by name and type alone."""
        shown = raw.decode(errors="backslashreplace")
        if kind == "none":
            return None

        def told(name: str, detail: str) -> Damage:
            return Damage(name, shown, detail, place.name, place.shard, raw)

        if place.room == QUARANTINE:
            return told("quarantined", f"a {kind}")
        if not place.room:
            return told("key-foreign", f"a {kind} that is nothing of ours")
        if kind != TYPES[place.room]:
            return told("type-wrong", f"is a {kind} and no {TYPES[place.room]}")
        if place.room == "j" and place.name is not None:
            own = shard_of(place.name, self.link.terms.shards)
            if own != place.shard:
                return told("record-astray", f"its job belongs to shard {own}")
        return None

    async def _group(
        self, room: str, shard: int, keys: dict[str, bytes]
    ) -> dict[bytes, list[Damage]]:
        """Look at the content of keys of one room and shard."""
        link, facts, names = self.link, self.facts, list(keys)
        if room == "j":
            found = await checks.records(link, facts, shard, names)
            by_job: dict[bytes, list[Damage]] = {}
            for one in found:
                # What is told of a spec is told by its record, too.
                source = keys.get(one.job_id or "", keys[names[0]])
                by_job.setdefault(source, []).append(one)
            return by_job
        if room in {"x", "b"}:
            check = checks.specs if room == "x" else checks.blobs
            result: dict[bytes, list[Damage]] = {}
            for first in range(0, len(names), _BODIES):
                for one in await check(link, shard, names[first : first + _BODIES]):
                    source = one.raw
                    if one.kind == "name-missing" and one.part is not None:
                        source = link.keys.tags[shard].encode() + b":" + one.part
                    result.setdefault(source, []).append(one)
            return result
        return {raw: await self._one(room, shard, name) for name, raw in keys.items()}

    async def _one(self, room: str, shard: int, name: str) -> list[Damage]:
        link, facts = self.link, self.facts
        match room:
            case "a":
                return await parts.agenda(link, shard, name)
            case "k":
                return await parts.keyword(link, shard, name)
            case "g":
                return await parts.guard(link, shard, name)
            case "kw":
                return await parts.shards_of_keyword(link, name)
            case "xs":
                return await parts.names(link, shard)
            case "rev":
                return await parts.counter(link, shard)
            case "l":
                return await parts.ledger(link, shard)
            case "members":
                return await parts.members(link, facts)
            case "executors":
                return await parts.executors(link, facts)
            case "queues":
                return await parts.queues(link)
            case _:
                return []  # meta, which was read before everything else

    # -- specs that nobody uses ----------------------------------------------------

    async def _note(
        self,
        names: Sequence[bytes],
        used: set[tuple[int, bytes]],
        there: set[tuple[int, bytes]],
    ) -> None:
        """Note which specs are there, and which are named by a record."""
        link = self.link
        jobs: list[tuple[int, bytes]] = []
        for raw in names:
            place = classified(link.keys, raw)
            if place is not None and place.name is not None:
                if place.room == "x":
                    there.add((place.shard, place.name.encode()))
                elif place.room == "j":
                    jobs.append((place.shard, raw))
        if jobs:
            (values,) = await link.ask([("MGET", *[raw for _, raw in jobs])])
            for (shard, _), data in zip(jobs, values, strict=True):
                name = None if data is None else checks.names_of(data)
                if name is not None:
                    used.add((shard, name))

    async def unused(self, shard: int, names: Sequence[str]) -> list[Damage]:
        """Look once more, through all records of the shard, for users of specs.

        If one of them cannot be read, who knows what it uses.
        """
        link = self.link
        rest = await without_users(link, shard, [f"x:{name}" for name in names])
        keys = [f"{link.keys.tags[shard]}:{one}" for one in rest]
        there = await link.ask([("EXISTS", key) for key in keys]) if keys else []
        detail = "no record names it"
        return [
            Damage("spec-unused", key, detail, None, shard, key.encode())
            for key, one in zip(keys, there, strict=True)
            if one
        ]
