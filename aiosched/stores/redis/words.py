"""The keyword index against the jobs, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.index import Expected, put_right
from aiosched.stores.redis.layout import Place
from aiosched.stores.redis.link import Link

__all__ = ["KeywordWalk", "not_subscribed"]

_MOST = 10_000
"""Subscribed jobs that are held in mind in one pass."""
_COMPARED = 8
"""Sets whose members are compared in a pass; others come in the next ones."""
_AGE = 600.0
"""Seconds for which a keyword must have been without subscribers.

Who subscribes a job enters the keyword before the transaction that relies on
it, and once more behind it; this is to be longer than any transaction.
"""


async def not_subscribed(
    link: Link, shard: int, keyword: str, ids: Sequence[str]
) -> list[str]:
    """Return those ids that a fire of their keyword would not reach."""
    keys = link.keys
    commands: list[Command] = [
        ("SISMEMBER", keys.keyword_shards(keyword), shard),
        ("SMISMEMBER", keys.subscribers(shard, keyword), *ids),
    ]
    known, members = await link.ask(commands, lenient=True)
    if isinstance(known, Exception) or isinstance(members, Exception):
        return []  # of another type: nothing can be entered
    if not known:
        return list(ids)
    return [one for one, there in zip(ids, members, strict=True) if not there]


class KeywordWalk:
    """What one pass over all keys shows of the keyword index."""

    def __init__(self, link: Link) -> None:
        """Stand before the first pass."""
        self._link = link
        self._turn = 0
        self._empty: dict[tuple[str, int], float] = {}
        self.begin()

    def begin(self) -> None:
        """Forget what the last pass has shown."""
        self._jobs: dict[tuple[int, str], dict[str, Expected]] = {}
        self._held = 0
        self._sets: set[tuple[int, str]] = set()
        self._words: set[str] = set()

    def met(self, place: Place) -> None:
        """Note a key of the keyword index."""
        if place.name is not None and len(self._sets) + len(self._words) < _MOST:
            if place.room == "k":
                self._sets.add((place.shard, place.name))
            else:
                self._words.add(place.name)

    def wanted(self, shard: int, job_id: str, one: Expected) -> None:
        """Note a job that is subscribed."""
        if one.keyword is not None and self._held < _MOST:
            self._jobs.setdefault((shard, one.keyword), {})[job_id] = one
            self._held += 1

    async def compare(self) -> set[str]:
        """Enter jobs under their keywords where they are missing; return their ids."""
        anew: dict[int, dict[str, Expected | None]] = {}
        rest: list[tuple[int, str]] = []
        # A set that is there throughout a pass is met; one that is not may have
        # come meanwhile, and is then as it should be.
        for place in sorted(self._jobs):
            if place in self._sets and place[1] in self._words:
                rest.append(place)
            else:
                await self._close(place, anew)
        first = self._turn % max(len(rest), 1)
        for place in (rest[first:] + rest[:first])[:_COMPARED]:
            await self._close(place, anew)
        self._turn += _COMPARED
        put: set[str] = set()
        for shard, wanted in anew.items():
            put |= await put_right(self._link, shard, wanted)
        return put

    async def _close(
        self,
        place: tuple[int, str],
        anew: dict[int, dict[str, Expected | None]],
    ) -> None:
        jobs: Mapping[str, Expected] = self._jobs[place]
        ids = sorted(jobs)
        for first in range(0, len(ids), 500):
            part = ids[first : first + 500]
            for job_id in await not_subscribed(self._link, *place, part):
                anew.setdefault(place[0], {})[job_id] = jobs[job_id]

    async def clear(self) -> None:
        """Take shards without subscribers from keywords, once that has lasted.

        A keyword that was used once would otherwise be remembered for ever.
        """
        link = self._link
        now = link.clock.monotonic()
        words = sorted(self._words)
        first = self._turn % max(len(words), 1)
        chosen = (words[first:] + words[:first])[:_COMPARED]
        empty: dict[tuple[str, int], float] = {
            place: since
            for place, since in self._empty.items()
            if place[0] in self._words
        }
        for word in chosen:
            idle = await self._idle(word)
            for place in [place for place in empty if place[0] == word]:
                if place[1] not in idle:
                    del empty[place]  # in use again
            for shard in idle:
                empty.setdefault((word, shard), now)
        self._empty = empty
        for (word, shard), since in list(empty.items()):
            if now - since < _AGE:
                continue
            del empty[word, shard]
            if shard in await self._idle(word):
                await self._forget(word, shard)

    async def _forget(self, word: str, shard: int) -> None:
        """Take a shard from a keyword, unless somebody subscribes meanwhile.

        The two keys lie in two slots, so no WATCH spans them.  Who subscribes
        before this look is seen by it; who does so later enters the keyword
        behind the transaction, and so behind the removal.
        """
        link = self._link
        key = link.keys.keyword_shards(word)
        link.keywords.discard((word, shard))
        await link.try_typed([("SREM", key, shard)])
        (there,) = await link.ask([("EXISTS", link.keys.subscribers(shard, word))])
        if there:
            await link.try_typed([("SADD", key, shard)])

    async def _idle(self, word: str) -> list[int]:
        """Return the shards of a keyword in which nobody is subscribed to it."""
        link = self._link
        (members,) = await link.ask(
            [("SMEMBERS", link.keys.keyword_shards(word))], lenient=True
        )
        if not isinstance(members, list):
            return []
        good = [m for m in members if m.isdigit() and len(m) < 10]
        shards = [int(m) for m in good if int(m) < link.terms.shards]
        if not shards:
            return []
        keys = [link.keys.subscribers(shard, word) for shard in shards]
        there = await link.ask([("EXISTS", key) for key in keys])
        return [shard for shard, one in zip(shards, there, strict=True) if not one]
