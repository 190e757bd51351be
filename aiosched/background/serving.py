"""Running a scheduler until somebody asks it to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from aiosched.scheduler import DEFAULT_GRACE, Scheduler

__all__ = ["SIGNALS", "Stop", "serve"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """The wish to end: once is a request, twice is an order."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asked: asyncio.Event = asyncio.Event()
        self.forced: asyncio.Event = asyncio.Event()

    def __call__(self) -> None:
        """Ask; on the loop's thread."""
        (self.forced if self.asked.is_set() else self.asked).set()

    def listen(self) -> None:
        """Take SIGINT and SIGTERM for asking; in the main thread."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            try:
                loop.add_signal_handler(number, self)
            except NotImplementedError:  # not on this platform's loop
                signal.signal(number, self._from_outside(loop))

    def _from_outside(
        self, loop: asyncio.AbstractEventLoop
    ) -> Callable[[int, FrameType | None], None]:
        def handler(_: int, __: FrameType | None) -> None:
            loop.call_soon_threadsafe(self)

        return handler


async def serve(
    scheduler: Scheduler,
    *,
    grace: float | None = DEFAULT_GRACE,
    once: bool = False,
    paused: bool = False,
    ready: Callable[[], object] | None = None,
    stop: Stop | None = None,
) -> None:
    """Run a scheduler until it is asked to end, or fails.

    Args:
        scheduler: Not started yet.
        grace: Seconds that runs have to end once it was asked; None: any time.
        once: End as soon as it is ready.
        paused: Start it so that it claims nothing until it is released.
        ready: Called when it has started.
        stop: Who asks; None: the signals of the process.

    Raises:
        Exception: What made the scheduler fail.
    """
    if stop is None:
        stop = Stop()
        stop.listen()
    if not await _started(scheduler, stop, paused=paused):
        return
    if ready is not None:
        ready()
    forever = asyncio.ensure_future(scheduler.run_forever())
    if not once:
        await _first(forever, stop.asked)
    if not forever.done():
        await _end(scheduler, stop, grace)
    await forever


async def _started(scheduler: Scheduler, stop: Stop, *, paused: bool) -> bool:
    start = asyncio.ensure_future(scheduler.start(paused=paused))
    await _first(start, stop.asked)
    if not start.done():
        start.cancel()  # start() closes what it had opened
        await asyncio.wait([start])
    if start.cancelled():
        return False
    start.result()
    return True


async def _end(scheduler: Scheduler, stop: Stop, grace: float | None) -> None:
    ending = asyncio.ensure_future(scheduler.shutdown(grace=grace))
    await _first(ending, stop.forced)
    if not ending.done():
        await scheduler.shutdown(force=True)
    await ending


async def _first(work: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Wait until the work is done or the event is set."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
