"""What is counted: commands of an idle peer, memory, commands of a busy one."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiosched import DateTrigger, Job, RedisJobStore, Scheduler
from tests.crash.kit import Fleet, Peer
from tests.servers import Server
from tests.stores.redis.wire import Spy
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400)]

IDLE = 15.0
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def far_jobs(number: int) -> list[Job]:
    return [
        Job("nothing", trigger=DateTrigger(FAR + timedelta(seconds=n)), id=f"far-{n}")
        for n in range(number)
    ]


async def load(fleet: Fleet, number: int) -> None:
    jobs = far_jobs(number)
    async with fleet.client() as client:
        for first in range(0, number, 5_000):
            await client.schedule_many(jobs[first : first + 5_000], allow_unknown=True)


def commands(server: Server) -> int:
    """Return how many commands were processed, without those that asked."""
    text = str(server.command("INFO", "stats"))
    (found,) = (x for x in text.splitlines() if x.startswith("total_commands_proc"))
    return int(found.partition(":")[2])


async def test_an_idle_peer_sends_a_command_a_second_at_most(
    launch: Any, tmp_path: Path
) -> None:
    server = launch()
    with Fleet(server.url, tmp_path) as fleet:
        await load(fleet, 1_000)
        fleet.spawn()
        await fleet.up()
        await asyncio.sleep(3.0)  # its first reading is no idling
        before = commands(server)
        await asyncio.sleep(IDLE)
        # The second question counts itself or the first, never both.
        sent = commands(server) - before - 1
        assert fleet.peers[0].alive
    assert sent > 0, "it does not even beat"
    # A beat of six each five seconds, every other one without a canary, and each
    # sixth with two more; the span may begin with the one that has most.
    assert sent <= IDLE + 4, f"{sent} commands in {IDLE} s"


def resident(peer: Peer) -> int:
    """Return the memory of a process, in kilobytes."""
    said = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(peer.process.pid)],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return int(said.stdout)


async def test_memory_does_not_grow_with_far_jobs(
    launch: Any, tmp_path: Path, *, long_run: bool
) -> None:
    many = 50_000 if long_run else 15_000
    url = launch().url
    sizes = {}
    # With few shards, a tenth of the jobs already fills what a peer holds.
    options = {"terms": {"shards": 8}}
    for number in (many // 10, many):
        namespace = f"of-{number}"
        with Fleet(url, tmp_path, namespace=namespace, options=options) as fleet:
            await load(fleet, number)
            peer = fleet.spawn()
            await fleet.up()
            await asyncio.sleep(3.0)
            sizes[number] = resident(peer)
            assert peer.alive
    few = min(sizes)
    assert sizes[many] - sizes[few] < 2_000, sizes


async def test_commands_and_trips_of_a_job_at_batch_a_hundred(launch: Any) -> None:
    number = 4_000
    spy = Spy()
    store = RedisJobStore(launch().url, connection_factory=spy)
    scheduler = Scheduler(
        store, namespace="batch", terms={"shards": 4}, max_concurrency=1_000
    )
    done = 0

    @scheduler.executor
    async def work() -> None:
        nonlocal done
        done += 1

    async with scheduler:
        assert scheduler._session is not None
        counters = scheduler._session.counters
        due = datetime.now(UTC) + timedelta(seconds=8)
        jobs = [Job("work", trigger=DateTrigger(due), keep=0) for _ in range(number)]
        await scheduler.schedule_many(jobs)
        left = (due - datetime.now(UTC)).total_seconds()
        assert left > 1.0, "loading took too long"
        await asyncio.sleep(left - 0.5)
        assert done == 0
        packets, begun = len(spy.packets), counters.transactions
        await wait_until(lambda: done == number, "all jobs", timeout=60)
        await wait_until(
            lambda: not scheduler.health().running, "all outcomes", timeout=30
        )
        sent = spy.packets[packets:]
        batches = (counters.transactions - begun) / 2
        assert await scheduler.get_jobs() == []
    assert counters.aborts == 0
    assert number / batches > 90, "not the batch that this is about"
    trips = [p for p in sent if {words[0] for words in p} & {b"WATCH", b"EXEC"}]
    total = sum(len(packet) for packet in sent)
    assert sum(len(packet) for packet in trips) / number <= 0.2
    assert len(trips) / number <= 0.05
    # With what it reads and beats meanwhile, it is hardly more.
    assert total / number <= 0.22, total
    assert len(sent) / number <= 0.06, len(sent)
