"""Jobs that are due now, queued by one process: in bulk, by 50 tasks, one by one."""

from __future__ import annotations

from functools import partial

from benchmarks.harness import server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.processes import Adapter
from benchmarks.harness.recorded import recording
from benchmarks.harness.rounds import Case, Metrics, Options
from tests.servers import Server

NAME = "enqueue"
TITLE = "Queueing jobs: many at once, by 50 concurrent tasks, one at a time"
BULK = 10_000
PEERS_BULK = 3_000
CONCURRENT = 2_000
SERIAL = 300
_WARM = 200


def cases(options: Options) -> list[Case]:
    """Return who queues."""
    taking_part = contenders(NAME, options.peers)
    ours = next(one for one in taking_part if one.ours)
    bulk, some = options.scaled(BULK), options.scaled(PEERS_BULK)
    recording(ours, bulk)
    return [
        Case(
            one,
            "1 producer",
            partial(enqueue, one, bulk if one.ours or one.floor else some, options),
        )
        for one in taking_part
    ]


def enqueue(variant: Variant, bulk: int, options: Options) -> Metrics:
    """Queue in three ways on a fresh server, and read what it cost."""
    with (
        server.server() as running,
        Adapter(variant, "producer", running.url, {}) as producer,
    ):
        variant.packages.update(producer.versions)
        if variant.floor:
            return {**_bulk(running, producer, bulk), **_serial(producer)}
        producer.ask(do="concurrent", count=_WARM, tasks=50)
        found = _bulk(running, producer, bulk)
        some = options.scaled(CONCURRENT)
        lanes = producer.ask(do="concurrent", count=some, tasks=50)
        found["concurrent_per_second"] = some / lanes["seconds"]
        return {**found, **_serial(producer)}


def _bulk(running: Server, producer: Adapter, jobs: int) -> Metrics:
    before = server.counters(running)
    many = producer.ask(do="bulk", count=jobs)
    after = server.counters(running)

    def each(name: str) -> float:
        return (after[name] - before[name]) / jobs

    return {
        "bulk_jobs": jobs,
        "bulk_per_second": jobs / many["seconds"],
        "bulk_cpu_us": many["cpu"] / jobs * 1e6 + each("cpu") * 1e6,
        "bulk_commands": each("total_commands_processed"),
        "bulk_round_trips": each("total_writes_processed"),
    }


def _serial(producer: Adapter) -> Metrics:
    found = producer.ask(do="serial", count=SERIAL)
    return {"serial_us": found["seconds"] / SERIAL * 1e6}
