"""Reading pickles of others without running what is in them.

A pickle names what it calls.  Here it may name triggers of APScheduler, for which
data stand in, and dates, times, zones and plain collections; APScheduler itself need
not be installed, and nothing of it is imported.  Any other name is refused with an
error that says which.  Each reading has a table of its own, so that no pickle can
change what another is given.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import io
import pickle
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

__all__ = ["Shape", "UnsafeError", "read_pickle"]

_MOST_BYTES = 4_000_000
_MOST_PARTS = 100_000
_TRIGGERS = {
    "apscheduler.triggers.cron": ("CronTrigger",),
    "apscheduler.triggers.cron.fields": (
        "BaseField",
        "WeekField",
        "DayOfMonthField",
        "DayOfWeekField",
        "MonthField",
    ),
    "apscheduler.triggers.cron.expressions": (
        "AllExpression",
        "RangeExpression",
        "MonthRangeExpression",
        "WeekdayRangeExpression",
        "WeekdayPositionExpression",
        "LastDayOfMonthExpression",
    ),
    "apscheduler.triggers.interval": ("IntervalTrigger",),
    "apscheduler.triggers.date": ("DateTrigger",),
    "apscheduler.triggers.calendarinterval": ("CalendarIntervalTrigger",),
    "apscheduler.triggers.combining": ("AndTrigger", "OrTrigger"),
}
_OLD = {"__builtin__": "builtins"}  # as protocols before 3 say it
# Types of the interpreter, which no pickle can change.
_PLAIN: dict[tuple[str, str], Any] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("datetime", "date"): datetime.date,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("decimal", "Decimal"): decimal.Decimal,
}


class UnsafeError(Exception):
    """A pickle that cannot be read here; the text says why."""


class Shape:
    """What stands in for an object of a class that is not loaded.

    Attributes:
        state: What its pickle holds of it.
    """

    def __init__(self) -> None:
        """Be empty."""
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        """Keep what the pickle holds."""
        parts = state if isinstance(state, tuple) else (state,)
        self.state = {}
        for part in parts:
            if isinstance(part, dict):
                self.state.update(part)

    @property
    def kind(self) -> str:
        """Name of the class that it stands in for."""
        return type(self).__name__


class _Zones:
    """What stands in for the class ``ZoneInfo``, of which pickles ask one method."""


def read_pickle(data: bytes, *, trust: bool = False) -> Any:
    """Read a pickle.

    Args:
        data: The pickle.
        trust: Whether it may name anything, and so run any code: only for what
            nobody else could have written.  Triggers stay data all the same.

    Raises:
        UnsafeError: It names something that is not on the list, or is damaged.
    """
    if len(data) > _MOST_BYTES:
        raise UnsafeError(f"its pickle has {len(data):,} bytes")
    try:
        found = _Reader(data, trust).load()
        _count(found)
    except UnsafeError:
        raise
    except Exception as error:  # whatever a damaged pickle can lead to
        message = f"its pickle cannot be read: {type(error).__name__}: {error}"
        raise UnsafeError(message[:300]) from None
    return found


class _Reader(pickle.Unpickler):
    """An unpickler that knows a closed list of names."""

    def __init__(self, data: bytes, trust: bool) -> None:  # noqa: FBT001
        super().__init__(io.BytesIO(data))
        self._trust = trust
        self._known = _table()

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for.

        Raises:
            UnsafeError: It is not on the list.
        """
        if self._trust and module not in _TRIGGERS:
            return super().find_class(module, name)
        found = self._known.get((_OLD.get(module, module), name))
        if found is not None:
            return found
        raise UnsafeError(
            f"its pickle names {module}.{name}, which is not loaded unless you trust "
            "the pickle (trust_pickle=True, --trust-pickle)"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Refuse what lies elsewhere.

        Raises:
            UnsafeError: Always.
        """
        raise UnsafeError(f"its pickle refers to something outside it: {pid!r:.80}")


def _table() -> dict[tuple[str, str], Any]:
    """Return the closed list; functions and stand-ins are made anew."""
    known = dict(_PLAIN)
    for module, names in _TRIGGERS.items():
        for name in names:
            known[module, name] = type(name, (Shape,), {})
    zones = type("_Zones", (_Zones,), {})

    def zone(key: str, *_: object) -> ZoneInfo:
        return ZoneInfo(key)

    def attribute(owner: object, name: object) -> Callable[..., ZoneInfo]:
        if owner is zones and name == "_unpickle":
            return zone
        raise UnsafeError(f"its pickle asks for the attribute {name!r:.80}")

    def utc() -> ZoneInfo:
        return ZoneInfo("UTC")

    def offset(minutes: int, *_: object) -> datetime.timezone:
        return datetime.timezone(datetime.timedelta(minutes=minutes))

    def encoded(text: str, *_: object) -> bytes:
        return text.encode("latin-1")  # how old protocols write bytes

    known["_codecs", "encode"] = encoded
    known["zoneinfo", "ZoneInfo"] = zones
    known["zoneinfo", "ZoneInfo._unpickle"] = zone
    known["backports.zoneinfo", "ZoneInfo"] = zones
    known["builtins", "getattr"] = attribute
    known["pytz", "_UTC"] = utc
    known["pytz", "_p"] = zone
    known["pytz", "_FixedOffset"] = offset
    return known


def _count(value: object) -> None:
    """Refuse a value that unfolds into more than anybody has written.

    Raises:
        UnsafeError: It does.
    """
    left = _MOST_PARTS
    todo = [value]
    while todo:
        one = todo.pop()
        left -= 1
        if left < 0:
            raise UnsafeError(f"its pickle has more than {_MOST_PARTS:,} parts")
        if isinstance(one, Shape):
            one = one.state
        if isinstance(one, dict):
            todo.extend(one.keys())
            todo.extend(one.values())
        elif isinstance(one, list | tuple | set | frozenset):
            todo.extend(one)
