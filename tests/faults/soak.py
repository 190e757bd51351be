"""Runs by the million, and what must not grow: keys, memory, descriptors.

``python -m tests.faults.soak --runs 1000000``: four peers as processes, a
thousand jobs of several kinds, fires with payloads and jobs that come and go.
At each checkpoint it writes down what there is; at its end it compares the
second half with the quarter before it.  The exit code is 1 if anything grew.

The ledger is kept for ``AGE`` seconds here, as it is for days in real life: it
has to be full before the store's memory can be flat.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from aiosched import IntervalTrigger, Job, Retry, Scheduler
from aiosched.errors import StoreUnavailableError
from tests import servers
from tests.crash.kit import Fleet, Peer, every_job
from tests.servers import Server

PEERS = 4
AGE = 60.0
"""Seconds for which the ledger is kept."""
KEYWORDS = 20
PAYLOAD = "x" * 2_000
"""Above 1 kB, so that it is kept apart and must be deleted again."""
GROWTH = {
    "keys": (0.02, 20),
    "used_memory": (0.03, 500_000),
    "resident": (0.03, 2_000),
    "descriptors": (0.0, 2),
}
"""By how much the second half may lie above the quarter before: share, least."""


LEAST = 8
"""Checkpoints without which nothing can be said."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What there is at one moment."""

    seconds: float
    runs: int
    """That have succeeded."""
    jobs: int
    keys: int
    used_memory: int
    """Of the server, in bytes."""
    resident: list[int]
    """Of each peer, in kilobytes."""
    descriptors: list[int]
    changes: int
    """Fires with payloads, and jobs that came and went, so far."""
    threads: list[int]
    tasks_failed: int
    """Runs that failed for good."""


def resident(peer: Peer) -> int:
    """Return the memory of a process, in kilobytes."""
    text = Path(f"/proc/{peer.process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def threads(peer: Peer) -> int:
    """Return how many threads a process has."""
    text = Path(f"/proc/{peer.process.pid}/status").read_text()
    return int(text.partition("Threads:")[2].split()[0])


def descriptors(peer: Peer) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{peer.process.pid}/fd").iterdir()))


def jobs_of(number: int, every: float) -> list[Job]:
    """Return the jobs of a soak: most are slots, some fail once, some are fired."""
    begin = datetime.now(UTC) + timedelta(seconds=2)
    jobs = []
    for index in range(number):
        job_id = f"soak-{index}"
        if index < KEYWORDS:
            word = f"word-{index}"
            jobs.append(Job("weigh", keyword=word, id=job_id, overlap="queue"))
            continue
        trigger = IntervalTrigger(
            milliseconds=round(every * 1000),
            start=begin + timedelta(seconds=every * index / number),
        )
        options: dict[str, Any] = {"trigger": trigger, "id": job_id}
        if index % 20 == 1:
            options["retry"] = Retry(attempts=2, delay=0.05)
            jobs.append(Job("stumble", **options))
        elif index % 20 == 2:
            options["kwargs"] = {"data": PAYLOAD, "number": index}
            jobs.append(Job("weigh", **options))
        else:
            jobs.append(Job("nothing", **options))
    return jobs


class Soak:
    """A soak that goes on until so many runs have succeeded."""

    def __init__(self, server: Server, fleet: Fleet, client: Scheduler) -> None:
        self.server = server
        self.fleet = fleet
        self.client = client
        self.begun = monotonic()
        self.points: list[Checkpoint] = []
        self.changes = 0

    async def succeeded(self, number: int) -> tuple[int, int]:
        """Return how many runs succeeded and failed, by the jobs' counters."""
        found = await every_job(self.client)
        counts = [found[f"soak-{index}"].counts for index in range(number)]
        done = sum(one.succeeded for one in counts)
        failed = sum(one.failed for one in counts)
        return done, failed

    async def checkpoint(self, jobs: int) -> Checkpoint:
        """Write down what there is."""
        runs, failed = await self.succeeded(jobs)
        memory = str(self.server.command("INFO", "memory"))
        used = memory.partition("used_memory:")[2].split()[0]
        keys = self.server.command("DBSIZE")
        assert isinstance(keys, int)
        peers = self.fleet.peers
        point = Checkpoint(
            round(monotonic() - self.begun, 1),
            runs,
            jobs,
            keys,
            int(used),
            [resident(peer) for peer in peers],
            [descriptors(peer) for peer in peers],
            self.changes,
            [threads(peer) for peer in peers],
            failed,
        )
        self.points.append(point)
        return point

    async def comings_and_goings(self, rate: float) -> None:
        """Fire words with payloads, and schedule jobs that leave nothing behind."""
        number = 0
        while True:
            number += 1
            word = f"word-{number % KEYWORDS}"
            payload = {"data": PAYLOAD, "number": number}
            # A machine that is too busy may cut an exchange short.
            with suppress(StoreUnavailableError):
                await self.client.fire_job(word, payload)
                await self.client.schedule(Job("weigh", kwargs=payload))
                self.changes += 1
            await asyncio.sleep(1 / rate)


async def soak(
    binary: servers.Binary,
    folder: Path,
    *,
    runs: int,
    jobs: int = 1_000,
    every: float = 1.0,
    age: float = AGE,
    step: int = 50_000,
    least: int = LEAST,
    tell: Any = None,
) -> list[Checkpoint]:
    """Run until so many runs have succeeded; return the checkpoints.

    Args:
        binary: The server program.
        folder: For the peers' files.
        runs: How many.
        jobs: Among how many jobs.
        every: Seconds between two slots of a job.
        age: Seconds for which the ledger is kept.
        step: Runs between two checkpoints.
        least: Checkpoints, however few looks a busy machine allows.
        tell: Called with each checkpoint.
    """
    options = {"terms": {"ledger_age": age}}
    with Server(binary) as server, Fleet(server.url, folder, options=options) as fleet:
        for _ in range(PEERS):
            fleet.spawn("tests.faults.soaked")
        await fleet.up()
        async with fleet.client() as client:
            await client.schedule_many(jobs_of(jobs, every))
            work = Soak(server, fleet, client)
            changes = asyncio.create_task(work.comings_and_goings(10))
            enough = asyncio.create_task(_until(work, jobs, runs, step, least, tell))
            both = {changes, enough}
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if changes.done():
                    await changes  # raises what ended it
                await enough
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        assert all(peer.alive for peer in fleet.peers), "a peer died"
    return work.points


async def _until(
    work: Soak, jobs: int, runs: int, step: int, least: int, tell: Any
) -> None:
    due = step
    # A busy machine may pass several checkpoints at one look.
    while len(work.points) < least or work.points[-1].runs < runs:
        # A machine that is too busy may cut an exchange short.
        with suppress(StoreUnavailableError):
            done, _ = await work.succeeded(jobs)
            if done >= due:
                point = await work.checkpoint(jobs)
                if tell is not None:
                    tell(point)
                due = (point.runs // step + 1) * step
                continue
        await asyncio.sleep(min(max(step / 10_000, 0.2), 5.0))


def verdict(points: Sequence[Checkpoint]) -> dict[str, dict[str, float]]:
    """Compare the second half with the quarter before it, thing by thing.

    Raises:
        ValueError: There are fewer than eight checkpoints.
    """
    if len(points) < LEAST:
        raise ValueError(f"{len(points)} checkpoints are too few")
    early = points[len(points) // 4 : len(points) // 2]
    late = points[len(points) // 2 :]
    found: dict[str, dict[str, float]] = {}
    for name, (share, least) in GROWTH.items():
        before = statistics.median(_total(point, name) for point in early)
        after = statistics.median(_total(point, name) for point in late)
        # A leak goes on: at the very end most of it is there.
        last = statistics.median(_total(point, name) for point in late[-3:])
        room = max(share * before, least)
        found[name] = {
            "before": before,
            "after": after,
            "last": last,
            "room": room,
            "grew": float(max(after, last) > before + room),
        }
    return found


def _total(point: Checkpoint, name: str) -> int:
    value = getattr(point, name)
    return sum(value) if isinstance(value, list) else int(value)


def main(words: Sequence[str] | None = None) -> int:
    """Run a soak from the command line and print its table."""
    parser = argparse.ArgumentParser(description="soak the scheduler")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--every", type=float, default=1.0, help="seconds")
    parser.add_argument("--age", type=float, default=AGE, help="of the ledger")
    parser.add_argument("--step", type=int, default=None, help="runs a checkpoint")
    parser.add_argument("--json", type=Path, default=None, help="where to write it")
    given = parser.parse_args(words)
    binary = servers.binaries()[0]
    step = given.step or max(given.runs // 20, 1)
    print(f"{binary.name}, {PEERS} peers, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="aiosched-soak-") as folder:
        points = asyncio.run(
            soak(
                binary,
                Path(folder),
                runs=given.runs,
                jobs=given.jobs,
                every=given.every,
                age=given.age,
                step=step,
                tell=lambda point: print(json.dumps(asdict(point)), flush=True),
            )
        )
    found = verdict(points)
    report = {
        "server": binary.name,
        "points": [asdict(one) for one in points],
        "verdict": found,
    }
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1))
    print(json.dumps(found, indent=1))
    grew = [name for name, one in found.items() if one["grew"]]
    print(f"grew: {', '.join(grew)}" if grew else "flat")
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
