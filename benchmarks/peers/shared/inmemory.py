"""What the comparisons without a server need: starts of jobs, and memory."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from array import array
from collections.abc import Sequence
from pathlib import Path


class Starts:
    """When each of some jobs started."""

    def __init__(self, count: int) -> None:
        """Expect so many."""
        self.at = array("d", bytes(8 * count))
        self.ran = 0
        self._enough = count
        self._event = asyncio.Event()

    def begin(self, index: int) -> None:
        """Say that a job starts, now."""
        self.at[index] = time.time()
        self.ran += 1
        if self.ran == self._enough:
            self._event.set()

    async def run(self, index: int) -> None:
        """Say so; this is the job."""
        self.begin(index)

    async def all(self, count: int | None = None) -> None:
        """Wait until so many have started; at most a minute and 5 ms for each."""
        wanted = len(self.at) if count is None else count
        if self.ran >= wanted:
            return
        self._enough = wanted
        self._event.clear()
        await asyncio.wait_for(self._event.wait(), 60 + wanted / 200)

    def late_ms(self, dues: Sequence[float]) -> list[float]:
        """Return how late each was, in milliseconds."""
        pairs = zip(self.at, dues, strict=True)
        return [round((start - due) * 1e3, 4) for start, due in pairs]


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
