"""Weekdays of every second, third … week."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Any, Literal

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT, Trigger
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.combining import OrTrigger
from aiosched.triggers.ending import (
    Ending,
    Zone,
    clock_of,
    ended,
    rebuilt,
    refuse_late,
)
from aiosched.triggers.inputs import (
    check_order,
    clock_seconds,
    clock_text,
    is_whole,
    load_zone,
    read_instant,
    stamp,
    zone_name,
)
from aiosched.triggers.walltime import Fold, Gap

__all__ = ["DAYS", "EveryWeekday", "read_weekdays"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_WEEKS = 400_000
_NAMES = (
    *("monday", "tuesday", "wednesday", "thursday"),
    *("friday", "saturday", "sunday"),
)


class EveryWeekday(Ending, frozen=True):
    """Weekdays of every second or rarer week, said in words.

    Pinned, its first slot is the first on one of its weekdays after scheduling, or
    from ``start`` on, and the weeks are counted from that one's week, which begins
    on Monday.

    Attributes:
        weeks: How many weeks, 2 or more.
        weekdays: Names of three letters, Monday first.
        clock: Time of day.
        tz: Whose.
        start: No slot is earlier, and the weeks are counted from the first one.
        end: No slot is later.
        gap: As for a calendar trigger.
        fold: As for a calendar trigger.
    """

    kind: Literal["weekdays"] = "weekdays"
    weeks: int
    weekdays: tuple[str, ...]
    clock: str = "00:00"
    tz: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    gap: Gap | None = None
    fold: Fold | None = None

    def __init__(
        self,
        *,
        weeks: int,
        weekdays: Iterable[str],
        clock: str | time = "00:00",
        tz: Zone = "UTC",
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        **data: Any,
    ) -> None:
        """Check the fields.

        Raises:
            TriggerError: A weekday, the time or the zone is not one, the weeks are
                not a positive whole number, a bound is naive, or the end is before
                the start.
        """
        if not is_whole(weeks) or not 1 <= weeks <= MOST_WEEKS:
            raise TriggerError(
                "weeks", weeks, "is out of range", f"write 1 to {MOST_WEEKS:,}"
            )
        first, final = read_instant(start, "start"), read_instant(end, "end")
        check_order(first, final)
        super().__init__(
            weeks=weeks,
            weekdays=read_weekdays(weekdays),
            clock=clock_text(clock_seconds(clock_of(clock))),
            tz=zone_name(tz),
            start=first,
            end=final,
            **data,
        )

    def describe(self) -> str:
        """Say how often and when it fires, and where."""
        names = ", ".join(name.capitalize() for name in self.weekdays)
        words = f"every {self.weeks:,} weeks on {names} at {self.clock}, {self.tz}"
        if self.start is not None:
            words += f", from {stamp(self.start)}"
        return words if self.end is None else f"{words}, until {stamp(self.end)}"

    def at(
        self,
        time: str | time,
        tz: Zone = "UTC",
        *,
        gap: Gap | None = None,
        fold: Fold | None = None,
    ) -> EveryWeekday:
        """Fix the time of day.

        Args:
            time: ``"HH:MM"`` or ``"HH:MM:SS"``.
            tz: Whose wall time it is.
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.

        Raises:
            TriggerError: It is not a time of day, or the zone is unknown.
        """
        refuse_late("at", time, self)
        return rebuilt(self, clock=clock_of(time), tz=tz, gap=gap, fold=fold)

    def needs_pin(self) -> bool:
        """Its weeks are counted from scheduling."""
        return True

    def anchored(self, instant: datetime) -> Trigger:
        """Return the calendar intervals that its weekdays are.

        Raises:
            TriggerError: ``instant`` is naive, or no slot follows before the end.
        """
        super().anchored(instant)
        now = micros(instant) if self.start is None else micros(self.start) - 1
        first = self._first_date(now)
        parts: list[Trigger] = []
        for name in self.weekdays:
            day = first + timedelta(days=DAYS.index(name) - first.weekday())
            if day < first:
                day += timedelta(weeks=self.weeks)
            part = self._dates(day)
            if self.end is not None:
                with suppress(TriggerError):  # its first date is past the end
                    parts.append(ended(part, self.end))
            else:
                parts.append(part)
        if not parts:
            raise TriggerError(
                "end",
                None if self.end is None else self.end.isoformat(),
                f"is before the first date, {first}",
                "choose a later end",
            )
        return parts[0] if len(parts) == 1 else OrTrigger(parts)

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot, were its job scheduled at ``after``."""
        del anchor
        if not FIRST_INSTANT <= after <= LAST_INSTANT:
            return None
        try:
            pinned = self.anchored(moment(after))
        except TriggerError:
            return None  # it would be refused because nothing is left of it
        return pinned.next(after)

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return None: nothing is behind a trigger that is not pinned."""
        del until, anchor
        return None

    def _first_date(self, now: int) -> date:
        """Return the first date on one of the weekdays whose slot is still to come."""
        # What falls into a gap at midnight is made up for on the day after its date.
        day = moment(now).astimezone(load_zone(self.tz)).date() - timedelta(days=1)
        # With a weekday that the zone leaves out, it takes one week more.
        for _ in range(16):
            if DAYS[day.weekday()] in self.weekdays:
                slot = self._dates(day).next(now)
                if slot is not None and moment(slot).date() - day < timedelta(days=3):
                    return day
            day += timedelta(days=1)
        return day

    def _dates(self, start: date) -> CalendarIntervalTrigger:
        return CalendarIntervalTrigger(
            weeks=self.weeks,
            at=self.clock,
            tz=self.tz,
            start=start,
            gap=self.gap,
            fold=self.fold,
        )


def read_weekdays(names: Iterable[object]) -> tuple[str, ...]:
    """Read names of weekdays, whole or of three letters, in any case.

    Returns:
        Their first three letters, each once, Monday first.

    Raises:
        TriggerError: One is no weekday, or there is none.
    """
    found: set[str] = set()
    if not isinstance(names, Iterable):
        raise TriggerError("on", names, "names no weekday", 'write on("mon")')
    for name in names:
        word = name.lower() if isinstance(name, str) else ""
        if word not in _NAMES and word not in DAYS:
            raise TriggerError(
                "on", name, "is not a weekday", 'write "mon" or "monday", and so on'
            )
        found.add(word[:3])
    if not found:
        raise TriggerError("on", (), "names no weekday", 'write on("mon")')
    return tuple(name for name in DAYS if name in found)
