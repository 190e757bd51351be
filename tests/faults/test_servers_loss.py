"""Servers that come back with less than they had, or with nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
import redis

from aiosched import IntervalTrigger, Job, LedgerEntry
from aiosched.instants import SECOND
from tests.faults.crew import BEAT, Crew
from tests.servers import Server, ServerError

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

EVERY = 0.25
ROOM = 2.0
"""Seconds for a busy machine, beyond what is promised."""


def grid(job_id: str, start: datetime) -> Job:
    return Job("tick", trigger=IntervalTrigger(seconds=EVERY, start=start), id=job_id)


class Scene:
    """Two peers with two declared jobs, one that is not, and a server to be hurt."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.start = datetime.now(UTC) + timedelta(seconds=0.5)
        self.declared = [grid("declared-1", self.start), grid("declared-2", self.start)]
        self.crew = Crew(server.url)
        self.lost_at = 0.0
        self.back_at = 0.0

    async def __aenter__(self) -> Scene:
        for _ in range(2):
            await self.crew.peer(declare=self.declared)
        self.client = await self.crew.client()
        await self.client.schedule(grid("plain", self.start))
        await self.crew.until_ran("declared-1", "declared-2", "plain", times=2)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.crew.__aexit__(*error)

    async def told(self) -> None:
        """Every peer tells of the loss within a beat of the store's return."""
        at = await self.crew.until_told("data_lost", since=self.lost_at, by=3)
        assert at - self.back_at < BEAT + ROOM, at - self.back_at
        # Once each, however many found out by themselves.
        for _ in range(2):
            await asyncio.sleep(2 * BEAT)
        peers = [x.peer for x in self.crew.events("data_lost", since=self.lost_at)]
        assert sorted(peers) == sorted(self.crew.peers)
        await self.crew.until_well()

    async def restored(self) -> None:
        """The declared jobs are back on their grid, and run."""
        names = [job.id for job in self.declared]
        await self.crew.until_ran(*names, times=3, since=self.back_at)
        for job_id in names:
            job = await self.client.get_job(job_id)
            assert job.next_fire_time is not None
            off = (job.next_fire_time - self.start).total_seconds() / EVERY
            assert off == int(off), "off its grid"

    async def named(self) -> dict[str, int]:
        """Each slot of the declared jobs is one of before the loss or of after it.

        Returns:
            How many of each there were.
        """
        assert self.crew.fences_twice() == []
        counted = {"before": 0, "after": 0, "both": 0, "with the data": 0}
        rows = await self.client.history(limit=1_000_000)
        first = round(self.start.timestamp() * SECOND)
        step = round(EVERY * SECOND)
        for job in self.declared:
            ran = self.crew.ran(job.id)
            before = {int(x.key) for x in ran if x.at < self.back_at}
            after = {int(x.key) for x in ran if x.at >= self.back_at}
            told = {
                slot
                for row in rows
                if row.job_id == job.id
                for slot in _slots(row, step)
            }
            last = max(after)
            for slot in range(first, last + 1, step):
                new = slot in after or slot in told
                if slot in before and new:
                    counted["both"] += 1
                elif slot in before or new:
                    counted["before" if slot in before else "after"] += 1
                else:
                    counted["with the data"] += 1
                    at = slot / SECOND - self.wall_offset
                    assert self.lost_at - 1 < at < self.back_at + BEAT + ROOM, (
                        f"{job.id}: the slot {at - self.lost_at:.2f} s after the loss"
                    )
            fences = [x.fence for x in ran]
            assert fences == sorted(fences), "a fence of after is below one of before"
        return counted

    @property
    def wall_offset(self) -> float:
        return datetime.now(UTC).timestamp() - monotonic()


def _slots(row: LedgerEntry, step: int) -> Iterator[int]:
    """Yield the slots that a row of the ledger is about."""
    if row.first is not None and row.last is not None:
        begin = round(row.first.timestamp() * SECOND)
        yield from range(begin, round(row.last.timestamp() * SECOND) + 1, step)


Loss = Callable[[Scene], Awaitable[None]]


async def _flushed(scene: Scene) -> None:
    scene.lost_at = monotonic()
    scene.server.flush()
    scene.back_at = monotonic()


async def _restarted_empty(scene: Scene) -> None:
    scene.lost_at = monotonic()
    scene.server.kill()
    await asyncio.sleep(0.5)
    scene.server.start()
    scene.back_at = monotonic()


async def _rolled_back(scene: Scene) -> None:
    """The snapshot is of some seconds ago; terms and epoch are the same as ever."""
    scene.server.command("SAVE")
    await scene.client.schedule(grid("later", scene.start))
    await scene.crew.until_ran("later", times=6)
    scene.lost_at = monotonic()
    scene.server.kill()
    await asyncio.sleep(0.5)
    scene.server.start()
    scene.back_at = monotonic()


async def _rolled_back_to_the_terms(scene: Scene) -> None:
    """The snapshot knows the namespace, but none of those that are on it now."""
    scene.lost_at = monotonic()
    scene.server.kill()
    (scene.server.folder / "terms.rdb").replace(scene.server.folder / "dump.rdb")
    scene.server.start()
    scene.back_at = monotonic()


async def _without_the_last_writes(scene: Scene) -> None:
    """A crash takes the end of the append-only file with it: some commits."""
    scene.lost_at = monotonic()
    scene.server.kill()
    (tail,) = scene.server.folder.glob("appendonlydir/*.incr.aof")
    size = tail.stat().st_size
    with tail.open("rb+") as file:
        file.truncate(size - 3_000)
    scene.server.start()
    scene.back_at = monotonic()


async def _older_file(scene: Scene) -> None:
    """Somebody puts back a copy of the append-only file."""
    folder, copy = scene.server.folder / "appendonlydir", scene.server.folder / "copy"
    shutil.copytree(folder, copy)
    await scene.client.schedule(grid("later", scene.start))
    await scene.crew.until_ran("later", times=6)
    scene.lost_at = monotonic()
    scene.server.kill()
    shutil.rmtree(folder)
    copy.rename(folder)
    scene.server.start()
    scene.back_at = monotonic()


async def _terms_only(server: Server) -> None:
    """Begin the namespace, and keep a snapshot of it without anybody on it."""
    async with Crew(server.url) as crew:
        await crew.client()
    server.command("SAVE")
    dump = server.folder / "dump.rdb"
    dump.replace(server.folder / "terms.rdb")


LOSSES: dict[str, tuple[Loss, bool]] = {
    "FLUSHALL": (_flushed, False),
    "no persistence": (_restarted_empty, False),
    "older snapshot": (_rolled_back, False),
    "snapshot of the terms": (_rolled_back_to_the_terms, False),
    "older file": (_older_file, True),
    "without the last writes": (_without_the_last_writes, True),
}
KEEP = {_rolled_back, _older_file, _without_the_last_writes}


@pytest.mark.parametrize("kind", LOSSES)
async def test_a_loss_is_told_and_the_declared_jobs_go_on(
    launch: Any, kind: str
) -> None:
    loss, aof = LOSSES[kind]
    server = launch(aof=aof)
    await _terms_only(server)
    async with Scene(server) as scene:
        await loss(scene)
        await scene.told()
        await scene.restored()
        counted = await scene.named()
        assert counted["before"] + counted["both"] > 0
        assert counted["after"] > 0
        assert await scene.client.job_exists("plain") is (loss in KEEP)
        assert not await scene.client.job_exists("later")


async def test_whoever_comes_first_begins_it_anew_with_the_same_terms(
    launch: Any,
) -> None:
    """A lifeline may connect before any beat; it must not settle other terms."""
    server = launch()
    async with Crew(server.url) as crew:
        peer = await crew.peer()
        assert peer._engine is not None
        assert peer._session is not None
        connect = peer._engine.outside.connect
        assert connect is not None
        # In one step of the loop, so that no beat comes between.
        server.flush()
        session = await connect()
        await session.close()
        await crew.until_told("data_lost")
        await crew.until_well()
        assert session.terms == peer._session.terms
        assert not crew.events("service_failed")


async def test_other_databases_are_none_of_ours(launch: Any) -> None:
    """Somebody empties a database beside ours, and swaps two others."""
    server = launch()
    async with Crew(server.url) as crew:
        peer = await crew.peer()
        await peer.schedule(grid("plain", datetime.now(UTC)))
        await crew.until_ran("plain", times=2)
        with redis.Redis(port=server.port, db=5) as beside:
            beside.set("theirs", "1")
            beside.swapdb(5, 6)
            beside.flushdb()
        await crew.until_ran("plain", times=3, since=monotonic())
        assert not crew.events("data_lost", "store_down")


async def test_our_database_is_swapped_away_and_back(launch: Any) -> None:
    """First it is another data set, then it is the old one again: told each time."""
    server = launch()
    start = datetime.now(UTC)
    async with Crew(server.url) as crew:
        await crew.peer(declare=[grid("declared-1", start)])
        client = await crew.client()
        await client.schedule(grid("plain", start))
        await crew.until_ran("declared-1", "plain", times=2)
        with redis.Redis(port=server.port) as admin:
            for there in (False, True):
                since = monotonic()
                admin.swapdb(0, 7)
                await crew.until_told("data_lost", since=since, by=2)
                await crew.until_ran("declared-1", times=2, since=monotonic())
                assert await client.job_exists("plain") is there
        await crew.until_ran("plain", times=2, since=monotonic())
        assert crew.fences_twice() == []


async def test_a_server_that_is_slow_to_load_its_data(launch: Any) -> None:
    """It answers LOADING for three seconds; all goes on, and nothing is lost."""
    # 10 ms a key, and it looks after its clients now and then.  A single second
    # would be bridged by whoever asks once more.
    server = launch(
        options={
            "key-load-delay": "10000",
            "loading-process-events-interval-bytes": "1024",
        }
    )
    async with Crew(server.url) as crew:
        await crew.peer()
        client = await crew.client()
        await client.schedule(grid("plain", datetime.now(UTC)))
        await crew.until_ran("plain", times=2)
        with redis.Redis(port=server.port, db=1) as beside:
            for n in range(300):
                beside.set(f"key-{n}", "x" * 1_100)
        _shut_down(server)
        since = monotonic()
        await asyncio.to_thread(server.start)
        await crew.until_told("store_up", since=since, by=2)
        said = [str(x.event.data["error"]) for x in crew.events("store_down")]
        assert any("cannot be reached" in one or "loading" in one for one in said)
        await crew.until_ran("plain", times=2, since=monotonic())
        await client.pause("plain")
        await client.drain(timeout=20)
        assert not crew.events("data_lost")
        assert await crew.judged(client, excused=True, every=EVERY) == []


def _shut_down(server: Server) -> None:
    """End it in good order, with a snapshot of all that was written."""
    with contextlib.suppress(OSError, ServerError):
        server.command("SHUTDOWN", "SAVE")
    server.kill()
