"""Cron expressions in English words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aiosched.triggers import CronTrigger
from tests.unit.triggers.cron_walk import read_rows

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/7 * * * *", "minutes 0 to 56 in steps of 7 of every hour"),
        ("0 * * * *", "every hour"),
        ("@hourly", "every hour"),
        ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day"),
        ("0 */2 * * *", "every 2 hours"),
        ("5 */2 * * *", "minute 5 of every 2 hours"),
        ("7 * * * *", "minute 7 of every hour"),
        ("10-20 * * * *", "minutes 10 to 20 of every hour"),
        ("0,30 9-17 * * *", "minutes 0 and 30 of hours 9 to 17"),
        ("*/5 8,12 * * *", "every 5 minutes of hours 8 and 12"),
        ("1-3,7,9 8-15 * * *", "minutes 1 to 3, 7 and 9 of hours 8 to 15"),
        ("0 9 * * mon-fri", "at 09:00 on Monday to Friday"),
        ("0 9 * * sat,sun", "at 09:00 on Saturday and Sunday"),
        ("0 9 * * 0-7", "at 09:00 on every day of the week"),
        ("@weekly", "at 00:00 on Sunday"),
        ("@daily", "at 00:00 every day"),
        ("30 2 * * *", "at 02:30 every day"),
        ("0 9 1 * *", "at 09:00 on day 1 of the month"),
        ("0 9 1-7,15 * *", "at 09:00 on days 1 to 7 and 15 of the month"),
        ("@yearly", "at 00:00 on day 1 of the month in January"),
        ("0 0 * 6-8 *", "at 00:00 every day in June, July and August"),
        (
            "0 0 L jan,jul *",
            "at 00:00 on the last day of the month in January and July",
        ),
        ("0 0 L-1 * *", "at 00:00 on the day before the last of the month"),
        ("0 0 L-3 * *", "at 00:00 on the 3rd day before the last of the month"),
        ("0 0 LW * *", "at 00:00 on the last Monday to Friday of the month"),
        (
            "0 0 15W * *",
            "at 00:00 on the Monday to Friday nearest to day 15 of the month",
        ),
        ("0 0 * * fri#2", "at 00:00 on the 2nd Friday of the month"),
        ("0 0 * * 5L", "at 00:00 on the last Friday of the month"),
        ("0 9 last fri * *", "at 09:00 on the last Friday of the month"),
        ("0 9 * * last fri", "at 09:00 on the last Friday of the month"),
        (
            "0 9 1st mon,3rd fri,15 * *",
            "at 09:00 on day 15, the 1st Monday and the 3rd Friday of the month",
        ),
        ("0 0 13 * 5", "at 00:00 on day 13 of the month or on Friday"),
        (
            "0 0 1 * mon,fri#3",
            "at 00:00 on day 1 of the month or on Monday and the 3rd Friday of the "
            "month",
        ),
    ],
)
def test_five_fields(expression: str, words: str) -> None:
    assert CronTrigger(expression).describe() == f"{words}, UTC"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * * *", "every second"),
        ("*/20 * * * * *", "every 20 seconds"),
        ("5 30 9 * * *", "at 09:30:05 every day"),
        ("0-10 30 9 * * *", "seconds 0 to 10 of minute 30 of hour 9"),
        ("* 5 9 * * *", "every second of minute 5 of hour 9"),
        ("15 * * * * *", "second 15 of every minute"),
        ("15 */5 * * * *", "second 15 of every 5 minutes"),
    ],
)
def test_six_fields(expression: str, words: str) -> None:
    trigger = CronTrigger(expression, seconds="first")
    assert trigger.describe() == f"{words}, UTC"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("H * * * *", "at a drawn minute of every hour"),
        ("H H * * *", "at a drawn minute of a drawn hour every day"),
        ("H 9 * * *", "at a drawn minute of hour 9 every day"),
        ("30 H(0-7) * * *", "at minute 30 of a drawn hour from 0 to 7 every day"),
        (
            "H(0-29) 9 * * 1-5",
            "at a drawn minute from 0 to 29 of hour 9 on Monday to Friday",
        ),
        ("H/15 * * * *", "every 15 minutes from a drawn one on"),
        (
            "H(0-29)/10 9 * * *",
            "every 10 minutes from a drawn one on between 0 and 29 of hour 9",
        ),
        ("0 H/6 * * *", "every 6 hours from a drawn one on"),
        ("H,30 9 * * *", "at minute 30 and a drawn minute of hour 9 every day"),
        ("0 0 H * *", "at 00:00 on a drawn day of the month from 1 to 28"),
        (
            "0 0 1,H * *",
            "at 00:00 on day 1 of the month and a drawn day of the month from 1 to 28",
        ),
        (
            "0 0 H/10 * *",
            "at 00:00 on every 10 days of the month from a drawn one on "
            "between 1 and 28",
        ),
        ("0 0 * * H", "at 00:00 on a drawn weekday"),
        ("0 0 * * H(mon-fri)", "at 00:00 on a drawn weekday from Monday to Friday"),
        ("0 0 1 H *", "at 00:00 on day 1 of the month in a drawn month"),
        (
            "0 0 1 H(jan-jun) *",
            "at 00:00 on day 1 of the month in a drawn month from January to June",
        ),
        (
            "0 0 1 H/6 *",
            "at 00:00 on day 1 of the month in every 6 months from a drawn one on",
        ),
    ],
)
def test_what_a_job_is_to_draw(expression: str, words: str) -> None:
    trigger = CronTrigger(expression)
    assert trigger.describe() == f"{words}, UTC; drawn from the job's id"
    assert "drawn" not in trigger.for_job("a").describe()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tz": "Europe/Paris"}, "Europe/Paris"),
        ({"start": NEW_YEAR}, "UTC, from 2030-01-01 00:00:00 UTC"),
        ({"end": NEW_YEAR}, "UTC, until 2030-01-01 00:00:00 UTC"),
    ],
)
def test_zone_and_bounds(options: dict[str, Any], words: str) -> None:
    trigger = CronTrigger("0 9 * * *", **options)
    assert trigger.describe() == f"at 09:00 every day, {words}"


def test_both_day_fields_joined_by_and() -> None:
    trigger = CronTrigger("0 9 1-7 * mon", day_or=False)
    assert trigger.describe() == (
        "at 09:00 on days 1 to 7 of the month if it is Monday, UTC"
    )


def test_different_schedules_are_described_differently() -> None:
    said: dict[str, set[tuple[object, ...]]] = {}
    for row in read_rows():
        options: dict[str, Any] = dict(row.options)
        options.pop("job", None)
        options["day_or"] = options.get("day_or") != "no"
        if {"gap", "fold"} & set(options):
            continue
        trigger = CronTrigger(row.expression, tz=row.zone, **options)
        words = trigger.describe()
        assert words.endswith((row.zone, "; drawn from the job's id"))
        meant = trigger._fields
        rule = meant.day
        # The one thing that words leave out: which day field names a weekday.
        weekdays = (rule.nth | rule.day_nth, rule.last_weekdays | rule.day_last)
        meaning = (meant[1:5], rule[1:5], rule.weekdays, weekdays, meant.draws)
        said.setdefault(words, set()).add(meaning)
    assert {words for words, meanings in said.items() if len(meanings) > 1} == set()
