"""Many jobs that are due at one instant, on four peers."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.comparisons.drain import marking
from benchmarks.comparisons.lateness import SETTLE, figures
from benchmarks.harness import marked, server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.figures import patient
from benchmarks.harness.processes import Adapter, pause, scratch, workers
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "burst"
TITLE = "Jobs that are due at one instant, on 4 worker processes"
JOBS = 10_000
PEERS = 4
_PATIENCE = 12.0
"""Seconds after the instant; who has not begun all by then is shown so."""


def cases(options: Options) -> list[Case]:
    """Return everyone who can be several and does not look once a second."""
    return [
        Case(one, f"{PEERS} processes", partial(burst, one, options.scaled(JOBS)))
        for one in contenders(NAME, options.peers)
    ]


def burst(variant: Variant, jobs: int) -> Metrics:
    """Store the jobs in good time, and wait until all have started."""
    with server.server() as running, scratch() as folder:
        more = marking(running, folder, jobs)
        with Adapter(variant, "producer", running.url, {}) as producer:
            variant.packages.update(producer.versions)
            # How long storing takes is not known beforehand: a tenth shows it.
            begun = time.monotonic()
            producer.ask(do="at", dues=_dues(jobs // 10, time.time() + 3_600))
            lead = (time.monotonic() - begun) * 15 + 1.0
            running.flush()
        with workers(variant, running.url, PEERS, more) as adapters:
            settled = time.time() + patient(SETTLE)
            with Adapter(variant, "producer", running.url, {}) as producer:
                pause(max(0.0, settled - time.time()))
                due = time.time() + lead
                producer.ask(do="at", dues=_dues(jobs, due))
                stored = time.time()
            limit = max(0.0, due - time.time()) + _PATIENCE
            marked.wait_for(
                folder, jobs, limit, lambda: adapters[0].alive, stall=lead + 5
            )
            pause(0.3)
            marks = marked.read(folder, jobs)
        found = figures(marks, [due] * jobs, min(stored, due - 1e-3))
        found.pop("late_ms")
        return {
            **found,
            "stored_in_time": stored < due,
            "last_ms": found["max_ms"],
            "largest_share": max(marks.shares) / max(1, sum(marks.shares)),
            "peers_that_ran": len(marks.shares),
        }


def _dues(jobs: int, due: float) -> list[tuple[int, float]]:
    return [(index, due) for index in range(jobs)]
