"""The stored list of expressions and their fire times, and who says so."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from aiosched.triggers import CronTrigger
from tests.unit.triggers.cron_walk import TIMES, Row, read_rows, walk

ROWS = read_rows()


def trigger_of(row: Row) -> CronTrigger:
    """Build the trigger of a row, settled where it is for a job."""
    options: dict[str, Any] = dict(row.options)
    job = options.pop("job", None)
    if "day_or" in options:
        options["day_or"] = options["day_or"] == "yes"
    trigger = CronTrigger(row.expression, tz=row.zone, **options)
    return trigger if job is None else trigger.for_job(job)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line().rsplit(" | ", 1)[0])
def test_it_fires_when_the_list_says(row: Row) -> None:
    times = trigger_of(row).upcoming(TIMES, datetime.fromisoformat(row.after))
    assert [one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in times] == list(row.times)


@pytest.mark.parametrize("part", range(8))
def test_the_list_is_what_a_walk_over_the_clock_finds(part: int) -> None:
    for row in ROWS[part::8]:
        assert walk(row) == list(row.times), row.line()


def test_the_list_is_long_and_says_nothing_twice() -> None:
    asked = [(row.expression, row.zone, row.options, row.after) for row in ROWS]
    assert len(set(asked)) == len(asked) >= 250
    assert len({row.expression.lower() for row in ROWS}) >= 200
    assert len({row.zone for row in ROWS}) >= 10
    assert all(len(row.times) == TIMES for row in ROWS)


@pytest.mark.parametrize(
    "form",
    [
        r"^@hourly$",
        r"^@yearly$",
        r" \? ",
        r" L ",
        r" L-\d+ ",
        r" LW ",
        r" \d+W ",
        r" W\d+ ",
        r"\w#\d",
        r" \d+L$",
        r" L\d$",
        r"[a-z]{3}L",
        r" last \* ",
        r"last [a-z]{3} ",
        r"\d(st|nd|rd|th) [a-z]{3}",
        r"[a-z]{3}-[a-z]{3}",
        r"\*/\d",
        r"\d-\d+/\d",
        r" \d+/\d",
        r"\d,\d",
        r"^H ",
        r"^H/\d",
        r"^H\(\d+-\d+\) ",
        r"^H\(\d+-\d+\)/\d",
        r" 7$",
        r" 0$",
    ],
)
def test_the_list_has_every_form(form: str) -> None:
    assert any(re.search(form, row.expression) for row in ROWS)


@pytest.mark.parametrize(
    "option",
    [
        ("seconds", "first"),
        ("seconds", "last"),
        ("day_or", "no"),
        ("gap", "next"),
        ("gap", "skip"),
        ("fold", "first"),
        ("fold", "last"),
        ("fold", "both"),
    ],
)
def test_the_list_has_every_option(option: tuple[str, str]) -> None:
    assert any(option in row.options for row in ROWS)
