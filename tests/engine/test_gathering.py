"""Calls of ``schedule`` that come in while others are on their way go together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from aiosched import Job, JobExistsError, MemoryJobStore, Scheduler
from aiosched._api import gathering
from aiosched._api.defining import planning
from aiosched.enums import RowKind
from aiosched.errors import (
    SchedulerStateError,
    StoreConflictError,
    StoreDataError,
    StoreError,
    StoreUnavailableError,
)
from aiosched.testing import Fault, FaultyStore
from tests.engine.kit import World, after

virtual = pytest.mark.virtual(timeout=1_000)

Task = asyncio.Task[Job]


def job(name: str, **options: Any) -> Job:
    return Job("work", id=name, when=after(3_600), **options)


class Held:
    """A client of a store that holds transactions up until it is told otherwise.

    Attributes:
        gone: The ids of each transaction that was begun, in order.
    """

    def __init__(self, store: FaultyStore, client: Scheduler) -> None:
        self.store, self.client = store, client
        self.gone: list[tuple[str, ...]] = []
        session: Any = client._session
        inner = session.transact

        async def transact(ids: Any, *args: Any, **options: Any) -> Any:
            self.gone.append(tuple(ids))
            return await inner(ids, *args, **options)

        session.transact = transact

    def fault(self, kind: Any = "hang", *, least: int = 1, **options: Any) -> None:
        """Plan what befalls transactions of at least so many ids."""
        chosen = {"match": lambda ids, **_: len(ids) >= least, "times": None}
        self.store.plan(Fault("transact", kind=kind, **{**chosen, **options}))

    def schedule(self, *jobs: Job, **options: Any) -> list[Task]:
        return [asyncio.ensure_future(self.client.schedule(j, **options)) for j in jobs]

    async def begin(self, *jobs: Job) -> list[Task]:
        """Hold up the first of some calls and, behind it, a company of the rest."""
        self.fault()
        tasks = self.schedule(job("first"), *jobs)
        await self.store.hung(2 if jobs else 1)
        return tasks

    async def stored(self) -> set[str]:
        page = await self.client._opened().list(limit=1_000)
        return {record.definition.id for record in page.records}


@asynccontextmanager
async def held() -> AsyncIterator[Held]:
    store = FaultyStore(MemoryJobStore())
    async with World(store, terms={"shards": 1}) as world:
        found = Held(store, await world.peer("client", run_jobs=False))
        try:
            yield found
        finally:
            store.heal()


@virtual
async def test_who_comes_meanwhile_goes_in_company() -> None:
    async with held() as all_:
        names = [f"j{n}" for n in range(9)]
        tasks = await all_.begin(*map(job, names))
        all_.store.heal()
        shown = await asyncio.gather(*tasks)
        assert [one.id for one in shown] == ["first", *names]
        assert {one.version for one in shown} == {1}
        assert all_.gone == [("first",), tuple(names)]


@virtual
async def test_who_comes_alone_goes_at_once_and_needs_no_task() -> None:
    async with held() as all_:
        before = asyncio.all_tasks()
        tasks = await all_.begin()
        assert asyncio.all_tasks() - before == set(tasks)
        all_.store.heal()
        await asyncio.gather(*tasks)


@virtual
async def test_each_has_options_and_an_error_of_its_own() -> None:
    async with held() as all_:
        for name in ("a", "b", "c", "d"):
            await all_.client.schedule(job(name))
        all_.gone.clear()
        all_.fault()
        tasks = all_.schedule(job("first"), job("a", note="x"), job("b", note="x"))
        tasks += all_.schedule(job("c", note="x"), on_conflict="replace", by="me")
        tasks += all_.schedule(job("d", note="x"), on_conflict="keep")
        await all_.store.hung(2)
        all_.store.heal()
        _, a, b, c, d = await asyncio.gather(*tasks, return_exceptions=True)
        assert all_.gone == [("first",), ("a", "b", "c", "d")]
        assert isinstance(a, JobExistsError)
        assert isinstance(b, JobExistsError)
        assert (a.job_id, b.job_id) == ("a", "b")
        assert isinstance(c, Job)
        assert isinstance(d, Job)
        assert (c.note, c.version) == ("x", 2)
        assert (d.note, d.version) == ("", 1)
        rows = await all_.client.history("c", kind=RowKind.MODIFIED)
        assert [row.by for row in rows] == ["me"]


WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@virtual
async def test_each_decides_in_its_own_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers may be code of the user's own, and so are listeners."""
    decided: dict[str, str] = {}
    told: dict[str, str] = {}
    inner = planning.schedule

    def schedule(definition: Any, *args: Any, **options: Any) -> Any:
        decided[definition.id] = WHO.get()
        if definition.id == "bad":
            raise ZeroDivisionError
        return inner(definition, *args, **options)

    monkeypatch.setattr(planning, "schedule", schedule)
    async with held() as all_:
        all_.client.on("job_scheduled", lambda e: told.update({e.job_id: WHO.get()}))

        async def by(name: str) -> Job:
            WHO.set(name)
            return await all_.client.schedule(job(name))

        all_.fault()
        names = ("first", "a", "bad", "c")
        tasks = [asyncio.ensure_future(by(name)) for name in names]
        await all_.store.hung(2)
        all_.store.heal()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert decided == {name: name for name in names}
        assert told == {name: name for name in names if name != "bad"}
        assert isinstance(ends[2], ZeroDivisionError)
        assert await all_.stored() == {"first", "a", "c"}


@virtual
async def test_a_company_that_is_refused_goes_again_one_by_one() -> None:
    async with held() as all_:
        refusal = StoreDataError("key", "is of another type")
        all_.fault(times=1)
        all_.fault("error", error=refusal, match=lambda ids, **_: "bad" in ids)
        tasks = all_.schedule(*map(job, ("first", "a", "bad", "c")))
        a, bad, c = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert isinstance(a, Job)
        assert bad is refusal
        assert isinstance(c, Job)
        assert all_.gone[:2] == [("first",), ("a", "bad", "c")]
        assert sorted(all_.gone[2:]) == [("a",), ("bad",), ("c",)]
        assert not tasks[0].done()


@virtual
async def test_a_company_that_may_have_been_written_is_not_sent_again() -> None:
    """Its jobs may have run by then, and be gone."""
    async with held() as all_:
        all_.fault(times=1)
        all_.fault("lost_reply", least=2)
        tasks = all_.schedule(job("first"), job("a"), job("b"))
        ends = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert [type(one) for one in ends] == [StoreUnavailableError] * 2
        assert ends[0] is not ends[1]
        assert all_.gone == [("first",), ("a", "b")]
        assert await all_.stored() == {"a", "b"}


@virtual
async def test_what_failed_in_part_is_told_to_whom_it_concerns() -> None:
    async with held() as all_:
        session: Any = all_.client._session
        inner = session.transact

        async def in_part(ids: Any, *args: Any, **options: Any) -> Any:
            changes = await inner(ids, *args, **options)
            if len(ids) > 1:
                error = StoreDataError("k:word", "is of another type")
                error.jobs = frozenset({"b"})
                raise error
            return changes

        session.transact = in_part
        told: list[str | None] = []
        all_.client.on("job_scheduled", lambda event: told.append(event.job_id))
        all_.fault(times=1)
        tasks = all_.schedule(*map(job, ("first", "a", "b", "c")))
        a, b, c = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert isinstance(a, Job)
        assert isinstance(b, StoreDataError)
        assert isinstance(c, Job)
        assert told == ["a", "c"]
        assert all_.gone == [("first",), ("a", "b", "c")]


@virtual
async def test_a_refused_call_keeps_its_place_before_later_ones_of_its_id() -> None:
    async with held() as all_:
        refused = asyncio.Event()
        session: Any = all_.client._session
        inner = session.transact

        async def transact(ids: Any, *args: Any, **options: Any) -> Any:
            if len(ids) > 1 and "x" in ids and not refused.is_set():
                await refused.wait()
                error = StoreError("somebody's fault")
                error.unwritten = True
                raise error
            await asyncio.sleep(0.01)
            return await inner(ids, *args, **options)

        session.transact = transact
        tasks = all_.schedule(job("first"), job("x", note="one"), job("w"))
        await asyncio.sleep(0.001)
        tasks += all_.schedule(job("x", note="two"), on_conflict="replace")
        await asyncio.sleep(1)

        async def meanwhile() -> Job:
            await refused.wait()
            return await all_.client.schedule(job("z"))

        tasks.append(asyncio.ensure_future(meanwhile()))
        await asyncio.sleep(0)
        refused.set()
        shown = await asyncio.gather(*tasks)
        assert [(one.note, one.version) for one in (shown[1], shown[3])] == [
            ("one", 1),
            ("two", 2),
        ]


@virtual
async def test_many_calls_about_one_id_keep_nobody_else_waiting() -> None:
    async with held() as all_:
        same = [job("x", note=str(n)) for n in range(300)]
        tasks = await all_.begin()
        tasks += all_.schedule(*same, on_conflict="replace")
        tasks += all_.schedule(job("a"), job("b"))
        await all_.store.hung(2)
        assert all_.gone == [("first",), ("x", "a", "b")]
        all_.store.heal()
        shown = await asyncio.gather(*tasks)
        assert [one.version for one in shown[1:-2]] == [*range(1, 301)]


def test_a_task_factory_that_fails_is_told_to_whom_it_concerns() -> None:
    """One that takes no keywords, as older ones do, serves."""

    def plain(loop: Any, coroutine: Any) -> Any:
        return asyncio.Task(coroutine, loop=loop)

    def failing(loop: Any, coroutine: Any) -> Any:
        if "_carry" in coroutine.__qualname__:
            raise ZeroDivisionError("no task")
        return plain(loop, coroutine)

    async def main() -> None:
        loop, store = asyncio.get_running_loop(), FaultyStore(MemoryJobStore())
        async with Scheduler(store, run_jobs=False, terms={"shards": 1}) as client:
            client.register(plain, name="work")
            all_ = Held(store, client)
            loop.set_task_factory(plain)
            all_.fault(times=1)
            tasks = all_.schedule(far("first"), far("a"), far("b"))
            await asyncio.gather(*tasks[1:])
            loop.set_task_factory(failing)
            lost = all_.schedule(far("c"), far("d"))
            ends = await asyncio.gather(*lost, return_exceptions=True)
            loop.set_task_factory(None)
            assert [type(one) for one in ends] == [ZeroDivisionError] * 2
            again = all_.schedule(far("c"), far("d"))
            await asyncio.gather(*again)
            store.heal()
            await tasks[0]

    def far(name: str) -> Job:
        return Job("work", id=name, when="2190-01-01T00:00:00Z", args=[1, 2])

    asyncio.run(main())


@virtual
async def test_one_that_is_always_overtaken_stops_no_other_of_many() -> None:
    async with held() as all_:
        session: Any = all_.client._session
        inner = session.transact

        async def transact(ids: Any, *args: Any, **options: Any) -> Any:
            if "j7" in ids:
                raise StoreConflictError("a transaction", 16)
            return await inner(ids, *args, **options)

        session.transact = transact
        with pytest.raises(StoreConflictError):
            await all_.client.schedule_many([job(f"j{n}") for n in range(30)])
        assert await all_.stored() == {f"j{n}" for n in range(30) if n != 7}


@virtual
async def test_one_whose_decision_fails_stops_no_other_of_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = planning.schedule

    def schedule(definition: Any, *args: Any, **options: Any) -> Any:
        if definition.id == "j7":
            raise ZeroDivisionError
        return inner(definition, *args, **options)

    monkeypatch.setattr(planning, "schedule", schedule)
    async with held() as all_:
        with pytest.raises(ZeroDivisionError):
            await all_.client.schedule_many([job(f"j{n}") for n in range(30)])
        assert await all_.stored() == {f"j{n}" for n in range(30) if n != 7}


@virtual
async def test_a_store_that_hangs_is_waited_for_once() -> None:
    async with held() as all_:
        session: Any = all_.client._session
        calls: list[list[str]] = []

        async def away(ids: list[str], *_: Any, **__: Any) -> Mapping[str, Any]:
            calls.append(list(ids))
            await asyncio.sleep(gathering._SILENCE + 1)
            raise StoreUnavailableError("no answer") from TimeoutError("five seconds")

        session.transact = away
        tasks = all_.schedule(job("first"), job("a"), job("b"))
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert calls == [["first"], ["a", "b"]]
        assert [type(one) for one in ends] == [StoreUnavailableError] * 3
        assert len({id(one) for one in ends}) == 3
        assert {str(one) for one in ends} == {"no answer"}
        assert all(isinstance(one.__cause__, TimeoutError) for one in ends)  # type: ignore[union-attr]


@virtual
async def test_who_is_cancelled_before_the_decision_is_not_written() -> None:
    async with held() as all_:
        tasks = await all_.begin(job("a"), job("b"))
        late = all_.schedule(job("c"), job("d"))
        await asyncio.sleep(0)
        tasks[1].cancel()  # in a company that has departed
        late[0].cancel()  # and in none yet
        await asyncio.wait([tasks[1], late[0]])
        all_.store.heal()
        await asyncio.wait([*tasks, *late])
        assert [task.cancelled() for task in tasks] == [False, True, False]
        assert [task.cancelled() for task in late] == [True, False]
        assert await all_.stored() == {"first", "b", "d"}
        assert all_.gone == [("first",), ("a", "b"), ("d",)]


@virtual
async def test_who_is_cancelled_behind_the_decision_is_written() -> None:
    """As is a call that goes alone; the others of its company hear nothing of it."""
    async with held() as all_:
        session: Any = all_.client._session
        inner, answer = session.transact, asyncio.Event()

        async def slow(*args: Any, **options: Any) -> Any:
            changes = await inner(*args, **options)
            await answer.wait()
            return changes

        session.transact = slow
        tasks = all_.schedule(job("first"), job("a"), job("b"))
        await asyncio.sleep(1)
        assert await all_.stored() == {"first", "a", "b"}
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.wait(tasks[:2])
        answer.set()
        assert (await tasks[2]).id == "b"
        assert await all_.stored() == {"first", "a", "b"}


@virtual
async def test_calls_about_one_id_keep_their_order() -> None:
    async with held() as all_:
        all_.fault()
        notes = ["one", "two", "three"]
        jobs = [job("a", note=note) for note in notes]
        tasks = all_.schedule(job("first"), *jobs, job("b"), on_conflict="replace")
        await all_.store.hung(2)
        all_.store.heal()
        _, *shown, _ = await asyncio.gather(*tasks)
        assert [(one.note, one.version) for one in shown] == [
            ("one", 1),
            ("two", 2),
            ("three", 3),
        ]
        assert all_.gone == [("first",), ("a", "b"), ("a",), ("a",)]


@virtual
async def test_the_same_id_waits_for_who_went_alone() -> None:
    async with held() as all_:
        tasks = await all_.begin()
        tasks += all_.schedule(job("first", note="later"), on_conflict="replace")
        await asyncio.sleep(1)
        all_.store.heal()
        shown = await asyncio.gather(*tasks)
        assert [(one.note, one.version) for one in shown] == [("", 1), ("later", 2)]


@virtual
async def test_a_large_job_goes_alone_and_keeps_nobody_waiting() -> None:
    async with held() as all_:
        large = job("large", kwargs={"value": "x" * 100_000})
        all_.fault(least=1, times=2)  # the first, and the large one
        tasks = all_.schedule(job("first"), large)
        await all_.store.hung(2)
        shown = await asyncio.gather(*all_.schedule(job("a"), job("b")))
        assert [one.id for one in shown] == ["a", "b"]
        assert all_.gone == [("first",), ("large",), ("a", "b")]
        assert not any(task.done() for task in tasks)
        all_.store.heal()
        await asyncio.gather(*tasks)


@virtual
async def test_companies_are_bounded_by_number_and_by_bytes() -> None:
    async with held() as all_:
        half = {"value": "x" * (gathering._BYTES // 2 - 100)}
        some = [job(f"j{n}") for n in range(250)]
        tasks = await all_.begin(*some)
        tasks += all_.schedule(*[job(f"k{n}", kwargs=half) for n in range(6)])
        await asyncio.sleep(0)
        all_.store.heal()
        await asyncio.gather(*tasks)
        assert [len(ids) for ids in all_.gone[:3]] == [1, 100, 100]
        assert [ids[-2:] for ids in all_.gone[3:]] == [
            ("k0", "k1"),
            ("k2", "k3"),
            ("k4", "k5"),
        ]


@virtual
async def test_the_end_of_the_scheduler_ends_whoever_waits_or_flies() -> None:
    async with held() as all_:
        flying = await all_.begin(job("a"), job("b"))
        waiting = all_.schedule(job("c"), job("d"))
        await asyncio.sleep(0)
        await all_.client.shutdown()
        all_.store.heal()
        ends = await asyncio.gather(*flying, *waiting, return_exceptions=True)
        assert all(isinstance(one, StoreError) for one in ends), ends
        assert len({id(one) for one in ends}) == len(ends)
        with pytest.raises(SchedulerStateError):
            await all_.client.schedule(job("e"))


@virtual
async def test_a_company_that_somebody_cancels_goes_again_one_by_one() -> None:
    async with held() as all_:
        for steps in (0, 1, 5):
            names = [f"{name}{steps}" for name in ("first", "a", "b")]
            before = asyncio.all_tasks()
            all_.fault(times=1)
            tasks = all_.schedule(*map(job, names))
            await all_.store.hung(1)
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in asyncio.all_tasks() - before - set(tasks):
                if task.get_name() == "aiosched gathering":
                    task.cancel()
            all_.store.heal()
            shown = await asyncio.gather(*tasks)
            assert [one.id for one in shown] == names


@virtual
async def test_the_same_id_waits_for_a_large_one() -> None:
    async with held() as all_:
        tasks = await all_.begin()
        large = job("a", kwargs={"value": "x" * 100_000})
        tasks += all_.schedule(large, job("a"), on_conflict="replace")
        await all_.store.hung(2)
        assert all_.gone == [("first",), ("a",)]
        all_.store.heal()
        shown = await asyncio.gather(*tasks)
        assert [(one.version, len(one.kwargs)) for one in shown[1:]] == [(1, 1), (2, 0)]


@virtual
async def test_of_many_at_once_nothing_goes_on_behind_an_error() -> None:
    async with held() as all_:
        all_.fault("refuse", nth=3, times=1)
        all_.fault("delay", seconds=1.0)
        with pytest.raises(StoreUnavailableError):
            await all_.client.schedule_many([job(f"j{n}") for n in range(1_000)])
        gone, stored = len(all_.gone), await all_.stored()
        assert gone < 10
        assert len(stored) == 100 * (gone - 1)
        await asyncio.sleep(10)
        assert (len(all_.gone), await all_.stored()) == (gone, stored)


def test_the_end_of_the_loop_hangs_on_nobody() -> None:
    tasks: list[Task] = []

    async def main() -> None:
        store = FaultyStore(MemoryJobStore())
        client = Scheduler(store, run_jobs=False, terms={"shards": 1})
        client.register(test_the_end_of_the_loop_hangs_on_nobody, name="work")
        await client.start()
        all_ = Held(store, client)
        tasks.extend(await all_.begin(job("a"), job("b")))
        tasks.extend(all_.schedule(job("c")))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [task.cancelled() for task in tasks] == [True] * 4
