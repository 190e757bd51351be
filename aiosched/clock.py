"""Time, ids and chance: the three things that may differ between two runs.

This is the only module that sleeps or looks at a clock.  Everything else is
given a :class:`Clock`, so that a test or a simulator decides what time it is.
"""

from __future__ import annotations

import asyncio
import functools
import random
import secrets
import time
from collections.abc import Callable
from typing import Protocol

__all__ = [
    "Clock",
    "IdSource",
    "SystemClock",
    "has_coarse_timers",
    "may_be_suspended",
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


_NAP = 0.05
"""Seconds of a suspension below which it plays no part."""

_LOOKS = 100


class _Asleep:
    """For how long the host has been suspended since this was built.

    On Linux the clock that event loops follow stands still meanwhile, and
    another one goes on; elsewhere nothing tells, and this stays at 0.
    """

    def __init__(
        self, awake: Callable[[], float], always: Callable[[], float] | None
    ) -> None:
        self._awake = awake
        self._always = always
        self._seconds = 0.0
        self._base = 0.0
        looks = (self._measure() for _ in range(_LOOKS))
        base = next((look for look in looks if look is not None), None)
        if base is None:
            self._always = None  # a machine on which nothing can be measured
        else:
            self._base = base

    def seconds(self) -> float:
        """Return the sum of all suspensions; it never falls."""
        if self._always is None:
            return 0.0
        # What comes between two looks only ever makes it seem longer: what does
        # not is known by these two.
        awake = self._awake()
        if self._always() - awake - self._base - self._seconds >= _NAP:
            measured = self._measure()
            if measured is not None and measured - self._seconds >= _NAP:
                self._seconds = measured
        return self._seconds

    def added(self, awake: float) -> float:
        """Return a time of the clock that stood still meanwhile, and the sum.

        Args:
            awake: Its seconds, a moment ago: they serve as one of the two looks.
        """
        if self._always is None:
            return awake
        more = self._always() - awake - self._base - self._seconds
        if -_NAP < more < _NAP:
            return awake + self._seconds
        return awake + self.seconds()

    def _measure(self) -> float | None:
        """Compare the clocks; None if something came between the two looks."""
        if self._always is None:
            return None
        before = self._awake()
        always = self._always()
        if self._awake() - before > _NAP / 10:
            return None
        return always - before - self._base


def _always() -> Callable[[], float] | None:
    number: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if number is None:
        return None
    return functools.partial(time.clock_gettime, number)


_asleep = _Asleep(time.monotonic, _always())
_STOCK = asyncio.BaseEventLoop.time


def may_be_suspended() -> bool:
    """Return whether time may pass of which timers of the running loop know nothing.

    Not on a loop of virtual time, whose host is simulated with it.
    """
    return not hasattr(asyncio.get_running_loop(), "wall")


def has_coarse_timers() -> bool:
    """Return whether timers of the running loop know whole milliseconds only.

    So it is with epoll(7), whose timeouts are in milliseconds, and with libuv;
    not on a loop of virtual time.
    """
    return not hasattr(asyncio.get_running_loop(), "wall")


class SystemClock:
    """The clock of the running event loop and of the host.

    On a loop that has a ``wall`` method (the virtual-time loop of
    :mod:`aiosched.testing` has), the wall clock is that loop's too.
    """

    def monotonic(self) -> float:
        """Return the running loop's time, in seconds, and that of suspensions.

        So what came due while the host was suspended is due when it is back,
        where the host can tell for how long it was.  Timers of the loop know
        nothing of it: whoever sleeps long has to look again now and then.

        Outside a loop, the host's monotonic clock, which is what the loops of
        production follow.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return time.monotonic() + _asleep.seconds()
        if type(loop).time is _STOCK:
            return _asleep.added(time.monotonic())  # as that loop would say
        if hasattr(loop, "wall"):
            return loop.time()
        return _asleep.added(loop.time())

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
