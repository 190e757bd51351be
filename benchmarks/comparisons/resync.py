"""From ``schedule`` on one peer until the job is armed on another."""

from __future__ import annotations

from functools import partial

from benchmarks.harness import server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.figures import percentile
from benchmarks.harness.processes import Adapter
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "resync"
TITLE = "From schedule on one peer until armed on another"
COUNT = 200


def cases(options: Options) -> list[Case]:
    """Return aiosched."""
    return [
        Case(one, "2 peers, 1 process", partial(resync, one, options.scaled(COUNT)))
        for one in contenders(NAME, options.peers)
    ]


def resync(variant: Variant, count: int) -> Metrics:
    """Take turns with a bare PUBLISH."""
    with (
        server.server() as running,
        Adapter(variant, "producer", running.url, {}) as adapter,
    ):
        variant.packages.update(adapter.versions)
        found = adapter.ask(do="resync", count=count)
    armed, floor = found["armed_ms"], found["floor_ms"]
    return {
        "count": count,
        "p50_ms": percentile(armed, 0.5),
        "p99_ms": percentile(armed, 0.99),
        "floor_p50_ms": percentile(floor, 0.5),
        "floor_p99_ms": percentile(floor, 0.99),
    }
