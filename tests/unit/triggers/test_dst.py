"""Clock changes: one rule for all wall time, with two switches to override it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from aiosched.instants import micros, moment
from aiosched.triggers import CalendarIntervalTrigger, CronTrigger, every
from tests.unit.triggers.reference import Reference, changes, distinct_zones

BERLIN = "Europe/Berlin"
DAY = timedelta(days=1)
EXPRESSIONS = (
    "0 0 * * *",
    "0 1 * * *",
    "30 2 * * *",
    "0 * * * *",
    "*/15 * * * *",
)


def fires(trigger: CronTrigger | CalendarIntervalTrigger, day: str) -> list[str]:
    """Show the local times, with offset, of the slots of one local day."""
    zone = ZoneInfo(trigger.tz)
    begin = datetime.fromisoformat(day).replace(tzinfo=zone)
    end = begin + DAY
    slots: list[str] = []
    slot = trigger.next(micros(begin) - 1)
    while slot is not None and slot < micros(end):
        slots.append(moment(slot).astimezone(zone).strftime("%H:%M%z"))
        slot = trigger.next(slot)
    return slots


@pytest.mark.parametrize(
    ("expression", "zone", "day", "expected"),
    [
        # The clock is put back: a fixed time uses the first pass only.
        ("30 2 * * *", BERLIN, "2025-10-26", ["02:30+0200"]),
        ("0,30 2 * * *", BERLIN, "2025-10-26", ["02:00+0200", "02:30+0200"]),
        ("30 1 * * *", "America/Los_Angeles", "2026-11-01", ["01:30-0700"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["01:45+1100"]),
        # The clock is put forward: made up once, at the end of the gap.
        ("30 2 * * *", BERLIN, "2025-03-30", ["03:00+0200"]),
        ("0,30 2 * * *", BERLIN, "2025-03-30", ["03:00+0200"]),
        ("30 2,3 * * *", BERLIN, "2025-03-30", ["03:00+0200", "03:30+0200"]),
        ("0 2,3 * * *", BERLIN, "2025-03-30", ["03:00+0200"]),
        ("10 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:30+1100"]),
        # Midnight itself may be missing.
        ("0 0 * * *", "Africa/Cairo", "2026-04-24", ["01:00+0300"]),
        ("0 0 * * *", "America/Havana", "2026-03-08", ["01:00-0400"]),
        ("0 0 * * *", "America/Havana", "2026-11-01", ["00:00-0400"]),
        # A gap of exactly three hours is made up, a date that is left out is not.
        ("30 1 * * *", "Antarctica/Casey", "2009-10-18", ["01:30+0800"]),
        ("30 3 * * *", "Antarctica/Casey", "2009-10-18", ["05:00+1100"]),
        ("0 12 * * *", "Pacific/Apia", "2011-12-29", ["12:00-1000"]),
    ],
)
def test_a_fixed_time_comes_once_a_day(
    expression: str, zone: str, day: str, expected: list[str]
) -> None:
    assert fires(CronTrigger(expression, tz=zone), day) == expected


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (BERLIN, "2025-10-26", 25),
        (BERLIN, "2025-03-30", 23),
        ("America/Los_Angeles", "2026-11-01", 25),
        (BERLIN, "2025-06-01", 24),
    ],
)
def test_every_hour_follows_elapsed_time(zone: str, day: str, hours: int) -> None:
    trigger = CronTrigger("0 * * * *", tz=zone)
    shown = fires(trigger, day)
    assert len(shown) == hours
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    times = trigger.upcoming(hours, begin - timedelta(seconds=1))
    assert {b - a for a, b in pairwise(times)} == {timedelta(hours=1)}


def test_a_fold_of_half_an_hour_repeats_its_quarters() -> None:
    trigger = CronTrigger("*/15 1 * * *", tz="Australia/Lord_Howe")
    assert fires(trigger, "2026-04-05") == [
        "01:00+1100",
        "01:15+1100",
        "01:30+1100",
        "01:45+1100",
        "01:30+1030",
        "01:45+1030",
    ]


def test_a_wildcard_makes_nothing_up_in_a_gap() -> None:
    assert fires(CronTrigger("*/20 2 * * *", tz=BERLIN), "2025-03-30") == []
    assert fires(CronTrigger("5 */2 * * *", tz=BERLIN), "2025-03-30") == [
        "00:05+0100",
        *(f"{hour:02}:05+0200" for hour in range(4, 24, 2)),
    ]


@pytest.mark.parametrize(
    ("expression", "options", "day", "expected"),
    [
        ("30 2 * * *", {"gap": "skip"}, "2025-03-30", []),
        ("*/20 2 * * *", {"gap": "next"}, "2025-03-30", ["03:00+0200"]),
        ("30 2 * * *", {"fold": "last"}, "2025-10-26", ["02:30+0100"]),
        (
            "30 2 * * *",
            {"fold": "both"},
            "2025-10-26",
            ["02:30+0200", "02:30+0100"],
        ),
        ("*/30 2 * * *", {"fold": "first"}, "2025-10-26", ["02:00+0200", "02:30+0200"]),
        ("*/30 2 * * *", {"fold": "last"}, "2025-10-26", ["02:00+0100", "02:30+0100"]),
    ],
)
def test_the_rule_can_be_overridden(
    expression: str, options: dict[str, str], day: str, expected: list[str]
) -> None:
    trigger = CronTrigger(expression, tz=BERLIN, **options)  # type: ignore[arg-type]
    assert fires(trigger, day) == expected
    # Looking back and counting see the same.
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(BERLIN))
    low, high = micros(begin), micros(begin + DAY) - 1
    assert trigger.count(low, high) == len(expected)
    last = trigger.last(high)
    assert last is not None
    assert (last >= low) is bool(expected)


def test_a_zone_that_leaves_out_a_date_has_no_fire_on_it() -> None:
    trigger = CronTrigger("0 9 * * *", tz="Pacific/Apia")
    times = trigger.upcoming(3, datetime(2011, 12, 29, tzinfo=UTC))
    dates = [one.astimezone(ZoneInfo("Pacific/Apia")).date() for one in times]
    assert dates == [date(2011, 12, 29), date(2011, 12, 31), date(2012, 1, 1)]


@pytest.mark.parametrize(
    ("expression", "zone", "since", "expected"),
    [
        # Samoa had no 30 December 2011, a Friday: no day 30, no last working day.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29",
            ["2011-12-29T09:00:00-10:00", "2011-12-31T09:00:00+14:00"],
        ),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-01", ["2012-12-30T09:00:00+14:00"]),
        ("0 9 LW 12 *", "Pacific/Apia", "2011-12-01", ["2012-12-31T09:00:00+14:00"]),
        (
            "0 */12 * * *",
            "Pacific/Apia",
            "2011-12-29",
            [
                "2011-12-29T00:00:00-10:00",
                "2011-12-29T12:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
            ],
        ),
        # Kwajalein had no 21 August 1993, Kanton no last day of 1994.
        (
            "0 12 * * *",
            "Pacific/Kwajalein",
            "1993-08-20",
            ["1993-08-20T12:00:00-12:00", "1993-08-22T12:00:00+12:00"],
        ),
        (
            "0 0 L * *",
            "Pacific/Kanton",
            "1994-11-02",
            ["1994-11-30T00:00:00-11:00", "1995-01-31T00:00:00+13:00"],
        ),
        # Alaska had a day twice when it was sold; Manila left one out.
        (
            "0 12 * * *",
            "America/Juneau",
            "1867-10-18",
            ["1867-10-18T12:00:00+15:02:19", "1867-10-19T12:00:00+15:02:19"],
        ),
        (
            "0 12 * * *",
            "Asia/Manila",
            "1844-12-30",
            ["1844-12-30T12:00:00-15:56:08", "1845-01-01T12:00:00+08:03:52"],
        ),
        # Greenland's gap ends at midnight: what is made up has the next date.
        (
            "30 23 * * *",
            "America/Nuuk",
            "2024-03-30",
            ["2024-03-31T00:00:00-01:00", "2024-03-31T23:30:00-01:00"],
        ),
        # Two hours at once.
        (
            "0 1,2 * * *",
            "Antarctica/Troll",
            "2026-03-29",
            ["2026-03-29T03:00:00+02:00", "2026-03-30T01:00:00+02:00"],
        ),
        (
            "30 2 * * *",
            "Antarctica/Troll",
            "2026-10-25",
            ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+00:00"],
        ),
        # Ramadan: the clock is put back for five weeks.
        (
            "30 2 * * *",
            "Africa/Casablanca",
            "2026-02-14",
            [
                "2026-02-14T02:30:00+01:00",
                "2026-02-15T02:30:00+01:00",
                "2026-02-16T02:30:00+00:00",
            ],
        ),
        (
            "30 2 * * *",
            "Africa/Casablanca",
            "2026-03-22",
            ["2026-03-22T03:00:00+01:00", "2026-03-23T02:30:00+01:00"],
        ),
        ("30 2 * * *", "Asia/Gaza", "2026-03-28", ["2026-03-28T03:00:00+03:00"]),
        # Half an hour, and a change that is no change of summer time.
        (
            "15 0 * * *",
            "Asia/Pyongyang",
            "2018-05-04",
            ["2018-05-04T00:15:00+08:30", "2018-05-05T00:15:00+09:00"],
        ),
        (
            "45 23 * * *",
            "Asia/Pyongyang",
            "2018-05-04",
            ["2018-05-05T00:00:00+09:00", "2018-05-05T23:45:00+09:00"],
        ),
        (
            "45 2 * * *",
            "America/Caracas",
            "2007-12-09",
            ["2007-12-09T02:45:00-04:00", "2007-12-10T02:45:00-04:30"],
        ),
        # At one minute past midnight, back into the day before.
        (
            "0 0 * * *",
            "America/St_Johns",
            "2006-10-29",
            ["2006-10-29T00:00:00-02:30", "2006-10-30T00:00:00-03:30"],
        ),
        (
            "30 23 * * *",
            "America/St_Johns",
            "2006-10-28",
            ["2006-10-28T23:30:00-02:30", "2006-10-29T23:30:00-03:30"],
        ),
        # Winter time, not summer time, is the exception of Ireland and Namibia.
        ("30 1 * * *", "Europe/Dublin", "2026-03-29", ["2026-03-29T02:00:00+01:00"]),
        ("30 2 * * *", "Africa/Windhoek", "2017-09-03", ["2017-09-03T03:00:00+02:00"]),
        # Liberia gave up its 44 and a half minutes.
        ("20 0 * * *", "Africa/Monrovia", "1972-01-07", ["1972-01-07T00:44:30+00:00"]),
    ],
)
def test_the_odd_ones_of_history(
    expression: str, zone: str, since: str, expected: list[str]
) -> None:
    begin = datetime.fromisoformat(since).replace(tzinfo=ZoneInfo(zone))
    trigger = CronTrigger(expression, tz=zone)
    times = trigger.upcoming(len(expected), begin - timedelta(microseconds=1))
    assert [one.astimezone(ZoneInfo(zone)).isoformat() for one in times] == expected


def test_a_calendar_interval_obeys_the_same_rule() -> None:
    trigger = CalendarIntervalTrigger(
        days=1, at="02:30", tz=BERLIN, start=date(2025, 1, 1)
    )
    assert fires(trigger, "2025-03-30") == ["03:00+0200"]
    assert fires(trigger, "2025-10-26") == ["02:30+0200"]
    samoa = CalendarIntervalTrigger(
        days=1, at="09:00", tz="Pacific/Apia", start=date(2011, 12, 1)
    )
    assert samoa.count(0, micros(datetime(2012, 1, 1, 12, tzinfo=UTC))) == 31


def test_a_wall_time_stays_and_an_interval_does_not() -> None:
    begin = datetime(2025, 3, 26, 15, tzinfo=UTC)
    weekly = CalendarIntervalTrigger(
        weeks=1, at="16:00", tz=BERLIN, start=date(2025, 3, 26)
    )
    elapsed = every(604_800).seconds.anchored(begin)
    zone = ZoneInfo(BERLIN)
    (second,) = weekly.upcoming(1, begin)
    assert second.astimezone(zone).isoformat() == "2025-04-02T16:00:00+02:00"
    (second,) = elapsed.upcoming(1, begin)
    assert second.astimezone(zone).isoformat() == "2025-04-02T17:00:00+02:00"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_around_every_change_of_every_zone_it_agrees_with_the_reference(
    expression: str,
) -> None:
    checked = 0
    for zone in distinct_zones():
        trigger = CronTrigger(expression, tz=zone)
        reference = Reference(expression, zone)
        # Each change of a zone is like the one of another year: two years do.
        for day in changes(zone, 2025, 2026):
            low, high = day - DAY, day + 2 * DAY
            expected = [micros(one) for one in reference.fires(low, high)]
            found: list[int] = []
            slot = trigger.next(micros(low) - 1)
            while slot is not None and slot < micros(high):
                found.append(slot)
                slot = trigger.next(slot)
            assert found == expected, (zone, day)
            assert trigger.count(micros(low), micros(high) - 1) == len(expected)
            for earlier, later in pairwise(found):
                assert trigger.last(later - 1) == earlier
            checked += 1
    assert checked > 100


@pytest.mark.parametrize("expression", ["0 0 * * *", "30 2 * * *"])
def test_in_every_zone_a_daily_job_runs_on_each_day_that_exists(
    expression: str,
) -> None:
    begin, end = datetime(2024, 1, 2, tzinfo=UTC), datetime(2032, 12, 30, tzinfo=UTC)
    for name in distinct_zones():
        trigger = CronTrigger(expression, tz=name)
        zone = ZoneInfo(name)
        low, high = micros(begin), micros(end)
        slot, previous = trigger.next(low), None
        fired = 0
        while slot is not None and slot <= high:
            day = moment(slot).astimezone(zone).date()
            assert previous is None or day == previous + DAY, (name, day)
            previous = day
            fired += 1
            slot = trigger.next(slot)
        assert trigger.count(low + 1, high) == fired
        assert 3281 <= fired <= 3287
