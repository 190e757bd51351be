"""The engine of one peer: its services, wired, started and ended together.

All services live in one ``TaskGroup``, inside one task made by ``start``.  An
outage of the store is ridden out by each of them; anything else ends the
engine loudly, because a scheduler that is alive and idle is the worst of all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from aiosched._engine.attender import Attender
from aiosched._engine.completions import Completions
from aiosched._engine.events import EventBus
from aiosched._engine.heads import Heads
from aiosched._engine.heartbeat import Heartbeat
from aiosched._engine.lifeline import Lifeline, LifelineThread, Pulsebeat
from aiosched._engine.listener import Listener
from aiosched._engine.live import Live
from aiosched._engine.membership import Hooks, Membership
from aiosched._engine.outside import Outside
from aiosched._engine.runner import Runner
from aiosched._engine.service import Service, supervise
from aiosched._engine.settler import Settler
from aiosched._engine.sweeper import Sweeper
from aiosched._engine.threads import DaemonThreads
from aiosched._engine.timer import Timer
from aiosched.abc import Member, Session
from aiosched.clock import Clock
from aiosched.enums import Reason
from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.jobs import run_of
from aiosched.records import Change

__all__ = ["Engine"]

log = logging.getLogger("aiosched")


class Engine:
    """One peer at work."""

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
        self.failure: BaseException | None = None
        self._member = member
        self._claims = member.claims
        self._host: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._restoring = False
        self._away = False
        self._spawned: set[asyncio.Task[None]] = set()
        self._pulse = Pulsebeat()
        self._lifeline: LifelineThread | None = None
        self.threads = DaemonThreads(f"aiosched-{member.id[:6]}")
        self.heads = Heads(session.terms.steal_delay)
        self._wire(max_concurrency)

    def _wire(self, max_concurrency: int) -> None:
        clock, session, owner = self.clock, self.session, self._member.id
        self.settler = Settler(
            clock, session, self.bus, owner, self.owns, self._settled, self.spawn
        )
        self.runner = Runner(
            clock,
            self.bus,
            self.outside.resolve,
            self.settler.put,
            session.estimate,
            self.threads,
            session.terms.shards,
        )
        self.membership = Membership(
            clock, session, self.heads, self.bus, self.describe, self._hooks()
        )
        self.attender = Attender(
            session,
            self.heads,
            self.membership,
            self.runner,
            self.bus,
            owner,
            lambda name: self.outside.resolve(name) is not None,
            max_concurrency,
            lambda shard: self.listener.runs_in(shard),
        )
        self.timer = Timer(
            clock, session, self.heads, self.membership, self.attender, self.spawn
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
        self.sweeper = Sweeper(clock, session, self.owns_shard)

    def _hooks(self) -> Hooks:
        return Hooks(
            assigned=self._assigned,
            lost_data=self._lost_data,
            deaf=lambda: self.listener.deaf(),
            back=self._back,
            beaten=self._beaten,
        )

    # -- life --------------------------------------------------------------

    async def start(self) -> None:
        """Beat for the first time and start every service.

        Raises:
            StoreUnavailableError: The store does not answer.
        """
        await self.membership.beat()
        ready = asyncio.Event()
        self._host = asyncio.get_running_loop().create_task(
            self._serve(ready), name=f"aiosched engine {self._member.name}"
        )
        await ready.wait()
        if self._claims and self.outside.connect is not None:
            self._start_lifeline(self.outside.connect)

    async def _serve(self, ready: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for service in self.services():
                    task = self.spawn(
                        supervise(service, self._outage),
                        name=f"aiosched {service.name}",
                    )
                    if service is self.membership:
                        self._beating = task
                ready.set()
                await self._stopping.wait()
                for task in self._spawned:
                    task.cancel()
        except BaseExceptionGroup as errors:
            self._fail(errors)
        finally:
            self._group = None

    def _fail(self, errors: BaseExceptionGroup[BaseException]) -> None:
        failure: BaseException = errors
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        self.failure = failure
        self.bus.emit("service_failed", error=repr(failure))
        log.critical(
            "the scheduler has failed: %r",
            failure,
            exc_info=failure,
            extra={"action": "service_failed"},
        )
        # Handed back, and said so, because it owns nothing any more.
        self.attender.accepting = False
        self.heads.assign({})
        self.runner.cancel_all(Reason.SHUTDOWN)

    def services(self) -> tuple[Service, ...]:
        """Return every service of this peer."""
        common = (self.membership, self.listener, self.completions)
        if not self._claims:
            return common
        return (*common, self.timer, self.heartbeat, self.sweeper)

    def spawn(
        self, coro: Coroutine[Any, Any, None], *, name: str
    ) -> asyncio.Task[None]:
        """Run a coroutine as part of the engine."""
        host = self._group or asyncio.get_running_loop()
        task = host.create_task(coro, name=name)
        self._spawned.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._group = None  # it is about to end, and takes no more tasks

    async def ended(self) -> None:
        """Wait until the engine has ended.

        Raises:
            BaseException: What ended it, if it was not ``stop``.
        """
        if self._host is not None:
            await asyncio.shield(self._host)
        if self.failure is not None:
            raise self.failure

    async def stop(self, *, force: bool, grace: float | None) -> None:
        """Stop claiming, let runs end for ``grace`` seconds, then cancel them."""
        self.attender.accepting = False
        if self._host is None:
            return
        await self._withdraw()
        if self.timer.claiming:
            await asyncio.wait(self.timer.claiming, timeout=SETTLE_GRACE)
        if not force:
            await self.runner.ended_within(grace)
        self.runner.cancel_all(Reason.SHUTDOWN)
        await self.runner.ended_within(CANCEL_GRACE)
        self.runner.abandon()
        try:
            async with asyncio.timeout(SETTLE_GRACE):
                await self.settler.flush()
                await self._leave()
        except (TimeoutError, StoreError) as error:
            log.warning("left without saying so: %r", error)
        self._stopping.set()
        if self._lifeline is not None:
            await self._lifeline.stop(self.threads)
        await asyncio.wait([self._host])

    async def _leave(self) -> None:
        # A beat after the farewell would make this peer a member again.
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        await self.membership.leave()

    async def _withdraw(self) -> None:
        """Let the others look after what this peer looked after."""
        try:
            if self.failure is None and self._claims:
                async with asyncio.timeout(SETTLE_GRACE):
                    await self.membership.withdraw()
        except (TimeoutError, StoreUnavailableError):
            return  # they find out by the member timeout

    # -- what others ask ---------------------------------------------------

    def describe(self) -> Member:
        """Return this peer as it shows itself to the others."""
        return replace(
            self._member,
            executors=self.outside.executors(),
            claims=self._claims and self.attender.accepting,
            running=len(self.runner.live),
        )

    def owns(self, live: Live) -> bool:
        """Return whether this peer owns the agenda of a run's job."""
        return self.heads.rank((live.shard, live.queue)) == 0

    def owns_shard(self, shard: int) -> bool:
        """Return whether this peer owns a shard's default agenda."""
        return self.heads.rank((shard, "default")) == 0

    def committed(self, shard: int, changes: Mapping[str, Change]) -> None:
        """Take over the commits of a verb, without waiting for their signals."""
        for job_id, change in changes.items():
            if change.record is not None:
                queue = change.record.definition.spec.queue
                self.membership.learn_queue(queue)
                self.heads.update((shard, queue), job_id, change.at)
            self.completions.deliver(change.rows)
        self.heartbeat.check(changes)
        self.timer.wake()

    def registered(self) -> None:
        """Look again at what could not be run before."""
        self.heads.forget()
        self.membership.wake()
        self.timer.wake()

    # -- what the services tell --------------------------------------------

    def _settled(self, live: Live, change: Change | None) -> None:
        self.runner.live.discard(live)
        self._sync_pulse()
        key = (live.shard, live.queue)
        if change is None:
            self.heads.invalidate([key])
        else:
            self.attender.moved(live.job_id, change)
            self.heads.update(key, live.job_id, change.at)
            self.completions.deliver(change.rows)
            self.attender.tell(change)
            for row in change.rows:
                if row.fence == live.fence and row.attempt:
                    self.bus.emit("run_ended", live.job_id, run=run_of(row))
        self.listener.runs_in(live.shard)
        self.timer.wake()

    def _extended(self, changes: Mapping[str, Change], shard: int) -> None:
        self._sync_pulse()
        for job_id, change in changes.items():
            self.attender.moved(job_id, change)
            if change.record is not None:
                queue = change.record.definition.spec.queue
                self.heads.update((shard, queue), job_id, change.at)

    def _lost(self, live: Live) -> None:
        log.warning(
            "the lease of a run of %s was lost",
            live.job_id,
            extra={"action": "run_lost", "job_id": live.job_id},
        )
        self.bus.emit("run_lost", live.job_id, fence=live.fence)
        self.runner.cancel(live, Reason.LEASE_LOST)

    def _blocked(self, seconds: float) -> None:
        jobs = sorted({x.job_id for x in self.runner.live if not x.threaded})
        log.warning(
            "the event loop was blocked for about %.1f s; running were: %s",
            seconds,
            ", ".join(jobs) or "no jobs",
            extra={"action": "blocked"},
        )
        self.bus.emit("blocked", seconds=seconds, jobs=jobs)

    def _sync_pulse(self) -> None:
        self._pulse.seen = self.clock.monotonic()

    def _assigned(self) -> None:
        self.listener.assigned()
        self.timer.wake()

    def _retarget(self) -> None:
        self.listener.retarget()

    def _back(self) -> None:
        self.heartbeat.check_all()
        self.completions.resync()
        self.timer.wake()

    def _outage(self, service: Service, error: StoreUnavailableError) -> None:
        if not self._away:
            self._away = True
            log.warning("the store is away: %s", error, extra={"action": "store_down"})
            self.bus.emit("store_down", service=service.name, error=str(error))
        # Whatever was missed meanwhile is found by reading everything again.
        self.heads.invalidate()

    def _beaten(self) -> None:
        if self._away and all(service.healthy for service in self.services()):
            self._away = False
            log.warning("the store is back", extra={"action": "store_up"})
            self.bus.emit("store_up")

    def _lost_data(self, epoch: str) -> None:
        log.critical(
            "the store's data is another than before: jobs were lost",
            extra={"action": "data_lost"},
        )
        self.bus.emit("data_lost", epoch=epoch)
        self.heads.invalidate()
        if not self._restoring:
            self._restoring = True
            self.spawn(self._restore(), name="aiosched restore")

    async def _restore(self) -> None:
        try:
            await self.outside.restored()
        except StoreUnavailableError:
            self.membership.epoch = ""  # the next beat finds out again
        finally:
            self._restoring = False

    # -- lifeline ----------------------------------------------------------

    def _start_lifeline(self, connect: Callable[[], Awaitable[Session]]) -> None:
        self._sync_pulse()
        lifeline = Lifeline(
            self.clock,
            connect,
            self._member.id,
            self.session.terms.lease,
            self._pulse,
            lambda: tuple((x.shard, x.job_id, x.fence) for x in self.runner.live),
        )
        name = f"aiosched-lifeline-{self._member.id}"
        self._lifeline = LifelineThread(lifeline, name)
        self._lifeline.start()


CANCEL_GRACE = 2.0
"""Seconds that cancelled runs have to end at a shutdown."""

SETTLE_GRACE = 5.0
"""Seconds for the last words to an unwilling store."""
