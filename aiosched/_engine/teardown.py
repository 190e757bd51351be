"""The last thing that executors hear, which must not hold up the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiosched.logs import log
from aiosched.registry import Registered

__all__ = ["TEARDOWN_LIMIT", "tear_down"]

TEARDOWN_LIMIT = 5.0
"""Seconds that the ``teardown`` of one executor may take."""

_CANCEL_LIMIT = 1.0
"""Seconds that one that took longer has to end when it is cancelled."""


async def tear_down(executors: Iterable[Registered]) -> None:
    """Tear executors down, each whatever became of the others.

    Raises:
        KeyboardInterrupt: One of them raised it; the others were torn down.
        SystemExit: As ``KeyboardInterrupt``.
    """
    fatal: BaseException | None = None
    loop = asyncio.get_running_loop()
    for registered in executors:
        # A task of its own, because one that ignores its cancellation would
        # not be bounded by a time-out around it.
        name = f"aiosched teardown {registered.name}"
        task = loop.create_task(_tear_down(registered), name=name)
        try:
            await asyncio.wait([task], timeout=TEARDOWN_LIMIT)
        finally:
            late = not task.done()
            task.cancel()
        if late:
            log.error(
                "tearing down %s takes too long: cancelled",
                registered.name,
                extra={"action": "teardown_slow", "executor": registered.name},
            )
            await asyncio.wait([task], timeout=_CANCEL_LIMIT)
        if task.done() and not task.cancelled():
            fatal = fatal or task.result()
    if fatal is not None:
        raise fatal


async def _tear_down(registered: Registered) -> BaseException | None:
    """Tear one executor down; return what must not be kept from the process."""
    try:
        await registered.teardown()
    except (KeyboardInterrupt, SystemExit) as error:
        return error
    except BaseException:
        log.exception(
            "tearing down %s failed",
            registered.name,
            extra={"action": "teardown_failed", "executor": registered.name},
        )
    return None
