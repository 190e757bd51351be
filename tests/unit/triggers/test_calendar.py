"""Calendar intervals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers import CalendarIntervalTrigger

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
LAST_OF_JANUARY = date(2026, 1, 31)


def dates(trigger: CalendarIntervalTrigger, n: int) -> list[str]:
    """Show the next dates from 2026 on."""
    found = trigger.upcoming(n, NEW_YEAR - timedelta(seconds=1))
    return [one.strftime("%y-%m-%d") for one in found]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (
            CalendarIntervalTrigger(months=1, start=LAST_OF_JANUARY),
            ["26-01-31", "26-03-31", "26-05-31", "26-07-31"],
        ),
        (
            CalendarIntervalTrigger(months=1, start=LAST_OF_JANUARY, month_end="clamp"),
            ["26-01-31", "26-02-28", "26-03-31", "26-04-30"],
        ),
        (
            CalendarIntervalTrigger(years=1, start=date(2024, 2, 29)),
            ["28-02-29", "32-02-29", "36-02-29", "40-02-29"],
        ),
        (
            CalendarIntervalTrigger(years=1, start="2024-02-29", month_end="clamp"),
            ["26-02-28", "27-02-28", "28-02-29", "29-02-28"],
        ),
        (
            CalendarIntervalTrigger(weeks=2, start=date(2026, 1, 5)),
            ["26-01-05", "26-01-19", "26-02-02", "26-02-16"],
        ),
        (
            CalendarIntervalTrigger(months=1, days=1, start=date(2026, 1, 1)),
            ["26-01-01", "26-02-02", "26-03-03", "26-04-04"],
        ),
        (
            CalendarIntervalTrigger(days=1, start="2026-01-01", end="2026-01-02"),
            ["26-01-01", "26-01-02"],
        ),
    ],
)
def test_dates(trigger: CalendarIntervalTrigger, expected: list[str]) -> None:
    assert dates(trigger, 4) == expected
    slots = [
        micros(one) for one in trigger.upcoming(50, NEW_YEAR - timedelta(seconds=1))
    ]
    for number, slot in enumerate(slots):
        assert trigger.last(slot) == slot
        assert trigger.count(slots[0], slot) == number + 1
        if number:
            assert trigger.last(slot - 1) == slots[number - 1]
            assert trigger.count(slots[0] + 1, slot - 1) == number - 1


def test_a_century_of_months_is_quick_and_right() -> None:
    trigger = CalendarIntervalTrigger(
        months=1, at="23:59:59", tz="Asia/Tokyo", start=date(2000, 1, 31)
    )
    low = micros(datetime(2000, 1, 1, tzinfo=UTC))
    high = micros(datetime(2100, 1, 1, tzinfo=UTC))
    assert trigger.count(low, high) == 700
    assert trigger.next(2**60) is None
    assert trigger.last(low) is None
    final = trigger.last(2**60)
    assert final is not None
    assert moment(final).year == 9999


def test_it_is_pinned_to_the_date_of_scheduling() -> None:
    trigger = CalendarIntervalTrigger(days=2, at=time(10, 30), tz="Europe/Paris")
    early = datetime(2026, 5, 1, 7, tzinfo=UTC)
    late = datetime(2026, 5, 1, 22, 30, tzinfo=UTC)
    assert trigger.needs_pin()
    assert trigger.anchored(early).start == date(2026, 5, 1)
    assert trigger.anchored(late).start == date(2026, 5, 2)
    assert trigger.next_fire_time(early) == datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    assert trigger.last(micros(late)) is None
    assert trigger.count(0, micros(late)) == 0
    pinned = trigger.anchored(early)
    assert pinned.own_instant() is None
    assert pinned.rule() is pinned
    gone = CalendarIntervalTrigger(days=1, end=date(2026, 4, 30))
    with pytest.raises(TriggerError, match="before the first date"):
        gone.anchored(early)
    assert gone.next_fire_time(early) is None


def test_equal_meaning_is_equal() -> None:
    assert CalendarIntervalTrigger(years=1) == CalendarIntervalTrigger(months=12)
    assert CalendarIntervalTrigger(weeks=1) == CalendarIntervalTrigger(days=7)
    assert CalendarIntervalTrigger(days=1, at="9:00") == CalendarIntervalTrigger(
        days=1, at="09:00:00"
    )
    assert CalendarIntervalTrigger(months=1) != CalendarIntervalTrigger(days=30)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: CalendarIntervalTrigger(), "interval"),
        (lambda: CalendarIntervalTrigger(days=0), "interval"),
        (lambda: CalendarIntervalTrigger(days=-1), "days"),
        (lambda: CalendarIntervalTrigger(days=1.5), "days"),
        (lambda: CalendarIntervalTrigger(years=10**6), "years"),
        (lambda: CalendarIntervalTrigger(days=1, at="24:00"), "at"),
        (lambda: CalendarIntervalTrigger(days=1, at="9"), "at"),
        (lambda: CalendarIntervalTrigger(days=1, at="12:60"), "at"),
        (lambda: CalendarIntervalTrigger(days=1, at="12:00:60"), "at"),
        (lambda: CalendarIntervalTrigger(days=1, at="٠٩:00"), "at"),
        (lambda: CalendarIntervalTrigger(days=1, at=time(9, tzinfo=UTC)), "at"),
        (lambda: CalendarIntervalTrigger(days=1, tz="Nowhere"), "tz"),
        (lambda: CalendarIntervalTrigger(days=1, start=NEW_YEAR), "start"),
        (lambda: CalendarIntervalTrigger(days=1, start="soon"), "start"),
        (
            lambda: CalendarIntervalTrigger(
                days=1, start=date(2026, 1, 2), end=date(2026, 1, 1)
            ),
            "end",
        ),
        (lambda: CalendarIntervalTrigger(days=1, month_end="last"), "month_end"),
    ],
)
def test_bad_input_is_refused(
    build: Callable[[], CalendarIntervalTrigger], field: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        build()
    assert caught.value.field == field


def test_it_is_described() -> None:
    trigger = CalendarIntervalTrigger(
        months=1, days=3, at="09:30", tz="Europe/Paris", start=date(2026, 1, 5)
    )
    assert trigger.describe() == (
        "every 1 month 3 days at 09:30, Europe/Paris, from 2026-01-05"
    )
    assert CalendarIntervalTrigger(days=1).describe() == "every day at 00:00, UTC"
