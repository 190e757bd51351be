"""Three peers, a hundred jobs each second: whole, and with one killed now and then."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job
from aiosched.enums import Reason, RowKind
from tests.crash.kit import Fleet, Peer, Story, server_now, told
from tests.servers import Server

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400)]


def whole_second(ahead: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=ahead + 1)).replace(microsecond=0)


def each_second(
    number: int, slots: int, begin: datetime, apart: float = 0.0, **options: Any
) -> list[Job]:
    """Return jobs with one slot a second; ``apart`` seconds from each other."""
    jobs = []
    for index in range(number):
        start = begin + timedelta(seconds=index * apart)
        end = start + timedelta(seconds=slots - 1)
        trigger = IntervalTrigger(seconds=1, start=start, end=end)
        jobs.append(Job("tick", trigger=trigger, id=f"job-{index:03}", **options))
    return jobs


async def test_two_thousand_slots_without_a_double(launch: Any, tmp_path: Path) -> None:
    jobs, slots = 100, 20
    with Fleet(launch().url, tmp_path) as fleet:
        for _ in range(3):
            fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            await client.schedule_many(each_second(jobs, slots, whole_second(2)))
            await told(client, jobs, timeout=90)
            story = await Story.read(client, fleet)
    assert story.conservation(slots) == []
    assert story.sums()["fired"] == story.sums()["succeeded"] == jobs * slots
    assert story.second_starts(set()) == []
    assert len(story.starts) == jobs * slots
    assert {line.attempt for runs in story.starts.values() for _, line in runs} == {1}
    shares = Counter(peer.id for runs in story.starts.values() for peer, _ in runs)
    assert len(shares) == 3, "a peer did nothing"


class Killings:
    """Kills one peer every five seconds, and starts another."""

    def __init__(self, fleet: Fleet, server: Server, seed: int) -> None:
        self.fleet = fleet
        self.server = server
        self.chance = random.Random(seed)
        self.at: dict[str, float] = {}

    async def go_on(self, begin: float, times: int) -> None:
        """Kill at a moment that the seed chooses in each five seconds."""
        living = list(self.fleet.peers)
        for number in range(times):
            moment = begin + 5 * number + self.chance.uniform(1.0, 5.0)
            await asyncio.sleep(max(0.0, moment - server_now(self.server)))
            # Two of them are up whatever the latest one's start takes.
            up: list[Peer] = [peer for peer in living if peer.wrote("up")]
            victim = self.chance.choice(up)
            living.remove(victim)
            victim.kill()
            # Read after it: its leases end within a lease of this instant.
            self.at[victim.id] = server_now(self.server)
            living.append(self.fleet.spawn())


@pytest.mark.parametrize("overlap", ["queue", "skip"])
async def test_one_killed_every_five_seconds(
    launch: Any, tmp_path: Path, seed: int, overlap: str, *, long_run: bool
) -> None:
    jobs, slots, kills = (100, 20, 4) if long_run else (60, 12, 2)
    lease = 15.0 if long_run else 4.0
    terms = {} if long_run else {"beat": 1.3, "member_timeout": 4.0}
    server = launch()
    options = {"lease": lease, "terms": terms}
    job_options: dict[str, Any] = {"overlap": overlap, "kwargs": {"secs": 0.3}}
    if overlap == "queue":
        job_options["coalesce"] = "all"
    with Fleet(server.url, tmp_path, options=options) as fleet:
        for _ in range(3):
            fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            begin = whole_second(2)
            given = each_second(jobs, slots, begin, 1 / jobs, **job_options)
            await client.schedule_many(given)
            killings = Killings(fleet, server, seed)
            await killings.go_on(begin.timestamp(), kills)
            await told(client, jobs, timeout=slots + 8 * lease + 60)
            story = await Story.read(client, fleet)
    assert story.conservation(slots) == []
    assert story.second_starts(set(killings.at)) == []
    assert story.unstarted() == []
    assert story.lost(), "nobody was killed in the middle of a run"
    assert late_recoveries(story, killings.at, lease) == []
    sums = story.sums()
    assert sums["succeeded"] == sums["fired"]
    if overlap == "queue":
        assert sums["fired"] == jobs * slots
    else:
        assert unexplained(story, math.ceil(lease + 1)) == []


def late_recoveries(story: Story, killed: dict[str, float], lease: float) -> list[str]:
    """Return the runs that were not taken up within a lease and a second."""
    late = []
    for row in story.lost().values():
        again = story.following(row)
        assert again is not None, row
        took = again.timestamp() - killed[row.peer]
        if took > lease + 1:
            late.append(f"{row.job_id} after {took:.2f} s")
    return late


def unexplained(story: Story, most: int) -> list[str]:
    """Return the slots that did not fire and name no killed run, or too many.

    A row names the killed run by its fence; where the next attempt at the same
    firing was in the way, by that one's.
    """
    lost = story.lost()
    blamed = {row.fence: row.fence for row in lost.values()}
    firings = {(r.job_id, r.run.key): r.fence for r in lost.values() if r.run}
    for row in story.rows:
        if row.run is not None and (row.job_id, row.run.key) in firings:
            blamed.setdefault(row.fence, firings[row.job_id, row.run.key])
    wrong = []
    skipped: Counter[int] = Counter()
    for row in story.of_kind(RowKind.SKIPPED, RowKind.MISSED):
        if row.reason is not Reason.OVERLAP or row.fence not in blamed:
            wrong.append(f"{row.job_id}: {row.kind} {row.reason} at {row.first}")
        else:
            skipped[blamed[row.fence]] += row.count
    return wrong + [f"{lost[f].job_id}: {n}" for f, n in skipped.items() if n > most]
