"""Triggers from configuration words: a unit, and how often or at what time.

The words say a period, "each ``every`` units", never a frequency: ``every=3``
with ``hours`` is eight times a day.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from aiosched.errors import TriggerError
from aiosched.triggers.base import Trigger
from aiosched.triggers.ending import End, Ending, Zone
from aiosched.triggers.inputs import zone_name
from aiosched.triggers.phrases import every as say_every

__all__ = ["ScheduleConfig", "from_unit"]

_SHORT = ("second", "minute", "hour")
_LONG = ("week", "month", "year")
_WEEKDAYS = (
    *("monday", "tuesday", "wednesday", "thursday"),
    *("friday", "saturday", "sunday"),
)
_CLOCKED = ("days", "weeks", "months", "years")
_PLURALS = ("seconds", "minutes", "hours", *_CLOCKED)
_UNITS = (*_SHORT, "day", *_LONG, *_PLURALS, *_WEEKDAYS)


def from_unit(
    unit: str,
    *,
    every: int | None = None,
    at: str | time | None = None,
    tz: Zone = "UTC",
    until: End | None = None,
) -> Trigger:
    """Build a trigger from a unit of time.

    ========================================  ==============  ========================
    unit                                      every           at
    ========================================  ==============  ========================
    second, minute, hour                      no              no
    seconds, minutes, hours                   needed          no
    day, monday … sunday                      one or none     one or none; not both
    week, month, year                         no              optional
    days, weeks, months, years                needed          optional
    ========================================  ==============  ========================

    Without ``at``, day and week are 24 and 7 × 24 hours from scheduling; months,
    years and weekdays are midnight in ``tz``.

    Args:
        unit: One of the words above.
        every: How many units make one interval.  For a weekday: each so many
            weeks.
        at: Time of day, HH:MM or HH:MM:SS.
        tz: Whose wall time ``at`` and ``until`` are; name of a zone.
        until: As for a phrase: an instant, a date, a duration from scheduling, a
            time of the day of scheduling, or text.

    Raises:
        TriggerError: A value is wrong, or does not go with the unit.
    """
    if unit not in _UNITS:
        raise TriggerError(
            "unit",
            unit,
            "is not a unit of time",
            f"write one of {', '.join(_UNITS)}",
        )
    zone = zone_name(tz)
    _check_every(unit, every)
    _check_at(unit, at)
    if every is not None and at is not None and unit not in _CLOCKED:
        other = f'every({every}).weeks.on("{unit[:3]}").at("{at}")'
        remedy = "write unit='days'" if unit == "day" else f"build {other}"
        raise TriggerError(
            "at",
            at,
            f"{unit} takes either every or at, not both",
            f"leave one out, or {remedy}",
        )
    phrase = _phrase(unit, every, at, zone)
    if until is None:
        return phrase
    return phrase.until(until, tz=zone)


class ScheduleConfig(
    BaseModel,
    frozen=True,
    extra="forbid",
    validate_by_name=True,
    validate_by_alias=True,
):
    """The words of a configuration file, checked; see :func:`from_unit`.

    Attributes:
        every: How many units make one interval.
        time_unit: The unit; may be called ``unit``.
        at: Time of day.
        tz: Name of the zone of ``at`` and ``until``.
        until: When it ends.
    """

    every: int | None = None
    time_unit: str = Field(validation_alias=AliasChoices("time_unit", "unit"))
    at: str | None = None
    tz: str = "UTC"
    until: datetime | date | time | timedelta | str | None = None

    def __init__(
        self,
        *,
        every: int | None = None,
        time_unit: str | None = None,
        unit: str | None = None,
        at: str | time | None = None,
        tz: Zone = "UTC",
        until: End | None = None,
        **data: Any,
    ) -> None:
        """Check the words, together.

        Raises:
            TriggerError: There is a word too many, or :func:`from_unit` refuses
                them.
        """
        for name, value in data.items():
            raise TriggerError(
                name,
                value,
                "is not a word of a schedule",
                "write every, time_unit, at, tz and until",
            )
        if (time_unit is None) is (unit is None):
            problem = "is missing" if unit is None else "is the same as unit"
            raise TriggerError(
                "time_unit", time_unit, problem, 'write time_unit="minutes"'
            )
        word = unit if time_unit is None else time_unit
        assert word is not None  # noqa: S101 - one of both is there
        from_unit(word, every=every, at=at, tz=tz, until=until)
        clock = at.isoformat() if isinstance(at, time) else at
        try:
            super().__init__(
                every=every, time_unit=word, at=clock, tz=zone_name(tz), until=until
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise TriggerError(
                str(first["loc"][0]), first["input"], first["msg"], "correct it"
            ) from None

    def trigger(self) -> Trigger:
        """Return the trigger that the words mean."""
        return from_unit(
            self.time_unit, every=self.every, at=self.at, tz=self.tz, until=self.until
        )


def _check_every(unit: str, every: Any) -> None:
    """Refuse a number that is none, or one too many or too few."""
    if every is None:
        if unit in _PLURALS:
            raise TriggerError(
                "every",
                every,
                f"{unit} need a number",
                f"write every=10, or unit={unit[:-1]!r}",
            )
        return
    if isinstance(every, str) and ":" in every:
        raise TriggerError(
            "every", every, "is a time of day, not a number", f"write at={every!r}"
        )
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise TriggerError(
            "every", every, "is not a positive whole number", "write every=1 or more"
        )
    if unit in _SHORT or unit in _LONG:
        raise TriggerError(
            "every",
            every,
            f"{unit} takes no number",
            f"leave it out, or write unit='{unit}s'",
        )


def _check_at(unit: str, at: object) -> None:
    """Refuse a time of day that is none, or where there can be none."""
    if at is None:
        return
    if unit.removesuffix("s") in _SHORT:
        raise TriggerError(
            "at", at, "no time of day goes with this unit", "leave it out"
        )
    if not isinstance(at, str | time):
        raise TriggerError("at", at, "is not text", "quote it: at='14:00'")


def _phrase(unit: str, every: int | None, at: str | time | None, zone: str) -> Ending:
    """Say the words as a phrase."""
    begun = say_every(1 if every is None else every)
    if unit in _WEEKDAYS:
        weekday = begun.weeks.on(unit)
        return weekday.at("00:00" if at is None else at, zone)
    plural = unit if unit in _PLURALS else f"{unit}s"
    phrase: Any = getattr(begun, plural)
    if at is None and plural in ("months", "years"):
        at = "00:00"
    said: Ending = phrase if at is None else phrase.at(at, zone)
    return said
