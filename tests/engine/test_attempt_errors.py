"""What an executor says of further attempts, and who acts within a run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import AttemptError, ConfigurationError, Job, Outcome, Retry, Scheduler
from aiosched._engine.events import Event
from aiosched.context import acting, acting_as, current_run

pytestmark = pytest.mark.virtual(timeout=100_000)


class BusyError(AttemptError):
    """One of the user's own."""


@pytest.mark.parametrize("threaded", [False, True])
async def test_an_executor_may_forbid_another_attempt_or_put_it_off(
    *, threaded: bool
) -> None:
    said = [
        BusyError("later", after=90),
        AttemptError("as the rule says"),
        AttemptError("never", retry=False),
    ]

    def plain() -> None:
        raise said.pop(0)

    async def coroutine() -> None:
        plain()

    async with Scheduler() as scheduler:
        scheduler.register(plain if threaded else coroutine, name="work")
        job = Job("work", id="j", retry=Retry(9, delay=1, factor=1, cap=2))
        await scheduler.schedule(job)
        run = await scheduler.wait("j", timeout=1_000)
        rows = await scheduler.history("j", runs_only=True)
    assert (run.outcome, run.attempt) == (Outcome.FAILED, 3)
    third, second, first = (entry.run for entry in rows)
    assert first is not None
    assert second is not None
    assert third is not None
    assert (second.due - first.ended_at).total_seconds() == 90
    assert (third.due - second.ended_at).total_seconds() == 1
    assert not second.late


async def test_it_never_adds_an_attempt() -> None:
    async def work() -> None:
        raise AttemptError("again", after=1)

    async with Scheduler() as scheduler:
        scheduler.register(work)
        for name, retry in (("none", None), ("two", Retry(2))):
            await scheduler.schedule(Job(work, id=name, retry=retry))
            run = await scheduler.wait(name, timeout=100)
            assert run.attempt == (1 if retry is None else 2)


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), 10**9, "1", True])
def test_a_wait_that_is_none_is_refused(after: Any) -> None:
    with pytest.raises(ConfigurationError):
        AttemptError("x", after=after)


async def test_code_knows_its_run_and_nobody_else_is_taken_for_one() -> None:
    seen: list[Any] = []

    def told(event: Event) -> None:
        seen.append((event.name, current_run()))

    async with Scheduler() as scheduler:
        scheduler.on("run_ended", told)

        @scheduler.executor
        async def work() -> str:
            run = current_run()
            assert run is not None
            inner = await asyncio.gather(asyncio.to_thread(current_run))
            assert inner == [run]
            return run.run_id

        @scheduler.executor
        def plain() -> str:
            run = current_run()
            return "" if run is None else run.run_id

        for executor in (work, plain):
            firing = await scheduler.schedule(Job(executor))
            run = await scheduler.wait(firing, timeout=10)
            assert run.result == run.run_id
        assert current_run() is None
    assert seen == [("run_ended", None)] * 2


async def test_who_acts_is_nested_and_given_to_the_ledger() -> None:
    async with Scheduler(name="p") as scheduler:
        scheduler.register(print)
        await scheduler.schedule(Job(print, id="j", keyword="go"))
        with acting_as("alice"):
            await scheduler.pause("j")
            with acting_as("bob"):
                await scheduler.resume("j")
                await scheduler.pause("j", by="carol")
            assert acting() == "alice"
            await scheduler.resume("j")
        assert acting() == ""
        await scheduler.remove_job("j")
        rows = (await scheduler.history("j"))[::-1]
    assert [row.by for row in rows] == ["p", "alice", "bob", "carol", "alice", "p"]
    with pytest.raises(ConfigurationError), acting_as("x" * 201):
        pass


async def test_every_row_is_told_with_its_job_also_where_nothing_is_left() -> None:
    told: list[tuple[str, str]] = []

    def heard(event: Event) -> None:
        recorded = event.data["recorded"]
        assert recorded.job is not None
        assert recorded.job.meta == {"a": 1}
        told.append((recorded.entry.kind.value, str(recorded.job.state)))

    async with Scheduler() as scheduler:
        scheduler.on("recorded", heard)

        @scheduler.executor
        async def work() -> None: ...

        meta = {"a": 1}
        job = await scheduler.schedule(Job(work, meta=meta))
        await scheduler.wait(job, timeout=10)
        await scheduler.schedule(Job(work, id="k", keyword="go", meta=meta))
        await scheduler.remove_job("k")
        assert len(told) == len(await scheduler.history())
    assert told == [
        ("created", "active"),
        ("succeeded", "finished"),
        ("created", "active"),
        ("removed", "removed"),
    ]


async def test_rows_are_heard_by_name_only() -> None:
    async with Scheduler() as scheduler:
        everything: list[Event] = []
        scheduler.on("*", everything.append)
        stream, rows = scheduler.events(), scheduler.events("recorded")

        @scheduler.executor
        async def work() -> None: ...

        await scheduler.schedule(Job(work, id="j"))
        await scheduler.wait("j", timeout=10)
    assert "recorded" not in {event.name for event in everything}
    assert "recorded" not in {event.name async for event in stream}
    kinds = [event.data["recorded"].entry.kind.value async for event in rows]
    assert kinds == ["created", "succeeded"]
