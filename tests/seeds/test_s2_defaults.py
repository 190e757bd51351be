"""What one gets without choosing: S2-18, S2-20, S2-A06, S2-A17, S1-30."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

from aiosched import (
    ArgumentsError,
    ConfigurationError,
    Context,
    IntervalTrigger,
    Job,
    JobExistsError,
    Scheduler,
    UnknownExecutorError,
)
from aiosched.context import current_run
from tests.docs.pages import blocks, name, pages
from tests.seeds.stage import FAST, Stage

ROOT = Path(__file__).parents[2]

BARE = """
import asyncio, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "redis", "hiredis", "rich", "prometheus_client", "opentelemetry", "uvloop",
        }:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())

from aiosched import Job, MemoryJobStore, Scheduler

async def main():
    async with Scheduler() as scheduler:
        assert isinstance(scheduler.store, MemoryJobStore)

        @scheduler.executor
        async def work(value):
            return value * 2

        job = await scheduler.schedule(Job(work, kwargs={"value": 21}))
        print(await scheduler.result(job, timeout=10))

asyncio.run(main())
"""


@pytest.mark.seed("S2-18")
def test_the_store_in_memory_is_the_default_and_needs_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "42\n", done.stderr


@pytest.mark.seed("S2-20")
async def test_plain_functions_run_in_threads_as_many_as_there_are_places() -> None:
    places = 20
    told = contextvars.ContextVar("told", default="nothing")
    together = threading.Barrier(places)  # passes groups of so many, and no fewer
    loop, lock, now, most = asyncio.get_running_loop(), threading.Lock(), 0, 0

    async def probe() -> str:
        return "the loop goes on"

    async with Scheduler(max_concurrency=places) as scheduler:

        @scheduler.executor
        def block(context: Context) -> list[str]:
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            together.wait(30)
            answer = asyncio.run_coroutine_threadsafe(probe(), loop).result(30)
            run = current_run()
            assert run is not None
            found = [answer, told.get(), run.job_id]
            told.set(context.job_id)  # seen by nobody else
            with lock:
                now -= 1
            return found

        jobs = [Job(block, id=f"b{n}", keep=3600) for n in range(5 * places)]
        await scheduler.schedule_many(jobs)
        results = [await scheduler.result(job, timeout=60) for job in jobs]
    assert most == places
    assert results == [["the loop goes on", "nothing", job.id] for job in jobs]


@pytest.mark.seed("S2-A06")
async def test_jobs_are_added_before_the_start_and_once_over_restarts(
    stage: Stage,
) -> None:
    due = None
    for boot in range(3):
        scheduler = Scheduler(
            stage.store, namespace=stage.namespace, name=f"boot{boot}", **FAST
        )

        @scheduler.job(IntervalTrigger(hours=1), id="hourly", tags=("kept",))
        async def report() -> None: ...

        async with scheduler:
            (job,) = await scheduler.get_jobs()
            assert (job.id, job.version, job.executor) == ("hourly", 1, "report")
            if boot:
                assert job.next_fire_time == due
            due = job.next_fire_time
            # The same again changes nothing; another one has to be asked for.
            same = Job(report, trigger=job.trigger, id="hourly", tags=("kept",))
            assert (await scheduler.schedule(same)).version == 1
            other = Job(report, trigger=IntervalTrigger(hours=2), id="hourly")
            with pytest.raises(JobExistsError):
                await scheduler.schedule(other)
            # Without a trigger it runs at once.
            now = await scheduler.schedule(Job(report))
            await scheduler.wait(now, timeout=20)


@pytest.mark.seed("S2-A17")
async def test_what_has_no_name_is_refused_and_names_survive_renames(
    stage: Stage,
) -> None:
    async with stage:
        first = await stage.peer()
        with pytest.raises(ConfigurationError, match="no name of its own"):
            await first.schedule(Job(lambda: 1))

        def nested() -> int:
            return 1

        with pytest.raises(UnknownExecutorError, match="nested"):
            await first.schedule(Job(nested))
        with pytest.raises(ArgumentsError, match="args"):
            await first.schedule(Job("note", args=(object(),)))
        assert len(await first.get_jobs()) == 0  # nothing was written

        async def old_name() -> str:
            return "old"

        first.register(old_name)
        await first.schedule(Job("old_name", id="kept", keyword="go"))
        await first.shutdown()

        async def new_name() -> str:
            return "new"

        second = stage.build()
        second.register(new_name, aliases=["old_name"])
        await second.start()
        (firing,) = await second.fire_job("go")
        assert await second.result(firing, timeout=20) == "new"


@pytest.mark.seed("S1-30")
@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_sample_can_be_read_as_it_is_printed(page: Path) -> None:
    # That each of them also runs, tests/docs/test_snippets.py shows.
    for block in blocks(page.read_text(encoding="utf-8")):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(dedent(block.code), f"{name(page)}:{block.line}", "exec", flags=flags)
