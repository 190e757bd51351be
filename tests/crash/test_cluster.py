"""Peers on a cluster: a master dies under load, slots move, connections drop."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from aiosched import IntervalTrigger, Job
from aiosched.stores.redis.cluster import slot_of
from aiosched.stores.redis.keys import Keys
from tests.clusters import Cluster
from tests.crash.kit import Fleet, Story, told
from tests.servers import Binary
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

JOBS = 30
EVERY = 0.5
AHEAD = 3.0
"""Seconds in which all jobs are scheduled; a slot before that is none of theirs."""
BEFORE = 3.0
"""Seconds before a master's death whose claims its replica may not have got."""


@pytest.fixture
def cluster(binary: Binary) -> Iterator[Cluster]:
    """Three masters, each with a replica, which may be killed."""
    with Cluster(binary, replicas=1, node_timeout=1_000) as one:
        yield one


def jobs(slots: int) -> list[Job]:
    begin = datetime.now(UTC) + timedelta(seconds=AHEAD)
    given = []
    for index in range(JOBS):
        start = begin + timedelta(seconds=index * EVERY / JOBS)
        end = start + timedelta(seconds=EVERY * (slots - 1))
        trigger = IntervalTrigger(seconds=EVERY, start=start, end=end)
        secs = {"secs": 0.2 if index % 2 else 0.0}
        given.append(Job("tick", trigger=trigger, id=f"j-{index}", kwargs=secs))
    return given


async def spread(cluster: Cluster, fleet: Fleet) -> None:
    """Wait until each master has had some of the jobs."""

    def everywhere() -> bool:
        pattern = f"{{{fleet.namespace}:*}}:j:*"
        found = [one.command("KEYS", pattern) for one in cluster.current_masters()]
        return all(found)

    await wait_until(everywhere, "jobs on all masters")


def judged(story: Story, slots: int) -> None:
    """Everything that holds whatever became of a master."""
    assert len(story.jobs) == JOBS
    assert story.conservation(slots) == []
    assert story.unstarted() == []
    fences = Counter(
        (firing[0], line.fence)
        for firing, lines in story.starts.items()
        for _, line in lines
    )
    assert max(fences.values()) == 1, "a fence was used twice"
    for firing, lines in story.starts.items():
        ordered = sorted(lines, key=lambda one: one[1].at)
        rising = [line.fence for _, line in ordered]
        assert rising == sorted(rising), f"{firing}: fences fell: {rising}"


async def test_masters_that_die(
    cluster: Cluster, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    chance = random.Random(seed)
    deaths = 8 if long_run else 1
    slots = int((deaths * 12 if long_run else 8) / EVERY)
    killed: list[float] = []
    with Fleet(cluster.url, tmp_path) as fleet:
        for _ in range(3):
            fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            await client.schedule_many(jobs(slots))
            await spread(cluster, fleet)
            for _ in range(deaths):
                await asyncio.sleep(chance.uniform(1.0, 3.0))
                victim = chance.choice(cluster.current_masters())
                killed.append(monotonic())
                victim.kill()
                await wait_until(
                    lambda victim=victim: cluster.promoted(victim),  # type: ignore[misc]
                    "a replica in its place",
                    timeout=30,
                    poll=0.05,
                )
                back = monotonic()
                await ran_since(fleet, back)
                # Comes back as a replica of the one that took its place.
                victim.start()
                await asyncio.to_thread(cluster.settle)
            await told(client, JOBS, timeout=slots * EVERY + 60)
            story = await Story.read(client, fleet)
        assert [peer.log() for peer in fleet.peers if not peer.alive] == []
    judged(story, slots)
    # A claim that the replica had not got is made again: nothing else is.
    for firing, lines in story.starts.items():
        first = min(line.at for _, line in lines)
        if len(lines) > 1:
            apart = [first - at for at in killed]
            assert any(-BEFORE < one < BEFORE for one in apart), (firing, apart)


async def ran_since(fleet: Fleet, since: float) -> None:
    def ran() -> bool:
        return any(line.at > since for _, line in fleet.lines("start"))

    await wait_until(ran, "a run after the failover", timeout=20, poll=0.05)


async def test_slots_that_move(
    cluster: Cluster, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    chance = random.Random(seed)
    rounds = 8 if long_run else 1
    with Fleet(cluster.url, tmp_path) as fleet:
        for _ in range(3):
            fleet.spawn()
        await fleet.up()
        keys = Keys(fleet.namespace, 64)
        ours = [slot_of(name) for name in (*keys.tags, keys.meta)]
        slots = int((rounds * 6 + 2) / EVERY)
        async with fleet.client() as client:
            await client.schedule_many(jobs(slots))
            await spread(cluster, fleet)
            for _ in range(rounds):
                for slot in chance.sample(ours, len(ours)):
                    target = chance.choice(cluster.masters)
                    if target is not cluster.master_of(slot):
                        pauses = [chance.uniform(0.0, 0.05) for _ in range(3)]
                        await asyncio.to_thread(
                            cluster.move, [slot], target, between=pauses
                        )
            await told(client, JOBS, timeout=slots * EVERY + 60)
            story = await Story.read(client, fleet)
        assert [peer.log() for peer in fleet.peers if not peer.alive] == []
    judged(story, slots)
    # Nothing was lost on the way, so nothing ran a second time.
    assert story.second_starts(set()) == []
    assert story.sums()["succeeded"] == story.sums()["fired"]


async def test_connections_that_drop(
    cluster: Cluster, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    chance = random.Random(seed)
    drops = 200 if long_run else 4
    slots = int((drops * 0.25 + 3) / EVERY)
    with Fleet(cluster.url, tmp_path) as fleet:
        for _ in range(3):
            fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            await client.schedule_many(jobs(slots))
            await spread(cluster, fleet)
            for _ in range(drops):
                node = chance.choice(cluster.masters)
                kind = chance.choice(["normal", "normal", "pubsub"])
                node.command("CLIENT", "KILL", "TYPE", kind)
                await asyncio.sleep(chance.uniform(0.0, 0.5))
            await told(client, JOBS, timeout=slots * EVERY + 60)
            story = await Story.read(client, fleet)
        assert [peer.log() for peer in fleet.peers if not peer.alive] == []
    judged(story, slots)
    assert story.second_starts(set()) == []
    assert story.sums()["succeeded"] == story.sums()["fired"]
