"""Days: of a zone, and sets of them, against day by day and minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aiosched.instants import DAY, SECOND, micros, moment
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT
from aiosched.triggers.days import day_set, read_exclusions
from aiosched.triggers.localdays import date_of, day_number, local_days

MINUTE = 60 * SECOND
# Clocks that are put back over midnight, dates that are left out or come twice.
ODD = {
    "America/St_Johns": datetime(2010, 11, 6, tzinfo=UTC),
    "America/Sao_Paulo": datetime(2018, 2, 17, tzinfo=UTC),
    "Pacific/Apia": datetime(2011, 12, 29, tzinfo=UTC),
    "America/Juneau": datetime(1867, 10, 17, tzinfo=UTC),
    "Asia/Manila": datetime(1844, 12, 29, tzinfo=UTC),
    "Asia/Beirut": datetime(2024, 3, 30, tzinfo=UTC),
    "Africa/Cairo": datetime(2024, 10, 30, tzinfo=UTC),
    "America/Havana": datetime(2024, 11, 2, tzinfo=UTC),
    "Antarctica/Troll": datetime(2024, 10, 26, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2024, 4, 6, tzinfo=UTC),
    "America/Nuuk": datetime(2024, 10, 26, tzinfo=UTC),
    "Africa/Monrovia": datetime(1972, 1, 6, tzinfo=UTC),
}


def shown(instant: int, zone: ZoneInfo) -> datetime:
    return moment(instant).astimezone(zone).replace(tzinfo=None)


@pytest.mark.parametrize("name", ODD)
def test_days_and_wall_times_agree_with_a_clock_that_is_watched(name: str) -> None:
    days, zone = local_days(name), ZoneInfo(name)
    begin = micros(ODD[name]) - DAY
    furthest = shown(begin - DAY, zone)
    opened: dict[date, int] = {}
    minutes = range(begin - DAY, begin + 4 * DAY, MINUTE)
    for instant in minutes:
        now = shown(instant, zone)
        before, furthest = furthest, max(furthest, now)
        if furthest.date() > before.date():
            opened[furthest.date()] = instant
        if instant < begin:
            continue
        assert date_of(days.day(instant)) == furthest.date()
        assert days.wall(instant) == (now - datetime(1970, 1, 1)) // timedelta(  # noqa: DTZ001
            microseconds=1
        )
        second = days.repeats(instant)
        assert (second is not None) == bool(moment(instant).astimezone(zone).fold)
        if second is not None:
            assert second <= instant
            back = shown(second - 1, zone) - shown(second, zone)
            assert instant - second <= back / timedelta(microseconds=1)
    for day, instant in opened.items():
        # To the minute: some clocks were changed within one.
        assert 0 <= instant - days.opens(day_number(day)) < MINUTE
    for one, two in pairwise(sorted(opened)):
        number = day_number(one)
        assert days.has(number)
        assert all(not days.has(gap) for gap in range(number + 1, day_number(two)))


@pytest.mark.parametrize("name", ODD)
def test_a_wall_time_is_reached_when_the_clock_first_shows_it(name: str) -> None:
    days, zone = local_days(name), ZoneInfo(name)
    begin = micros(ODD[name]) - DAY
    first: dict[datetime, int] = {}
    furthest = shown(begin - DAY, zone)
    for instant in range(begin - DAY, begin + 4 * DAY, MINUTE):
        now = shown(instant, zone)
        while furthest + timedelta(minutes=1) <= now:
            furthest += timedelta(minutes=1)
            first[furthest] = instant
    for local, instant in list(first.items())[1440:]:
        wall = (local - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
        assert 0 <= instant - days.reaches(wall) < MINUTE


@pytest.mark.parametrize("name", [*ODD, "UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_ends_of_time_are_days_too(name: str) -> None:
    days = local_days(name)
    for instant in (FIRST_INSTANT, FIRST_INSTANT + DAY, LAST_INSTANT - 2 * DAY):
        day = days.day(instant)
        assert days.opens(day) <= instant < days.opens(day + 1)
    assert days.opens(days.day(LAST_INSTANT) + 1) > LAST_INSTANT


weekdays = st.lists(
    st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), max_size=6
)
yearly = st.lists(
    st.dates(date(2024, 1, 1), date(2024, 12, 31)).map("{:%m-%d}".format), max_size=5
)
anywhere = st.dates(date(1, 1, 2), date(9999, 12, 30))
nearby = st.dates(date(2023, 12, 20), date(2024, 3, 10))
ranges = st.lists(
    st.tuples(nearby | anywhere, st.integers(0, 40)).map(
        lambda pair: (
            (pair[0], min(pair[0] + timedelta(days=pair[1]), date.max))
            if pair[0].year < 9999
            else (pair[0], pair[0])
        )
    ),
    max_size=5,
)


@given(weekdays, yearly, ranges, nearby | anywhere)
def test_a_set_of_days_agrees_with_its_list(
    week: list[str], year: list[str], spans: list[tuple[date, date]], on: date
) -> None:
    assume(week or year or spans)
    texts, triggers = read_exclusions([*week, *year, *spans])
    assert not triggers
    found = day_set(texts)

    def listed(number: int) -> bool:
        if not day_number(date.min) <= number <= day_number(date.max):
            return False
        day = date_of(number)
        return (
            f"{day:%a}".lower() in week
            or f"{day:%m-%d}" in year
            or any(first <= day <= last for first, last in spans)
        )

    day = day_number(on)
    for number in range(day - 60, day + 60):
        assert (number in found) == listed(number)
    following = found.next_from(day)
    if following is None:
        assert not any(listed(number) for number in range(day, day + 400))
    else:
        assert listed(following)
        assert not any(listed(n) for n in range(day, min(following, day + 400)))
    if listed(day):
        for step in (1, -1):
            end = found.run(day, step)
            assert all(listed(number) for number in range(day, end, step))
            assert not listed(end + step)
    # The normal form says the same, and is normal.
    assert read_exclusions(list(texts))[0] == texts
    assert read_exclusions([*spans, *reversed(year), *week])[0] == texts


def test_a_long_run_is_leapt_over() -> None:
    found = day_set(("0001-01-02/9999-12-01", "mon"))
    assert found.run(0, 1) == day_number(date(9999, 12, 1))
    assert date_of(found.run(0, -1)) == date(1, 1, 1)
    mostly = day_set(
        tuple(f"{date(2023, 1, 1) + timedelta(days=n):%m-%d}" for n in range(365))
    )
    assert date_of(mostly.run(day_number(date(2096, 3, 1)), 1)) == date(2104, 2, 28)
