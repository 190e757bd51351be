"""A scheduler on a reactor: its start, its end, and what fails."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from aiosched import ConfigurationError, Scheduler
from aiosched.integrations.twisted import attach, attach_application
from tests.integrations.programs import Program

PROGRAM = """
import asyncio, logging, sys
logging.basicConfig(level="INFO")
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet import reactor
from aiosched import Context, Job, Scheduler
from aiosched.integrations.twisted import attach, attach_application

async def work(context: Context) -> None:
    print("begun", flush=True)
    try:
        await asyncio.Event().wait() if "long" in sys.argv else await asyncio.sleep(1)
    except asyncio.CancelledError:
        print("cut short", flush=True)
        raise
    print("done", flush=True)

def build():
    scheduler = Scheduler("redis://127.0.0.1:1" if "away" in sys.argv else None)
    scheduler.register(work)
    scheduler.declare(Job(work, id="work"))
    return scheduler

if "application" in sys.argv:
    from aiosched.integrations.asgi import SchedulerMiddleware
    async def page(scope, receive, send):
        raise NotImplementedError
    attach_application(SchedulerMiddleware(page, build, grace=0.5))
else:
    started = attach(build, grace=0.5 if "long" in sys.argv else 20)
    started.addCallback(lambda scheduler: print("started", scheduler.health().ok))
    started.addErrback(lambda failure: print("failed:", failure.type.__name__))
reactor.run()
print("the reactor has ended")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    return tmp_path


@pytest.mark.seed("S2-16")
@pytest.mark.parametrize(
    ("word", "last"), [("short", "done"), ("long", "cut short")], ids=["short", "long"]
)
async def test_the_reactor_waits_for_what_runs_as_long_as_grace(
    folder: Path, word: str, last: str
) -> None:
    async with Program("program.py", word, folder=folder) as program:
        await program.says("begun")
        program.signal(signal.SIGTERM)
        assert await program.end() == 0
        assert "started True" in program.said
        lines = program.said.splitlines()
        assert lines.index(last) < lines.index("the reactor has ended")
        assert "Traceback" not in program.said


@pytest.mark.parametrize("how", ["alone", "application"])
async def test_a_failed_start_ends_the_reactor(folder: Path, how: str) -> None:
    async with Program("program.py", "away", how, folder=folder) as program:
        await program.end()
        assert "it has not started, so the reactor ends" in program.said
        assert "StoreUnavailableError" in program.said
        assert "the reactor has ended" in program.said
        assert "Unhandled" not in program.said


@pytest.mark.parametrize("reactor", [None, object()], ids=["none yet", "another"])
def test_another_reactor_is_refused(reactor: object) -> None:
    for attached in (lambda: attach(Scheduler, reactor), lambda: _application(reactor)):
        with pytest.raises(ConfigurationError, match=r"asyncioreactor.install\(\)"):
            attached()
    assert "twisted.internet.reactor" not in sys.modules, "none was installed"


def _application(reactor: object) -> None:
    async def page(scope: object, receive: object, send: object) -> None:
        raise AssertionError("it is not called")

    attach_application(page, reactor)
