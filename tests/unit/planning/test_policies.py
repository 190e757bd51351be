"""Misfire, coalescing, overlap, retry, loss, pause: one table or story each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest

from aiosched import planning
from aiosched.enums import Coalesce, JobState, OnLost, Outcome, Overlap, Reason, RowKind
from aiosched.errors import AlreadyRunningError, TooManyWaitingError
from aiosched.instants import SECOND, moment
from aiosched.records import (
    MAX_WAITING,
    Change,
    Definition,
    Ended,
    Record,
    RetryRule,
    Spec,
)
from aiosched.triggers import CalendarIntervalTrigger, CronTrigger, every
from aiosched.triggers.backfill import BackfillTrigger
from aiosched.triggers.base import Trigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.interval import IntervalTrigger

T0 = 1_700_000_000 * SECOND
LEASE = 15 * SECOND
EVERY_10 = IntervalTrigger(seconds=10).rule()
ONCE = DateTrigger(moment(0)).rule()
OK = Ended(Outcome.SUCCEEDED)
FAILED = Ended(Outcome.FAILED, error=("ValueError", "Exception"))
SHUTDOWN = Ended(Outcome.CANCELLED, Reason.SHUTDOWN)


class Story:
    """One job, told second by second; times are seconds after T0."""

    def __init__(self, trigger: Trigger | None = EVERY_10, **options: Any) -> None:
        spec = Spec("work", trigger, **options)
        anchor = None if trigger is None else T0
        change = planning.schedule(Definition("job", spec, anchor), None, T0)
        assert change is not None
        self.record = change.record
        self.rows = list(change.rows)
        self.fences: list[int] = []

    @property
    def state(self) -> Any:
        assert self.record is not None
        return self.record.state

    def take(self, change: Change | None) -> list[int]:
        """Commit a change and return the slots or keys that it starts."""
        if change is None:
            return []
        self.record = change.record
        self.rows.extend(change.rows)
        self.fences.extend(start.run.fence for start in change.starts)
        return [(s.run.firing.slot - T0) // SECOND for s in change.starts]

    def attend(self, at: float, capacity: int = 10) -> list[int]:
        record, now = self.record, T0 + int(at * SECOND)
        assert record is not None
        return self.take(
            planning.attend(record.definition, record.state, now, capacity, "me", LEASE)
        )

    def settle(self, at: float, ended: Ended = OK, fence: int = -1) -> None:
        record = self.record
        assert record is not None
        change = planning.settle(
            record.definition,
            record.state,
            "me",
            self.fences[fence],
            ended,
            T0 + int(at * SECOND),
        )
        assert change is not None
        self.take(change)

    def extend(self, at: float) -> None:
        assert self.record is not None
        definition, state = self.record.definition, self.record.state
        now = T0 + int(at * SECOND)
        self.take(planning.extend(definition, state, "me", self.fences, now, LEASE))

    def due(self) -> float | None:
        assert self.record is not None
        at = planning.instant(self.record.definition, self.record.state)
        return None if at is None else (at - T0) / SECOND

    def passed(self) -> list[tuple[str, int, int, int, str]]:
        """Return (kind, first, last, count, reason) of the ranges passed over."""
        kinds = (RowKind.SKIPPED, RowKind.MISSED, RowKind.PAUSED)
        return [
            (
                row.kind.value,
                (row.slot - T0) // SECOND,
                (row.until - T0) // SECOND,
                row.count,
                row.reason.value,
            )
            for row in self.rows
            if row.kind in kinds
        ]

    def finals(self) -> list[str]:
        return [row.kind.value for row in self.rows if row.final]


@pytest.mark.parametrize(
    ("coalesce", "grace", "started", "passed", "missed"),
    [
        ("latest", None, [100], [("skipped", 0, 90, 10, "coalesced")], 10),
        ("latest", 3, [], [("missed", 0, 100, 11, "grace")], 0),
        (
            "latest",
            25,
            [100],
            [("missed", 0, 70, 8, "grace"), ("skipped", 80, 90, 2, "coalesced")],
            2,
        ),
        (
            "earliest",
            25,
            [80],
            [("missed", 0, 70, 8, "grace"), ("skipped", 90, 100, 2, "coalesced")],
            2,
        ),
        (
            "earliest",
            None,
            [50],
            [("missed", 0, 40, 5, "grace"), ("skipped", 60, 100, 5, "coalesced")],
            5,
        ),
        (
            "all",
            25,
            [80],
            [("missed", 0, 70, 8, "grace")],
            0,
        ),
    ],
)
def test_after_ten_slots_of_absence(
    coalesce: str,
    grace: int | None,
    started: list[int],
    passed: list[tuple[Any, ...]],
    missed: int,
) -> None:
    """What a look at 105 s makes of the slots 0, 10 … 100."""
    story = Story(
        coalesce=Coalesce(coalesce),
        misfire_grace=None if grace is None else grace * SECOND,
    )
    assert story.attend(105) == started
    assert story.passed() == passed
    if started:
        assert story.state.runs[0].firing.missed == missed
    assert story.state.next == T0 + 110 * SECOND


def test_the_only_slot_of_a_date_never_lapses_by_default() -> None:
    assert Story(ONCE).attend(1_000_000) == [0]


@pytest.mark.parametrize("trigger", [ONCE, EVERY_10])
def test_a_slot_is_valid_for_its_grace_to_the_microsecond(trigger: Trigger) -> None:
    story = Story(trigger, misfire_grace=SECOND)
    assert story.record is not None
    definition, state = story.record.definition, story.record.state

    def look(now: int) -> Change | None:
        return planning.attend(definition, state, now, 1, "peer", LEASE)

    last, after = look(T0 + SECOND), look(T0 + SECOND + 1)
    assert last is not None
    assert [start.run.firing.slot for start in last.starts] == [T0]
    assert after is not None
    assert not after.starts
    assert [row.kind.value for row in after.rows] == ["missed"]


def test_the_only_slot_of_a_date_lapses_by_a_grace_of_the_users_own() -> None:
    story = Story(ONCE, misfire_grace=SECOND)
    assert story.attend(2) == []
    assert story.record is None
    assert story.passed() == [("missed", 0, 0, 1, "grace")]


def test_all_with_allow_runs_each_due_slot_up_to_the_limit() -> None:
    story = Story(
        coalesce=Coalesce.ALL, overlap=Overlap.ALLOW, max_running=3, misfire_grace=None
    )
    assert story.attend(55) == [0, 10, 20]
    assert story.attend(56) == []
    story.settle(57)
    assert story.due() == 30
    assert story.attend(57) == [30]


def waiting(story: Story) -> list[int]:
    return [(firing.slot - T0) // SECOND for firing in story.state.waiting]


def test_all_under_skip_runs_each_slot_that_is_not_too_late() -> None:
    story = Story(coalesce=Coalesce.ALL, misfire_grace=25 * SECOND)
    assert story.attend(105) == [80]
    assert waiting(story) == [90, 100]
    assert story.due() == 105 + LEASE / SECOND
    story.settle(106)
    assert story.due() == 90
    assert story.attend(106) == [90]
    # What comes due while they have their turn is skipped, as ever.
    story.settle(112)
    assert story.attend(112) == [100]
    story.settle(113)
    assert story.attend(120) == [120]
    assert story.passed() == [
        ("missed", 0, 70, 8, "grace"),
        ("skipped", 110, 110, 1, "overlap"),
    ]
    assert story.state.counts.fired == 4


@pytest.mark.parametrize("capacity", [1, 2, 3, 9])
def test_how_much_a_peer_can_take_plays_no_part_in_what_all_takes(
    capacity: int,
) -> None:
    story = Story(coalesce=Coalesce.ALL, max_running=3)
    started = story.attend(45, capacity)
    assert started == [0, 10, 20][:capacity]
    assert started + waiting(story) == [0, 10, 20, 30, 40]
    assert story.attend(46) == [0, 10, 20][capacity:]
    assert story.passed() == []


@pytest.mark.parametrize("capacity", [0, 1, 9])
def test_a_slot_that_comes_while_others_wait_is_skipped(capacity: int) -> None:
    """Though there is room: nobody had the capacity to start those."""
    story = Story(coalesce=Coalesce.ALL, max_running=2)
    assert story.attend(25, 1) == [0]
    assert waiting(story) == [10, 20]
    story.extend(26)
    assert story.attend(32, capacity) == [10][:capacity]
    assert story.passed() == [("skipped", 30, 30, 1, "overlap")]
    (row,) = [r for r in story.rows if r.kind is RowKind.SKIPPED]
    assert row.fence == story.fences[0]


@pytest.mark.parametrize(("limit", "taken"), [(None, 100), (2, 2), (5_000, 100)])
def test_all_under_skip_is_bounded_and_keeps_the_newest(
    limit: int | None, taken: int
) -> None:
    story = Story(
        coalesce=Coalesce.ALL, coalesce_limit=limit, misfire_grace=10**5 * SECOND
    )
    oldest = 5_000 - 10 * (taken - 1)
    assert story.attend(5_005) == [oldest]
    assert waiting(story) == list(range(oldest + 10, 5_010, 10))
    assert story.passed() == [("skipped", 0, oldest - 10, 501 - taken, "limit")]


def test_slots_that_wait_under_skip_wait_on_through_a_pause() -> None:
    story = Story(coalesce=Coalesce.ALL)
    assert story.attend(25) == [0]
    assert story.record is not None
    story.take(planning.pause(story.record, T0 + 26 * SECOND))
    story.settle(27)
    assert story.attend(35) == []
    story.take(planning.resume(story.record, T0 + 45 * SECOND))
    assert story.passed() == [("paused", 30, 40, 2, "")]
    assert story.attend(45) == [10]


def test_cancel_previous_makes_of_all_the_latest() -> None:
    """Each slot would replace the one before it as soon as it is taken."""
    for rule in (Coalesce.ALL, Coalesce.LATEST):
        story = Story(coalesce=rule, overlap=Overlap.CANCEL_PREVIOUS, coalesce_limit=2)
        assert story.attend(305) == [300]
        story.extend(306)
        story.extend(319)
        assert story.attend(325) == []
        assert waiting(story) == [320]
        assert story.passed() == [
            ("skipped", 0, 290, 30, "coalesced"),
            ("skipped", 310, 310, 1, "coalesced"),
        ]
        story.settle(326, Ended(Outcome.CANCELLED))
        assert story.attend(326) == [320]
        assert story.state.runs[0].firing.missed == 1


def past() -> Story:
    """A backfill of six slots, long past, one at a time."""
    ten = IntervalTrigger(seconds=10, start=moment(T0 - 10**6 * SECOND))
    since, until = (moment(T0 - 10**6 * SECOND + n * SECOND) for n in (0, 50))
    return Story(
        BackfillTrigger(ten, since, until), coalesce=Coalesce.ALL, overlap=Overlap.ALLOW
    )


@pytest.mark.parametrize("verb", ["pause", "until", "stop"])
def test_no_pause_passes_over_what_is_backfilled(verb: str) -> None:
    story = past()
    first = -(10**6)
    assert story.attend(0) == [first]
    assert story.record is not None
    if verb == "stop":
        story.take(planning.stop(story.record, T0 + SECOND))
    else:
        until = T0 + 30 * SECOND if verb == "until" else None
        story.take(planning.pause(story.record, T0 + SECOND, until=until))
    story.settle(2, Ended(Outcome.CANCELLED) if verb == "stop" else OK)
    assert story.attend(3) == []
    if verb != "until":
        story.take(planning.resume(story.record, T0 + 30 * SECOND))
    for turn in range(1, 6):
        assert story.attend(30 + turn) == [first + 10 * turn]
        story.settle(30.5 + turn)
    assert story.passed() == []
    assert story.record is None


def test_no_slot_of_a_backfill_is_too_late() -> None:
    for grace in (None, 0):
        story = past()
        assert story.record is not None
        spec = replace(story.record.definition.spec, misfire_grace=grace)
        story.record = replace(
            story.record, definition=replace(story.record.definition, spec=spec)
        )
        assert story.attend(0) == [-(10**6)]
        assert story.passed() == []


def test_skip_is_not_woken_at_its_limit_and_settle_counts_the_slots() -> None:
    story = Story()
    assert story.attend(0) == [0]
    assert story.due() == LEASE / SECOND
    story.settle(35)
    assert story.passed() == [("skipped", 10, 30, 3, "overlap")]
    assert story.rows[-2].fence == story.fences[0]
    assert story.attend(40) == [40]


def test_slots_after_the_executors_end_were_only_delayed_by_settling() -> None:
    story = Story()
    story.attend(0)
    story.settle(20, replace(OK, at=T0 + 9 * SECOND))
    assert story.passed() == []
    assert story.attend(20) == [20]


def test_queue_keeps_each_slot_and_runs_them_in_turn() -> None:
    story = Story(overlap=Overlap.QUEUE)
    assert story.attend(0) == [0]
    assert story.due() == 10
    for at in (10, 20, 30):
        story.extend(at)
        assert story.attend(at) == []
    waiting = [(f.slot - T0) // SECOND for f in story.state.waiting]
    assert waiting == [10, 20, 30]
    story.settle(31)
    assert story.attend(31) == [10]
    assert story.passed() == []


def test_queue_is_first_in_first_out_and_bounded() -> None:
    story = Story(overlap=Overlap.QUEUE, coalesce=Coalesce.ALL, misfire_grace=10**12)
    story.attend(0)
    record = story.record
    assert record is not None
    lasting = replace(record.state.runs[0], until=T0 + 10**12)
    story.record = Record(record.definition, replace(record.state, runs=(lasting,)))
    story.attend(2_000)
    assert len(story.state.waiting) == MAX_WAITING
    assert story.due() == 10**6
    story.settle(2_001)
    assert story.attend(2_001) == [10]


def test_cancel_previous_tells_the_oldest_to_stop_and_follows_it() -> None:
    story = Story(overlap=Overlap.CANCEL_PREVIOUS)
    story.attend(0)
    assert story.attend(10) == []
    assert story.state.runs[0].cancel is Reason.REPLACED
    assert story.attend(11) == []
    story.settle(12, Ended(Outcome.CANCELLED))
    assert story.finals() == ["cancelled"]
    assert story.rows[-1].reason is Reason.REPLACED
    assert story.attend(12) == [10]


def test_retries_back_off_and_then_fail_for_good() -> None:
    story = Story(ONCE, retry=RetryRule(3, 2 * SECOND, factor=3.0))
    story.attend(0)
    story.settle(1, FAILED)
    assert story.due() == 3
    assert story.attend(3) == [0]
    story.settle(4, FAILED)
    assert story.due() == 10
    assert story.attend(9.9) == []
    story.attend(10)
    story.settle(11, FAILED)
    assert story.record is None
    assert [(r.attempt, r.final) for r in story.rows if r.kind is RowKind.FAILED] == [
        (1, False),
        (2, False),
        (3, True),
    ]


def test_backoff_is_capped_and_varied_alike_on_every_peer() -> None:
    rule = RetryRule(9, SECOND, factor=10.0, cap=5 * SECOND, jitter=0.5)
    instants = set()
    for _ in range(2):
        story = Story(ONCE, retry=rule)
        story.attend(0)
        story.settle(1, FAILED)
        story.attend(2)
        story.settle(3, FAILED)
        instants.add(story.due())
    (at,) = instants
    assert at is not None
    assert 3 + 2.5 <= at <= 8


@pytest.mark.parametrize(
    ("errors", "again"), [((), True), (("ValueError",), True), (("KeyError",), False)]
)
def test_only_the_errors_that_are_listed_are_retried(
    errors: tuple[str, ...], *, again: bool
) -> None:
    story = Story(ONCE, retry=RetryRule(2, SECOND, errors=errors))
    story.attend(0)
    story.settle(1, FAILED)
    assert (story.record is not None) is again


def test_a_lost_run_goes_first_and_does_not_use_up_a_retry() -> None:
    story = Story(ONCE, retry=RetryRule(2, 0), max_lost=2)
    story.attend(0)
    assert story.attend(14.9) == []
    assert story.attend(15) == [0]
    assert story.state.runs[0].firing.attempt == 2
    story.settle(16, FAILED)
    assert story.attend(16) == [0]
    assert story.state.runs[0].firing.attempt == 3
    story.settle(17, FAILED)
    assert story.finals() == ["failed"]


def test_a_job_that_kills_its_peers_is_given_up() -> None:
    story = Story(ONCE, max_lost=2)
    for turn in range(3):
        assert story.attend(15 * turn) == [0]
    assert story.attend(45) == []
    assert story.finals() == ["lost"]
    assert story.record is None


def test_on_lost_record_never_runs_twice() -> None:
    story = Story(ONCE, on_lost=OnLost.RECORD)
    story.attend(0)
    assert story.attend(15) == []
    assert story.finals() == ["lost"]


def test_slots_during_a_lost_run_are_skipped_in_its_name() -> None:
    story = Story()
    story.attend(0)
    assert story.attend(15) == [0]
    assert story.passed() == [("skipped", 10, 10, 1, "overlap")]
    (row,) = [r for r in story.rows if r.kind is RowKind.SKIPPED]
    assert row.fence == story.fences[0]


def test_shutdown_hands_back_without_using_up_an_attempt() -> None:
    story = Story(ONCE)
    story.attend(0)
    story.settle(1, SHUTDOWN)
    assert story.finals() == []
    assert story.attend(1) == [0]
    assert story.state.runs[0].firing.attempt == 1
    assert story.fences[1] > story.fences[0]


@pytest.mark.parametrize(("entered", "final"), [(True, ["cancelled"]), (False, [])])
def test_shutdown_of_work_that_must_not_run_twice(
    final: list[str], *, entered: bool
) -> None:
    story = Story(ONCE, on_lost=OnLost.RECORD)
    story.attend(0)
    story.settle(1, replace(SHUTDOWN, entered=entered))
    assert story.finals() == final


def test_a_pause_counts_its_slots_and_makes_nothing_up() -> None:
    story = Story()
    story.attend(0)
    story.settle(1)
    assert story.record is not None
    story.take(planning.pause(story.record, T0 + 5 * SECOND, note="holiday"))
    assert story.due() is None
    assert story.attend(30) == []
    story.take(planning.resume(story.record, T0 + 45 * SECOND))
    assert story.passed() == [("paused", 10, 40, 4, "")]
    assert story.due() == 50


def test_a_pause_ends_by_itself() -> None:
    story = Story()
    assert story.record is not None
    until = T0 + 25 * SECOND
    story.take(planning.pause(story.record, T0 - 1, until=until))
    assert story.due() == 25
    story.attend(25)
    assert story.state.status is JobState.ACTIVE
    assert story.passed() == [("paused", 0, 20, 3, "")]


def test_a_one_time_job_that_was_paused_over_its_instant_runs_later() -> None:
    story = Story(ONCE)
    assert story.record is not None
    story.take(planning.pause(story.record, T0 - 1))
    story.take(planning.resume(story.record, T0 + 99 * SECOND))
    assert story.attend(99) == [0]


def test_a_manual_start_runs_in_a_pause_and_leaves_the_grid_alone() -> None:
    story = Story()
    assert story.record is not None
    story.take(planning.pause(story.record, T0))
    story.take(planning.start(story.record, T0 + 3 * SECOND, "by-hand"))
    assert story.due() == 3
    assert story.attend(3) == [3]
    assert story.state.next == T0


def test_a_second_start_is_refused_under_skip_before_anyone_looked() -> None:
    story = Story()
    assert story.record is not None
    story.take(planning.start(story.record, T0 - 5, "one"))
    with pytest.raises(AlreadyRunningError):
        planning.start(story.record, T0 - 4, "two")


def test_fires_wait_are_bounded_and_expire() -> None:
    story = Story(None, keyword="word")
    for number in range(MAX_WAITING):
        assert story.record is not None
        key, expires = str(number), T0 + 60 * SECOND
        story.take(planning.fire(story.record, T0, key, b"1", expires=expires))
    assert story.record is not None
    with pytest.raises(TooManyWaitingError):
        planning.fire(story.record, T0, "one-too-many")
    assert planning.fire(story.record, T0, "7") is None
    assert story.attend(1, capacity=0) == []
    story.attend(1)
    story.attend(60)
    assert story.finals().count("expired") == MAX_WAITING - 1


def test_max_runs_counts_slots_not_fires() -> None:
    story = Story(keyword="word", max_runs=2)
    assert story.record is not None
    story.take(planning.fire(story.record, T0 - SECOND, "a"))
    story.attend(-1)
    story.settle(-0.5)
    for at in (0, 10):
        assert story.attend(at) == [at]
        story.settle(at + 1)
    assert story.state.next is None
    assert story.due() is None


def test_a_finished_job_leaves_when_its_retention_ends() -> None:
    story = Story(ONCE, keep=60 * SECOND)
    story.attend(0)
    story.settle(1)
    assert story.state.status is JobState.FINISHED
    assert story.due() == 61
    assert story.attend(60) == []
    assert story.record is not None
    story.attend(61)
    assert story.record is None


@pytest.mark.parametrize("coalesce", list(Coalesce))
def test_a_grace_counts_from_the_instant_that_jitter_has_put_off(
    coalesce: Coalesce,
) -> None:
    story = Story(
        IntervalTrigger(seconds=300).rule(),
        jitter=60 * SECOND,
        misfire_grace=5 * SECOND,
        coalesce=coalesce,
    )
    for turn in range(20):
        at = story.due()
        assert at is not None
        assert story.attend(at) == [300 * turn]
        story.settle(at + 1)
    assert story.passed() == []


class _EverySecond(Trigger, frozen=True):
    """A trigger of a user's own, which can only be enumerated."""

    kind: Literal["every-second-in-tests"] = "every-second-in-tests"

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the next whole second."""
        return after.replace(microsecond=0) + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("coalesce", "first"), [("latest", 43200), ("earliest", 43140), ("all", 43140)]
)
def test_more_missed_slots_than_a_look_enumerates_fire_nothing_old(
    coalesce: str, first: int
) -> None:
    story = Story(_EverySecond(), coalesce=Coalesce(coalesce))
    started: list[int] = []
    for _ in range(6):
        started += story.attend(43_200)
    assert started == [first]
    assert story.state.counts.slots == 43_201


@pytest.mark.parametrize(
    "trigger",
    [
        IntervalTrigger(seconds=10),
        CalendarIntervalTrigger(months=1, at="09:00"),
        IntervalTrigger(seconds=10) | CronTrigger("0 9 * * *"),
        every(3).days.at("10:00"),
        every().month,
        every(5).to(10).seconds,
    ],
    ids=lambda trigger: trigger.kind,
)
def test_registering_an_unpinned_trigger_again_keeps_its_due_slot(
    trigger: Trigger,
) -> None:
    definition = Definition("job", Spec("work", trigger.rule()), trigger.own_instant())
    change = planning.schedule(definition, None, T0)
    assert change is not None
    assert planning.schedule(definition, change.record, T0 + 3 * SECOND) is None


class _Broken(Trigger, frozen=True):
    """A trigger of a user's own that works for two seconds."""

    kind: Literal["broken-in-tests"] = "broken-in-tests"

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Fail when asked what comes after the second slot."""
        second = timedelta(seconds=1)
        if after >= moment(T0) + 2 * second:
            message = "no more"
            raise RuntimeError(message)
        return after.replace(microsecond=0) + second


def test_a_users_trigger_that_fails_holds_its_job_and_says_why() -> None:
    story = Story(_Broken())
    assert story.attend(1) == [1]
    story.settle(1.1)
    assert story.attend(2) == []
    assert story.state.status is JobState.PAUSED
    assert "no more" in story.state.pause_note
    assert story.due() is None


def test_slots_that_queue_up_in_two_looks_are_bounded_together() -> None:
    story = Story(
        overlap=Overlap.QUEUE, coalesce=Coalesce.ALL, misfire_grace=10**6 * SECOND
    )
    story.attend(0)
    record = story.record
    assert record is not None
    lasting = replace(record.state.runs[0], until=T0 + 10**6 * SECOND)
    story.record = Record(record.definition, replace(record.state, runs=(lasting,)))
    story.attend(500)
    assert len(story.state.waiting) == 50
    story.attend(5_000)
    assert len(story.state.waiting) == MAX_WAITING


def test_an_id_that_is_taken_again_while_its_run_ends_has_sums_of_its_own() -> None:
    story = Story()
    story.attend(0)
    assert story.record is not None
    story.take(planning.remove(story.record, T0 + SECOND))
    assert story.record is not None
    definition = story.record.definition
    again = planning.schedule(definition, story.record, T0 + 2 * SECOND)
    story.take(again)
    assert story.state.counts.slots - story.state.former == 0
    story.settle(3, Ended(Outcome.CANCELLED))
    assert story.state.counts.slots - story.state.former == 0
    assert story.attend(10) == [10]
    assert story.state.counts.slots - story.state.former == 1
