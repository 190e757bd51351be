"""The mender: one peer compares the index with the records, all the time.

What is derived from records can be lost without them: somebody deletes a key,
a repair goes wrong.  A job without an agenda entry is one at which nobody
looks.  So one peer of the namespace walks all records, at a pace that costs
the store next to nothing, and puts right what differs.
"""

from __future__ import annotations

from collections.abc import Callable

from aiosched._engine.service import Service
from aiosched.abc import Mended, Session
from aiosched.clock import Clock
from aiosched.instants import SECOND

__all__ = ["Mender", "Pace"]

TURN = 20.0
"""Seconds between two passes."""
BEATS = 4
"""So many beats it is instead, where that is longer."""
LONGEST = 25.0
"""Seconds between two steps, however much there was to mend in the first."""
PASS = 35.0
"""Seconds that a pass may take: with the turn before it, less than a minute."""
COMMANDS = 1.0
"""Commands a second that a pass takes, unless it then took longer than that."""
MOST = 40.0
"""Commands a second that it may come to; a pass of more takes longer after all."""
STEP = 60.0
"""Seconds that a step over a large namespace may take: nobody waits for it."""
URGENT = 0.1
"""Seconds between the steps of a pass that has found much missing."""


class Mender(Service):
    """Mends on the peer that leads, which is one peer of those that claim.

    Two that believe to lead do each other no harm.
    """

    name = "mender"
    aside = True

    def __init__(
        self,
        clock: Clock,
        session: Session,
        leads: Callable[[], bool],
        mended: Callable[[Mended], None],
    ) -> None:
        super().__init__(clock)
        self.patience = STEP
        self.session = session
        self.leads = leads
        self.mended = mended

    async def run(self) -> None:
        """Mend for ever."""
        # Where beats are far apart, so are passes.
        turn = max(TURN, BEATS * self.session.terms.beat / SECOND)
        pause, urgent = turn, False
        pace = Pace()
        while True:
            await self.doze(self.rest(pause))
            pause = turn
            if not self.leads():
                urgent, pace = False, Pace()
                self.alive()  # nothing of it is this peer's to do
                continue
            told = await self.session.mend()
            self.alive()
            if told.ids:
                self.mended(told)
            urgent = (urgent or told.urgent) and not told.complete
            pause = pace.after(told)
            if urgent:
                pause = URGENT
            if told.complete:
                pause = max(pause, turn)


class Pace:
    """How long to wait after each step of the passes that follow each other."""

    def __init__(self) -> None:
        """Know nothing yet: the first pass, which may be due for long, is fast."""
        self._rate = MOST
        self._spent = 0

    def after(self, told: Mended) -> float:
        """Return how many seconds to wait after a step."""
        self._spent += told.cost
        if told.complete:
            self._rate = min(max(self._spent / PASS, COMMANDS), MOST)
            self._spent = 0
        pause = max(TURN if told.complete else URGENT, told.cost / self._rate)
        return min(pause, LONGEST)
