"""Slow and obvious answers to compare with.

Nothing here is taken from the triggers: matching is a set lookup, and clock
changes are seen by turning instants into wall time and back.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def field(text: str, low: int, high: int) -> set[int]:
    """Read a list of numbers, ranges and steps."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, final = low, high
        else:
            first, _, final = (
                int(n) if n.isdigit() else n for n in span.partition("-")
            )
            final = final or (high if step else first)
        found |= set(range(first, final + 1, int(step or 1)))
    return found


class Reference:
    """One expression of minute and hour, every day, in one zone."""

    def __init__(self, expression: str, zone: str) -> None:
        """Read the two fields."""
        minute, hour, *_ = expression.split()
        self.minutes = field(minute, 0, 59)
        self.hours = field(hour, 0, 23)
        self.elapsed = minute.startswith("*") or hour.startswith("*")
        self.zone = ZoneInfo(zone)

    def fires(self, low: datetime, high: datetime) -> list[datetime]:
        """Return the slots of ``low <= slot < high``, in UTC."""
        found = self._walk(low, high) if self.elapsed else self._days(low, high)
        return sorted(one for one in found if low <= one < high)

    def _walk(self, low: datetime, high: datetime) -> set[datetime]:
        found: set[datetime] = set()
        now = low.replace(second=0, microsecond=0)
        while now < high:
            # Offsets of old have seconds; then a full wall minute lies in between.
            local = now.astimezone(self.zone)
            now -= timedelta(seconds=local.second)
            local = now.astimezone(self.zone)
            if local.minute in self.minutes and local.hour in self.hours:
                found.add(now)
            now += MINUTE
        return found

    def _days(self, low: datetime, high: datetime) -> set[datetime]:
        found: set[datetime] = set()
        day = low.astimezone(self.zone).date() - DAY
        while day <= high.astimezone(self.zone).date() + DAY:
            for hour in self.hours:
                for minute in self.minutes:
                    fire = self.at(day, hour, minute)
                    if fire is not None:
                        found.add(fire)
            day += DAY
        return found

    def at(self, day: date, hour: int, minute: int) -> datetime | None:
        """Return when a wall time of one day is, first pass, after a gap."""
        local = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001
        early = local.replace(tzinfo=self.zone).astimezone(UTC)
        if early.astimezone(self.zone).replace(tzinfo=None, fold=0) == local:
            return early
        late = local.replace(tzinfo=self.zone, fold=1)
        before = local.replace(tzinfo=self.zone).utcoffset()
        after = late.utcoffset()
        assert before is not None
        assert after is not None
        if after - before > timedelta(hours=3) or before - after > timedelta(hours=3):
            return None
        second = late.astimezone(UTC)
        # The gap ends at the first instant whose wall time is past the missing one.
        while second.astimezone(self.zone).replace(tzinfo=None, fold=0) < local:
            second += timedelta(seconds=1)
        return second


@lru_cache(maxsize=1)
def distinct_zones(first: int = 2024, final: int = 2032) -> tuple[str, ...]:
    """Return one zone for each different behaviour in those years."""
    from zoneinfo import available_timezones

    instants = []
    now = datetime(first, 1, 1, tzinfo=UTC)
    while now.year <= final:
        instants.append(now)
        now += DAY
    seen: dict[tuple[object, ...], str] = {}
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        zone = ZoneInfo(name)
        offsets = tuple(now.astimezone(zone).utcoffset() for now in instants)
        seen.setdefault(offsets, name)
    return tuple(seen.values())


def changes(name: str, first: int = 2024, final: int = 2032) -> list[datetime]:
    """Return the days of those years on which a zone changes its clock."""
    zone = ZoneInfo(name)
    now = datetime(first, 1, 1, tzinfo=UTC)
    found = []
    while now.year <= final:
        if now.astimezone(zone).utcoffset() != (now + DAY).astimezone(zone).utcoffset():
            found.append(now)
        now += DAY
    return found
