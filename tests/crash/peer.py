"""One peer as a process: ``python -m tests.crash.peer '{...}'``.

It writes down what it does, line by line, in a file of its own, which survives
every kind of death.  ``build`` gives the same scheduler to ``aiosched run``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from redis.asyncio.client import Redis

from aiosched import Context, DateTrigger, IntervalTrigger, Job, Scheduler
from aiosched._engine import lifeline

CONFIG = "AIOSCHED_CRASH_PEER"
FLOOR = "floor"


class Witness:
    """An append-only file; each line is one write, so none is ever torn."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __call__(self, kind: str, *words: Any) -> None:
        line = json.dumps([kind, time.monotonic(), *words]) + "\n"
        os.write(self._file, line.encode())


def _go_wrong(wall: float, steps: list[list[float]]) -> None:
    """Let the host's wall clock be wrong, and step, in this process.

    Args:
        wall: By how many seconds it is wrong from the beginning.
        steps: After how many seconds it steps, by how many.
    """
    host, host_ns, begin = time.time, time.time_ns, time.monotonic()

    def wrong() -> float:
        gone = time.monotonic() - begin
        return wall + sum(by for after, by in steps if gone >= after)

    time.time = lambda: host() + wrong()
    time.time_ns = lambda: host_ns() + int(wrong() * 1_000_000_000)


def build(config: dict[str, Any] | None = None) -> Scheduler:
    """Return the scheduler that a configuration describes."""
    if config is None:
        config = json.loads(os.environ[CONFIG])
    if "wall" in config:
        _go_wrong(config["wall"], config.get("steps", []))
    write = Witness(config["witness"])
    lifeline.BOUND = config.get("bound", lifeline.BOUND)
    scheduler = Scheduler(
        config["url"], namespace=config["namespace"], **config.get("options", {})
    )
    if config.get("executors", True):
        _register(scheduler, write, config.get("secs", 0.0))
    _declare(scheduler, config.get("declare", 0), config.get("due", 0.0))
    scheduler.on("lapsed", lambda event: write("back", event.data["seconds"]))
    scheduler.on("fenced", lambda event: write("fenced", event.job_id))
    write("born", scheduler.id)
    return scheduler


def told_by(write: Witness) -> Callable[[str, Context], None]:
    """Return what writes a line about a run."""

    def told(kind: str, context: Context) -> None:
        key = context.run_id.split("/")[1]
        late = context.lateness.total_seconds()
        write(kind, context.job_id, key, context.attempt, context.fence, late)

    return told


def _register(scheduler: Scheduler, write: Witness, usual: float) -> None:
    told = told_by(write)

    @scheduler.executor
    async def tick(context: Context, secs: float | None = None) -> None:
        told("start", context)
        try:
            await asyncio.sleep(usual if secs is None else secs)
        except asyncio.CancelledError:
            told("cancelled", context)
            raise
        told("end", context)

    @scheduler.executor
    async def block(context: Context, secs: float) -> None:
        told("start", context)
        time.sleep(secs)  # noqa: ASYNC251 - what users do, and must survive
        told("end", context)

    @scheduler.executor
    async def note(context: Context, number: int) -> None:
        write("note", number)

    @scheduler.executor
    async def nothing() -> None:
        return


def _declare(scheduler: Scheduler, number: int, due: float) -> None:
    far = datetime(2100, 1, 1, tzinfo=UTC)
    for index in range(number):
        trigger = IntervalTrigger(hours=1, start=far)
        scheduler.declare(Job("nothing", trigger=trigger, id=f"declared-{index}"))
    if number:
        once = DateTrigger(datetime.fromtimestamp(due, UTC))
        scheduler.declare(Job("tick", trigger=once, id="once"))


async def _floor(url: str, channel: str, write: Witness) -> None:
    """Hear raw messages: what the wire and the waking of a process cost alone."""
    client = Redis.from_url(url)
    async with client, client.pubsub() as subscription:
        await subscription.subscribe(channel)
        async for message in subscription.listen():
            if message["type"] == "message":
                write("floor", int(message["data"]))
            else:
                write("listening")


async def main(config: dict[str, Any]) -> None:
    """Be a peer until SIGTERM."""
    await serve(build(config), config)


async def serve(scheduler: Scheduler, config: dict[str, Any]) -> None:
    """Let a scheduler work until SIGTERM; its file says ``up`` and ``down``."""
    write = Witness(config["witness"])
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    floor = None
    if config.get("floor"):
        floor = asyncio.create_task(
            _floor(config["url"], f"{config['namespace']}-{FLOOR}", write)
        )
    async with scheduler:
        write("up")
        while not ended.is_set():
            failed = asyncio.ensure_future(scheduler._running_engine().ended())
            waits = asyncio.ensure_future(ended.wait())
            await asyncio.wait([failed, waits], return_when=asyncio.FIRST_COMPLETED)
            failed.cancel()
            waits.cancel()
            if not ended.is_set():
                break  # leaving the block raises what ended it
        if "grace" in config and ended.is_set():
            await scheduler.shutdown(grace=config["grace"])
    if floor is not None:
        floor.cancel()
    write("down")


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
