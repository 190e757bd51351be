"""A loop in one thread, and the calls that other threads make into it.

Every call has an outcome: it returns, raises what the coroutine raised, or is
told that the loop has ended.  The lock makes sure of the last: a call either is
known to the loop before it is closed, or is refused.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from aiosched.background.selecting import LeavableSelector
from aiosched.errors import SchedulerStateError

__all__ = ["Home"]

T = TypeVar("T")

ENDED = "the scheduler is closed; build a new one"
CUT_SHORT = "the scheduler ended before the call did; what was asked may have been done"
INSIDE = (
    "this call would wait for itself: it was made on the scheduler's own loop; in a "
    "coroutine, await the verb of .scheduler instead, as in await "
    "background.scheduler.schedule(job)"
)


class _Call(Generic[T]):
    """One call on its way through the loop."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self.answer: Future[T] = Future()
        self._make = make
        self._task: asyncio.Task[T] | None = None
        self._unwanted = False

    def begin(self, *, ended: bool) -> None:
        """Become a task; on the loop.

        Args:
            ended: Whether the loop is at its end, and would not finish it.
        """
        if ended:
            self.cut_short()
            return
        if self._unwanted:
            self.answer.cancel()
            return
        try:
            self._task = asyncio.get_running_loop().create_task(
                self._make(), name="aiosched call"
            )
        except BaseException as error:
            self.answer.set_exception(error)
            return
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        """End it, because nobody waits any more; on the loop."""
        self._unwanted = True
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if self.answer.done():
            return
        if task.cancelled():
            self.cut_short()
            return
        error = task.exception()
        if error is None:
            self.answer.set_result(task.result())
        else:
            self.answer.set_exception(error)

    def cut_short(self) -> None:
        """Tell who waits that the loop has ended."""
        if not self.answer.done():
            self.answer.set_exception(SchedulerStateError(CUT_SHORT))


class Home:
    """A loop that runs in one thread and may be called from every other."""

    def __init__(self) -> None:
        """Make the loop; :meth:`run` is where it runs."""
        self.over: threading.Event = threading.Event()
        """Set when the loop has ended and is closed."""
        # Not a plain one: a handler of signals may call while its thread does.
        self._lock = threading.RLock()
        self._calls: set[_Call[Any]] = set()
        self._closed = False
        self._thread: int | None = None
        self._selector = LeavableSelector() if hasattr(os, "fork") else None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run the loop in this thread until a coroutine ends, and close it.

        Raises:
            BaseException: What the coroutine raised.
        """
        try:
            self._thread = threading.get_ident()
            if self._selector is not None:
                _leave_in_children(weakref.ref(self._selector))
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                self._loop = runner.get_loop()
                try:
                    runner.run(main)
                finally:
                    self._refuse_more()
        finally:
            main.close()  # where the loop could not even be made
            self._close()

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        if self._selector is None:
            return asyncio.new_event_loop()
        return asyncio.SelectorEventLoop(self._selector)

    def _refuse_more(self) -> None:
        with self._lock:
            self._closed = True

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            left, self._calls = self._calls, set()
        self.over.set()
        for call in left:
            call.cut_short()

    def _begin(self, call: _Call[Any]) -> None:
        call.begin(ended=self._closed)

    @property
    def ends(self) -> bool:
        """Whether no call is taken any more."""
        return self._closed

    @property
    def inside(self) -> bool:
        """Whether the caller is in the loop's own thread."""
        return self._thread == threading.get_ident() and not self.over.is_set()

    def abandon(self) -> None:
        """Be over without having run."""
        if self._selector is not None:
            self._selector.close()
        self._close()

    def leave(self) -> None:
        """Let go of what a parent process shares with this one."""
        if self._selector is not None:
            self._selector.leave()

    def tell(self, function: Callable[[], object]) -> None:
        """Have a function called on the loop, soon; nothing if that has ended."""
        with self._lock:
            if self._loop is not None and not self._closed:
                self._loop.call_soon_threadsafe(function)

    def call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop, and wait for it in this thread.

        What interrupts the waiting, such as Ctrl-C, cancels the coroutine.

        Args:
            make: Makes it, on the loop, in the caller's context.

        Raises:
            SchedulerStateError: The caller is on the loop itself, or the loop
                has ended, maybe in the middle of the call.
            BaseException: What the coroutine raised.
        """
        if self.inside:
            raise SchedulerStateError(INSIDE)
        call = _Call(make)
        with self._lock:
            if self._closed or self._loop is None:
                raise SchedulerStateError(ENDED)
            self._calls.add(call)
            self._loop.call_soon_threadsafe(self._begin, call)
        try:
            return call.answer.result()
        finally:
            if not call.answer.done():
                self.tell(call.cancel)
            with self._lock:
                self._calls.discard(call)


def _leave_in_children(selector: weakref.ref[LeavableSelector]) -> None:
    """Let each child that is forked from now on leave a selector."""

    def leave() -> None:
        found = selector()
        if found is not None:
            found.leave()

    os.register_at_fork(after_in_child=leave)
