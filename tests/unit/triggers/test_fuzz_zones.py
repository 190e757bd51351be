"""Random expressions around the clock changes of every zone, and in all of history.

What is drawn depends on the zone's name alone, so that a failure comes again;
``--long`` draws more.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import gcd
from random import Random

import pytest

from aiosched.instants import SECOND
from aiosched.triggers import CronTrigger
from aiosched.triggers.base import LAST_INSTANT
from tests.unit.triggers.zones import (
    DAY,
    EXPRESSIONS,
    QUARTER,
    Change,
    changes,
    expected,
    histories,
    instant,
    recorded_changes,
    zone_names,
)

PARTS = 8
LOW, HIGH = instant("2000-01-01"), instant("2038-01-01")
MINUTES = ("0", "30", "15,45", "*/15", "0-45/15", "*/30", "0,15,30")
HOURS = ("*", "0", "1", "2", "3", "23", "1-3", "0,2", "*/2", "2-23/3", "*/6", "22-23")
DAYS = ("*", "*", "*", "1", "L", "15W", "1W", "31W", "1-7", "*/2", "28-31", "30,L")
MONTHS = ("*", "*", "*", "3,4", "9-11", "*/3", "12", "1-6")
WEEKDAYS = ("*", "*", "*", "0", "1-5", "0,6", "6#5", "0#1", "0L", "5L", "0-6/2")


def drawn(random: Random) -> str:
    """Draw an expression whose times are whole quarters of an hour."""
    fields = (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)
    return " ".join(random.choice(choices) for choices in fields)


def agrees(name: str, expression: str, low: int, high: int, step: int) -> int:
    """Compare a trigger with the walk, from each side; return the slots there."""
    fires = expected(name, [expression], low, high, step).fires[expression]
    trigger = CronTrigger(expression, tz=name)
    where = (name, expression, low)
    found = []
    slot = trigger.next(low * SECOND - 1)
    while slot is not None and slot < high * SECOND:
        found.append(slot // SECOND)
        slot = trigger.next(slot)
    assert found == fires, where
    assert all(one < two for one, two in pairwise(found)), where
    assert trigger.count(low * SECOND, high * SECOND - 1) == len(fires), where
    middle = (low + high) // 2
    counted = trigger.count(middle * SECOND, high * SECOND - 1)
    assert counted == len(fires) - bisect_left(fires, middle), where
    back = []
    slot = trigger.last(high * SECOND - 1)
    while slot is not None and slot >= low * SECOND:
        back.append(slot // SECOND)
        slot = trigger.last(slot - 1)
    assert back[::-1] == fires, where
    return len(fires)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_expressions_agree_with_the_walk(part: int, *, long_run: bool) -> None:
    fired = 0
    for name in zone_names()[part::PARTS]:
        random = Random(name)  # a string seeds alike everywhere
        turns = [one.at for one in changes(name, LOW, HIGH, step=2 * DAY)]
        for _ in range(60 if long_run else 3):
            at = random.choice(turns or [random.randrange(LOW, HIGH)])
            low = (at - random.randrange(1, 6) * DAY) // QUARTER * QUARTER
            high = low + random.randrange(4, 40) * DAY
            fired += agrees(name, drawn(random), low, high, QUARTER)
    assert fired > 1000


def test_beyond_the_years_that_are_listed_the_zones_rule_holds() -> None:
    final = LAST_INSTANT // SECOND // QUARTER * QUARTER
    turned = 0
    for name in sorted(set(histories().values())):
        random = Random(name)
        low = instant(f"{random.randrange(2040, 9990)}-01-01")
        for change in changes(name, low, low + 366 * DAY):
            agrees(
                name, "30 2 * * *", change.at - 2 * DAY, change.at + 2 * DAY, QUARTER
            )
            turned += 1
        # The end of the calendar: the walk and the triggers stop at one instant.
        agrees(name, "*/15 0-3 * * *", final - 20 * DAY, final + 1, QUARTER)
        assert CronTrigger("30 2 * * *", tz=name).next(final * SECOND) is None
    assert turned > 50


def shape(change: Change) -> tuple[int, int, int]:
    """Return what a change has to do with slots: times of day, not dates."""
    return (change.before, change.after, change.at % DAY)


def test_every_shape_of_change_in_history_agrees_with_the_walk(
    *, long_run: bool
) -> None:
    seen: dict[tuple[int, int, int], tuple[str, int]] = {}
    for name in zone_names():
        for change in recorded_changes(name):
            # The file's own years, those of the future are in other tests.
            if change.at < HIGH:
                seen.setdefault(shape(change), (name, change.at))
    odd = whole = 0
    for (before, after, at), (name, second) in sorted(seen.items()):
        step = gcd(QUARTER, before, after, at)
        if step < 60 and not long_run and odd >= 5:
            continue  # local mean times to the second: a walk of each second
        odd, whole = odd + (step < 60), whole + 1
        low = (second - 2 * DAY) // QUARTER * QUARTER
        for expression in EXPRESSIONS:
            agrees(name, expression, low, low + 4 * DAY, step)
    assert whole > 300
