"""The alarms: jobs that are due and that no live peer can run.

A peer that looks at a due job and cannot run it leaves it to others.  This
service remembers such jobs and asks with each beat whether there are others.
Queues that no claiming peer serves are looked at by nobody, so that one of the
peers that are left, a client if need be, reads their agendas now and then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from aiosched._engine.events import EventBus
from aiosched._engine.heads import Due, Heads, Key
from aiosched._engine.membership import Membership, stands_first
from aiosched._engine.needs import Gap, Need, gap, need_of
from aiosched._engine.service import Service
from aiosched.abc import MAX_BATCH, Member, Session
from aiosched.clock import Clock
from aiosched.instants import SECOND, moment
from aiosched.planning.slots import LEAST_GRACE
from aiosched.records import Record

__all__ = ["Alarms"]

log = logging.getLogger("aiosched")

BEATS = 2
"""Beats for which nobody must have been able to run a job: a deployment that
replaces the only capable peer is no alarm."""

LONGEST = 30.0
"""Seconds after which the alarm is raised, however long the beats are."""

WATCH = 20.0
"""Seconds between two looks at a queue that nobody serves."""

_REST = 3600.0
_AGENDAS = 256
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Idle:
    """A job that is due and that this peer cannot run."""

    due: Due
    need: Need
    grace: int
    slot: int
    watched: bool


@dataclass(slots=True)
class _Outage:
    """How long nobody has met a need, and for which jobs that was told."""

    gap: Gap
    since: float
    logged: bool = False
    told: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)


class Alarms(Service):
    """Tells of jobs that nobody can run, once for each outage and each reason."""

    name = "alarms"

    def __init__(
        self,
        clock: Clock,
        session: Session,
        heads: Heads,
        membership: Membership,
        bus: EventBus,
        retry: Callable[[], None],
    ) -> None:
        super().__init__(clock)
        self.session = session
        self.heads = heads
        self.membership = membership
        self.bus = bus
        self.retry = retry
        self._idle: dict[str, _Idle] = {}
        self._outages: dict[Need, _Outage] = {}
        self._watched_at: float | None = None

    # -- what others tell and ask ------------------------------------------

    def idle(self, due: Due, record: Record, *, watched: bool = False) -> None:
        """Take in a job that is due and that this peer cannot run."""
        spec, state = record.definition.spec, record.state
        slot = state.next
        if state.waiting and (slot is None or state.waiting[0].at <= due.at):
            slot = state.waiting[0].slot
        grace = LEAST_GRACE if spec.misfire_grace is None else spec.misfire_grace
        found = _Idle(due, need_of(record), grace, slot or due.at, watched)
        if due.job_id not in self._idle and len(self._idle) >= _REMEMBERED:
            del self._idle[next(iter(self._idle))]
        self._idle[due.job_id] = found
        if not watched:
            self.wake()

    def beaten(self) -> None:
        """Look again after a beat, if there is anything to look at."""
        if self._idle or self._outages or self._unserved(self.membership.members):
            self.wake()

    def gap(self, record: Record) -> Gap | None:
        """Say why no live peer can run a job; None: one can."""
        return gap(need_of(record), self.membership.present())

    def unclaimable(self) -> tuple[str, ...]:
        """Return the jobs of which it was told that nobody can run them, sorted."""
        told = {
            job_id
            for job_id, one in self._idle.items()
            if job_id in getattr(self._outages.get(one.need), "told", ())
        }
        return tuple(sorted(told))

    # -- the loop ----------------------------------------------------------

    async def run(self) -> None:
        """Look at each beat for ever.

        Raises:
            StoreUnavailableError: The agendas of a queue that nobody serves
                could not be read.
        """
        while True:
            members = self.membership.present()
            await self._watch(members)
            self._forget_moved()
            self._compare(members)
            self.alive()
            # A beat wakes it.
            await self.doze(max(_REST, self.membership.interval))

    def _forget_moved(self) -> None:
        """Drop what has been run, changed or removed meanwhile."""
        for job_id, one in list(self._idle.items()):
            at = self.heads.stands(one.due.key, job_id)
            if at != one.due.at and not one.watched:
                del self._idle[job_id]

    def _compare(self, members: Sequence[Member]) -> None:
        """Hold what is needed against what there is."""
        now = self.clock.monotonic()
        settled = min(BEATS * self.membership.interval, LONGEST)
        by_need: dict[Need, list[_Idle]] = {need: [] for need in self._outages}
        for one in self._idle.values():
            by_need.setdefault(one.need, []).append(one)
        for need, jobs in by_need.items():
            why = gap(need, members)
            outage = self._outages.get(need)
            if why is None:
                if outage is not None:
                    self._end(need, outage)
            elif outage is None:
                self._outages[need] = _Outage(why, now)
            else:
                if outage.gap.reason != why.reason:
                    outage.logged = False
                    outage.told.clear()
                outage.gap = why
                if now - outage.since >= settled:
                    self._tell(need, outage, jobs)
        while len(self._outages) > _REMEMBERED:
            del self._outages[next(iter(self._outages))]

    def _end(self, need: Need, outage: _Outage) -> None:
        del self._outages[need]
        if outage.logged and not any(self._likewise(need)):
            log.warning(
                "jobs of %s in queue %s can be run again",
                need.executor,
                need.queue,
                extra={"action": "claimable"},
            )
        self.retry()

    def _likewise(self, need: Need) -> Iterator[_Outage]:
        """Yield the outages of jobs that differ in their triggers alone."""
        for other, outage in self._outages.items():
            if (other.executor, other.queue) == (need.executor, need.queue):
                yield outage

    def _tell(self, need: Need, outage: _Outage, jobs: Sequence[_Idle]) -> None:
        reason, why = outage.gap.reason, outage.gap.why
        known = any(
            other.logged and other.gap.reason == reason
            for other in self._likewise(need)
        )
        if jobs and not known:
            first = min(jobs, key=lambda one: (one.due.at, one.due.job_id)).due.job_id
            log.warning(
                "%s: %d of its jobs are due and wait, the first is %s",
                why,
                len(jobs),
                first,
                extra={"action": "unclaimable", "job_id": first},
            )
        outage.logged = outage.logged or bool(jobs)
        now = self.session.estimate()
        for one in jobs:
            job_id, late = one.due.job_id, now - one.due.at
            if job_id not in outage.told:
                outage.told.add(job_id)
                self.bus.emit(
                    "unclaimable",
                    job_id,
                    executor=need.executor,
                    queue=need.queue,
                    reason=reason,
                    why=why,
                )
            if late > one.grace and job_id not in outage.missed:
                outage.missed.add(job_id)
                self.bus.emit(
                    "missed",
                    job_id,
                    slot=moment(one.slot),
                    overdue=late / SECOND,
                    recorded=False,
                    reason=reason,
                )

    # -- queues that nobody serves -----------------------------------------

    async def _watch(self, members: Sequence[Member]) -> None:
        """Read the agendas of queues that no claiming peer serves."""
        now = self.clock.monotonic()
        if self._watched_at is not None and now - self._watched_at < WATCH:
            return
        me = self.membership.describe().id
        claiming = [m for m in members if m.claims]
        unserved = [
            queue
            for queue in self._unserved(members)
            if stands_first(me, claiming or members, queue)
        ]
        self._idle = {i: one for i, one in self._idle.items() if not one.watched}
        if not unserved:
            return
        self._watched_at = now
        shards = range(self.session.terms.shards)
        keys = [(shard, queue) for queue in unserved for shard in shards]
        due: list[Due] = []
        for first in range(0, len(keys), _AGENDAS):
            self.step()
            due += await self._due(keys[first : first + _AGENDAS])
        due.sort(key=lambda one: one.at)
        for first in range(0, len(due), MAX_BATCH):
            self.step()
            part = {one.job_id: one for one in due[first : first + MAX_BATCH]}
            records = await self.session.read(list(part))
            for job_id, record in records.items():
                self.idle(part[job_id], record, watched=True)

    def _unserved(self, members: Sequence[Member]) -> list[str]:
        """Return the queues that no claiming peer serves."""
        served: set[str] = set()
        for member in members:
            if member.claims:
                if member.queues is None:
                    return []
                served.update(member.queues)
        return [queue for queue in self.membership.queues if queue not in served]

    async def _due(self, keys: list[Key]) -> list[Due]:
        heads = await self.session.agenda(keys, limit=MAX_BATCH, partial=True)
        now = self.session.estimate()
        return [
            Due((head.shard, head.queue), job_id, at)
            for head in heads
            for job_id, at in head.entries
            if at <= now
        ]
