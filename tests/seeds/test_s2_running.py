"""Running as APScheduler's users know it: S2-A11, A12, A13, A14, A22."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from aiosched import (
    Event,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Outcome,
    Scheduler,
)
from tests.engine.kit import World, adds_up, at, loop, now
from tests.seeds.stage import Stage
from tests.waiting import wait_until

# --- S2-A11: shutdown(wait=True/False) ---


@pytest.mark.seed("S2-A11")
async def test_shutdown_waits_for_the_running(stage: Stage) -> None:
    async with stage:
        client, worker = await stage.two()
        await client.schedule(Job("hold", id="a", keep=600))
        await stage.begun("a")
        ending = asyncio.create_task(worker.shutdown(grace=30))
        await asyncio.sleep(0.5)
        assert not ending.done()
        stage.gate.set()
        await ending
        run = await client.wait("a", timeout=10)
        assert (run.outcome, run.result, run.attempt) == (
            Outcome.SUCCEEDED,
            "held",
            1,
        )


@pytest.mark.seed("S2-A11")
async def test_shutdown_by_force_cancels_at_once_and_hands_over(stage: Stage) -> None:
    async with stage:
        client, worker = await stage.two()
        await client.schedule(Job("hold", id="a", keep=600))
        (first,) = await stage.begun("a")
        clock = asyncio.get_running_loop().time
        since = clock()
        other = await stage.peer("other")
        await worker.shutdown(force=True)
        assert first.ended
        # A run that obeys is ended long before the two seconds that it is given.
        assert clock() - since < 10
        stage.gate.set()
        run = await client.wait("a", timeout=10)
        assert (run.peer, run.outcome) == (other.id, Outcome.SUCCEEDED)
        assert run.attempt == 1, "being handed over costs no attempt"


@pytest.mark.seed("S2-A11")
@pytest.mark.virtual(timeout=100_000)
async def test_by_force_it_takes_less_than_a_second() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await asyncio.sleep(6)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 100}, keep=600))
        await asyncio.sleep(1)
        (first,) = world.runs
        one, other = (p0, p1) if first.peer == "p0" else (p1, p0)
        began = now()
        await one.shutdown(force=True)
        assert now() - began < 1
        await asyncio.sleep(1)
        assert [ran.peer for ran in world.runs] == [one.name, other.name]
        assert world.runs[1].at - began < 1


# --- S2-A12: max_instances ---


@pytest.mark.seed("S2-A12")
@pytest.mark.parametrize(("overlap", "most"), [("skip", 1), ("queue", 1), ("allow", 2)])
async def test_on_three_peers_there_are_never_more_at_once(
    stage: Stage, overlap: str, most: int
) -> None:
    """The seed's ``max_instances`` is ``max_running``."""
    going: list[str] = []
    seen: list[tuple[int, str]] = []

    def executor(name: str) -> Any:
        async def busy() -> None:
            going.append(name)
            seen.append((len(going), name))
            await asyncio.sleep(0.12)
            going.remove(name)

        return busy

    async with stage:
        peers = [await stage.peer(f"p{n}") for n in range(3)]
        for peer in peers:
            peer.register(executor(peer.name), name="busy")
        jobs = [
            Job(
                "busy",
                id=f"j{n}",
                trigger=IntervalTrigger(milliseconds=50),
                overlap=overlap,
                max_running=most,
            )
            for n in range(1)
        ]
        await peers[0].schedule_many(jobs)
        await wait_until(lambda: len(seen) >= 12, "some runs")
        await peers[0].remove_jobs()
        await peers[0].drain(timeout=10)
    assert max(count for count, _ in seen) == most


# --- S2-A13: misfire_grace_time, coalesce ---


@pytest.mark.seed("S2-A13")
@pytest.mark.virtual(timeout=100_000)
@pytest.mark.parametrize(
    ("options", "runs", "passed"),
    [
        ({"misfire_grace": 60, "coalesce": "latest"}, 1, 4),
        (
            {
                "misfire_grace": timedelta(days=1),
                "coalesce": "all",
                "overlap": "allow",
                "max_running": 5,
            },
            5,
            0,
        ),
    ],
    ids=["grace and merge", "neither"],
)
async def test_five_minutes_away_from_a_job_of_every_minute(
    options: dict[str, Any], runs: int, passed: int
) -> None:
    """One event tells of a range of slots, with its count.

    "Grace none" is a grace of a day: without ``misfire_grace`` a slot is valid
    until the next one is due.
    """
    async with World() as world:
        p0 = world.build("p0")
        told: list[Event] = []
        p0.on("slots_passed", told.append)
        await world.start(p0)
        trigger = IntervalTrigger(minutes=1, start=at(60))
        await p0.schedule(Job("work", id="a", trigger=trigger, **options))
        await asyncio.sleep(30)
        loop().stall("p0", 300)
        await asyncio.sleep(305)
        assert len(world.runs) == runs
        assert sum(event.data["count"] for event in told) == passed
        if passed:
            assert told[0].data["first"] == at(60)
            assert told[-1].data["last"] == at(240)
            assert {event.data["reason"] for event in told} <= {"grace", "coalesced"}
        adds_up(await p0.get_job("a"))


# --- S2-A14: events ---


@pytest.mark.seed("S2-A14")
async def test_the_story_of_a_job_is_told_in_order(stage: Stage) -> None:
    """ADDED, SUBMITTED, EXECUTED, REMOVED of the seed have names of ours."""
    words = {
        "job_scheduled": "ADDED",
        "run_started": "SUBMITTED",
        "run_ended": "EXECUTED",
        "job_finished": "REMOVED",
    }
    async with stage:
        peer = stage.build("p0")
        sync: list[str] = []
        waited: list[str] = []
        failures: list[Event] = []

        async def listener(event: Event) -> None:
            await asyncio.sleep(0)
            waited.append(words[event.name])

        for name in words:
            peer.on(name, lambda event: sync.append(words[event.name]))
            peer.on(name, listener)
        peer.on("slots_passed", failures.append)
        await peer.start()
        stream = peer.events(*words, job="a")
        ended = peer.events("run_ended", job="a")
        await peer.schedule(Job("note", id="a", kwargs={"value": 7}))
        printed = []
        async with asyncio.timeout(10):
            async for event in stream:
                printed.append(words[event.name])
                if event.name == "job_finished":
                    break
            run = (await anext(ended)).data["run"]
        assert printed == ["ADDED", "SUBMITTED", "EXECUTED", "REMOVED"]
        assert (run.outcome, run.result) == (Outcome.SUCCEEDED, 7)
        await wait_until(lambda: len(waited) == 4, "the coroutine listener")
        assert sync == waited == printed
        assert failures == []


# --- S2-A22: what was missed while nobody was there ---


@pytest.mark.seed("S2-A22")
@pytest.mark.virtual(timeout=100_000)
@pytest.mark.parametrize(
    ("options", "slots"),
    [
        ({}, [600]),
        ({"misfire_grace": 30}, []),
        ({"misfire_grace": 150, "coalesce": "earliest"}, [540]),
        (
            {
                "misfire_grace": 3600,
                "coalesce": "all",
                "overlap": "queue",
            },
            list(range(60, 660, 60)),
        ),
    ],
    ids=["default", "too late", "the oldest within its grace", "all"],
)
async def test_what_was_due_while_it_was_off_is_run_as_the_policy_says(
    options: dict[str, Any], slots: list[int]
) -> None:
    store = MemoryJobStore()
    # Somebody holds the store's memory, as a server would.
    await store.open("aiosched", {})
    async with World(store) as world:
        first = await world.peer("first")
        trigger = IntervalTrigger(minutes=1, start=at(60))
        await first.schedule(Job("work", id="a", trigger=trigger, **options))
        await asyncio.sleep(5)
        await first.shutdown()
        await asyncio.sleep(640 - now())
        assert world.runs == []
        second = await world.peer("second")
        await asyncio.sleep(15)
        assert [ran.fire_time for ran in world.runs] == slots
        job = await second.get_job("a")
        adds_up(job)
        assert job.counts.slots == 10
        assert job.next_fire_time == at(660)


@pytest.mark.seed("S2-A22")
async def test_a_store_keeps_what_a_restart_has_to_run(stage: Stage) -> None:
    async with stage:
        client, worker = await stage.two()
        every = IntervalTrigger(milliseconds=100)
        await client.schedule(Job("note", id="tick", trigger=every))
        await client.schedule(Job("note", id="soon", when=timedelta(seconds=0.8)))
        await stage.begun("tick", 2)
        await worker.shutdown()
        before = len(stage.of("tick"))
        await asyncio.sleep(2)
        assert len(stage.of("tick")) == before
        again: Scheduler = await stage.peer("again")
        await stage.begun("soon")
        await stage.begun("tick", before + 2)
        runs = [row.run for row in await client.history("tick") if row.run]
        (late,) = [run for run in runs if run.peer == again.id and run.missed >= 10]
        assert late.outcome is Outcome.SUCCEEDED
        (soon,) = [row.run for row in await client.history("soon") if row.run]
        assert (soon.late, soon.peer) == (True, again.id)
