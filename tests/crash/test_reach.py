"""How soon a word on one peer is heard on another, and what if it is not heard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aiosched import Job, Scheduler
from aiosched.enums import RowKind
from tests.crash.kit import Fleet, Peer, Story
from tests.crash.peer import FLOOR
from tests.crash.proxy import DeafProxy
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

TIMES = 60
WORDS = 16
"""Jobs, of so many shards that each peer owns some."""
RESYNC = 5.0
ATTENDED = 0.25
"""Beyond the beat that finds an entry: reading the agenda, the claim, the start."""


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def found(fleet: Fleet, kind: str, number: int) -> Any:
    return next(
        (line for _, line in fleet.lines(kind) if line.words[0] == number), None
    )


async def heard(fleet: Fleet, kind: str, number: int, sent: float) -> float:
    """Return the seconds after which a process wrote that it had heard."""
    await wait_until(
        lambda: found(fleet, kind, number) is not None, f"{kind} {number}", poll=0.004
    )
    return float(found(fleet, kind, number).at) - sent


@asynccontextmanager
async def two_peers(
    server: Server, folder: Path, *, runs: bool = False
) -> AsyncIterator[tuple[Fleet, Scheduler]]:
    """Two processes, and a peer of the test's own that has no executors."""
    with Fleet(server.url, folder) as fleet:
        for number in range(2):
            fleet.spawn(floor=number == 0)
        await fleet.up()
        await wait_until(lambda: fleet.peers[0].wrote("listening"), "a listener")
        async with fleet.client(run_jobs=runs) as client:
            yield fleet, client


# One that runs jobs, too, is the first to look after a third of the agendas,
# although it has no executor for what is in them: the others learn at a job's
# first run, a steal delay late, that they come before it.
@pytest.mark.parametrize("runs", [False, True], ids=["client", "peer"])
async def test_a_fire_on_one_peer_runs_on_another(
    launch: Any, tmp_path: Path, *, runs: bool
) -> None:
    server = launch()
    floor: list[float] = []
    took: list[float] = []
    async with two_peers(server, tmp_path, runs=runs) as (fleet, client):
        for index in range(WORDS):
            await client.schedule(
                Job("note", keyword=f"word-{index}", id=f"noted-{index}")
            )
        for index in range(WORDS if runs else 0):
            number = -1 - index
            await client.fire_job(f"word-{index}", {"number": number})
            await heard(fleet, "note", number, 0.0)
        for number in range(TIMES):
            sent = monotonic()
            server.command("PUBLISH", f"{fleet.namespace}-{FLOOR}", str(number))
            floor.append(await heard(fleet, "floor", number, sent))
            sent = monotonic()
            await client.fire_job(f"word-{number % WORDS}", {"number": number})
            took.append(await heard(fleet, "note", number, sent))
        runners = {peer.id for peer, _ in fleet.lines("note")}
    assert len(runners) == 2
    # A busy machine delays the bare message too, which is measured beside it.
    limit = max(0.1, 3 * percentile(floor, 0.95))
    assert percentile(took, 0.95) < limit, (sorted(took)[-5:], sorted(floor)[-5:])


async def test_a_stop_on_one_peer_cancels_on_another(
    launch: Any, tmp_path: Path
) -> None:
    took: list[float] = []
    async with two_peers(launch(), tmp_path) as (fleet, client):
        for index in range(WORDS):
            await client.schedule(
                Job("tick", kwargs={"secs": 60}, keyword="never", id=f"long-{index}")
            )
        for number in range(50):
            job_id = f"long-{number % WORDS}"
            firing = await client.start_job(job_id)
            await _written(fleet, "start", firing.key)
            sent = monotonic()
            await client.stop_job(job_id)
            took.append(await _written(fleet, "cancelled", firing.key) - sent)
            run = await client.wait(firing, timeout=10)
            assert run.outcome == "cancelled"
        story = await Story.read(client, fleet)
    assert max(took) < 1.0, sorted(took)[-5:]
    assert story.sums()["cancelled"] == story.sums()["asked"] == 50
    assert len({peer.id for runs in story.starts.values() for peer, _ in runs}) == 2


async def _written(fleet: Fleet, kind: str, key: str) -> float:
    """Wait for a line about a firing, and return when it was written."""

    def at() -> list[float]:
        return [x.at for _, x in fleet.lines(kind) if x.words[1] == key]

    await wait_until(lambda: bool(at()), f"{kind} of {key}", poll=0.004)
    return at()[0]


async def test_without_any_message_a_resync_late(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    chance = random.Random(seed)
    number = 60 if long_run else 30
    server = launch()
    async with (
        DeafProxy(server.address) as proxy,
        _deaf_pair(proxy, tmp_path) as (fleet, client),
    ):
        await client.schedule(Job("tick", keyword="word", id="fired"))
        for index in range(number):
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            if index % 2:
                await client.schedule(Job("tick", id=f"once-{index}", keep=600))
            else:
                await client.fire_job("word")
        await wait_until(
            lambda: (
                len(fleet.peers[0].lines("end") + fleet.peers[1].lines("end")) == number
            ),
            "all runs",
            timeout=30,
        )
        await client.drain(timeout=20)
        story = await Story.read(client, fleet)
        assert proxy.swallowed > number
    runs = [row.run for row in story.of_kind(RowKind.SUCCEEDED) if row.run]
    assert len(runs) == number
    # Those of one job follow each other; their own instants stand in the rows.
    late = [
        (run.started_at - run.fire_time).total_seconds()
        for run in runs
        if run.started_at is not None
    ]
    assert max(late) < RESYNC + ATTENDED, sorted(late)[-5:]
    assert max(late) > 1.0, "nothing was late, so nothing was lost on the way"
    assert story.second_starts(set()) == []


@asynccontextmanager
async def _deaf_pair(
    proxy: DeafProxy, folder: Path
) -> AsyncIterator[tuple[Fleet, Scheduler]]:
    with Fleet(proxy.url, folder) as fleet:
        peers: list[Peer] = [fleet.spawn(), fleet.spawn()]
        await fleet.up(*peers)
        async with fleet.client() as client:
            yield fleet, client
