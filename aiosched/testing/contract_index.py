"""The store contract: agendas, listings, keywords and namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiosched.abc import Beat, Session, shard_of
from aiosched.clock import random_id
from aiosched.instants import SECOND
from aiosched.records import Change, Definition, Record, Spec
from aiosched.testing.contract_base import (
    ContractBase,
    entries_of,
    everything,
    subscribers,
)
from aiosched.testing.contract_decisions import (
    SHARDS,
    claim,
    create,
    erase,
    ids_in,
    rewritten,
    touch,
)

__all__ = ["IndexContract"]

YEAR_2200 = 7_258_118_400_000_000
YEAR_9999 = 253_402_214_399_999_999


def _respecified(at: int | None, **spec: Any) -> Any:
    """Give every record another spec, as modify does."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            assert record is not None
            given: dict[str, Any] = {"executor": "contract.other", **spec}
            definition = Definition(job_id, Spec(**given))
            new = Record(definition, rewritten(record, now, version=2).state)
            changes[job_id] = Change(new, at)
        return changes

    return decide


def _placed(instants: Mapping[str, int | None]) -> Any:
    """Put only the agenda entries of these jobs right."""

    def decide(records: Mapping[str, Record | None], _: int) -> dict[str, Change]:
        return {
            job_id: Change(records[job_id], at, index_only=True)
            for job_id, at in instants.items()
        }

    return decide


class IndexContract(ContractBase):
    """What is derived from records follows them, commit by commit."""

    async def test_an_agenda_is_in_order(self) -> None:
        """Earliest first, to the microsecond, whatever the order of writing."""
        async with self.opened() as [session]:
            now = await session.now()
            instants = [now + 2, now, now - 1, now + 1, 0, YEAR_2200, now + SECOND]
            ids = ids_in(0, len(instants))
            for job_id, at in zip(ids, instants, strict=True):
                await session.transact([job_id], create(at))
            [head] = await session.agenda([(0, "default")])
            assert [at for _, at in head.entries] == sorted(instants)
            assert dict(head.entries) == dict(zip(ids, instants, strict=True))
            assert (head.shard, head.queue, head.complete) == (0, "default", True)

    async def test_equal_instants(self) -> None:
        """Jobs of one instant all stand in the head."""
        async with self.opened() as [session]:
            ids = ids_in(1, 50)
            await session.transact(ids, create(5))
            assert await entries_of(session, 1) == dict.fromkeys(ids, 5)
            await session.transact(ids[:10], touch(5))
            assert await entries_of(session, 1) == dict.fromkeys(ids, 5)

    async def test_limit_and_completeness(self) -> None:
        """A head says whether more would follow."""
        async with self.opened() as [session]:
            ids = ids_in(0, 5)
            for at, job_id in enumerate(ids):
                await session.transact([job_id], create(at))
            for limit, complete in ((1, False), (4, False), (5, True), (100, True)):
                [head] = await session.agenda([(0, "default")], limit=limit)
                assert [job_id for job_id, _ in head.entries] == ids[:limit]
                assert head.complete is complete

    async def test_a_long_agenda(self) -> None:
        """Thousands of entries keep their order while they move."""
        async with self.opened() as [session]:
            ids = ids_in(2, 2_500)
            for start in range(0, len(ids), 100):
                part = ids[start : start + 100]
                await session.transact(part, create((start * 7_919) % 2_500))
            expected = {i: (n // 100 * 100 * 7_919) % 2_500 for n, i in enumerate(ids)}
            for start in range(0, 1_000, 100):
                part = ids[start : start + 100]
                await session.transact(part, touch(start), signal=False)
                expected.update(dict.fromkeys(part, start))
            for start in range(1_000, 1_500, 100):
                part = ids[start : start + 100]
                await session.transact(part, erase(), signal=False)
                for job_id in part:
                    del expected[job_id]
            [head] = await session.agenda([(2, "default")], limit=2_500)
            assert dict(head.entries) == expected
            assert [at for _, at in head.entries] == sorted(expected.values())
            assert head.complete

    async def test_nothing_to_look_at(self) -> None:
        """A job without an instant is in no head, and yet in the listing."""
        async with self.opened() as [session]:
            await session.transact(["job"], create(None))
            shard = shard_of("job", SHARDS)
            [head] = await session.agenda([(shard, "default")])
            assert (head.entries, head.complete) == ((), True)
            assert set(await everything(session)) == {"job"}
            await session.transact(["job"], touch(9))
            assert await entries_of(session, shard) == {"job": 9}
            await session.transact(["job"], touch(None))
            assert await entries_of(session, shard) == {}
            assert set(await everything(session)) == {"job"}

    async def test_far_instants(self) -> None:
        """The year 9999 is in the agenda too, if need be somewhat rounded."""
        async with self.opened() as [session]:
            first, second = ids_in(0, 2)
            await session.transact([second], create(YEAR_9999))
            await session.transact([first], create(1))
            [head] = await session.agenda([(0, "default")])
            assert [job_id for job_id, _ in head.entries] == [first, second]
            assert abs(head.entries[1][1] - YEAR_9999) < SECOND

    async def test_deletion(self) -> None:
        """A deleted job is in no agenda, listing or keyword."""
        async with self.opened() as [session]:
            ids = ids_in(0, 3)
            await session.transact(ids, create(1, keyword="k"))
            await session.transact(ids[:2], erase())
            assert await entries_of(session, 0) == {ids[2]: 1}
            assert set(await everything(session)) == {ids[2]}
            assert await subscribers(session, "k") == [ids[2]]
            # Deleting what is not there is nothing, and not an error.
            await session.transact(ids[:2], erase())
            assert set(await everything(session)) == {ids[2]}

    async def test_only_the_index(self) -> None:
        """``index_only`` moves the entry and leaves the record's bytes alone."""
        async with self.opened() as [session]:
            known, gone = ids_in(0, 2)
            await session.transact([known], create(1))
            before = await session.read([known])
            await session.transact([known, gone], _placed({known: 8, gone: None}))
            assert await entries_of(session, 0) == {known: 8}
            assert await session.read([known, gone]) == before
            await session.transact([known], _placed({known: None}))
            assert await entries_of(session, 0) == {}
            assert await session.read([known]) == before

    async def test_queues_are_kept_apart(self) -> None:
        """Each queue of a shard has an agenda of its own, told in order."""
        async with self.opened() as [session]:
            ids = ids_in(0, 3)
            for n, (job_id, queue) in enumerate(zip(ids, "abc", strict=True)):
                await session.transact([job_id], create(n, queue=queue))
            asked = [(0, "c"), (1, "a"), (0, "a"), (0, "never used"), (0, "b")]
            heads = await session.agenda(asked)
            assert [(head.shard, head.queue) for head in heads] == asked
            found = [dict(head.entries) for head in heads]
            assert found == [{ids[2]: 2}, {}, {ids[0]: 0}, {}, {ids[1]: 1}]
            assert all(head.complete for head in heads)
            assert not await session.agenda([])

    async def test_a_change_of_queue(self) -> None:
        """It moves the entry, at the same instant and at another one."""
        async with self.opened() as [session]:
            await session.transact(["job"], create(3, queue="old"))
            shard = shard_of("job", SHARDS)
            for queue, at in (("new", 3), ("old", 4), ("new", None), ("old", 5)):
                await session.transact(["job"], _respecified(at, queue=queue))
                other = "old" if queue == "new" else "new"
                expected = {} if at is None else {"job": at}
                assert await entries_of(session, shard, queue) == expected
                assert await entries_of(session, shard, other) == {}
            await session.transact(["job"], erase())
            assert await entries_of(session, shard, "old") == {}
            assert await entries_of(session, shard, "new") == {}

    async def test_keywords(self) -> None:
        """Subscribers come and go with the records, sorted, in all shards."""
        async with self.opened() as [session]:
            ids = [f"job-{n}" for n in range(20)]
            for job_id in ids:
                await session.transact([job_id], create(keyword="auftrag-ß|:é"))
            assert await subscribers(session, "auftrag-ß|:é") == sorted(ids)
            assert await subscribers(session, "auftrag") == []
            await session.transact(ids[:1], _respecified(None, keyword="other"))
            await session.transact(ids[1:2], _respecified(None))
            await session.transact(ids[2:3], erase())
            assert await subscribers(session, "auftrag-ß|:é") == sorted(ids[3:])
            assert await subscribers(session, "other") == ids[:1]
            # A write that does not touch the spec does not unsubscribe.
            await session.transact(ids[3:4], touch(1))
            await session.transact(ids[3:4], claim("me"))
            assert ids[3] in await subscribers(session, "auftrag-ß|:é")

    async def test_paging_sees_everything(self) -> None:
        """Whatever comes, goes and changes meanwhile, who stays is listed."""
        async with self.opened(2) as [one, two]:
            staying = [f"stays-{n}" for n in range(120)]
            leaving = [f"leaves-{n}" for n in range(60)]
            for n, job_id in enumerate(staying + leaving):
                await one.transact([job_id], create(n if n % 2 else None))
            found: set[str] = set()
            cursor: str | None = None
            pages = 0
            while pages < 1_000:
                page = await one.list(cursor=cursor, limit=10)
                found.update(record.definition.id for record in page.records)
                cursor = page.cursor
                pages += 1
                if cursor is None:
                    break
                await self._churn(two, pages, leaving, staying)
            assert cursor is None
            assert set(staying) <= found
            assert pages > 1

    async def _churn(
        self, session: Session, page: int, leaving: list[str], staying: list[str]
    ) -> None:
        if leaving:
            await session.transact([leaving.pop()], erase())
        await session.transact([f"comes-{page}"], create(page))
        moved = staying[page % len(staying)]
        at = None if page % 3 == 0 else page * 17
        await session.transact([moved], touch(at))

    async def test_an_empty_listing(self) -> None:
        """It ends."""
        async with self.opened() as [session]:
            assert await everything(session) == {}

    async def test_namespaces_are_kept_apart(self) -> None:
        """The same id in two namespaces of one store is two jobs."""
        store = await self.make_store()
        names = [f"contract-{random_id()}" for _ in range(2)]
        async with (
            self.sessions(store, names[0]) as [one],
            self.sessions(store, names[1]) as [two],
        ):
            await one.transact(["job"], create(1, keyword="k", queue="q"))
            await one.transact(["job"], claim("me"))
            assert await two.read(["job"]) == {}
            assert await everything(two) == {}
            assert await subscribers(two, "k") == []
            assert await entries_of(two, shard_of("job", SHARDS), "q") == {}
            pulses = [
                await session.beat(Beat(None, "peer", tuple(range(SHARDS))))
                for session in (one, two)
            ]
            assert pulses[1].queues == ()
            assert pulses[0].epoch != pulses[1].epoch
            await two.transact(["job"], create(2))
            await two.transact(["job"], erase())
            assert set(await one.read(["job"])) == {"job"}
