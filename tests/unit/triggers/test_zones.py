"""Every zone of the tz database, 2024 to 2032, against a walk over UTC.

By default each distinct history of offsets is checked once; ``--long`` checks
every zone by itself and walks each minute.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from aiosched.instants import SECOND
from aiosched.triggers import CronTrigger
from tests.unit.triggers.zones import (
    DAY,
    EXPRESSIONS,
    QUARTER,
    changes,
    expected,
    histories,
    instant,
    recorded_changes,
    zone_names,
)

YEARS = [instant(f"{year}-01-01") for year in range(2024, 2034)]
PARTS = 8
# Around a change every slot is asked for; the rest of the densest is counted.
AROUND = 3 * DAY


def slots(trigger: CronTrigger, low: int, high: int) -> list[int]:
    """Ask for one slot after the other, in ``low <= slot < high``; in seconds."""
    found = []
    slot = trigger.next(low * SECOND - 1)
    while slot is not None and slot < high * SECOND:
        found.append(slot // SECOND)
        slot = trigger.next(slot)
    return found


def check(name: str, low: int, high: int, *, step: int, whole: bool) -> None:
    """Compare all answers of one zone with the walk."""
    truth = expected(name, EXPRESSIONS, low, high, step)
    edges = [low, *(change.at for change in changes(name, low, high)), high]
    for expression in EXPRESSIONS:
        trigger = CronTrigger(expression, tz=name)
        fires = truth.fires[expression]
        for begin in range(low, high, DAY):
            end = min(begin + DAY, high)
            there = bisect_left(fires, end) - bisect_left(fires, begin)
            counted = trigger.count(begin * SECOND, end * SECOND - 1)
            assert counted == there, (name, expression, begin)
        if whole or expression != "*/15 * * * *":
            windows = [(low, high)]
        else:
            windows = [(max(at - AROUND, low), min(at + AROUND, high)) for at in edges]
        for begin, end in windows:
            found = slots(trigger, begin, end)
            there = fires[bisect_left(fires, begin) : bisect_left(fires, end)]
            assert found == there, (name, expression, begin)
            assert all(one < two for one, two in pairwise(found))
        for at in edges:
            look_back(trigger, fires, at)
    rounds(name, truth.fires["*/15 * * * *"], edges, whole=whole)
    for expression in EXPRESSIONS[:3]:
        once_a_day(name, truth.fires[expression], truth.days)


def look_back(trigger: CronTrigger, fires: list[int], at: int) -> None:
    """Check that the latest slot is found from around an instant."""
    where = bisect_left(fires, at)
    for one, two in pairwise(fires[max(where - 5, 0) : where + 5]):
        assert trigger.last(two * SECOND - 1) == one * SECOND, (trigger.tz, at)
        assert trigger.last(one * SECOND) == one * SECOND, (trigger.tz, at)


def rounds(name: str, fires: list[int], edges: list[int], *, whole: bool) -> None:
    """Check that instants come back from wall time, told apart by their fold."""
    zone = ZoneInfo(name)
    if not whole:
        near = [
            (bisect_left(fires, at - DAY), bisect_left(fires, at + DAY)) for at in edges
        ]
        fires = [one for begin, end in near for one in fires[begin:end]]
    for one in fires:
        local = datetime.fromtimestamp(one, zone)
        again = datetime.fromisoformat(local.replace(tzinfo=None).isoformat())
        assert again.replace(tzinfo=zone, fold=local.fold).timestamp() == one


def once_a_day(name: str, fires: list[int], days: list[str]) -> None:
    """Check that each local date that exists has one fire, and no other has."""
    zone = ZoneInfo(name)
    dates = [datetime.fromtimestamp(one, zone).date().isoformat() for one in fires]
    begin = days.index(dates[0])
    assert dates == days[begin : begin + len(dates)], name


@pytest.mark.parametrize("part", range(PARTS))
def test_every_history_of_offsets_agrees_with_the_walk(part: int) -> None:
    distinct = sorted(set(histories().values()))
    assert len(distinct) > 50
    for name in distinct[part::PARTS]:
        check(name, YEARS[0], YEARS[-1], step=QUARTER, whole=False)


def test_zones_of_one_history_answer_alike() -> None:
    low, high = YEARS[0] * SECOND, YEARS[-1] * SECOND
    for name, other in histories().items():
        one = CronTrigger("30 2 * * *", tz=name)
        two = CronTrigger("30 2 * * *", tz=other)
        assert one.count(low, high) == two.count(low, high)
        for change in changes(other, YEARS[2], YEARS[4]):
            at = (change.at - DAY) * SECOND
            for _ in range(3):
                slot = one.next(at)
                assert slot == two.next(at), (name, other)
                assert slot is not None
                at = slot


def test_a_zone_changes_its_clock_at_most_every_third_day() -> None:
    # The wall is looked at every other day, which sees no more than that.
    for name in zone_names():
        for one, two in pairwise(recorded_changes(name)):
            assert two.at - one.at > 3 * DAY, (name, one, two)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each zone where there is time for it, else of one."""
    if metafunc.function is test_a_zone_by_itself:
        config = metafunc.config
        long = config.getoption("--long") or os.environ.get("AIOSCHED_LONG")
        names = zone_names() if long else ["Antarctica/Troll"]
        metafunc.parametrize("name", names)


def test_a_zone_by_itself(name: str) -> None:
    for low, high in pairwise(YEARS):
        check(name, low, high, step=60, whole=True)
