"""Runs in threads: they cannot be cancelled, and are waited for."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor as FutureExecutor
from typing import Any

from aiosched._engine.live import Live
from aiosched.clock import Clock
from aiosched.enums import Reason
from aiosched.instants import SECOND

__all__ = ["in_thread"]


class _StoppedError(Exception):
    """The process was stopped between a claim and the first step of its thread."""


async def in_thread(
    live: Live,
    call: Callable[[], Any],
    clock: Clock,
    estimate: Callable[[], int],
    confirm: Callable[[Live], Awaitable[None]],
    threads: FutureExecutor,
) -> Any:
    """Wait for a function in a thread, which cannot be cancelled.

    It sees ``context.cancelled``; until it returns, the run keeps its lease and
    its place.

    Args:
        live: The run.
        call: The function.
        clock: The scheduler's.
        estimate: Tells the store's instant.
        confirm: Returns when the run is known to be this peer's still.
        threads: Where it runs.
    """
    cancel = live.on_cancel
    while True:
        live.on_cancel = None
        try:
            left = (live.until - estimate()) / SECOND
            return await _in_one_thread(live, call, clock, left, threads)
        except _StoppedError:
            live.entered, live.on_cancel = False, cancel
            await confirm(live)
            live.entered = True


async def _in_one_thread(
    live: Live,
    call: Callable[[], Any],
    clock: Clock,
    left: float,
    threads: FutureExecutor,
) -> Any:
    """Do so, with one thread.

    Raises:
        _StoppedError: The process was stopped until the lease was over, after
            the function was handed over and before it began.
    """
    inside = contextvars.copy_context()
    end = clock.monotonic() + left

    def enter() -> Any:
        if clock.monotonic() >= end:
            raise _StoppedError
        return call()

    future = asyncio.get_running_loop().run_in_executor(threads, inside.run, enter)
    while True:
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                return future.result()
            # The runner never cancels this task: somebody ends the loop.
            if future.cancelled() or live.reason is Reason.NONE:
                raise
            if live.reason is Reason.SHUTDOWN:
                raise
