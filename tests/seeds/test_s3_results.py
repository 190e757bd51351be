"""What runs leave behind: S3-14, 26, 38, 54, 57."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from aiosched import (
    Cause,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    JobState,
    MemoryJobStore,
    Outcome,
    Retry,
    Run,
    RunFailedError,
    RunTimedOutError,
    Scheduler,
    StoreUnavailableError,
    WaitTimeoutError,
    open_store,
)
from aiosched.enums import RowKind
from aiosched.testing.faults import Fault, FaultyStore
from tests.engine.kit import World
from tests.seeds.stage import Stage
from tests.waiting import wait_until

# --- S3-14: a result is a row of its own ---


@pytest.mark.seed("S3-14")
async def test_a_result_says_what_when_where_and_how(stage: Stage) -> None:
    async with stage:
        client, worker = await stage.two()
        begun = datetime.now(UTC)
        twice = Retry(attempts=2, delay=0.01)
        await client.schedule(Job("fail", id="a", keyword="k", retry=twice))
        [firing] = await client.fire_job("k")
        run = await client.wait(firing, timeout=5)
        assert (run.job_id, run.key, run.attempt) == ("a", firing.key, 2)
        assert (run.outcome, run.final, run.peer) == (Outcome.FAILED, True, worker.id)
        assert run.cause is Cause.KEYWORD
        assert run.started_at is not None
        assert begun.timestamp() - 5 < run.fire_time.timestamp()
        assert run.fire_time <= run.started_at <= run.ended_at
        assert run.error is not None
        assert run.error.type.endswith("LookupError")
        assert run.error.message == "attempt 2"
        rows = [entry.run for entry in await client.history("a") if entry.run]
        assert [(row.attempt, row.final) for row in rows] == [(2, True), (1, False)]
        assert rows[0] == run
        assert len(await client.history("a", limit=1)) == 1
        assert await client.history("a", since=datetime(2100, 1, 1, tzinfo=UTC)) == []


@pytest.mark.seed("S3-14")
async def test_results_on_the_command_line(redis_url: str) -> None:
    stage = Stage(redis_url)
    async with stage:
        client, worker = await stage.two()
        await client.schedule(Job("note", id="a", keyword="k"))
        for number in range(7):
            [firing] = await client.fire_job("k", {"value": number})
            await client.wait(firing, timeout=5)
    words = ["results", "a", "--store", redis_url, "--namespace", stage.namespace]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "aiosched", *words, "--limit", "5", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert [row["value"] for row in found] == [6, 5, 4, 3, 2]
    assert {(row["job_id"], row["status"]) for row in found} == {("a", "succeeded")}
    assert {row["node"] for row in found} == {worker.id}
    wanted = {"run_id", "job_id", "due", "started", "ended", "status"}
    wanted |= {"value", "error", "attempt", "node"}
    assert all(wanted <= row.keys() for row in found)


# --- S3-57: waiting for a result, anywhere ---


@pytest.mark.seed("S3-57")
async def test_a_result_is_had_on_any_peer_before_and_after(stage: Stage) -> None:
    async with stage:
        client, worker = await stage.two()
        job = await client.schedule(Job("hold", id="a"))
        waiting = [asyncio.ensure_future(p.result("a")) for p in (client, worker)]
        await stage.begun(job)
        with pytest.raises(WaitTimeoutError):
            await client.result("a", timeout=0.05)
        stage.gate.set()
        async with asyncio.timeout(5):
            assert await asyncio.gather(*waiting) == ["held", "held"]
        late = await stage.peer("late", run_jobs=False)
        assert await late.result("a", timeout=5) == "held"
        with pytest.raises(JobNotFoundError):
            await late.result("unknown", timeout=5)
        failed = await client.schedule(Job("fail"))
        with pytest.raises(RunFailedError, match="LookupError: attempt 1"):
            await late.result(failed, timeout=5)
        stage.gate.clear()
        slow = await client.schedule(Job("hold", timeout=0.1))
        with pytest.raises(RunTimedOutError):
            await client.result(slow, timeout=5)


@pytest.mark.seed("S3-57")
@pytest.mark.virtual(timeout=1000)
async def test_a_run_that_ends_while_a_wait_begins_is_waited_for() -> None:
    store = MemoryJobStore()
    slow = FaultyStore(store, Fault("ledger", kind="delay", seconds=2.0, times=None))
    async with World(store) as world:
        await world.peer("p0")
        world.store = slow
        observer = await world.peer("observer", run_jobs=False)
        work = {"seconds": 1.0, "value": "in time"}
        await observer.schedule(Job("work", id="a", kwargs=work))
        assert await observer.result("a", timeout=30) == "in time"
        assert slow.struck


# --- S3-54: the job goes, its results stay ---


@pytest.mark.seed("S3-54")
async def test_a_completed_job_is_gone_and_its_result_is_there(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        for job in (Job("note", id="named"), Job("note")):
            stored = await client.schedule(job)
            await client.wait(stored, timeout=5)
            assert not await client.job_exists(job)
            [run] = [entry.run for entry in await client.history(job) if entry.run]
            assert run.outcome is Outcome.SUCCEEDED
            assert job.id not in {one.id for one in await client.get_jobs()}


@pytest.mark.seed("S3-54")
@pytest.mark.virtual(timeout=1_000_000)
async def test_results_go_when_their_retention_ends() -> None:
    async with World(terms={"ledger_age": 3600}) as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", kwargs={"value": 1}, keep=1800))
        assert await p0.result("a") == 1
        await asyncio.sleep(1700)
        assert await p0.state("a") is JobState.FINISHED
        assert await p0.result("a") == 1
        await asyncio.sleep(1800)
        assert len([e for e in await p0.history("a") if e.run]) == 1
        await asyncio.sleep(200)
        assert await p0.history("a") == []
        assert await p0.state("a") is JobState.UNKNOWN
        with pytest.raises(JobNotFoundError):
            await p0.result("a")


# --- S3-26, S3-38: completion is one step ---


class _Watched:
    """Looks at jobs from outside, again and again, while they complete."""

    def __init__(self, observer: Scheduler) -> None:
        self.observer = observer
        self.gone: set[str] = set()

    async def look(self, job_id: str) -> None:
        """Check that a job which is gone has its result."""
        exists = await self.observer.job_exists(job_id)
        if not exists:
            rows = [e for e in await self.observer.history(job_id) if e.run]
            assert len(rows) == 1, "the job is gone, and its result is not there"
            self.gone.add(job_id)


@pytest.mark.seed("S3-26", "S3-38")
@pytest.mark.virtual(timeout=1_000_000)
@pytest.mark.parametrize("kind", ["refuse", "lost_reply"])
async def test_a_completion_cut_off_a_thousand_times_loses_nothing(kind: str) -> None:
    inner = MemoryJobStore()
    faulty = FaultyStore(inner)
    async with World(inner, terms={"shards": 4}) as world:
        observer = await world.peer("observer", run_jobs=False)
        watched = _Watched(observer)
        heard: list[str] = []

        async def told(run: Run) -> None:
            # The event never comes before the result.
            await watched.look(run.job_id)
            heard.append(run.job_id)

        observer.add_done_callback(told)
        world.store = faulty
        await world.peer("cut")
        world.store = inner
        for number in range(500):
            job_id = f"j{number}"
            settle = Fault("transact", kind=kind, match=_settles(job_id))  # type: ignore[arg-type]
            faulty.plan(settle)
            job = Job("work", id=job_id, kwargs={"seconds": 0.1, "value": number})
            await observer.schedule(job)
            while await observer.job_exists(job_id):
                await watched.look(job_id)
                await asyncio.sleep(0.05)
            await watched.look(job_id)
            assert await observer.result(job_id) == number
            assert await observer.state(job_id) is JobState.FINISHED
        struck = [strike for strike in faulty.struck if strike.verb == "transact"]
        assert len(struck) == len(world.runs) == 500
        await asyncio.sleep(10)
        assert sorted(heard) == sorted(f"j{number}" for number in range(500))


def _settles(job_id: str) -> Any:
    """Match the write that ends a job's run: the second one of its peer."""
    seen: list[bool] = []

    def match(ids: list[str], **_: Any) -> bool:
        if job_id in ids:
            seen.append(True)
        return job_id in ids and len(seen) >= 2

    return match


@pytest.mark.seed("S3-26", "S3-38")
@pytest.mark.virtual(timeout=1_000_000)
async def test_a_peer_killed_at_any_step_of_a_completion_loses_nothing() -> None:
    store = MemoryJobStore()
    terms = {"shards": 2, "beat": 0.5, "member_timeout": 1.0}
    async with World(store, lease=1.0, terms=terms) as world:
        observer = await world.peer("observer", run_jobs=False)
        heard: list[str] = []
        observer.add_done_callback(lambda run: heard.append(run.job_id))
        cuts = 0
        for number in range(200):
            name, job_id = f"p{number}", f"j{number}"
            faulty = FaultyStore(store)
            world.store = faulty
            await world.peer(name)
            world.store = store
            kind = "hang" if number % 2 else "delay"
            # Killed with the write still to be made, or just made.
            settle = Fault("transact", kind=kind, match=_settles(job_id))  # type: ignore[arg-type]
            faulty.plan(settle)
            work = {"seconds": 0.1, "value": number}
            await observer.schedule(Job("work", id=job_id, kwargs=work, max_lost=100))
            await asyncio.sleep(0.1 + (number % 5) * 1e-6)
            exists = await observer.job_exists(job_id)
            world.crash(name)
            rows = [e for e in await observer.history(job_id) if e.run]
            assert len(rows) == (0 if exists else 1)
            cuts += exists
        await world.peer("heir")
        await observer.drain(timeout=600)
        for number in range(200):
            assert await observer.result(f"j{number}") == number
        assert cuts > 100
        await asyncio.sleep(10)
        assert sorted(set(heard)) == sorted(heard)
        assert len(heard) == 200


@pytest.mark.seed("S3-26", "S3-38")
async def test_on_every_store_a_job_is_gone_only_with_its_result(stage: Stage) -> None:
    store = open_store(stage.store)
    faulty = FaultyStore(store)
    async with stage:
        observer = await stage.peer("observer", run_jobs=False, store=store)
        await stage.peer("cut", store=faulty)
        watched = _Watched(observer)
        for number in range(20):
            job_id = f"j{number}"
            kind = ("refuse", "lost_reply")[number % 2]
            faulty.plan(Fault("transact", kind=kind, match=_settles(job_id)))  # type: ignore[arg-type]
            value = {"value": number}
            await observer.schedule(Job("note", id=job_id, kwargs=value))
            while await observer.job_exists(job_id):
                await watched.look(job_id)
            await watched.look(job_id)
            assert await observer.result(job_id, timeout=5) == number
        assert (len(watched.gone), len(faulty.struck)) == (20, 20)
        assert len(stage.ran) == 20


@pytest.mark.seed("S3-38")
async def test_the_order_is_result_event_callback(stage: Stage) -> None:
    async with stage:
        peer = await stage.peer()
        story: list[tuple[str, int]] = []

        async def note(name: str, job_id: str) -> None:
            rows = [e for e in await peer.history(job_id) if e.run]
            story.append((name, len(rows)))

        peer.on("run_ended", lambda event: note("event", event.job_id or ""))
        peer.add_done_callback(lambda run: note("callback", run.job_id))
        job = await peer.schedule(Job("note"))
        await peer.wait(job, timeout=5)
        await wait_until(lambda: len(story) == 2, "event and callback")
        assert sorted(story) == [("callback", 1), ("event", 1)]
        kinds = [entry.kind for entry in await peer.history(job)]
        assert kinds == [RowKind.SUCCEEDED, RowKind.CREATED]


@pytest.mark.seed("S3-26")
async def test_a_store_that_is_away_tells_so_and_keeps_everything() -> None:
    store = MemoryJobStore()
    faulty = FaultyStore(store)
    async with Stage(store) as stage:
        peer = await stage.peer(store=faulty)
        tick = IntervalTrigger(hours=1)
        await peer.schedule(Job("note", id="a", trigger=tick, paused=True))
        faulty.plan(Fault("transact"))
        with pytest.raises(StoreUnavailableError):
            await peer.modify("a", note="lost")
        assert (await peer.get_job("a")).note == ""
        assert (await peer.modify("a", note="kept")).version == 2
