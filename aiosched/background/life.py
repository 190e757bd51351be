"""One life of a scheduler in one process, as threads see it: new, started, ended."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from aiosched._engine.threads import DaemonThreads
from aiosched.background.home import ENDED, INSIDE, Home
from aiosched.background.serving import SIGNALS, Stop, serve
from aiosched.errors import SchedulerStateError
from aiosched.scheduler import Scheduler

__all__ = ["EXIT_GRACE", "Life"]

T = TypeVar("T")

EXIT_GRACE = 5.0
"""Seconds that runs have to end when the program has ended without a shutdown."""

_LOOK = 5.0
"""Seconds after which who waits for the program's end sees that the life is over."""

_NOT_STARTED = 'the scheduler is not started; call start(), or use "with"'
_STARTED = "the scheduler is started already; start() once is enough"
_INTERRUPTED = "the scheduler was told to end before it had started"


class LoopThread(threading.Thread):
    """A thread that goes on until its scheduler ends: nobody waits for it before."""


class Life:
    """A scheduler, the loop it runs on, and what became of it.

    Args:
        scheduler: Not started yet.
        wanted: Whether the first call starts it, because it was started in the
            process that was forked.
        held: Whether it claims nothing then, until it is released.
    """

    def __init__(
        self, scheduler: Scheduler, *, wanted: bool = False, held: bool = False
    ) -> None:
        """Be new."""
        self.scheduler = scheduler
        self.wanted = wanted
        self.held: bool = held
        self.process: int = os.getpid()
        self.home: Home | None = None
        self.closed: bool = False
        self.failure: BaseException | None = None
        self._lock = threading.RLock()
        self.waking: threading.Lock = threading.Lock()
        self._started: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._main: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._listeners = DaemonThreads(f"aiosched listeners of {scheduler.name}")
        self._turn = asyncio.Lock()

    # -- start -------------------------------------------------------------

    def start(self, *, paused: bool = False) -> None:
        """Start in a thread of its own, and return when it has started.

        Raises:
            SchedulerStateError: It was started before, or is closed.
            Exception: Why it could not be started.
        """
        home = self._begin()
        self.held = paused
        main = self._in_background(paused=paused)
        self._thread = LoopThread(
            target=self._live,
            args=(home, main),
            name=f"aiosched {self.scheduler.name}",
            daemon=False,
        )
        try:
            self._thread.start()
        except BaseException as error:
            main.close()
            home.abandon()
            self._thread = None
            self._started.set_exception(error)
            raise
        self._see_to_the_end(home)
        try:
            self._started.result()
        except BaseException:
            if not self._started.done():  # Ctrl-C, while it was waited for
                self._interrupted = True
                home.tell(self._interrupt)
            else:
                self._let_go(home)
            raise

    def run(self, *, paused: bool, grace: float | None) -> None:
        """Start in this thread, and return when it has ended.

        In the main thread SIGINT and SIGTERM end it: the first gently, the
        second at once.

        Raises:
            SchedulerStateError: It was started before, or is closed.
            Exception: Why it could not be started, or what made it fail.
        """
        home = self._begin()
        self.held = paused
        main = threading.current_thread() is threading.main_thread()
        before = [signal.getsignal(number) for number in SIGNALS] if main else []
        if not main:
            self._see_to_the_end(home)
        try:
            self._live(home, self._in_front(paused=paused, grace=grace, listens=main))
        finally:
            for number, handler in zip(SIGNALS, before, strict=bool(main)):
                if handler is not None:
                    signal.signal(number, handler)
        error = self.failure
        if self._started.done():
            error = self._started.exception() or error
        if error is not None and not _is_interruption(error):
            raise error

    def _begin(self) -> Home:
        with self._lock:
            self._refuse_closed()
            if self.home is not None:
                raise SchedulerStateError(_STARTED)
            if _threads_are_greenlets():
                # A lifeline needs a loop of its own in a thread of its own.
                self.scheduler._has_lifeline = False
            self.home = Home()
            return self.home

    def _live(self, home: Home, main: Coroutine[Any, Any, None]) -> None:
        try:
            home.run(main)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._listeners.close()
            if not self._started.done():
                self._started.set_exception(SchedulerStateError(_INTERRUPTED))

    async def _in_background(self, *, paused: bool) -> None:
        self._main = asyncio.current_task()
        try:
            if not self._interrupted:
                await self.scheduler.start(paused=paused)
        except asyncio.CancelledError:
            self._started.set_exception(SchedulerStateError(_INTERRUPTED))
            return
        except Exception as error:
            self._started.set_exception(error)
            return
        if self._interrupted:  # a moment before it began, or after it was done
            with suppress(asyncio.CancelledError):
                await self.scheduler.shutdown(force=True)
            await self.scheduler.shutdown(force=True)
            return
        self._started.set_result(None)
        try:
            await self.scheduler.run_forever()
        except Exception as error:
            self.failure = error  # the engine has told the log

    async def _in_front(
        self, *, paused: bool, grace: float | None, listens: bool
    ) -> None:
        stop = Stop()
        if listens:
            stop.listen()
        try:
            await serve(
                self.scheduler,
                grace=grace,
                paused=paused,
                ready=partial(self._started.set_result, None),
                stop=stop,
            )
        except Exception as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                self.failure = error  # the engine has told the log

    def _interrupt(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _see_to_the_end(self, home: Home) -> None:
        """Shut down when the program ends without having done so.

        Python waits for the scheduler's thread then, which would never end.
        """

        def watch() -> None:
            while not home.over.is_set() and (left := _program()):
                left[0].join(_LOOK)
            if not home.over.is_set():
                with suppress(Exception):
                    self.end(force=False, grace=EXIT_GRACE)

        name = f"aiosched end of {self.scheduler.name}"
        threading.Thread(target=watch, name=name, daemon=True).start()

    # -- calls -------------------------------------------------------------

    @property
    def served(self) -> bool:
        """Whether it was started without an error, be it over or not."""
        return self._started.done() and self._started.exception() is None

    def call(self, make: Callable[[Scheduler], Coroutine[Any, Any, T]]) -> T:
        """Run a verb on the loop and wait for it.

        Raises:
            SchedulerStateError: Not started, closed, failed, or called on the
                loop itself.
            BaseException: What the verb raised.
        """
        home = self._awake()
        try:
            return home.call(partial(make, self.scheduler))
        except SchedulerStateError as error:
            if self.failure is not None and error.__cause__ is None:
                self._refuse_closed()
            raise

    def pass_on(self, function: Callable[[Scheduler], T]) -> T:
        """Call a plain verb where it may be called: on the loop, if that runs."""
        home = self.home
        if home is None or home.inside:
            return function(self.scheduler)
        with suppress(Exception):
            self._started.result()
        if home.ends:
            return function(self.scheduler)

        async def called(scheduler: Scheduler) -> T:
            return function(scheduler)

        return home.call(partial(called, self.scheduler))

    def _awake(self) -> Home:
        home = self.home
        if home is not None and home.inside:
            raise SchedulerStateError(INSIDE)
        self._refuse_closed()
        if home is None:
            raise SchedulerStateError(_NOT_STARTED)
        self._started.result()
        return home

    def _refuse_closed(self) -> None:
        if self.failure is not None:
            message = f"the scheduler has failed: {self.failure!r}"
            raise SchedulerStateError(message) from self.failure
        if self.closed:
            raise SchedulerStateError(ENDED)

    async def listen(self, told: Callable[[], Any]) -> Any:
        """Call a listener beside the loop, one behind the other."""
        inside = contextvars.copy_context()
        async with self._turn:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._listeners, inside.run, told)

    # -- end ---------------------------------------------------------------

    def end(self, *, force: bool, grace: float | None) -> None:
        """Shut down, and return when the loop has ended.

        Raises:
            SchedulerStateError: It was called on the loop itself.
            Exception: What went wrong at the end.
        """
        with self._lock:
            home = self.home
            if home is not None and home.inside:
                raise SchedulerStateError(INSIDE)
            self.closed = True
        if home is None:
            return
        with suppress(Exception):
            self._started.result()
        # The loop may have ended by itself meanwhile, which is all that is wanted.
        with suppress(SchedulerStateError):
            home.call(partial(self.scheduler.shutdown, force=force, grace=grace))
        self._let_go(home)

    def _let_go(self, home: Home) -> None:
        """Wait until nothing of it runs any more."""
        home.over.wait()
        if self._thread is not None:
            self._thread.join()


def _program() -> list[threading.Thread]:
    """Return the threads that are still to end before the program does."""
    main = threading.main_thread()
    if main.is_alive():
        return [main]
    return [
        thread
        for thread in threading.enumerate()
        if not (thread.daemon or isinstance(thread, LoopThread) or thread is main)
    ]


def _threads_are_greenlets() -> bool:
    """Return whether gevent has replaced threads, so that all are one to asyncio."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _is_interruption(error: BaseException) -> bool:
    return isinstance(error, SchedulerStateError) and str(error) == _INTERRUPTED
