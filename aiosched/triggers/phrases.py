"""``every(10).minutes``: triggers said in words.

Each phrase is a trigger already, so it can be used wherever one is expected;
``at``, ``on``, ``to`` and ``until`` make another trigger of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosched.errors import TriggerError
from aiosched.triggers.ending import WORDS, wrong_word
from aiosched.triggers.inputs import is_whole
from aiosched.triggers.phrased import (
    EveryCron,
    EveryInterval,
    EveryMonths,
    EveryRandom,
    Unit,
    cron_phrase,
    said,
)

__all__ = ["Every", "every"]


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
    return Every(int(number))


class _Waiting:
    """What waits for its unit."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Refuse a word of a phrase that cannot be said here."""
            if name in WORDS:
                raise wrong_word(repr(self), name)
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message)


class EveryRange(_Waiting):
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

    def _varying(self, unit: Unit) -> EveryRandom:
        return said(EveryRandom, {"low": self._low, "high": self._high, "unit": unit})

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


class Every(_Waiting):
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

    def _interval(self, unit: Unit) -> EveryInterval:
        return said(EveryInterval, {unit: self._number})

    def _calendar(self, unit: str) -> EveryMonths:
        return said(EveryMonths, {unit: self._number})

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
                f"write every().{weekday}, or "
                f'every({self._number}).weeks.on("{weekday[:3]}")',
            )
        return cron_phrase(0, f"0 0 * * {weekday[:3]}", {})

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
        """So many weeks: of 7 × 24 hours, or by the calendar with ``at`` or ``on``."""
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
