"""Reading what users write: instants, dates, clock times and zones."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from aiosched.errors import TriggerError
from aiosched.instants import micros
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT

__all__ = [
    "MONTH_NAMES",
    "bounded",
    "check_order",
    "clock_seconds",
    "clock_text",
    "is_whole",
    "load_zone",
    "parse_iso",
    "read_date",
    "read_instant",
    "read_wall",
    "stamp",
    "zone_name",
]

MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_COPIES = ("right/", "posix/")
_HOST_ZONES = frozenset({"localtime", "local", "Factory", "posixrules"})


def read_instant(value: object, field: str) -> datetime | None:
    """Read an aware datetime or ISO text with an offset; the answer is in UTC.

    Raises:
        TriggerError: It is naive, out of range or not a datetime at all.
    """
    if value is None:
        return None
    given = value
    if isinstance(value, str):
        value = parse_iso(value, field)
    if not isinstance(value, datetime):
        raise TriggerError(
            field,
            given,
            "is not an instant",
            'give an aware datetime or text such as "2030-01-01T09:00:00+00:00"',
        )
    if value.utcoffset() is None:
        written = isinstance(given, str)
        raise TriggerError(
            field,
            given,
            "has no time zone",
            'add an offset, such as "2030-01-01T09:00:00+00:00"'
            if written
            else "add one, such as datetime(2030, 1, 1, tzinfo=UTC)",
        )
    return bounded(value, field, given)


def read_wall(value: object, name: str | None, field: str) -> datetime:
    """Read an instant that may be wall time in the zone ``name``; answer in UTC.

    Raises:
        TriggerError: It has neither offset nor zone, does not exist in its zone,
            is out of range, or is not a datetime, a date or ISO 8601 text.
    """
    given = value
    if isinstance(value, str):
        value = parse_iso(value, field)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise TriggerError(
            field,
            value,
            "is not an instant",
            'give an aware datetime or text such as "2030-01-01T09:00:00+00:00"',
        )
    naive = value.utcoffset() is None
    if naive and name is None:
        raise TriggerError(
            field,
            given,
            "has no time zone",
            'add an offset, or say whose wall time it is: tz="Europe/Paris"',
        )
    local = value.replace(tzinfo=load_zone(str(name))) if naive else value
    instant = bounded(local, field, given)
    if instant.astimezone(local.tzinfo).replace(tzinfo=None, fold=0) != local.replace(
        tzinfo=None, fold=0
    ):
        raise TriggerError(
            field,
            given if isinstance(given, str) else value.isoformat(),
            f"does not exist in {local.tzinfo}: the clock is put forward over it",
            f"choose another time, such as {_after_gap(local)}",
        )
    return instant.astimezone(UTC)


def _after_gap(local: datetime) -> str:
    """Return the wall time that the same time would be, had the clock gone on."""
    shifted = local.replace(fold=0).astimezone(UTC).astimezone(local.tzinfo)
    return shifted.replace(tzinfo=None).isoformat(" ")


def bounded(value: datetime, field: str, given: object = None) -> datetime:
    """Turn an aware datetime into UTC; refuse one that no zone could show.

    Args:
        value: The datetime.
        field: What it is called.
        given: What it was read from, to be shown; None: it was given as it is.
    """
    if not FIRST_INSTANT <= micros(value) <= LAST_INSTANT:
        raise TriggerError(
            field,
            value if given is None else given,
            "is out of range",
            "stay between 0001-01-02 and 9999-12-30",
        )
    return value.astimezone(UTC)


def parse_iso(text: str, field: str) -> datetime:
    """Read ISO 8601 text, with or without an offset.

    Raises:
        TriggerError: It is not ISO 8601.
    """
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise TriggerError(
            field,
            text,
            "is not an ISO 8601 datetime",
            'write it like "2030-01-01T09:00:00+00:00"',
        ) from None


def read_date(value: object, field: str) -> date | None:
    """Read a date or ISO text of one; a datetime is refused.

    Raises:
        TriggerError: It is not a date.
    """
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    raise TriggerError(
        field, value, "is not a date", 'give a date or text such as "2030-01-31"'
    )


def clock_seconds(text: object, field: str = "at") -> int:
    """Read HH:MM or HH:MM:SS as seconds after midnight.

    Raises:
        TriggerError: It is anything else, or not a time of day.
    """
    match = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if match is not None:
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            return hour * 3600 + minute * 60 + second
    raise TriggerError(
        field,
        text,
        "is not a time of day",
        'write HH:MM or HH:MM:SS between "00:00" and "23:59:59"',
    )


def clock_text(seconds: int) -> str:
    """Write seconds after midnight as HH:MM, with :SS where there are any."""
    minutes, second = divmod(seconds, 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{second:02}" if second else text


def zone_name(value: object, field: str = "tz") -> str:
    """Return the name of a time zone given by name or as a ZoneInfo.

    Raises:
        TriggerError: The zone is unknown, has no name, or is the host's.
    """
    if value is UTC:
        return "UTC"
    if isinstance(value, ZoneInfo) and value.key:
        value = value.key
    if isinstance(value, timezone) and value.utcoffset(None) == timedelta(0):
        return "UTC"
    if isinstance(value, tzinfo):
        raise TriggerError(
            field,
            value,
            "is a zone without a name",
            'name the zone, such as "Europe/Paris"',
        )
    if not isinstance(value, str) or value in _HOST_ZONES:
        raise TriggerError(
            field,
            value,
            "is not the name of a time zone",
            'write a name of the tz database, such as "Europe/Paris" or "UTC"',
        )
    for copy in _COPIES:
        if value.startswith(copy):
            raise TriggerError(
                field,
                value,
                "is of a copy of the tz database that not every host has, and of which "
                "one counts leap seconds",
                f"write {value.removeprefix(copy)!r}",
            )
    load_zone(value, field)
    return value


@lru_cache(maxsize=1024)
def load_zone(name: str, field: str = "tz") -> ZoneInfo:
    """Return the zone of that name.

    Raises:
        TriggerError: The tz database does not have it.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise TriggerError(
            field,
            name,
            "is not a time zone that this host knows",
            'write a name of the tz database, such as "Europe/Paris" or "UTC"',
        ) from None


def is_whole(value: object) -> bool:
    """Tell whether a value is an int, and not a bool in disguise."""
    return isinstance(value, int) and not isinstance(value, bool)


def stamp(value: datetime) -> str:
    """Write an instant for people, in UTC, without needless digits."""
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds")
    if value.microsecond:
        text += f".{value.microsecond:06}".rstrip("0")
    return f"{text} UTC"


def check_order(start: datetime | None, end: datetime | None) -> None:
    """Refuse an end before the start.

    Raises:
        TriggerError: ``end`` is before ``start``.
    """
    if start is not None and end is not None and end < start:
        raise TriggerError(
            "end",
            end.isoformat(),
            f"is before the start, {stamp(start)}",
            "choose an end that is not before the start",
        )
