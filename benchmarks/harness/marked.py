"""Read what the jobs wrote: when each started, and how often."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.figures import patient
from benchmarks.peers.shared.marks import HEAD


@dataclass
class Marks:
    """The marks of all worker processes."""

    jobs: int
    starts: array[float]
    runs: bytearray
    heads: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """By process id: first start, its CPU then, the server's CPU then."""
    shares: list[int] = field(default_factory=list)
    """Runs of each process."""

    @property
    def done(self) -> int:
        """Return how many jobs ran."""
        return self.jobs - self.runs.count(0)

    @property
    def doubles(self) -> int:
        """Return how many runs were too many."""
        return sum(self.runs) - self.done

    def started(self) -> list[float]:
        """Return the times of all jobs that ran, in order."""
        return sorted(at for at in self.starts if at > 0)


def read(folder: Path, jobs: int) -> Marks:
    """Read the files of all processes; of a job that ran twice, the first run."""
    marks = Marks(jobs, array("d", bytes(8 * jobs)), bytearray(jobs))
    size = 8 * (HEAD + jobs) + jobs
    for path in sorted(folder.glob("*.marks")):
        raw = path.read_bytes()
        if len(raw) < size:
            continue  # its process has only just made it
        head = array("d", raw[: 8 * HEAD])
        marks.heads[int(path.stem)] = (head[0], head[1], head[2])
        starts = array("d", raw[8 * HEAD : 8 * (HEAD + jobs)])
        runs = raw[8 * (HEAD + jobs) :]
        marks.shares.append(sum(runs))
        if not any(marks.runs):
            marks.starts, marks.runs = starts, bytearray(runs)
            continue
        for index, often in enumerate(runs):
            if often:
                before = marks.starts[index]
                earlier = min(before or math.inf, starts[index])
                marks.starts[index] = earlier
                marks.runs[index] = min(255, marks.runs[index] + often)
    return marks


def ran(folder: Path, jobs: int) -> int:
    """Count runs, quickly."""
    total = 0
    for path in folder.glob("*.marks"):
        with path.open("rb") as file:
            file.seek(8 * (HEAD + jobs))
            runs = file.read(jobs)
        total += jobs - runs.count(0) if len(runs) == jobs else 0
    return total


def wait_for(
    folder: Path,
    jobs: int,
    limit: float,
    alive: Callable[[], bool],
    *,
    stall: float = 15.0,
) -> int:
    """Wait until so many runs were marked, nothing happens, or time is up.

    Returns:
        How many there are.
    """
    limit, stall = patient(limit), patient(stall)
    end = time.monotonic() + limit
    last, moved = -1, time.monotonic()
    while time.monotonic() < end and alive():
        found = ran(folder, jobs)
        if found >= jobs:
            break
        if found != last:
            last, moved = found, time.monotonic()
        elif time.monotonic() - moved > stall:
            break
        time.sleep(0.01)
    return ran(folder, jobs)
