"""Where things lie."""

from __future__ import annotations

import os
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
ROOT = BENCHMARKS.parent
SHARED = BENCHMARKS / "peers" / "shared"
LOOK = ROOT / ".nox" / "bench-look"
RESULTS = BENCHMARKS / "results"
PLOTS = ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "performance.md"


def environments() -> Path:
    """Return the folder that holds an environment for each peer."""
    named = os.environ.get("BENCH_ENVIRONMENTS")
    return Path(named) if named else ROOT / ".nox" / "bench-peers"
