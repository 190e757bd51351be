"""One instant, and elapsed time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros, moment
from aiosched.triggers import DateTrigger, IntervalTrigger

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
T0 = micros(NOON)
NAIVE = datetime(2026, 5, 1, 12)  # noqa: DTZ001
BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("given", "tz", "expected"),
    [
        (NOON, None, "2026-05-01T12:00:00+00:00"),
        (NAIVE, BERLIN, "2026-05-01T10:00:00+00:00"),
        (date(2026, 5, 1), BERLIN, "2026-04-30T22:00:00+00:00"),
        ("2026-05-01T12:00:00+05:30", None, "2026-05-01T06:30:00+00:00"),
        ("2026-05-01 12:00", BERLIN, "2026-05-01T10:00:00+00:00"),
        ("2026-05-01T12:00:00+05:30", BERLIN, "2026-05-01T06:30:00+00:00"),
        ("2026-05-01", "UTC", "2026-05-01T00:00:00+00:00"),
        ("2999-12-31T23:59:59.999999Z", None, "2999-12-31T23:59:59.999999+00:00"),
        # Twice at night: the first pass, unless the second is asked for.
        ("2025-10-26T02:30", BERLIN, "2025-10-26T00:30:00+00:00"),
        (
            datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=ZoneInfo(BERLIN)),
            None,
            "2025-10-26T01:30:00+00:00",
        ),
    ],
)
def test_a_date_is_read(
    given: datetime | date | str, tz: str | None, expected: str
) -> None:
    trigger = DateTrigger(given, tz=tz)
    assert trigger.at.isoformat() == expected
    at = trigger.own_instant()
    assert (trigger.next(at - 1), trigger.next(at)) == (at, None)
    assert (trigger.last(at - 1), trigger.last(at)) == (None, at)
    assert (trigger.count(at, at), trigger.count(at + 1, at + 9)) == (1, 0)


@pytest.mark.parametrize(
    ("given", "tz"),
    [
        (NAIVE, None),
        (date(2026, 5, 1), None),
        ("2026-05-01T12:00", None),
        ("tomorrow", "UTC"),
        ("2025-03-30T02:30", BERLIN),
        (datetime(2025, 3, 30, 2, 30, tzinfo=ZoneInfo(BERLIN)), None),
        (datetime(2025, 3, 30, 2, 30, fold=1, tzinfo=ZoneInfo(BERLIN)), None),
        (1_700_000_000, None),
        (datetime.max.replace(tzinfo=UTC), None),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=5))), None),
    ],
)
def test_a_date_that_is_no_instant_is_refused(given: object, tz: str | None) -> None:
    with pytest.raises(TriggerError) as caught:
        DateTrigger(given, tz=tz)  # type: ignore[arg-type]
    assert caught.value.field == "at"


@pytest.mark.parametrize(
    "zone",
    ["Mars/X", "", "localtime", "../etc/passwd", "Europe", "europe/berlin ", 5],
)
def test_only_zones_with_a_name_are_known(zone: object) -> None:
    with pytest.raises(TriggerError) as caught:
        DateTrigger(NAIVE, tz=zone)  # type: ignore[arg-type]
    assert caught.value.field == "tz"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"seconds": 90}, timedelta(seconds=90)),
        ({"hours": 1.5}, timedelta(minutes=90)),
        ({"seconds": 0.1}, timedelta(milliseconds=100)),
        ({"milliseconds": 1}, timedelta(milliseconds=1)),
        ({"days": 400}, timedelta(days=400)),
        (
            {"weeks": 1, "days": 1, "hours": 1, "minutes": 1, "seconds": 1},
            timedelta(days=8, seconds=3661),
        ),
        ({"seconds": 1e-3}, timedelta(milliseconds=1)),
    ],
)
def test_spans_add_up(parts: dict[str, float], expected: timedelta) -> None:
    trigger = IntervalTrigger(**parts)  # type: ignore[arg-type]
    assert trigger.interval == expected
    milliseconds = expected // timedelta(milliseconds=1)
    assert trigger == IntervalTrigger(milliseconds=milliseconds)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: IntervalTrigger(), "interval"),
        (lambda: IntervalTrigger(seconds=0), "interval"),
        (lambda: IntervalTrigger(seconds=-1), "seconds"),
        (lambda: IntervalTrigger(minutes=1, seconds=-1), "seconds"),
        (lambda: IntervalTrigger(seconds=0.0001), "seconds"),
        (lambda: IntervalTrigger(seconds=float("nan")), "seconds"),
        (lambda: IntervalTrigger(seconds=float("inf")), "seconds"),
        (lambda: IntervalTrigger(seconds=True), "seconds"),
        (lambda: IntervalTrigger(seconds="10"), "seconds"),
        (lambda: IntervalTrigger(weeks=10**9), "weeks"),
        (lambda: IntervalTrigger(hours=1, start=NAIVE), "start"),
        (lambda: IntervalTrigger(hours=1, end="2026-05-01T12:00"), "end"),
        (
            lambda: IntervalTrigger(hours=1, start=NOON, end=NOON - timedelta(hours=1)),
            "end",
        ),
    ],
)
def test_bad_intervals_are_refused(
    build: Callable[[], IntervalTrigger], field: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        build()
    assert caught.value.field == field


def test_the_first_slot_is_the_start_and_the_end_counts() -> None:
    end = NOON + timedelta(hours=2)
    trigger = IntervalTrigger(hours=1, start=NOON, end=end)
    hour = 3600 * SECOND
    before = NOON - timedelta(seconds=1)
    assert trigger.upcoming(9, before) == [NOON, NOON + timedelta(hours=1), end]
    assert trigger.next(T0 + 2 * hour) is None
    assert trigger.last(T0 + 9 * hour) == T0 + 2 * hour
    assert trigger.last(T0 - 1) is None
    assert trigger.count(0, T0 + 9 * hour) == 3
    assert trigger.count(T0 + 1, T0 + 2 * hour - 1) == 1


def test_it_is_pinned_one_interval_after_scheduling() -> None:
    trigger = IntervalTrigger(minutes=10)
    assert trigger.next_fire_time(NOON) == NOON + timedelta(minutes=10)
    assert trigger.last(T0) is None
    assert trigger.count(0, T0) == 0
    pinned = trigger.anchored(NOON)
    assert pinned.start == NOON + timedelta(minutes=10)
    assert pinned.upcoming(2, NOON) == trigger.upcoming(2, NOON)
    bounded = IntervalTrigger(hours=1, end=NOON)
    with pytest.raises(TriggerError, match="before the first slot"):
        bounded.anchored(NOON)
    assert bounded.upcoming(3, NOON) == []


def test_ten_years_of_seconds_are_arithmetic() -> None:
    trigger = IntervalTrigger(seconds=1, start=moment(T0 + 123_000))
    ten_years = 3652 * 86_400 * SECOND
    assert trigger.count(T0, T0 + ten_years - 1) == 3652 * 86_400
    assert trigger.last(T0 + ten_years) == T0 + ten_years - SECOND + 123_000
    assert trigger.next(T0 + ten_years) == T0 + ten_years + 123_000


def test_a_slot_past_the_calendar_is_none() -> None:
    trigger = IntervalTrigger(weeks=52_000, start=NOON)
    times = trigger.upcoming(100, NOON)
    assert 0 < len(times) < 10
    assert trigger.next(micros(times[-1])) is None


def test_a_text_is_refused_as_it_was_written() -> None:
    makes: list[tuple[str, Callable[[str], object]]] = [
        ("2030-01-01T09:00", DateTrigger),
        ("9999-12-31T23:59:59Z", DateTrigger),
        ("2030-03-31 02:30", lambda text: DateTrigger(text, tz="Europe/Paris")),
        ("2030-01-01T00:00", lambda text: IntervalTrigger(hours=1, start=text)),
        ("0001-01-01", lambda text: IntervalTrigger(hours=1, end=text + "T00:00Z")),
    ]
    for text, make in makes:
        with pytest.raises(TriggerError) as caught:
            make(text)
        assert str(caught.value.value).startswith(text)
        assert f"={text!r}"[:-1] in str(caught.value)
        assert "datetime" not in str(caught.value)
