"""The slots of another trigger within a range."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers import CronTrigger, IntervalTrigger, Trigger, trigger_from_data
from aiosched.triggers.backfill import BackfillTrigger
from aiosched.triggers.date import DateTrigger

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
MINUTE = 60_000_000
INNER: list[Trigger] = [
    IntervalTrigger(minutes=50, start=BEGIN - timedelta(days=9)),
    IntervalTrigger(minutes=50, start=BEGIN, end=BEGIN + timedelta(days=2)),
    CronTrigger("*/25 6-9 * * *", tz="Europe/Paris"),
    CronTrigger("0 */5 * * *", tz="Europe/Paris").excluding("sat-sun"),
    CronTrigger("0 */5 * * sun", tz="UTC").excluding("sun", shift="next_business_day"),
    CronTrigger("0 3 * * *") | IntervalTrigger(hours=7, start=BEGIN),
    DateTrigger(BEGIN + timedelta(days=1)),
]
MINUTES = st.integers(-2 * 1440, 9 * 1440)


def slots(trigger: Trigger, first: int, last: int) -> list[int]:
    found, slot = [], trigger.next(first - 1)
    while slot is not None and slot <= last:
        found.append(slot)
        slot = trigger.next(slot)
    return found


def instant(minutes: int) -> int:
    return micros(BEGIN) + minutes * MINUTE


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(INNER), MINUTES, MINUTES, MINUTES, MINUTES)
def test_it_has_the_slots_of_the_range_and_their_fates(
    inner: Trigger, since: int, until: int, first: int, last: int
) -> None:
    """Every question, against listing the other trigger's slots."""
    since, until = (instant(minutes) for minutes in sorted((since, until)))
    first, last = (instant(minutes) for minutes in sorted((first, last)))
    trigger = BackfillTrigger(inner, moment(since), moment(until))
    everything = slots(inner, since, until)
    here = [s for s in everything if first <= s <= last]
    assert slots(trigger, first, last) == here
    assert trigger.count(first, last) == len(here)
    reached = trigger.reach(first, last)
    assert reached == (here[-1] if here else None)
    before = [slot for slot in everything if slot <= last]
    assert trigger.last(last) == (before[-1] if before else None)
    assert [trigger.due(slot) for slot in here] == [inner.due(slot) for slot in here]
    assert trigger.plain == inner.plain
    assert trigger.closes() == inner.closes()
    if here:
        stretch = trigger.stretch(here[0], last + 99 * MINUTE)
        assert stretch == inner.stretch(here[0], min(last + 99 * MINUTE, until))


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: inner.kind)
def test_it_goes_through_data_and_pickle(inner: Trigger) -> None:
    trigger = BackfillTrigger(inner, BEGIN, BEGIN + timedelta(days=3))
    assert trigger_from_data(trigger.to_data()) == trigger
    assert pickle.loads(pickle.dumps(trigger)) == trigger
    assert trigger.rule() == trigger
    assert not trigger.needs_pin()
    assert trigger.anchored(datetime(2030, 1, 1, tzinfo=UTC)) is trigger


def test_a_bare_interval_counts_from_the_beginning_of_the_range() -> None:
    """Whether it is given bounds as datetimes or as text."""
    trigger = BackfillTrigger(
        IntervalTrigger(hours=1), "2024-03-01T00:30:00+00:00", "2024-03-01T03:40:00Z"
    )
    found = [
        moment(slot).strftime("%H:%M")
        for slot in slots(trigger, 0, micros(BEGIN) + 10**12)
    ]
    assert found == ["01:30", "02:30", "03:30"]


def test_what_is_drawn_from_a_jobs_id_is_settled_inside() -> None:
    hashed = CronTrigger("H H * * *")
    trigger = BackfillTrigger(hashed, BEGIN, BEGIN + timedelta(days=3))
    settled = trigger.for_job("job")
    assert settled.trigger == hashed.for_job("job")
    assert (settled.since, settled.until) == (trigger.since, trigger.until)
    plain = BackfillTrigger(INNER[0], BEGIN, BEGIN)
    assert plain.for_job("job") is plain


def test_it_says_what_it_is() -> None:
    trigger = BackfillTrigger(INNER[0], BEGIN, BEGIN + timedelta(days=1))
    assert trigger.describe() == (
        f"{INNER[0].describe()}, those from 2024-03-01 00:00:00 UTC "
        "to 2024-03-02 00:00:00 UTC"
    )


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("until", {"until": BEGIN - timedelta(microseconds=1)}),
        ("since", {"since": datetime(2024, 3, 1)}),  # noqa: DTZ001
        ("until", {"until": None}),
        ("until", {"until": "tomorrow"}),
        ("trigger", {"trigger": "0 9 * * *"}),
    ],
)
def test_what_it_refuses(field: str, given: dict[str, Any]) -> None:
    fields = {"trigger": INNER[0], "since": BEGIN, "until": BEGIN} | given
    with pytest.raises(TriggerError) as caught:
        BackfillTrigger(**fields)
    assert str(caught.value).startswith(field)
