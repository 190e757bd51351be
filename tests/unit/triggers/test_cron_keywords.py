"""Cron by keyword, and APScheduler's words in expressions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aiosched.errors import TriggerError
from aiosched.triggers import CronTrigger, trigger_from_data

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expression"),
    [
        # What is left out is * above the least significant field that is said, and
        # the least number below it.
        ({"second": "*/20"}, "*/20 * * * * *"),
        ({"minute": 30}, "30 * * * *"),
        ({"minute": "*"}, "* * * * *"),
        ({"hour": 9}, "0 9 * * *"),
        ({"hour": "9-17", "minute": "*/15"}, "*/15 9-17 * * *"),
        ({"day_of_week": "mon-fri"}, "0 0 * * mon-fri"),
        ({"day": 1}, "0 0 1 * *"),
        ({"day": 1, "minute": 20}, "20 * 1 * *"),
        ({"month": 6}, "0 0 1 6 *"),
        ({"month": 6, "day_of_week": "mon"}, "0 0 * 6 mon"),
        (
            {"month": "6-8,11-12", "day": "3rd fri", "hour": "0-3"},
            "0 0-3 3rd fri 6-8,11-12 *",
        ),
        ({"day_of_week": "mon", "hour": 5, "second": 3}, "3 * 5 * * mon"),
        ({"hour": 0, "second": 0}, "* 0 * * *"),
        ({"day": "last", "hour": 23, "minute": 59}, "59 23 last * *"),
        ({"day": "1st mon, 3rd fri"}, "0 0 1st mon,3rd fri * *"),
        ({"day": "  Last   Fri "}, "0 0 Last Fri * *"),
        ({"hour": "H", "minute": "H"}, "H H * * *"),
        (
            {
                "second": 59,
                "minute": 59,
                "hour": 23,
                "day": 31,
                "month": 12,
                "day_of_week": 7,
            },
            "59 59 23 31 12 7",
        ),
    ],
)
def test_fields_by_name(fields: dict[str, Any], expression: str) -> None:
    seconds: Any = "first" if fields.get("second") else None
    trigger = CronTrigger.of(**fields)
    assert trigger == CronTrigger(expression, seconds=seconds)
    assert trigger_from_data(trigger.to_data()) == trigger


def test_options_are_those_of_an_expression() -> None:
    options: dict[str, Any] = {
        "tz": "Europe/Paris",
        "start": NOW,
        "end": "2031-01-01T00:00Z",
        "day_or": False,
        "gap": "skip",
        "fold": "last",
    }
    one = CronTrigger.of(hour=2, minute=30, day="1-7", day_of_week="mon", **options)
    assert one == CronTrigger("30 2 1-7 * mon", **options)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({}, "fields", "say at least one of second, minute, hour"),
        ({"tz": "Europe/Paris"}, "fields", "say at least one"),
        ({"year": 2030, "hour": 9}, "year", "start= and end="),
        ({"week": "*/2", "hour": 9}, "week", "CalendarIntervalTrigger(weeks"),
        ({"hour": True}, "hour", "is not a number or text"),
        ({"hour": 9.5}, "hour", "is not a number or text"),
        ({"minute": [0, 30]}, "minute", "is not a number or text"),
        ({"minute": ""}, "minute", "is not one field"),
        ({"minute": "  "}, "minute", "is not one field"),
        ({"minute": "0 9"}, "minute", "is not one field"),
        ({"hour": "@daily"}, "hour", "is not one field"),
        ({"minute": "@hourly"}, "minute", "is not one field"),
        ({"hour": 24}, "expression", "hour: 24"),
        ({"hour": -1}, "expression", "hour: cannot read '-1'"),
        ({"day": 31, "month": 2}, "expression", "no date ever matches"),
        ({"hour": "last fri"}, "expression", "hour: cannot read 'last fri'"),
        ({"hour": 9, "tz": "Mars"}, "tz", "time zone"),
    ],
)
def test_refusals(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(TriggerError) as caught:
        CronTrigger.of(**fields)
    assert caught.value.field == field
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("words", "cron"),
    [
        ("0 9 last fri * *", "0 9 ? * 5L"),
        ("0 9 * * last fri", "0 9 ? * 5L"),
        ("0 9 LAST SUN * *", "0 9 * * 7L"),
        ("0 9 last * *", "0 9 L * *"),
        ("0 9 1st mon * *", "0 9 * * mon#1"),
        ("0 9 2nd tue * *", "0 9 * * tue#2"),
        ("0 9 3rd wed * *", "0 9 * * 3#3"),
        ("0 9 4th  thu * *", "0 9 * * thu#4"),
        ("0 9 5th sat 1 *", "0 9 * 1 sat#5"),
        ("0 9 * * 2nd mon,last fri", "0 9 * * mon#2,friL"),
        ("0 9 2nd mon,last fri * *", "0 9 * * mon#2,friL"),
        # Two day fields are joined by "or", so it does not matter where a day stands.
        ("0 9 15,last,last fri * *", "0 9 15,L * 5L"),
        ("0 9 1st sun * tue", "0 9 * * tue,sun#1"),
    ],
)
def test_the_words_of_apscheduler_mean_what_cron_says(words: str, cron: str) -> None:
    one, other = CronTrigger(words), CronTrigger(cron)
    assert one.upcoming(60, NOW) == other.upcoming(60, NOW)


def test_the_words_stand_in_the_day_of_the_month_for_and() -> None:
    fridays = CronTrigger("0 9 last fri * 5", day_or=False)
    assert fridays.upcoming(24, NOW) == CronTrigger("0 9 * * 5L").upcoming(24, NOW)
    with pytest.raises(TriggerError, match="no date ever matches"):
        CronTrigger("0 9 last fri * mon", day_or=False)


@pytest.mark.parametrize("month", ["jan", "mar", "may", "jun", "sep", "1"])
def test_a_month_after_last_is_a_month(month: str) -> None:
    times = CronTrigger(f"0 0 last {month} *").upcoming(3, NOW)
    assert times == CronTrigger(f"0 0 L {month} *").upcoming(3, NOW)
