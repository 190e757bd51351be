"""Walking the records of a namespace, a step at a time, and mending its index.

A pass reads every key name by SCAN and every record, and compares the agendas
with them.  Up to ``SMALL`` records are compared at once with whole agendas,
read by unions, so that a pass over a small namespace takes a handful of
commands; more are compared in portions, by what the agendas say of them.

What SCAN shows for nothing is used too: a key of the index that should be
there and was not met in a pass is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from aiosched.abc import Mended, shard_of
from aiosched.stores.damage import Damage
from aiosched.stores.redis.agendas import cleared, foreign
from aiosched.stores.redis.index import (
    Expected,
    compare,
    decoded,
    expected,
    in_index,
    put_right,
)
from aiosched.stores.redis.layout import classified, pattern
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.reading import known_queues
from aiosched.stores.redis.specs import UnreadableError
from aiosched.stores.redis.words import KeywordWalk

__all__ = ["IndexWalk", "looked"]

SMALL = 10_000
"""Records whose expectations are held at once."""
SCANNED = 2_000
"""Keys that the server is asked to look at in one step."""
_READ = 500
"""Records read by one command."""
_UNION = 2_000
"""Entries that one union is expected to bring."""
_KEYS = 256
"""Agendas of one union."""
_CROWD = 2
"""Entries of an agenda, on the average of its queue, above which one that is gone
hardly came to its end by itself."""


class IndexWalk:
    """One session's way through the records, pass after pass."""

    def __init__(self, link: Link) -> None:
        """Stand before the first pass."""
        self._link = link
        self._scan = b"0"
        self._wanted: dict[str, Expected] = {}
        self._met: set[str] = set()
        self._whole = True
        self._crowds: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._agendas: dict[str, int] = {}
        self._large = False
        self._odd: set[str] = set()
        self._unexplained: set[str] = set()
        self._keywords = KeywordWalk(link)

    async def step(self) -> Mended:
        """Do the next step; see :meth:`aiosched.abc.Session.mend`.

        Raises:
            StoreUnavailableError: The pass goes on with the next call.
        """
        link = self._link
        before = link.counters.commands
        urgent = self._large and await self._vanished()
        if urgent:
            self._begin()
        put: set[str] = set()
        await self._read_page()
        complete = self._scan == b"0"
        if complete or len(self._wanted) >= SMALL:
            put |= await self._compare(complete=complete)
            self._wanted = {}
        if complete:
            put |= await self._keywords.compare()
            await self._keywords.clear()
            self._end()
        return Mended(
            tuple(sorted(put)),
            cost=link.counters.commands - before,
            complete=complete,
            urgent=urgent,
        )

    def _begin(self) -> None:
        self._scan = b"0"
        self._wanted, self._met, self._counted = {}, set(), {}
        self._whole = True
        self._keywords.begin()

    def _end(self) -> None:
        self._crowds = self._counted
        self._large = not self._whole
        self._begin()

    # -- reading ------------------------------------------------------------------

    async def _read_page(self) -> None:
        link = self._link
        (reply,) = await link.ask(
            [("SCAN", self._scan, "MATCH", pattern(link.keys), "COUNT", SCANNED)]
        )
        self._scan, names = reply
        ids: dict[int, list[str]] = {}
        for name in names:
            place = classified(link.keys, name)
            if place is None or place.name is None:
                continue
            if place.room == "j":
                if shard_of(place.name, link.terms.shards) == place.shard:
                    ids.setdefault(place.shard, []).append(place.name)
            elif place.room == "a":
                self._met.add(name.decode())
            elif place.room in {"k", "kw"}:
                self._keywords.met(place)
        flat = [(shard, job_id) for shard, names in ids.items() for job_id in names]
        for first in range(0, len(flat), _READ):
            await self._read(flat[first : first + _READ])

    async def _read(self, places: list[tuple[int, str]]) -> None:
        link = self._link
        keys = [link.keys.job(shard, job_id) for shard, job_id in places]
        (values,) = await link.ask([("MGET", *keys)])
        raw: dict[int, dict[str, bytes]] = {}
        for (shard, job_id), data in zip(places, values, strict=True):
            if data is not None:
                raw.setdefault(shard, {})[job_id] = data
        for shard, records in raw.items():
            for job_id, record in (await decoded(link, shard, records)).items():
                try:
                    if isinstance(record, UnreadableError):
                        raise record
                    wanted = expected(record)
                except UnreadableError:
                    continue  # reported by whoever looks at the job
                self._wanted[job_id] = wanted
                self._counted[wanted.queue] = self._counted.get(wanted.queue, 0) + 1
                self._keywords.wanted(shard, job_id, wanted)

    # -- agendas ------------------------------------------------------------------

    async def _compare(self, *, complete: bool) -> set[str]:
        link = self._link
        stored = await known_queues(link)
        self._whole = self._whole and complete
        queues = {one.queue for one in self._wanted.values()}
        missing = queues - set(stored or ())
        link.looked |= queues
        suspects: dict[int, dict[str, Expected | None]] = {}
        for job_id, one in self._wanted.items():
            if one.queue in missing:
                self._suspect(suspects, job_id)
        if self._whole:
            await self._by_union(suspects, queues | set(stored or ()))
        else:
            await self._by_score(suspects)
        await self._clear(queues | set(stored or ()))
        put: set[str] = set()
        unexplained: set[str] = set()
        for shard, ids in suspects.items():
            mended = await self._again(shard, ids, missing)
            unexplained |= ids.keys() - mended
            put |= mended
        # What looks wrong from afar and right from near, again and again, stands
        # in the agenda of another shard, too.
        self._unexplained = unexplained
        return put

    async def _clear(self, queues: set[str]) -> None:
        """Put aside what stands in agendas, or in their place, and is no entry."""
        link, odd = self._link, self._odd
        self._odd = set()
        for shard in range(link.terms.shards) if odd else ():
            for queue in sorted(queues):
                key = link.keys.agenda(shard, queue)
                if key in odd and not await foreign(link, shard, queue):
                    await cleared(link, shard, queue)

    def _suspect(
        self, suspects: dict[int, dict[str, Expected | None]], job_id: str
    ) -> None:
        shard = shard_of(job_id, self._link.terms.shards)
        suspects.setdefault(shard, {})[job_id] = self._wanted.get(job_id)

    async def _by_union(
        self, suspects: dict[int, dict[str, Expected | None]], queues: set[str]
    ) -> None:
        """Compare all agendas at once; an id stands in one of them only."""
        link, seen = self._link, set[str]()
        for keys in self._unions(queues):
            (reply,) = await link.ask(
                [("ZUNION", len(keys), *keys, "WITHSCORES")], lenient=True
            )
            if not isinstance(reply, list):
                # One of them is no agenda.
                self._odd.update(keys)
                await self._by_score(suspects)
                return
            for raw, score in zip(reply[::2], reply[1::2], strict=True):
                try:
                    job_id = raw.decode()
                except UnicodeDecodeError:
                    self._odd.update(keys)
                    continue
                wanted = self._wanted.get(job_id)
                if wanted is None or wanted.score != float(score):
                    self._suspect(suspects, job_id)
                    if job_id in self._unexplained:
                        self._odd.update(keys)
                seen.add(job_id)
        for job_id in self._wanted.keys() - seen:
            self._suspect(suspects, job_id)

    def _unions(self, queues: set[str]) -> Iterator[list[str]]:
        """Group the agendas that were met, by how much is expected in them."""
        link, shards = self._link, self._link.terms.shards
        apart = link.wiring.topology.clustered
        group: list[str] = []
        size = 0
        # By shard: on a cluster one command takes the keys of one.
        for shard in range(shards):
            for queue in sorted(queues):
                key = link.keys.agenda(shard, queue)
                if key not in self._met:
                    continue
                each = self._counted.get(queue, 0) // shards + 1
                if group and (size + each > _UNION or len(group) == _KEYS):
                    yield group
                    group, size = [], 0
                group.append(key)
                size += each
            if apart and group:
                yield group
                group, size = [], 0
        if group:
            yield group

    async def _by_score(self, suspects: dict[int, dict[str, Expected | None]]) -> None:
        """Ask the agendas about the jobs at hand."""
        link = self._link
        parts: dict[tuple[int, str], list[str]] = {}
        for job_id, one in self._wanted.items():
            shard = shard_of(job_id, link.terms.shards)
            parts.setdefault((shard, one.queue), []).append(job_id)
        for (shard, queue), ids in sorted(parts.items()):
            scores = (await in_index(link, shard, [queue], ids)).get(queue)
            if scores is None:
                self._odd.add(link.keys.agenda(shard, queue))
            for job_id in ids:
                if (scores or {}).get(job_id) != self._wanted[job_id].score:
                    self._suspect(suspects, job_id)

    async def _again(
        self, shard: int, suspects: dict[str, Expected | None], missing: set[str]
    ) -> set[str]:
        """Look once more at suspects, closely; put right what is still wrong.

        Nothing can be entered where something else stands, so that goes first.
        """
        link = self._link
        put: set[str] = set()
        ids = sorted(suspects)
        for first in range(0, len(ids), _READ):
            part = ids[first : first + _READ]
            wanted, found = await looked(link, shard, part)
            wrong = {one.job_id: None for one in found if one.job_id is not None}
            for job_id in part:
                one = wanted.get(job_id)
                if one is not None and one.queue in missing:
                    wrong[job_id] = None
            bare = {
                one.queue
                for lacking in found
                if lacking.kind == "record-without-entry"
                and (one := wanted.get(lacking.job_id or "")) is not None
            }
            for queue in sorted(bare):
                await foreign(link, shard, queue)
            if wrong:
                anew = {job_id: wanted.get(job_id) for job_id in wrong}
                put |= await put_right(link, shard, anew)
        return put

    # -- agendas that are gone -----------------------------------------------------

    async def _vanished(self) -> bool:
        """Return whether agendas have gone that hardly came to an end by themselves.

        For namespaces over which a pass takes long; at most once a pass.
        """
        link, found = self._link, False
        for queue, jobs in sorted(self._crowds.items()):
            if jobs < _CROWD * link.terms.shards:
                continue
            keys = [link.keys.agenda(n, queue) for n in range(link.terms.shards)]
            (there,) = await link.ask([("EXISTS", *keys)])
            found = found or there < self._agendas.get(queue, 0)
            self._agendas[queue] = there
        return found


async def looked(
    link: Link, shard: int, ids: Sequence[str]
) -> tuple[dict[str, Expected | None], list[Damage]]:
    """Compare jobs of a shard with its agendas.

    Returns:
        What follows from their records (None: there is none; left out where it
        cannot be read), and what is wrong in the agendas.
    """
    keys = [link.keys.job(shard, job_id) for job_id in ids]
    queues = link.queues | link.looked
    (values,) = await link.ask([("MGET", *keys)])
    scores = await in_index(link, shard, queues, ids)
    # Record and entry are written by one transaction: of a job whose record was
    # the same before and after, the entry was of that record.
    (after,) = await link.ask([("MGET", *keys)])
    moved = {x for x, a, b in zip(ids, values, after, strict=True) if a != b}
    raw = {one: data for one, data in zip(ids, values, strict=True) if data is not None}
    wanted: dict[str, Expected | None] = dict.fromkeys(
        [job_id for job_id in ids if job_id not in raw]
    )
    for job_id, record in (await decoded(link, shard, raw)).items():
        if not isinstance(record, UnreadableError):
            with suppress(UnreadableError):
                wanted[job_id] = expected(record)
    wrong = [
        damage
        for job_id, one in wanted.items()
        if job_id not in moved
        for damage in compare(link, shard, job_id, one, scores)
    ]
    return wanted, wrong
