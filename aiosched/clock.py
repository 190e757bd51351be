"""Time, ids and chance: the three things that may differ between two runs.

This is the only module that sleeps or looks at a clock.  Everything else is
given a :class:`Clock`, so that a test or a simulator decides what time it is.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import Protocol

__all__ = [
    "Clock",
    "IdSource",
    "SystemClock",
    "random_id",
    "seeded_ids",
]


class Clock(Protocol):
    """What the engine may ask of time.

    ``monotonic`` and ``sleep`` follow the running loop, so a virtual-time loop
    is obeyed without being told; ``wall`` is read by the memory store only.
    """

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        ...

    def wall(self) -> int:
        """Return the host's idea of the instant, in microseconds since 1970."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task for so many seconds."""
        ...


class IdSource(Protocol):
    """Draws ids: 16 characters from ``[0-9a-f]``, never the same twice."""

    def __call__(self) -> str:
        """Return a new id."""
        ...


class SystemClock:
    """The clock of the running event loop and of the host.

    On a loop that has a ``wall`` method (the virtual-time loop of
    :mod:`aiosched.testing` has), the wall clock is that loop's too.
    """

    def monotonic(self) -> float:
        """Return the running loop's time, in seconds.

        Outside a loop, the host's monotonic clock, which is what the loops of
        production follow.
        """
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()

    def wall(self) -> int:
        """Return microseconds since 1970, by the loop's wall clock if it has one."""
        try:
            virtual = getattr(asyncio.get_running_loop(), "wall", None)
        except RuntimeError:
            virtual = None
        if virtual is not None:
            return int(virtual())
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(seconds)


def random_id() -> str:
    """Draw 64 random bits as 16 hexadecimal characters."""
    return secrets.token_hex(8)


def seeded_ids(seed: int) -> IdSource:
    """Return a source of reproducible ids, for simulations."""
    source = random.Random(seed)  # noqa: S311 - not for secrets
    return lambda: f"{source.getrandbits(64):016x}"
