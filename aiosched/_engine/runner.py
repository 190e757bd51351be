"""The runner: one claim, from its start to the value that describes its end.

An executor's exception never leaves this room: it becomes an ``Ended``.  One
run is one task; the settling of its outcome is somebody else's duty.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor as FutureExecutor
from typing import Any

from aiosched._engine.events import EventBus
from aiosched._engine.live import Live, LiveRuns
from aiosched._engine.observing import Contained, ObservedRun
from aiosched._engine.provided import provided
from aiosched._engine.quota import Quota
from aiosched._engine.threaded import in_thread
from aiosched.clock import Clock
from aiosched.context import Context, enter_run
from aiosched.enums import Outcome, Reason
from aiosched.errors import AioschedError, AttemptError, CancelJob
from aiosched.guard import GuardDesk, released_all
from aiosched.instants import LATE, SECOND
from aiosched.logs import log
from aiosched.records import Apart, Ended, Start
from aiosched.registry import Registered, describe_error, dump_result, error_names

__all__ = ["LATE_TOLD", "UNCOOPERATIVE", "Runner"]

UNCOOPERATIVE = 5.0
"""Seconds after which a cancelled run that goes on is reported."""

LATE_TOLD = 20
"""Late runs that are logged one by one within a minute, of each level."""


class Runner:
    """Starts runs and hears their ends."""

    def __init__(
        self,
        clock: Clock,
        bus: EventBus,
        resolve: Callable[[str], Registered | None],
        settle: Callable[[Live, Ended], None],
        estimate: Callable[[], int],
        confirm: Callable[[Live], Awaitable[None]],
        threads: FutureExecutor,
        desk: Callable[[], GuardDesk],
        observed: Contained | None = None,
    ) -> None:
        self.clock = clock
        self.bus = bus
        self.resolve = resolve
        self.settle = settle
        self.estimate = estimate
        self.confirm = confirm
        self.threads = threads
        self.desk = desk
        self.observed = observed
        self.live = LiveRuns()
        self.closing = False
        self._late = {
            level: Quota(LATE_TOLD, 60.0) for level in (logging.INFO, logging.WARNING)
        }

    def start(self, start: Start, shard: int, now: int) -> Live:
        """Begin a run that this peer has claimed.

        Args:
            start: The claim.
            shard: Of the job.
            now: The store's instant, more or less.
        """
        live = Live(start, shard, Context(start, self.desk))
        self.live.add(live)
        try:
            self._tell(live, now)
        finally:
            self._begin(live)  # or it would be claimed and never run
        return live

    def _begin(self, live: Live) -> None:
        task = asyncio.get_running_loop().create_task(
            self._run(live), name=f"aiosched run {live.job_id}"
        )
        live.task = task
        live.on_cancel = task.cancel
        task.add_done_callback(functools.partial(self._never_ended, live))

    def _tell(self, live: Live, now: int) -> None:
        context = live.context
        behind = context._behind
        if behind >= LATE:
            self._log_late(live, behind / SECOND, now)
        if self.bus.hears("run_started"):
            self.bus.emit(
                "run_started",
                live.job_id,
                fence=live.fence,
                attempt=context.attempt,
                lateness=behind / SECOND,
                late=behind >= LATE,
                context=context,
            )

    def _log_late(self, live: Live, seconds: float, now: int) -> None:
        level = logging.INFO if live.start.waited else logging.WARNING
        beyond = self._late[level].beyond(now / SECOND)
        if not beyond:
            log.log(
                level,
                "a run of %s starts %.3f s late",
                live.job_id,
                seconds,
                extra=live.said("run_late", lateness=seconds),
            )
        elif beyond == 1:
            log.log(
                level,
                "more than %d runs have started late within a minute: of further "
                "ones only events and the history tell",
                LATE_TOLD,
                extra={"action": "runs_late"},
            )

    def cancel(self, live: Live, reason: Reason) -> None:
        """Ask a run to stop."""
        if live.cancel(reason, self.clock.monotonic()):
            log.debug(
                "cancelling a run of %s: %s",
                live.job_id,
                reason,
                extra=live.said("run_cancelled", reason=reason.value),
            )

    def report_uncooperative(self) -> None:
        """Report the runs that were asked to stop long ago and go on."""
        now = self.clock.monotonic()
        for live in self.live:
            asked = live.reason is not Reason.NONE and not live.ended
            if asked and not live.reported and now - live.cancelled_at > UNCOOPERATIVE:
                log.warning(
                    "a run of %s that was cancelled (%s) does not end",
                    live.job_id,
                    live.reason,
                    extra=live.said("uncooperative", reason=live.reason.value),
                )
                self._uncooperative(live)

    def _uncooperative(self, live: Live) -> None:
        live.reported = True
        self.bus.emit(
            "uncooperative", live.job_id, fence=live.fence, reason=live.reason.value
        )

    # -- all runs ----------------------------------------------------------

    async def ended_within(self, seconds: float | None) -> None:
        """Wait until every run has ended, or for so long."""
        tasks = [live.task for live in self.live if live.task is not None]
        pending = [task for task in tasks if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=seconds)

    def cancel_all(self, reason: Reason) -> None:
        """Ask every run to stop."""
        for live in self.live:
            if not live.ended:
                self.cancel(live, reason)

    def abandon(self) -> None:
        """Give up the runs that do not end, threads above all."""
        for live in self.live:
            if not live.ended and live.task is not None:
                if not live.reported:
                    self._uncooperative(live)
                live.task.cancel()

    # -- one run -----------------------------------------------------------

    async def _run(self, live: Live) -> None:
        enter_run(live.context)  # seen by this task, and by what it begins
        try:
            if live.until <= self.estimate():
                # Stopped or blocked since it was claimed: whose it is by now
                # the store must say before anybody enters it here.
                await self.confirm(live)
            if self.observed is None:
                ended = await self._attempt(live)
            else:
                ended = await self._observed(live, self.observed)
        except asyncio.CancelledError:
            ended = self._cancelled(live)
        guards = live.context._guards
        if guards and not live.threaded:
            # A function in a thread releases its own, and may go on although its run
            # was given up.  What is cancelled here goes on; the outcome is known.
            with contextlib.suppress(asyncio.CancelledError):
                await released_all(guards)
        live.ended = True
        live.on_cancel = None
        enter_run(None)  # what is begun from here on is no part of it
        self.settle(live, ended)

    async def _observed(self, live: Live, observed: Contained) -> Ended:
        run = ObservedRun(observed, live.start)
        ended: Ended | None = None
        try:
            try:
                ended = await self._attempt(live)
            except asyncio.CancelledError:
                ended = self._cancelled(live)
            return ended
        finally:
            error, live.error = live.error, None
            run.end(ended, error)

    async def _attempt(self, live: Live) -> Ended:
        definition = live.start.definition
        registered = self.resolve(definition.spec.executor)
        if registered is None:
            return self._unresolvable(live, "its executor is not registered here")
        try:
            args, kwargs = self._bind(live, registered)
        except Exception as error:
            return self._unresolvable(live, str(error))
        timeout = definition.spec.timeout
        timer = None
        if timeout is not None:
            expire = functools.partial(self.cancel, live, Reason.TIMEOUT)
            loop = asyncio.get_running_loop()
            timer = loop.call_later(timeout / SECOND, expire)
        try:
            live.entered = True
            if registered.signature.provided:
                enter = functools.partial(self._enter, live, registered, args)
                value = await provided(
                    live, registered, kwargs, enter, self.threads, self.bus
                )
            elif registered.kind == "thread":
                value = await self._enter(live, registered, args, kwargs)
            else:
                value = await registered.call(*args, **kwargs)
        except asyncio.CancelledError:
            return self._cancelled(live)
        except CancelJob as raised:
            return self._last(live, raised)
        except BaseException as error:  # SystemExit, too, is no way out
            if _from_outside(live, error):
                raise
            return self._failed(live, error)
        finally:
            if timer is not None:
                timer.cancel()
        wish = None if value is None else _wish(value)
        if wish is not None:
            return self._last(live, wish)
        if live.reason is not Reason.NONE:
            # It was asked to stop and returned what it had.
            return self._cancelled(live, dump_result(value))
        return Ended(Outcome.SUCCEEDED, value=dump_result(value), at=self.estimate())

    async def _enter(
        self, live: Live, registered: Registered, args: Any, kwargs: Any
    ) -> Any:
        """Call the executor, where it belongs."""
        if registered.kind != "thread":
            return await registered.call(*args, **kwargs)
        live.threaded = True
        call = functools.partial(registered.call, *args, **kwargs)
        return await in_thread(
            live, call, self.clock, self.estimate, self.confirm, self.threads
        )

    def _bind(
        self, live: Live, registered: Registered
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        start = live.start
        arguments, payload = start.definition.arguments, start.run.firing.payload
        if isinstance(arguments, Apart) or isinstance(payload, Apart):
            message = "its arguments are no longer in the store"
            raise AioschedError(message)
        return registered.bind(arguments, payload, live.context)

    # -- how it ended ------------------------------------------------------

    def _never_ended(self, live: Live, task: asyncio.Task[None]) -> None:
        """Settle what no other way out has settled, so that no run hangs."""
        error = None if task.cancelled() else task.exception()
        if live.ended:
            return
        live.ended = True
        live.on_cancel = None
        if error is None:
            # A task cancelled before its first step never enters its body.
            self.settle(live, self._cancelled(live))
            return
        try:
            ended = self._failed(live, error)
        except BaseException:  # an error that cannot even be described
            ended = self._failed(live, RuntimeError(type(error).__name__))
        self.settle(live, ended)

    def _cancelled(self, live: Live, value: bytes = b"") -> Ended:
        reason = live.reason
        if reason is Reason.NONE and self.closing and _is_cancelled(live):
            reason = Reason.SHUTDOWN  # by who ends the loop under the scheduler
        outcome = Outcome.CANCELLED
        if reason is Reason.TIMEOUT:
            outcome = Outcome.TIMED_OUT
        elif reason is Reason.NONE:
            reason = Reason.ITSELF
        return Ended(outcome, reason, value, entered=live.entered, at=self.estimate())

    def _last(self, live: Live, wish: CancelJob) -> Ended:
        value = dump_result(wish.note)
        if live.reason is not Reason.NONE:
            return self._cancelled(live, value)
        return Ended(Outcome.SUCCEEDED, value=value, at=self.estimate(), finish=True)

    def _failed(self, live: Live, error: BaseException) -> Ended:
        if self.observed is not None:
            live.error = error
        log.info(
            "a run of %s raised %s",
            live.job_id,
            type(error).__name__,
            exc_info=error,
            extra=live.said("run_failed", executor=_executor(live)),
        )
        said = error if isinstance(error, AttemptError) else AttemptError("")
        return Ended(
            Outcome.FAILED,
            value=describe_error(error),
            error=error_names(error),
            retryable=said.retry,
            after=int(said.after * SECOND),
            at=self.estimate(),
        )

    def _unresolvable(self, live: Live, problem: str) -> Ended:
        log.error(
            "cannot run %s: %s",
            live.job_id,
            problem,
            extra=live.said("unresolvable", executor=_executor(live)),
        )
        return Ended(
            Outcome.FAILED,
            Reason.UNRESOLVABLE,
            describe_error(AioschedError(problem)),
            retryable=False,
            entered=False,
            at=self.estimate(),
        )


def _executor(live: Live) -> str:
    return live.start.definition.spec.executor


def _is_cancelled(live: Live) -> bool:
    return live.task is not None and (
        live.task.cancelled() or live.task.cancelling() > 0
    )


def _wish(value: object) -> CancelJob | None:
    """Return the wish to be the last run, if that is what was returned."""
    if isinstance(value, CancelJob):
        return value
    if isinstance(value, type) and issubclass(value, CancelJob):
        return CancelJob()
    return None


def _from_outside(live: Live, error: BaseException) -> bool:
    """Return whether an exception was thrown at the run and not by it."""
    if isinstance(error, KeyboardInterrupt):
        return not live.threaded  # Ctrl-C strikes whatever the loop is doing
    if isinstance(error, GeneratorExit):
        try:
            return asyncio.current_task() is not live.task
        except RuntimeError:  # no loop runs: the coroutine is being disposed of
            return True
    return False
