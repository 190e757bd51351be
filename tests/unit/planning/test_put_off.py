"""Slots that are put off: by jitter, or to another day, and then by a change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from aiosched import planning
from aiosched.enums import Overlap, Reason, RowKind
from aiosched.instants import SECOND, moment
from aiosched.planning.moments import due_at, fraction
from aiosched.records import Definition, Spec
from aiosched.triggers import CronTrigger, every
from aiosched.triggers.base import Trigger
from aiosched.triggers.interval import IntervalTrigger
from tests.model.spotty import SpottyTrigger
from tests.unit.planning.test_policies import ONCE, T0, Story

MINUTE = 60 * SECOND
SLOT = 120
"""Put off by about forty seconds where the job's jitter is 55."""
EVERY_MINUTE = IntervalTrigger(seconds=60).rule()
EVERY_HALF = IntervalTrigger(seconds=30).rule()
END = moment(T0) + timedelta(hours=30)
TRIGGERS: list[Trigger] = [
    IntervalTrigger(seconds=977, start=moment(T0)),
    IntervalTrigger(seconds=977, start=moment(T0), end=END),
    CronTrigger("*/7 * * * *", tz="Europe/Paris"),
    CronTrigger("0 9 * * *") | CronTrigger("5,50 9 * * *", end=END),
    CronTrigger("*/30 * * * *").excluding("sat-sun"),
    CronTrigger("30 2,13 * * *").excluding("sun", shift="previous_business_day"),
    CronTrigger("30 2 * * fri-sat").excluding("sat", shift="next_business_day"),
    every(300).to(3000).seconds.anchored(moment(T0)),
    SpottyTrigger(begin=T0, period=90 * MINUTE, day=600 * MINUTE, shift="next"),
]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(TRIGGERS),
    st.sampled_from([1, 30, 700, 7_200, 200_000]),
    st.integers(0, 40),
)
def test_jitter_ends_before_the_next_slot_and_at_the_end(
    trigger: Trigger, jitter: int, skip: int
) -> None:
    """Each slot in its turn, none before its own instant, and shares stay shares."""
    spec = Spec("work", trigger, jitter=jitter * SECOND)
    definition = Definition("job", spec)
    slot = trigger.next(T0 + skip * 1_000 * SECOND)
    bases: list[tuple[int, int, int]] = []
    for _ in range(60):
        if slot is None:
            break
        base, due = trigger.due(slot), due_at(definition, slot)
        assert (base is None) == (due is None)
        if base is not None and due is not None:
            bases.append((slot, base, due))
        slot = trigger.next(slot)
    end = trigger.closes()
    for (slot, base, due), (_, following, later) in pairwise(bases):
        most = min(jitter * SECOND, following - base)
        if end is not None:
            most = min(most, max(0, end - base))
        assert due == base + int(fraction("job", str(slot)) * most)
        assert due < following or due == base == following
        assert due <= later


@pytest.mark.parametrize("overlap", list(Overlap))
def test_jitter_longer_than_the_interval_loses_no_slot(overlap: Overlap) -> None:
    story = Story(
        IntervalTrigger(seconds=10).rule(), jitter=1_000 * SECOND, overlap=overlap
    )
    for turn in range(50):
        at = story.due()
        assert at is not None
        assert 10 * turn <= at < 10 * (turn + 1)
        assert story.attend(at) == [10 * turn]
        story.settle(at)
    assert story.passed() == []


def put_off(trigger: Trigger = EVERY_MINUTE, **options: Any) -> Story:
    """A job whose slot at ``SLOT`` has come, and is put off by its jitter."""
    story = Story(trigger, jitter=55 * SECOND, **options)
    for _ in range(SLOT // 60):
        at = story.due()
        assert at is not None
        assert len(story.attend(at)) == 1
        story.settle(at)
    at = story.due()
    assert at is not None
    assert at > SLOT + 5, "the share of this slot"
    return story


def change(story: Story, at: float, anchor: int = T0, **fields: Any) -> None:
    assert story.record is not None
    old = story.record.definition
    new = replace(old, spec=replace(old.spec, **fields), anchor=anchor)
    story.take(planning.modify(new, story.record, T0 + int(at * SECOND)))


def test_another_trigger_with_the_same_slot_goes_on_with_it() -> None:
    """It is neither dropped nor recorded twice."""
    story = put_off()
    was = story.due()
    change(story, SLOT + 1, anchor=T0 - MINUTE)
    assert story.passed() == []
    assert story.due() == was
    assert story.attend(was or 0) == [SLOT]


@pytest.mark.parametrize(
    ("trigger", "anchor", "following"),
    [
        (EVERY_MINUTE, T0 + 5 * SECOND, SLOT + 65),
        (EVERY_HALF, T0, SLOT + 60),
        (None, T0, None),
    ],
    ids=["other slots", "other slots between", "no trigger"],
)
def test_another_trigger_gives_up_what_it_does_not_have(
    trigger: Trigger | None, anchor: int, following: int | None
) -> None:
    story = put_off(keyword="word")
    change(story, SLOT + 34, trigger=trigger, anchor=anchor)
    assert story.passed() == [("skipped", SLOT, SLOT, 1, "modified")]
    expected = None if following is None else T0 + following * SECOND
    assert story.state.next == expected
    assert story.record is not None
    assert planning.conserved(story.record) is None


def test_a_removed_job_gives_up_what_is_put_off() -> None:
    story = put_off()
    assert story.record is not None
    story.take(planning.remove(story.record, T0 + (SLOT + 1) * SECOND))
    assert story.passed() == [("skipped", SLOT, SLOT, 1, "removed")]


def test_a_paused_job_gives_it_up_as_paused() -> None:
    story = put_off()
    assert story.record is not None
    story.take(planning.pause(story.record, T0 + (SLOT + 1) * SECOND))
    change(story, SLOT + 2, trigger=EVERY_MINUTE, anchor=T0 + 5 * SECOND)
    assert story.passed() == [("paused", SLOT, SLOT, 1, "modified")]


def test_a_slot_that_is_moved_to_another_day_is_given_up_too() -> None:
    """And a new trigger that moves it as well, among others, does not bring it back."""
    closed = SpottyTrigger(begin=T0, period=20 * SECOND, closed=(2,), shift="next")
    day = closed.day
    slots = [
        s
        for n in range(200)
        if closed.due(s := T0 + n * closed.period) not in (s, None)
    ]
    slot = slots[0]
    now = slot + SECOND
    definition = Definition("job", Spec("work", closed))
    made = planning.schedule(definition, None, now - 2 * SECOND)
    assert made is not None
    assert made.record is not None
    assert made.record.state.next == slot
    assert (closed.due(slot) or 0) > now + day // 2
    denser = closed.model_copy(update={"begin": slot - SECOND, "period": 11 * SECOND})
    for other, kept in ((denser, False), (replaced(closed), True)):
        spec = replace(definition.spec, trigger=other)
        changed = planning.modify(replace(definition, spec=spec), made.record, now)
        assert changed is not None
        assert changed.record is not None
        rows = [(r.kind, r.slot, r.reason) for r in changed.rows if r.count]
        state = changed.record.state
        if kept:
            assert rows == []
            assert state.next == slot
        else:
            assert rows == [(RowKind.SKIPPED, slot, Reason.MODIFIED)]
            assert state.next is not None
            assert state.next > slot


def replaced(trigger: SpottyTrigger) -> SpottyTrigger:
    """Another trigger with the same slots."""
    return trigger.model_copy(update={"begin": trigger.begin - trigger.period})


def test_runs_that_are_added_begin_with_the_first_slot_from_now_on() -> None:
    story = Story(max_runs=1, keyword="word")
    assert story.attend(0) == [0]
    story.settle(1)
    assert story.state.next is None
    change(story, 3_605, max_runs=3)
    assert story.state.next == T0 + 3_610 * SECOND
    assert story.attend(3_606) == []
    for at in (3_610, 3_620):
        assert story.attend(at) == [at]
        story.settle(at + 1)
    assert story.state.next is None
    assert story.passed() == []
    assert story.record is not None
    assert planning.conserved(story.record) is None


def test_runs_that_are_added_do_not_bring_a_date_back() -> None:
    story = Story(ONCE, max_runs=1, keyword="word")
    assert story.attend(0) == [0]
    story.settle(1)
    change(story, 5, max_runs=2)
    assert story.state.next is None
    assert story.attend(6) == []
