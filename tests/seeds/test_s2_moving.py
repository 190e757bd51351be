"""Jobs that move from store to store, and the page for those who are in trouble."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aiosched import CronTrigger, IntervalTrigger, Job, MemoryJobStore, Retry, Scheduler
from aiosched.cli.app import main
from tests.seeds.stage import Stage

_ROOT = Path(__file__).parents[2]
JOBS = [
    Job("note", ("a",), id="every", trigger=IntervalTrigger(hours=1), max_runs=7),
    Job("note", id="hashed", trigger=CronTrigger("H 3 * * *", tz="Europe/Paris")),
    Job("note", id="later", when="PT1H", retry=Retry(3), meta={"deep": [1, None]}),
    Job("note", id="word", keyword="go", tags=["x", "y"], overlap="queue"),
    Job("note", ("ä" * 3000,), id="held", trigger=IntervalTrigger(days=1), paused=True),
]


def peer(store: MemoryJobStore) -> Scheduler:
    scheduler = Scheduler(store, name="memory")

    @scheduler.executor
    async def note(value: Any = None) -> Any:
        return value

    return scheduler


@pytest.mark.seed("S2-A15")
async def test_there_and_back_again(stage: Stage) -> None:
    """Memory, any store, memory: equal documents, and jobs that go on."""
    async with peer(MemoryJobStore()) as first:
        await first.schedule_many(JOBS)
        await first.pause("hashed", note="ä", until=3600)
        for _ in range(2):
            await first.wait((await first.fire_job("go", {"value": 1}))[0])
        out = json.loads(json.dumps(await first.export_jobs()))
    async with stage:
        there = await stage.peer()
        await there.import_jobs(out, keep_state=True)
        back = json.loads(json.dumps(await there.export_jobs()))
        run = await there.wait((await there.fire_job("go"))[0], timeout=10)
        assert run.outcome is not None
        assert (await there.get_job("word")).counts.asked == 3
    assert back["jobs"] == out["jobs"]
    assert len(back["jobs"]) == len(JOBS)
    async with peer(MemoryJobStore()) as last:
        await last.import_jobs(back, keep_state=True)
        assert (await last.export_jobs())["jobs"] == out["jobs"]
        for job in JOBS:
            stored = await last.schedule(job)
            assert stored.version == 1, "it is still the job that the code registers"


@pytest.mark.seed("S2-A19")
def test_the_doctor_prints_what_it_found(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fill() -> None:
        async with Scheduler(redis_url, namespace="shop", run_jobs=False) as client:
            await client.schedule(JOBS[0], allow_unknown=True)

    asyncio.run(fill())
    assert main(("doctor", "--store", redis_url, "--namespace", "shop")) == 0
    assert "no damage" in capsys.readouterr().out


@pytest.mark.seed("S2-A19")
def test_the_page_of_troubles_has_the_old_questions() -> None:
    page = (_ROOT / "docs/howto/troubleshoot.md").read_text("utf-8")
    for word in ("uWSGI", "--enable-threads", "script ends", "logging.DEBUG", "doctor"):
        assert word in page, word
    from aiosched.cli.app import parser

    commands = re.findall(r"^aiosched (\w.*?)(?:  +#.*)?$", page, re.MULTILINE)
    assert len(commands) >= 5
    for line in commands:
        parser().parse_args(line.split())
