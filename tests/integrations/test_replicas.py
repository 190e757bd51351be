"""The FastAPI example as people deploy it: replicas, workers, reloads, signals."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.programs import EXAMPLES, Program, served
from tests.waiting import wait_until

APP = "fastapi_app.app:app"


async def kinds(program: Program, job: str) -> list[str]:
    """Return what happened to a job, newest first."""
    return [one["kind"] for one in await program.get(f"/reports/{job}/history")]


async def runs_of(program: Program, peer: str, least: int = 1) -> list[str]:
    """Wait until a peer runs reports, and return which."""
    found: list[str] = []

    async def runs() -> bool:
        found[:] = [
            one["job"]
            for one in await program.get("/running")
            if one["peer"] == peer and one["job"] != "tick"
        ]
        return len(found) >= least

    await wait_until(runs, f"{least} runs of {peer}", timeout=30)
    return found


async def peer_of(program: Program) -> str:
    """Return the id of the peer in a process."""
    return str((await program.get("/health"))["peer"])


@pytest.mark.seed("S5-26", "S2-A21")
@pytest.mark.timeout(240)
async def test_three_replicas_one_of_which_is_killed(a_server: str) -> None:
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(
                Program(*served("uvicorn", APP), REDIS_URL=a_server)
            )
            for _ in range(3)
        ]
        for replica in replicas:
            await replica.ready()
        # Asked for everywhere at once, run once, read everywhere.
        await asyncio.gather(
            *(r.post("/reports", id="once", title="Q1") for r in replicas)
        )
        told = [await r.get("/reports/once", wait=20) for r in replicas]
        assert len({one["result"] for one in told}) == 1
        assert len({one["told_by"] for one in told}) == 3
        for replica in replicas:
            assert await kinds(replica, "once") == ["succeeded", "created"]
        # One dies in the midst of its work, and the others do it.
        doomed, leaving, last = replicas
        # So many that each has some, whatever the ids of the peers are.
        names = [f"long{number}" for number in range(40)]
        await asyncio.gather(
            *(last.post("/reports", id=n, title=n, seconds=3) for n in names)
        )
        await runs_of(last, await peer_of(doomed))
        doomed.process.kill()
        for name in names:
            found = await last.get(f"/reports/{name}", wait=30)
            assert found["result"].startswith(f"{name}, written by ")
        happened = [await kinds(last, name) for name in names]
        assert all(one.count("succeeded") == 1 for one in happened), happened
        assert any("lost" in one for one in happened), happened
        before = len(await kinds(last, "tick"))
        await last.post("/reports", id="after", title="after")
        assert (await leaving.get("/reports/after", wait=20))["id"] == "after"
        # One is asked to end, and does what it has begun.
        names = [f"last{number}" for number in range(24)]
        await asyncio.gather(
            *(last.post("/reports", id=n, title=n, seconds=2) for n in names)
        )
        peer = await peer_of(leaving)
        begun = await runs_of(last, peer)
        leaving.signal(signal.SIGTERM)
        assert await leaving.end() in (0, -signal.SIGTERM)
        assert "Traceback" not in leaving.said
        for name in begun:
            newest, *_ = await last.get(f"/reports/{name}/history")
            assert (newest["kind"], newest["peer"]) == ("succeeded", peer)
        for name in names:
            await last.get(f"/reports/{name}", wait=20)
            assert await kinds(last, name) == ["succeeded", "created"]
        assert len(await kinds(last, "tick")) >= before


@pytest.mark.seed("S5-26")
@pytest.mark.timeout(180)
async def test_workers_of_one_server_share_the_jobs(a_server: str) -> None:
    words = served("uvicorn", APP, "--workers", "2")
    async with Program(*words, REDIS_URL=a_server) as program:
        await program.says("Application startup complete", 2)
        peers: set[str] = set()

        async def both_have_answered() -> bool:
            peers.update(await asyncio.gather(*(peer_of(program) for _ in range(8))))
            return len(peers) == 2

        # Each request is a connection of its own, and any worker may take it.
        program.client.headers["connection"] = "close"
        await wait_until(both_have_answered, "two peers", timeout=30)
        await program.post("/reports", id="once", title="Q1")
        await program.get("/reports/once", wait=20)
        assert await kinds(program, "once") == ["succeeded", "created"]
        await _ticks_once_each(program)
        program.signal(signal.SIGTERM)
        assert await program.end() in (0, -signal.SIGTERM)
        assert program.said.count("Application shutdown complete") == 2


@pytest.mark.timeout(180)
async def test_a_reload_hands_over(a_server: str, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    shutil.copytree(EXAMPLES / "fastapi_app", folder / "fastapi_app")
    words = served("uvicorn", APP, "--reload", "--reload-dir", str(folder))
    async with Program(*words, folder=folder, REDIS_URL=a_server) as program:
        await program.ready()
        old = await peer_of(program)
        await program.post("/reports", id="before", title="before")
        await program.get("/reports/before", wait=20)
        (folder / "fastapi_app" / "new.py").write_text("NEW = 1\n", encoding="utf-8")
        code = folder / "fastapi_app" / "app.py"
        code.write_text(code.read_text(encoding="utf-8") + "# new\n", encoding="utf-8")
        await program.says("Application startup complete", 2)
        await program.ready()
        assert await peer_of(program) != old
        assert await kinds(program, "before") == ["succeeded", "created"]
        await program.post("/reports", id="after", title="after")
        await program.get("/reports/after", wait=20)
        await _ticks_once_each(program)


async def _ticks_once_each(program: Program) -> None:
    async def ticked() -> bool:
        return (await kinds(program, "tick")).count("succeeded") >= 2

    await wait_until(ticked, "two ticks", timeout=30)
    entries = await program.get("/reports/tick/history")
    counted = Counter(one["slot"] for one in entries if one["slot"])
    assert set(counted.values()) == {1}, counted


@pytest.mark.parametrize(
    "words",
    [
        served("uvicorn", APP),
        served("hypercorn", "asgi_app:app"),
    ],
    ids=["lifespan on uvicorn", "middleware on hypercorn"],
)
async def test_a_failed_start_ends_the_server(words: tuple[str, ...]) -> None:
    nobody: Any = "redis://127.0.0.1:1"
    async with Program(*words, REDIS_URL=nobody) as program:
        code = await program.end()
        assert code != 0 or "hypercorn" in words  # which ends with 0 after this, too
        assert "StoreUnavailableError" in program.said
