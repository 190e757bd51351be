"""The triggers that phrases are made of: with ``at``, ``on`` and ``to``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers.base import Trigger
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.ending import (
    WORDS,
    End,
    Ending,
    UntilTrigger,
    Zone,
    clock_of,
    first_date,
    misplaced,
    refuse_late,
    wrong_word,
)
from aiosched.triggers.inputs import clock_seconds, zone_name
from aiosched.triggers.interval import IntervalTrigger
from aiosched.triggers.varied import (
    AlignedIntervalTrigger,
    RandomIntervalTrigger,
    mark_seconds,
)
from aiosched.triggers.walltime import Fold, Gap
from aiosched.triggers.weekly import DAYS, EveryWeekday, read_weekdays

__all__ = [
    "EveryCron",
    "EveryDate",
    "EveryInterval",
    "EveryMark",
    "EveryMonths",
    "EveryRandom",
    "EveryWeekday",
    "Unit",
    "cron_phrase",
    "said",
    "weekday_phrase",
]

Phrase = TypeVar("Phrase", bound=Trigger)
Unit = Literal["seconds", "minutes", "hours", "days", "weeks"]


class EveryInterval(IntervalTrigger, Ending, frozen=True):
    """An interval that was said in words."""

    def at(
        self,
        mark: str | time,
        tz: Zone = "UTC",
        *,
        gap: Gap | None = None,
        fold: Fold | None = None,
    ) -> Ending:
        """Fix when in its unit it fires.

        Args:
            mark: ``"HH:MM"`` or ``"HH:MM:SS"`` for days and weeks, ``"MM:SS"`` or
                ``":MM"`` for hours, ``":SS"`` for minutes.
            tz: Whose wall time it is.
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.

        Raises:
            TriggerError: The unit has no such mark, or the zone is unknown.
        """
        unit = _unit_of(self)
        number = getattr(self, unit)
        wall = {"tz": tz, "gap": gap, "fold": fold}
        if unit in ("days", "weeks"):
            refuse_late("at", mark, self)
            return said(EveryDate, {unit: number, "at": mark, **wall})
        if unit == "seconds":
            raise TriggerError("at", mark, "has no meaning for seconds", "leave it out")
        seconds = mark_seconds(mark, unit)
        name = zone_name(tz)
        refuse_late("at", mark, self)
        if number == 1:
            minute, second = divmod(seconds, 60)
            rest = "* * * * *" if unit == "minutes" else f"{minute} * * * *"
            return cron_phrase(second, rest, wall)
        for field, value in (("gap", gap), ("fold", fold)):
            if value is not None:
                raise TriggerError(
                    field, value, f"{number} {unit} are elapsed time", "leave it out"
                )
        if name != "UTC":
            raise TriggerError(
                "tz",
                name,
                f"an interval of {number} {unit} has no wall time",
                "leave the zone out",
            )
        return said(EveryMark, {unit: number, "mark": seconds})

    def on(self, *weekdays: str) -> EveryCron | EveryWeekday:
        """Choose the weekdays: ``every(2).weeks.on("mon")``.

        Args:
            *weekdays: Names, whole or of three letters.

        Raises:
            TriggerError: It is not an interval of weeks, or one is no weekday.
        """
        names = read_weekdays(weekdays)
        unit = _unit_of(self)
        if unit != "weeks":
            raise TriggerError(
                "on",
                weekdays,
                f"{unit} have no weekdays",
                f'write every({getattr(self, unit)}).weeks.on("{names[0]}")',
            )
        refuse_late("on", weekdays, self)
        return weekday_phrase(self.weeks, names)

    def to(self, high: int) -> EveryRandom:
        """Vary the length of the interval up to ``high`` units, included.

        Raises:
            TriggerError: ``high`` is not a whole number above the first.
        """
        unit = _unit_of(self)
        if self.start is not None:
            raise misplaced("to", high)
        fields = {"low": getattr(self, unit), "high": high, "unit": unit}
        phrase = said(EveryRandom, fields)
        return phrase if self.end is None else phrase.until(self.end)


class EveryMark(AlignedIntervalTrigger, Ending, frozen=True):
    """An interval on a mark, said in words."""

    def _first_from(self, first: datetime) -> object:
        return moment(self.on_mark(micros(first)))


class EveryRandom(RandomIntervalTrigger, Ending, frozen=True):
    """A varying interval, said in words."""


class EveryCron(CronTrigger, Ending, frozen=True):
    """A fixed time, said in words."""

    def at(
        self,
        time: str | time,
        tz: Zone = "UTC",
        *,
        gap: Gap | None = None,
        fold: Fold | None = None,
    ) -> EveryCron:
        """Fix the time of day of weekdays.

        Args:
            time: ``"HH:MM"`` or ``"HH:MM:SS"``.
            tz: Whose wall time it is.
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.

        Raises:
            TriggerError: It is not a time of day, or the zone is unknown.
        """
        days = self.expression.rsplit(" ", 1)[-1]
        if not set(days.split(",")) <= set(DAYS):
            raise misplaced("at", time)
        refuse_late("at", time, self)
        minutes, second = divmod(clock_seconds(clock_of(time)), 60)
        hour, minute = divmod(minutes, 60)
        wall = {"tz": tz, "gap": gap, "fold": fold}
        return cron_phrase(second, f"{minute} {hour} * * {days}", wall)


class _SaidTime(str):
    """A time of day behind ``at``, which cannot be said twice."""

    __slots__ = ()

    def __call__(self, *said: object, **more: object) -> NoReturn:
        """Refuse a second ``at``."""
        del said, more
        raise wrong_word(f"at {self}", "at")


class EveryDate(CalendarIntervalTrigger, Ending, frozen=True):
    """A calendar interval with its time, said in words."""

    def __init__(self, **data: Any) -> None:
        """Leave the fields to the calendar interval.

        Raises:
            TriggerError: A field is wrong.
        """
        super().__init__(**data)
        # The field's own text, which refuses to be called as at() again.
        object.__setattr__(self, "at", _SaidTime(self.at))

    def _first_from(self, first: datetime) -> object:
        return first_date(self, micros(first))


class EveryMonths(Trigger, frozen=True):
    """Months or years said in words, whose time may still be said.

    Attributes:
        months: Calendar months.
        years: Calendar years.
    """

    kind: Literal["months"] = "months"
    months: int = 0
    years: int = 0

    def __init__(self, *, months: int = 0, years: int = 0, **data: Any) -> None:
        """Check the numbers.

        Raises:
            TriggerError: A number is not whole, negative or huge, or both are 0.
        """
        CalendarIntervalTrigger(months=months, years=years)
        super().__init__(months=months, years=years, **data)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Refuse a word of a phrase that cannot be said here."""
            if name in WORDS:
                raise wrong_word(self.describe(), name)
            return super().__getattr__(name)

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

    def at(
        self,
        time: str | time,
        tz: Zone = "UTC",
        *,
        gap: Gap | None = None,
        fold: Fold | None = None,
    ) -> EveryDate:
        """Fix the time of day.

        Args:
            time: ``"HH:MM"`` or ``"HH:MM:SS"``.
            tz: Whose wall time it is.
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.

        Raises:
            TriggerError: It is not a time of day, or the zone is unknown.
        """
        fields = {"months": self.months, "years": self.years, "at": time}
        return said(EveryDate, fields | {"tz": tz, "gap": gap, "fold": fold})

    def until(self, end: End, *, tz: Zone | None = None) -> EveryDate | UntilTrigger:
        """Return the copy without slots later than ``end``; see EveryDate."""
        return self._dates().until(end, tz=tz)

    def starting(
        self, start: datetime | date | str, *, tz: Zone | None = None
    ) -> EveryDate:
        """Return the copy without slots earlier than ``start``; see EveryDate."""
        return self._dates().starting(start, tz=tz)

    def _dates(self) -> EveryDate:
        return self.at("00:00")


def cron_phrase(second: int, rest: str, wall: Mapping[str, Any]) -> EveryCron:
    """Build a cron phrase, with six fields only where seconds are said.

    Args:
        second: Of the minute.
        rest: The five other fields.
        wall: Zone, gap and fold.
    """
    fields: dict[str, Any] = {"expression": rest, **wall}
    if second or rest.startswith("*"):
        fields |= {"expression": f"{second} {rest}", "seconds": "first"}
    return said(EveryCron, fields)


def weekday_phrase(weeks: int, weekdays: Iterable[str]) -> EveryCron | EveryWeekday:
    """Say weekdays of every so many weeks, at midnight UTC until ``at`` says when."""
    if weeks == 1:
        return cron_phrase(0, f"0 0 * * {','.join(weekdays)}", {})
    return said(EveryWeekday, {"weeks": weeks, "weekdays": tuple(weekdays)})


def said(cls: type[Phrase], fields: dict[str, Any]) -> Phrase:
    """Build a phrase; the fields are checked by its trigger."""
    return cls(**fields)


def _unit_of(phrase: IntervalTrigger) -> Unit:
    units: tuple[Unit, ...] = ("seconds", "minutes", "hours", "days", "weeks")
    return next(unit for unit in units if getattr(phrase, unit))
