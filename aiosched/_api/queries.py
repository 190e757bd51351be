"""The verbs that look: jobs, history, peers, health.  None of them writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from aiosched import planning
from aiosched._api.base import job_id_of
from aiosched._api.health import NOT_STARTED, Health, health_of
from aiosched._api.ledger import LedgerReading
from aiosched._api.options import optional_text
from aiosched._engine.live import Live
from aiosched._engine.once import due_entries
from aiosched.abc import Member
from aiosched.enums import JobState, Reason, RowKind
from aiosched.errors import ConfigurationError, StoreDataError
from aiosched.instants import SECOND, moment
from aiosched.jobs import Job, Progress, checks, progress_of
from aiosched.records import Apart, LiveRun, Record

__all__ = ["Health", "JobPage", "Peer", "Queries", "RunningRun"]

StateWord = Literal["active", "paused", "finished", "removed", "unknown"]


class JobPage(list[Job]):
    """A page of jobs; ``cursor`` fetches the next, and is None on the last."""

    cursor: str | None

    def __init__(self, jobs: Iterable[Job] = (), cursor: str | None = None) -> None:
        """Hold jobs and the way to the next page."""
        super().__init__(jobs)
        self.cursor = cursor


@dataclass(frozen=True, slots=True)
class Peer:
    """A scheduler on the same store.

    Attributes:
        id: Random incarnation id, new at each start.
        name: What its user calls it; need not be unique.
        queues: Queues that it serves; None: all.
        executors: Names of what it can run.
        claims: Whether it runs jobs; False for clients and while it ends.
        beat: When it last gave a sign of life, by the store's clock.
        running: Runs that it had then.
        silent: Whether it had left out a beat when this scheduler last beat:
            blocked, stopped or cut off, or dead since a moment ago.
        me: Whether it is the scheduler that was asked.
    """

    id: str
    name: str
    queues: tuple[str, ...] | None
    executors: tuple[str, ...]
    claims: bool
    beat: datetime
    running: int
    me: bool
    silent: bool = False


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run that is claimed somewhere.

    Attributes:
        peer: Incarnation id of the peer that runs it.
        lease_until: When others take over unless that peer extends it.
        cancelling: Whether it has been asked to stop.
        reason: Why, if it has; ``Reason.NONE`` if not.
        uncooperative: Whether it was asked more than 5 seconds ago and goes on;
            None for a run of another peer, which alone knows.
        progress: How far it is, as it has said last; None: it did not say.
    """

    job_id: str
    key: str
    peer: str
    fence: int
    attempt: int
    started_at: datetime
    lease_until: datetime
    cancelling: bool
    reason: Reason = Reason.NONE
    uncooperative: bool | None = None
    progress: Progress | None = None


class Queries(LedgerReading):
    """What can be known about jobs and peers."""

    # -- jobs --------------------------------------------------------------

    async def job_exists(self, job: Job | str) -> bool:
        """Return whether a job may still run; False once it has finished."""
        job_id = job_id_of(job)
        record = (await self._opened().read([job_id])).get(job_id)
        return record is not None and record.state.status in (
            JobState.ACTIVE,
            JobState.PAUSED,
        )

    async def get_job(self, job: Job | str) -> Job:
        """Return a job as it is stored now.

        Raises:
            JobNotFoundError: There is none with that id, or it has finished or
                been removed (:meth:`state` tells which).
            StoreDataError: Its record cannot be read, or holds what cannot be
                shown.
        """
        job_id = job_id_of(job)
        record = (await self._opened().read([job_id])).get(job_id)
        if record is None:
            # A listing leaves out what cannot be read; asked by name, it is told.
            record = await self._decide(job_id, lambda _record, _now: None)
            if record is not None and isinstance(record.definition.arguments, Apart):
                raise StoreDataError(job_id, "its arguments are missing in the store")
        return self._snapshot(planning.living(record, job_id), job_id)

    async def state(self, job: Job | str) -> JobState:
        """Tell active, paused, finished and removed jobs from unknown ones.

        What has left the store is told by the ledger, as far back as it goes.
        """
        job_id = job_id_of(job)
        session = self._opened()
        record = (await session.read([job_id])).get(job_id)
        if record is not None:
            return record.state.status
        rows = await session.ledger(job_id, limit=20)
        if any(row.kind is RowKind.REMOVED for row in rows):
            return JobState.REMOVED
        return JobState.FINISHED if rows else JobState.UNKNOWN

    async def get_jobs(
        self,
        *,
        tag: str | None = None,
        keyword: str | None = None,
        executor: str | None = None,
        state: JobState | StateWord | None = None,
        queue: str | None = None,
        unclaimable: bool | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        """Return a page of the jobs that match every filter given.

        Args:
            tag: Jobs that carry it.
            keyword: Jobs that are subscribed to it.
            executor: Jobs that it does.
            state: Jobs in it; None: active and paused ones.
            queue: Jobs that belong to it.
            unclaimable: True: jobs that no live peer can run
                (:attr:`aiosched.Job.unclaimable` says why); False: the others.
            limit: How many to gather, 1 to 1,000; a page may have a few more,
                so that none is lost between pages.
            cursor: That of the page before; None begins.

        Returns:
            A list of snapshots whose ``cursor`` leads on.  A record that cannot
            be shown is left out, and told by the event ``unreadable``.

        Raises:
            ConfigurationError: A limit, state or cursor that there is not.
        """
        checks.number("limit", limit, least=1, most=1000)
        filters = {"tag": tag, "keyword": keyword, "executor": executor}
        for field, text in {**filters, "queue": queue, "cursor": cursor}.items():
            optional_text(field, text)
        if unclaimable is not None:
            checks.flag("unclaimable", unclaimable)
        wanted = _states(state)
        gap = self._running_engine().alarms.gaps()

        def matches(record: Record) -> bool:
            spec = record.definition.spec
            return (
                record.state.status in wanted
                and (tag is None or tag in spec.tags)
                and (keyword is None or keyword == spec.keyword)
                and (executor is None or executor == spec.executor)
                and (queue is None or queue == spec.queue)
                and (unclaimable is None or unclaimable is (gap(record) is not None))
            )

        return await self._pages(matches, limit, cursor)

    async def _pages(
        self, matches: Callable[[Record], bool], limit: int, cursor: str | None
    ) -> JobPage:
        session = self._opened()
        jobs: dict[str, Job] = {}
        while True:
            try:
                page = await session.list(cursor=cursor, limit=limit)
            except (ValueError, IndexError):
                raise ConfigurationError(
                    "cursor", cursor, "leads nowhere", "give that of the page before"
                ) from None
            gap = self._running_engine().alarms.gaps()
            for record in page.records:
                if not matches(record):
                    continue
                try:
                    jobs[record.definition.id] = self._shown(record, gap)
                except StoreDataError as error:
                    self._report(record.definition.id, str(error))
            cursor = page.cursor
            if cursor is None or len(jobs) >= limit:
                return JobPage(jobs.values(), cursor)

    async def running(self) -> list[RunningRun]:
        """Return the runs that are claimed on any peer now, by job id."""
        records = await self._busy_records()
        live = {
            (live.job_id, live.fence): live
            for live in self._running_engine().runner.live
        }
        return [
            _running(
                record.definition.id, run, live.get((record.definition.id, run.fence))
            )
            for record in sorted(records, key=lambda r: r.definition.id)
            for run in record.state.runs
        ]

    async def _busy_records(self) -> list[Record]:
        """Return the records to be looked at within the next lease.

        Whatever runs is among them, because a lease end is such a moment.
        """
        session = self._opened()
        engine = self._running_engine()
        horizon = session.estimate() + session.terms.lease + SECOND
        keys = [
            (shard, queue)
            for queue in engine.membership.queues
            for shard in range(session.terms.shards)
        ]
        ids = [due.job_id for due in await due_entries(session, keys, horizon)]
        records: list[Record] = []
        for first in range(0, len(ids), 1000):
            found = await session.read(ids[first : first + 1000])
            records.extend(found.values())
        return records

    # -- peers and health --------------------------------------------------

    async def peers(self) -> list[Peer]:
        """Return the live peers as of the last beat, this one included."""
        membership = self._running_engine().membership
        me = membership.describe().id
        silent = {member.id for member in membership.silent()}
        return [_peer(m, me, silent=m.id in silent) for m in membership.members]

    def health(self) -> Health:
        """Say whether this scheduler does its duty; does no I/O, never raises."""
        engine = self._engine
        if engine is None or self._closed:
            return NOT_STARTED
        return health_of(engine)


def _running(job_id: str, run: LiveRun, here: Live | None) -> RunningRun:
    # What a peer knows of its own runs is newer than the record: a time-out is
    # never written there.
    reason = run.cancel if here is None else here.reason or run.cancel
    return RunningRun(
        job_id,
        run.firing.key,
        run.owner,
        run.fence,
        run.firing.attempt,
        moment(run.started),
        moment(run.until),
        bool(reason),
        reason,
        None if here is None else here.reported,
        None if run.progress is None else progress_of(run.progress),
    )


def _peer(member: Member, me: str, *, silent: bool) -> Peer:
    return Peer(
        member.id,
        member.name,
        member.queues,
        member.executors,
        member.claims,
        moment(member.beat),
        member.running,
        member.id == me,
        silent,
    )


def _states(state: object) -> frozenset[JobState]:
    if state is None:
        return frozenset((JobState.ACTIVE, JobState.PAUSED))
    if not isinstance(state, str) or state not in set(JobState):
        raise ConfigurationError(
            "state",
            state,
            "is not known",
            f"use one of {', '.join(s.value for s in JobState)}",
        )
    return frozenset((JobState(state),))
