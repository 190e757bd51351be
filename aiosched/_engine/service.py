"""What every loop of the engine has in common, and who watches over them."""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable

from aiosched.clock import Clock
from aiosched.errors import StoreDataError, StoreUnavailableError

__all__ = ["Service", "supervise"]

log = logging.getLogger("aiosched")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class Service(abc.ABC):
    """One duty: ``run`` until cancelled, look again when woken.

    Attributes:
        name: For health, logs and the task's name.
        healthy: False between a failure and the next success.
        alive_at: Monotonic second of the last sign of life.
        patience: Seconds without a sign of life after which it counts as
            stalled; None: it may be silent for ever.
    """

    name: str
    patience: float | None = None

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.healthy = True
        self.alive_at = 0.0
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
        if seconds > 0 and not self._woken.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return False
        woken = self._woken.is_set()
        self._woken.clear()
        return woken

    def alive(self) -> None:
        """Note a sign of life, which also ends a bad state of health."""
        self.alive_at = self.clock.monotonic()
        self.healthy = True

    def stalled(self) -> bool:
        """Return whether it has been silent for longer than its patience."""
        if self.patience is None:
            return False
        return self.clock.monotonic() - self.alive_at > self.patience


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
    pause = FIRST_PAUSE
    service.alive_at = service.clock.monotonic()
    while True:
        try:
            await service.run()
        except (StoreUnavailableError, StoreDataError) as error:
            if service.healthy:
                pause = FIRST_PAUSE
            service.healthy = False
            on_outage(service, error)
            await service.clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            message = f"service {service.name} ended by itself"
            raise RuntimeError(message)
