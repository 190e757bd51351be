"""Executors that are ready to use: on the loop, in processes, and programs."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiosched import (
    ArgumentsError,
    ConfigurationError,
    Context,
    Job,
    Outcome,
    Reason,
    RunFailedError,
    Scheduler,
)
from aiosched.executors import Inline, InProcess, Program
from tests import waiting

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
async def scheduler() -> AsyncIterator[Scheduler]:
    async with Scheduler() as one:
        yield one


wait_until = functools.partial(waiting.wait_until, timeout=60.0)

PAUSE = threading.Event()  # is never set

# -- what runs elsewhere --------------------------------------------------------------


def whoami(value: int = 0) -> tuple[int, int]:
    return os.getpid(), value


def meet(folder: str, name: str, others: int) -> int:
    """Return when so many have come to a folder."""
    (Path(folder) / name).touch()
    while len(list(Path(folder).iterdir())) < others:
        PAUSE.wait(0.005)
    return os.getpid()


def stay(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    while True:
        PAUSE.wait(0.01)


class CannotTravelError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("travels badly")


def wrong(how: str) -> None:
    if how == "plain":
        raise KeyError("missing")
    if how == "odd":
        raise CannotTravelError(1, 2)
    os._exit(7)


# -- inline ---------------------------------------------------------------------------


async def test_inline_runs_on_the_loop_and_checks_arguments(
    scheduler: Scheduler,
) -> None:
    def here(value: int) -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), value]

    scheduler.register(Inline(here), name="here")
    job = await scheduler.schedule(Job("here", kwargs={"value": "7"}))
    assert await scheduler.result(job, timeout=10) == [True, 7]
    with pytest.raises(ArgumentsError, match="value"):
        await scheduler.schedule(Job("here", kwargs={"value": "seven"}))
    with pytest.raises(ArgumentsError, match="other"):
        await scheduler.schedule(Job("here", kwargs={"value": 7, "other": 1}))


# -- processes ------------------------------------------------------------------------


@pytest.mark.seed("S2-21")
async def test_runs_in_processes_are_beside_each_other_and_processes_are_kept(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    scheduler.register(InProcess(meet, processes=2), name="meet")
    jobs = [
        await scheduler.schedule(
            Job("meet", kwargs={"folder": str(tmp_path), "name": name, "others": 2})
        )
        for name in ("a", "b")
    ]
    pids = {await scheduler.result(job, timeout=60) for job in jobs}
    assert len(pids) == 2
    assert os.getpid() not in pids
    again = await scheduler.schedule(
        Job("meet", kwargs={"folder": str(tmp_path), "name": "a", "others": 1})
    )
    assert await scheduler.result(again, timeout=60) in pids


@pytest.mark.seed("S2-21")
async def test_a_process_that_is_killed_fails_its_run_and_the_next_gets_another(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    scheduler.register(InProcess(stay, processes=1), name="stay")
    mark = tmp_path / "pid"
    job = await scheduler.schedule(Job("stay", kwargs={"mark": str(mark)}))
    await wait_until(lambda: mark.exists() and mark.read_text() != "", "the run")
    os.kill(int(mark.read_text()), signal.SIGKILL)
    with pytest.raises(RunFailedError, match="killed by SIGKILL"):
        await scheduler.result(job, timeout=60)
    mark.unlink()
    again = await scheduler.schedule(
        Job("stay", kwargs={"mark": str(mark)}, timeout=timedelta(seconds=600))
    )
    await wait_until(lambda: mark.exists() and mark.read_text() != "", "another")
    pid = int(mark.read_text())
    await scheduler.stop_job(again)
    run = await scheduler.wait(again, timeout=60)
    assert run.outcome is Outcome.CANCELLED
    await wait_until(lambda: not _lives(pid), "its process to be gone")


@pytest.mark.seed("S2-21")
async def test_a_time_limit_kills_the_process(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    scheduler.register(InProcess(stay), name="stay")
    mark = tmp_path / "pid"
    job = await scheduler.schedule(
        Job("stay", kwargs={"mark": str(mark)}, timeout=timedelta(seconds=2))
    )
    run = await scheduler.wait(job, timeout=60)
    assert run.outcome is Outcome.TIMED_OUT
    if mark.exists():
        await wait_until(lambda: not _lives(int(mark.read_text())), "its end")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_what_a_function_raises_in_its_process_is_raised_here(
    scheduler: Scheduler,
) -> None:
    scheduler.register(InProcess(wrong, processes=1), name="wrong")
    for how, text in (
        ("plain", "missing"),
        ("odd", "travels badly"),
        ("dead", "exit code 7"),
        ("plain", "missing"),
    ):
        job = await scheduler.schedule(Job("wrong", kwargs={"how": how}))
        with pytest.raises(RunFailedError, match=text):
            await scheduler.result(job, timeout=60)


async def test_a_process_is_replaced_after_so_many_calls(scheduler: Scheduler) -> None:
    scheduler.register(InProcess(whoami, processes=1, calls=2), name="whoami")
    pids = []
    for number in range(3):
        job = await scheduler.schedule(Job("whoami", kwargs={"value": number}))
        pid, value = await scheduler.result(job, timeout=60)
        assert value == number
        pids.append(pid)
    assert pids[0] == pids[1] != pids[2]


async def test_processes_end_with_the_scheduler() -> None:
    async with Scheduler() as scheduler:
        scheduler.register(InProcess(whoami), name="whoami")
        job = await scheduler.schedule(Job("whoami"))
        pid, _ = await scheduler.result(job, timeout=60)
        assert _lives(pid)
    assert not _lives(pid)


# -- programs -------------------------------------------------------------------------

PYTHON = (sys.executable, "-c")


async def test_a_program_is_run_with_the_words_of_its_job(scheduler: Scheduler) -> None:
    shown = "import os, sys; print(sys.argv[1:], os.environ['AIOSCHED_JOB_ID'], end='')"
    scheduler.register(Program(*PYTHON, shown, "fixed"), name="show")
    words = ["; rm -rf /", "$HOME"]
    job = await scheduler.schedule(Job("show", args=words, id="me"))
    said = await scheduler.result(job, timeout=60)
    assert said == f"{['fixed', *words]} me"


async def test_a_program_that_fails_says_what_it_said(scheduler: Scheduler) -> None:
    text = "import sys; print('because', file=sys.stderr); sys.exit(3)"
    scheduler.register(Program(*PYTHON, text), name="fail")
    scheduler.register(Program("/no/such/program"), name="none")
    job = await scheduler.schedule(Job("fail"))
    with pytest.raises(RunFailedError, match="exit status 3"):
        await scheduler.result(job, timeout=60)
    with pytest.raises(RunFailedError, match="No such file"):
        await scheduler.result(await scheduler.schedule(Job("none")), timeout=60)


async def test_only_the_end_of_what_a_program_says_is_kept(
    scheduler: Scheduler,
) -> None:
    text = "print('x' * 300_000 + 'end', end='')"
    scheduler.register(Program(*PYTHON, text, keep=10), name="long")
    job = await scheduler.schedule(Job("long"))
    assert await scheduler.result(job, timeout=60) == "xxxxxxxend"


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".part", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""


async def test_a_program_is_stopped_with_all_that_it_has_started(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    mark = tmp_path / "pids"
    scheduler.register(Program(*PYTHON, STUBBORN, grace=0.2), name="stubborn")
    job = await scheduler.schedule(Job("stubborn", args=[str(mark)]))
    await wait_until(mark.exists, "the program and its child")
    pids = [int(word) for word in mark.read_text().split()]
    await scheduler.stop_job(job)
    run = await scheduler.wait(job, timeout=60)
    assert run.outcome is Outcome.CANCELLED
    for pid in pids:
        await wait_until(lambda pid=pid: _gone(pid), f"{pid} to end")  # type: ignore[misc]


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not _lives(pid)
    return state == "Z"  # ended, and nobody has asked how


# -- refusals -------------------------------------------------------------------------


async def _coroutine() -> None: ...


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Inline(3), "function"),  # type: ignore[arg-type]
        (lambda: Inline(_coroutine), "function"),
        (lambda: InProcess(lambda: 1), "function"),
        (lambda: InProcess(whoami, processes=0), "processes"),
        (lambda: InProcess(whoami, calls=-1), "calls"),
        (lambda: InProcess(whoami, start="fork"), "start"),  # type: ignore[arg-type]
        (lambda: Program(), "command"),
        (lambda: Program("a", 3), "command"),  # type: ignore[arg-type]
        (lambda: Program("a", grace=-1), "grace"),
        (lambda: Program("a", keep=0), "keep"),
    ],
)
def test_what_cannot_be_run_is_refused(build: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert caught.value.field == field


# -- what there is ---------------------------------------------------------------------


@pytest.mark.seed("S2-A02")
def test_kinds_of_executors_and_those_of_others_are_listed(tmp_path: Path) -> None:
    (tmp_path / "mails.py").write_text("async def send(to: str) -> None: ...\n")
    about = tmp_path / "mails-2.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mails\nVersion: 2.0\n"
    )
    (about / "entry_points.txt").write_text("[aiosched.executors]\nsend = mails:send\n")
    path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"
    for options in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "aiosched", "plugins", *options],
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for kind in ("coroutine", "thread", "inline", "process", "program"):
            assert kind in done.stdout
    data = json.loads(done.stdout)
    for one in data["executors"]:
        if one["class"] is not None:
            module, _, word = one["class"].rpartition(".")
            assert callable(getattr(importlib.import_module(module), word))
    (plugin,) = [one for one in data["plugins"] if one["name"] == "send"]
    assert plugin["group"] == "aiosched.executors"
    assert (plugin["distribution"], plugin["problem"]) == ("mails 2.0", None)


@pytest.mark.seed("S2-A02")
async def test_every_kind_is_stopped_and_told_alike(tmp_path: Path) -> None:
    async def on_the_loop(mark: str) -> None:
        await asyncio.to_thread(Path(mark).touch)
        await asyncio.Event().wait()

    def in_a_thread(context: Context, mark: str) -> None:
        Path(mark).touch()
        while not context.cancelled:
            PAUSE.wait(0.005)

    program = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"
    async with Scheduler() as scheduler:
        scheduler.register(on_the_loop, name="coroutine")
        scheduler.register(in_a_thread, name="thread")
        scheduler.register(InProcess(stay), name="process")
        scheduler.register(Program(*PYTHON, program), name="program")
        for kind in ("coroutine", "thread", "process", "program"):
            mark = tmp_path / kind
            job = await scheduler.schedule(Job(kind, args=[str(mark)]))
            await wait_until(mark.exists, f"the run as a {kind}")
            await scheduler.stop_job(job, note="enough")
            run = await scheduler.wait(job, timeout=60)
            assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.USER)
