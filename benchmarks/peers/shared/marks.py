"""How a job says that it ran: one store into memory that the harness can read.

Every process has a file of its own, so nothing is locked: a head, then for each
job the wall time of its last start (8 bytes), then how often it ran (a byte).  The
head says when the first job of the process started, and what the process and the
server had used of the processor by then, so that start-up is not counted.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

HEAD = 8
"""Doubles before the starts: first start, CPU of the process, CPU of the server."""


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    # What clock_getcpuclockid(3) computes on Linux: to the nanosecond, where
    # /proc has hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)


class _Book:
    """The file of this process."""

    def __init__(self) -> None:
        self.pid = -1
        self.starts: memoryview[float]
        self.runs: memoryview

    def open(self) -> None:
        """Begin the file of this process, which may be a fork of another."""
        jobs = int(os.environ["BENCH_JOBS"])
        path = Path(os.environ["BENCH_MARKS"]) / f"{os.getpid()}.marks"
        size = 8 * (HEAD + jobs) + jobs
        with path.open("wb+") as file:
            file.truncate(size)
            view = memoryview(mmap.mmap(file.fileno(), size))
        head = view[: 8 * HEAD].cast("d")
        self.starts = view[8 * HEAD : 8 * (HEAD + jobs)].cast("d")
        self.runs = view[8 * (HEAD + jobs) :]
        server = int(os.environ.get("BENCH_SERVER", "0"))
        head[1] = time.process_time()
        head[2] = cpu_of(server) if server else 0.0
        head[0] = time.time()
        self.pid = os.getpid()


_book = _Book()
BASE = float(os.environ.get("BENCH_BASE", "0"))
TICKS = int(os.environ.get("BENCH_TICKS", "1"))
EARLY = 0.1
"""A run so much before a whole second counts as a run of that second."""


def mark(index: int) -> None:
    """Say that a job starts, now."""
    now = time.time()
    if _book.pid != os.getpid():
        _book.open()
    _book.starts[index] = now
    _book.runs[index] += 1


def tick(job: int) -> None:
    """Say that the run of this second of a periodic job starts, now."""
    second = int((time.time() - BASE + EARLY) // 1)
    if 0 <= second < TICKS:
        mark(job * TICKS + second)
