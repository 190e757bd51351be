"""Binding arguments, tags, and what a job says of itself: S1-P08, P09, P16."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest

from aiosched import (
    ConfigurationError,
    Context,
    IntervalTrigger,
    Job,
    JobState,
    Outcome,
    every,
)
from tests.engine.kit import World, at
from tests.seeds.stage import Stage

TENTH = IntervalTrigger(milliseconds=100)

# --- S1-P08: arguments are bound, and decorators may be stacked ---


class Box:
    """An object whose method is a job."""

    def __init__(self) -> None:
        self.emptied: list[tuple[str, int]] = []

    async def empty(self, context: Context, n: int = 0) -> None:
        """Note that it was called, and as which job."""
        self.emptied.append((context.job_id, n))


@pytest.mark.seed("S1-P08")
async def test_stacked_decorators_are_jobs_with_arguments_of_their_own(
    stage: Stage,
) -> None:
    """``@repeat(every()...)`` of the original is ``@scheduler.job(every()...)``."""
    called: list[tuple[str, tuple[int, ...], str]] = []
    async with stage:
        peer = stage.build("peer")

        async def greet(context: Context, *numbers: int, name: str = "all") -> str:
            called.append((context.job_id, numbers, name))
            return name

        inner = peer.job(TENTH, id="ann", kwargs={"name": "ann"})
        outer = peer.job(every().second, id="bob", args=[1, 2])
        once = peer.job(keyword="now", kwargs={"name": "carl"})
        assert once(outer(inner(greet))) is greet
        await peer.start()
        jobs = {job.id: job for job in await peer.get_jobs()}
        assert jobs.keys() == {"ann", "bob", "greet"}
        assert {job.executor for job in jobs.values()} == {"greet"}
        assert (jobs["ann"].kwargs, jobs["bob"].args) == ({"name": "ann"}, (1, 2))
        assert jobs["ann"].trigger != jobs["bob"].trigger
        [fired] = await peer.fire_job("now")
        for what in ("ann", "bob", fired):
            assert (await peer.wait(what, timeout=5)).outcome is Outcome.SUCCEEDED
        assert set(called) == {
            ("ann", (), "ann"),
            ("bob", (1, 2), "all"),
            ("greet", (), "carl"),
        }


@pytest.mark.seed("S1-P08")
async def test_bound_methods_are_jobs_too(stage: Stage) -> None:
    """Which the original's decorator cannot do."""
    async with stage:
        peer = stage.build("peer")
        box, other = Box(), Box()
        assert peer.job(TENTH, id="box")(box.empty) == box.empty
        peer.job(keyword="now", id="again", kwargs={"n": 7})(box.empty)
        # Another object's method needs a name of its own, and has it for good.
        peer.register(other.empty, name="other")
        peer.job(keyword="now", id="other-box")(other.empty)
        await peer.start()
        for firing in await peer.fire_job("now"):
            await peer.wait(firing, timeout=5)
        await peer.wait("box", timeout=5)
        assert set(box.emptied) == {("box", 0), ("again", 7)}
        assert other.emptied == [("other-box", 0)]
        assert (await peer.get_job("other-box")).executor == "other"


@pytest.mark.seed("S1-P08")
async def test_what_cannot_be_stacked_is_refused(stage: Stage) -> None:
    async with stage:
        peer = stage.build("peer")

        async def work(n: int = 0) -> None:
            pass

        peer.job(every(1).hours)(work)
        with pytest.raises(ConfigurationError, match="declared twice"):
            peer.job(every(2).hours)(work)
        with pytest.raises(ConfigurationError) as caught:
            peer.job(every(2).hours, id="x", colour="red")(work)  # type: ignore[call-arg]
        assert caught.value.field == "colour"
        with pytest.raises(ConfigurationError) as caught:
            peer.job(every(2).hours, executor="x")  # type: ignore[call-arg]
        assert caught.value.field == "executor"
        with pytest.raises(ConfigurationError):
            peer.job(every(2).hours, id="y")(lambda: None)
        await peer.start()
        assert [job.id for job in await peer.get_jobs()] == ["work"]


# --- S1-P09: tags ---


@pytest.mark.seed("S1-P09")
async def test_tags_list_hold_and_take_out(stage: Stage) -> None:
    """``get_jobs(tag)`` and ``clear(tag)`` of the original."""
    async with stage:
        client, worker = await stage.two()
        soon, later = IntervalTrigger(hours=1), IntervalTrigger(hours=2)
        tagged = {
            "andrea": (["daily-tasks", "friend"], later),
            "john": (["hourly-tasks", "friend"], soon),
            "monica": (["hourly-tasks", "customer"], later),
            "derek": (["daily-tasks", "friend"], later),
        }
        await client.schedule_many(
            [
                Job("note", id=name, tags=tags, trigger=trigger)
                for name, (tags, trigger) in tagged.items()
            ]
        )
        friends = await worker.get_jobs(tag="friend")
        assert {job.id for job in friends} == {"andrea", "john", "derek"}
        first = (await worker.get_job("john")).next_fire_time
        assert first is not None
        assert await worker.next_fire_time(tag="friend") == first
        others = (await worker.get_job("monica")).next_fire_time
        assert others is not None
        assert await worker.next_fire_time(tag="customer") == others > first
        assert await worker.next_fire_time(tag="nobody") is None
        assert await client.pause_jobs(tag="friend") == ["andrea", "derek", "john"]
        paused = await worker.get_jobs(state="paused")
        assert {job.id for job in paused} == {"andrea", "john", "derek"}
        assert await worker.resume_jobs(tag="daily-tasks") == ["andrea", "derek"]
        assert (await worker.get_job("john")).state is JobState.PAUSED
        assert await client.remove_jobs(tag="friend") == ["andrea", "derek", "john"]
        assert [job.id for job in await worker.get_jobs()] == ["monica"]
        assert await client.remove_jobs(tag="nobody") == []


# --- S1-P16: in the background, side by side, logged; and repr tells the times ---


@pytest.mark.seed("S1-P16")
@pytest.mark.virtual(timeout=1000)
async def test_a_stored_job_shows_when_it_ran_and_runs() -> None:
    async with World() as world:
        p0 = await world.peer()
        new = Job("work", id="a", trigger=IntervalTrigger(seconds=10, start=at(10)))
        assert "fire_time" not in repr(new)
        stored = await p0.schedule(new)
        assert f"next_fire_time={at(10).isoformat()!r}" in repr(stored)
        assert "last_fire_time=None" in repr(stored)
        await asyncio.sleep(25)
        job = await p0.get_job("a")
        assert f"next_fire_time={at(30).isoformat()!r}" in repr(job)
        assert f"last_fire_time={at(20).isoformat()!r}" in repr(job)
        await p0.pause("a")
        assert "next_fire_time=None" in repr(await p0.get_job("a"))


@pytest.mark.seed("S1-P16")
async def test_jobs_run_beside_the_program_and_each_other(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """No loop to be written: one awaits nothing, and both run at once."""
    caplog.set_level(logging.DEBUG, logger="aiosched")
    async with stage:
        peer = await stage.peer("peer")
        await peer.schedule_many([Job("hold", id="a"), Job("hold", id="b")])
        await stage.begun("a")
        await stage.begun("b")
        stage.gate.set()
        assert [await peer.result(i, timeout=5) for i in "ab"] == ["held", "held"]
        runs = [await peer.wait(i, timeout=5) for i in "ab"]
        spans = sorted((run.started_at, run.ended_at) for run in runs)
        assert all(
            first[1] > second[0] for first, second in pairwise(spans) if second[0]
        )
    assert "scheduler peer has started" in caplog.text
