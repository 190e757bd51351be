"""Excluded and moved slots through every policy and verb; times in seconds."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from aiosched import planning
from aiosched.enums import Coalesce, JobState, Overlap, Reason, RowKind
from aiosched.instants import SECOND, moment
from aiosched.planning.moments import fraction
from aiosched.records import Definition, Spec
from aiosched.rows import unpack_act
from aiosched.triggers.backfill import BackfillTrigger
from aiosched.triggers.base import Stretch
from tests.model.spotty import SpottyTrigger
from tests.unit.planning.test_policies import Story

# A five-day week begins at T0: its days are 10 seconds, the last two are closed.
T0 = 1_700_000_000 * SECOND
LEASE = 15 * SECOND


def spotty(period: float = 4, **fields: Any) -> SpottyTrigger:
    return SpottyTrigger(begin=T0, period=int(period * SECOND), **fields)


class Tale(Story):
    """A story that shows the excluded slots as well."""

    def __init__(self, trigger: SpottyTrigger, **options: Any) -> None:
        self.record = None
        self.rows = []
        self.fences: list[int] = []
        spec = Spec("work", trigger, **options)
        self.take(planning.schedule(Definition("job", spec), None, T0))

    def fates(self) -> list[tuple[str, int, int, int]]:
        """Return (kind, first, last, count) of the ranges passed over."""
        kinds = (RowKind.SKIPPED, RowKind.MISSED, RowKind.PAUSED, RowKind.EXCLUDED)
        return [
            (
                row.kind.value,
                (row.slot - T0) // SECOND,
                (row.until - T0) // SECOND,
                row.count,
            )
            for row in self.rows
            if row.kind in kinds
        ]

    def next(self) -> int | None:
        slot = self.state.next
        return None if slot is None else (slot - T0) // SECOND


def test_the_days_of_these_tests() -> None:
    """Slots 32 … 48 are excluded, then comes a week's first day again."""
    trigger = spotty()
    dues = [trigger.due(T0 + at * SECOND) is not None for at in range(0, 60, 4)]
    assert dues == [True] * 8 + [False] * 5 + [True] * 2


def test_an_excluded_stretch_is_one_look_and_one_row_at_its_end() -> None:
    story = Tale(spotty(), overlap=Overlap.ALLOW)
    for at in range(0, 32, 4):
        assert story.attend(at) == [at]
        story.settle(at)
    assert story.due() == 48
    assert story.attend(40) == []
    assert story.fates() == []
    assert story.attend(48, capacity=0) == []
    assert story.fates() == [("excluded", 32, 48, 5)]
    assert story.due() == 52
    assert story.state.counts.excluded == 5


@pytest.mark.parametrize(
    ("coalesce", "grace", "started", "fates", "missed"),
    [
        ("latest", None, [56], [("excluded", 32, 48, 5), ("skipped", 0, 52, 9)], 9),
        ("latest", 3, [56], [("missed", 0, 52, 9), ("excluded", 32, 48, 5)], 0),
        ("earliest", None, [0], [("excluded", 32, 48, 5), ("skipped", 4, 56, 9)], 9),
        (
            "earliest",
            30,
            [28],
            [("missed", 0, 24, 7), ("excluded", 32, 48, 5), ("skipped", 52, 56, 2)],
            2,
        ),
        ("all", None, [0], [("excluded", 32, 48, 5)], 0),
    ],
)
def test_after_an_absence(
    coalesce: str,
    grace: int | None,
    started: list[int],
    fates: list[tuple[Any, ...]],
    missed: int,
) -> None:
    """What a look at 57 s makes of a week with two closed days."""
    story = Tale(
        spotty(),
        coalesce=Coalesce(coalesce),
        misfire_grace=None if grace is None else grace * SECOND,
    )
    assert story.attend(57) == started
    assert sorted(story.fates()) == sorted(fates)
    assert story.state.runs[0].firing.missed == missed
    assert story.next() == 60


def test_the_newest_is_the_newest_that_is_not_excluded() -> None:
    story = Tale(spotty())
    assert story.attend(49) == [28]
    assert story.fates() == [("skipped", 0, 24, 7), ("excluded", 32, 48, 5)]
    assert story.state.runs[0].firing.missed == 7


def test_all_of_a_range_in_turn_passes_the_excluded_between() -> None:
    story = Tale(spotty(), coalesce=Coalesce.ALL, overlap=Overlap.ALLOW, max_running=50)
    assert story.attend(57, capacity=50) == [*range(0, 32, 4), 52, 56]
    assert story.fates() == [("excluded", 32, 48, 5)]


def test_one_row_for_all_that_is_excluded_at_one_look() -> None:
    """Though slots are fired between: it counts what is excluded alone."""
    story = Tale(
        spotty(),
        coalesce=Coalesce.ALL,
        overlap=Overlap.ALLOW,
        max_running=99,
        misfire_grace=10**12,
    )
    assert len(story.attend(149, capacity=99)) == 15 + 8
    assert story.fates() == [("excluded", 32, 148, 15)]


def test_slots_of_a_run_in_the_way_are_skipped_beside_excluded_ones() -> None:
    story = Tale(spotty())
    story.attend(28)
    story.extend(30)
    story.rows.clear()
    story.settle(57)
    assert story.fates() == [("excluded", 32, 48, 5), ("skipped", 52, 56, 2)]


@pytest.mark.parametrize("status", ["active", "paused"])
@pytest.mark.parametrize("verb", ["modify", "remove", "resume"])
def test_verbs_count_excluded_slots_up_to_now(verb: str, status: str) -> None:
    """The stretch 32 … 48 is not over at 41 s; its slots 32, 36 and 40 are."""
    story = Tale(spotty(), keyword="word")
    record = story.record
    assert record is not None
    now = T0 + 41 * SECOND
    if status == "paused":
        story.take(planning.pause(record, T0 + SECOND))
        record = story.record
        assert record is not None
    if verb == "modify":
        spec = Spec("work", spotty(7), keyword="word")
        story.take(planning.modify(Definition("job", spec), record, now))
    elif verb == "remove":
        story.take(planning.remove(record, now))
    else:
        story.take(planning.resume(record, now))
    if verb == "resume" and status == "active":
        assert story.fates() == []
        return
    kind = "paused" if status == "paused" else "skipped"
    assert sorted(story.fates()) == [("excluded", 32, 40, 3), (kind, 0, 28, 8)]
    if verb == "resume":
        assert story.next() == 44
        assert story.due() == 48


def test_the_last_slot_that_fires_outlives_a_pause() -> None:
    """Behind it there are only excluded ones."""
    story = Tale(spotty(final=T0 + 45 * SECOND))
    assert story.record is not None
    story.take(planning.pause(story.record, T0))
    story.take(planning.resume(story.record, T0 + 99 * SECOND))
    assert story.fates() == [("paused", 0, 24, 7)]
    assert story.attend(99) == [28]
    story.settle(100)
    assert story.fates()[1:] == [("excluded", 32, 44, 4)]
    assert story.record is None


def test_excluded_slots_do_not_use_up_max_runs() -> None:
    story = Tale(spotty(), max_runs=9)
    for at in [*range(0, 32, 4), 48, 52]:
        story.attend(at)
        if story.state.runs:
            story.settle(at)
        if story.record is None:
            break
    assert story.record is None
    assert [kind for kind, *_ in story.fates()] == ["excluded"]
    assert len(story.fences) == 9


def test_slots_are_moved_and_are_late_since_then() -> None:
    """Slot 41 is due at 21 s or 51 s; its row says so."""
    for shift, due in (("previous", 21), ("next", 51)):
        trigger = SpottyTrigger(
            begin=T0 - 209 * SECOND, period=250 * SECOND, shift=shift
        )
        story = Tale(trigger)
        assert story.next() == 41
        assert story.due() == due
        assert story.attend(due - 1) == []
        assert story.attend(due + 2) == [41]
        story.settle(due + 3)
        (row,) = [row for row in story.rows if row.final]
        assert (row.slot - T0) // SECOND == 41
        assert (row.due - T0) // SECOND == due
        assert row.key == str(T0 + 41 * SECOND)


def test_a_job_made_after_a_slot_was_to_be_moved_begins_behind_it() -> None:
    previous = SpottyTrigger(
        begin=T0 - 9 * SECOND, period=50 * SECOND, shift="previous"
    )
    definition = Definition("job", Spec("work", previous))
    slots = [
        (planning.first_slot(definition, T0 + at * SECOND) or 0) - T0
        for at in (20, 21, 22, 41)
    ]
    assert [slot // SECOND for slot in slots] == [41, 41, 91, 91]


def test_a_job_made_before_a_slot_is_moved_to_takes_it() -> None:
    later = SpottyTrigger(begin=T0 - 9 * SECOND, period=50 * SECOND, shift="next")
    definition = Definition("job", Spec("work", later))
    slots = [
        (planning.first_slot(definition, T0 + at * SECOND) or 0) - T0
        for at in (41, 42, 51, 52)
    ]
    assert [slot // SECOND for slot in slots] == [41, 41, 41, 91]


def test_jitter_ends_with_the_trigger_and_fires_each_slot_once() -> None:
    final = T0 + 21 * SECOND
    story = Tale(spotty(final=final), jitter=4 * SECOND, keep=1000 * SECOND)
    starts: list[int] = []
    for _ in range(20):
        at = story.due()
        if at is None or story.state.status is JobState.FINISHED:
            break
        slots = story.attend(at)
        assert slots
        slot = slots[0]
        share = fraction("job", str(T0 + slot * SECOND))
        assert at == pytest.approx(slot + share * (1 if slot == 20 else 4), abs=1e-5)
        starts += slots
        story.settle(at)
    assert starts == [0, 4, 8, 12, 16, 20]
    assert at is not None


class _Faulty(SpottyTrigger, frozen=True):
    """A trigger of a user's own that cannot say what becomes of its slots."""

    kind: Literal["faulty-in-tests"] = "faulty-in-tests"  # type: ignore[assignment]
    fails: str = "due"

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Fail at the slot at 8 seconds."""
        if self.fails == "due" and slot == T0 + 8 * SECOND:
            message = "no idea"
            raise RuntimeError(message)
        return super().due(slot, anchor)

    def stretch(self, first: int, until: int, anchor: int | None = None) -> Stretch:
        """Fail at the excluded ones."""
        if self.fails == "stretch" and first >= T0 + 32 * SECOND:
            message = "no idea"
            raise RuntimeError(message)
        return super().stretch(first, until, anchor)


@pytest.mark.parametrize(("fails", "at"), [("due", 4), ("stretch", 32)])
def test_a_trigger_that_cannot_tell_holds_its_job(fails: str, at: int) -> None:
    """At the look that has to know; the one at 4 s asks whether 8 s is due too."""
    story = Tale(_Faulty(begin=T0, period=4 * SECOND, fails=fails))
    for slot in range(0, at, 4):
        assert story.attend(slot) == [slot]
        story.settle(slot)
    assert story.due() == at
    assert story.attend(at) == []
    assert story.state.status is JobState.PAUSED
    assert "no idea" in story.state.pause_note
    (row,) = [row for row in story.rows if row.kind is RowKind.HELD]
    assert "no idea" in unpack_act(row.value).note
    assert story.due() is None


@pytest.mark.parametrize("limit", [1, 2, 5, 8, 10, 11])
def test_a_limit_leaves_the_newest_that_are_not_excluded(limit: int) -> None:
    story = Tale(
        spotty(),
        coalesce=Coalesce.ALL,
        overlap=Overlap.ALLOW,
        max_running=99,
        coalesce_limit=limit,
    )
    slots = [*range(0, 32, 4), 52, 56]
    assert story.attend(57, capacity=99) == slots[-limit:]
    skipped = [row for row in story.rows if row.kind is RowKind.SKIPPED]
    assert sum(row.count for row in skipped) == max(0, 10 - limit)
    assert all(row.reason is Reason.LIMIT for row in skipped)
    assert story.state.counts.excluded == 5


def test_a_backfill_begins_with_its_first_slot_and_leaves_out_what_is_excluded() -> (
    None
):
    inner = SpottyTrigger(begin=T0 - 100_000 * SECOND, period=4 * SECOND)
    since, until = T0 + 26 * SECOND, T0 + 58 * SECOND
    trigger = BackfillTrigger(inner, moment(since), moment(until))
    spec = Spec(
        "work",
        trigger,
        coalesce=Coalesce.ALL,
        overlap=Overlap.ALLOW,
        max_running=2,
        misfire_grace=10**15,
        keep=10**15,
    )
    now = T0 + 10**6 * SECOND
    story = Tale(spotty())
    story.record, story.rows = None, []
    story.take(planning.schedule(Definition("job", spec), None, now))
    started: list[int] = []
    for at in range(10**6, 10**6 + 10):
        started += story.attend(at)
        while story.state.runs:
            fence = story.fences.index(story.state.runs[0].fence)
            story.settle(at, fence=fence)
    assert started == [28, 52, 56]
    assert story.fates() == [("excluded", 32, 48, 5)]
    assert story.state.status is JobState.FINISHED
