"""The engine of one peer: its services, started and ended together.

All services live in one ``TaskGroup``, inside one task made by ``start``.  An
outage of the store is ridden out by each of them; anything else ends the
engine loudly, because a scheduler that is alive and idle is the worst of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiosched._engine.events import EventBus
from aiosched._engine.lifeline import (
    Lifeline,
    LifelineTask,
    LifelineThread,
    hosted,
)
from aiosched._engine.once import Once
from aiosched._engine.outside import Outside
from aiosched._engine.service import Watched, supervise
from aiosched._engine.wiring import Wiring
from aiosched.abc import Member, Session
from aiosched.clock import Clock
from aiosched.enums import Reason
from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.logs import log

__all__ = ["Engine"]


class Engine(Wiring):
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
        self.failure: BaseException | None = None
        self._host: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._lifeline: LifelineThread | LifelineTask | None = None
        super().__init__(
            session, clock, bus, member, outside, max_concurrency=max_concurrency
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
            self._stop_lifeline()

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
        self._stop_lifeline()
        # Handed back, and said so, because it owns nothing any more.
        self.attender.accepting = False
        self.heads.assign({})
        self.runner.cancel_all(Reason.SHUTDOWN)

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
        if not task.cancelled():
            if task.exception() is not None:
                self._group = None  # it is about to end, and takes no more tasks
        elif not task.cancelling() and not self._stopping.is_set() and self._group:
            # A group of tasks takes this for an end like any other.
            self._group.create_task(_fault(task.get_name()))

    async def ended(self) -> None:
        """Wait until the engine has ended.

        Raises:
            BaseException: What ended it, if it was not ``stop``.
        """
        if self._host is not None:
            await asyncio.shield(self._host)
        if self.failure is not None:
            raise self.failure

    def loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop on which it was started; None: it was not."""
        return None if self._host is None else self._host.get_loop()

    # -- holding -----------------------------------------------------------

    async def hold(self) -> None:
        """Claim nothing from now on; what runs goes on.

        When it returns, no claim is under way any more, and the others have
        been told, unless the store is away: then they hear of it with the next
        beat.
        """
        self.attender.held = True
        await self._announce()
        if self.timer.claiming:
            await asyncio.wait(self.timer.claiming, timeout=SETTLE_GRACE)

    async def release(self) -> None:
        """Claim again."""
        self.attender.freeing(self.clock.monotonic)
        self.attender.held = False
        await self._announce()
        self.timer.wake()

    def run_due(self) -> tuple[Once, asyncio.Future[None]]:
        """Begin to run what is due now, once.

        Returns:
            What does it, and what tells of its end; a ``StoreError`` ends it.
        """
        once = Once(self.session, self.membership, self.attender)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda ended: ended.exception())  # maybe nobody waits
        # Part of the engine, because whoever asked for it may stop waiting
        # between a claim and the start of its run.
        self.spawn(_run_once(once, done), name="aiosched run pending")
        return once, done

    async def stop(self, *, force: bool, grace: float | None) -> None:
        """Stop claiming, let runs end for ``grace`` seconds, then cancel them.

        Whatever cuts it short, nothing of the engine goes on afterwards.
        """
        self.attender.accepting = False
        if self._host is None:
            self.threads.close()
            return
        self.runner.closing = self.settler.closing = True
        if force:
            self._hurried.set()
        try:
            await self._let_end(grace)
        finally:
            await self._end_services(self._host)

    def hurry(self) -> None:
        """Cut the grace of a ``stop`` that is under way, or to come, short."""
        self._hurried.set()
        self.runner.cancel_all(Reason.SHUTDOWN)

    async def _let_end(self, grace: float | None) -> None:
        await self._announce()
        if self.timer.claiming:
            await asyncio.wait(self.timer.claiming, timeout=SETTLE_GRACE)
        if not self._hurried.is_set():
            await self._drain(grace)
        self.runner.cancel_all(Reason.SHUTDOWN)
        await self.runner.ended_within(CANCEL_GRACE)
        self.runner.abandon()
        await self.guards.close()
        try:
            async with asyncio.timeout(SETTLE_GRACE):
                await self.settler.flush()
                await self._leave()
        except (TimeoutError, StoreError) as error:
            log.warning("left without saying so: %r", error, extra={"action": "unsaid"})

    async def _drain(self, grace: float | None) -> None:
        loop = asyncio.get_running_loop()
        hurried = loop.create_task(self._hurried.wait())
        drained = loop.create_task(self.runner.ended_within(grace))
        try:
            await asyncio.wait([hurried, drained], return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurried.cancel()
            drained.cancel()

    async def _end_services(self, host: asyncio.Task[None]) -> None:
        self._stop_lifeline()
        self._stopping.set()
        try:
            await asyncio.wait([host], timeout=SETTLE_GRACE)
            if not host.done():
                host.cancel()
                await asyncio.wait([host], timeout=CANCEL_GRACE)
            if self._lifeline is not None:
                await self._lifeline.ended(self.threads)
        finally:
            host.cancel()
            self.threads.close()

    async def _leave(self) -> None:
        # A beat after the farewell would make this peer a member again.
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        await self.membership.leave()

    async def _announce(self) -> None:
        """Let the others know whether this peer claims anything."""
        try:
            if self.failure is None and self._claims:
                async with asyncio.timeout(SETTLE_GRACE):
                    await self.membership.announce()
        except (TimeoutError, StoreUnavailableError):
            return  # they find out with the next beat, or by its absence

    def watched(self) -> tuple[Watched, ...]:
        """Return all whose failing or stalling is a bad state of health."""
        beside: list[Watched] = [self.settler] if self._claims else []
        if self._lifeline is not None:
            beside.append(self._lifeline)
        return (*self.services(), *beside)

    # -- lifeline ----------------------------------------------------------

    def _start_lifeline(self, connect: Callable[[], Awaitable[Session]]) -> None:
        lifeline = Lifeline(
            self.clock,
            connect,
            self._member.id,
            self.session.terms.lease,
            lambda: self.heartbeat.alive_at,
            # Those that have ended and are being settled, too: a loop that is
            # blocked meanwhile must not have them run a second time.
            lambda: tuple((x.shard, x.job_id, x.fence) for x in self.runner.live),
            self._over,
        )
        name = f"aiosched-lifeline-{self._member.id}"
        self._lifeline = hosted(lifeline, name)
        self._lifeline.start()

    def _stop_lifeline(self) -> None:
        if self._lifeline is not None:
            self._lifeline.stop()

    def _over(self) -> bool:
        """Return whether nothing runs here any more; asked by another thread."""
        host = self._host
        return host is None or host.done() or host.get_loop().is_closed()


async def _fault(name: str) -> None:
    message = f"{name} was cancelled, and nobody had asked for that"
    raise RuntimeError(message)


async def _run_once(once: Once, done: asyncio.Future[None]) -> None:
    try:
        await once.run()
    except StoreError as error:
        if not done.done():
            done.set_exception(error)
    finally:
        if not done.done():
            done.set_result(None)


CANCEL_GRACE = 2.0
"""Seconds that cancelled runs have to end at a shutdown."""

SETTLE_GRACE = 5.0
"""Seconds for the last words to an unwilling store."""
