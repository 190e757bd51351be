"""A scheduler on Twisted's reactor, where that runs on asyncio.

Daphne is such a server, and one that sends no lifespan.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from aiosched.errors import ConfigurationError
from aiosched.integrations.asgi import Application, send_lifespan
from aiosched.integrations.lifespans import (
    GRACE,
    Source,
    check_source,
    checked_grace,
    running,
)
from aiosched.logs import log
from aiosched.scheduler import Scheduler

try:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor
    from twisted.internet.defer import Deferred
except ImportError as _missing:
    raise ImportError(
        "Twisted is not installed: pip install 'aiosched[twisted]'", name="twisted"
    ) from _missing

__all__ = ["attach", "attach_application"]


def attach(
    scheduler: Source,
    reactor: Any = None,
    *,
    grace: timedelta | float | None = GRACE,
) -> Deferred[Scheduler]:
    """Start a scheduler when the reactor runs, and shut it down before that ends.

    A scheduler that does not start ends the reactor, and the log says why: a
    program that goes on without its jobs would be the worse of the two.

    Args:
        scheduler: A function that builds it, or a scheduler that was not started.
        reactor: Running or not; None: the one that is installed.
        grace: How long runs may take to end when the reactor stops, as
            :meth:`Scheduler.shutdown` takes it.

    Returns:
        What fires with the scheduler when it has started, and fails with what kept
        it from that.

    Raises:
        ConfigurationError: The reactor is not asyncio's, or something else cannot
            be used; nothing was begun.
    """
    check_source(scheduler)
    seconds = checked_grace(grace)
    started: Deferred[Scheduler] = Deferred()
    lifetime = _Lifetime(
        _asyncio_reactor(reactor), lambda: running(scheduler, grace=seconds), started
    )
    lifetime.schedule()
    return started


def attach_application(application: Application, reactor: Any = None) -> None:
    """Send an ASGI application its lifespan, where the server does not.

    Daphne is such a server; call this where it imports the application from.  An
    application that fails to start ends the reactor, and the log says why.

    Args:
        application: One that knows the lifespan protocol, such as
            :class:`~aiosched.integrations.asgi.SchedulerMiddleware`.
        reactor: Running or not; None: the one that is installed.

    Raises:
        ConfigurationError: The reactor is not asyncio's.
    """
    started: Deferred[dict[str, Any]] = Deferred()
    started.addErrback(lambda _: None)  # the log has it
    lifetime = _Lifetime(
        _asyncio_reactor(reactor), lambda: send_lifespan(application), started
    )
    lifetime.schedule()


@dataclass(eq=False)
class _Lifetime:
    """What is entered when a reactor starts, and left before it ends."""

    reactor: AsyncioSelectorReactor
    enter: Callable[[], AbstractAsyncContextManager[Any]]
    started: Deferred[Any]

    def schedule(self) -> None:
        """Begin as soon as the reactor's loop runs, which is behind its start."""
        self.reactor.callWhenRunning(self.reactor.callLater, 0, self._begin)

    def _begin(self) -> None:
        self._stop = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            self._serve(), name="aiosched on a reactor"
        )
        self.reactor.addSystemEventTrigger("before", "shutdown", self._end)

    async def _serve(self) -> None:
        try:
            async with self.enter() as entered:
                self.started.callback(entered)
                await self._stop.wait()
        except Exception as error:
            if self.started.called:
                log.exception(
                    "the scheduler has failed", extra={"action": "shutdown_failed"}
                )
                return
            log.critical(
                "it has not started, so the reactor ends",
                exc_info=error,
                extra={"action": "startup_failed"},
            )
            self.started.errback(error)
            if self.reactor.running:
                cast("Any", self.reactor).stop()

    def _end(self) -> Deferred[Any]:
        self._stop.set()
        if not self.started.called:
            self._task.cancel()  # start() closes what it had opened
        return Deferred.fromFuture(asyncio.ensure_future(asyncio.wait([self._task])))


def _asyncio_reactor(reactor: Any) -> AsyncioSelectorReactor:
    if reactor is None:
        # Importing it would install another one, where there is none yet.
        reactor = sys.modules.get("twisted.internet.reactor")
    if isinstance(reactor, AsyncioSelectorReactor):
        return reactor
    raise ConfigurationError(
        "reactor",
        reactor,
        "is none that runs on asyncio",
        "before anything imports twisted.internet.reactor, call "
        "twisted.internet.asyncioreactor.install()",
    )
