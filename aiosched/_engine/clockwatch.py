"""The clock watch: a host's clock that was set under a store that had read it.

Such a store goes on by elapsed time, so that nothing is lost or doubled; but
its times of day are then no longer those of the host, which must not be silent.
"""

from __future__ import annotations

from aiosched._engine.events import EventBus
from aiosched.abc import Session
from aiosched.instants import SECOND
from aiosched.logs import log

__all__ = ["ClockWatch"]

LEAST = SECOND
"""What the two may differ by before it is told; each further step is told too."""


class ClockWatch:
    """Compares the host's wall clock with the store's, and tells of changes."""

    def __init__(self, session: Session, bus: EventBus) -> None:
        self.session = session
        self.bus = bus
        self._told = 0

    def look(self) -> None:
        """Tell if they have moved against each other; each step once."""
        ahead = self.session.drift()
        if ahead is None or abs(ahead - self._told) < LEAST:
            return
        step, self._told = ahead - self._told, ahead
        log.warning(
            "the host's clock was set by %+.1f s and is now %+.1f s off the store's:"
            " slots go on by the time that has elapsed since the store was opened,"
            " and a restart takes the new wall time over",
            step / SECOND,
            ahead / SECOND,
            extra={
                "action": "clock_stepped",
                "seconds": step / SECOND,
                "ahead": ahead / SECOND,
            },
        )
        self.bus.emit("clock_stepped", seconds=step / SECOND, ahead=ahead / SECOND)
