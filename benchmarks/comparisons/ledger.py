"""What is known of one job among many outcomes, and what an outcome takes."""

from __future__ import annotations

from functools import partial

from benchmarks.comparisons.drain import marking
from benchmarks.harness import server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.processes import Adapter, scratch
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "ledger"
TITLE = "history and why of one job among so many kept outcomes"
ROUNDS = 1
OUTCOMES = (3_000, 30_000)
FULL = 1_000_000


def cases(options: Options) -> list[Case]:
    """Return how many outcomes are kept."""
    sizes = (*OUTCOMES, FULL) if options.full else OUTCOMES
    return [
        Case(one, f"{size:,} outcomes", partial(ledger, one, size))
        for one in contenders(NAME, options.peers)
        for size in (options.scaled(size) for size in sizes)
    ]


def ledger(variant: Variant, outcomes: int) -> Metrics:
    """Run so many jobs in one process, then ask."""
    with server.server() as running, scratch() as folder:
        more = marking(running, folder, outcomes)
        with Adapter(variant, "producer", running.url, more) as adapter:
            variant.packages.update(adapter.versions)
            before = server.memory(running)
            limit = 60 + outcomes / 300
            found = adapter.ask(limit, do="ledger", count=outcomes)
            size = server.memory(running) - before
    return {
        "outcomes": outcomes,
        "history_ms": found["history_ms"],
        "why_ms": found["why_ms"],
        "rows": found["rows"],
        "bytes_per_outcome": size / outcomes,
    }
