"""What holds for any trigger, drawn at random."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers import (
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    RandomIntervalTrigger,
    Trigger,
    trigger_from_data,
)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
    "America/Nuuk",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Pacific/Apia",
    "America/St_Johns",
    "Asia/Kathmandu",
)
instants = st.integers(
    micros(datetime(1985, 1, 1, tzinfo=UTC)), micros(datetime(2045, 1, 1, tzinfo=UTC))
)
zones = st.sampled_from(ZONES)


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    """Draw a cron field."""
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    return st.one_of(
        st.just("*"),
        st.just("*"),
        number.map(str),
        st.lists(number, min_size=1, max_size=4).map(
            lambda values: ",".join(map(str, values))
        ),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.integers(1, high - max(low, 1)).map(lambda step: f"*/{step}"),
    )


crons = st.builds(
    lambda parts, tz, gap, fold, day_or: CronTrigger(
        " ".join(parts), tz=tz, gap=gap, fold=fold, day_or=day_or
    ),
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), fields(0, 6)),
    zones,
    st.sampled_from([None, None, "next", "skip"]),
    st.sampled_from([None, None, "first", "last", "both"]),
    st.booleans(),
)
intervals = st.builds(
    lambda length, start, end: IntervalTrigger(
        milliseconds=length,
        start=moment(start),
        end=None if end is None else moment(start + end),
    ),
    st.integers(1, 10**9),
    instants,
    st.none() | st.integers(0, 10**15),
)
calendars = st.builds(
    lambda parts, at, tz, start, month_end: CalendarIntervalTrigger(
        **dict([parts]),
        at=f"{at // 60:02}:{at % 60:02}",
        tz=tz,
        start=start,
        month_end=month_end,
    ),
    st.tuples(st.sampled_from(["days", "weeks", "months", "years"]), st.integers(1, 9)),
    st.integers(0, 1439),
    zones,
    st.dates(date(1985, 1, 1), date(2044, 12, 31)),
    st.sampled_from(["skip", "clamp"]),
)
varied = st.builds(
    lambda low, more, start: RandomIntervalTrigger(
        low=low, high=low + more, unit="seconds", start=moment(start)
    ),
    st.integers(1, 1000),
    st.integers(1, 1000),
    instants,
)
dates = instants.map(lambda at: DateTrigger(moment(at)))
plain = st.one_of(crons, intervals, calendars, varied, dates)
either = st.lists(plain, min_size=1, max_size=3).map(
    lambda some: some[0] if len(some) == 1 else some[0] | some[1]
)
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(either, instants)
def test_slots_rise_and_are_found_and_counted_from_any_side(
    trigger: Trigger, after: int
) -> None:
    slots: list[int] = []
    slot = trigger.next(after)
    while slot is not None and len(slots) < 12:
        slots.append(slot)
        slot = trigger.next(slot)
    assert all(one < two for one, two in pairwise([after, *slots]))
    for number, slot in enumerate(slots):
        assert trigger.last(slot) == slot
        assert trigger.count(after + 1, slot) == number + 1
        assert trigger.count(slot, slot) == 1
        assert trigger.next(slot - 1) == slot
    for one, two in pairwise(slots):
        assert trigger.last(two - 1) == one
        assert trigger.next((one + two) // 2) == two
        assert trigger.count(one + 1, two - 1) == 0
    if slots and (before := trigger.last(after)) is not None:
        assert trigger.next(before) == slots[0]


@quick
@given(st.one_of(crons, calendars, intervals, varied), instants, st.integers(1, 10**13))
def test_a_count_is_a_sum_of_counts(trigger: Trigger, first: int, length: int) -> None:
    middle, until = first + length // 3, first + length
    whole = trigger.count(first, until)
    parts = trigger.count(first, middle) + trigger.count(middle + 1, until)
    assert whole == parts
    assert (whole > 0) == (trigger.reach(first, until) is not None)


@quick
@given(plain | either)
def test_data_and_sharing_lose_nothing(trigger: Trigger) -> None:
    again = trigger_from_data(json.loads(json.dumps(trigger.to_data())))
    assert again == trigger
    assert trigger.rule().with_instant(trigger.own_instant()) == trigger
    assert trigger.rule().rule() == trigger.rule()


@quick
@given(st.one_of(intervals, dates), instants, instants)
def test_a_shared_rule_answers_like_the_trigger(
    trigger: Trigger, one: int, two: int
) -> None:
    rule, own = trigger.rule(), trigger.own_instant()
    low, high = sorted((one, two))
    assert rule.next(low, own) == trigger.next(low)
    assert rule.last(high, own) == trigger.last(high)
    assert rule.count(low, high, own) == trigger.count(low, high)


@quick
@given(st.one_of(crons, calendars), instants)
def test_a_fire_is_a_real_local_time_of_its_expression(
    trigger: CronTrigger | CalendarIntervalTrigger, after: int
) -> None:
    fire = trigger.next_fire_time(moment(after))
    assume(fire is not None)
    assert fire is not None
    zone = ZoneInfo(trigger.tz)
    local = fire.astimezone(zone)
    assert local.astimezone(UTC) == fire
    before = (fire - timedelta(microseconds=1)).astimezone(zone)
    at_a_gap = local.replace(tzinfo=None) - before.replace(tzinfo=None) > timedelta(
        seconds=1
    )
    if isinstance(trigger, CalendarIntervalTrigger) and not at_a_gap:
        assert local.strftime("%H:%M") == trigger.at


@quick
@given(st.text(max_size=30) | st.text("0123456789*/-,LW#? ", max_size=30))
def test_any_text_is_a_cron_expression_or_refused(text: str) -> None:
    refused: TriggerError | None = None
    try:
        fire = CronTrigger(text).next(0)
    except TriggerError as error:
        refused, fire = error, None
    assert (fire is None) == (refused is not None)
    assert refused is None or refused.field == "expression"
