"""Triggers made of triggers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros
from aiosched.triggers import (
    LOOK_LIMIT,
    AndTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    OrTrigger,
    RRuleTrigger,
    Trigger,
    trigger_from_data,
)
from tests.unit.triggers.work import calls

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


PARIS = "Europe/Paris"
EVEN = OrTrigger([CronTrigger(f"{m} * * * *", tz=PARIS) for m in range(0, 40, 2)])
ODD = OrTrigger([CronTrigger(f"{m} * * * *") for m in range(1, 40, 2)])
DAILY = CronTrigger("0 0 * * *", tz=PARIS)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (CronTrigger("0 * * * *"), CronTrigger("30 * * * *")),
        (
            CronTrigger("0 * * * *", tz=PARIS),
            CronTrigger("30 * * * *", tz="Asia/Tokyo"),
        ),
        (DAILY, CronTrigger("0 0 * * *", tz="Asia/Tokyo")),
        (EVEN, ODD),
        (EVEN, ODD | DAILY.excluding("sat")),
        (
            CronTrigger("*/2 * * * * *", seconds="first"),
            CronTrigger("1-59/2 * * * * *", seconds="first"),
        ),
        (
            RRuleTrigger("FREQ=HOURLY;BYMINUTE=0,5,10,15", start="2020-01-01"),
            CronTrigger("3 * * * *"),
        ),
        (THREE & FOUR | DAILY, CronTrigger("7 * * * *", tz="Asia/Kathmandu")),
        (THREE, IntervalTrigger(seconds=9, start=NOON + timedelta(seconds=1))),
    ],
)
def test_a_refusal_is_cheap_however_much_there_is_to_try(
    one: Trigger, two: Trigger
) -> None:
    def refused() -> None:
        with pytest.raises(TriggerError, match="do not meet"):
            one & two

    # Some three thousand questions, of about twelve calls each.
    assert calls(refused) < 60_000


@pytest.mark.parametrize(
    ("one", "two", "first"),
    [
        (
            CronTrigger("0 9 13 * *"),
            CronTrigger("0 9 * * fri"),
            datetime(2026, 11, 13, 9, tzinfo=UTC),
        ),
        (
            OrTrigger([CronTrigger(f"0 9 {day} * *") for day in range(1, 21)]),
            CronTrigger("0 9 * feb mon#1"),
            datetime(2027, 2, 1, 9, tzinfo=UTC),
        ),
        # A minute less each day, so it takes 1,260 days to come to nine o'clock.
        (
            IntervalTrigger(minutes=1439, start=datetime(2026, 5, 2, 6, tzinfo=UTC)),
            CronTrigger("0 9 * * *"),
            datetime(2029, 10, 12, 9, tzinfo=UTC),
        ),
        # Fixed times meet where a gap ends.
        (
            CronTrigger("30 2 * * *", tz=PARIS),
            CronTrigger("0 3 * * *", tz=PARIS),
            datetime(2027, 3, 28, 1, tzinfo=UTC),
        ),
    ],
)
def test_what_meets_rarely_is_found(
    one: Trigger, two: Trigger, first: datetime
) -> None:
    assert (one & two).upcoming(1, NOON) == [first]
    assert (two & one).next_fire_time(NOON) == first


@given(
    steps=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    delays=st.lists(st.integers(0, 40), min_size=4, max_size=4),
    end=st.none() | st.integers(0, 4000),
)
def test_intervals_meet_by_arithmetic(
    steps: list[int], delays: list[int], end: int | None
) -> None:
    final = None if end is None else NOON + timedelta(seconds=end)
    sets = []
    parts: list[Trigger] = []
    for step, delay in zip(steps, delays, strict=False):
        start = NOON + timedelta(seconds=delay)
        bound = None if final is None else max(final, start)
        parts.append(IntervalTrigger(seconds=step, start=start, end=bound))
        limit = 5000 if end is None else min(5000, max(end, delay) + 1)
        sets.append(set(range(delay, limit, step)))
    expected = sorted(set.intersection(*sets))
    try:
        trigger = AndTrigger(parts)
    except TriggerError:
        assert not expected
        return
    if expected:  # else they meet later
        assert sorted(seconds(trigger, 5000)) == expected
        last = T0 + expected[-1] * SECOND
        assert trigger.last(T0 + 5000 * SECOND - 1) == last
        assert trigger.next(last - 1) == last


def test_intervals_that_meet_rarely_are_not_searched_for() -> None:
    def asked() -> None:
        one = IntervalTrigger(milliseconds=8_640_001, start=NOON)
        other = IntervalTrigger(milliseconds=3_599_993, start=NOON)
        both = one & other
        assert both.next(T0) == T0 + 8_640_001 * 3_599_993 * 1000

    assert calls(asked) < 500


# --- bounds -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AndTrigger, OrTrigger])
def test_a_combination_with_bounds_is_not_taken_apart(
    kind: type[AndTrigger | OrTrigger],
) -> None:
    end = NOON + timedelta(seconds=60)
    inner = kind([THREE, FOUR], start=NOON, end=end)
    outer = kind([inner, FIVE])
    assert outer.triggers == (inner, FIVE)
    assert inner != kind([THREE, FOUR])
    assert trigger_from_data(inner.to_data()) == inner
    assert "2026-05-01 12:01:00" in inner.describe()
    assert seconds(inner, 200) == {
        one for one in seconds(kind([THREE, FOUR]), 200) if one <= 60
    }


def test_a_part_that_is_pinned_keeps_the_bounds() -> None:
    end = NOON + timedelta(hours=3)
    for kind in (AndTrigger, OrTrigger):
        trigger = kind(
            [IntervalTrigger(hours=1), CronTrigger("0 * * * *")], end=end
        ).anchored(NOON)
        assert trigger.upcoming(9, NOON)[-1] == end
        drawn = kind([CronTrigger("H * * * *"), CronTrigger("* * * * *")], end=end)
        assert drawn.for_job("a").upcoming(999, NOON)[-1] <= end


def test_an_and_that_does_not_meet_within_its_bounds_is_refused() -> None:
    parts = [CronTrigger("0 9 13 * *"), CronTrigger("0 9 * * fri")]
    with pytest.raises(TriggerError, match="do not meet"):
        AndTrigger(parts, start="2026-12-01T00:00:00Z", end="2027-06-01T00:00:00Z")
    with pytest.raises(TriggerError, match="before the start"):
        AndTrigger(parts, start="2026-12-01T00:00:00Z", end="2026-06-01T00:00:00Z")
    AndTrigger(parts, start="2014-12-01T00:00:00Z", end="2015-06-01T00:00:00Z")


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
