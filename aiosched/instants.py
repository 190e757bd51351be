"""Instants and durations as whole microseconds.

Inside aiosched an instant is an ``int`` of microseconds since 1970-01-01 UTC
and a duration is an ``int`` of microseconds: exact, cheap to compare, and the
same on every peer.  Datetimes exist at the public edge only; they cross it
through the functions of this module.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

__all__ = ["DAY", "LATE", "SECOND", "micros", "moment", "span"]

SECOND = 1_000_000
DAY = 86_400 * SECOND
LATE = SECOND
"""A run that starts so long after it was due is called late."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(value: datetime) -> int:
    """Turn an aware datetime into microseconds since 1970.

    Raises:
        ValueError: The datetime is naive.
    """
    if value.tzinfo is None:
        message = "a naive datetime has no instant"
        raise ValueError(message)
    return (value - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=1_024)
def moment(instant: int) -> datetime:
    """Turn microseconds since 1970 into an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=instant)


def span(value: timedelta | float) -> int:
    """Turn a timedelta or a number of seconds into microseconds."""
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    return round(value * SECOND)
