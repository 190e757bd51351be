"""Peers as processes, and what their files and the ledger say of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiosched import Job, LedgerEntry, Scheduler
from aiosched.enums import RowKind
from tests.crash.peer import CONFIG
from tests.servers import Server
from tests.waiting import wait_until

__all__ = ["Fleet", "Line", "Peer", "Story", "server_now", "told"]

ROOT = Path(__file__).parents[2]
BOOT = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """What a peer wrote down; ``at`` is the host's monotonic clock."""

    kind: str
    at: float
    words: tuple[Any, ...]

    @property
    def firing(self) -> tuple[str, str]:
        """Job id and key."""
        return self.words[0], self.words[1]

    @property
    def attempt(self) -> int:
        """The attempt at the firing."""
        return int(self.words[2])

    @property
    def fence(self) -> int:
        """The token of the claim."""
        return int(self.words[3])

    @property
    def lateness(self) -> float:
        """By how many seconds it was late, as the run itself knew."""
        return float(self.words[4])


class Peer:
    """One process with a scheduler in it."""

    def __init__(
        self, path: Path, words: list[str], environment: dict[str, str]
    ) -> None:
        self.path = path
        self._log = path.with_suffix(".log").open("wb")
        self._lines: list[Line] = []
        self._read = 0
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            # A Ctrl-C in the terminal is for pytest, which then ends the peers.
            start_new_session=True,
        )

    def lines(self, *kinds: str) -> list[Line]:
        """Return what it has written, of these kinds or all."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                fresh = file.read()
            # A line that is just being written is read the next time.
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read += len(whole)
            for text in whole.splitlines():
                kind, at, *words = json.loads(text)
                self._lines.append(Line(kind, at, tuple(words)))
        return [one for one in self._lines if not kinds or one.kind in kinds]

    def wrote(self, kind: str) -> bool:
        """Return whether it has written such a line."""
        return bool(self.lines(kind))

    @property
    def id(self) -> str:
        """Its incarnation id."""
        return str(self.lines("born")[0].words[0])

    @property
    def alive(self) -> bool:
        """Return whether the process exists."""
        return self.process.poll() is None

    def log(self) -> str:
        """Return what it printed."""
        return self.path.with_suffix(".log").read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait(timeout=30)

    def close(self) -> None:
        """Kill it if need be, and forget it."""
        if self.alive:
            self.kill()
        self._log.close()


@dataclass
class Fleet:
    """The peers of one namespace on one server."""

    url: str
    folder: Path
    namespace: str = "crash"
    options: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    """Of the command line, for modules that are none of the tests'."""
    peers: list[Peer] = field(default_factory=list)

    def spawn(self, module: str = "tests.crash.peer", **config: Any) -> Peer:
        """Start one more process; it is up when it says so."""
        number = len(self.peers)
        path = self.folder / f"{self.namespace}-{number}.witness"
        full = {
            "url": self.url,
            "namespace": self.namespace,
            "witness": str(path),
            "options": {**self.options, "name": f"peer-{number}"},
            **self.config,
            **config,
        }
        text = json.dumps(full)
        words = [text] if module.startswith("tests.") else self.words
        command = [sys.executable, "-m", module, *words]
        peer = Peer(path, command, {CONFIG: text})
        self.peers.append(peer)
        return peer

    async def up(self, *peers: Peer) -> None:
        """Wait until peers have started (all of them, if none is named)."""
        for peer in peers or self.peers:
            await wait_until(
                lambda peer=peer: peer.wrote("up") or not peer.alive,  # type: ignore[misc]
                "a peer that starts",
                timeout=BOOT,
                poll=0.05,
            )
            assert peer.alive, f"a peer died at its start:\n{peer.log()[-2000:]}"

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Scheduler]:
        """Open a scheduler of the test's own, which runs nothing."""
        given = {**self.options, "run_jobs": False, **options}
        client = Scheduler(self.url, namespace=self.namespace, **given)
        async with client:
            yield client

    def lines(self, *kinds: str) -> Iterator[tuple[Peer, Line]]:
        """Return what all peers wrote."""
        for peer in self.peers:
            for line in peer.lines(*kinds):
                yield peer, line

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *error: object) -> None:
        for peer in self.peers:
            peer.close()


def server_now(server: Server) -> float:
    """Return the store's clock, in seconds since 1970."""
    said = server.command("TIME")
    assert isinstance(said, list)
    return int(said[0]) + int(said[1]) / 1e6


async def told(client: Scheduler, number: int, timeout: float) -> dict[str, Job]:
    """Wait until so many jobs have finished; return all by id."""

    async def finished() -> bool:
        return len(await every_job(client, "finished")) >= number

    await wait_until(finished, f"{number} finished jobs", timeout=timeout, poll=0.25)
    return await every_job(client, "finished")


async def every_job(client: Scheduler, state: str | None = None) -> dict[str, Job]:
    """Return all jobs in a state (None: active and paused) by id."""
    jobs: dict[str, Job] = {}
    cursor = None
    while True:
        page = await client.get_jobs(state=state, limit=1000, cursor=cursor)
        jobs.update({job.id: job for job in page})
        cursor = page.cursor
        if cursor is None:
            return jobs


OUTCOMES = ("succeeded", "failed", "timed_out", "cancelled", "lost", "expired")
SLOTS = ("fired", "skipped", "missed", "excluded", "paused")


@dataclass
class Story:
    """What happened in a namespace, from its ledger and its peers' files."""

    jobs: dict[str, Job]
    rows: list[LedgerEntry]
    starts: dict[tuple[str, str], list[tuple[Peer, Line]]]

    @classmethod
    async def read(cls, client: Scheduler, fleet: Fleet) -> Story:
        """Read it all."""
        jobs = {
            **await every_job(client),
            **await every_job(client, "finished"),
        }
        rows = await client.history(limit=1_000_000)
        starts: dict[tuple[str, str], list[tuple[Peer, Line]]] = defaultdict(list)
        for peer, line in fleet.lines("start"):
            starts[line.firing].append((peer, line))
        return cls(jobs, rows, dict(starts))

    # -- what can be asked ---------------------------------------------------

    def of_kind(self, *kinds: RowKind) -> list[LedgerEntry]:
        """Return the rows of these kinds."""
        return [row for row in self.rows if row.kind in kinds]

    def lost(self) -> dict[int, LedgerEntry]:
        """Return the runs that were given up, by fence."""
        return {row.fence: row for row in self.of_kind(RowKind.LOST)}

    def sums(self) -> Counter[str]:
        """Add the counters of all jobs."""
        total: Counter[str] = Counter()
        for job in self.jobs.values():
            for name in (*SLOTS, "asked", *OUTCOMES):
                total[name] += getattr(job.counts, name)
        return total

    # -- what has to hold ----------------------------------------------------

    def conservation(self, slots: int) -> list[str]:
        """Each job's slots are accounted for once, in counters and ledger alike."""
        wrong = []
        by_job: dict[str, list[LedgerEntry]] = defaultdict(list)
        for row in self.rows:
            by_job[row.job_id].append(row)
        for job_id, job in self.jobs.items():
            counts, rows = job.counts, by_job[job_id]
            if counts.slots != slots:
                wrong.append(f"{job_id}: {counts.slots} slots, not {slots}")
            if counts.fired + counts.asked != counts.outcomes:
                wrong.append(f"{job_id}: {counts.fired} fired, {counts.outcomes} ended")
            final = [row.run for row in rows if row.run is not None and row.run.final]
            keys = Counter(run.key for run in final)
            twice = [key for key, times in keys.items() if times > 1]
            if twice:
                wrong.append(f"{job_id}: {twice} ended twice")
            if len(keys) != counts.outcomes:
                wrong.append(f"{job_id}: {len(keys)} ends, {counts.outcomes} counted")
            passed = sum(r.count for r in rows if r.kind.value in SLOTS[1:])
            if passed != counts.slots - counts.fired:
                wrong.append(f"{job_id}: the ledger passes {passed} slots over")
        return wrong

    def second_starts(self, killed: set[str]) -> list[str]:
        """A firing starts again only after a peer in ``killed`` lost the one before."""
        wrong = []
        lost = {
            (row.job_id, row.run.key, row.run.attempt): row.peer
            for row in self.of_kind(RowKind.LOST)
            if row.run is not None
        }
        for firing, lines in self.starts.items():
            attempts = sorted(line.attempt for _, line in lines)
            if len(set(attempts)) < len(attempts):
                wrong.append(f"{firing}: attempts {attempts}")
            for attempt in attempts:
                before = lost.get((*firing, attempt - 1))
                if attempt > 1 and before not in killed:
                    wrong.append(f"{firing}: attempt {attempt} without a death")
        return wrong

    def unstarted(self) -> list[str]:
        """Every firing that succeeded was seen to start by somebody."""
        return [
            f"{row.job_id}/{row.run.key} succeeded unseen"
            for row in self.of_kind(RowKind.SUCCEEDED)
            if row.run is not None and (row.job_id, row.run.key) not in self.starts
        ]

    def following(self, row: LedgerEntry) -> datetime | None:
        """Return when the attempt after a lost one was started, by the store."""
        assert row.run is not None
        for other in self.rows:
            run = other.run
            if (
                run is not None
                and (run.job_id, run.key) == (row.job_id, row.run.key)
                and run.attempt == row.run.attempt + 1
            ):
                return run.started_at
        return None
