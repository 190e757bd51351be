"""One module for each row of the page: what is done, and what is read off."""

from typing import Any

from benchmarks.comparisons import (
    burst,
    drain,
    enqueue,
    growth,
    idle,
    lateness,
    ledger,
    periodic,
    resync,
    scale,
    workers,
)
from benchmarks.comparisons.memory import memory_lateness_row, memory_store_row

_ALL: tuple[Any, ...] = (
    drain,
    workers,
    enqueue,
    lateness,
    memory_lateness_row,
    periodic,
    scale,
    idle,
    memory_store_row,
    ledger,
    resync,
    burst,
    growth,
)
ROWS: dict[str, Any] = {row.NAME: row for row in _ALL}
"""By name, in the order of the page: NAME, TITLE, cases and perhaps ROUNDS."""

__all__ = ["ROWS"]
