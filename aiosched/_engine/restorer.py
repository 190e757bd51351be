"""The restorer: what the code declares stays in the store."""

from __future__ import annotations

from aiosched._engine.outside import Outside
from aiosched._engine.service import Service
from aiosched.abc import Session
from aiosched.clock import Clock
from aiosched.instants import DAY, SECOND

__all__ = ["Restorer"]

INTERVAL = 3600.0
RESTORING = 300.0
"""Seconds that it may take to put back many declared jobs."""


class Restorer(Service):
    """Puts back what a store has lost, and says each day what can be run here.

    What the catalogue was told counts for a week; a peer may live for longer.
    """

    name = "restorer"
    aside = True

    def __init__(self, clock: Clock, session: Session, outside: Outside) -> None:
        super().__init__(clock)
        self.patience = RESTORING
        self.session = session
        self.outside = outside
        # How often data was lost, and after which of these all was put back.
        self._losses = 0
        self._restored = 0
        # The store's own instant, which goes on while a host is suspended.
        self._advertise_at = session.estimate() + DAY

    def lost(self) -> None:
        """Put everything back, for the data set is another one.

        Tried until it is done, and done anew if data is lost while it goes on.
        """
        self._losses += 1
        self.wake()

    async def run(self) -> None:
        """Put back and advertise for ever."""
        while True:
            while self._restored != self._losses:
                losses = self._losses
                await self.outside.restored()
                self._restored = losses
                self.alive()
            now = self.session.estimate()
            if now >= self._advertise_at:
                await self.outside.advertise()
                self._advertise_at = now + DAY
            self.alive()
            rest = (self._advertise_at - now) / SECOND
            await self.doze(self.rest(min(rest, INTERVAL)))
