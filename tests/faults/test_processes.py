"""Processes that are killed, stopped, blocked and told to end, under every load."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aiosched.enums import Outcome, RowKind
from tests.faults.judge import judged
from tests.faults.kit import Cluster, Load, cluster, too_soon
from tests.faults.peer import POINTS
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]


async def test_processes_in_trouble(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    faults = ["kill", "freeze", "block", "terminate"] * (8 if long_run else 1)
    load = Load(7.0 * len(faults) - 4.0, random.Random(seed))
    async with cluster(launch(), tmp_path, seed) as made:
        await load.schedule(made.client)
        until = monotonic() + load.seconds
        client = asyncio.create_task(load.go_on(made.client, until))
        try:
            for fault in made.chance.sample(faults, len(faults)):
                await asyncio.sleep(made.chance.uniform(0.7, 1.3))
                await _cause(made, fault)
        finally:
            await client
        evidence = await made.evidence(load)
        verdict = judged(evidence)
    assert verdict.wrong == verdict.late == []
    assert load.refused == {}, "the store was there all the time"
    assert len(load.asked) + len(load.once) > 10 * len(faults)
    assert verdict.runs > 100 * len(faults), "hardly a load"
    # A machine that is too busy stops a peer for a lease by itself, too; and in
    # a short run the peer that is stopped may have nothing to run just then.
    fenced = {"fenced: frozen", "fenced: away"}
    assert verdict.explained.keys() & fenced or not long_run
    felt = verdict.explained.keys() - fenced - {"nothing"}
    every = {"dead", "handed back", "tried again"}
    # One fault of each kind may meet a peer that has nothing to run just then.
    assert felt == every if long_run else felt <= every
    for job_id in [x for x in evidence.jobs if x.startswith("block-")]:
        ((_, lines),) = [i for i in evidence.starts.items() if i[0][0] == job_id]
        assert len(lines) == 1, "it was handed round"
        assert evidence.jobs[job_id].counts.succeeded == 1


async def _cause(made: Cluster, fault: str) -> None:
    link = made.chance.choice(made.living)
    if fault == "kill":
        await made.kill(link)
    elif fault == "terminate":
        await made.terminate(link)
    elif fault == "block":
        job_id, holder = await made.block()
        at = [x.at for x in holder.peer.lines("start", "end") if x.words[0] == job_id]
        others = [x for x in made.living if x is not holder]
        went_on = [
            line
            for other in others
            for line in other.peer.lines("start")
            if at[0] < line.at < at[-1]
        ]
        assert len(went_on) > 20, "the others stood still, too"
    else:
        resumed = await made.freeze(link)
        await wait_until(
            lambda: any(line.at > resumed for line in link.peer.lines("back")),
            "a thawed peer that notices",
            timeout=30,
        )
        assert too_soon(link.peer, resumed) == []


async def test_a_death_at_each_point(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    load = Load(45.0 if long_run else 15.0, random.Random(seed))
    times = 3 if long_run else 1
    at_work = [point for point in POINTS if point != "handing back"]
    async with cluster(launch(), tmp_path, seed, peers=1) as made:
        # However slowly they come up: what they die of begins when they are there.
        fresh = [made.doom(point, 1, load) for point in at_work]
        doomed = await asyncio.gather(*fresh)
        await load.schedule(made.client)
        client = asyncio.create_task(
            load.go_on(made.client, monotonic() + load.seconds)
        )
        try:
            doomed.append(await made.doom("handing back", 1, load))
            await made.died(*doomed)
            for nth in range(2, times + 1):
                fresh = [made.doom(point, nth, load) for point in POINTS]
                doomed += await asyncio.gather(*fresh)
                await made.died(*doomed[-len(POINTS) :])
        finally:
            await client
        evidence = await made.evidence(load)
        verdict = judged(evidence)
    for link in doomed:
        assert link.peer.process.returncode == -9, link.peer.log()[-2000:]
    assert {x.peer.lines("dies")[0].words[0] for x in doomed} == set(POINTS)
    assert verdict.wrong == []
    assert verdict.explained["dead"] > 0
    kinds = {row.kind for row in evidence.rows if row.run is not None}
    assert RowKind.LOST in kinds
    outcomes = {row.run.outcome for row in evidence.rows if row.run is not None}
    assert Outcome.SUCCEEDED in outcomes
