"""A worker with nothing to do."""

from __future__ import annotations

from functools import partial

from benchmarks.comparisons.drain import marking
from benchmarks.harness import server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.figures import patient
from benchmarks.harness.processes import (
    AdapterError,
    cpu_of_all,
    pause,
    scratch,
    workers,
)
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "idle"
TITLE = "A worker with nothing to do"
SECONDS = 10.0
ROUNDS = 1
"""It is counted rather than timed, so one round is enough."""
_SETTLE = 2.0


def cases(options: Options) -> list[Case]:
    """Return everyone."""
    return [
        Case(one, "1 process", partial(idle, one, options.seconds or SECONDS))
        for one in contenders(NAME, options.peers)
    ]


def idle(variant: Variant, seconds: float) -> Metrics:
    """Start a worker, wait until it has begun, and look on."""
    with server.server() as running, scratch() as folder:
        more = marking(running, folder, 1)
        with workers(variant, running.url, 1, more) as adapters:
            variant.packages.update(adapters[0].versions)
            pause(patient(_SETTLE))
            before, used = server.counters(running), cpu_of_all(adapters)
            pause(seconds)
            if not adapters[0].alive:
                raise AdapterError(f"ended: {adapters[0].log()}")
            after, then = server.counters(running), cpu_of_all(adapters)
            cpu = sum(then[pid] - used.get(pid, 0.0) for pid in then)
            commands = "total_commands_processed"
            return {
                # The last question about them is one of them.
                "commands_per_second": (after[commands] - before[commands] - 1)
                / seconds,
                "worker_percent": cpu / seconds * 100,
                "server_percent": (after["cpu"] - before["cpu"]) / seconds * 100,
                "rss_mb": adapters[0].rss() / 1e6,
            }
