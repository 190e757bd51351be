"""What the store's clock says, without asking each time."""

from __future__ import annotations

from aiosched.instants import SECOND

__all__ = ["Timekeeper", "instant_of"]

_WINDOW = 60.0
_KEPT = 16
_DRIFT = 0.002
"""Seconds by which two honest samples of one window may disagree."""


def instant_of(reply: list[bytes]) -> int:
    """Turn the answer of TIME into an instant."""
    return int(reply[0]) * SECOND + int(reply[1])


class Timekeeper:
    """Follows a store's clock by its offset against a monotonic clock.

    A sample is wrong by at most half its round trip, so the one with the
    shortest round trip of the last minute is the best.
    """

    def __init__(self) -> None:
        """Know nothing; :meth:`estimate` needs one sample."""
        self._samples: list[tuple[float, float, float]] = []
        self.offset: float = 0.0

    def sample(self, sent: float, received: float, instant: int) -> None:
        """Learn from one answer of TIME.

        Args:
            sent: Monotonic seconds before the packet was sent.
            received: Monotonic seconds after its replies were read.
            instant: What the store said.
        """
        trip = received - sent
        offset = instant / SECOND - (sent + received) / 2
        kept = [
            one
            for one in self._samples
            if received - one[2] <= _WINDOW
            # Apart by more than both can err: the store's clock was set.
            and abs(one[1] - offset) <= (one[0] + trip) / 2 + _DRIFT
        ]
        kept.append((trip, offset, received))
        self._samples = kept[-_KEPT:]
        self.offset = min(self._samples)[1]

    def estimate(self, monotonic: float) -> int:
        """Return the store's instant at a monotonic moment."""
        return round((monotonic + self.offset) * SECOND)
