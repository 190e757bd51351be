"""What needs no server: the memory store, beside others' and beside the loop."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

from benchmarks.comparisons.lateness import instants
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.figures import percentile
from benchmarks.harness.processes import Adapter
from benchmarks.harness.rounds import Case, Metrics, Options

DRAINED = 10_000
HELD = 20_000
RATE = 100
SECONDS = 2.5


def store_cases(options: Options) -> list[Case]:
    """Return everyone who keeps jobs in memory."""
    drained, held = options.scaled(DRAINED), max(1_000, options.scaled(HELD))
    return [
        Case(one, "1 process", partial(memory_store, one, drained, held))
        for one in contenders("memory_store", options.peers)
    ]


def memory_store(variant: Variant, drained: int, held: int) -> Metrics:
    """Run due jobs, then hold jobs of the future, each in a fresh process."""
    with Adapter(variant, "memory", "", {}) as adapter:
        variant.packages.update(adapter.versions)
        found = adapter.ask(do="memory_drain", count=drained)
    with Adapter(variant, "memory", "", {}) as adapter:
        kept = adapter.ask(do="memory_bytes", count=held)
    return {
        "jobs": drained,
        "jobs_per_second": drained / found["drained"],
        "cpu_us": found["drain_cpu"] / drained * 1e6,
        "added_per_second": drained / found["added"],
        "pending": held,
        "bytes_per_job": kept["bytes"],
    }


def lateness_cases(options: Options) -> list[Case]:
    """Return everyone who keeps jobs in memory, and the loop itself."""
    seconds = options.seconds or SECONDS
    return [
        Case(one, "1 process", partial(memory_lateness, one, seconds))
        for one in contenders("memory_lateness", options.peers)
    ]


def memory_lateness(variant: Variant, seconds: float) -> Metrics:
    """Run jobs at random instants."""
    offsets = instants(seconds, RATE, 0.0)
    with Adapter(variant, "memory", "", {}) as adapter:
        variant.packages.update(adapter.versions)
        late = adapter.ask(do="memory_lateness", offsets=offsets)["late_ms"]
    return {
        "jobs": len(late),
        # The floor's two clocks are read one after the other.
        "early": sum(one < -0.05 for one in late),
        "p50_ms": percentile(late, 0.5),
        "p99_ms": percentile(late, 0.99),
        "max_ms": max(late),
    }


memory_store_row = SimpleNamespace(
    NAME="memory_store",
    TITLE="Due no-op jobs in memory, and what a pending one takes",
    cases=store_cases,
)
memory_lateness_row = SimpleNamespace(
    NAME="memory_lateness",
    TITLE="The memory store at random instants, 100 a second: start − due",
    cases=lateness_cases,
)
