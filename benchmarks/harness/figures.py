"""Medians, percentiles, and what a machine and a run are described by."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.harness import server
from benchmarks.harness.places import ROOT

_SPIN = 0.02
_PATIENCE = 20.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest rank of values that need not be sorted."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, least and greatest."""
    return median(values), min(values), max(values)


def load() -> float:
    """Return the load of the last minute."""
    return round(os.getloadavg()[0], 2)


def processor_share() -> float:
    """Return how much of a processor we get: 1 on an idle machine.

    The load counts who waits; this tells what is left for one of our priority.
    """
    begun, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < _SPIN:
        pass
    return round(_SPIN / (time.perf_counter() - begun), 2)


def patient(seconds: float) -> float:
    """Return how long to wait for what takes so long on an idle machine."""
    return seconds * min(_PATIENCE, 1 / max(processor_share(), 0.01))


def machine() -> dict[str, str]:
    """Describe where this runs."""
    cpu = platform.processor() or platform.machine()
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "server": server.name(),
    }


def revision() -> str:
    """Return the commit that is measured; a plus means: and changes to it."""
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def today() -> str:
    """Return the date."""
    return datetime.now(UTC).date().isoformat()
