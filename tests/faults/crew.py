"""Peers in the test's own process, and all that they did and were told."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

from aiosched import Context, Job, LedgerEntry, Scheduler
from aiosched._engine.events import Event
from aiosched.abc import JobStore
from aiosched.enums import RowKind
from aiosched.errors import AioschedError
from aiosched.instants import SECOND
from tests.crash.kit import every_job
from tests.waiting import wait_until

__all__ = ["BEAT", "TERMS", "Crew", "Ran", "Told"]

BEAT = 0.25
TERMS: dict[str, Any] = {
    "beat": BEAT,
    "member_timeout": 1.5,
    "steal_delay": 0.05,
    "shards": 8,
}
LEASE = 1.5
KEPT = (
    "blocked",
    "data_lost",
    "declared_failed",
    "fenced",
    "lapsed",
    "run_lost",
    "service_failed",
    "store_down",
    "store_up",
    "unclaimable",
    "unreadable",
)
PASSED = (RowKind.SKIPPED, RowKind.MISSED, RowKind.EXCLUDED, RowKind.PAUSED)


@dataclass(eq=False, slots=True)
class Ran:
    """One run, as its executor saw it; instants are of the host's monotonic clock."""

    peer: str
    job: str
    key: str
    attempt: int
    fence: int
    at: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An event, who told of it, and when."""

    peer: str
    at: float
    event: Event


class Crew:
    """Schedulers of one namespace, each with a ``tick`` that is a witness.

    ``tick(secs=0, pad="")`` notes that it runs, and takes that long.
    """

    def __init__(self, store: str | Callable[[], JobStore], **options: Any) -> None:
        self.store = store
        self.options = {"namespace": "crew", "lease": LEASE, "terms": TERMS, **options}
        self.runs: list[Ran] = []
        self.told: list[Told] = []
        self.peers: dict[str, Scheduler] = {}
        self._numbers = itertools.count(1)

    # -- peers -----------------------------------------------------------------

    async def peer(
        self,
        *,
        store: str | JobStore | None = None,
        declare: Iterable[Job] = (),
        **options: Any,
    ) -> Scheduler:
        """Start one more peer."""
        name = f"peer-{next(self._numbers)}"
        given = self.store if store is None else store
        given = given() if callable(given) else given
        scheduler = Scheduler(given, name=name, **{**self.options, **options})
        self._register(scheduler, name)
        for job in declare:
            scheduler.declare(job)
        for word in KEPT:
            scheduler.on(word, self._note(name))
        self.peers[name] = scheduler
        await scheduler.start()
        return scheduler

    async def client(self, **options: Any) -> Scheduler:
        """Start one that runs nothing."""
        return await self.peer(run_jobs=False, **options)

    def _note(self, name: str) -> Callable[[Event], None]:
        return lambda event: self.told.append(Told(name, monotonic(), event))

    def _register(self, scheduler: Scheduler, name: str) -> None:
        @scheduler.executor
        async def tick(context: Context, secs: float = 0.0, pad: str = "") -> int:
            key = context.run_id.split("/")[1]
            ran = Ran(
                name,
                context.job_id,
                key,
                context.attempt,
                context.fence,
                monotonic(),
            )
            self.runs.append(ran)
            await asyncio.sleep(secs)
            ran.ended = monotonic()
            return ran.fence + len(pad)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ends = [one.shutdown(force=True, grace=0.5) for one in self.peers.values()]
        with suppress(AioschedError):
            await asyncio.gather(*ends, return_exceptions=kind is not None)

    # -- what can be asked -----------------------------------------------------

    def events(self, *names: str, since: float = 0.0) -> list[Told]:
        """Return what was told, of these kinds, from an instant on."""
        return [x for x in self.told if x.event.name in names and x.at >= since]

    def ran(self, *job_ids: str, since: float = 0.0) -> list[Ran]:
        """Return what has run from an instant on, of these jobs or all."""
        return [
            one
            for one in self.runs
            if one.at >= since and (not job_ids or one.job in job_ids)
        ]

    async def until_ran(
        self, *job_ids: str, times: int = 1, since: float = 0.0, timeout: float = 20.0
    ) -> float:
        """Wait for so many runs of each of these jobs; return when they had begun."""

        def enough() -> bool:
            return all(
                len(self.ran(one, since=since)) >= times for one in job_ids or ("",)
            )

        await wait_until(enough, f"{times} runs of {job_ids}", timeout=timeout)
        return max(self.ran(one, since=since)[times - 1].at for one in job_ids)

    async def until_told(
        self, name: str, *, since: float = 0.0, by: int = 1, timeout: float = 20.0
    ) -> float:
        """Wait until so many peers have told of something; return when."""

        def enough() -> bool:
            return len({x.peer for x in self.events(name, since=since)}) >= by

        await wait_until(enough, f"{name} by {by}", timeout=timeout)
        first: dict[str, float] = {}
        for one in self.events(name, since=since):
            first.setdefault(one.peer, one.at)
        return sorted(first.values())[by - 1]

    async def until_well(self, *, timeout: float = 20.0) -> None:
        """Wait until every peer is healthy."""

        def well() -> bool:
            return all(one.health().ok for one in self.peers.values())

        await wait_until(well, "all healthy", timeout=timeout)

    # -- what has to hold ------------------------------------------------------

    async def judged(
        self, client: Scheduler, *, excused: bool = False, every: float | None = None
    ) -> list[str]:
        """Return what does not add up over jobs, ledger and witnesses.

        Args:
            client: Through whom the store is read; nothing may be running.
            excused: A firing may have begun twice where the ledger tells that
                the attempt before was lost.
            every: Seconds between the slots of all jobs with slots; then each
                slot must be found in the ledger once.
        """
        jobs = {**await every_job(client), **await every_job(client, "finished")}
        rows = await client.history(limit=1_000_000)
        return [
            *_sums(jobs, rows),
            *([] if every is None else _gaps(rows, round(every * SECOND))),
            *self._doubled(rows, excused=excused),
            *self._unseen(rows),
            *self.fences_twice(),
        ]

    def fences_twice(self) -> list[str]:
        """Return the fences that two runs of a job had."""
        counted = Counter((ran.job, ran.fence) for ran in self.runs)
        return [f"fence {one} {n} times" for one, n in counted.items() if n > 1]

    def _doubled(self, rows: list[LedgerEntry], *, excused: bool) -> list[str]:
        wrong: list[str] = []
        lost = {
            (row.job_id, row.run.key, row.run.attempt)
            for row in rows
            if row.kind is RowKind.LOST and row.run is not None
        }
        starts: dict[tuple[str, str], list[int]] = defaultdict(list)
        for ran in self.runs:
            starts[ran.job, ran.key].append(ran.attempt)
        for (job, key), attempts in starts.items():
            if len(set(attempts)) < len(attempts):
                wrong.append(f"{job}/{key}: attempts {attempts}")
            for attempt in attempts:
                before = (job, key, attempt - 1)
                if attempt > 1 and not (excused and before in lost):
                    wrong.append(f"{job}/{key}: attempt {attempt} without a reason")
        return wrong

    def _unseen(self, rows: list[LedgerEntry]) -> list[str]:
        seen = {(ran.job, ran.key, ran.fence) for ran in self.runs}
        return [
            f"{row.job_id}/{row.run.key} succeeded unseen"
            for row in rows
            if row.kind is RowKind.SUCCEEDED
            and row.run is not None
            and (row.job_id, row.run.key, row.fence) not in seen
        ]


def _gaps(rows: list[LedgerEntry], step: int) -> list[str]:
    """Return where slots are missing in the ledger, or stand there twice."""
    wrong: list[str] = []
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for row in rows:
        if row.run is not None and row.run.final and row.run.key.isdigit():
            found[row.job_id][int(row.run.key)] += 1
        elif row.kind in PASSED and row.first is not None and row.last is not None:
            first, last = (round(x.timestamp() * SECOND) for x in (row.first, row.last))
            found[row.job_id].update(range(first, last + 1, step))
    for job_id, slots in found.items():
        whole = range(min(slots), max(slots) + 1, step)
        if sorted(slots) != list(whole):
            gone = sorted(set(whole) - set(slots))
            wrong.append(f"{job_id}: the slots {gone} are in no row")
        twice = [slot for slot, times in slots.items() if times > 1]
        if twice:
            wrong.append(f"{job_id}: the slots {twice} have two fates")
    return wrong


def _sums(jobs: dict[str, Job], rows: list[LedgerEntry]) -> list[str]:
    """Return where a job's counters, its ledger and its runs differ."""
    wrong: list[str] = []
    by_job: dict[str, list[LedgerEntry]] = defaultdict(list)
    for row in rows:
        by_job[row.job_id].append(row)
    for job_id, job in jobs.items():
        counts, own = job.counts, by_job[job_id]
        passed = (counts.skipped, counts.missed, counts.excluded, counts.paused)
        if counts.slots != counts.fired + sum(passed):
            wrong.append(f"{job_id}: {counts}")
        ends = Counter(x.run.key for x in own if x.run is not None and x.run.final)
        twice = [key for key, times in ends.items() if times > 1]
        if twice:
            wrong.append(f"{job_id}: {twice} ended twice")
        if len(ends) != counts.outcomes:
            wrong.append(f"{job_id}: {len(ends)} ends, {counts.outcomes} counted")
        told = sum(x.count for x in own if x.kind in PASSED)
        if told != sum(passed):
            wrong.append(f"{job_id}: the ledger passes {told} over, not {passed}")
    return wrong
