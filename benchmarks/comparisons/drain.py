"""Jobs that are queued already, run as fast as a worker can."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

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
from benchmarks.harness.recorded import recording
from benchmarks.harness.rounds import Case, Metrics, Options
from benchmarks.peers.shared.marks import cpu_of
from tests.servers import Server

NAME = "drain"
TITLE = "One-time no-op jobs that wait in Redis, one worker process"
_LIMIT = 40.0
# The last outcomes are written after the last job has started.
_SETTLE = 0.3


def cases(options: Options) -> list[Case]:
    """Return who drains how many jobs."""
    taking_part = contenders(NAME, options.peers)
    ours = next(one for one in taking_part if one.ours)
    recording(ours, options.scaled(ours.jobs))
    return [
        Case(one, "1 worker", partial(drain, one, options.scaled(one.jobs)))
        for one in taking_part
    ]


def drain(variant: Variant, jobs: int, count: int = 1) -> Metrics:
    """Queue jobs on a fresh server, start workers, and read what it cost."""
    with server.server() as running, scratch() as folder:
        with Adapter(variant, "producer", running.url, {}) as producer:
            variant.packages.update(producer.versions)
            queued = producer.ask(do="bulk", count=jobs)
        more = marking(running, folder, jobs)
        before = server.counters(running)
        with workers(variant, running.url, count, more) as adapters:
            ready = (time.time(), cpu_of_all(adapters), cpu_of(running.pid))
            marked.wait_for(
                folder, jobs, _LIMIT, lambda: any(one.alive for one in adapters)
            )
            pause(_SETTLE)
            after, used = server.counters(running), cpu_of_all(adapters)
            marks = marked.read(folder, jobs)
            if marks.done < 2:
                raise AdapterError(f"{marks.done} jobs ran; {adapters[0].log()}")
        begun = ready if variant.whole else at_first(marks)
        found = _figures(marks, before, after, used, begun)
        return {**found, "queued_seconds": queued["seconds"]}


def marking(running: Server, folder: Path, jobs: int) -> Mapping[str, str]:
    """Return the environment by which jobs know where to mark."""
    return {
        "BENCH_MARKS": str(folder),
        "BENCH_JOBS": str(jobs),
        "BENCH_SERVER": str(running.pid),
    }


Begun = tuple[float, Mapping[int, float], float]
"""Since when things count: wall time, CPU by process, CPU of the server."""


def at_first(marks: marked.Marks) -> Begun:
    """Return how things stood when the first job started."""
    heads = marks.heads.values()
    cpu = {pid: head[1] for pid, head in marks.heads.items()}
    return min(head[0] for head in heads), cpu, min(head[2] for head in heads)


def _figures(
    marks: marked.Marks,
    before: Mapping[str, float],
    after: Mapping[str, float],
    used: Mapping[int, float],
    begun: Begun,
) -> Metrics:
    started, done = marks.started(), marks.done
    # What a process had used when its first job began does not count.
    worker = sum(cpu - begun[1].get(pid, 0.0) for pid, cpu in used.items())
    mine = after["cpu"] - begun[2]

    def each(name: str) -> float:
        return (after[name] - before[name]) / done

    return {
        "jobs": marks.jobs,
        "done": done,
        "doubles": marks.doubles,
        "jobs_per_second": (done - 1) / (started[-1] - begun[0]),
        "worker_us": worker / done * 1e6,
        "server_us": mine / done * 1e6,
        "cpu_us": (worker + mine) / done * 1e6,
        "commands": each("total_commands_processed"),
        "round_trips": each("total_writes_processed"),
        "reads": each("total_reads_processed"),
        "bytes_in": each("total_net_input_bytes"),
    }
