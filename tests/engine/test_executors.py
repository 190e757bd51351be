"""Executors of every shape, what they are told, and when they are set up."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from aiosched import (
    ArgumentsError,
    Cause,
    Context,
    Executor,
    IntervalTrigger,
    Job,
    Outcome,
    UnknownExecutorError,
)
from tests.engine.kit import World, after, at, loop, now

pytestmark = pytest.mark.virtual(timeout=100_000)


class Counted(Executor):
    """Counts its runs, and writes down its life."""

    story: list[str]

    def __init__(self, name: str = "class") -> None:
        self.name = name
        self.runs = 0

    async def setup(self) -> None:
        self.story.append(f"{self.name} setup")

    async def teardown(self) -> None:
        self.story.append(f"{self.name} teardown")

    async def run(self, context: Context, seconds: float = 0.0) -> int:
        self.runs += 1
        self.story.append(f"{self.name} run")
        await asyncio.sleep(seconds)
        return self.runs


class Exit(BaseException):
    """An exception that is no error."""


class Odd:
    """Something that JSON cannot hold."""

    def __repr__(self) -> str:
        return "<odd>"


class Second(Counted):
    """Another."""


@pytest.fixture(autouse=True)
def story(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(Counted, "story", told, raising=False)
    return told


async def test_a_class_is_built_once_and_an_instance_is_taken_as_it_is(
    story: list[str],
) -> None:
    async with World() as world:
        p0 = world.build("p0")
        assert p0.register(Counted) == "Counted"
        p0.register(Second("instance"))
        await world.start(p0)
        for wanted in (1, 2):
            assert await p0.result(await p0.schedule(Job(Counted))) == wanted
            assert await p0.result(await p0.schedule(Job("Second"))) == wanted
        await p0.shutdown()
    assert story == [
        "class setup",
        "instance setup",
        "class run",
        "instance run",
        "class run",
        "instance run",
        "instance teardown",
        "class teardown",
    ]


async def test_teardown_waits_for_the_last_run(story: list[str]) -> None:
    async with World() as world:
        p0 = world.build("p0")
        p0.register(Counted)
        await world.start(p0)
        await p0.schedule(Job(Counted, kwargs={"seconds": 5}))
        await asyncio.sleep(1)
        await p0.shutdown()
        assert now() == 5.0
        assert story == ["class setup", "class run", "class teardown"]


async def test_a_client_sets_no_executor_up(story: list[str]) -> None:
    async with World() as world:
        client = world.build("client", run_jobs=False)
        client.register(Counted)
        await world.start(client)
        client.register(Second("late"))
        await asyncio.sleep(1)
        await client.shutdown()
        assert story == []


async def test_a_coroutine_function_runs_on_the_loop() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def add(a: int, b: int = 1) -> int:
            return a + b

        assert asyncio.iscoroutinefunction(add)
        await world.start(p0)
        assert await p0.result(await p0.schedule(Job(add, [4]))) == 5
        assert await p0.result(await p0.schedule(Job(add, [4], {"b": 3}))) == 7


@pytest.mark.virtual(timeout=1000, thread_delay=3.0)
async def test_a_plain_function_runs_in_a_thread() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor(name="blocking", aliases=["old-name"])
        def compute(context: Context, n: int) -> dict[str, Any]:
            return {"n": n, "job": context.job_id}

        await world.start(p0)
        job = await p0.schedule(Job("old-name", kwargs={"n": 3}, id="a"))
        tick = await p0.schedule(Job("work", when=after(1)))
        await p0.wait(tick)
        assert now() == 1.0
        assert await p0.result(job) == {"n": 3, "job": "a"}
        assert now() == 3.0


async def test_a_plain_function_sees_that_it_is_cancelled() -> None:
    async with World() as world:
        p0 = world.build("p0")
        seen: list[bool] = []

        @p0.executor
        def stubborn(context: Context) -> str:
            loop().block(2)
            seen.append(context.cancelled)
            return "partial"

        await world.start(p0)
        job = await p0.schedule(Job("stubborn", timeout=1))
        run = await p0.wait(job)
        assert run.outcome is Outcome.TIMED_OUT
        assert now() == 2.0


async def test_arguments_arrive_as_their_annotations_say() -> None:
    async with World() as world:
        p0 = world.build("p0")
        got: list[Any] = []

        @p0.executor
        async def typed(when: datetime, key: UUID, n: float = 1.0) -> None:
            got.extend((when, key, n))

        await world.start(p0)
        key = UUID(int=7)
        await p0.result(await p0.schedule(Job(typed, [at(3)], {"key": key})))
        assert got == [at(3), key, 1.0]


async def test_the_context_tells_the_run() -> None:
    async with World() as world:
        p0 = world.build("p0")
        seen: list[Context] = []

        @p0.executor
        async def look(context: Context) -> None:
            seen.append(context)

        await world.start(p0)
        job = Job("look", trigger=IntervalTrigger(seconds=10), keyword="k", id="a")
        await p0.schedule(job)
        await asyncio.sleep(10.5)
        await p0.fire_job("k", {})
        await asyncio.sleep(0.5)
        await p0.start_job("a")
        await asyncio.sleep(1)
        slot, fired, started = seen
        assert (slot.job_id, slot.job.version, slot.attempt, slot.missed) == (
            "a",
            1,
            1,
            0,
        )
        assert (slot.fire_time, slot.cause, slot.keyword) == (at(10), Cause.SLOT, None)
        assert slot.run_id == f"a/{round(at(10).timestamp() * 1_000_000)}/1"
        assert slot.peer == p0.id
        assert (slot.payload, slot.cancelled, bool(slot.cancel_reason)) == (
            None,
            False,
            False,
        )
        assert (fired.cause, fired.keyword, fired.payload) == (Cause.KEYWORD, "k", {})
        assert (started.cause, started.fire_time) == (Cause.MANUAL, at(11))
        assert slot.fence < fired.fence < started.fence


async def test_an_executor_registered_after_the_start_takes_up_what_waits(
    story: list[str],
) -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("Counted", id="a"), allow_unknown=True)
        await asyncio.sleep(100)
        p0.register(Counted)
        assert await client.result("a", timeout=1) == 1
        await p0.shutdown()
        assert story == ["class setup", "class run", "class teardown"]


async def test_a_setup_that_fails_ends_the_start() -> None:
    async with World() as world:
        p0 = world.build("p0")

        class Broken(Executor):
            async def setup(self) -> None:
                raise OSError("no database")

            async def run(self, context: Context) -> None:
                """Never reached."""

        p0.register(Counted)
        p0.register(Broken)
        with pytest.raises(OSError, match="no database"):
            await p0.start()
        assert Counted.story == ["class setup", "class teardown"]


async def test_an_executor_nobody_has_is_refused_unless_asked_for() -> None:
    async with World() as world:
        p0 = await world.peer()
        with pytest.raises(UnknownExecutorError) as caught:
            await p0.schedule(Job("wrok"))
        assert caught.value.known == ("work",)
        job = await p0.schedule(Job("wrok", id="a"), allow_unknown=True)
        assert job.executor == "wrok"


async def test_an_executor_of_another_peer_is_accepted_and_shallowly_checked() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def pay(amount: int) -> int:
            return amount

        await world.start(p0)
        client = await world.peer("client", run_jobs=False)
        assert await client.result(await client.schedule(Job("pay", [3]))) == 3
        with pytest.raises(ArgumentsError):
            await client.schedule(Job("pay", kwargs={"sum": 3}))
        with pytest.raises(ArgumentsError):
            await client.schedule(Job("pay"))


async def test_arguments_that_fit_nothing_are_refused_before_anything_is_written() -> (
    None
):
    async with World() as world:
        p0 = await world.peer()
        for kwargs in ({"seconds": "soon"}, {"nope": 1}, {"value": object()}):
            with pytest.raises(ArgumentsError) as caught:
                await p0.schedule(Job("work", kwargs=kwargs))
            assert caught.value.field.startswith("kwargs")
        with pytest.raises(ArgumentsError):
            await p0.schedule(Job("work", kwargs={"value": "x" * 2**20}))
        assert not await p0.get_jobs()


@pytest.mark.parametrize("error", [SystemExit(3), Exit("now")])
@pytest.mark.parametrize("threaded", [False, True])
async def test_an_executor_that_exits_fails_its_run_and_nothing_else(
    error: BaseException, *, threaded: bool
) -> None:
    async with World() as world:
        p0 = world.build("p0")
        if threaded:

            def leave() -> None:
                raise error

            p0.register(leave)
        else:

            async def leave_loop() -> None:
                raise error

            p0.register(leave_loop, name="leave")
        await world.start(p0)
        run = await p0.wait(await p0.schedule(Job("leave")), timeout=60)
        assert run.outcome is Outcome.FAILED
        assert type(error).__name__ in run.error.type
        assert p0.health().ok


async def test_an_executor_that_cancels_itself_is_said_to_have() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def quits() -> None:
            raise asyncio.CancelledError

        await world.start(p0)
        run = await p0.wait(await p0.schedule(Job("quits")), timeout=60)
        assert (run.outcome, run.reason.value) == (Outcome.CANCELLED, "itself")


async def test_a_result_that_json_cannot_hold_is_shown() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def odd() -> object:
            return Odd()

        await world.start(p0)
        run = await p0.wait(await p0.schedule(Job("odd")))
        assert run.result_is_repr
        assert run.result == "<odd>"
