"""The tables of start times that the pages promise, run on three peers."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.abc import shard_of
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, adds_up, at

_PAGE = Path(__file__).parents[2] / "docs/explanation/planning.md"
_ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| `([\d@. ]+)` \|$", re.MULTILINE)


def table() -> dict[str, tuple[int, list[tuple[float, float]]]]:
    """Return, for each overlap rule, ``max_running`` and (slot, start)."""
    text = _PAGE.read_text(encoding="utf-8")
    rows = {}
    for overlap, most, starts in _ROW.findall(text):
        pairs = [entry.split("@") for entry in starts.split()]
        rows[overlap] = int(most), [(float(slot), float(on)) for slot, on in pairs]
    return rows


TABLE = table()


def test_the_table_has_each_rule() -> None:
    assert set(TABLE) == {"skip", "queue", "allow", "cancel_previous"}
    assert all(len(starts) >= 4 for _, starts in TABLE.values())


@pytest.mark.virtual(timeout=100_000)
@pytest.mark.parametrize("peers", [1, 3])
@pytest.mark.parametrize("overlap", TABLE)
async def test_the_written_starts_are_those_of_any_number_of_peers(
    overlap: str, peers: int
) -> None:
    most, starts = TABLE[overlap]
    async with World() as world:
        for n in range(peers):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        begin = 10.0
        trigger = IntervalTrigger(seconds=1, start=at(begin), end=at(begin + 9))
        jobs = [
            Job(
                "work",
                id=f"j{n}",
                trigger=trigger,
                kwargs={"seconds": 2.5},
                overlap=overlap,
                max_running=most,
                keep=600,
            )
            for n in range(12)
        ]
        p0 = world.peers["p0"]
        await p0.schedule_many(jobs)
        await asyncio.sleep(60)
        assert len({ran.peer for ran in world.runs}) == peers
        for job in jobs:
            seen = [(r.fire_time - begin, r.at - begin) for r in world.of(job)]
            assert seen == starts, job.id
        for job in await p0.get_jobs(state="finished"):
            adds_up(job)
            assert (job.counts.fired, job.counts.slots) == (len(starts), 10)


@pytest.mark.virtual(timeout=100_000)
@pytest.mark.parametrize("overlap", TABLE)
async def test_the_written_starts_survive_the_owner_of_the_job(
    overlap: str,
) -> None:
    most, starts = TABLE[overlap]
    async with World() as world:
        for n in range(3):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        trigger = IntervalTrigger(seconds=1, start=at(10), end=at(19))
        job = Job(
            "work",
            id="a",
            trigger=trigger,
            kwargs={"seconds": 2.5},
            overlap=overlap,
            max_running=most,
            keep=600,
        )
        await p0.schedule(job)
        owner = _owner(list(world.peers.values()))
        world.crash(owner.name)
        await asyncio.sleep(60)
        assert owner.name not in {ran.peer for ran in world.runs}
        seen = [(r.fire_time - 10, r.at - 10) for r in world.runs]
        # A backup is a steal delay behind until the owner counts as gone.
        assert [slot for slot, _ in seen] == [slot for slot, _ in starts]
        for (_, was), (_, written) in zip(seen, starts, strict=True):
            assert written <= was <= written + 0.8


def _owner(peers: list[Scheduler]) -> Scheduler:
    for peer in peers:
        engine = peer._running_engine()
        shards = engine.session.terms.shards
        if engine.heads.rank((shard_of("a", shards), "default")) == 0:
            return peer
    raise AssertionError("nobody owns it")


async def test_on_a_real_store_no_slot_runs_beside_or_before_its_turn(
    make_scheduler: MakeScheduler,
) -> None:
    """In real time the order of the table is what can be compared, not its instants."""
    seen: list[tuple[str, str]] = []

    def work(name: str) -> object:
        async def work() -> None:
            seen.append((name, "start"))
            await asyncio.sleep(0.25)
            seen.append((name, "end"))

        return work

    peers = [make_scheduler(f"p{n}") for n in range(3)]
    try:
        for peer in peers:
            peer.register(work(peer.name), name="work")
            await peer.start()
        trigger = IntervalTrigger(milliseconds=100)
        job = Job(
            "work", id="a", trigger=trigger, overlap="queue", max_runs=10, keep=600
        )
        await peers[0].schedule(job)
        await peers[0].wait("a", timeout=10)
        await peers[0].drain(timeout=20)
        (stored,) = await peers[0].get_jobs(state="finished")
        rows = [row.run for row in await peers[0].history("a") if row.run]
    finally:
        await asyncio.gather(*(peer.shutdown(force=True) for peer in peers))
    assert [word for _, word in seen] == ["start", "end"] * 10, "never two at once"
    adds_up(stored)
    assert stored.counts.fired == stored.counts.slots == 10
    slots = [run.fire_time for run in reversed(rows)]
    assert slots == sorted(slots)
    assert [run.missed for run in rows] == [0] * 10, "each slot had its turn"
