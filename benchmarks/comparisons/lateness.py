"""One-time jobs at random instants: how long after its instant does each start?"""

from __future__ import annotations

import random
import time
from functools import partial

from benchmarks.comparisons.drain import marking
from benchmarks.harness import marked, server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.figures import patient, percentile
from benchmarks.harness.processes import Adapter, AdapterError, pause, scratch, workers
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "lateness"
TITLE = "One-time jobs at random instants, 100 a second: start − due"
RATE = 100
SECONDS = 2.0
PROCESSES = (1, 3)
SETTLE = 1.0
"""Seconds that workers are given to begin and to find each other."""
_LEAD = 0.8
_PATIENCE = 6.0


def cases(options: Options) -> list[Case]:
    """Return us with one process and with three, and others as they are best."""
    seconds = options.seconds or SECONDS
    return [
        Case(
            one,
            "1 process" if count == 1 else f"{count} processes",
            partial(lateness, one, count, seconds),
        )
        for one in contenders(NAME, options.peers)
        for count in counts_of(one, PROCESSES)
    ]


def counts_of(one: Variant, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Return with how many processes somebody is measured.

    Others only with the most: they are to be met where several replicas run, and
    all of it is to take half an hour.
    """
    return one.processes or (counts if one.ours else counts[-1:])


def instants(seconds: float, rate: int, begin: float) -> list[float]:
    """Draw instants, the same in each round and for each contender."""
    chance = random.Random(5)  # noqa: S311 - a workload
    return sorted(
        begin + chance.uniform(0, seconds) for _ in range(round(rate * seconds))
    )


def lateness(variant: Variant, count: int, seconds: float) -> Metrics:
    """Run workers, store jobs, and wait until the last is due and has run."""
    jobs = round(RATE * seconds)
    with server.server() as running, scratch() as folder:
        more = marking(running, folder, jobs)
        with workers(variant, running.url, count, more) as adapters:
            settled = time.time() + patient(SETTLE)
            with Adapter(variant, "producer", running.url, {}) as producer:
                variant.packages.update(producer.versions)
                pause(max(0.0, settled - time.time()))
                dues = instants(seconds, RATE, time.time() + patient(_LEAD))
                producer.ask(do="at", dues=list(enumerate(dues)))
                stored = time.time()
            limit = dues[-1] - time.time() + patient(_PATIENCE)
            marked.wait_for(folder, jobs, limit, lambda: adapters[0].alive)
            pause(0.3)
            return figures(marked.read(folder, jobs), dues, stored)


def figures(marks: marked.Marks, dues: list[float], stored: float) -> Metrics:
    """Compare starts with dues; jobs that were stored too late do not count."""
    late = [
        (marks.starts[index] - due) * 1e3
        for index, due in enumerate(dues)
        if marks.starts[index] and due > stored
    ]
    if not late:
        stale = sum(due <= stored for due in dues)
        raise AdapterError(
            f"{marks.done} of {marks.jobs} jobs ran, and {stale} were stored after "
            "their instant"
        )
    return {
        "jobs": marks.jobs,
        "done": marks.done,
        "doubles": marks.doubles,
        "early": sum(one < 0 for one in late),
        "p50_ms": percentile(late, 0.5),
        "p99_ms": percentile(late, 0.99),
        "max_ms": max(late),
        "min_ms": min(late),
        "late_ms": [round(one, 3) for one in late],
    }
