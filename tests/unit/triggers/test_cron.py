"""Cron expressions: what they mean, and which are refused."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros, moment
from aiosched.triggers import CronTrigger
from aiosched.triggers.cronfields import Seconds
from tests.unit.triggers.work import calls

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = NEW_YEAR - timedelta(seconds=1)


def dates(expression: str, n: int, after: datetime = BEFORE, **more: bool) -> list[str]:
    """Show the next dates."""
    times = CronTrigger(expression, **more).upcoming(n, after)  # type: ignore[arg-type]
    return [one.strftime("%m-%d") for one in times]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 L * *", ["01-31", "02-28", "03-31", "04-30"]),
        ("0 0 L-3 * *", ["01-28", "02-25", "03-28", "04-27"]),
        ("0 0 LW * *", ["01-30", "02-27", "03-31", "04-30"]),
        ("0 0 15W * *", ["01-15", "02-16", "03-16", "04-15"]),
        ("0 0 1W * *", ["01-01", "02-02", "03-02", "04-01"]),
        ("0 0 W31 * *", ["01-30", "02-27", "03-31", "04-30"]),
        ("0 0 ? * fri#2", ["01-09", "02-13", "03-13", "04-10"]),
        ("0 0 * * 5#5", ["01-30", "05-29", "07-31", "10-30"]),
        ("0 0 * * L5", ["01-30", "02-27", "03-27", "04-24"]),
        ("0 0 * * 5L", ["01-30", "02-27", "03-27", "04-24"]),
        ("0 0 * * friL", ["01-30", "02-27", "03-27", "04-24"]),
        ("0 0 * * 7", ["01-04", "01-11", "01-18", "01-25"]),
        ("0 0 * * 5-7", ["01-02", "01-03", "01-04", "01-09"]),
        ("0 0 * * sat-sun", ["01-03", "01-04", "01-10", "01-11"]),
        ("0 0 * * sun-sun", ["01-04", "01-11", "01-18", "01-25"]),
        ("0 0 * * 0-7", ["01-01", "01-02", "01-03", "01-04"]),
        ("0 0 * * 1-7/3", ["01-01", "01-04", "01-05", "01-08"]),
        ("0 0 1,L * *", ["01-01", "01-31", "02-01", "02-28"]),
        ("0 0 30 * *", ["01-30", "03-30", "04-30", "05-30"]),
        ("0 0 1 */4 *", ["01-01", "05-01", "09-01", "01-01"]),
        ("0 0 1 jan,Jul *", ["01-01", "07-01", "01-01", "07-01"]),
        ("0 0 * * mon,fri#1", ["01-02", "01-05", "01-12", "01-19"]),
        # Both day fields restricted: either.  Only a bare * leaves one out.
        ("0 0 13 * 5", ["01-02", "01-09", "01-13", "01-16"]),
        ("0 0 */15 * 5", ["01-01", "01-02", "01-09", "01-16"]),
        ("0 0 1-31 * 5", ["01-01", "01-02", "01-03", "01-04"]),
        ("0 0 ? * 5", ["01-02", "01-09", "01-16", "01-23"]),
        ("@monthly", ["01-01", "02-01", "03-01", "04-01"]),
        ("@WEEKLY", ["01-04", "01-11", "01-18", "01-25"]),
    ],
)
def test_days(expression: str, expected: list[str]) -> None:
    assert dates(expression, 4) == expected


def test_both_day_fields_can_be_joined_by_and() -> None:
    assert dates("0 0 13 * 5", 3, day_or=False) == ["02-13", "03-13", "11-13"]


@pytest.mark.parametrize(
    ("expression", "first", "amount"),
    [
        ("* * * * *", "00:00", 1440),
        ("*/15 * * * *", "00:00", 96),
        ("59/15 * * * *", "00:59", 24),
        ("50/4 6 * * *", "06:50", 3),
        ("5-5 5-5 * * *", "05:05", 1),
        ("0,30 9-17/2 * * *", "09:00", 10),
        ("@hourly", "00:00", 24),
        ("@daily", "00:00", 1),
        ("07 08 * * *", "08:07", 1),
        ("*,5 4 * * *", "04:00", 60),
    ],
)
def test_times(expression: str, first: str, amount: int) -> None:
    trigger = CronTrigger(expression)
    low = micros(NEW_YEAR)
    slot = trigger.next(low - 1)
    assert slot is not None
    assert moment(slot).strftime("%H:%M") == first
    assert trigger.count(low, low + 86_400 * SECOND - 1) == amount


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
def test_sunday_is_zero_and_seven_and_a_name(zone: str) -> None:
    triggers = [CronTrigger(f"0 6 * * {day}", tz=zone) for day in ("0", "7", "SUN")]
    one, two, three = (trigger.upcoming(60, NEW_YEAR) for trigger in triggers)
    assert one == two == three
    assert {fire.weekday() for fire in one} == {6}


def test_seconds_stand_where_they_are_said_to() -> None:
    first = CronTrigger("*/20 5 6 * * *", seconds="first")
    last = CronTrigger("5 6 * * * */20", seconds="last")
    shown = [one.strftime("%H:%M:%S") for one in first.upcoming(4, NEW_YEAR)]
    assert shown == ["06:05:00", "06:05:20", "06:05:40", "06:05:00"]
    assert first.upcoming(9, NEW_YEAR) == last.upcoming(9, NEW_YEAR)
    each = CronTrigger("* * * * * *", seconds="first")
    low = micros(NEW_YEAR)
    assert each.count(low, low + 366 * 86_400 * SECOND - 1) == 366 * 86_400


def test_leap_days_skip_2100() -> None:
    trigger = CronTrigger("0 0 29 2 *")
    after = datetime(2096, 2, 29, tzinfo=UTC)
    assert trigger.next_fire_time(after) == datetime(2104, 2, 29, tzinfo=UTC)
    monday = CronTrigger("0 0 29 2 1", day_or=False)
    years = [one.year for one in monday.upcoming(3, NEW_YEAR)]
    assert years == [2044, 2072, 2112]


def test_a_last_day_comes_twelve_times_a_year() -> None:
    for year in (2023, 2024, 2100):
        low = micros(datetime(year, 1, 1, tzinfo=UTC))
        high = micros(datetime(year + 1, 1, 1, tzinfo=UTC)) - 1
        trigger = CronTrigger("0 0 L * *")
        assert trigger.count(low, high) == 12
        found = trigger.upcoming(12, moment(low))
        assert [one.day for one in found] == [
            monthrange(year, month)[1] for month in range(1, 13)
        ]


def test_bounds_are_included() -> None:
    trigger = CronTrigger(
        "0 * * * *", start=NEW_YEAR, end=NEW_YEAR + timedelta(hours=2)
    )
    hours = [one.hour for one in trigger.upcoming(9, BEFORE - timedelta(days=9))]
    assert hours == [0, 1, 2]
    low, high = micros(NEW_YEAR), micros(NEW_YEAR + timedelta(hours=2))
    assert trigger.count(0, 2**60) == 3
    assert (trigger.last(low - 1), trigger.last(low)) == (None, low)
    assert (trigger.last(2**60), trigger.next(high)) == (high, None)
    between = CronTrigger("0 * * * *", start=NEW_YEAR + timedelta(microseconds=1))
    assert between.next(low - 1) == low + 3600 * SECOND
    assert between.last(low) is None


def test_the_ends_of_the_calendar_hold() -> None:
    trigger = CronTrigger("* * * * *", tz="Asia/Manila")
    final = trigger.last(2**62)
    assert final is not None
    assert moment(final).year == 9999
    assert trigger.next(final) is None
    first = trigger.next(-(2**62))
    assert first is not None
    assert moment(first).year == 1
    assert trigger.last(first - 1) is None
    assert CronTrigger("0 0 29 2 *", tz="Asia/Manila").next(final - 10**13) is None


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("0 0 30 2 *", "day of month"),
        ("0 0 31 4 *", "day of month"),
        ("* * 31 2 *", "day of month"),
        ("0 0 31 4,6,9,11 *", "day of month"),
        ("0 0 30,31 2 ?", "day of month"),
        ("0 0 L-30 2,4 *", "day of month"),
        ("60 * * * *", "minute: 60"),
        ("* 24 * * *", "hour: 24"),
        ("* * 0 * *", "day of month: 0"),
        ("* * 32 * *", "day of month: 32"),
        ("* * 0W * *", "day of month: 0"),
        ("* * L-31 * *", "day of month: 31"),
        ("* * * 0 *", "month: 0"),
        ("* * * 13 *", "month: 13"),
        ("* * * * 8", "day of week: 8"),
        ("* * * * 1#6", "day of week: 6"),
        ("* * * * 1#0", "day of week: 0"),
        ("* * * * 8#1", "day of week: 8"),
        ("* * * * 8L", "day of week: 8"),
        ("* * * * #1", "day of week: cannot read"),
        ("* * * * fooL", "day of week: 'foo'"),
        ("* * 32W * *", "day of month: 32"),
        ("* * L-99 * *", "day of month: 99"),
        ("* * LL * *", "day of month: cannot read"),
        ("* * fri#2 * *", "day of month: cannot read"),
        ("* * 0th mon * *", "day of week: 0 in '0th mon'"),
        ("* * 6th mon * *", "day of week: 6 in '6th mon'"),
        ("* * 2nd monday * *", "day of week: cannot read 'monday'"),
        ("* last fri * * *", "hour: cannot read 'last fri'"),
        ("last * * * *", "minute: cannot read 'last'"),
        ("* * * * last", "day of week: cannot read 'last'"),
        ("0 9 last fri *", "has 4 fields"),
        ("5-1 * * * *", "minute: the range"),
        ("* 22-6 * * *", "hour: the range"),
        ("* * * nov-feb *", "month: the range"),
        ("* * * * fri-mon", "day of week: the range"),
        ("* * * * 7-2", "day of week: the range"),
        ("*/0 * * * *", "minute: the step"),
        ("*/60 * * * *", "minute: the step"),
        ("* */24 * * *", "hour: the step"),
        ("* 1-5/99999999 * * *", "hour: the step"),
        ("*/999999999999 * * * *", "minute: cannot read"),
        ("1-9999999999 * * * *", "minute: cannot read"),
        ("00000001 * * * *", "minute: cannot read"),
        ("* * */31 * *", "day of month: the step"),
        ("* * * */12 *", "month: the step"),
        ("* * * * */7", "day of week: the step"),
        ("* * * * 1-5/0", "day of week: the step"),
        ("٣ * * * *", "not ASCII"),
        ("1\u00a0* * * *", "not ASCII"),
        ("\uff11 * * * *", "not ASCII"),
        ("0 0 * * ſun", "not ASCII"),
        ("R * * * *", "minute: 'r' is random"),
        ("R(0-10) * * * *", "minute: 'r(0-10)' is random"),
        ("* R/2 * * *", "hour: 'r/2' is random"),
        ("? * * * *", "minute: ?"),
        ("* * 1? * *", "day of month: ?"),
        ("* * * * mon,?", "day of week: ?"),
        (",1 * * * *", "minute: has an empty part"),
        ("-1 * * * *", "minute: cannot read"),
        ("1.5 * * * *", "minute: cannot read"),
        ("1- * * * *", "minute: cannot read"),
        ("*-5 * * * *", "minute: cannot read"),
        ("1/2/3 * * * *", "minute: cannot read"),
        ("L * * * *", "minute: cannot read"),
        ("* * * * L", "day of week: cannot read"),
        ("* * * foo *", "month: 'foo'"),
        ("mon * * * *", "minute: 'mon'"),
        ("* * * mon *", "month: 'mon'"),
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("* * * * * * *", "has 7 fields"),
        ("@reboot", "nickname"),
        ("@every 5m", "nickname"),
        ("1," * 400 + "1 * * * *", "longer than"),
    ],
)
def test_refusals_name_the_field_at_once(expression: str, problem: str) -> None:
    def build() -> None:
        CronTrigger(expression)

    with pytest.raises(TriggerError) as caught:
        build()
    assert caught.value.field == "expression"
    assert caught.value.value == expression
    assert problem in caught.value.problem
    assert caught.value.remedy

    def again() -> None:
        with pytest.raises(TriggerError):
            build()

    assert calls(again) < 20_000


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "localtime"}, "tz"),
        ({"tz": None}, "tz"),
        ({"start": "2026-01-01T00:00"}, "start"),
        ({"start": "2026-01-02T00:00Z", "end": "2026-01-01T00:00Z"}, "end"),
        ({"seconds": "first"}, "expression"),
        ({"seconds": "third"}, "seconds"),
        ({"gap": "both"}, "gap"),
        ({"fold": "next"}, "fold"),
    ],
)
def test_bad_options_are_refused(options: dict[str, str], field: str) -> None:
    with pytest.raises(TriggerError) as caught:
        CronTrigger("* * * * *", **options)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_ten_years_of_minutes_are_counted_by_days() -> None:
    trigger = CronTrigger("* * * * *", tz="Europe/Paris")
    low = micros(NEW_YEAR)
    high = micros(datetime(2036, 1, 1, tzinfo=UTC)) - 1
    found: list[int] = []
    assert calls(lambda: found.append(trigger.count(low, high))) < 20_000
    assert found == [3652 * 1440]


@pytest.mark.parametrize(
    ("seconds", "expression", "remedy"),
    [
        (None, "* * * *", "write minute, hour, day of month, month, day of week"),
        ("first", "* * * * *", "write second, minute, hour, day of month, month, day"),
        ("last", "* * * * *", "month, day of week, second"),
        (None, "0 0 12 * * * 2030", "for a year, give start= and end="),
        (None, "0 12 1 1 * 2030", "for a year, give start= and end="),
    ],
)
def test_a_wrong_number_of_fields_is_told_which_there_are(
    seconds: Seconds | None, expression: str, remedy: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        CronTrigger(expression, seconds=seconds)
    assert remedy in caught.value.remedy
