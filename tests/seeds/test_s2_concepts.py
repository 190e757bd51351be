"""Triggers, stores and executors, as APScheduler's guide names them: S2-06 to S2-09."""

from __future__ import annotations

import inspect
import sqlite3
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aiosched import (
    AndTrigger,
    CalendarIntervalTrigger,
    Context,
    CronTrigger,
    DateTrigger,
    Executor,
    IntervalTrigger,
    Job,
    JobStore,
    OrTrigger,
    Outcome,
    Run,
    Trigger,
    TriggerError,
    open_store,
)
from aiosched.triggers.base import trigger_from_data
from tests import servers
from tests.cli.commands import environment
from tests.seeds.stage import Stage
from tests.waiting import wait_until

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
TRIGGERS: list[Trigger] = [
    DateTrigger(NOON + timedelta(hours=1)),
    IntervalTrigger(minutes=7, start=NOON),
    CronTrigger("*/5 9-17 * * mon-fri", tz="Europe/Berlin"),
    CalendarIntervalTrigger(months=1, start=date(2030, 1, 31), at="08:00"),
    OrTrigger([CronTrigger("0 8 * * *"), CronTrigger("30 20 * * *")]),
    AndTrigger([CronTrigger("0 */2 * * *"), CronTrigger("0 */3 * * *")]),
]


# --- S2-06: a trigger ----------------------------------------------------------


@pytest.mark.seed("S2-06")
@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda one: type(one).__name__)
async def test_a_trigger_is_a_pure_function_of_time(
    stage: Stage, trigger: Trigger
) -> None:
    first = list(trigger.upcoming(5, NOON))
    assert first == list(trigger.upcoming(5, NOON)), "it remembers nothing"
    assert first == sorted(set(first))
    assert all(one > NOON for one in first)
    same = trigger_from_data(trigger.to_data())
    assert same == trigger
    assert list(same.upcoming(5, NOON)) == first
    async with stage:
        client = await stage.peer("client", run_jobs=False)
        client.register(_nothing, name="nothing")
        stored = await client.schedule(
            Job("nothing", id="a", trigger=trigger, paused=True)
        )
        assert stored.trigger == trigger
        assert (await client.get_job("a")).trigger == trigger


@pytest.mark.seed("S2-06")
def test_a_job_has_one_trigger() -> None:
    assert Job("work", trigger=TRIGGERS[4]).trigger == TRIGGERS[4]
    assert Job("work").trigger is None
    with pytest.raises((TriggerError, ValueError), match="trigger"):
        Job("work", trigger=TRIGGERS[:2])  # type: ignore[arg-type]


async def _nothing() -> None:
    pass


# --- S2-07: a job store --------------------------------------------------------


@pytest.mark.seed("S2-07")
def test_stores_are_a_port_with_two_adapters(redis_url: str) -> None:
    assert inspect.isabstract(JobStore)
    assert inspect.iscoroutinefunction(JobStore.open)
    names = {type(open_store(url)).__name__ for url in ("memory://", redis_url)}
    assert names == {"MemoryJobStore", "RedisJobStore"}
    assert all(isinstance(open_store(u), JobStore) for u in ("memory://", redis_url))


OF_A_USER = """
import pytest
from aiosched import MemoryJobStore
from aiosched.testing.contract import JobStoreContract


class Forgetful(MemoryJobStore):
    async def open(self, *args, **kwargs):
        session = await super().open(*args, **kwargs)

        async def nothing(*args, **kwargs):
            return {}

        session.read = nothing
        return session


class TestKept(JobStoreContract):
    async def make_store(self):
        return MemoryJobStore()


class TestBroken(JobStoreContract):
    async def make_store(self):
        return Forgetful()
"""


@pytest.mark.seed("S2-07")
def test_the_contract_is_for_the_stores_of_others(tmp_path: Path) -> None:
    (tmp_path / "test_stores.py").write_text(OF_A_USER, encoding="utf-8")
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto")
    done = subprocess.run(
        [sys.executable, *words, "-k", "read", "test_stores.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed, done.stdout + done.stderr
    assert all("TestBroken" in line for line in failed)
    assert " passed" in done.stdout


# --- S2-08: a store that is shared ---------------------------------------------


@pytest.mark.seed("S2-08")
async def test_five_schedulers_share_ten_thousand_occurrences() -> None:
    with servers.Server(servers.binaries()[-1]) as server:
        await _share(Stage(server.url))


async def _share(stage: Stage) -> None:
    async with stage:
        peers = [await stage.peer(max_concurrency=500) for _ in range(5)]
        jobs = [Job("note", id=f"j{number}", keep=0) for number in range(10_000)]
        await peers[0].schedule_many(jobs)
        await wait_until(lambda: len(stage.ran) >= len(jobs), "all runs", timeout=90)
        await peers[0].drain(timeout=30)
        assert Counter(ran.job for ran in stage.ran) == {job.id: 1 for job in jobs}
        assert len({ran.peer for ran in stage.ran}) == 5


# --- S2-09: an executor --------------------------------------------------------


class Add(Executor):
    """Adds, as a class of a user would."""

    async def run(self, context: Context, a: int, b: int) -> int:
        return a + b


@pytest.mark.seed("S2-09")
async def test_outcomes_are_told_to_a_listener_that_writes_to_a_database(
    stage: Stage, tmp_path: Path
) -> None:
    database = sqlite3.connect(tmp_path / "runs")
    database.execute("CREATE TABLE runs (job, outcome, result)")

    def listener(run: Run) -> None:
        row = (run.job_id, str(run.outcome), run.result)
        database.execute("INSERT INTO runs VALUES (?, ?, ?)", row)
        database.commit()

    async with stage:
        client, worker = await stage.two()
        for peer in (client, worker):
            peer.register(Add)
        client.add_done_callback(listener)  # elsewhere than they run
        for number in range(3):
            job = Job("Add", id=f"j{number}", args=(number, 1))
            run = await client.wait(await client.schedule(job), timeout=10)
            assert (run.outcome, run.result) == (Outcome.SUCCEEDED, number + 1)

        def rows() -> list[tuple[str, str, int]]:
            return list(database.execute("SELECT * FROM runs ORDER BY job"))

        await wait_until(lambda: len(rows()) == 3, "three rows")
        assert rows() == [(f"j{n}", "succeeded", n + 1) for n in range(3)]
    database.close()
