"""How soon work goes on: after the death of a peer, and of the server."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job
from aiosched.enums import RowKind
from tests.crash.kit import Fleet, Story, told
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

LEASE = 2.0
OPTIONS = {"lease": LEASE, "terms": {"beat": 0.7, "member_timeout": LEASE}}
RUNS = 6
AFTER_DEATH = LEASE + 1.0
AFTER_RESTART = 2.0


def say(what: str, took: Sequence[float]) -> str:
    """Print the figures, which ``-s`` shows, and return them."""
    words = (
        f"{what}: median {statistics.median(took):.2f} s, worst {max(took):.2f} s "
        f"of {len(took)}"
    )
    print(f"\n{words}")
    return words


async def test_what_a_killed_peer_ran_goes_on_within_a_lease_and_a_second(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    """Counted from the kill to the start of the next attempt of each run."""
    chance = random.Random(seed)
    took: list[float] = []
    server = launch()
    with Fleet(server.url, tmp_path, options=OPTIONS) as fleet:
        fleet.spawn()
        fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            for number in range(50 if long_run else 3):
                jobs = [
                    Job(
                        "tick",
                        kwargs={"secs": 60},
                        id=f"{number}-{n}",
                        tags=(f"round-{number}",),
                    )
                    for n in range(RUNS)
                ]
                await client.schedule_many(jobs)
                victim = await _one_that_runs(fleet, number)
                # At any moment between two extensions of its leases.
                await asyncio.sleep(chance.uniform(0.2, 0.2 + LEASE / 3))
                victim.kill()
                died = monotonic()
                held = {
                    line.firing
                    for line in victim.lines("start")
                    if line.firing[0].startswith(f"{number}-")
                }
                await wait_until(
                    lambda held=held: (
                        held  # type: ignore[misc]
                        <= {
                            line.firing
                            for peer, line in fleet.lines("start")
                            if peer.alive and line.attempt == 2
                        }
                    ),
                    "the next attempts",
                    timeout=30,
                )
                again = [
                    line.at - died
                    for peer, line in fleet.lines("start")
                    if line.firing in held and line.attempt == 2
                ]
                took.append(max(again))
                fleet.spawn()
                await client.remove_jobs(tag=f"round-{number}")
                await fleet.up(*(peer for peer in fleet.peers if peer.alive))
            rows = await client.history(kind=RowKind.LOST, limit=10_000)
    assert len(rows) >= len(took)
    words = say(f"after SIGKILL, lease {LEASE} s", took)
    assert max(took) <= AFTER_DEATH, words


async def _one_that_runs(fleet: Fleet, number: int) -> Any:
    """Wait until all runs of a round have begun; return who has one."""

    def holders() -> list[Any]:
        return [
            peer
            for peer, line in fleet.lines("start")
            if peer.alive and line.firing[0].startswith(f"{number}-")
        ]

    await wait_until(lambda: len(holders()) == RUNS, "all runs", timeout=30)
    return holders()[0]


async def test_the_first_run_after_a_restart_of_the_server(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    """Counted from the server's first answer; with an append-only file."""
    chance = random.Random(seed)
    restarts = 20 if long_run else 2
    server = launch(aof=True)
    took: list[float] = []
    apart = 4.0
    slots = int(restarts * apart * 2) + 8
    with Fleet(server.url, tmp_path, options=OPTIONS) as fleet:
        for _ in range(3):
            fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            begin = datetime.now(UTC) + timedelta(seconds=1)
            jobs = []
            for index in range(10):
                start = begin + timedelta(seconds=index / 20)
                end = start + timedelta(seconds=(slots - 1) / 2)
                trigger = IntervalTrigger(milliseconds=500, start=start, end=end)
                jobs.append(Job("tick", trigger=trigger, id=f"job-{index}"))
            await client.schedule_many(jobs)
            await wait_until(lambda: any(fleet.lines("start")), "a run", timeout=30)
            for _ in range(restarts):
                await asyncio.sleep(chance.uniform(0.5, 1.0))
                server.kill()
                await asyncio.sleep(chance.uniform(0.0, 1.0))
                await asyncio.to_thread(server.start)
                back = monotonic()
                took.append(await _first(fleet, back) - back)
            await told(client, len(jobs), timeout=slots / 2 + 60)
            story = await Story.read(client, fleet)
    assert story.conservation(slots) == []
    words = say("first run after a restart of the server", took)
    assert max(took) <= AFTER_RESTART, words


async def _first(fleet: Fleet, since: float) -> float:
    """Return when the first run after an instant began."""

    def began() -> list[float]:
        return [line.at for _, line in fleet.lines("start") if line.at > since]

    await wait_until(lambda: bool(began()), "a run", timeout=30, poll=0.02)
    return min(began())
