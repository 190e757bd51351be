"""Jobs an hour ahead: what they take in Redis, and what a worker takes for them."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from benchmarks.comparisons.drain import marking
from benchmarks.harness import marked, server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.processes import (
    Adapter,
    AdapterError,
    cpu_of_all,
    pause,
    scratch,
    workers,
)
from benchmarks.harness.rounds import Case, Metrics, Options
from tests.servers import Server

NAME = "scale"
TITLE = "One-time jobs an hour ahead"
ROUNDS = 1
JOBS = 10_000
OURS = (10_000, 100_000)
FULL = 1_000_000
_AHEAD = 3_600.0
_LOOK = 3.0
_LIMIT = 1_800.0


def cases(options: Options) -> list[Case]:
    """Return everyone with some jobs, and aiosched with ten times as many."""
    found = []
    for one in contenders(NAME, options.peers):
        sizes: tuple[int, ...] = (JOBS,)
        if one.ours:
            sizes = (*OURS, FULL) if options.full else OURS
        for jobs in sizes:
            size = options.scaled(jobs)
            found.append(Case(one, f"{size:,} jobs", partial(scale, one, size)))
    return found


def scale(variant: Variant, jobs: int) -> Metrics:
    """Store jobs and start a worker, beside one that has none."""
    empty = _started(variant, 0)
    with_jobs = _started(variant, jobs)
    return {
        "jobs": jobs,
        "bytes_per_job": with_jobs["bytes"] / jobs,
        "rss_mb": with_jobs["rss_mb"],
        "rss_mb_empty": empty["rss_mb"],
        "start_seconds": with_jobs["start_seconds"],
        "start_seconds_empty": empty["start_seconds"],
        "idle_percent": with_jobs["idle_percent"],
        "idle_percent_empty": empty["idle_percent"],
        "stored_per_second": with_jobs["stored_per_second"],
    }


def _started(variant: Variant, jobs: int) -> Metrics:
    with server.server() as running, scratch() as folder:
        with Adapter(variant, "producer", running.url, {}) as producer:
            variant.packages.update(producer.versions)
            before, begun = server.memory(running), time.monotonic()
            _store(producer, jobs)
            seconds = time.monotonic() - begun
            size = server.memory(running) - before
            producer.ask(do="one", index=0)  # due now: the sign that a worker works
        return {
            "bytes": size,
            "stored_per_second": jobs / seconds,
            **_worker(variant, running, folder),
        }


def _store(producer: Adapter, jobs: int) -> None:
    begin = time.time() + _AHEAD
    for low in range(0, jobs, 10_000):
        high = min(jobs, low + 10_000)
        dues = [(index, begin + index * 600 / jobs) for index in range(low, high)]
        producer.ask(_LIMIT, do="at", dues=dues)


def _worker(variant: Variant, running: Server, place: Path) -> Metrics:
    begun = time.time()
    with workers(variant, running.url, 1, marking(running, place, 1)) as adapters:
        marked.wait_for(place, 1, 60.0, lambda: adapters[0].alive)
        marks = marked.read(place, 1)
        if not marks.done:
            raise AdapterError(f"the job that was due did not run; {adapters[0].log()}")
        pause(1.0)
        used = cpu_of_all(adapters)
        pause(_LOOK)
        then = cpu_of_all(adapters)
        cpu = sum(then[pid] - used.get(pid, 0.0) for pid in then)
        return {
            "rss_mb": adapters[0].rss() / 1e6,
            "start_seconds": marks.starts[0] - begun,
            "idle_percent": cpu / _LOOK * 100,
        }
