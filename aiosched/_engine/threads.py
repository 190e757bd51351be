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

IDLE = 10.0
"""Seconds that a thread waits for more work before it ends."""


class DaemonThreads(FutureExecutor):
    """A pool without an upper bound; the runner bounds what it is given."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ready = threading.Condition()
        self._work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._idle = 0
        self._count = 0

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Run a function in a thread."""
        future: Future[T] = Future()
        with self._ready:
            self._work.append((future, lambda: fn(*args, **kwargs)))
            if self._idle:
                self._idle -= 1
                self._ready.notify()
                return future
            self._count += 1
            number = self._count
        threading.Thread(
            target=self._serve, name=f"{self._name}-{number}", daemon=True
        ).start()
        return future

    def _serve(self) -> None:
        while True:
            with self._ready:
                while not self._work:
                    self._idle += 1
                    if not self._ready.wait(IDLE) and not self._work:
                        self._idle -= 1
                        return
                future, function = self._work.popleft()
            self._do(future, function)
            del future, function

    @staticmethod
    def _do(future: Future[Any], function: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
