"""A trigger that excludes and moves slots, told slot by slot: slow and plain.

Its days are short and its weeks have five of them, so that a programme of a few
minutes sees many.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from aiosched.triggers.base import LOOK_LIMIT, Stretch, Trigger

__all__ = ["SpottyTrigger"]

_WEEK = 5


class SpottyTrigger(Trigger, frozen=True):
    """A slot each ``period`` from ``begin`` to ``final``, not on closed days.

    Attributes:
        begin: The first slot, in microseconds since 1970.
        period: From slot to slot.
        final: No slot is later, nor is any moved beyond it; None: no end.
        day: Length of a day.
        closed: Days of the week that are excluded.
        shift: What becomes of slots on them.
    """

    kind: Literal["spotty-in-tests"] = "spotty-in-tests"
    begin: int
    period: int
    final: int | None = None
    day: int = 10_000_000
    closed: tuple[int, ...] = (3, 4)
    shift: Literal["skip", "next", "previous"] = "skip"
    exact: ClassVar[bool] = True

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the next slot, excluded or not."""
        del anchor
        steps = max(0, (after - self.begin) // self.period + 1)
        slot = self.begin + steps * self.period
        return None if self.final is not None and slot > self.final else slot

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot, excluded or not."""
        del anchor
        if self.final is not None:
            until = min(until, self.final)
        if until < self.begin:
            return None
        return until - (until - self.begin) % self.period

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count the slots, excluded or not."""
        del anchor
        begin, end = self.next(first - 1), self.last(until)
        if begin is None or end is None or end < begin:
            return 0
        return (end - begin) // self.period + 1

    @property
    def plain(self) -> bool:
        """No."""
        return False

    def closes(self) -> int | None:
        """Return the end."""
        return self.final

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return where a slot goes, by the rule word for word."""
        del anchor
        today = slot // self.day
        if not self._closed(today):
            return slot
        if self.shift == "skip":
            return None
        step = 1 if self.shift == "next" else -1
        target = today + step
        while self._closed(target):
            if self._has_slots(target):
                return None  # a day that is nearer to the business day has some
            target += step
        if self._has_slots(target):
            return None
        moved = slot + (target - today) * self.day
        late = self.final is not None and moved > self.final
        return None if moved < self.begin or late else moved

    def stretch(self, first: int, until: int, anchor: int | None = None) -> Stretch:
        """Go on slot by slot while the fate is the same."""
        del anchor
        fate = self._fate(first)
        last, number = first, 1
        while number < LOOK_LIMIT:
            slot = self.next(last)
            if slot is None or slot > until or self._fate(slot) != fate:
                break
            last, number = slot, number + 1
        return Stretch(last, number, fate)

    def _fate(self, slot: int) -> Literal["kept", "moved", "excluded"]:
        due = self.due(slot)
        if due is None:
            return "excluded"
        return "kept" if due == slot else "moved"

    def _closed(self, day: int) -> bool:
        return day % _WEEK in self.closed

    def _has_slots(self, day: int) -> bool:
        slot = self.next(day * self.day - 1)
        return slot is not None and slot < (day + 1) * self.day
