"""Threads in virtual time: there are none, their functions run inline."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from aiosched.testing.refusals import NoRealIO
from aiosched.testing.stuck import NotSimulatedError

__all__ = ["InlineThreads"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

REAL_THREADS = (
    "real threads run outside of virtual time; hand the function to "
    "loop.run_in_executor or asyncio.to_thread, which run it inline"
)
_WAITING = (
    "the function runs inline on the loop, so waiting for a coroutine would "
    "never end; make it a coroutine function"
)


class InlineThreads(NoRealIO):
    """A loop that runs the functions of executors itself, one at a time."""

    def __init__(self) -> None:
        """Take the current thread for the loop's own until it runs."""
        super().__init__()
        self._owner = threading.get_ident()
        self._foreign: list[str] = []
        self._thread_time: float | None = None
        self.thread_delay: float | Callable[[], float] | None = None

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002 - whichever it is
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Run the function inline, in the loop's next step; no thread is used.

        The answer comes after ``thread_delay`` and whatever the function spent
        in ``loop.block``.  Cancelling the future before the function began
        keeps it from running; afterwards it only loses the answer.
        """
        self._check_closed()
        future: asyncio.Future[_T] = self.create_future()
        self.call_soon(self._run_inline, future, func, args)
        return future

    def _run_inline(
        self, future: asyncio.Future[Any], func: Callable[..., Any], args: Any
    ) -> None:
        if future.cancelled():
            return
        result: Any = None
        failure: BaseException | None = None
        self._thread_time = 0.0
        try:
            result = func(*args)
        except KeyboardInterrupt:
            raise
        except StopIteration as error:
            # A future cannot carry it.
            failure = RuntimeError("the function raised StopIteration")
            failure.__cause__ = error
        except BaseException as error:
            # A pool delivers all the rest, SystemExit too.
            failure = error
        finally:
            spent, self._thread_time = self._thread_time, None
        delay = self.thread_delay
        spent += (delay() if callable(delay) else delay) or 0.0
        if spent > 0:
            self.call_later(spent, _deliver, future, result, failure)
        else:
            _deliver(future, result, failure)

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Schedule a callback; from this loop's own thread only.

        Raises:
            NotSimulatedError: It was called from another thread, or by
                ``run_coroutine_threadsafe`` inside a function that runs inline.
        """
        own = self._owner if self._thread_id is None else self._thread_id
        if threading.get_ident() != own:
            name = threading.current_thread().name
            self._foreign.append(name)
            what = f"loop.call_soon_threadsafe from thread {name!r}"
            raise NotSimulatedError(what, REAL_THREADS)
        origin = getattr(callback, "__qualname__", "")
        if self._thread_time is not None and origin.startswith(
            "run_coroutine_threadsafe."
        ):
            raise NotSimulatedError("run_coroutine_threadsafe", _WAITING)
        return super().call_soon_threadsafe(callback, *args, context=context)

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,
    ) -> None:
        """Do nothing: no thread was ever started."""

    def _write_to_self(self) -> None:
        """Do nothing: this loop never sleeps, so nothing need wake it."""


def check_duration(seconds: float) -> None:
    """Refuse a duration that is negative, infinite or not a number."""
    if not (math.isfinite(seconds) and seconds >= 0):
        message = f"seconds={seconds!r}: must be finite and not negative"
        raise ValueError(message)


def _deliver(
    future: asyncio.Future[Any], result: object, failure: BaseException | None
) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
