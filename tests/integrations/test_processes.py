"""What servers do to processes, and frameworks that are not there."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.commands import environment

FORKED = """
import asyncio, os
from aiosched import MemoryJobStore, Scheduler

scheduler = Scheduler(run_jobs=False)  # as a server does that loads once, and forks
named = Scheduler(run_jobs=False, name="web")

async def tell():
    async with scheduler, named:
        assert scheduler.name == scheduler.id
        assert [peer.id for peer in await scheduler.peers()] == [scheduler.id]
        print(scheduler.id, named.id, named.name, flush=True)

children = []
for _ in range(2):
    child = os.fork()
    if not child:
        asyncio.run(tell())
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
asyncio.run(tell())
"""


def run(code: str) -> str:
    """Run a program to its end, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_process_of_a_fork_is_a_peer() -> None:
    told = [line.split() for line in run(FORKED).splitlines()]
    assert len(told) == 3
    assert len({one for first, second, _ in told for one in (first, second)}) == 6
    assert {name for _, _, name in told} == {"web"}


def test_a_framework_that_is_missing_is_named() -> None:
    code = """
import importlib, sys
for name in ("fastapi", "django", "twisted"):
    sys.modules[name] = None
    try:
        importlib.import_module(f"aiosched.integrations.{name}")
    except ImportError as error:
        print(error)
"""
    said = run(code).splitlines()
    assert len(said) == 3
    for extra, line in zip(("fastapi", "django", "twisted"), said, strict=True):
        assert f"pip install 'aiosched[{extra}]'" in line


def test_plain_asgi_imports_no_framework() -> None:
    code = """
import sys
import aiosched.integrations.asgi
names = {"fastapi", "starlette", "django", "asgiref", "twisted", "redis"}
print(sorted(names & set(sys.modules)))
"""
    assert run(code).strip() == "[]"
