"""Past slots of another trigger, for a job that catches up on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from aiosched.errors import TriggerError
from aiosched.instants import micros
from aiosched.triggers.base import AnyTrigger, Stretch, Trigger
from aiosched.triggers.inputs import read_instant, stamp

__all__ = ["BackfillTrigger"]


class BackfillTrigger(Trigger, frozen=True):
    """Has the slots of another trigger that lie in a range, however long past.

    It is what :meth:`aiosched.Scheduler.backfill` gives to the job that it makes.
    Where any other trigger begins with its first slot from now on, this one
    begins with the first slot of its range.  What the other trigger excludes or
    moves, this one does.

    Attributes:
        trigger: The other one, with a start of its own.
        since: Beginning of the range, in UTC; a slot may fall on it.
        until: End of the range, in UTC; a slot may fall on it.
    """

    kind: Literal["backfill"] = "backfill"
    backfills: ClassVar[bool] = True
    trigger: AnyTrigger
    since: datetime
    until: datetime

    def __init__(
        self,
        trigger: Trigger,
        since: datetime | str,
        until: datetime | str,
        **data: Any,
    ) -> None:
        """Take the slots of ``trigger`` from ``since`` to ``until``.

        One without a start, such as a bare interval, counts from ``since``.

        Args:
            trigger: Whose slots.
            since: An aware datetime, or ISO 8601 text with an offset.
            until: Likewise, and not earlier.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: A bound is naive, no instant or out of range, the range
                ends before it begins, or ``trigger`` is no trigger.
        """
        first, last = _bound(since, "since"), _bound(until, "until")
        if last < first:
            raise TriggerError(
                "until",
                last.isoformat(),
                f"is before since, {stamp(first)}",
                "choose an end that is not before the beginning",
            )
        given: object = trigger  # a mapping, where it comes from data
        if isinstance(given, Trigger) and given.needs_pin():
            given = given.anchored(first)
        super().__init__(trigger=given, since=first, until=last, **data)

    def describe(self) -> str:
        """Say whose slots, and from when to when."""
        begin, end = stamp(self.since), stamp(self.until)
        return f"{self.trigger.describe()}, those from {begin} to {end}"

    # -- slots: those of the other trigger, within the range -------------------------

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the next slot of the range; ``anchor`` has no part in it."""
        del anchor
        slot = self.trigger.next(max(after, micros(self.since) - 1))
        return None if slot is None or slot > micros(self.until) else slot

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot of the range up to ``until``."""
        del anchor
        slot = self.trigger.last(min(until, micros(self.until)))
        return None if slot is None or slot < micros(self.since) else slot

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count slots as the other trigger does."""
        del anchor
        first, until = self._within(first, until)
        return self.trigger.count(first, until) if first <= until else 0

    def reach(self, first: int, until: int, anchor: int | None = None) -> int | None:
        """Return how far one look gets, as the other trigger says."""
        del anchor
        first, until = self._within(first, until)
        return self.trigger.reach(first, until) if first <= until else None

    def _within(self, first: int, until: int) -> tuple[int, int]:
        return max(first, micros(self.since)), min(until, micros(self.until))

    # -- what becomes of a slot -------------------------------------------------------

    @property
    def plain(self) -> bool:
        """Whether the other trigger neither excludes nor moves."""
        return self.trigger.plain

    @property
    def moves(self) -> bool:
        """Whether the other trigger moves slots."""
        return self.trigger.moves

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return when the other trigger has the slot acted on."""
        del anchor
        return self.trigger.due(slot)

    def stretch(self, first: int, until: int, anchor: int | None = None) -> Stretch:
        """Return the slots that share a fate, up to the end of the range."""
        del anchor
        return self.trigger.stretch(first, max(first, min(until, micros(self.until))))

    def closes(self) -> int | None:
        """Return the other trigger's end."""
        return self.trigger.closes()

    def for_job(self, job_id: str) -> Self:
        """Settle what the other trigger draws from a job's id."""
        settled = self.trigger.for_job(job_id)
        if settled is self.trigger:
            return self
        return type(self)(settled, self.since, self.until)


def _bound(value: object, field: str) -> datetime:
    bound = read_instant(value, field)
    if bound is None:
        raise TriggerError(
            field, value, "is missing", "a backfill needs both ends of its range"
        )
    return bound
