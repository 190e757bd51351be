"""What runs say of how far they are, and who sees it when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import ConfigurationError, Context, Job, MemoryJobStore, Outcome, Retry
from aiosched.jobs.progress import LONGEST_NOTE, reported
from aiosched.records import Reported
from aiosched.testing.faults import Fault, FaultyStore
from tests.engine.kit import World, at, now

pytestmark = pytest.mark.virtual(timeout=100_000)

THIRD = 5.0


async def steps(context: Context, count: int, pause: float = 10.0) -> str:
    """Say after each step how far it is."""
    for number in range(count):
        context.progress(number / count, f"step {number}")
        await asyncio.sleep(pause)
    return "done"


async def test_every_peer_sees_how_far_a_run_is() -> None:
    async with World() as world:
        p0 = world.build("p0")
        p0.register(steps)
        await world.start(p0)
        client = await world.peer("client", run_jobs=False)
        job = await p0.schedule(Job("steps", id="a", kwargs={"count": 4}))
        assert (await client.get_job("a")).progress is None
        seen = []
        for _ in range(4):
            await asyncio.sleep(THIRD + 0.5)
            progress = (await client.get_job("a")).progress
            assert progress is not None
            seen.append((progress.done, progress.note))
            [running] = await client.running()
            assert running.progress == progress
            assert at(now() - 2 * THIRD) <= progress.at <= at(now())
            await asyncio.sleep(10 - THIRD - 0.5)
        assert seen == [(n / 4, f"step {n}") for n in range(4)]
        assert await client.result(job) == "done"
        assert await client.running() == []


async def test_an_event_tells_of_each_word_that_was_written() -> None:
    """Many words between two extensions are one."""
    async with World() as world:
        p0 = world.build("p0")
        told = p0.events("run_progress")

        @p0.executor
        async def busy(context: Context) -> None:
            for number in range(1_000):
                context.progress(number / 1_000)
                await asyncio.sleep(0.02)
            context.progress(note="nearly")
            await asyncio.sleep(20)

        await world.start(p0)
        await p0.wait(await p0.schedule(Job("busy", id="b")))
        await p0.shutdown()
        events = [event async for event in told]
        done = [event.data["done"] for event in events]
        assert 3 <= len(events) <= 6
        assert done[:-1] == sorted(done[:-1])
        assert events[-1].data["note"] == "nearly"
        assert events[-1].data["done"] is None
        assert {event.job_id for event in events} == {"b"}


async def test_who_says_nothing_writes_nothing_more() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 60}))
        await asyncio.sleep(30)
        [record] = (await p0._opened().read(["a"])).values()
        assert record.state.runs[0].progress is None
        assert (await p0.get_job("a")).progress is None
        assert (await p0.running())[0].progress is None


async def test_several_runs_of_a_job_are_told_apart() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def part(context: Context, number: int) -> None:
            context.progress(number / 10, f"part {number}")
            await asyncio.sleep(30)

        await world.start(p0)
        job = Job("part", id="a", keyword="k", overlap="allow", max_running=3)
        await p0.schedule(job)
        for number in range(3):
            await p0.fire_job("k", {"number": number})
        await asyncio.sleep(THIRD * 2 + 1)
        notes = {run.progress and run.progress.note for run in await p0.running()}
        assert notes == {"part 0", "part 1", "part 2"}
        assert (await p0.get_job("a")).progress is not None


async def test_an_outage_of_the_store_does_the_run_no_harm() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = world.build("p0")

        @p0.executor
        async def busy(context: Context) -> str:
            store.plan(Fault("transact", times=None))
            for number in range(100):
                context.progress(number / 100)
                await asyncio.sleep(0.1)
            store.heal()
            await asyncio.sleep(20)
            return "done"

        await world.start(p0)
        run = await p0.wait(await p0.schedule(Job("busy")))
        assert (run.outcome, run.result) == (Outcome.SUCCEEDED, "done")


async def test_the_next_attempt_begins_anew() -> None:
    async with World() as world:
        p0, begun = world.build("p0"), asyncio.Event()

        @p0.executor
        async def fails(context: Context) -> None:
            if context.attempt == 1:
                context.progress(0.9)
            else:
                begun.set()
            await asyncio.sleep(10)
            raise LookupError

        await world.start(p0)
        await p0.schedule(Job("fails", id="a", retry=Retry(attempts=2)))
        await asyncio.sleep(8)
        first = (await p0.get_job("a")).progress
        assert first is not None
        assert first.done == 0.9
        await begun.wait()
        await asyncio.sleep(8)
        assert (await p0.running())[0].attempt == 2
        assert (await p0.get_job("a")).progress is None


@pytest.mark.parametrize(
    ("done", "share"), [(0, 0), (1, 10_000), (0.5, 5_000), (-3, 0), (1.0001, 10_000)]
)
def test_what_is_beyond_is_the_nearer_end(done: float, share: int) -> None:
    assert reported(done, "") == Reported(share, "")


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        ("  two\nlines ", "two lines"),
        ("a\x00b\ud800", "a?b?"),
        ("x" * 300, "x" * (LONGEST_NOTE - 1) + "…"),
        ("|,;~% größe", "|,;~% größe"),
    ],
)
def test_a_note_is_made_fit(note: str, kept: str) -> None:
    assert reported(None, note) == Reported(None, kept)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("done", ("half", "")),
        ("done", (True, "")),
        ("done", (float("nan"), "")),
        ("note", (None, 5)),
    ],
)
def test_what_is_no_progress_is_refused(field: str, given: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        reported(*given)
    assert caught.value.field == field
