"""Triggers from configuration words; the seed's rows are in tests/seeds."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from aiosched.errors import TriggerError
from aiosched.triggers import IntervalTrigger, ScheduleConfig, every, from_unit

NOW = datetime(2026, 5, 1, 10, 5, 7, tzinfo=UTC)
WEEKDAYS = (
    *("monday", "tuesday", "wednesday", "thursday"),
    *("friday", "saturday", "sunday"),
)
SHORT = ("second", "minute", "hour")
LONG = ("week", "month", "year")
PLURAL = ("seconds", "minutes", "hours")
CLOCKED = ("days", "weeks", "months", "years")
# unit -> whether it takes (nothing, every, at, both)
TAKES = (
    dict.fromkeys(SHORT, (True, False, False, False))
    | dict.fromkeys(LONG, (True, False, True, False))
    | dict.fromkeys(PLURAL, (False, True, False, False))
    # What a plural without a number lacks is not mended by a time of day.
    | dict.fromkeys(CLOCKED, (False, True, False, True))
    | dict.fromkeys(("day", *WEEKDAYS), (True, True, True, False))
)


@pytest.mark.parametrize(
    ("unit", "number", "at"),
    list(itertools.product(TAKES, (None, 3), (None, "14:00"))),
)
def test_each_unit_takes_what_the_table_says(
    unit: str, number: int | None, at: str | None
) -> None:
    takes = TAKES[unit][(number is not None) + 2 * (at is not None)]
    words: dict[str, Any] = {"every": number, "at": at}
    if takes:
        trigger = from_unit(unit, **words)
        config = ScheduleConfig(time_unit=unit, **words)
        assert config.trigger() == trigger
        assert len(trigger.upcoming(2, NOW)) == 2
        return
    for build in (from_unit, lambda unit, **w: ScheduleConfig(unit=unit, **w)):
        with pytest.raises(TriggerError) as caught:
            build(unit, **words)
        assert caught.value.field in ("every", "at")
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("unit", "words", "phrase"),
    [
        ("minutes", {"every": 10}, every(10).minutes),
        ("hour", {}, every().hour),
        ("day", {}, every().day),
        ("day", {"every": 2}, every(2).days),
        ("day", {"at": "14:00"}, every().day.at("14:00")),
        (
            "days",
            {"every": 2, "at": time(14), "tz": "Europe/Paris"},
            every(2).days.at("14:00", "Europe/Paris"),
        ),
        ("week", {"at": "14:00:30"}, every().week.at("14:00:30")),
        ("months", {"every": 1}, every().month.at("00:00")),
        ("years", {"every": 2, "at": "06:00"}, every(2).years.at("06:00")),
        ("friday", {}, every().friday),
        ("friday", {"every": 1}, every().friday),
        (
            "friday",
            {"at": "14:00", "tz": "Europe/Paris"},
            every().friday.at("14:00", "Europe/Paris"),
        ),
        (
            "friday",
            {"every": 2, "tz": "Europe/Paris"},
            every(2).weeks.on("fri").at("00:00", "Europe/Paris"),
        ),
        (
            "hour",
            {"until": "2026-05-02"},
            IntervalTrigger(hours=1, end="2026-05-02T23:59:59.999999Z"),
        ),
        ("hour", {"until": timedelta(hours=8)}, every().hour.until("PT8H")),
        (
            "hour",
            {"until": "18:30", "tz": "Europe/Paris"},
            every().hour.until(time(18, 30), tz="Europe/Paris"),
        ),
        (
            "monday",
            {"until": date(2026, 6, 1), "tz": "Europe/Paris"},
            every().monday.at("00:00", "Europe/Paris").until(date(2026, 6, 1)),
        ),
    ],
)
def test_words_mean_the_phrase(unit: str, words: dict[str, Any], phrase: Any) -> None:
    assert from_unit(unit, **words) == phrase


@pytest.mark.parametrize(
    ("words", "field", "remedy"),
    [
        ({"unit": "fortnight"}, "unit", "seconds"),
        ({"unit": 5}, "unit", "seconds"),
        ({"unit": "Friday"}, "unit", "friday"),
        ({"unit": "friday", "every": "14:00"}, "every", "at='14:00'"),
        ({"unit": "minutes", "every": "10"}, "every", "every=1"),
        ({"unit": "minutes", "every": True}, "every", "every=1"),
        ({"unit": "minutes", "every": 10, "at": ""}, "at", "leave it out"),
        ({"unit": "day", "at": 840}, "at", "at='14:00'"),
        ({"unit": "day", "at": "25:00"}, "at", "HH:MM"),
        ({"unit": "day", "at": ""}, "at", "HH:MM"),
        ({"unit": "day", "every": 2, "at": "14:00"}, "at", "unit='days'"),
        (
            {"unit": "monday", "every": 2, "at": "14:00"},
            "at",
            'every(2).weeks.on("mon").at("14:00")',
        ),
        ({"unit": "hour", "every": 2}, "every", "unit='hours'"),
        ({"unit": "hours"}, "every", "unit='hour'"),
        ({"unit": "day", "tz": "Mars/X"}, "tz", "Europe/Paris"),
        ({"unit": "hour", "until": "soon"}, "end", "2030"),
        ({"unit": "hour", "until": timedelta(0)}, "until", "longer"),
        ({}, "time_unit", "minutes"),
        ({"unit": "hour", "time_unit": "hour"}, "time_unit", "minutes"),
        ({"unit": "hour", "run_continuous": True}, "run_continuous", "time_unit"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: dict[str, Any], field: str, remedy: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        ScheduleConfig(**words)
    assert caught.value.field == field
    assert remedy in caught.value.remedy


def test_a_remedy_is_right() -> None:
    remedy = every(2).weeks.on("mon").at("14:00")
    monday, later = remedy.upcoming(2, NOW)
    assert (monday.weekday(), later - monday) == (0, timedelta(weeks=2))


@pytest.mark.parametrize(
    "until",
    [None, "18:30", "2030-01-01", NOW, date(2030, 1, 1), timedelta(hours=8), time(18)],
)
def test_a_configuration_survives_as_json(until: Any) -> None:
    config = ScheduleConfig(every=2, unit="days", at=time(14, 0, 30), until=until)
    assert config.time_unit == "days"
    again = ScheduleConfig.model_validate_json(config.model_dump_json())
    assert again.trigger() == config.trigger()
    assert ScheduleConfig.model_validate(config.model_dump()) == config


def test_it_can_be_part_of_a_larger_configuration() -> None:
    class Settings(BaseModel):
        report: ScheduleConfig

    data = {"report": {"every": 10, "unit": "minutes"}}
    assert Settings.model_validate(data).report.trigger() == every(10).minutes
    data = {"report": {"every": "14:00", "unit": "friday"}}
    with pytest.raises(ValidationError, match="at='14:00'"):
        Settings.model_validate(data)
