"""Another library's opinion, where it and the rule of this house must agree."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from aiosched.instants import micros, moment
from aiosched.triggers import CronTrigger
from tests.unit.triggers.reference import Reference

EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "*/7 */5 * * *",
    "0 * * * *",
    "15 */2 * * *",
    "0 0 * * *",
    "30 2 * * *",
    "0,30 2 * * *",
    "0 9 * * mon-fri",
    "0 0 1 * *",
    "0 0 31 * *",
    "0 12 13 * 5",
    "0 6 1-7 * 1",
    "59 23 L * *",
    "0 4 * * 5#2",
    "0 4 * * 5L",
    "*/10 8-18 * 1-6 sun",
    "0 0 29 2 *",
    "5 4 * * 0",
    "5 4 * * 7",
    "0 22 * * 1-5",
    "23 0-20/2 * * *",
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_agrees_with_cronsim(expression: str, zone: str) -> None:
    trigger = CronTrigger(expression, tz=zone)
    for year, month, day in ((2026, 1, 1), (2026, 3, 1), (2026, 10, 20)):
        begin = datetime(year, month, day, tzinfo=ZoneInfo(zone))
        other = CronSim(expression, begin)
        slot = trigger.next(micros(begin))
        for _ in range(120):
            expected = next(other)
            assert slot is not None
            assert moment(slot) == moment(micros(expected)), expected
            slot = trigger.next(slot)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "UTC"])
@pytest.mark.parametrize(
    "expression",
    ["*/15 * * * *", "7 * * * *", "30 2 * * *", "0,20 1-4 * * *", "*/40 */3 * * *"],
)
def test_a_whole_year_agrees_with_the_reference(expression: str, zone: str) -> None:
    trigger = CronTrigger(expression, tz=zone)
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))
    end = begin + timedelta(days=365)
    expected = [micros(one) for one in Reference(expression, zone).fires(begin, end)]
    found: list[int] = []
    slot = trigger.next(micros(begin) - 1)
    while slot is not None and slot < micros(end):
        found.append(slot)
        slot = trigger.next(slot)
    assert found == expected
    assert trigger.count(micros(begin), micros(end) - 1) == len(expected)
