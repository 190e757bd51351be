"""The same at ten times the work: what one job costs then."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.comparisons.drain import drain
from benchmarks.comparisons.enqueue import enqueue
from benchmarks.comparisons.memory import memory_store
from benchmarks.harness.contenders import contenders
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "growth"
TITLE = "aiosched at ten times the work"
SIZES = (1_000, 10_000)
FULL = 100_000


def cases(options: Options) -> list[Case]:
    """Return what is done at which sizes."""
    [ours] = contenders(NAME)
    sizes = (*SIZES, FULL) if options.full else SIZES
    told: list[tuple[str, Callable[[int], Metrics]]] = [
        ("drain", partial(drain, ours)),
        ("queue in bulk", lambda size: enqueue(ours, size, options)),
        ("memory store", lambda size: memory_store(ours, size, max(1_000, size))),
    ]
    return [
        Case(ours, f"{name}, {size:,}", partial(run, options.scaled(size)))
        for name, run in told
        for size in sizes
    ]
