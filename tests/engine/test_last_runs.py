"""A run that says that its job is to run no more."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from aiosched import (
    CancelJob,
    Context,
    Event,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    JobState,
    Outcome,
    Reason,
    RunCancelledError,
    Scheduler,
)
from aiosched.enums import RowKind
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, now

virtual = pytest.mark.virtual(timeout=100_000)


class Enough(CancelJob):
    """A wish with a name of the user's own."""


def wish(how: str) -> Any:
    match how:
        case "returned class":
            return CancelJob
        case "returned":
            return CancelJob("enough")
        case "raised class":
            raise CancelJob
        case "raised":
            raise CancelJob("enough")
        case "own class":
            raise Enough({"left": 0})
        case _:
            return how


NOTES = {
    "returned class": None,
    "returned": "enough",
    "raised class": None,
    "raised": "enough",
    "own class": {"left": 0},
}


@pytest.mark.parametrize("threaded", [False, True], ids=["loop", "thread"])
@pytest.mark.parametrize("how", NOTES)
async def test_the_job_is_gone_with_the_run_that_says_so(
    make_scheduler: MakeScheduler, *, how: str, threaded: bool
) -> None:
    ran: list[int] = []

    async def coroutine() -> Any:
        ran.append(1)
        return wish(how)

    def function() -> Any:
        ran.append(1)
        return wish(how)

    async with AsyncExitStack() as stack:
        peer, client = make_scheduler("p0"), make_scheduler("c", run_jobs=False)
        peer.register(function if threaded else coroutine, name="work")
        told: list[Event] = []
        peer.on("*", told.append)
        for each in (peer, client):
            await stack.enter_async_context(each)
        trigger = IntervalTrigger(milliseconds=200)
        await client.schedule(Job("work", id="a", trigger=trigger))
        run = await client.wait("a", timeout=10)
        assert (run.outcome, run.reason, run.final) == (
            Outcome.SUCCEEDED,
            Reason.NONE,
            True,
        )
        assert run.result == NOTES[how]
        await asyncio.sleep(0.5)
        assert ran == [1]
        with pytest.raises(JobNotFoundError):
            await client.get_job("a")
        assert await client.state("a") is JobState.REMOVED
        rows = await client.history("a")
        (removed,) = [row for row in rows if row.kind is RowKind.REMOVED]
        assert removed.reason is Reason.ITSELF
        mine = [event for event in told if event.job_id == "a"]
        assert [event.name for event in mine] == [
            "run_started",
            "run_ended",
            "job_removed",
        ]
        assert mine[-1].data["reason"] == "itself"


@pytest.mark.parametrize("value", ["CancelJob", 1, None, ["CancelJob"]])
@virtual
async def test_what_only_looks_like_it_ends_nothing(value: Any) -> None:
    async with World() as world:
        p0 = world.build("p0", work=False)

        @p0.executor
        async def work() -> Any:
            return value

        await world.start(p0)
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=1)))
        await asyncio.sleep(5.5)
        assert (await p0.get_job("a")).counts.succeeded == 5


@virtual
async def test_its_other_runs_are_stopped_wherever_they_are() -> None:
    async with World() as world:
        for n in range(3):
            peer = world.build(f"p{n}", max_concurrency=2, work=False)

            @peer.executor
            async def work(context: Context, name: str = peer.name) -> Any:
                ran = world.note(name, context)
                try:
                    await asyncio.sleep(2 if ran.fire_time == 12.0 else 60)
                finally:
                    ran.until, ran.reason = now(), context.cancel_reason
                return CancelJob

            await world.start(peer)
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        trigger = IntervalTrigger(seconds=1)
        job = Job("work", id="a", trigger=trigger, overlap="allow", max_running=6)
        await p0.schedule(job)
        await asyncio.sleep(40)
        assert [ran.fire_time for ran in world.runs] == [7.0, 8.0, 9.0, 10, 11, 12]
        assert {ran.peer for ran in world.runs} == {"p0", "p1", "p2"}
        for ran in world.runs[:5]:
            assert ran.reason is Reason.REMOVED
            assert ran.until is not None
            assert 14.0 <= ran.until < 14.5, "heard of by a signal"
        rows = await p0.history("a")
        kinds = [row.kind for row in rows if row.run]
        assert kinds.count(RowKind.CANCELLED) == 5
        assert kinds.count(RowKind.SUCCEEDED) == 1


@virtual
async def test_what_waits_is_cancelled_with_the_job() -> None:
    async with World() as world:
        p0 = world.build("p0", work=False)

        @p0.executor
        async def work() -> Any:
            await asyncio.sleep(5)
            return CancelJob("done")

        await world.start(p0)
        await p0.schedule(Job("work", id="a", keyword="k", overlap="queue"))
        firings = [(await p0.fire_job("k", fire_id=f"f{n}"))[0] for n in range(3)]
        assert await p0.result(firings[0]) == "done"
        for firing in firings[1:]:
            with pytest.raises(RunCancelledError) as caught:
                await p0.result(firing)
            assert caught.value.run.reason is Reason.REMOVED


@virtual
async def test_a_wish_that_comes_after_the_time_limit_is_too_late() -> None:
    async with World() as world:
        p0 = world.build("p0", work=False)

        @p0.executor
        async def work() -> Any:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise CancelJob("late") from None

        await world.start(p0)
        trigger = IntervalTrigger(seconds=10)
        await p0.schedule(Job("work", id="a", trigger=trigger, timeout=5))
        run = await p0.wait("a")
        assert (run.outcome, run.reason) == (Outcome.TIMED_OUT, Reason.TIMEOUT)
        assert run.result == "late"
        assert (await p0.get_job("a")).state is JobState.ACTIVE


@virtual
async def test_a_wish_of_a_run_that_was_taken_over_changes_nothing() -> None:
    async with World() as world:
        for n in range(2):
            peer = world.build(f"p{n}", work=False)

            @peer.executor
            async def work(context: Context, name: str = peer.name) -> Any:
                world.note(name, context)
                await asyncio.sleep(20)
                return CancelJob if context.attempt == 1 else "kept"

            await world.start(peer)
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        job = Job("work", id="a", keyword="k")
        await p0.schedule(job)
        (firing,) = await p0.fire_job("k")
        await asyncio.sleep(1)
        (first,) = world.runs
        asyncio.get_running_loop().stall(first.peer, 60)  # type: ignore[attr-defined]
        other: Scheduler = world.peers["p1" if first.peer == "p0" else "p0"]
        assert await other.result(firing) == "kept"
        await asyncio.sleep(100)
        assert (await other.get_job("a")).counts.succeeded == 1


def test_it_is_no_error_of_the_tree() -> None:
    from aiosched import AioschedError

    assert not issubclass(CancelJob, AioschedError)
    assert CancelJob("why").note == "why"
    assert str(CancelJob("why")) == "why"
    assert CancelJob().note is None
