"""``every(10).minutes``: triggers said in words.

Each phrase is a trigger already, so it can be used wherever one is expected;
``at``, ``to`` and ``until`` make another trigger of it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from aiosched.errors import TriggerError
from aiosched.triggers.base import Trigger
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.cronfields import WEEKDAYS
from aiosched.triggers.inputs import (
    check_order,
    clock_seconds,
    is_whole,
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

__all__ = ["Every", "every"]

Phrase = TypeVar("Phrase", bound=Trigger)
_Unit = Literal["seconds", "minutes", "hours", "days", "weeks"]


def every(number: int = 1) -> Every:
    """Begin a phrase: ``every(10).minutes``, ``every().wednesday.at("13:15")``.

    Args:
        number: How many of the unit that follows make one interval.

    Raises:
        TriggerError: The number is not a positive whole number.
    """
    if not is_whole(number) or number < 1:
        raise TriggerError(
            "every", number, "is not a positive whole number", "write every(1) or more"
        )
    return Every(number)


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
            return _said(EveryDate, {unit: number, "at": mark, "tz": tz})
        if unit == "seconds":
            raise TriggerError("at", mark, "has no meaning for seconds", "leave it out")
        seconds = mark_seconds(mark, unit)
        name = zone_name(tz)
        if self.end is not None:
            raise _order("at", mark)
        if number == 1:
            minute, second = divmod(seconds, 60)
            rest = "* * * * *" if unit == "minutes" else f"{minute} * * * *"
            return _cron(second, rest, name)
        if name != "UTC":
            raise TriggerError(
                "tz",
                name,
                f"an interval of {number} {unit} has no wall time",
                "leave the zone out",
            )
        return _said(EveryMark, {unit: number, "mark": seconds})

    def to(self, high: int) -> EveryRandom:
        """Vary the length of the interval up to ``high`` units, included.

        Raises:
            TriggerError: ``high`` is not a whole number above the first.
        """
        unit = _unit_of(self)
        fields = {"low": getattr(self, unit), "high": high, "unit": unit}
        phrase = _said(EveryRandom, fields)
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
        return _cron(second, f"{minute} {hour} * * {weekday}", zone_name(tz))


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
        return _said(EveryDate, fields | {"end": last})


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
        return _said(EveryDate, fields | {"at": time, "tz": tz})

    def until(self, end: datetime | date | str, *, tz: str | None = None) -> EveryDate:
        """Return the copy without slots later than ``end``; see EveryDate."""
        return self._dates().until(end, tz=tz)

    def _dates(self) -> EveryDate:
        return self.at("00:00")


class EveryRange:
    """A range of numbers that waits for its unit."""

    def __init__(self, low: int, high: int) -> None:
        """Keep both ends.

        Raises:
            TriggerError: ``high`` is not a whole number above ``low``.
        """
        self._low = low
        self._high = high
        self._varying("seconds")

    def __repr__(self) -> str:
        return f"every({self._low}).to({self._high})"

    def _varying(self, unit: _Unit) -> EveryRandom:
        return _said(EveryRandom, {"low": self._low, "high": self._high, "unit": unit})

    @property
    def seconds(self) -> EveryRandom:
        """So many seconds."""
        return self._varying("seconds")

    @property
    def minutes(self) -> EveryRandom:
        """So many minutes."""
        return self._varying("minutes")

    @property
    def hours(self) -> EveryRandom:
        """So many hours."""
        return self._varying("hours")

    @property
    def days(self) -> EveryRandom:
        """So many times 24 hours."""
        return self._varying("days")

    @property
    def weeks(self) -> EveryRandom:
        """So many times 7 × 24 hours."""
        return self._varying("weeks")


class Every:
    """A number that waits for its unit."""

    def __init__(self, number: int) -> None:
        """Keep the number."""
        self._number = number

    def __repr__(self) -> str:
        return f"every({self._number})"

    def to(self, high: int) -> EveryRange:
        """Vary the length up to ``high`` units: ``every(5).to(10).seconds``.

        Raises:
            TriggerError: ``high`` is not a whole number above the first.
        """
        return EveryRange(self._number, high)

    def _interval(self, unit: _Unit) -> EveryInterval:
        return _said(EveryInterval, {unit: self._number})

    def _calendar(self, unit: str) -> EveryMonths:
        return _said(EveryMonths, {unit: self._number})

    def _single(self, unit: str) -> None:
        """Refuse ``every(2).day``."""
        if self._number != 1:
            raise TriggerError(
                "every",
                self._number,
                f"is a plural, {unit} a singular",
                f"write every({self._number}).{unit}s",
            )

    def _weekday(self, weekday: str) -> EveryCron:
        """Fire on a weekday at midnight UTC, until ``at`` says when."""
        if self._number != 1:
            raise TriggerError(
                "every",
                self._number,
                "a weekday comes once a week",
                f"write every().{weekday}, or CalendarIntervalTrigger(weeks="
                f"{self._number}, start=date(…)) with a start on that day",
            )
        return _cron(0, f"0 0 * * {weekday[:3]}", "UTC")

    @property
    def seconds(self) -> EveryInterval:
        """So many seconds."""
        return self._interval("seconds")

    @property
    def second(self) -> EveryInterval:
        """One second."""
        self._single("second")
        return self._interval("seconds")

    @property
    def minutes(self) -> EveryInterval:
        """So many minutes."""
        return self._interval("minutes")

    @property
    def minute(self) -> EveryInterval:
        """One minute."""
        self._single("minute")
        return self._interval("minutes")

    @property
    def hours(self) -> EveryInterval:
        """So many hours."""
        return self._interval("hours")

    @property
    def hour(self) -> EveryInterval:
        """One hour."""
        self._single("hour")
        return self._interval("hours")

    @property
    def days(self) -> EveryInterval:
        """So many days: of 24 hours, or by the calendar once ``at`` is said."""
        return self._interval("days")

    @property
    def day(self) -> EveryInterval:
        """One day: 24 hours, or by the calendar once ``at`` is said."""
        self._single("day")
        return self._interval("days")

    @property
    def weeks(self) -> EveryInterval:
        """So many weeks: of 7 × 24 hours, or by the calendar with ``at``."""
        return self._interval("weeks")

    @property
    def week(self) -> EveryInterval:
        """One week: 7 × 24 hours, or by the calendar once ``at`` is said."""
        self._single("week")
        return self._interval("weeks")

    @property
    def months(self) -> EveryMonths:
        """So many calendar months, at midnight UTC until ``at`` says when."""
        return self._calendar("months")

    @property
    def month(self) -> EveryMonths:
        """One calendar month, at midnight UTC until ``at`` says when."""
        self._single("month")
        return self._calendar("months")

    @property
    def years(self) -> EveryMonths:
        """So many calendar years, at midnight UTC until ``at`` says when."""
        return self._calendar("years")

    @property
    def year(self) -> EveryMonths:
        """One calendar year, at midnight UTC until ``at`` says when."""
        self._single("year")
        return self._calendar("years")

    @property
    def monday(self) -> EveryCron:
        """Each Monday, at midnight UTC until ``at`` says when."""
        return self._weekday("monday")

    @property
    def tuesday(self) -> EveryCron:
        """Each Tuesday, at midnight UTC until ``at`` says when."""
        return self._weekday("tuesday")

    @property
    def wednesday(self) -> EveryCron:
        """Each Wednesday, at midnight UTC until ``at`` says when."""
        return self._weekday("wednesday")

    @property
    def thursday(self) -> EveryCron:
        """Each Thursday, at midnight UTC until ``at`` says when."""
        return self._weekday("thursday")

    @property
    def friday(self) -> EveryCron:
        """Each Friday, at midnight UTC until ``at`` says when."""
        return self._weekday("friday")

    @property
    def saturday(self) -> EveryCron:
        """Each Saturday, at midnight UTC until ``at`` says when."""
        return self._weekday("saturday")

    @property
    def sunday(self) -> EveryCron:
        """Each Sunday, at midnight UTC until ``at`` says when."""
        return self._weekday("sunday")


def _cron(second: int, rest: str, tz: str) -> EveryCron:
    """Build a cron phrase, with six fields only where seconds are said."""
    fields: dict[str, Any] = {"expression": rest, "tz": tz}
    if second or rest.startswith("*"):
        fields |= {"expression": f"{second} {rest}", "seconds": "first"}
    return _said(EveryCron, fields)


def _unit_of(phrase: IntervalTrigger) -> _Unit:
    units: tuple[_Unit, ...] = ("seconds", "minutes", "hours", "days", "weeks")
    return next(unit for unit in units if getattr(phrase, unit))


def _said(cls: type[Phrase], fields: dict[str, Any]) -> Phrase:
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
        following += timedelta(days=1)
        return following.astimezone(UTC) - timedelta(microseconds=1)
    return read_wall(end, name, "end")


def _order(verb: str, value: object) -> TriggerError:
    return TriggerError(
        verb, value, "cannot be said here", "say .at() directly after the unit"
    )
