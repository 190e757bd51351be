"""Waiting for something real, without guessing how long it takes.

For tests on real servers and processes only: where time is virtual, await the
thing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["wait_until"]


async def wait_until(
    predicate: Callable[[], bool | Awaitable[bool]],
    description: str,
    *,
    timeout: float = 10.0,
    poll: float = 0.01,
) -> None:
    """Return as soon as the predicate holds.

    Args:
        predicate: A function, or a coroutine function, that says so.
        description: What is waited for, for the message.
        timeout: Seconds after which waiting is given up.
        poll: Seconds between two looks.

    Raises:
        AssertionError: It did not hold in time.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while True:
        answer = predicate()
        if not isinstance(answer, bool):
            answer = await answer
        if answer:
            return
        if loop.time() >= end:
            raise AssertionError(f"waited {timeout} s in vain for: {description}")
        await asyncio.sleep(poll)
