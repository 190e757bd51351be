"""The end of a phrase: an instant, or one that counts from scheduling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta, tzinfo
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    overload,
)

from pydantic import TypeAdapter, ValidationError

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment, span
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT, AnyTrigger, Trigger
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.cronparts import Draw
from aiosched.triggers.inputs import (
    bounded,
    check_order,
    clock_seconds,
    clock_text,
    load_zone,
    read_wall,
    stamp,
    zone_name,
)

__all__ = [
    "WORDS",
    "ClockTime",
    "End",
    "Ending",
    "UntilTrigger",
    "Zone",
    "clock_of",
    "ended",
    "first_date",
    "misplaced",
    "read_end",
    "rebuilt",
    "refuse_late",
    "wrong_word",
]

End = datetime | date | time | timedelta | str
Zone = str | tzinfo
_VERBS = frozenset({"at", "on", "to", "until", "starting"})
_UNITS = frozenset(
    {
        *("second", "minute", "hour", "day", "week", "month", "year"),
        *("seconds", "minutes", "hours", "days", "weeks", "months", "years"),
        *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
        "sunday",
    }
)
WORDS = _VERBS | _UNITS
"""The words of phrases."""
Some = TypeVar("Some", bound=Trigger)
_DURATION = TypeAdapter(timedelta)


class UntilTrigger(Trigger, frozen=True):
    """A trigger whose end is known when its job is scheduled.

    It is not pinned; the pinned copy is the trigger with that end.

    Attributes:
        trigger: What fires until then.
        length: How long after scheduling it ends; None where ``time`` is given.
        time: The time of day at which it ends, on the day of scheduling.
        zone: Whose time of day.
    """

    kind: Literal["until"] = "until"
    trigger: AnyTrigger
    length: timedelta | None = None
    time: str | None = None
    zone: str = "UTC"
    exact: ClassVar[bool] = True

    def __init__(
        self,
        trigger: Trigger,
        *,
        length: timedelta | str | None = None,
        time: str | None = None,
        zone: Zone = "UTC",
        **data: Any,
    ) -> None:
        """End ``trigger`` some time after scheduling, or at a time of that day.

        Args:
            trigger: One that has an end of its own.
            length: A positive duration; one that comes from data is ISO 8601 text.
            time: HH:MM or HH:MM:SS.
            zone: Name of a zone of the tz database.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: Not exactly one of both is given, the duration is not
                positive, the time or zone is not one, or the trigger has no end.
        """
        if (length is None) is (time is None):
            raise TriggerError(
                "until",
                (length, time),
                "needs either a duration or a time of day",
                "give one of them",
            )
        if time is not None:
            time = clock_text(clock_seconds(time, "until"))
        super().__init__(
            trigger=trigger, length=length, time=time, zone=zone_name(zone), **data
        )
        if self.length is not None and self.length <= timedelta(0):
            raise TriggerError(
                "until", self.length, "is not positive", "give a longer duration"
            )
        if "end" not in type(self.trigger).model_fields:
            raise TriggerError(
                "trigger",
                self.trigger.kind,
                "has no end that could be set",
                "say .until() directly behind a phrase",
            )

    @property
    def tz(self) -> str:
        """The zone of the trigger that ends; UTC if it has none."""
        return str(getattr(self.trigger, "tz", "UTC"))

    def describe(self) -> str:
        """Say when it fires, and for how long."""
        words = self.trigger.describe()
        if self.length is not None:
            return f"{words}, for {_words(self.length)} from scheduling"
        return f"{words}, until {self.time} {self.zone} on the day of scheduling"

    def needs_pin(self) -> bool:
        """Its end is not known before it is scheduled."""
        return True

    def anchored(self, instant: datetime) -> Trigger:
        """Return the trigger with its end, pinned.

        Raises:
            TriggerError: ``instant`` is naive, that end is past, or no slot lies
                before it.
        """
        super().anchored(instant)
        now = micros(instant)
        final = self._final(now)
        if final < now:
            raise TriggerError(
                "until",
                self.time,
                f"is past on the day of scheduling, {stamp(instant)}",
                "choose a later time, or give the date too",
            )
        return ended(self.trigger, moment(final)).anchored(instant)

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

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Return 0: a trigger that is not pinned has no slots to count."""
        del first, until, anchor
        return 0

    def for_job(self, job_id: str) -> Trigger:
        """Return the copy in which what is drawn from a job's id is settled."""
        settled = self.trigger.for_job(job_id)
        if settled is self.trigger:
            return self
        return rebuilt(self, trigger=settled)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Refuse a word of a phrase that cannot be said here."""
            if name in WORDS:
                raise wrong_word(self.describe(), name)
            return super().__getattr__(name)

    def _draws(self) -> Iterable[tuple[str, Draw]]:
        return self.trigger._draws()

    def _drawn(self, numbers: Mapping[str, int]) -> Trigger:
        return rebuilt(self, trigger=self.trigger._drawn(numbers))

    def _final(self, now: int) -> int:
        if self.length is not None:
            return min(now + span(self.length), LAST_INSTANT)
        zone = load_zone(self.zone)
        local = moment(now).astimezone(zone)
        minutes, second = divmod(clock_seconds(self.time), 60)
        hour, minute = divmod(minutes, 60)
        wall = local.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return micros(wall.replace(fold=0))


class Ending(Trigger, frozen=True):
    """What a phrase with an end adds to its trigger."""

    def __init__(self, **data: Any) -> None:
        """Leave the fields to the trigger beside it.

        Raises:
            TriggerError: A field is wrong.
        """
        super().__init__(**data)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Refuse a word of a phrase that cannot be said here."""
            if name in WORDS:
                raise wrong_word(self.describe(), name)
            return super().__getattr__(name)

    def starting(self, start: datetime | date | str, *, tz: Zone | None = None) -> Self:
        """Return the copy without slots earlier than ``start``.

        Of an interval it is the first slot (on a mark: the first on the mark); of
        weeks, months and years it is from where they are counted.  Fixed times of
        each day or hour stay where they are.

        Args:
            start: A datetime, a date (its midnight), or ISO 8601 text of either.
            tz: Whose wall time it is, where ``start`` has no offset; None takes the
                zone that was said with ``at``.

        Raises:
            TriggerError: ``start`` cannot be read, has neither offset nor zone, or
                is later than the end.
        """
        name = getattr(self, "tz", None) if tz is None else zone_name(tz)
        first = read_wall(start, name, "start")
        return rebuilt(self, start=self._first_from(first))

    def _first_from(self, first: datetime) -> object:
        """Return what the field ``start`` says of a first instant."""
        return first

    @overload
    def until(self, end: datetime | date, *, tz: Zone | None = ...) -> Self: ...
    @overload
    def until(
        self, end: time | timedelta, *, tz: Zone | None = ...
    ) -> UntilTrigger: ...
    @overload
    def until(self, end: str, *, tz: Zone | None = ...) -> Self | UntilTrigger: ...
    def until(self, end: End, *, tz: Zone | None = None) -> Self | UntilTrigger:
        """Return the copy without slots later than ``end``.

        Args:
            end: A datetime; a date, which means its end; a duration from
                scheduling; a time of the day of scheduling; or text:
                ``"2030-01-01 18:30"`` (with seconds or an offset, if you like),
                ``"2030-01-01"``, ``"18:30"``, ``"18:30:55"`` or ``"PT8H"``.
            tz: Whose wall time it is, where ``end`` has no offset; None takes the
                zone that was said with ``at``.

        Raises:
            TriggerError: ``end`` cannot be read, has neither offset nor zone, is
                not positive, or is before the start.
        """
        bound = read_end(end, tz, getattr(self, "tz", None))
        if isinstance(bound, datetime):
            return ended(self, bound)
        if isinstance(bound, timedelta):
            return UntilTrigger(self, length=bound)
        return UntilTrigger(self, time=bound.time, zone=bound.zone)


class ClockTime(NamedTuple):
    """A time of the day of scheduling, in a zone."""

    time: str
    zone: str


def rebuilt(trigger: Some, /, **changes: Any) -> Some:
    """Return the copy with some fields changed, checked again.

    A plain copy would carry along what was computed from the old fields.

    Raises:
        TriggerError: The fields do not go together.
    """
    cls = type(trigger)
    fields = {name: getattr(trigger, name) for name in cls.model_fields}
    return cls(**(fields | changes))


def ended(trigger: Some, final: datetime) -> Some:
    """Return the copy without slots later than ``final``.

    Args:
        trigger: One with a field ``end``.
        final: Aware.

    Raises:
        TriggerError: It is before the start.
    """
    if isinstance(trigger, CalendarIntervalTrigger):
        return rebuilt(trigger, end=_last_date(trigger, micros(final)))
    check_order(getattr(trigger, "start", None), final)
    return rebuilt(trigger, end=final)


def clock_of(value: object) -> object:
    """Return a time of day as text; what is something else stays as it is."""
    return value.isoformat() if isinstance(value, time) else value


def refuse_late(verb: str, value: object, phrase: Trigger) -> None:
    """Refuse what is said behind ``starting`` or ``until``.

    Raises:
        TriggerError: There is a start, or an end.
    """
    for bound in ("start", "end"):
        if getattr(phrase, bound, None) is not None:
            raise misplaced(verb, value)


def misplaced(verb: str, value: object) -> TriggerError:
    """Return the error for a word in the wrong place of a phrase."""
    return TriggerError(
        verb,
        value,
        "cannot be said here",
        f"say .{verb}() directly after the unit, then .starting(), and .until() last",
    )


class _WrongWordError(TriggerError, AttributeError):
    """A word in the wrong place; hasattr() is to say that it is not there."""


def wrong_word(phrase: str, word: str) -> TriggerError:
    """Return the error for a word that a phrase cannot go on with."""
    if word in _VERBS:
        problem = f".{word}() cannot be said here"
    else:
        problem = f"{word} cannot be said here"
    return _WrongWordError(
        "every",
        phrase,
        problem,
        "say the number, .to(), the unit, .on(), .at(), .starting() and .until() in "
        "this order, each once; combine phrases with & and |",
    )


def first_date(trigger: CalendarIntervalTrigger, first: int) -> date:
    """Return the first date whose slot is not earlier than ``first``."""
    day = moment(first).astimezone(load_zone(trigger.tz)).date() - timedelta(days=1)
    for _ in range(4):
        slot = _on_date(trigger, day)
        if slot is not None and slot >= first:
            break
        day += timedelta(days=1)
    return day


def _on_date(trigger: CalendarIntervalTrigger, day: date) -> int | None:
    """Return the slot of one date."""
    single = CalendarIntervalTrigger(
        days=1,
        at=trigger.at,
        tz=trigger.tz,
        start=day,
        end=day,
        gap=trigger.gap,
        fold=trigger.fold,
    )
    return single.next(FIRST_INSTANT)


def _last_date(trigger: CalendarIntervalTrigger, final: int) -> date:
    """Return the last date whose slot is not later than ``final``."""
    zone = load_zone(trigger.tz)
    day = moment(final).astimezone(zone).date() + timedelta(days=1)
    # A slot lies on its date, or, made up after a gap at midnight, on the next; and
    # a zone leaves out one date at most.
    for _ in range(4):
        slot = _on_date(trigger, day)
        if slot is not None and slot <= final:
            return day
        day -= timedelta(days=1)
    return day


def read_end(
    end: object, tz: Zone | None, own: str | None
) -> datetime | timedelta | ClockTime:
    """Read an end; a date includes its whole day.

    Args:
        end: As for :meth:`Ending.until`.
        tz: Whose wall time it is.
        own: The zone that counts where ``tz`` is None; None: there is none.

    Raises:
        TriggerError: It cannot be read, or has neither offset nor zone.
    """
    name = own if tz is None else zone_name(tz)
    if isinstance(end, str):
        end = _read_text(end)
    if isinstance(end, timedelta):
        return end
    if isinstance(end, time):
        if end.tzinfo is not None:
            name = zone_name(end.tzinfo)
            end = end.replace(tzinfo=None)
        if name is None:
            raise TriggerError(
                "end",
                end,
                "has no time zone",
                'say whose wall time it is: tz="Europe/Paris"',
            )
        return ClockTime(end.isoformat(), name)
    if isinstance(end, date) and not isinstance(end, datetime) and name is not None:
        following = datetime(end.year, end.month, end.day, tzinfo=load_zone(name))
        with suppress(OverflowError):
            following += timedelta(days=1)
            return bounded(following, "end") - timedelta(microseconds=1)
        raise TriggerError("end", end, "is out of range", "stay before 9999-12-30")
    return read_wall(end, name, "end")


def _read_text(text: str) -> object:
    """Read a duration, a time of day or a date; leave other text to others."""
    text = text.strip()
    if text.startswith("P"):
        with suppress(ValidationError):
            return _DURATION.validate_python(text)
    if "-" not in text and "T" not in text and ":" in text:
        minutes, second = divmod(clock_seconds(text, "end"), 60)
        hour, minute = divmod(minutes, 60)
        return time(hour, minute, second)
    if "T" not in text and ":" not in text:
        with suppress(ValueError):
            return date.fromisoformat(text)
    return text


def _words(length: timedelta) -> str:
    """Say a duration, such as ``1 day 2 hours``."""
    rest = span(length)
    parts: list[str] = []
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        number, rest = divmod(rest, size * 1_000_000)
        if number:
            parts.append(f"{number:,} {unit}{'' if number == 1 else 's'}")
    if rest:
        parts.append(f"{rest / 1_000_000:g} seconds")
    return " ".join(parts)
