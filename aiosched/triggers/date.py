"""One instant."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, Literal

from aiosched.instants import micros, moment
from aiosched.triggers.base import Trigger
from aiosched.triggers.inputs import load_zone, read_wall, stamp, zone_name

__all__ = ["DateTrigger"]


class DateTrigger(Trigger, frozen=True):
    """Fires once, at an instant.

    Attributes:
        at: The instant, in UTC.
        tz: The zone it was given in, for :meth:`describe`; None means UTC.
    """

    kind: Literal["date"] = "date"
    at: datetime
    tz: str | None = None
    exact: ClassVar[bool] = True

    def __init__(
        self,
        at: datetime | date | str,
        *,
        tz: str | None = None,
        **data: Any,
    ) -> None:
        """Fire at ``at``.

        Args:
            at: An aware datetime, or ISO 8601 text.  Without an offset it is wall
                time in ``tz``; a date is midnight there.  A wall time that occurs
                twice (the clock is put back) means the first, unless a datetime
                says ``fold=1``.
            tz: Name of a time zone.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: ``at`` has neither offset nor zone, does not exist in its
                zone (the clock is put forward over it) or is out of range; or the
                zone is unknown.
        """
        name = None if tz is None else zone_name(tz)
        super().__init__(at=read_wall(at, name, "at"), tz=name, **data)

    def describe(self) -> str:
        """Say when it fires, in its zone."""
        if self.tz in (None, "UTC"):
            return f"once at {stamp(self.at)}"
        local = self.at.astimezone(load_zone(str(self.tz))).replace(tzinfo=None)
        return f"once at {local.isoformat(' ')} in {self.tz}"

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the instant if it is later than ``after``."""
        at = micros(self.at) if anchor is None else anchor
        return at if at > after else None

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the instant if it is not later than ``until``."""
        at = micros(self.at) if anchor is None else anchor
        return at if at <= until else None

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Return 1 if the instant lies in ``first … until``, else 0."""
        at = micros(self.at) if anchor is None else anchor
        return 1 if first <= at <= until else 0

    def own_instant(self) -> int:
        """Return the instant."""
        return micros(self.at)

    def rule(self) -> DateTrigger:
        """Return the copy whose instant is 1970, which all one-time jobs share."""
        return self.with_instant(0)

    def with_instant(self, instant: int | None) -> DateTrigger:
        """Return the copy that fires at ``instant``; None changes nothing."""
        if instant is None:
            return self
        return self._altered(at=moment(instant))
