"""Threads for plain functions; they never hold up the exit of the process.

The standard pool joins its threads when the interpreter ends, so that one
function that does not return keeps a process alive for ever.  These threads
are daemons, made when needed and kept for the next function.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor as FutureExecutor
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

__all__ = ["DaemonThreads"]

P = ParamSpec("P")
T = TypeVar("T")

Work = tuple[Future[Any], Callable[[], Any]]

IDLE = 10.0
"""Seconds that a thread waits for more work before it ends."""


class DaemonThreads(FutureExecutor):
    """A pool without an upper bound; the runner bounds what it is given."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ready = threading.Condition()
        self._work: deque[Work] = deque()
        self._closed = False
        self._idle = 0
        self._count = 0

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Run a function in a thread."""
        future: Future[T] = Future()
        with self._ready:
            work: Work = (future, lambda: fn(*args, **kwargs))
            self._work.append(work)
            # A thread that was notified counts as idle until it has taken its
            # work, which lies here as long.
            if self._idle >= len(self._work):
                self._ready.notify()
                return future
            self._count += 1
            number = self._count
        thread = threading.Thread(
            target=self._serve, name=f"{self._name}-{number}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            with self._ready:
                if work not in self._work:
                    return future  # another thread was free by then
                self._work.remove(work)
            raise
        return future

    def close(self) -> None:
        """End the threads that are idle, and each other one after its work.

        Work that is handed in later is still done.
        """
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            self._do(*work)
            del work

    def _next(self) -> Work | None:
        """Wait for work; None: there was none for too long."""
        with self._ready:
            self._idle += 1
            try:
                self._ready.wait_for(lambda: self._work or self._closed, IDLE)
                return self._work.popleft() if self._work else None
            finally:
                self._idle -= 1

    @staticmethod
    def _do(future: Future[Any], function: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function()
        except StopIteration as stop:
            # No future of asyncio takes one: who awaits it would wait for ever.
            message = f"the function raised {stop!r}"
            error = RuntimeError(message)
            error.__cause__ = stop
            future.set_exception(error)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
