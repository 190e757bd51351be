"""Real processes whose wall clocks are wrong, or that stand still over a slot."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aiosched import DateTrigger, IntervalTrigger, Job
from aiosched.enums import Outcome, RowKind
from tests.crash.kit import Fleet, Story, server_now, told
from tests.crash.test_counted import commands
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

OPTIONS = {"lease": 1.5, "terms": {"beat": 0.5, "member_timeout": 1.5}}
JOBS = 10
SLOTS = 20
EVERY = 0.5
HOUR = 3600.0
TEN_YEARS = 10 * 365.25 * 86_400

# Five minutes ahead, five behind, and one that steps an hour back and ten years on.
WRONG: list[dict[str, Any]] = [
    {"wall": 300.0, "steps": [[6.0, -HOUR]]},
    {"wall": -300.0, "steps": [[7.5, TEN_YEARS]]},
    {"wall": 0.0, "steps": [[6.5, -HOUR], [8.5, TEN_YEARS]]},
]


def ticking(begin: datetime) -> list[Job]:
    jobs = []
    for index in range(JOBS):
        start = begin + timedelta(seconds=index * EVERY / JOBS)
        end = start + timedelta(seconds=EVERY * (SLOTS - 1))
        trigger = IntervalTrigger(seconds=EVERY, start=start, end=end)
        jobs.append(Job("tick", trigger=trigger, id=f"tick-{index}"))
    return jobs


async def test_skewed_and_stepping_peers_double_and_lose_no_slot(
    launch: Any, tmp_path: Path
) -> None:
    server = launch()
    with Fleet(server.url, tmp_path, options=OPTIONS) as fleet:
        for wrong in WRONG:
            fleet.spawn(**wrong)
        await fleet.up()
        async with fleet.client() as client:
            begin = datetime.fromtimestamp(server_now(server) + 1.0, UTC)
            await client.schedule_many(ticking(begin))
            before, since = commands(server), monotonic()
            await told(client, JOBS, timeout=60)
            sent, took = commands(server) - before, monotonic() - since
            story = await Story.read(client, fleet)
        assert all(peer.alive for peer in fleet.peers)
    assert story.conservation(SLOTS) == []
    assert story.second_starts(set()) == []
    assert story.sums()["fired"] == JOBS * SLOTS, "each slot ran"
    starts = Counter(peer.id for runs in story.starts.values() for peer, _ in runs)
    assert sum(starts.values()) == JOBS * SLOTS, "and each of them once"
    assert len(starts) == len(WRONG), "all of them took part"
    behind = [row.run.lateness for row in story.rows if row.run is not None]
    # A busy machine is seconds late; a clock that is believed, minutes or years.
    assert all(timedelta() <= by < timedelta(seconds=60) for by in behind if by)
    # A claim and a settlement of a dozen commands each; beats; a client that looks.
    assert sent <= JOBS * SLOTS * 40 + took * 60, f"a storm: {sent} in {took:.0f} s"


async def test_a_process_that_was_stopped_over_a_slot_runs_it_late(
    launch: Any, tmp_path: Path
) -> None:
    stop = 4.5
    server = launch()
    with Fleet(server.url, tmp_path, options=OPTIONS) as fleet:
        only = fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            now = datetime.fromtimestamp(server_now(server), UTC)
            once = Job(
                "tick", id="once", trigger=DateTrigger(now + timedelta(seconds=3))
            )
            begin = now + timedelta(seconds=0.5)
            every = Job(
                "tick",
                id="every",
                trigger=IntervalTrigger(
                    seconds=0.25, start=begin, end=begin + timedelta(seconds=9.75)
                ),
            )
            strict = Job(
                "tick",
                id="strict",
                trigger=every.trigger,
                misfire_grace=1,
                coalesce="all",
                overlap="allow",
                max_running=20,
            )
            await client.schedule_many([once, every, strict])
            await wait_until(lambda: only.wrote("start"), "the first run")
            await asyncio.sleep(0.25)
            only.signal(signal.SIGSTOP)
            await asyncio.sleep(stop)
            only.signal(signal.SIGCONT)
            await told(client, 3, timeout=60)
            story = await Story.read(client, fleet)
        assert only.alive, only.log()[-2000:]
    assert story.conservation(40) == ["once: 1 slots, not 40"]
    by_job = {job: [r for r in story.rows if r.job_id == job] for job in story.jobs}
    ((ran, line),) = story.starts["once", _key(once)]
    (run,) = [row.run for row in by_job["once"] if row.run]
    assert (run.outcome, run.late) == (Outcome.SUCCEEDED, True)
    assert run.lateness is not None
    assert line.lateness == run.lateness.total_seconds() > 1.0
    assert ran is only
    # The others: the newest for all of them, or all that were within the grace.
    skipped = sum(r.count for r in by_job["every"] if r.kind is RowKind.SKIPPED)
    assert skipped >= stop / 0.25 - 4
    missed = sum(r.count for r in by_job["strict"] if r.kind is RowKind.MISSED)
    assert missed >= (stop - 1) / 0.25 - 4
    runs = [r.run for r in by_job["strict"] if r.run]
    assert all(r.lateness <= timedelta(seconds=1) for r in runs if r.lateness)
    assert len(runs) + missed == 40


def _key(job: Job) -> str:
    trigger: Any = job.trigger
    return str(round(trigger.at.timestamp() * 1_000_000))
