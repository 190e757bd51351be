"""Peers that end in order hand their work over; peers that begin do not double it."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from aiosched import Job
from aiosched.enums import Outcome, Reason, RowKind
from tests.crash.kit import Fleet, Story, every_job
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

BOOTING = 10
DECLARED = 5


async def test_a_peer_that_is_told_to_end_hands_its_runs_over(
    launch: Any, tmp_path: Path
) -> None:
    command = ["run", "tests.crash.peer:build", "--grace", "0.3"]
    with Fleet(launch().url, tmp_path, words=command) as fleet:
        ending = fleet.spawn("aiosched", secs=120)
        await wait_until(lambda: ending.wrote("born"), "a peer", timeout=60)
        async with fleet.client() as client:
            await wait_until(
                lambda: _others(client), "a peer that claims", timeout=60, poll=0.1
            )
            jobs = [Job("tick", id=f"job-{n}") for n in range(12)]
            await client.schedule_many(jobs)
            await wait_until(
                lambda: len(ending.lines("start")) == len(jobs), "twelve runs"
            )
            staying = fleet.spawn()
            await fleet.up(staying)
            ending.signal(signal.SIGTERM)
            await asyncio.to_thread(ending.process.wait, 20)
            for job in jobs:
                run = await client.wait(job, timeout=60)
                assert (run.outcome, run.attempt) == (Outcome.SUCCEEDED, 1)
                assert run.peer == staying.id
            story = await Story.read(client, fleet)
    assert ending.process.returncode == 0, ending.log()[-2000:]
    handed = story.of_kind(RowKind.HANDED_BACK)
    assert len(handed) == len(jobs)
    assert {(row.peer, row.reason) for row in handed} == {(ending.id, Reason.SHUTDOWN)}
    # Told, not found out: no lease had to end, and nothing was lost.
    assert story.lost() == {}
    assert len(ending.lines("cancelled")) == len(jobs)


async def _others(client: Any) -> bool:
    return any(peer.claims for peer in await _fresh_peers(client))


async def _fresh_peers(client: Any) -> list[Any]:
    client._running_engine().membership.wake()
    found: list[Any] = await client.peers()
    return found


async def test_ten_that_boot_at_once_leave_one_of_each(
    launch: Any, tmp_path: Path
) -> None:
    due = time.time() + 2.0
    config = {"declare": DECLARED, "due": due}
    with Fleet(launch().url, tmp_path, config=config) as fleet:
        for _ in range(BOOTING):
            fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            await wait_until(
                lambda: any(True for _ in fleet.lines("end")), "the one run", timeout=30
            )
            await client.drain(timeout=20)
            story = await Story.read(client, fleet)
            jobs = await every_job(client)
            assert not await client.job_exists("once")
        assert all(peer.alive for peer in fleet.peers)
    assert sorted(jobs) == [f"declared-{n}" for n in range(DECLARED)]
    assert {job.version for job in jobs.values()} == {1}
    assert {job.counts.slots for job in jobs.values()} == {0}
    created = [row.job_id for row in story.of_kind(RowKind.CREATED)]
    assert sorted(created) == sorted([*jobs, "once"])
    assert [len(runs) for runs in story.starts.values()] == [1]
