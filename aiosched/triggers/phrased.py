"""The triggers that phrases are made of: with ``at``, ``to`` and ``until``."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from aiosched.errors import TriggerError
from aiosched.triggers.base import Trigger
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.cronfields import WEEKDAYS
from aiosched.triggers.inputs import (
    bounded,
    check_order,
    clock_seconds,
    load_zone,
    read_wall,
    zone_name,
)
from aiosched.triggers.interval import IntervalTrigger
from aiosched.triggers.varied import (
    AlignedIntervalTrigger,
    RandomIntervalTrigger,
    mark_seconds,
)

__all__ = [
    "EveryCron",
    "EveryDate",
    "EveryInterval",
    "EveryMark",
    "EveryMonths",
    "EveryRandom",
    "Unit",
    "cron_phrase",
    "said",
]

Phrase = TypeVar("Phrase", bound=Trigger)
Unit = Literal["seconds", "minutes", "hours", "days", "weeks"]


class _Ending(Trigger, frozen=True):
    """What a phrase with bounds adds to its trigger."""

    def until(self, end: datetime | date | str, *, tz: str | None = None) -> Self:
        """Return the copy without slots later than ``end``.

        Args:
            end: An aware datetime or ISO 8601 text; without an offset it is wall
                time in ``tz``, and a date means its end.
            tz: Name of a zone.

        Raises:
            TriggerError: ``end`` has neither offset nor zone, or is before the
                start.
        """
        final = _read_end(end, tz)
        check_order(getattr(self, "start", None), final)
        return self.model_copy(update={"end": final})


class EveryInterval(IntervalTrigger, _Ending, frozen=True):
    """An interval that was said in words."""

    def at(self, mark: str, tz: str = "UTC") -> Trigger:
        """Fix when in its unit it fires.

        Args:
            mark: ``"HH:MM"`` or ``"HH:MM:SS"`` for days and weeks, ``"MM:SS"`` or
                ``":MM"`` for hours, ``":SS"`` for minutes.
            tz: Whose wall time it is.

        Raises:
            TriggerError: The unit has no such mark, or the zone is unknown.
        """
        unit = _unit_of(self)
        number = getattr(self, unit)
        if unit in ("days", "weeks"):
            if self.end is not None:
                raise _order("at", mark)
            return said(EveryDate, {unit: number, "at": mark, "tz": tz})
        if unit == "seconds":
            raise TriggerError("at", mark, "has no meaning for seconds", "leave it out")
        seconds = mark_seconds(mark, unit)
        name = zone_name(tz)
        if self.end is not None:
            raise _order("at", mark)
        if number == 1:
            minute, second = divmod(seconds, 60)
            rest = "* * * * *" if unit == "minutes" else f"{minute} * * * *"
            return cron_phrase(second, rest, name)
        if name != "UTC":
            raise TriggerError(
                "tz",
                name,
                f"an interval of {number} {unit} has no wall time",
                "leave the zone out",
            )
        return said(EveryMark, {unit: number, "mark": seconds})

    def to(self, high: int) -> EveryRandom:
        """Vary the length of the interval up to ``high`` units, included.

        Raises:
            TriggerError: ``high`` is not a whole number above the first.
        """
        unit = _unit_of(self)
        fields = {"low": getattr(self, unit), "high": high, "unit": unit}
        phrase = said(EveryRandom, fields)
        return phrase if self.end is None else phrase.until(self.end)


class EveryMark(AlignedIntervalTrigger, _Ending, frozen=True):
    """An interval on a mark, said in words."""


class EveryRandom(RandomIntervalTrigger, _Ending, frozen=True):
    """A varying interval, said in words."""


class EveryCron(CronTrigger, _Ending, frozen=True):
    """A fixed time, said in words."""

    def at(self, time: str, tz: str = "UTC") -> EveryCron:
        """Fix the time of day of a weekday.

        Args:
            time: ``"HH:MM"`` or ``"HH:MM:SS"``.
            tz: Whose wall time it is.

        Raises:
            TriggerError: It is not a time of day, or the zone is unknown.
        """
        weekday = self.expression.rsplit(" ", 1)[-1]
        if weekday not in WEEKDAYS or self.end is not None:
            raise _order("at", time)
        minutes, second = divmod(clock_seconds(time), 60)
        hour, minute = divmod(minutes, 60)
        return cron_phrase(second, f"{minute} {hour} * * {weekday}", zone_name(tz))


class EveryDate(CalendarIntervalTrigger, frozen=True):
    """A calendar interval with its time, said in words."""

    def until(self, end: datetime | date | str, *, tz: str | None = None) -> EveryDate:
        """Return the copy without slots later than ``end``.

        Args:
            end: A date (included), an aware datetime or ISO 8601 text; without an
                offset it is wall time in ``tz``, or else in the trigger's zone.
            tz: Name of a zone.

        Raises:
            TriggerError: ``end`` cannot be read, or is before the start.
        """
        final = _read_end(end, tz or self.tz)
        local = final.astimezone(load_zone(self.tz))
        last = local.date()
        clock = local.hour * 3600 + local.minute * 60 + local.second
        if clock < clock_seconds(self.at):
            last -= timedelta(days=1)
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return said(EveryDate, fields | {"end": last})


class EveryMonths(Trigger, frozen=True):
    """Months or years said in words, whose time may still be said.

    Attributes:
        months: Calendar months.
        years: Calendar years.
    """

    kind: Literal["months"] = "months"
    months: int = 0
    years: int = 0

    def describe(self) -> str:
        """Say how often it fires."""
        return self._dates().describe()

    def needs_pin(self) -> bool:
        """Its dates are counted from the date of scheduling."""
        return True

    def anchored(self, instant: datetime) -> CalendarIntervalTrigger:
        """Return the calendar interval that counts from the date of ``instant``.

        Raises:
            TriggerError: ``instant`` is naive.
        """
        return self._dates().anchored(instant)

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot, were its job scheduled at ``after``."""
        return self._dates().next(after, anchor)

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return None: nothing is behind a trigger that is not pinned."""
        return self._dates().last(until, anchor)

    def at(self, time: str, tz: str = "UTC") -> EveryDate:
        """Fix the time of day.

        Args:
            time: ``"HH:MM"`` or ``"HH:MM:SS"``.
            tz: Whose wall time it is.

        Raises:
            TriggerError: It is not a time of day, or the zone is unknown.
        """
        fields = {"months": self.months, "years": self.years}
        return said(EveryDate, fields | {"at": time, "tz": tz})

    def until(self, end: datetime | date | str, *, tz: str | None = None) -> EveryDate:
        """Return the copy without slots later than ``end``; see EveryDate."""
        return self._dates().until(end, tz=tz)

    def _dates(self) -> EveryDate:
        return self.at("00:00")


def cron_phrase(second: int, rest: str, tz: str) -> EveryCron:
    """Build a cron phrase, with six fields only where seconds are said."""
    fields: dict[str, Any] = {"expression": rest, "tz": tz}
    if second or rest.startswith("*"):
        fields |= {"expression": f"{second} {rest}", "seconds": "first"}
    return said(EveryCron, fields)


def _unit_of(phrase: IntervalTrigger) -> Unit:
    units: tuple[Unit, ...] = ("seconds", "minutes", "hours", "days", "weeks")
    return next(unit for unit in units if getattr(phrase, unit))


def said(cls: type[Phrase], fields: dict[str, Any]) -> Phrase:
    """Build a phrase; the fields are checked by its trigger."""
    return cls(**fields)


def _read_end(end: object, tz: str | None) -> datetime:
    """Read an end; a date includes its whole day."""
    if isinstance(end, timedelta):
        raise TriggerError(
            "end", end, "counts from an unknown instant", "give a datetime"
        )
    name = None if tz is None else zone_name(tz)
    if isinstance(end, str) and "T" not in end and ":" not in end:
        with suppress(ValueError):
            end = date.fromisoformat(end.strip())
    if isinstance(end, date) and not isinstance(end, datetime) and name is not None:
        following = datetime(end.year, end.month, end.day, tzinfo=ZoneInfo(name))
        with suppress(OverflowError):
            following += timedelta(days=1)
            return bounded(following, "end") - timedelta(microseconds=1)
        raise TriggerError("end", end, "is out of range", "stay before 9999-12-30")
    return read_wall(end, name, "end")


def _order(verb: str, value: object) -> TriggerError:
    return TriggerError(
        verb, value, "cannot be said here", "say .at() directly after the unit"
    )
