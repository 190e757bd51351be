"""The store is killed for four seconds at random moments, and comes back."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job
from tests.crash.kit import Fleet, Story, told

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

AWAY = 4.0
RETURN = 2.0
JOBS = 24
EVERY = 0.5


async def test_a_store_that_comes_back(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    chance = random.Random(seed)
    outages = 10 if long_run else 3
    server = launch(aof=True)
    late = []
    slots = int(outages * (AWAY + 5.0) / EVERY)
    with Fleet(server.url, tmp_path) as fleet:
        for _ in range(3):
            fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            await client.schedule_many(_jobs(slots))
            for _ in range(outages):
                await asyncio.sleep(chance.uniform(1.5, 4.0))
                server.kill()
                await asyncio.sleep(AWAY)
                server.start()
                back = monotonic()
                late.append(await _first_run(fleet, back) - back)
            assert [p.log() for p in fleet.peers if not p.alive] == []
            await told(client, JOBS, timeout=60)
            story = await Story.read(client, fleet)
        assert [peer.log() for peer in fleet.peers if not peer.alive] == []
    assert max(late) < RETURN, late
    assert story.conservation(slots) == []
    # No peer died and no lease ended, so nothing ran a second time.
    assert story.second_starts(set()) == []
    assert story.unstarted() == []


def _jobs(slots: int) -> list[Job]:
    begin = datetime.now(UTC) + timedelta(seconds=1)
    jobs = []
    for index in range(JOBS):
        start = begin + timedelta(seconds=index * EVERY / JOBS)
        end = start + timedelta(seconds=EVERY * (slots - 1))
        trigger = IntervalTrigger(seconds=EVERY, start=start, end=end)
        secs = {"secs": 0.2 if index % 2 else 0.0}
        jobs.append(Job("tick", trigger=trigger, id=f"j-{index}", kwargs=secs))
    return jobs


async def _first_run(fleet: Fleet, since: float) -> float:
    """Return when the first run after an instant began."""
    for _ in range(400):
        at = [line.at for _, line in fleet.lines("start") if line.at > since]
        if at:
            return min(at)
        await asyncio.sleep(0.025)
    logs = "\n".join(peer.log()[-1500:] for peer in fleet.peers)
    raise AssertionError(f"nothing ran for 10 s after the store came back\n{logs}")
