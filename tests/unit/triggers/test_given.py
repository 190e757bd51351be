"""Odd values that people and stores give, and what becomes of them."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import micros
from aiosched.triggers import (
    CalendarIntervalTrigger,
    CronTrigger,
    IntervalTrigger,
    RRuleTrigger,
    ScheduleConfig,
    Trigger,
    every,
    trigger_from_data,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAILY = CronTrigger("0 9 * * *")


# --- zones ------------------------------------------------------------------------


@pytest.mark.parametrize("copy", ["right", "posix"])
def test_a_copy_of_the_tz_database_is_refused(copy: str) -> None:
    for build in (
        lambda tz: CronTrigger("0 9 * * *", tz=tz),
        lambda tz: CalendarIntervalTrigger(days=1, tz=tz),
        lambda tz: every().day.at("09:00", tz),
        lambda tz: DAILY.excluding("sat", tz=tz),
    ):
        with pytest.raises(TriggerError, match="write 'Europe/Paris'"):
            build(f"{copy}/Europe/Paris")


# --- numbers -----------------------------------------------------------------------


class Number(enum.IntEnum):
    FIVE = 5


class Named(int, enum.Enum):
    FIVE = 5


class Loud(float):
    def __repr__(self) -> str:
        return "loud"


@pytest.mark.parametrize("five", [Number.FIVE, Named.FIVE])
def test_a_number_with_a_name_is_its_number(five: Any) -> None:
    assert IntervalTrigger(seconds=five) == IntervalTrigger(seconds=5)
    assert IntervalTrigger(seconds=five).to_data() == {"kind": "interval", "seconds": 5}
    assert repr(every(five)) == "every(5)"
    assert every(five).hours.at(":30") == every(5).hours.at(":30")
    assert every(five).to(9).days == every(5).to(9).days
    assert CalendarIntervalTrigger(days=five).to_data()["days"] == 5
    assert CronTrigger.of(hour=five).expression == "0 5 * * *"
    config = ScheduleConfig(every=five, time_unit="minutes")
    assert config.trigger() == IntervalTrigger(minutes=5)


def test_a_float_that_writes_itself_otherwise_is_its_number() -> None:
    assert IntervalTrigger(seconds=Loud(1.5)) == IntervalTrigger(milliseconds=1500)


# --- stored data -------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "months"},
        {"kind": "months", "months": -1},
        {"kind": "months", "months": 1.5},
        {"kind": "months", "years": 10**9},
        {"kind": "weekdays", "weeks": 2, "weekdays": None},
        {"kind": "weekdays", "weeks": 2, "weekdays": 5},
        {"kind": "weekdays", "weeks": 2, "weekdays": []},
        {"kind": "excluding", "trigger": DAILY.to_data(), "without": None},
        {"kind": "excluding", "trigger": DAILY.to_data(), "without": 5},
        {"kind": "excluding", "trigger": DAILY.to_data(), "without": DAILY.to_data()},
        {"kind": "excluding", "trigger": DAILY.to_data(), "days": None},
        {"kind": "excluding", "trigger": DAILY.to_data(), "days": "sat"},
        {"kind": "excluding", "trigger": None, "days": ["sat"]},
        {"kind": "or", "triggers": None},
        {"kind": "and", "triggers": {"kind": "cron"}},
        {"kind": "or", "triggers": [DAILY.to_data()], "start": 5},
        {"kind": "random", "low": None, "high": 5, "unit": "days"},
        {"kind": "random", "low": 1, "high": 5, "unit": None},
        {"kind": "aligned", "mark": None, "hours": 1},
        {"kind": "until", "trigger": None, "length": "PT1H"},
        {"kind": "rrule", "expression": None, "start": "2030-01-01T00:00:00Z"},
        {"kind": "rrule", "expression": "FREQ=DAILY", "start": None},
        {"kind": "calendar", "days": None},
        {"kind": "interval", "seconds": "5"},
        {"kind": "cron", "expression": "0 9 * * *", "tz": None},
        {"kind": "date", "at": None},
        {"kind": "backfill", "trigger": None, "since": None, "until": None},
    ],
)
def test_bad_data_is_refused_and_not_a_crash(data: dict[str, Any]) -> None:
    with pytest.raises(TriggerError):
        trigger_from_data(data)


def test_what_a_kind_of_the_users_makes_of_bad_data_is_a_refusal_too() -> None:
    class Fussy(Trigger, frozen=True):
        kind: Literal["test-fussy"] = "test-fussy"
        hours: tuple[int, ...] = ()

        def __init__(self, hours: Any = (), **data: Any) -> None:
            super().__init__(hours=tuple(sorted(hours)), **data)

        def next_fire_time(self, after: datetime) -> datetime | None:
            return None

    assert trigger_from_data({"kind": "test-fussy", "hours": [2, 1]}) == Fussy([1, 2])
    with pytest.raises(TriggerError, match="test-fussy"):
        trigger_from_data({"kind": "test-fussy", "hours": 5})


# --- triggers of the user's ----------------------------------------------------------


class Answers(Trigger, frozen=True):
    """Answers what its field says, in one of the wrong ways."""

    kind: Literal["test-answers"] = "test-answers"
    way: str

    def next_fire_time(self, after: datetime) -> datetime | None:
        return {
            "naive": datetime(2040, 1, 1),  # noqa: DTZ001 - what is wrong with it
            "same": after,
            "earlier": after - timedelta(hours=1),
            "local": (after + timedelta(hours=1)).astimezone(ZoneInfo("Asia/Tokyo")),
        }[self.way]


class Stuck(Trigger, frozen=True):
    kind: Literal["test-stuck-given"] = "test-stuck-given"

    def next(self, after: int, anchor: int | None = None) -> int | None:
        return after


@pytest.mark.parametrize("way", ["naive", "same", "earlier"])
def test_a_wrong_answer_of_a_trigger_is_told(way: str) -> None:
    for ask in (
        lambda one: one.upcoming(3, NOW),
        lambda one: one.next(micros(NOW)),
        lambda one: (one | DAILY).upcoming(3, NOW),
    ):
        with pytest.raises(TriggerError, match="next_fire_time"):
            ask(Answers(way=way))


def test_an_instant_that_does_not_move_on_is_told() -> None:
    with pytest.raises(TriggerError, match="Stuck"):
        Stuck().upcoming(2, NOW)


def test_upcoming_answers_in_utc() -> None:
    found = Answers(way="local").upcoming(3, NOW)
    assert found == [NOW + timedelta(hours=number) for number in (1, 2, 3)]
    assert all(one.tzinfo is UTC for one in found)


# --- copies --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["copy", "model_copy"])
def test_a_copy_with_another_field_computes_anew(name: str) -> None:
    assert DAILY.upcoming(1, NOW)[0].hour == 9  # so that there is something to carry
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for deep in (False, True):
            later = getattr(DAILY, name)(update={"expression": "0 10 * * *"}, deep=deep)
            assert later.upcoming(1, NOW)[0].hour == 10
        assert getattr(DAILY, name)() == DAILY


# --- rules that never fire ------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "start"),
    [
        ("FREQ=DAILY;UNTIL=20300101T085959Z", "2030-01-01 09:00"),
        ("FREQ=DAILY;UNTIL=20300101T085959", "2030-01-01 09:00"),
        ("FREQ=DAILY;BYHOUR=8;UNTIL=20300101T235959Z", "2030-01-01 09:00"),
        ("FREQ=DAILY;BYHOUR=8;UNTIL=20300101", "2030-01-01 09:00"),
        # The first pass of the night is before the start, and there is one only.
        ("FREQ=DAILY;COUNT=1", "2030-10-27T02:30+01:00"),
    ],
)
def test_a_rule_that_leaves_nothing_is_refused(rule: str, start: str) -> None:
    with pytest.raises(TriggerError, match="no occurrence"):
        RRuleTrigger(rule, start=start, tz="Europe/Paris" if "+" in start else "UTC")


@pytest.mark.parametrize(
    ("rule", "start", "more", "number"),
    [
        ("FREQ=DAILY;UNTIL=20300101T090000Z", "2030-01-01 09:00", {}, 1),
        ("FREQ=DAILY;COUNT=1", "2030-10-27T02:30+02:00", {}, 1),
        ("FREQ=DAILY;COUNT=1", "2030-10-27T02:30+01:00", {"fold": "last"}, 1),
        ("FREQ=DAILY;COUNT=2", "2030-10-27T02:30+01:00", {}, 1),
    ],
)
def test_a_rule_that_leaves_little_is_not(
    rule: str, start: str, more: dict[str, Any], number: int
) -> None:
    zone = "Europe/Paris" if "+" in start else "UTC"
    trigger = RRuleTrigger(rule, start=start, tz=zone, **more)
    assert len(trigger.upcoming(5, NOW - timedelta(days=1))) == number


# --- days -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        ("12-24", "01-01"),
        "12-24 / 01-01",
        " 12-24/ 01-01 ",
        ["12-24 /01-01"],
        [("12-24", "01-01")],
    ],
)
def test_days_of_the_year_make_a_range(what: Any) -> None:
    assert DAILY.excluding(what) == DAILY.excluding("12-24/01-01")
    left = DAILY.excluding(what).upcoming(400, NOW)
    days = {f"{one:%m-%d}" for one in left}
    assert not days & {"12-24", "12-31", "01-01"}
    assert {"12-23", "01-02", "06-15"} <= days


def test_two_days_of_the_year_in_a_list_are_two_days() -> None:
    assert DAILY.excluding(["12-24", "01-01"]).days == ("01-01", "12-24")
    assert DAILY.excluding("12-24", "01-01").days == ("01-01", "12-24")


@pytest.mark.parametrize("text", ["2030-12-24 / 2031-01-02", "2030-12-24/ 2031-01-02"])
def test_blanks_around_the_stroke_of_a_range_do_not_matter(text: str) -> None:
    assert DAILY.excluding(text).days == ("2030-12-24/2031-01-02",)


@pytest.mark.parametrize("build", [lambda: CronTrigger("0 0 30W 2 *")])
def test_the_workday_nearest_to_a_day_that_the_month_lacks(
    build: Callable[[], CronTrigger],
) -> None:
    days = [one.date() for one in build().upcoming(4, NOW)]
    assert days == [
        date(2030, 2, 28),
        date(2031, 2, 28),
        date(2032, 2, 27),  # the 29th is a Sunday, and so the last of the month
        date(2033, 2, 28),
    ]
