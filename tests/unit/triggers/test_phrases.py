"""Triggers said in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros
from aiosched.triggers import (
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    RandomIntervalTrigger,
    Trigger,
    every,
    trigger_from_data,
)
from aiosched.triggers.ending import UntilTrigger

# A Friday.
NOW = datetime(2026, 5, 1, 10, 5, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("phrase", "trigger"),
    [
        (every(10).seconds, IntervalTrigger(seconds=10)),
        (every().second, IntervalTrigger(seconds=1)),
        (every(10).minutes, IntervalTrigger(minutes=10)),
        (every().minute, IntervalTrigger(minutes=1)),
        (every(1).hours, IntervalTrigger(hours=1)),
        (every().hour, IntervalTrigger(hours=1)),
        (every(3).days, IntervalTrigger(days=3)),
        (every().day, IntervalTrigger(days=1)),
        (every(2).weeks, IntervalTrigger(weeks=2)),
        (every().week, IntervalTrigger(weeks=1)),
        (
            every().day.at("10:30", tz="Europe/Paris"),
            CalendarIntervalTrigger(days=1, at="10:30", tz="Europe/Paris"),
        ),
        (
            every(2).weeks.at("10:30:15"),
            CalendarIntervalTrigger(weeks=2, at="10:30:15"),
        ),
        (every(2).months.at("08:00"), CalendarIntervalTrigger(months=2, at="08:00")),
        (every().year.at("08:00"), CalendarIntervalTrigger(years=1, at="08:00")),
        (every().hour.at(":30"), CronTrigger("30 * * * *")),
        (every().hour.at("15:30"), CronTrigger("30 15 * * * *", seconds="first")),
        (every().minute.at(":10"), CronTrigger("10 * * * * *", seconds="first")),
        (every().minute.at(":00"), CronTrigger("0 * * * * *", seconds="first")),
        (every().wednesday.at("13:15"), CronTrigger("15 13 * * wed")),
        (every().sunday, CronTrigger("0 0 * * sun")),
        (every(5).seconds.to(10), every(5).to(10).seconds),
    ],
)
def test_a_phrase_is_a_trigger(phrase: Trigger, trigger: Trigger) -> None:
    assert phrase == trigger
    assert hash(phrase) == hash(trigger)
    assert phrase.to_data() == trigger.to_data()
    assert phrase.anchored(NOW) == trigger.anchored(NOW)


@pytest.mark.parametrize(
    ("name", "weekday"),
    [
        ("monday", 0),
        ("tuesday", 1),
        ("wednesday", 2),
        ("thursday", 3),
        ("friday", 4),
        ("saturday", 5),
        ("sunday", 6),
    ],
)
def test_weekdays(name: str, weekday: int) -> None:
    trigger = getattr(every(), name).at("13:15", tz="Europe/Paris")
    times = [
        one.astimezone(ZoneInfo("Europe/Paris")) for one in trigger.upcoming(2, NOW)
    ]
    assert [one.weekday() for one in times] == [weekday, weekday]
    assert {one.strftime("%H:%M") for one in times} == {"13:15"}
    assert timedelta(0) < times[0] - NOW <= timedelta(days=7)


@pytest.mark.parametrize(
    ("phrase", "first"),
    [
        (every(5).hours.at("20:30"), "10:20:30"),
        (every(5).hours.at("04:30"), "15:04:30"),
        (every(5).minutes.at(":30"), "10:05:30"),
        (every(5).minutes.at(":05"), "10:10:05"),
    ],
)
def test_longer_intervals_lie_on_a_mark(phrase: Trigger, first: str) -> None:
    step = timedelta(hours=5) if "hours" in phrase.describe() else timedelta(minutes=5)
    one, two = phrase.upcoming(2, NOW)
    assert one.strftime("%H:%M:%S") == first
    assert two - one == step
    assert phrase.anchored(NOW).own_instant() == micros(one)


def test_an_interval_varies_within_its_bounds() -> None:
    trigger = every(5).to(10).seconds.anchored(NOW)
    times = trigger.upcoming(1000, NOW)
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    assert min(gaps) == 5
    assert max(gaps) == 10
    assert 7.4 < sum(gaps) / len(gaps) < 7.6
    assert 5 <= (times[0] - NOW).total_seconds() <= 10
    low, high = micros(times[0]), micros(times[-1])
    assert trigger.count(low, high) == 1000
    for one, two in pairwise(times):
        assert trigger.last(micros(two) - 1) == micros(one)
        assert trigger.last(micros(two)) == micros(two)
    other = every(5).to(10).seconds.anchored(NOW + timedelta(seconds=1))
    later = other.upcoming(1000, NOW)
    assert [b - a for a, b in pairwise(later)] != [b - a for a, b in pairwise(times)]
    assert isinstance(trigger, RandomIntervalTrigger)


def test_until_comes_last() -> None:
    end = NOW + timedelta(hours=8)
    assert len(every().hour.until(end).upcoming(99, NOW)) == 8
    assert every().hour.until(end.isoformat()) == IntervalTrigger(hours=1, end=end)
    paris = every().hour.until("2026-05-01 20:05:07", tz="Europe/Paris")
    assert paris == IntervalTrigger(hours=1, end=end)
    whole = every().hour.until(date(2026, 5, 1), tz="UTC")
    assert whole.end == datetime(2026, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    weekly = every().friday.at("12:00").until("2026-05-15T12:00Z")
    assert len(weekly.upcoming(9, NOW)) == 3
    varied = every(5).to(10).seconds.until(NOW + timedelta(seconds=60))
    assert 5 <= len(varied.upcoming(99, NOW)) <= 12
    assert len(every().hour.until(end).to(2).upcoming(99, NOW)) <= 8


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("2026-05-03", date(2026, 5, 3)),
        (date(2026, 5, 3), date(2026, 5, 3)),
        ("2026-05-03T08:30:00+00:00", date(2026, 5, 3)),
        ("2026-05-03T08:29:59+00:00", date(2026, 5, 2)),
        ("2026-05-03 10:30", date(2026, 5, 3)),
    ],
)
def test_a_date_ends_on_its_last_slot(end: str | date, expected: date) -> None:
    trigger = every().day.at("10:30", tz="Europe/Paris").until(end)
    assert isinstance(trigger, CalendarIntervalTrigger)
    assert trigger.end == expected


def test_months_can_be_used_as_they_are() -> None:
    trigger = every(2).months
    assert [one.strftime("%m-%d") for one in trigger.upcoming(3, NOW)] == [
        "07-01",
        "09-01",
        "11-01",
    ]
    assert trigger.anchored(NOW) == CalendarIntervalTrigger(
        months=2, start=date(2026, 5, 1)
    )
    assert trigger.until("2026-08-01").end == date(2026, 8, 1)
    assert trigger.last(micros(NOW)) is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: every(0),
        lambda: every(-1),
        lambda: every(1.5),  # type: ignore[arg-type]
        lambda: every(True),
        lambda: every("14:00"),  # type: ignore[arg-type]
        lambda: every(2).second,
        lambda: every(2).minute,
        lambda: every(2).hour,
        lambda: every(2).day,
        lambda: every(2).week,
        lambda: every(2).month,
        lambda: every(2).year,
        lambda: every(2).monday,
        lambda: every(2).sunday,
        lambda: every(5).to(5),
        lambda: every(5).to(4).seconds,
        lambda: every(5).seconds.to(1.5),  # type: ignore[arg-type]
        lambda: every().day.at("25:00"),
        lambda: every().day.at("10:60"),
        lambda: every().day.at("2pm"),
        lambda: every().day.at("14"),
        lambda: every().day.at(":30"),
        lambda: every().day.at("10:30", tz="Mars/X"),
        lambda: every().wednesday.at("25:00"),
        lambda: every().wednesday.at(":10"),
        lambda: every().hour.at("10:30:00"),
        lambda: every().hour.at("60:00"),
        lambda: every().hour.at(":60"),
        lambda: every().minute.at("10:30"),
        lambda: every(5).hours.at("20:30", tz="Asia/Kolkata"),
        lambda: every().second.at(":10"),
        lambda: every().hour.at(":30").at(":40"),
        lambda: every().day.until("2026-01-01"),
        lambda: every().day.until(datetime(2026, 1, 1)),  # type: ignore[call-arg] # noqa: DTZ001
        lambda: every().day.until("soon", tz="UTC"),
        lambda: every().day.until(NOW).at("10:30"),
    ],
)
def test_what_makes_no_sense_is_refused(build: Callable[[], object]) -> None:
    with pytest.raises(TriggerError) as caught:
        build()
    assert caught.value.remedy


def test_seconds_are_whole_on_a_mark() -> None:
    trigger = every(2).minutes.at(":15").anchored(NOW)
    for slot in trigger.upcoming(5, NOW):
        assert micros(slot) % (60 * SECOND) == 15 * SECOND


@pytest.mark.parametrize("names", [("mon",), ("friday", "TUE"), ("sun", "mon", "fri")])
@pytest.mark.parametrize("weeks", [1, 2, 3])
@pytest.mark.parametrize("clock", ["00:00", "10:05:07", "23:30"])
def test_weekdays_of_rarer_weeks(
    names: tuple[str, ...], weeks: int, clock: str
) -> None:
    zone = ZoneInfo("Europe/Paris")
    trigger = every(weeks).weeks.on(*names).at(clock, zone)
    wanted = {name[:3].lower() for name in names}
    for hours in range(0, 24 * 8, 5):
        now = NOW + timedelta(hours=hours)
        local = now.astimezone(zone)
        expected: list[datetime] = []
        first_week: date | None = None
        day = local.date()
        while len(expected) < 7:
            monday = day - timedelta(days=day.weekday())
            slot = datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=zone)
            if f"{day:%a}".lower() in wanted and slot > local:
                first_week = first_week or monday
                if (monday - first_week).days // 7 % weeks == 0:
                    expected.append(slot.astimezone(UTC))
            day += timedelta(days=1)
        assert trigger.upcoming(7, now) == expected
        assert trigger.next_fire_time(now) == expected[0]
        pinned = trigger.anchored(now)
        assert pinned.upcoming(7, now) == expected
        assert not pinned.needs_pin()


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: every(2).weeks.on(), "on"),
        (lambda: every(2).weeks.on("someday"), "on"),
        (lambda: every(2).weeks.on("mo"), "on"),
        (lambda: every(2).weeks.on(1), "on"),  # type: ignore[arg-type]
        (lambda: every(2).days.on("mon"), "on"),
        (lambda: every(2).weeks.until(NOW).on("mon"), "on"),
        (lambda: every(2).weeks.on("mon").until(NOW).at("10:00"), "at"),
        (lambda: every(2).weeks.on("mon").at("25:00"), "at"),
        (lambda: every(500_000).weeks.on("mon"), "weeks"),
        (lambda: every(5).minutes.at(":10", gap="skip"), "gap"),
        (lambda: UntilTrigger(every().hour), "until"),
        (lambda: UntilTrigger(every().hour, length="PT1H", time="18:30"), "until"),
        (lambda: UntilTrigger(DateTrigger(NOW), length="PT1H"), "trigger"),
        (lambda: UntilTrigger(every().hour, time="18:30", zone="Mars/X"), "tz"),
    ],
)
def test_rarer_weeks_and_ends_that_make_no_sense(
    build: Callable[[], object], field: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        build()
    assert caught.value.field == field
    assert caught.value.remedy


def phrases_that_end() -> list[Any]:
    return [
        every(7).minutes,
        every(5).hours.at("20:30"),
        every(5).to(9).hours,
        every().hour.at(":30"),
        every().friday.at("12:00"),
        every().day.at("10:30", "Europe/Paris"),
        every().day.at("02:30", "Europe/Paris", fold="both"),
        every(2).weeks.on("mon", "fri").at("10:00"),
        every().week.on("mon", "fri").at("10:00"),
    ]


@pytest.mark.parametrize("phrase", phrases_that_end(), ids=str)
@pytest.mark.parametrize(
    "length", [timedelta(minutes=30), timedelta(hours=9), timedelta(days=20.3)]
)
def test_a_duration_counts_from_scheduling(phrase: Any, length: timedelta) -> None:
    trigger = phrase.until(length)
    assert trigger.needs_pin()
    assert trigger_from_data(trigger.to_data()) == trigger
    for hours in range(0, 40, 7):
        now = NOW + timedelta(hours=hours)
        pinned = phrase.anchored(now)
        everything = pinned.upcoming(5000, now)
        expected = [slot for slot in everything if slot <= now + length]
        assert len(expected) < len(everything)
        assert trigger.upcoming(5000, now) == expected
        if expected:
            assert trigger.anchored(now) == phrase.until(now + length).anchored(now)
            assert trigger.next_fire_time(now) == expected[0]
            # The last slot is still a slot when the end is its own instant.
            exact = phrase.until(expected[-1]).anchored(now)
            assert exact.upcoming(5000, now) == expected
        assert trigger.last(micros(now)) is None


def test_a_calendar_ends_at_an_instant_within_a_fold() -> None:
    phrase = every().day.at("02:30", "Europe/Paris")
    first_pass = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for minutes, last in ((-1, 24), (0, 25), (45, 25), (61, 25)):
        trigger = phrase.until(first_pass + timedelta(minutes=minutes))
        assert trigger.end == date(2026, 10, last)


def test_an_end_that_is_said_later_counts() -> None:
    phrase = every().friday.at("12:00")
    assert len(phrase.upcoming(3, NOW)) == 3
    assert len(phrase.until("2026-05-08").upcoming(3, NOW)) == 2
    shorter = phrase.until("2026-05-08").until("2026-05-01 12:00")
    assert len(shorter.upcoming(3, NOW)) == 1


def test_an_end_says_its_words() -> None:
    hourly = every().hour
    assert "for 1 day 2 hours" in hourly.until(timedelta(hours=26)).describe()
    assert "for 1 minute 30 seconds" in hourly.until("PT90S").describe()
    assert "until 18:30 UTC" in hourly.until("18:30", tz="UTC").describe()
    assert "every 2 weeks on Mon, Fri" in every(2).weeks.on("fri", "mon").describe()


def test_a_time_of_day_carries_its_zone() -> None:
    tokyo = time(18, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    trigger = every().hour.until(tokyo)
    assert trigger == every().hour.until("18:30", tz="Asia/Tokyo")
    # In Tokyo it is past 19 o'clock.
    with pytest.raises(TriggerError, match="is past on the day"):
        trigger.anchored(NOW)
    assert trigger.upcoming(1, NOW) == []
    assert trigger.next_fire_time(NOW) is None
    own = every().day.at("17:00", "Europe/Paris").until("18:30")
    assert own == every().day.at("17:00", "Europe/Paris").until(
        time(18, 30), tz="Europe/Paris"
    )
