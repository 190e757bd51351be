"""A peer that stands still: stopped by a signal, or by code that blocks its loop."""

from __future__ import annotations

import asyncio
import random
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job
from aiosched.enums import Outcome, RowKind
from tests.crash.kit import Fleet, Line, Peer, Story, told
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

LEASE = 1.5
OPTIONS = {"lease": LEASE, "terms": {"beat": 0.5, "member_timeout": LEASE}}
JOBS = 20


def ticking(slots: int, every: float, **kwargs: Any) -> list[Job]:
    begin = datetime.now(UTC) + timedelta(seconds=1)
    jobs = []
    for index in range(JOBS):
        start = begin + timedelta(seconds=index * every / JOBS)
        end = start + timedelta(seconds=every * (slots - 1))
        trigger = IntervalTrigger(seconds=every, start=start, end=end)
        jobs.append(Job("tick", trigger=trigger, id=f"tick-{index}", kwargs=kwargs))
    return jobs


async def test_a_stopped_peer_beats_before_it_runs(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    chance = random.Random(seed)
    rounds = 8 if long_run else 2
    slots = rounds * 18 + 4
    resumed: list[float] = []
    with Fleet(launch().url, tmp_path, options=OPTIONS) as fleet:
        frozen, other = fleet.spawn(), fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            await client.schedule_many(ticking(slots, 0.5, secs=0.2))
            for _ in range(rounds):
                await asyncio.sleep(chance.uniform(2.0, 3.0))
                frozen.signal(signal.SIGSTOP)
                await asyncio.sleep(3 * LEASE)
                resumed.append(monotonic())
                frozen.signal(signal.SIGCONT)
            await told(client, JOBS, timeout=90)
            story = await Story.read(client, fleet)
        assert frozen.alive, frozen.log()[-2000:]
        assert other.alive, other.log()[-2000:]
        assert _too_soon(frozen, resumed) == []
        assert _usurped(story, frozen.id) == []
        assert story.conservation(slots) == []
        assert story.second_starts({frozen.id}) == []
        lost = {row.peer for row in story.lost().values()}
        assert lost == {frozen.id}, "nothing was taken over"
        last = max(line.at for line in frozen.lines("start"))
        assert last > resumed[-1], "it never worked again"


def _too_soon(peer: Peer, resumed: list[float]) -> list[Line]:
    """Return what a peer started after each stop and before its first beat."""
    wrong = []
    for since in resumed:
        after = [line for line in peer.lines("start", "back") if line.at >= since]
        kinds = [line.kind for line in after]
        assert "back" in kinds, "it has not noticed that it was away"
        wrong += after[: kinds.index("back")]
    return wrong


def _usurped(story: Story, peer: str) -> list[str]:
    """Return the runs of a peer that others had given up and that it closed."""
    lost = story.lost()
    return [
        f"{row.job_id}: {row.kind} after it was lost"
        for row in story.rows
        if row.kind is not RowKind.LOST and row.run is not None and row.fence in lost
    ] + [
        f"{row.job_id}: lost by {row.peer}" for row in lost.values() if row.peer != peer
    ]


async def test_a_loop_blocked_for_three_leases(launch: Any, tmp_path: Path) -> None:
    slots = 24
    # A lifeline stands in for four leases here, so that having been idle for
    # longer before a run that blocks is no matter of minutes.
    with Fleet(launch().url, tmp_path, options=OPTIONS, config={"bound": 4}) as fleet:
        fleet.spawn()
        fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            await asyncio.sleep(5 * LEASE)
            first = Job("block", kwargs={"secs": 3 * LEASE}, id="first")
            await client.schedule(first)
            assert (await client.wait(first, timeout=30)).attempt == 1
            await client.schedule_many(ticking(slots, 0.5))
            beside = [Job("tick", kwargs={"secs": 6}, id=f"b-{n}") for n in range(12)]
            await client.schedule_many(beside)
            await wait_until(
                lambda: (
                    {p.id for p, x in fleet.lines("start") if x.words[0][0] == "b"}
                    == {peer.id for peer in fleet.peers}
                ),
                "long runs on both peers",
            )
            blocking = Job("block", kwargs={"secs": 3 * LEASE}, id="blocking")
            await client.schedule(blocking)
            run = await client.wait(blocking, timeout=30)
            await told(client, JOBS + len(beside) + 2, timeout=60)
            story = await Story.read(client, fleet)
        assert all(peer.alive for peer in fleet.peers)
    told_by = [(peer.id, peer.log()[-1500:]) for peer in fleet.peers]
    assert (run.outcome, run.attempt) == (Outcome.SUCCEEDED, 1), told_by
    assert story.lost() == {}
    ((holder, begun),) = story.starts[run.job_id, run.key]
    assert holder.id == run.peer
    # It kept what else it ran, and the others went on meanwhile.
    assert story.second_starts(set()) == []
    assert all(
        row.run.attempt == 1 and row.run.outcome is Outcome.SUCCEEDED
        for row in story.rows
        if row.run is not None
    )
    assert _ticks(story, begun.at, begun.at + 3 * LEASE) > JOBS, "nothing went on"
    ticks = {i: job for i, job in story.jobs.items() if i.startswith("tick")}
    only = Story(ticks, [r for r in story.rows if r.job_id in ticks], story.starts)
    assert only.conservation(slots) == []


def _ticks(story: Story, since: float, until: float) -> int:
    """Count the starts of the jobs beside, within a time."""
    return sum(
        since < line.at < until
        for firing, runs in story.starts.items()
        for _, line in runs
        if firing[0].startswith("tick")
    )
