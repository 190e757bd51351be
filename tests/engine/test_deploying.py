"""What is declared while a scheduler runs: compared, changed, withdrawn, restored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import (
    ConfigurationError,
    IntervalTrigger,
    InvalidInputError,
    Job,
    MemoryJobStore,
    Scheduler,
    SchedulerStateError,
)
from aiosched.errors import UnknownExecutorError
from tests.engine.kit import World, after
from tests.engine.test_restoring import lose, there

pytestmark = pytest.mark.virtual(timeout=100_000)


def hourly(job_id: str, **options: Any) -> Job:
    trigger = options.pop("trigger", IntervalTrigger(seconds=3600))
    return Job("work", id=job_id, trigger=trigger, **options)


async def changes(peer: Scheduler, *jobs: Job, **more: Any) -> dict[str, str]:
    return {one.job_id: one.change for one in await peer.plan(jobs, **more)}


async def test_a_change_keeps_the_slots_of_what_is_the_same() -> None:
    async with World() as world:
        peer = world.build("p0")
        for name in ("a", "b"):
            peer.declare(hourly(name))
        await world.start(peer)
        await asyncio.sleep(1800)
        before = {job.id: job for job in await peer.get_jobs()}
        again, other = hourly("a"), hourly("b", max_runs=7)
        assert await changes(peer, again, other) == {"a": "unchanged", "b": "changed"}
        assert await peer.redeclare([again, other, hourly("c")]) == ["b", "c"]
        after = {job.id: job for job in await peer.get_jobs()}
        assert after["a"].version == 1
        assert after["b"].max_runs == 7
        for name in ("a", "b"):
            assert after[name].next_fire_time == before[name].next_fire_time
        assert {job.id for job in peer.declared} == {"a", "b", "c"}


async def test_what_is_declared_later_is_put_back_and_what_is_withdrawn_is_not() -> (
    None
):
    memory = MemoryJobStore()
    async with World(memory) as world:
        peer = world.build("p0")
        for name in ("a", "b", "c"):
            peer.declare(hourly(name))
        await world.start(peer)
        await peer.redeclare([hourly("d")], withdrawn=["a"], dropped=["b"])
        assert await there(peer) == {"b", "c", "d"}
        lose(memory, "another")
        await asyncio.sleep(60)
        assert await there(peer) == {"c", "d"}


async def test_nothing_is_written_if_one_of_them_cannot_be_stored() -> None:
    async with World() as world:
        peer = world.build("p0")
        peer.declare(hourly("a"))
        await world.start(peer)
        wrong: list[tuple[list[Job], dict[str, Any], type[InvalidInputError]]] = [
            ([hourly("b"), Job("nobody", id="n")], {}, UnknownExecutorError),
            ([hourly("b"), hourly("b")], {}, ConfigurationError),
            ([hourly("b"), Job("work")], {}, ConfigurationError),
            ([hourly("b")], {"withdrawn": ["b"]}, ConfigurationError),
            ([hourly("b")], {"dropped": ["b"]}, ConfigurationError),
        ]
        for jobs, more, error in wrong:
            with pytest.raises(error):
                await peer.redeclare(jobs, **{"withdrawn": ["a"], **more})
            assert await there(peer) == {"a"}
            assert [job.id for job in peer.declared] == ["a"]


async def test_a_withdrawn_job_is_taken_out_at_each_start() -> None:
    store = MemoryJobStore()
    async with World(store) as world:
        first = world.build("p0", revision=1)
        first.declare(hourly("declared"))
        await world.start(first)
        await first.schedule(hourly("scheduled"))
        for revision, left in ((0, {"declared", "scheduled"}), (1, {"scheduled"})):
            peer = world.build(f"p{revision + 1}", revision=revision)
            for name in ("declared", "scheduled", "unknown"):
                peer.withdraw(name)
                peer.withdraw(name)
            await world.start(peer)
            assert await there(peer) == left


async def test_declared_and_withdrawn_is_a_contradiction() -> None:
    async with World() as world:
        peer = world.build("p0")
        peer.declare(hourly("a"))
        with pytest.raises(ConfigurationError, match="declared as well"):
            peer.withdraw("a")
        peer.withdraw("b")
        with pytest.raises(ConfigurationError, match="withdrawn"):
            peer.declare(hourly("b"))
        await world.start(peer)
        with pytest.raises(SchedulerStateError, match="redeclare"):
            peer.withdraw("c")


async def test_a_plan_has_a_word_for_each_fate() -> None:
    async with World() as world:
        later = world.build("p0", revision=5)
        for name in ("same", "held", "old", "their-job"):
            later.declare(hourly(name))
        await world.start(later)
        await later.schedule(hourly("by-hand"))
        client = await world.peer("client", run_jobs=False, revision=4)
        planned = await changes(
            client,
            hourly("same"),
            hourly("held", max_runs=2),
            hourly("new"),
            Job("nobody", id="unresolvable"),
            Job("work", ("many", "too", "many"), id="refused"),
            withdrawn=["off"],
            others=["their-*"],
        )
        assert planned == {
            "same": "unchanged",
            "held": "held",
            "new": "new",
            "unresolvable": "unresolvable",
            "refused": "refused",
            "off": "unchanged",
            "old": "orphaned",
        }
        assert await later.plan([], withdrawn=["old"]) != []
        off = await changes(later, hourly("same"), withdrawn=["old"], others=["*"])
        assert off == {"same": "unchanged", "old": "off"}


async def test_a_finished_job_that_is_the_same_is_left_alone() -> None:
    async with World() as world:
        peer = world.build("p0")
        once = Job("work", id="once", when=after(0))
        peer.declare(once)
        await world.start(peer)
        await asyncio.sleep(60)
        assert len(world.of("once")) == 1
        assert await changes(peer, once) == {"once": "unchanged"}
        assert await peer.redeclare([once]) == []
        again = once.with_changes(note="again")
        assert await changes(peer, again) == {"once": "changed"}
