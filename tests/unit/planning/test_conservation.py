"""The invariant named conservation: what it finds, and what it lets pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import pytest

from aiosched import planning
from aiosched.enums import Coalesce, Overlap, RowKind
from aiosched.instants import SECOND
from aiosched.planning.conservation import slots_between
from aiosched.records import Record
from aiosched.triggers.base import LOOK_LIMIT, Trigger
from tests.unit.planning.test_policies import Story

T0 = 1_700_000_000 * SECOND


def told() -> Record:
    """Return the record of a job with runs, skipped slots and a waiting fire."""
    story = Story(keyword="word")
    story.attend(25)
    story.settle(47)
    assert story.record is not None
    story.take(planning.fire(story.record, T0 + 48 * SECOND, "fire"))
    assert story.record is not None
    return story.record


def test_it_lets_sound_records_pass() -> None:
    record = told()
    assert record.state.counts.skipped == 4
    assert planning.conserved(record) is None


@pytest.mark.parametrize("name", ["fired", "skipped", "missed", "excluded", "paused"])
@pytest.mark.parametrize("more", [1, -1])
def test_it_finds_a_slot_too_many_or_too_few(name: str, more: int) -> None:
    record = told()
    counts = record.state.counts.plus(**{name: more})
    if name == "fired":
        counts = counts.plus(succeeded=more)
    state = replace(record.state, counts=counts)
    said = planning.conserved(replace(record, state=state))
    assert said is not None
    assert f"{5 + more} slots are accounted for" in said
    assert "has 5 up to" in said


def test_it_finds_a_firing_without_an_end() -> None:
    record = told()
    state = replace(record.state, waiting=())
    said = planning.conserved(replace(record, state=state))
    assert said == "1 fired and 1 asked for are not 1 outcomes and 0 open firings"


@pytest.mark.parametrize("by", [SECOND, 10 * SECOND, -10 * SECOND])
def test_it_finds_a_next_slot_that_is_not_the_next(by: int) -> None:
    record = told()
    assert record.state.next is not None
    state = replace(record.state, next=record.state.next + by)
    said = planning.conserved(replace(record, state=state))
    assert said is not None
    assert said.startswith("the next slot is")


class _EverySecond(Trigger, frozen=True):
    """A trigger of a user's own, which has to be enumerated."""

    kind: Literal["every-second-in-conservation"] = "every-second-in-conservation"

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the next whole second."""
        return after.replace(microsecond=0) + timedelta(seconds=1)


def test_it_counts_beyond_what_one_look_enumerates() -> None:
    trigger, slots = _EverySecond(), 2 * LOOK_LIMIT + 5
    assert slots_between(trigger, T0, T0 + (slots - 1) * SECOND) == slots
    assert slots_between(trigger, T0, T0 - 1) == 0


def test_a_limit_holds_beyond_what_one_look_enumerates() -> None:
    """The newest are fired at the end, and everything before is skipped."""
    story = Story(
        _EverySecond(),
        coalesce=Coalesce.ALL,
        coalesce_limit=3,
        overlap=Overlap.ALLOW,
        max_running=9,
        misfire_grace=10**15,
    )
    started: list[int] = []
    for _ in range(6):
        started += story.attend(25_000)
    assert started == [24_998, 24_999, 25_000]
    assert story.record is not None
    assert planning.conserved(story.record) is None
    rows = [row for row in story.rows if row.kind is RowKind.SKIPPED]
    assert sum(row.count for row in rows) == 24_998
    assert len(rows) == 3
