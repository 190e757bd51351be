"""Cron and clock changes, in every zone: S2-A05."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from aiosched import CronTrigger

FIRST, FINAL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
FIELDS = (
    ("*", "*/7", "0", "30", "59", "0-45/15", "1,31"),
    ("*", "*/5", "0", "1", "2", "3", "23", "0-3", "1-23/2"),
    ("*", "*", "*", "1", "15W", "L", "28-31", "LW"),
    ("*", "*", "*", "3,4", "oct-nov", "*/5"),
    ("*", "*", "*", "sun", "1-5", "0#5", "6L"),
)
PARTS = 4


def turns(zone: ZoneInfo) -> list[datetime]:
    """Return the days on which a zone changes its clock, to the day."""
    days = [FIRST + timedelta(days=n) for n in range((FINAL - FIRST).days)]
    offsets = [zone.utcoffset(day.replace(tzinfo=None)) for day in days]
    return [day for day, (a, b) in zip(days, pairwise(offsets), strict=False) if a != b]


@pytest.mark.seed("S2-A05")
@pytest.mark.parametrize("part", range(PARTS))
def test_in_every_zone_fires_rise_and_end(part: int) -> None:
    names = sorted(available_timezones() - {"localtime", "Factory", "posixrules"})
    fired = 0
    for name in names[part::PARTS]:
        random = Random(name)
        found = turns(ZoneInfo(name)) or [FIRST]
        for day in random.choices(found, k=3):
            expression = " ".join(random.choice(words) for words in FIELDS)
            begin = day - timedelta(hours=random.randrange(24, 72))
            end = begin + timedelta(days=random.choice((5, 5, 400)))
            trigger = CronTrigger(expression, tz=name, start=begin, end=end)
            times = trigger.upcoming(2_000, begin - timedelta(seconds=1))
            where = (name, expression, begin)
            assert all(one < two for one, two in pairwise(times)), where
            assert all(begin <= one <= end for one in times), where
            if len(times) < 2_000:
                # It is at its end, and says so however often it is asked.
                last = times[-1] if times else begin
                for after in (last, end - timedelta(seconds=1), end):
                    following = trigger.next_fire_time(after)
                    assert following is None or following in times, where
                assert trigger.next_fire_time(end) is None, where
            fired += len(times)
    assert fired > 10_000


@pytest.mark.seed("S2-A05")
def test_a_fixed_time_neither_fails_nor_doubles_where_the_clock_changes() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    trigger = CronTrigger("30 2 * * *", tz="Europe/Berlin")
    times = trigger.upcoming(38 * 365, FIRST)
    dates = [one.astimezone(berlin).date() for one in times]
    assert all(two - one == timedelta(days=1) for one, two in pairwise(dates))
    clock = {one.astimezone(berlin).strftime("%H:%M") for one in times}
    assert clock == {"02:30", "03:00"}
