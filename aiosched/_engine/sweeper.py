"""The sweeper: shared data that no record uses any more."""

from __future__ import annotations

from collections.abc import Callable

from aiosched._engine.service import Service
from aiosched.abc import Session
from aiosched.clock import Clock
from aiosched.instants import SECOND

__all__ = ["Sweeper"]

INTERVAL = 3600.0
SWEEP = 300.0
"""Seconds that a sweep of a large store may take: nobody waits for it."""


class Sweeper(Service):
    """Sweeps once an hour, on the peer that leads: one of those that claim.

    Two that believe to lead do each other no harm.
    """

    name = "sweeper"
    aside = True

    def __init__(
        self, clock: Clock, session: Session, leads: Callable[[], bool]
    ) -> None:
        super().__init__(clock)
        self.patience = SWEEP
        self.session = session
        self.leads = leads

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            # Where beats are further apart than that, so are sweeps.
            turn = max(INTERVAL, self.session.terms.beat / SECOND)
            await self.doze(self.rest(turn))
            if self.leads():
                await self.session.sweep()
            self.alive()
