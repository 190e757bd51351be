"""Where jobs are kept: S3-03, 04, 28, 40."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiosched import (
    DateTrigger,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Scheduler,
    StoreUnavailableError,
    open_store,
    planning,
)
from aiosched.abc import JobStore, Session, shard_of
from aiosched.instants import DAY, moment
from aiosched.records import Change, Definition, Spec
from aiosched.testing.contract import JobStoreContract
from aiosched.testing.faults import FaultyStore
from examples import sqlite_store
from tests.seeds.stage import FAST, Stage

_EXAMPLE = Path(sqlite_store.__file__)


# --- S3-03: memory ---


@pytest.mark.seed("S3-03")
class TestMemoryJobStore(JobStoreContract):
    """Every promise of the port."""

    async def make_store(self) -> JobStore:
        return MemoryJobStore()


@pytest.mark.seed("S3-03")
async def test_memory_is_the_default_and_is_shared_by_schedulers_of_a_process() -> None:
    assert isinstance(Scheduler().store, MemoryJobStore)
    async with Stage(MemoryJobStore()) as stage:
        one, two = await stage.peer(), await stage.peer()
        job = await one.schedule(Job("note", kwargs={"value": 3}))
        assert await two.result(job, timeout=5) == 3
        async with Scheduler() as stranger:
            assert not await stranger.job_exists(job)
            assert await stranger.history() == []


# --- S3-04: Redis ---


@pytest.mark.seed("S3-04")
class TestRedisJobStore(JobStoreContract):
    """Every promise of the port, on every server of this machine."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url

    async def make_store(self) -> JobStore:
        return open_store(self.url)


@pytest.mark.seed("S3-04")
async def test_jobs_outlive_every_peer_and_the_server(launch: Any) -> None:
    server = launch(aof=True, fsync="always")
    async with Stage(server.url) as stage:
        first = await stage.peer("first")
        await first.schedule(Job("note", id="kept", keyword="k"))
        later = DateTrigger(moment(first._session.estimate() + DAY))  # type: ignore[union-attr]
        await first.schedule(Job("note", id="later", trigger=later))
        await first.shutdown()
        server.restart()
        second = await stage.peer("second")
        assert (await second.get_job("later")).next_fire_time == later.at
        [firing] = await second.fire_job("k", {"value": "still here"})
        assert await second.result(firing, timeout=5) == "still here"
    assert "aioredis" not in sys.modules


# --- S3-28: a store of one's own ---


@pytest.mark.seed("S3-28")
class TestSQLiteJobStore(JobStoreContract):
    """The example keeps every promise of the port too, and has no guards."""

    can_guard = False

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "jobs.sqlite3")

    async def make_store(self) -> JobStore:
        return sqlite_store.SQLiteJobStore(self.path)


@pytest.mark.seed("S3-28")
def test_the_example_is_short() -> None:
    text = _EXAMPLE.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = enumerate(text.splitlines(), 1)
    counted = {number for number, line in lines if line.strip()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            counted -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    assert len(counted) <= 200, "lines of code beside imports, docstrings and blanks"


@pytest.mark.seed("S3-28")
async def test_two_handles_of_a_file_make_two_peers(tmp_path: Path) -> None:
    path = str(tmp_path / "jobs.sqlite3")
    async with Stage(sqlite_store.SQLiteJobStore(path)) as stage:
        client = await stage.peer("client", run_jobs=False)
        other = sqlite_store.SQLiteJobStore(path)
        await stage.peer("worker", store=other)
        tick = IntervalTrigger(milliseconds=50)
        await client.schedule(Job("note", id="tick", trigger=tick, max_runs=3))
        await client.schedule(Job("hold", id="long", keyword="k"))
        await client.fire_job("k")
        await stage.begun("long")
        await client.stop_job("long")
        await stage.begun("tick", 3)
        await client.drain(timeout=10)
        assert {ran.peer for ran in stage.ran} == {"worker"}
        assert all(ran.ended for ran in stage.ran)
    async with Stage(sqlite_store.SQLiteJobStore(path)) as later:
        peer = await later.peer("later")
        assert (await peer.get_job("long")).counts.cancelled == 1


# --- S3-40: a start does not depend on how many jobs there are ---


async def _load(session: Session, count: int) -> None:
    """Store jobs that are due in a year, as fast as the store takes them."""
    spec = Spec("note", DateTrigger(moment(session.estimate())).rule())
    due = session.estimate() + 365 * DAY
    shards: dict[int, list[str]] = {}
    for number in range(count):
        job_id = f"far-{number}"
        shards.setdefault(shard_of(job_id, session.terms.shards), []).append(job_id)

    def decide(records: Any, now: int) -> dict[str, Change]:
        made = {
            i: planning.schedule(Definition(i, spec, due), None, now) for i in records
        }
        return {i: change for i, change in made.items() if change is not None}

    for ids in shards.values():
        for first in range(0, len(ids), 100):
            await session.transact(ids[first : first + 100], decide)


class _Counted(FaultyStore):
    """Counts what is asked of a store, and what it answers."""

    def __init__(self, store: JobStore) -> None:
        super().__init__(store)
        self.entries = 0

    async def carry_out(self, verb: str, *rest: Any, **options: Any) -> Any:
        answer = await super().carry_out(verb, *rest, **options)
        if verb == "agenda":
            self.entries += sum(len(head.entries) for head in answer)
        elif verb == "read":
            self.entries += len(answer)
        return answer


async def _start(store: JobStore, namespace: str) -> tuple[dict[str, int], int]:
    """Start a peer and run a job; return what it asked and what it was told."""
    counted = _Counted(store)
    terms = {**FAST["terms"], "beat": 60.0, "member_timeout": 200.0}
    async with Scheduler(counted, namespace=namespace, lease=60, terms=terms) as peer:
        peer.register(_note, name="note")
        await peer.wait(await peer.schedule(Job("note")), timeout=30)
    return counted.calls, counted.entries


async def _note() -> None:
    pass


@pytest.mark.seed("S3-40")
async def test_a_start_loads_a_window_however_many_jobs_there_are(
    stage: Stage,
) -> None:
    count = 20_000 if stage.url else 100_000
    store = open_store(stage.store)
    terms = {"shards": 4, "lease": 60_000_000, "beat": 60_000_000}
    terms["member_timeout"] = 200_000_000
    asked: list[tuple[dict[str, int], int]] = []
    for namespace, jobs in (("few", 500), ("many", count)):
        session = await store.open(namespace, terms)
        await _load(session, jobs)
        asked.append(await _start(store, namespace))
        assert len((await session.list(limit=500)).records) >= 100
        await session.close()
    (few, _), (many, _) = asked
    assert few["list"] == many["list"] == 0
    assert abs(sum(many.values()) - sum(few.values())) <= 10
    # Whatever there is, heads of a hundred entries of four shards are read, by the
    # timer three or four times and by the alarms once; and a few looks.
    for calls, entries in asked:
        assert calls["agenda"] <= 6
        assert entries <= 4 * 100 * calls["agenda"] + calls["read"]


_TARGET = """
import atexit, resource
from aiosched import Scheduler
scheduler = Scheduler({url!r}, namespace="seeds", name="target")
kilobytes = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
atexit.register(lambda: print("rss", kilobytes()))
"""


@pytest.mark.seed("S3-40")
async def test_the_command_is_ready_at_once_and_stays_small(
    redis_url: str, tmp_path: Path
) -> None:
    session = await open_store(redis_url).open("seeds", {})
    await _load(session, 20_000)
    await session.close()
    (tmp_path / "target.py").write_text(_TARGET.format(url=redis_url))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "aiosched", "run", "target:scheduler", "--once"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ready, *_, rss = done.stdout.splitlines()
    assert float(ready.split()[2]) < 5
    assert int(rss.split()[1]) < 300_000


@pytest.mark.seed("S3-40")
async def test_a_store_that_is_not_there_is_told_at_the_start() -> None:
    scheduler = Scheduler("redis://127.0.0.1:1")
    with pytest.raises(StoreUnavailableError):
        await scheduler.start()
