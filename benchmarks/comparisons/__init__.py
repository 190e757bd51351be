"""One module for each row of the page: what is done, and what is read off."""

from benchmarks.comparisons import (
    drain,
    enqueue,
    idle,
    lateness,
    periodic,
    scale,
    workers,
)

ROWS = {
    module.NAME: module
    for module in (drain, workers, enqueue, lateness, periodic, scale, idle)
}
"""In the order of the page."""

__all__ = ["ROWS"]
