"""The wiring of one peer: which service tells which other of what.

The services know each other only as far as their constructors say; what one
of them finds out reaches the others through the methods here.
"""

from __future__ import annotations

import abc
import asyncio
import math
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiosched._engine.alarms import Alarms
from aiosched._engine.attender import Attender
from aiosched._engine.clockwatch import ClockWatch
from aiosched._engine.completions import Completions
from aiosched._engine.events import EventBus
from aiosched._engine.guards import GuardKeeper
from aiosched._engine.heads import Heads
from aiosched._engine.heartbeat import Heartbeat
from aiosched._engine.listener import Listener
from aiosched._engine.live import Live
from aiosched._engine.membership import Hooks, Membership
from aiosched._engine.mending import Mender
from aiosched._engine.observing import Wrote
from aiosched._engine.outside import Outside
from aiosched._engine.restorer import Restorer
from aiosched._engine.runner import Runner
from aiosched._engine.service import Service
from aiosched._engine.settler import Settler
from aiosched._engine.sweeper import Sweeper
from aiosched._engine.telling import (
    finishes,
    tell,
    tell_ailing,
    tell_away,
    tell_back,
    tell_blocked,
    tell_lost,
    tell_mended,
    tell_progress,
)
from aiosched._engine.threads import DaemonThreads
from aiosched._engine.timer import Timer
from aiosched.abc import Member, Session, shard_of
from aiosched.clock import Clock
from aiosched.enums import Reason
from aiosched.errors import StoreDataError, StoreUnavailableError
from aiosched.jobs import Run, run_of
from aiosched.logs import log
from aiosched.records import SCHEMA, Change, Definition
from aiosched.triggers.kinds import trigger_kinds

__all__ = ["Wiring"]


class Wiring(abc.ABC):
    """The services of one peer, and what they tell each other."""

    def __init__(
        self,
        session: Session,
        clock: Clock,
        bus: EventBus,
        member: Member,
        outside: Outside,
        *,
        max_concurrency: int,
    ) -> None:
        self.session = session
        self.clock = clock
        self.bus = bus
        self.outside = outside
        self._member = member
        self._claims = member.claims
        self._away = False
        self._answers_since = clock.monotonic()
        self._failed_at: dict[str, float] = {}
        self._ailing: set[str] = set()
        self.threads = DaemonThreads(f"aiosched-{member.id[:6]}")
        self.heads = Heads(session.terms.steal_delay)
        self.clockwatch = ClockWatch(session, bus)
        self.guards = GuardKeeper(session, clock, bus, member.id, outside.ids)
        self._wire_runs(max_concurrency)
        self._wire_loops()

    @abc.abstractmethod
    def spawn(
        self, coro: Coroutine[Any, Any, None], *, name: str
    ) -> asyncio.Task[None]:
        """Run a coroutine as part of the engine."""

    def _wire_runs(self, max_concurrency: int) -> None:
        clock, session, owner = self.clock, self.session, self._member.id
        self.settler = Settler(
            clock,
            session,
            self.bus,
            owner,
            self.owns,
            self._settled,
            self._told,
            self._unreadable,
            self.spawn,
            self._found,
        )
        self._wire_claims(max_concurrency)

    def _wire_claims(self, max_concurrency: int) -> None:
        clock, session, owner = self.clock, self.session, self._member.id
        self.runner = Runner(
            clock,
            self.bus,
            self.outside.resolve,
            self.settler.put,
            session.estimate,
            self._confirm,
            self.threads,
            lambda: self.guards,
            self.outside.observed,
        )
        self.membership = Membership(
            clock, session, self.heads, self.bus, self.describe, self._hooks()
        )
        self.alarms = Alarms(
            clock,
            session,
            self.heads,
            self.membership,
            self.bus,
            self._retry,
            lambda: self.attender.full(),
            self._can_run,
            self.able,
        )
        self.attender = Attender(
            session,
            self.heads,
            self.membership,
            self.runner,
            self.bus,
            owner,
            self._can_run,
            max_concurrency,
            lambda shard: self.listener.runs_in(shard),
            self._unreadable,
            self.alarms,
        )

    def _wire_loops(self) -> None:
        clock, session, owner = self.clock, self.session, self._member.id
        self.timer = Timer(
            clock,
            session,
            self.heads,
            self.membership,
            self.attender,
            self.spawn,
            self._outage,
        )
        self.heartbeat = Heartbeat(
            clock,
            session,
            self.runner,
            owner,
            self.owns,
            self._extended,
            self._lost,
            self._blocked,
            lambda live, said: tell_progress(self.bus, live, said),
        )
        self.completions = Completions(clock, session, self._retarget)
        self.listener = Listener(
            clock,
            session,
            self.heads,
            self.membership,
            self.runner,
            self.heartbeat,
            self.completions,
            self.timer.wake,
        )
        self.restorer = Restorer(clock, session, self.outside)
        self.sweeper = Sweeper(clock, session, self.leads)
        self.mender = Mender(
            clock, session, self.leads, lambda told: tell_mended(self.bus, told.ids)
        )

    def _hooks(self) -> Hooks:
        return Hooks(
            assigned=self._assigned,
            lost_data=self._lost_data,
            deaf=lambda: self.listener.deaf(),
            back=self._back,
            beaten=self._beaten,
        )

    def services(self) -> tuple[Service, ...]:
        """Return every service of this peer."""
        common = (
            self.membership,
            self.listener,
            self.completions,
            self.alarms,
            self.restorer,
        )
        if not self._claims:
            return common
        return (*common, self.timer, self.heartbeat, self.sweeper, self.mender)

    def _can_run(self, executor: str) -> bool:
        return self.outside.resolve(executor) is not None

    # -- what others ask ---------------------------------------------------

    def describe(self) -> Member:
        """Return this peer as it shows itself to the others."""
        return replace(
            self._member,
            executors=self.outside.executors(),
            claims=self._claiming(),
            running=len(self.runner.live),
            schema=SCHEMA,
            triggers=trigger_kinds(),
        )

    def _claiming(self) -> bool:
        return self._claims and self.attender.accepting and not self.held

    def able(self) -> tuple[object, ...]:
        """Return all that may change of what decides which jobs this peer can run."""
        return self.outside.executors(), self._claiming(), trigger_kinds()

    @property
    def claims(self) -> bool:
        """Whether this peer was made to run jobs, held or not."""
        return self._claims

    @property
    def held(self) -> bool:
        """Whether this peer claims nothing by itself because it was asked not to."""
        return self.attender.held

    def owns(self, live: Live) -> bool:
        """Return whether this peer owns the agenda of a run's job."""
        return self.heads.rank((live.shard, live.queue)) == 0

    def leads(self) -> bool:
        """Return whether this peer does what one peer of the namespace is to do."""
        claiming = [one.id for one in self.membership.members if one.claims]
        return bool(claiming) and min(claiming) == self._member.id

    def committed(self, shard: int, changes: Mapping[str, Change]) -> None:
        """Take over the commits of a verb, without waiting for their signals."""
        for job_id, change in changes.items():
            if change.record is not None:
                queue = change.record.definition.spec.queue
                self.membership.learn_queue(queue)
                self.heads.commit((shard, queue), job_id, change)
            self.completions.deliver(change.rows)
            self._told(job_id, change, finishes(None, change), change.before)
        self.heartbeat.check(changes)
        self.timer.wake()

    def registered(self) -> None:
        """Look again at what could not be run before."""
        self._retry()
        self.membership.wake()
        self.alarms.wake()

    def _retry(self) -> None:
        self.heads.forget()
        self.timer.wake()

    # -- what the services tell --------------------------------------------

    def _settled(self, ended: Sequence[tuple[Live, Change | None]]) -> None:
        if not ended:
            return
        self.attender.freeing(self.clock.monotonic)
        for live, change in ended:
            self.runner.live.discard(live)
            self._after(live, change)
        for shard in {live.shard for live, _ in ended}:
            self.listener.runs_in(shard)
        self.timer.wake()

    def _after(self, live: Live, change: Change | None) -> None:
        key = (live.shard, live.queue)
        ended: Run | None = None
        if change is None:
            self.heads.invalidate([key])
        else:
            self.attender.moved(live.job_id, change)
            record = change.record
            queue = live.queue if record is None else record.definition.spec.queue
            if queue != live.queue:  # it was modified while it ran
                self.heads.update(key, live.job_id, None)
            self.heads.commit((live.shard, queue), live.job_id, change)
            self.completions.deliver(change.rows)
            if live.settlement is not None or self.bus.hears("run_ended"):
                for row in change.rows:
                    if row.fence == live.fence and row.attempt:
                        ended = run_of(row)
                        self.bus.emit("run_ended", live.job_id, run=ended)
            self.attender.stop(change)
        if live.settlement is not None and not live.settlement.done():
            live.settlement.set_result(ended)

    def _told(
        self,
        job_id: str,
        change: Change,
        finished: bool,  # noqa: FBT001
        was: Definition | None,
    ) -> None:
        tell(self.bus, job_id, change, finished=finished, definition=was)

    def _found(self, job_id: str, change: Change) -> None:
        """Take a commit that was not known to have been made."""
        if self.outside.observed is not None:
            self.outside.observed.wrote(Wrote({}, {job_id: change}, False, 1, 0.0))

    def _extended(self, changes: Mapping[str, Change]) -> None:
        for job_id, change in changes.items():
            self.attender.moved(job_id, change)
            if change.record is not None:
                shard = shard_of(job_id, self.session.terms.shards)
                queue = change.record.definition.spec.queue
                self.heads.commit((shard, queue), job_id, change)

    async def _confirm(self, live: Live) -> None:
        """Return when a run is known to be still this peer's, after its beat."""
        while self.membership.lapsed():
            self.membership.wake()
            await self.clock.sleep(self.membership.interval / 5)
        await self.heartbeat.confirm(live)

    def _lost(self, live: Live) -> None:
        tell_lost(self.bus, live)
        self.runner.cancel(live, Reason.LEASE_LOST)

    def _blocked(self, seconds: float) -> None:
        jobs = sorted({x.job_id for x in self.runner.live if not x.threaded})
        tell_blocked(self.bus, seconds, jobs)

    def _assigned(self) -> None:
        self.listener.assigned()
        self.timer.wake()

    def _retarget(self) -> None:
        self.listener.retarget()

    def _back(self) -> None:
        self.heartbeat.check_all()
        self.completions.resync()
        for service in self.services():
            service.wake()  # if the host was suspended, its rest is long over

    def _outage(
        self, service: Service, error: StoreUnavailableError | StoreDataError
    ) -> None:
        self._failed_at[service.name] = self.clock.monotonic()
        if service is self.membership:
            self._answers_since = math.inf
        if isinstance(error, StoreDataError):
            self._unreadable(error)
        elif service.aside:
            return  # whether that is the store, the next beat shows
        elif not self._away:
            self._away = True
            tell_away(self.bus, service, error)
        # Whatever was missed meanwhile is found by reading everything again.
        self.heads.invalidate()

    def _unreadable(self, error: StoreDataError) -> None:
        self.outside.unreadable(error.key, error.problem)

    def _beaten(self) -> None:
        self.clockwatch.look()
        self.alarms.beaten()
        now = self.clock.monotonic()
        self._answers_since = min(self._answers_since, now)
        if self._away and all(one.healthy or one.aside for one in self.services()):
            self._away = False
            tell_back(self.bus)
        for service in self.services():
            if service.aside:
                self._compare_aside(service)

    def _compare_aside(self, service: Service) -> None:
        """Tell of one that fails although the store answers, and of its end."""
        name = service.name
        if service.healthy:
            if name in self._ailing:
                self._ailing.discard(name)
                tell_ailing(service)
        elif self._failed_at.get(name, 0.0) > self._answers_since:
            if name not in self._ailing:
                self._ailing.add(name)
                tell_ailing(service)
        else:
            service.wake()  # it failed while the store was away

    def _lost_data(self, epoch: str) -> None:
        log.critical(
            "the store's data is another than before: jobs were lost",
            extra={"action": "data_lost"},
        )
        self.bus.emit("data_lost", epoch=epoch)
        self.heads.invalidate()
        self.restorer.lost()
