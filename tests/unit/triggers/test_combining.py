"""Triggers made of triggers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros
from aiosched.triggers import (
    LOOK_LIMIT,
    AndTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    OrTrigger,
    Trigger,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
T0 = micros(NOON)
THREE = IntervalTrigger(seconds=3, start=NOON)
FOUR = IntervalTrigger(seconds=4, start=NOON)
FIVE = IntervalTrigger(seconds=5, start=NOON)


def seconds(trigger: Trigger, until: int) -> set[int]:
    """Return the slots of the first seconds after noon."""
    found: set[int] = set()
    slot = trigger.next(T0 - 1)
    while slot is not None and slot < T0 + until * SECOND:
        found.add((slot - T0) // SECOND)
        slot = trigger.next(slot)
    return found


def multiples(number: int, until: int) -> set[int]:
    return set(range(0, until, number))


def test_they_follow_the_algebra_of_sets() -> None:
    three, four, five = (multiples(number, 200) for number in (3, 4, 5))
    assert seconds(THREE & FOUR, 200) == three & four
    assert seconds(THREE | FOUR, 200) == three | four
    assert seconds((THREE | FOUR) & FIVE, 200) == (three | four) & five
    assert seconds(THREE & FOUR | FIVE, 200) == (three & four) | five
    assert seconds(THREE & FOUR & FIVE, 200) == {0, 60, 120, 180}


@pytest.mark.parametrize(
    "trigger", [THREE & FOUR, THREE | FOUR, (THREE | FOUR) & FIVE], ids=["&", "|", "()"]
)
def test_looking_back_and_counting_agree(trigger: Trigger) -> None:
    slots = sorted(seconds(trigger, 300))
    for number, slot in enumerate(slots):
        at = T0 + slot * SECOND
        assert trigger.last(at) == at
        assert trigger.count(T0, at) == number + 1
        before = T0 + slots[number - 1] * SECOND if number else None
        assert trigger.last(at - 1) == before


def test_nesting_of_one_kind_is_taken_apart() -> None:
    assert AndTrigger([THREE, FOUR, FIVE]) == THREE & FOUR & FIVE
    assert len((THREE | (FOUR | FIVE)).triggers) == 3
    assert isinstance((THREE & FOUR) | FIVE, OrTrigger)


def test_friday_the_thirteenth_at_nine() -> None:
    trigger = CronTrigger("0 9 13 * *", tz="Europe/Paris") & CronTrigger(
        "* * * * fri", tz="Europe/Paris"
    )
    found = trigger.upcoming(3, datetime(2026, 1, 1, tzinfo=UTC))
    assert [one.strftime("%y-%m-%d %H") for one in found] == [
        "26-02-13 08",
        "26-03-13 08",
        "26-11-13 08",
    ]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (CronTrigger("0 9 * * *"), CronTrigger("0 10 * * *")),
        (THREE, IntervalTrigger(seconds=3, start=NOON + timedelta(seconds=1))),
        (DateTrigger(NOON), DateTrigger(NOON + timedelta(seconds=1))),
        (DateTrigger(NOON), CronTrigger("30 * * * *")),
        (
            CronTrigger("0 0 29 2 *", start=datetime(2045, 1, 1, tzinfo=UTC)),
            CronTrigger("* * * * mon"),
        ),
    ],
)
def test_an_and_that_does_not_meet_is_refused(one: Trigger, two: Trigger) -> None:
    with pytest.raises(TriggerError, match="ten years") as caught:
        one & two
    assert caught.value.field == "triggers"


def test_an_and_in_the_past_is_not_refused() -> None:
    old = datetime(1999, 1, 1, tzinfo=UTC)
    trigger = DateTrigger(old) & CronTrigger("0 0 1 1 *")
    assert trigger.upcoming(2, NOON) == []
    assert trigger.last(T0) == micros(old)


def test_what_is_not_pinned_is_judged_when_it_is() -> None:
    trigger = IntervalTrigger(hours=1) & CronTrigger("0 * * * *")
    assert trigger.needs_pin()
    pinned = trigger.anchored(NOON)
    assert pinned.upcoming(1, NOON) == [NOON + timedelta(hours=1)]
    assert trigger.next_fire_time(NOON) == NOON + timedelta(hours=1)
    with pytest.raises(TriggerError, match="ten years"):
        trigger.anchored(NOON + timedelta(seconds=1))


def test_an_or_pins_its_parts() -> None:
    trigger = IntervalTrigger(minutes=40) | CronTrigger("0 * * * *")
    minutes = [(one - NOON).seconds // 60 for one in trigger.upcoming(4, NOON)]
    assert minutes == [40, 60, 80, 120]


def test_a_look_is_bounded() -> None:
    trigger = THREE | FOUR
    until = T0 + 10**6 * SECOND
    assert trigger.count(T0, until) == LOOK_LIMIT
    reached = trigger.reach(T0, until)
    assert reached is not None
    assert reached < until
    assert trigger.count(T0, reached) == LOOK_LIMIT


@pytest.mark.parametrize("given", [[], [5], "cron", 5, [None]])
def test_only_triggers_can_be_combined(given: object) -> None:
    for kind in (AndTrigger, OrTrigger):
        with pytest.raises(TriggerError) as caught:
            kind(given)  # type: ignore[arg-type]
        assert caught.value.field.startswith("triggers")
