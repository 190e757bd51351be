"""Jobs that are queued already, run as fast as a worker can."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.harness import marked, server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.processes import (
    Adapter,
    Failed,
    cpu_of_all,
    pause,
    scratch,
    workers,
)
from benchmarks.harness.recorded import recording
from benchmarks.harness.rounds import Case, Metrics, Options
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
            marked.wait_for(
                folder, jobs, _LIMIT, lambda: any(one.alive for one in adapters)
            )
            pause(_SETTLE)
            after, used = server.counters(running), cpu_of_all(adapters)
            marks = marked.read(folder, jobs)
            if marks.done < 2:
                raise Failed(f"{marks.done} jobs ran; {adapters[0].log()}")
        return _figures(marks, before, after, used, queued["seconds"])


def marking(running: Server, folder: Path, jobs: int) -> Mapping[str, str]:
    """Return the environment by which jobs know where to mark."""
    return {
        "BENCH_MARKS": str(folder),
        "BENCH_JOBS": str(jobs),
        "BENCH_SERVER": str(running.pid),
    }


def _figures(
    marks: marked.Marks,
    before: Mapping[str, float],
    after: Mapping[str, float],
    used: Mapping[int, float],
    queued: float,
) -> Metrics:
    started, done = marks.started(), marks.done
    # What a process had used when its first job began does not count.
    begun = {pid: head[1] for pid, head in marks.heads.items()}
    worker = sum(cpu - begun.get(pid, 0.0) for pid, cpu in used.items())
    at_first = min(head[2] for head in marks.heads.values())
    mine = after["cpu"] - at_first

    def each(name: str) -> float:
        return (after[name] - before[name]) / done

    return {
        "jobs": marks.jobs,
        "done": done,
        "doubles": marks.doubles,
        "jobs_per_second": (done - 1) / (started[-1] - started[0]),
        "worker_us": worker / done * 1e6,
        "server_us": mine / done * 1e6,
        "cpu_us": (worker + mine) / done * 1e6,
        "commands": each("total_commands_processed"),
        "round_trips": each("total_writes_processed"),
        "reads": each("total_reads_processed"),
        "bytes_in": each("total_net_input_bytes"),
        "queued_seconds": queued,
    }
