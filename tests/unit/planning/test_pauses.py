"""A pause with an end is over at its end, however late somebody finds out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aiosched import planning
from aiosched.enums import Coalesce, JobState, Overlap, Reason, RowKind
from aiosched.instants import SECOND
from aiosched.records import Change, Record
from aiosched.rows import Act, unpack_act
from tests.unit.planning.test_policies import EVERY_10, ONCE, T0, Story

ANN = Act("ann", "enough")
UNTIL = 25
LATE = 47
PAUSED = ("paused", 0, 20, 3, "")


def held(until: int | None = UNTIL, **options: Any) -> Story:
    """A job with a slot each ten seconds that is held before its first."""
    story = Story(**options)
    assert story.record is not None
    end = None if until is None else T0 + until * SECOND
    story.take(planning.pause(story.record, T0 - SECOND, until=end))
    return story


def resumed(story: Story) -> list[tuple[float, float, str]]:
    """Return (when it was found out, when it was over, who did it)."""
    return [
        ((row.at - T0) / SECOND, (row.due - T0) / SECOND, unpack_act(row.value).by)
        for row in story.rows
        if row.kind is RowKind.RESUMED
    ]


@pytest.mark.parametrize(
    ("options", "started", "passed"),
    [
        ({}, [40], [("skipped", 30, 30, 1, "coalesced")]),
        (
            {"coalesce": Coalesce.EARLIEST},
            [30],
            [("skipped", 40, 40, 1, "coalesced")],
        ),
        (
            {
                "coalesce": Coalesce.ALL,
                "overlap": Overlap.ALLOW,
                "max_running": 9,
            },
            [30, 40],
            [],
        ),
        ({"misfire_grace": 8 * SECOND}, [40], [("missed", 30, 30, 1, "grace")]),
        ({"misfire_grace": 5 * SECOND}, [], [("missed", 30, 40, 2, "grace")]),
    ],
)
def test_a_late_look_treats_what_came_after_as_any_late_look(
    options: dict[str, Any], started: list[int], passed: list[tuple[Any, ...]]
) -> None:
    """The same as for a job that was resumed in time and then looked at late."""
    story = held(**options)
    assert story.due() == UNTIL
    assert story.attend(LATE) == started
    assert story.passed() == [PAUSED, *passed]
    assert resumed(story) == [(LATE, UNTIL, "")]
    punctual = held(**options)
    assert punctual.attend(UNTIL) == []
    assert punctual.attend(LATE) == started
    assert punctual.passed() == story.passed()
    assert punctual.state.counts == story.state.counts
    assert resumed(punctual) == [(UNTIL, UNTIL, "")]


def test_a_slot_that_is_due_at_the_very_end_is_paused() -> None:
    story = held(30)
    assert story.attend(LATE) == [40]
    assert story.passed() == [("paused", 0, 30, 4, "")]


def test_who_resumes_it_after_its_end_does_not_make_it_longer() -> None:
    story = held()
    assert story.record is not None
    story.take(planning.resume(story.record, T0 + LATE * SECOND, act=ANN))
    assert story.passed() == [PAUSED]
    assert resumed(story) == [(LATE, UNTIL, "ann")]
    assert story.attend(LATE) == [40]


def test_who_resumes_it_before_its_end_ends_it_now() -> None:
    story = held(60)
    assert story.record is not None
    story.take(planning.resume(story.record, T0 + LATE * SECOND, act=ANN))
    assert story.passed() == [("paused", 0, 40, 5, "")]
    ((at, due, by),) = resumed(story)
    assert (at, due, by) == (LATE, -T0 / SECOND, "ann")


def modify(record: Record, now: int) -> Change | None:
    return planning.modify(replace(record.definition, anchor=T0 + SECOND), record, now)


@pytest.mark.parametrize(
    ("verb", "rest"),
    [
        (modify, ("skipped", 30, 40, 2, "modified")),
        (planning.remove, ("skipped", 30, 40, 2, "removed")),
    ],
)
def test_what_gives_its_slots_up_counts_those_after_the_end_apart(
    verb: Callable[[Record, int], Change | None], rest: tuple[Any, ...]
) -> None:
    story = held()
    assert story.record is not None
    story.take(verb(story.record, T0 + LATE * SECOND))
    assert story.passed() == [PAUSED, rest]
    assert resumed(story) == [(LATE, UNTIL, "")]


@pytest.mark.parametrize("verb", [planning.stop, planning.pause])
def test_who_holds_it_again_after_the_end_begins_a_new_pause(
    verb: Callable[[Record, int], Change | None],
) -> None:
    """One without an end: that of the old one is no longer in it."""
    story = held()
    assert story.record is not None
    story.take(verb(story.record, T0 + LATE * SECOND))
    assert story.state.status is JobState.PAUSED
    assert story.state.pause_until is None
    assert story.passed() == [PAUSED]
    assert story.due() is None
    assert story.record is not None
    story.take(planning.resume(story.record, T0 + 60 * SECOND))
    assert story.passed() == [PAUSED, ("paused", 30, 60, 4, "")]


def test_a_run_that_ends_after_the_pause_was_in_the_way_of_what_came_between() -> None:
    """Its own peer settles it, before anybody has looked at the job."""
    story = Story(overlap=Overlap.SKIP)
    assert story.attend(0) == [0]
    story.extend(10)
    assert story.record is not None
    story.take(planning.pause(story.record, T0 + SECOND, until=T0 + UNTIL * SECOND))
    story.extend(20)
    story.extend(30)
    story.settle(34)
    assert story.passed() == [
        ("paused", 10, 20, 2, ""),
        ("skipped", 30, 30, 1, "overlap"),
    ]
    assert story.attend(40) == [40]


def test_so_was_one_whose_peer_is_gone() -> None:
    story = Story(overlap=Overlap.SKIP)
    assert story.attend(0) == [0]
    assert story.record is not None
    story.take(planning.pause(story.record, T0 + SECOND, until=T0 + 5 * SECOND))
    assert story.attend(34) == [0]
    assert story.passed() == [("skipped", 10, 30, 3, "overlap")]
    assert [row.reason for row in story.rows if row.kind is RowKind.LOST] == [
        Reason.LEASE_LOST
    ]


def test_a_keyword_fire_starts_with_the_first_look_after_the_end() -> None:
    story = held(trigger=None, keyword="word")
    assert story.record is not None
    story.take(planning.fire(story.record, T0 + 10 * SECOND, "in-it"))
    assert story.record is not None
    assert story.attend(20) == []
    story.take(planning.fire(story.record, T0 + 30 * SECOND, "after-it"))
    assert story.due() == UNTIL
    assert story.attend(LATE) == [10]
    story.settle(LATE)
    assert story.attend(LATE) == [30]


@pytest.mark.parametrize("slot", [10, 40])
def test_a_one_time_job_runs_on_whichever_side_of_the_end_it_is_due(slot: int) -> None:
    story = held(trigger=ONCE)
    record = story.record
    assert record is not None
    definition = replace(record.definition, anchor=T0 + slot * SECOND)
    state = record.state.copy()
    state.next = state.since = T0 + slot * SECOND
    story.record = Record(definition, state)
    assert story.attend(LATE) == [slot]
    assert story.passed() == []


def test_an_end_that_is_past_when_it_is_said_holds_nothing_up() -> None:
    story = Story(EVERY_10)
    assert story.record is not None
    story.take(planning.pause(story.record, T0 + 15 * SECOND, until=T0 - SECOND))
    assert story.attend(15) == [10]
    assert [kind for kind, *_ in story.passed()] == ["skipped"]
