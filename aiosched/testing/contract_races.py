"""The store contract: transactions that overtake each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aiosched.abc import JobStore, Session, shard_of
from aiosched.clock import random_id
from aiosched.errors import StoreConflictError
from aiosched.records import Change, Record
from aiosched.testing.contract_base import (
    ContractBase,
    Interleaved,
    entries_of,
    everything,
    found_by,
    rows_of,
)
from aiosched.testing.contract_decisions import (
    SHARDS,
    claim,
    create,
    erase,
    ids_in,
    leaning,
    settle,
    touch,
)

__all__ = ["RacesContract"]

_MOST_POINTS = 60

Work = Callable[[Session], Coroutine[Any, Any, Any]]


class _Race:
    """A store with two sessions, and a third hand between read and commit."""

    def __init__(
        self, contract: ContractBase, store: JobStore, namespace: str, spare: Session
    ) -> None:
        self._contract = contract
        self._store = store
        self._namespace = namespace
        self._spare = spare

    def act(self, work: Work) -> Callable[[], None]:
        return self._contract.between(self._store, self._namespace, self._spare, work)


class RacesContract(ContractBase):
    """Optimistic races: nobody is lost, nobody wins twice."""

    async def test_two_claimers_interleaved_at_each_await(self) -> None:
        """Wherever the second comes between, one claim is committed."""
        async with self.opened(2) as [one, two]:
            for point in range(_MOST_POINTS):
                job_id = f"job-{point}"
                await one.transact([job_id], create(1))
                rival: list[dict[str, Change]] = []

                async def second(job_id: str = job_id, rival: Any = rival) -> None:
                    rival.append(await two.transact([job_id], claim("two"), claim=True))

                first = Interleaved(
                    one.transact([job_id], claim("one"), claim=True), point, second
                )
                mine = await first
                if not first.reached:
                    assert mine
                    return
                [theirs] = rival
                await _one_claim(one, job_id, mine, theirs)
        message = "transact suspends without end"
        raise AssertionError(message)

    async def test_a_claim_drops_what_changed(self) -> None:
        """The rest is claimed; what changed is neither decided nor answered."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace, 2) as [one, two]:
            race = _Race(self, store, namespace, two)
            ids = ids_in(0, 4)
            await one.transact(ids, create(1))
            seen: list[set[str]] = []

            def watched(records: Mapping[str, Record | None], now: int) -> Any:
                seen.append(set(records))
                return claim("one")(records, now)

            async def rival(session: Session) -> None:
                await session.transact(ids[:2], claim("two"), claim=True)

            made = await one.transact(
                ids, leaning(watched, race.act(rival)), claim=True
            )
            if not self.can_race:
                return
            assert set(made) == set(ids[2:])
            assert seen[0] == set(ids)
            assert seen[-1] == set(ids[2:])
            owners = {
                i: r.state.runs[0].owner for i, r in (await one.read(ids)).items()
            }
            assert [owners[i] for i in ids] == ["two", "two", "one", "one"]

    async def test_a_claim_of_which_everything_changed(self) -> None:
        """It ends empty-handed, and without an error."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace, 2) as [one, two]:
            race = _Race(self, store, namespace, two)
            ids = ids_in(3, 2)
            await one.transact(ids, create(1))

            async def rival(session: Session) -> None:
                await session.transact(ids, touch(2))

            made = await one.transact(
                ids, leaning(claim("one"), race.act(rival)), claim=True
            )
            if self.can_race:
                assert made == {}
                assert all(not r.state.runs for r in (await one.read(ids)).values())

    async def test_a_settle_decides_again(self) -> None:
        """Overtaken by a write of the same record, its outcome is still kept."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace, 2) as [one, two]:
            race = _Race(self, store, namespace, two)
            await one.transact(["job"], create(1))
            [change] = (await one.transact(["job"], claim("one"))).values()
            fence = change.starts[0].run.fence

            async def rival(session: Session) -> None:
                await session.transact(["job"], touch(2))

            made = await one.transact(
                ["job"], leaning(settle("one", fence), race.act(rival))
            )
            assert made["job"].answer == "settled"
            record = (await two.read(["job"]))["job"]
            assert not record.state.runs
            assert record.state.counts.asked == int(self.can_race)
            assert len(await rows_of(two, "job")) == 1

    async def test_a_settle_that_lost_its_record(self) -> None:
        """Removed and made again underneath, it writes nothing at all."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace, 2) as [one, two]:
            race = _Race(self, store, namespace, two)
            for again in (False, True):
                await one.transact(["job"], create(1))
                [change] = (await one.transact(["job"], claim("one"))).values()
                fence = change.starts[0].run.fence

                verbs = [erase(), create(3)] if again else [erase()]

                async def rival(session: Session, verbs: Any = verbs) -> None:
                    for verb in verbs:
                        await session.transact(["job"], verb)

                made = await one.transact(
                    ["job"], leaning(settle("one", fence), race.act(rival))
                )
                if not self.can_race:
                    return
                assert made == {}
                assert await rows_of(one, "job") == []
                assert ("job" in await two.read(["job"])) is again
                entries = await entries_of(one, shard_of("job", SHARDS))
                assert entries == ({"job": 3} if again else {})

    async def test_a_creation_overtaken_by_another(self) -> None:
        """One of two creators makes the job; the other sees it."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace, 2) as [one, two]:
            race = _Race(self, store, namespace, two)

            async def rival(session: Session) -> None:
                made = await session.transact(["job"], create(2, executor="two"))
                assert made

            made = await one.transact(
                ["job"], leaning(create(1, executor="one"), race.act(rival))
            )
            record = (await one.read(["job"]))["job"]
            winner = "two" if self.can_race else "one"
            assert record.definition.spec.executor == winner
            assert bool(made) is not self.can_race

    async def test_a_creation_overtaken_by_a_whole_life(self) -> None:
        """Made and removed meanwhile: the job is there once, or decided again."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace, 2) as [one, two]:
            race = _Race(self, store, namespace, two)

            async def rival(session: Session) -> None:
                await session.transact(["job"], create(2))
                await session.transact(["job"], erase())

            await one.transact(["job"], leaning(create(1), race.act(rival)))
            assert set(await everything(two)) == {"job"}
            assert await entries_of(two, shard_of("job", SHARDS)) == {"job": 1}

    async def test_creators_interleaved_at_each_await(self) -> None:
        """Wherever the second comes between, one of them makes the job."""
        async with self.opened(2) as [one, two]:
            for point in range(_MOST_POINTS):
                job_id = f"job-{point}"
                rival: list[dict[str, Change]] = []

                async def second(job_id: str = job_id, rival: Any = rival) -> None:
                    rival.append(await two.transact([job_id], create(2)))

                first = Interleaved(one.transact([job_id], create(1)), point, second)
                mine = await first
                if not first.reached:
                    assert mine
                    return
                [theirs] = rival
                assert bool(mine) is not bool(theirs)
                entries = await entries_of(one, shard_of(job_id, SHARDS))
                assert entries[job_id] == (1 if mine else 2)
        message = "transact suspends without end"
        raise AssertionError(message)

    async def test_ten_creators_at_once(self) -> None:
        """Ten peers make the same hundred jobs; each is made once."""
        async with self.opened(10) as sessions:
            ids = ids_in(2, 100)
            made = await asyncio.gather(
                *(_again(session, ids, create(1)) for session in sessions)
            )
            winners = [job_id for changes in made for job_id in changes]
            assert sorted(winners) == sorted(ids)
            assert len(await entries_of(sessions[0], 2)) == 100

    async def test_ten_claimers_at_once(self) -> None:
        """Ten peers claim the same jobs; each run is started by one."""
        async with self.opened(10) as sessions:
            ids = ids_in(1, 50)
            await sessions[0].transact(ids, create(1))
            made = await asyncio.gather(
                *(
                    session.transact(ids, claim(f"peer-{n}"), claim=True)
                    for n, session in enumerate(sessions)
                )
            )
            starts = [change.starts[0] for found in made for change in found.values()]
            assert len(starts) == len({start.definition.id for start in starts})
            records = await sessions[0].read(ids)
            live = {i: r.state.runs[0] for i, r in records.items() if r.state.runs}
            assert live == {start.definition.id: start.run for start in starts}
            assert starts, "ten claimers in each other's way claimed nothing"

    async def test_no_write_is_lost(self) -> None:
        """Four writers of one record: each of their writes counts."""
        async with self.opened(4) as sessions:
            await sessions[0].transact(["job"], create(1))

            async def write(session: Session) -> None:
                for _ in range(10):
                    assert await _again(session, ["job"], touch(1))

            await asyncio.gather(*map(write, sessions))
            record = (await found_by(sessions[0], "job"))["job"]
            assert record is not None
            assert record.state.counts.asked == 40


async def _again(session: Session, ids: list[str], decide: Any) -> dict[str, Change]:
    """Transact, and repeat what was overtaken too often, as its error allows."""
    for _ in range(20):
        try:
            return await session.transact(ids, decide)
        except StoreConflictError:
            continue
    message = "overtaken without end"
    raise AssertionError(message)


async def _one_claim(
    session: Session,
    job_id: str,
    mine: dict[str, Change],
    theirs: dict[str, Change],
) -> None:
    assert bool(mine) is not bool(theirs), f"claimed by both or none: {job_id}"
    [change] = (mine or theirs).values()
    record = (await session.read([job_id]))[job_id]
    assert record.state.runs == (change.starts[0].run,)
    [entry] = [
        at
        for found, at in (await entries_of(session, shard_of(job_id, SHARDS))).items()
        if found == job_id
    ]
    assert entry == change.starts[0].run.until
