"""APScheduler 4, a pre-release; it has no store on Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from apscheduler import AsyncScheduler
from apscheduler.triggers.date import DateTrigger
from inmemory import Starts, resident
from protocol import Peer, main, when


class Apscheduler4(Peer):
    """A scheduler on its memory store."""

    packages = ("apscheduler", "uvloop")

    def _scheduler(self) -> AsyncScheduler:
        return AsyncScheduler(**self.settings.get("scheduler", {}))

    async def memory_drain(self, count: int) -> dict[str, Any]:
        """Let so many due jobs go at once."""
        starts = Starts(count)
        async with self._scheduler() as scheduler:
            await scheduler.configure_task("noop", func=starts.run)
            begun = time.perf_counter()
            for index in range(count):
                await scheduler.add_job("noop", args=(index,))
            added = time.perf_counter() - begun
            begun, used = time.perf_counter(), time.process_time()
            await scheduler.start_in_background()
            await starts.all()
            found = {"drained": time.perf_counter() - begun, "added": added}
            found["drain_cpu"] = time.process_time() - used
            await scheduler.stop()
        return found

    async def memory_bytes(self, count: int) -> dict[str, Any]:
        """Hold so many schedules an hour ahead."""
        starts = Starts(1)
        async with self._scheduler() as scheduler:
            await scheduler.configure_task("noop", func=starts.run)
            before, begin = resident(), time.time() + 3_600
            for index in range(count):
                trigger = DateTrigger(when(begin + index / 1_000))
                await scheduler.add_schedule("noop", trigger, args=(index,))
            return {"bytes": (resident() - before) / count}

    async def memory_lateness(self, offsets: Sequence[float]) -> dict[str, Any]:
        """Run jobs at instants, and say how late each was."""
        starts = Starts(len(offsets))
        async with self._scheduler() as scheduler:
            await scheduler.configure_task("noop", func=starts.run)
            await scheduler.start_in_background()
            await asyncio.sleep(0.2)
            begin = time.time() + 0.5 + len(offsets) / 500
            dues = [begin + offset for offset in offsets]
            for index, due in enumerate(dues):
                trigger = DateTrigger(when(due))
                await scheduler.add_schedule("noop", trigger, args=(index,))
            await starts.all()
            await scheduler.stop()
        return {"late_ms": starts.late_ms(dues)}


if __name__ == "__main__":
    main(Apscheduler4)
