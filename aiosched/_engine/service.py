"""What every loop of the engine has in common, and who watches over them."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable
from typing import Protocol

from aiosched.clock import Clock, may_be_suspended
from aiosched.errors import StoreDataError, StoreUnavailableError

__all__ = ["PATIENCE", "Service", "Watched", "supervise"]

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
LONGEST_REST = 60.0
AGAIN = 5.0
"""Seconds after which what has failed is tried again, twice as many each time."""
LONGEST_AGAIN = 20.0
PATIENCE = 4.0
"""Seconds for which a service may be at work, or late for it, without a word."""


class Watched(Protocol):
    """What health looks at: a service, or something that stands beside them."""

    name: str

    @property
    def healthy(self) -> bool:
        """Whether its last step went well."""
        ...

    @property
    def trouble(self) -> str:
        """What went wrong in it last, for people; empty: that is not known."""
        ...

    def overdue(self) -> float:
        """Return for how many seconds a step has been overdue; 0: none is."""
        ...


class Service(abc.ABC):
    """One duty: ``run`` until cancelled, look again when woken.

    It gives a sign of life with each step: when it goes to rest, which tells
    when the next one is to be expected, and when it wakes.  So a step that
    never returns is told from a long rest.

    Attributes:
        name: For health, logs and the task's name.
        healthy: False between a failure and the next success.
        alive_at: Monotonic second of the last success.
        patience: Seconds after which a step, or the end of a rest, is overdue.
        longest_pause: Seconds for which it rests at the most after a failure.
        aside: True if the jobs go on without it, so that its failing alone says
            nothing of the store.
        trouble: What went wrong at its last failure.
    """

    name: str
    aside: bool = False
    patience: float = PATIENCE
    longest_pause: float = LONGEST_PAUSE

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.healthy = True
        self.alive_at = 0.0
        self.trouble = ""
        self._again = AGAIN
        self._expected: float | None = None
        self._woken = asyncio.Event()

    @abc.abstractmethod
    async def run(self) -> None:
        """Do the duty until cancelled.

        Raises:
            StoreUnavailableError: It will be run again after a pause.
            StoreDataError: Likewise.
        """

    def wake(self) -> None:
        """Look again soon; safe to call at any time, any number of times."""
        self._woken.set()

    async def doze(self, seconds: float) -> bool:
        """Sleep until woken or for so long; return whether it was woken."""
        end = self.clock.monotonic() + seconds
        while seconds > 0 and not self._woken.is_set():
            # Bit by bit: a timer does not notice that the host was suspended.
            part = min(seconds, LONGEST_REST) if may_be_suspended() else seconds
            self.step(part)
            try:
                async with asyncio.timeout(part):
                    await self._woken.wait()
            except TimeoutError:
                if part == seconds:
                    break
                seconds = end - self.clock.monotonic()
        woken = self._woken.is_set()
        self._woken.clear()
        self.step()
        return woken

    def step(self, rest: float = 0.0) -> None:
        """Note that it goes on, and that it will again after so much rest.

        Said between the parts of what may take long as a whole.
        """
        self._expected = self.clock.monotonic() + rest + self.patience

    def alive(self) -> None:
        """Note a success, which also ends a bad state of health."""
        self.alive_at = self.clock.monotonic()
        self.healthy = True
        self.trouble = ""
        self._again = AGAIN
        self.step()

    def rest(self, seconds: float) -> float:
        """Return how long to rest before the next step: less after a failure.

        For duties of long rests, which would stay bad for as long otherwise.
        """
        if self.healthy:
            return seconds
        pause = min(self._again, seconds)
        self._again = min(self._again * 2, LONGEST_AGAIN)
        return pause

    def overdue(self) -> float:
        """Return for how many seconds a step has been overdue; 0: none is."""
        if self._expected is None:
            return 0.0
        return max(self.clock.monotonic() - self._expected, 0.0)


async def supervise(
    service: Service,
    on_outage: Callable[[Service, StoreUnavailableError | StoreDataError], None],
) -> None:
    """Run a service for ever, through every outage of the store.

    Garbage that a service stumbles over is no reason to end, either: somebody
    may put it right, and other duties do not depend on it.

    Any other exception passes through: it is a fault of this program, and
    going on without the service would be the silence that users fear most.
    """
    pause = first = min(FIRST_PAUSE, service.longest_pause)
    service.alive_at = service.clock.monotonic()
    while True:
        service.step()
        try:
            await service.run()
        except (StoreUnavailableError, StoreDataError) as error:
            if service.healthy:
                pause = first
            service.healthy = False
            service.trouble = str(error)
            service.step(pause)
            on_outage(service, error)
            await service.clock.sleep(pause)
            pause = min(pause * 2, service.longest_pause)
        else:
            message = f"service {service.name} ended by itself"
            raise RuntimeError(message)
