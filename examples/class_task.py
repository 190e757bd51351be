"""Jobs as classes with a name and a goal: run it, and see each tick."""

from __future__ import annotations

import asyncio

from aiosched import Scheduler, every
from aiosched.integrations.goals import Task, task_job

TICKS = 3


class Tick(Task):
    """Says tick, each time."""

    def __init__(self) -> None:
        """Nothing has been said yet."""
        self.done = asyncio.Event()
        self._said = 0

    def name(self) -> str:
        """Return what the job is called."""
        return "tick"

    async def goal(self) -> None:
        """Say it; only this is called by the scheduler."""
        print(self._line())
        if self._said == TICKS:
            self.done.set()

    def _line(self) -> str:
        self._said += 1
        return f"{self.name()} {self._said}"


async def main() -> None:
    """Run the task once a second until it has said enough."""
    tick = Tick()
    scheduler = Scheduler()
    scheduler.declare(task_job(scheduler, tick, every(1).seconds, max_runs=TICKS))
    async with scheduler:
        await tick.done.wait()


if __name__ == "__main__":
    asyncio.run(main())
