"""``aiosched run``: signals, exit codes, and what is said of a wrong target."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import Running, aiosched, environment

APPLICATION = """
import asyncio
from aiosched import Job, MemoryJobStore, Scheduler

scheduler = Scheduler(name="mine")


@scheduler.executor
async def work(seconds: float) -> None:
    print("begun", flush=True)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print("cut short", flush=True)
        raise
    print("done", flush=True)


def working(seconds):
    scheduler.declare(Job("work", (seconds,), id="work"))
    return scheduler


def short():
    return working(1.0)


async def long():
    return working(60.0)


def wants(something):
    return scheduler


number = 3


class Broken(MemoryJobStore):
    async def open(self, *args, **kwargs):
        session = await super().open(*args, **kwargs)
        beat, beats = session.beat, []

        async def failing(*args):
            beats.append(args)
            if len(beats) > 1:
                raise KeyError("this beat is broken")
            return await beat(*args)

        session.beat = failing
        return session


broken = Scheduler(Broken(), terms={"beat": 0.1})


def quarrelsome():
    raise ZeroDivisionError("no scheduler today")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "myapp.py").write_text(APPLICATION, encoding="utf-8")
    (tmp_path / "needy.py").write_text("import not_there_at_all\n", encoding="utf-8")
    return tmp_path


@pytest.mark.seed("S5-R13")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_runs_end(folder: Path, number: signal.Signals) -> None:
    with Running("run", "myapp:short", folder=folder) as running:
        running.until("begun")
        running.signal(number)
        code, said = running.end()
    assert code == 0, said
    assert running.lines[-1] == "done"
    assert [line for line in running.lines if line.startswith("ready in")]
    assert "Traceback" not in said


@pytest.mark.seed("S5-R13")
def test_the_second_signal_cuts_runs_short(folder: Path) -> None:
    with Running("run", "myapp:long", folder=folder) as running:
        running.until("begun")
        running.signal(signal.SIGTERM)
        running.signal(signal.SIGINT)
        code, said = running.end(timeout=20)
    assert code == 0, said
    assert running.lines[-1] == "cut short"


def test_grace_ends_the_patience(folder: Path) -> None:
    words = ("run", "myapp:long", "--grace", "0.2")
    with Running(*words, folder=folder) as running:
        running.until("begun")
        running.signal(signal.SIGTERM)
        code, said = running.end(timeout=20)
    assert code == 0, said
    assert running.lines[-1] == "cut short"


def test_once_ends_when_it_is_ready(folder: Path) -> None:
    done = aiosched("run", "--once", "myapp:scheduler", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready in")
    assert "mine in aiosched" in done.stdout
    assert "scheduler mine has ended" in done.stderr


def test_the_log_level_is_obeyed(folder: Path) -> None:
    words = ("run", "--once", "myapp:scheduler", "--log-level", "error")
    assert aiosched(*words, folder=folder).stderr == ""


def test_a_failed_scheduler_is_named(folder: Path) -> None:
    done = aiosched("run", "myapp:broken", folder=folder)
    assert done.returncode == 1
    assert "aiosched: KeyError: 'this beat is broken'" in done.stderr


def test_a_failed_factory_is_named(folder: Path) -> None:
    done = aiosched("run", "myapp:quarrelsome", folder=folder)
    assert done.returncode == 1
    assert "aiosched: ZeroDivisionError: no scheduler today" in done.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("myapp", "write MODULE:NAME"),
        (":scheduler", "write MODULE:NAME"),
        ("myapp:", "write MODULE:NAME"),
        ("nowhere:scheduler", "no module 'nowhere' (looked in "),
        ("nowhere.jobs:scheduler", "run aiosched from the folder that holds it"),
        ("needy:scheduler", "imports 'not_there_at_all', which is not installed"),
        ("myapp:shedule", "has no 'shedule'; it has broken, scheduler"),
        ("myapp:number", "is of type int, not a Scheduler"),
        ("myapp:wants", "wants arguments (something)"),
        ("..:scheduler", "is no module name"),
    ],
)
def test_a_wrong_target_is_refused(folder: Path, target: str, said: str) -> None:
    done = aiosched("run", target, folder=folder)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


RESULTS = """
import asyncio, sys
from aiosched import Context, Job, Retry, Scheduler

async def main(url):
    async with Scheduler(url, namespace="shop") as scheduler:
        @scheduler.executor
        async def add(context: Context, a: int, b: int) -> int:
            if context.attempt == 1:
                raise ValueError("not yet")
            return a + b

        await scheduler.schedule(
            Job("add", (2, 3), id="sum", retry=Retry(2, delay=0.05))
        )
        await scheduler.result("sum", timeout=10)

asyncio.run(main(sys.argv[1]))
"""


def test_results_and_history_are_read_from_the_store(
    tmp_path: Path, redis_url: str
) -> None:
    (tmp_path / "results.py").write_text(RESULTS, encoding="utf-8")
    subprocess.run(
        [sys.executable, "results.py", redis_url],
        cwd=tmp_path,
        env=environment(),
        timeout=30,
        check=True,
    )
    place = ("--store", redis_url, "--namespace", "shop")
    done = aiosched("results", "sum", *place, "--limit", "5", "--json")
    assert done.returncode == 0, done.stderr
    newest, first = json.loads(done.stdout)
    assert (newest["attempt"], newest["status"], newest["value"]) == (2, "succeeded", 5)
    assert newest["final"]
    assert (first["attempt"], first["status"]) == (1, "failed")
    assert first["error"]["message"] == "not yet"
    assert first["node"] == newest["node"]
    one = aiosched("results", "sum", *place, "--limit", "1", "--json")
    assert [run["attempt"] for run in json.loads(one.stdout)] == [2]
    history = aiosched("history", "sum", *place)
    assert "created" in history.stdout
    assert "ValueError: not yet" in history.stdout
    unknown = aiosched("results", "nothing", *place)
    assert unknown.returncode == 3
    assert "no job 'nothing'" in unknown.stderr
