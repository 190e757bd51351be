"""A process of the race for guarded names: S1-04, S1-05 and S1-06.

``python -m tests.seeds.guard_racer URL NAMESPACE MODE …``; it says ``ready``, waits
for a line, does what the mode says, and prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiosched import Context, Job, Scheduler


async def _race(scheduler: Scheduler, tasks: int, span: int, first: int) -> list[str]:
    """Have tasks go for names, each for a part of them; return what was won."""
    won: list[str] = []

    async def contend(number: int) -> None:
        for step in range(span):
            name = f"file:{(first + number * 5 + step) % 1_000}"
            if await scheduler.guard(name, ttl=120, linger=True).acquire():
                won.append(name)

    await asyncio.gather(*(contend(number) for number in range(tasks)))
    return won


async def _once(scheduler: Scheduler, ttl: float) -> list[str]:
    taken = await scheduler.guard("file:42", ttl=ttl, linger=True).acquire()
    return ["file:42"] if taken else []


async def _hold(scheduler: Scheduler, count: int, ttl: float) -> list[str]:
    """Run a job that holds names until the process is killed."""

    @scheduler.executor
    async def items(context: Context) -> None:
        for number in range(count):
            assert await context.guard(f"row:{number}", ttl=ttl).acquire()
        print("held", flush=True)
        await asyncio.Event().wait()

    await scheduler.schedule(Job(items, on_lost="record"))
    await asyncio.Event().wait()
    return []


async def _main(url: str, namespace: str, mode: str, *words: str) -> None:
    options: dict[str, Any] = {"namespace": namespace, "run_jobs": mode == "hold"}
    async with Scheduler(url, **options) as scheduler:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        if mode == "race":
            tasks, span, first = map(int, words)
            won = await _race(scheduler, tasks, span, first)
        elif mode == "hold":
            won = await _hold(scheduler, int(words[0]), float(words[1]))
        else:
            won = await _once(scheduler, float(words[0]))
        print(json.dumps(won), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
