"""What is told of an outlet: counts, one line of the log and one event a change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from aiosched.clock import Clock
from aiosched.logs import log

__all__ = ["Counts", "Reports", "Tell"]

Tell = Callable[..., None]
"""Takes the name of an event, a job's id or None, and data by name."""

_SAID_AGAIN = 60.0
"""Seconds after which it is said again that items are dropped."""


@dataclass(slots=True)
class Counts:
    """What became of the items of an outlet.

    Attributes:
        sent: Taken by the receiver.
        failed: Tries that failed, each of which was or will be repeated.
        dropped: Given up: no room, refused for good, too old, or left at the end.
        spooled: Written to the file, to be sent later.
    """

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    spooled: int = 0


class Reports:
    """Counts, and tells of changes, not of each item.

    Attributes:
        counts: What became of the items so far.
        stuck: Lanes of which the last try has failed.
        emit: Tells those who listen.
    """

    def __init__(self, name: str, tell: Tell | None, clock: Clock) -> None:
        """Begin with nothing to tell."""
        self.counts: Counts = Counts()
        self.stuck: set[str] = set()
        self._name = name
        self.emit: Tell = tell or (lambda *_, **__: None)
        self._clock = clock
        self._told_at = -math.inf
        self._untold = 0

    def failed(self, lane: str, error: BaseException, waiting: int) -> None:
        """Count a try that failed; tell of it if all was well until now."""
        self.counts.failed += 1
        first = not self.stuck
        self.stuck.add(lane)
        if first:
            text = str(error) or type(error).__name__
            log.warning(
                "%s does not take what is sent: %s; it is sent again, %d wait",
                self._name,
                text,
                waiting,
                extra={"action": "delivery_failed"},
            )
            self.emit("delivery_failed", outlet=self._name, error=text, waiting=waiting)

    def well(self, lane: str) -> None:
        """Note that a lane goes on; tell of it if that was the last that did not."""
        if lane not in self.stuck:
            return
        self.stuck.discard(lane)
        if not self.stuck:
            log.warning(
                "%s takes what is sent again",
                self._name,
                extra={"action": "delivery_back"},
            )
            self.emit("delivery_back", outlet=self._name)

    def refused(self, error: BaseException) -> None:
        """Tell of an item that is refused for good."""
        log.warning(
            "%s refuses an item for good: %s",
            self._name,
            error,
            extra={"action": "delivery_refused"},
        )
        self.dropped(1, "refused")

    def dropped(self, count: int, reason: str) -> None:
        """Count what is given up; tell of it, once a minute at most."""
        self.counts.dropped += count
        self._untold += count
        if self._clock.monotonic() - self._told_at >= _SAID_AGAIN:
            self._say(reason)

    def left(self, count: int) -> None:
        """Count what is given up at the end, and tell of all that was not told."""
        self.counts.dropped += count
        self._untold += count
        if self._untold:
            self._say("left")

    def _say(self, reason: str) -> None:
        count, self._untold = self._untold, 0
        self._told_at = self._clock.monotonic()
        log.error(
            "%s loses %d items (%s), %d so far",
            self._name,
            count,
            reason,
            self.counts.dropped,
            extra={"action": "delivery_dropped"},
        )
        self.emit("delivery_dropped", outlet=self._name, count=count, reason=reason)

    def spool_fails(self, error: BaseException, waiting: int) -> None:
        """Tell that the file cannot be read or written."""
        log.error(
            "the spool of %s fails: %s",
            self._name,
            error,
            extra={"action": "delivery_failed"},
        )
        self.emit(
            "delivery_failed", outlet=self._name, error=str(error), waiting=waiting
        )
