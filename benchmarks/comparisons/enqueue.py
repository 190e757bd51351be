"""Jobs that are due now, queued by one process: in bulk, by 50 tasks, one by one."""

from __future__ import annotations

from functools import partial

from benchmarks.harness import server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.processes import Adapter
from benchmarks.harness.recorded import recording
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "enqueue"
TITLE = "Queueing jobs: many at once, by 50 concurrent tasks, one at a time"
BULK = 10_000
CONCURRENT = 2_000
SERIAL = 300
_WARM = 200


def cases(options: Options) -> list[Case]:
    """Return who queues."""
    taking_part = contenders(NAME, options.peers)
    ours = next(one for one in taking_part if one.ours)
    bulk = options.scaled(BULK)
    recording(ours, bulk)
    return [
        Case(one, "1 producer", partial(enqueue, one, bulk, options))
        for one in taking_part
    ]


def enqueue(variant: Variant, bulk: int, options: Options) -> Metrics:
    """Queue in three ways on a fresh server, and read what it cost."""
    with server.server() as running:
        with Adapter(variant, "producer", running.url, {}) as producer:
            variant.packages.update(producer.versions)
            if not variant.floor:
                producer.ask(do="concurrent", count=_WARM, tasks=50)
            before = server.counters(running)
            many = producer.ask(do="bulk", count=bulk)
            after = server.counters(running)
            found = {
                "bulk_jobs": bulk,
                "bulk_per_second": bulk / many["seconds"],
                "bulk_cpu_us": (many["cpu"] + after["cpu"] - before["cpu"]) / bulk * 1e6,
                "bulk_commands": _each("total_commands_processed", before, after, bulk),
                "bulk_round_trips": _each("total_writes_processed", before, after, bulk),
            }
            if not variant.floor:
                some = options.scaled(CONCURRENT)
                lanes = producer.ask(do="concurrent", count=some, tasks=50)
                found["concurrent_per_second"] = some / lanes["seconds"]
            serial = producer.ask(do="serial", count=SERIAL)
            found["serial_us"] = serial["seconds"] / SERIAL * 1e6
            return found


def _each(
    name: str, before: dict[str, float], after: dict[str, float], jobs: int
) -> float:
    return (after[name] - before[name]) / jobs
