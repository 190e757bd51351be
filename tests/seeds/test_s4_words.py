"""Triggers from the words of a configuration: S4-21 to S4-40."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest

from aiosched import (
    InvalidInputError,
    Job,
    ScheduleConfig,
    SchedulerStateError,
    every,
    from_unit,
)
from tests.engine.kit import World
from tests.seeds.clocked import instant, ran_at

# A Friday.
NOW = datetime(2026, 5, 1, 10, 5, 7, tzinfo=UTC)
HOURS = {"second": 1, "minute": 60, "hour": 3600}
WEEKDAYS = (
    *("monday", "tuesday", "wednesday", "thursday"),
    *("friday", "saturday", "sunday"),
)

pytestmark = pytest.mark.virtual(start=NOW, timeout=10**8)


def rows(first: int, values: Any) -> list[Any]:
    """Give each value the mark of its row, counted from the first."""
    return [
        pytest.param(value, marks=pytest.mark.seed(f"S4-{first + n}"), id=str(value))
        for n, value in enumerate(values)
    ]


def refused(unit: str, **words: Any) -> str:
    """Check that words are refused, in either form; return what was said."""
    with pytest.raises(InvalidInputError) as one:
        from_unit(unit, **words)
    with pytest.raises(InvalidInputError) as two:
        ScheduleConfig(unit=unit, **words)
    assert str(one.value) == str(two.value)
    assert one.value.remedy
    return str(one.value)


@pytest.mark.seed("S4-21", "S4-23")
async def test_every_ten_minutes() -> None:
    config = ScheduleConfig(every=10, unit="minutes")
    assert config == ScheduleConfig(every=10, time_unit="minutes")
    began = await ran_at(config.trigger(), timedelta(minutes=60))
    assert began == [NOW + timedelta(minutes=10 * n) for n in range(1, 7)]


@pytest.mark.seed("S4-23")
async def test_a_second_start_raises_and_each_tick_has_one_run() -> None:
    """``sc.start()`` of the original, as S4-08 checks it."""
    async with World() as world:
        peer = await world.peer()
        with pytest.raises(SchedulerStateError, match="started already"):
            await peer.start()
        ticks = ScheduleConfig(every=10, unit="minutes").trigger()
        await peer.schedule(Job("work", id="tick", trigger=ticks))
        with pytest.raises(SchedulerStateError, match="started already"):
            await peer.start()
        await asyncio.sleep(3_601)
        assert world.begun("tick") == [600 * n for n in range(1, 7)]
        assert len({ran.key for ran in world.of("tick")}) == 6


@pytest.mark.seed("S4-22")
def test_a_clock_time_is_no_number() -> None:
    assert "at='14:00'" in refused("friday", every="14:00")


@pytest.mark.seed("S4-24")
async def test_every_is_a_period() -> None:
    began = await ran_at(from_unit("hours", every=3), timedelta(hours=24))
    assert len(began) == 8
    for number in (0, -1, 1.5, True):
        refused("hours", every=number)
        with pytest.raises(InvalidInputError):
            every(number)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("second", marks=pytest.mark.seed("S4-25")),
        pytest.param("minute", marks=pytest.mark.seed("S4-27")),
        pytest.param("hour", marks=pytest.mark.seed("S4-29")),
    ],
)
async def test_a_unit_that_stands_alone(unit: str) -> None:
    step = timedelta(seconds=HOURS[unit])
    began = await ran_at(from_unit(unit), 3 * step)
    assert began == [NOW + n * step for n in (1, 2, 3)]
    refused(unit, every=2)
    refused(unit, at=":10")
    refused(unit, at="14:00")


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("seconds", marks=pytest.mark.seed("S4-26")),
        pytest.param("minutes", marks=pytest.mark.seed("S4-28")),
        pytest.param("hours", marks=pytest.mark.seed("S4-30")),
    ],
)
async def test_a_unit_that_needs_a_number(unit: str) -> None:
    step = timedelta(seconds=10 * HOURS[unit[:-1]])
    began = await ran_at(from_unit(unit, every=10), 3 * step)
    assert began == [NOW + n * step for n in (1, 2, 3)]
    refused(unit)
    refused(unit, at=":10")
    refused(unit, every=10, at=":10")


@pytest.mark.seed("S4-31")
@pytest.mark.parametrize(
    ("words", "first", "step"),
    [
        ({}, NOW + timedelta(days=1), 1),
        ({"at": "14:00"}, NOW.replace(hour=14, minute=0, second=0), 1),
        ({"every": 2}, NOW + timedelta(days=2), 2),
    ],
)
async def test_day(words: dict[str, Any], first: datetime, step: int) -> None:
    began = await ran_at(from_unit("day", **words), timedelta(days=7))
    assert began[:3] == [first + n * timedelta(days=step) for n in range(3)]


@pytest.mark.seed("S4-31")
def test_day_takes_one_of_both() -> None:
    assert "not both" in refused("day", every=2, at="14:00")


@pytest.mark.parametrize("unit", rows(32, WEEKDAYS))
async def test_weekday(unit: str) -> None:
    assert instant() == NOW
    for words, clock in (
        ({}, time()),
        ({"at": "14:00"}, time(14)),
        ({"every": 1}, time()),
    ):
        times = from_unit(unit, **words).upcoming(3, NOW)
        assert {(one.weekday(), one.time()) for one in times} == {
            (WEEKDAYS.index(unit), clock)
        }
        assert NOW < times[0] <= NOW + timedelta(weeks=1)
        assert {b - a for a, b in pairwise(times)} == {timedelta(weeks=1)}
    began = await ran_at(from_unit(unit, at="14:00"), timedelta(weeks=3))
    assert len(began) == 3
    assert "not both" in refused(unit, every=2, at="14:00")


@pytest.mark.parametrize("unit", rows(32, WEEKDAYS))
async def test_every_second_weekday_is_one_of_every_other_week(unit: str) -> None:
    began = await ran_at(from_unit(unit, every=2), timedelta(days=60))
    assert began == from_unit(unit, every=1).upcoming(9, NOW)[: 2 * len(began) : 2]
    assert {day.strftime("%A").lower() for day in began} == {unit}
    assert {two - one for one, two in pairwise(began)} == {timedelta(days=14)}
    assert len(began) >= 4


@pytest.mark.seed("S4-39")
@pytest.mark.parametrize(
    ("unit", "number", "expected"),
    [
        ("days", 2, ["03 10:05", "05 10:05"]),
        ("weeks", 1, ["08 10:05", "15 10:05"]),
        ("months", 1, ["01 00:00", "01 00:00"]),
        ("years", 1, ["01 00:00", "01 00:00"]),
    ],
)
def test_units_that_were_missing(unit: str, number: int, expected: list[str]) -> None:
    times = from_unit(unit, every=number).upcoming(2, NOW)
    assert [f"{one:%d %H:%M}" for one in times] == expected


@pytest.mark.seed("S4-40")
@pytest.mark.parametrize(
    ("at", "expected"), [("14:00", time(14)), ("14:00:30", time(14, 0, 30))]
)
def test_a_time_of_day(at: str, expected: time) -> None:
    assert from_unit("day", at=at).upcoming(1, NOW)[0].time() == expected
    paris = from_unit("day", at=at, tz="Europe/Paris").upcoming(1, NOW)[0]
    assert paris.time() == expected.replace(hour=12)


@pytest.mark.seed("S4-40")
@pytest.mark.parametrize("at", ["25:00", "2pm", "14", "14:60", "14:00:60", ":30", ""])
def test_no_time_of_day(at: str) -> None:
    refused("day", at=at)
    refused("friday", at=at)
