"""Who did what, runs that end their job, values that fade, when runs were due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiosched import planning
from aiosched.enums import Cause, Coalesce, JobState, Outcome, Overlap, Reason, RowKind
from aiosched.errors import AlreadyRunningError
from aiosched.instants import SECOND
from aiosched.records import Ended, RetryRule, Row
from aiosched.rows import ELSEWHERE, Act, fade_row, pack_row, unpack_act, unpack_row
from tests.unit.planning.test_policies import FAILED, ONCE, SHUTDOWN, Story

T0 = 1_700_000_000 * SECOND
ANN = Act("ann", "the disk is full")
FINISH = Ended(Outcome.SUCCEEDED, value=b"1", finish=True)


def acts(story: Story) -> list[tuple[str, str, str]]:
    """Return (kind, by, note) of what people did."""
    found = []
    for row in story.rows:
        if row.count == 0 and not row.started and row.kind is not RowKind.CREATED:
            act = unpack_act(row.value)
            found.append((row.kind.value, act.by, act.note))
    return found


def test_each_verb_says_who_and_why() -> None:
    story = Story(overlap=Overlap.ALLOW, max_running=5)
    record = story.record
    assert record is not None
    story.take(planning.pause(record, T0 + 1, note=ANN.note, act=Act("ann")))
    assert story.record is not None
    story.take(planning.resume(story.record, T0 + 2, act=ANN))
    assert story.record is not None
    story.take(planning.start(story.record, T0 + 3, "by-hand", act=ANN))
    assert story.record is not None
    story.take(planning.stop(story.record, T0 + 4, act=ANN))
    assert story.record is not None
    spec = replace(record.definition.spec, note="new", timeout=SECOND)
    changed = replace(record.definition, spec=spec)
    story.take(planning.modify(changed, story.record, T0 + 5, act=ANN))
    assert story.record is not None
    story.take(planning.remove(story.record, T0 + 6, act=ANN))
    kinds = ["held", "resumed", "asked", "stopped", "modified", "removed"]
    told = [one for one in acts(story) if one[0] in kinds]
    assert told == [(kind, *ANN[:2]) for kind in kinds]
    (modified,) = [row for row in story.rows if row.kind is RowKind.MODIFIED]
    assert unpack_act(modified.value).fields == ("note", "timeout")
    (asked,) = [row for row in story.rows if row.kind is RowKind.ASKED]
    assert (asked.key, asked.cause) == ("by-hand", Cause.MANUAL)


def test_what_changes_nothing_writes_nothing() -> None:
    story = Story()
    assert story.record is not None
    assert planning.resume(story.record, T0, act=ANN) is None
    assert planning.modify(story.record.definition, story.record, T0, act=ANN) is None
    story.take(planning.pause(story.record, T0, note="a", act=ANN))
    assert story.record is not None
    assert planning.pause(story.record, T0 + 1, note="a", act=ANN) is None
    assert planning.stop(story.record, T0 + 1, act=Act("ann")) is None
    assert planning.stop(story.record, T0 + 1, act=Act("ann", "a")) is None
    story.take(planning.pause(story.record, T0 + 2, note="b", act=Act("bob")))
    assert acts(story) == [("held", *ANN[:2]), ("held", "bob", "b")]
    assert story.state.pause_note == "b"


def test_a_stop_of_a_paused_job_holds_for_good() -> None:
    story = Story()
    assert story.record is not None
    until = T0 + 30 * SECOND
    story.take(planning.pause(story.record, T0 - 1, note="a", until=until, act=ANN))
    assert story.record is not None
    story.take(planning.stop(story.record, T0, act=Act("bob")))
    assert (story.state.pause_until, story.state.pause_note) == (None, "a")
    assert story.due() is None
    assert story.attend(40) == []
    assert story.record is not None
    story.take(planning.stop(story.record, T0 + SECOND, act=Act("bob", "for good")))
    assert story.state.pause_note == "for good"
    assert story.state.status is JobState.PAUSED
    assert acts(story)[1:] == [("stopped", "bob", ""), ("stopped", "bob", "for good")]


def test_a_stop_of_a_paused_job_says_what_it_cancels() -> None:
    story = Story()
    story.attend(0)
    assert story.record is not None
    story.take(planning.pause(story.record, T0 + 1, note="a", act=ANN))
    assert story.record is not None
    story.take(planning.stop(story.record, T0 + 2, act=Act("bob")))
    assert acts(story)[-1] == ("stopped", "bob", "")
    assert story.state.runs[0].cancel is Reason.USER
    assert story.state.pause_note == "a"


def test_a_start_that_is_refused_is_not_asked_for() -> None:
    story = Story()
    story.attend(0)
    assert story.record is not None
    with pytest.raises(AlreadyRunningError):
        planning.start(story.record, T0 + 1, "one", act=ANN)


def test_a_pause_that_ends_by_itself_is_ended_by_nobody() -> None:
    story = Story()
    assert story.record is not None
    story.take(planning.pause(story.record, T0 - 1, until=T0 + SECOND, act=ANN))
    story.attend(1)
    assert acts(story) == [("held", *ANN[:2]), ("resumed", "", "")]


def test_a_stop_leaves_its_note_with_the_job() -> None:
    story = Story()
    assert story.record is not None
    story.take(planning.stop(story.record, T0, act=ANN))
    assert story.state.pause_note == ANN.note


@pytest.mark.parametrize("verb", ["modify", "remove"])
def test_slots_that_passed_in_a_pause_were_paused(verb: str) -> None:
    """Whatever ended the pause."""
    story = Story()
    assert story.record is not None
    story.take(planning.pause(story.record, T0 - 1))
    record = story.record
    assert record is not None
    if verb == "modify":
        changed = replace(record.definition, anchor=T0 + 3 * SECOND)
        story.take(planning.modify(changed, record, T0 + 25 * SECOND))
        assert story.state.status is JobState.PAUSED
        assert story.passed() == [("paused", 0, 20, 3, "modified")]
    else:
        story.take(planning.remove(record, T0 + 25 * SECOND))
        assert story.passed() == [("paused", 0, 20, 3, "removed")]


# --- runs that end their job ------------------------------------------------------


def test_a_run_may_end_its_job() -> None:
    """It succeeds; what else runs or waits is cancelled, due slots are counted."""
    story = Story(overlap=Overlap.ALLOW, max_running=2, keyword="word")
    story.attend(0)
    story.attend(10)
    for number in range(2):
        assert story.record is not None
        story.take(planning.fire(story.record, T0 + 10 * SECOND, f"fire-{number}"))
    story.rows.clear()
    story.settle(25, FINISH, fence=0)
    assert story.state.status is JobState.REMOVED
    assert [run.cancel for run in story.state.runs] == [Reason.REMOVED]
    kinds = [(row.kind.value, row.reason.value) for row in story.rows]
    assert kinds == [
        ("succeeded", ""),
        ("skipped", "removed"),
        ("cancelled", "removed"),
        ("cancelled", "removed"),
        ("removed", "itself"),
    ]
    assert story.rows[0].value == b"1"
    story.settle(26, Ended(Outcome.CANCELLED))
    assert story.record is None
    assert story.rows[-1].reason is Reason.REMOVED


def test_the_last_run_takes_the_record_with_it() -> None:
    """No tombstone stays, as with ``remove``."""
    story = Story(keep=10**9)
    story.attend(0)
    story.settle(1, FINISH)
    assert story.record is None
    assert story.finals() == ["succeeded"]


def test_two_ends_at_once_of_which_one_ends_the_job() -> None:
    story = Story(overlap=Overlap.ALLOW, max_running=2)
    story.attend(0)
    story.attend(10)
    ends = [(story.fences[0], FINISH), (story.fences[1], Ended(Outcome.SUCCEEDED))]
    change, closed = planning.settle_all(story.record, "me", ends, T0 + 11 * SECOND)
    assert closed == frozenset(story.fences)
    assert change is not None
    assert change.record is None
    assert [row.kind.value for row in change.rows if row.final] == ["succeeded"] * 2
    assert sum(row.kind is RowKind.REMOVED for row in change.rows) == 1


def test_a_run_of_the_job_that_had_the_id_before_ends_only_that() -> None:
    story = Story()
    story.attend(0)
    assert story.record is not None
    definition = story.record.definition
    story.take(planning.remove(story.record, T0 + SECOND))
    story.take(planning.schedule(definition, story.record, T0 + 2 * SECOND))
    story.settle(3, FINISH)
    assert story.state.status is JobState.ACTIVE
    assert story.attend(10) == [10]


def test_a_job_that_was_replaced_may_still_end_itself() -> None:
    """The run was told to stop, and says on its way that it is the last."""
    story = Story(overlap=Overlap.CANCEL_PREVIOUS)
    story.attend(0)
    story.attend(10)
    assert story.state.runs[0].cancel is Reason.REPLACED
    story.settle(11, replace(FINISH, outcome=Outcome.CANCELLED))
    assert story.record is None
    assert story.finals() == ["cancelled", "cancelled"]


# --- values that fade ----------------------------------------------------------


def final(story: Story) -> Row:
    return [row for row in story.rows if row.final][-1]


@pytest.mark.parametrize(
    ("kept", "until", "value"),
    [(None, None, b"1"), (60, 61, b"1"), (0, 1, b"")],
)
def test_a_row_says_until_when_its_value_is_shown(
    kept: int | None, until: int | None, value: bytes
) -> None:
    story = Story(keep_results=None if kept is None else kept * SECOND)
    story.attend(0)
    story.settle(1, Ended(Outcome.SUCCEEDED, value=b"1"))
    row = final(story)
    assert row.value == value
    assert row.value_until == (0 if until is None else T0 + until * SECOND)
    assert unpack_row(story.state.recent[0]) == row


def test_values_of_attempts_that_were_retried_fade_too() -> None:
    story = Story(ONCE, retry=RetryRule(2, 0), keep_results=0, keep=10**12)
    story.attend(0)
    story.settle(1, replace(FAILED, value=b'{"message":"secret"}'))
    story.attend(1)
    story.settle(2, replace(FAILED, value=b'{"message":"secret"}'))
    assert not any(b"secret" in row.value for row in story.rows)
    assert not any("secret" in line for line in story.state.recent)


def test_the_records_copy_fades_at_the_next_write() -> None:
    story = Story(keep_results=15 * SECOND)
    for at in (0, 10):
        story.attend(at)
        story.settle(at + 1, Ended(Outcome.SUCCEEDED, value=b"1"))
    story.attend(20)
    values = [unpack_row(line).value for line in story.state.recent]
    assert values == [b"1", b""]
    story.settle(30, Ended(Outcome.SUCCEEDED))
    values = [unpack_row(line).value for line in story.state.recent]
    assert values == [b"", b"", b""]


@pytest.mark.parametrize("value", [b"1", b"", b'"a|b~c"', ELSEWHERE])
@pytest.mark.parametrize("missed", [0, 7])
def test_fading_takes_the_value_and_nothing_else(value: bytes, missed: int) -> None:
    row = Row(
        "job",
        RowKind.SUCCEEDED,
        T0,
        slot=T0,
        until=T0,
        count=1,
        key=str(T0),
        final=True,
        missed=missed,
        value=value,
        value_until=T0 + 5,
    )
    line = pack_row(row)
    assert fade_row(line, T0 + 4) == line
    assert unpack_row(fade_row(line, T0 + 5)) == replace(row, value=b"")
    assert fade_row("no row at all", T0) == "no row at all"
    assert fade_row(pack_row(replace(row, value_until=0)), 10**18) == pack_row(
        replace(row, value_until=0)
    )


# --- when runs were due ------------------------------------------------------------


def test_a_run_that_is_lost_or_handed_back_is_late_since_its_slot() -> None:
    story = Story(ONCE, jitter=4 * SECOND, keep=10**12)
    at = story.due()
    assert at is not None
    assert 0 < at < 4
    story.attend(at)
    story.settle(at + 1, SHUTDOWN)
    story.attend(at + 2)
    story.attend(at + 2 + 15)
    story.settle(at + 18)
    due = {row.due for row in story.rows if row.started}
    assert len([row for row in story.rows if row.started]) == 3
    assert due == {T0 + round(at * SECOND)}


def test_a_retry_is_due_at_the_end_of_its_back_off() -> None:
    story = Story(ONCE, retry=RetryRule(2, 30 * SECOND))
    story.attend(0)
    story.settle(1, FAILED)
    story.attend(31)
    story.settle(40)
    assert [row.due for row in story.rows if row.started] == [0, T0 + 31 * SECOND]


def test_a_fire_is_due_when_it_was_asked_for() -> None:
    story = Story(None, keyword="word")
    assert story.record is not None
    story.take(planning.fire(story.record, T0 + 5 * SECOND, "a"))
    story.attend(9)
    story.attend(9 + 15)
    story.settle(30)
    assert {(row.slot, row.due) for row in story.rows if row.started} == {
        (T0 + 5 * SECOND, 0)
    }


# --- queued slots --------------------------------------------------------------


@pytest.mark.parametrize("coalesce", ["latest", "earliest", "all"])
@pytest.mark.parametrize("busy", [True, False])
def test_queued_slots_have_their_turn_each_unless_nobody_was_there(
    coalesce: str, *, busy: bool
) -> None:
    """A look that is a minute late at most; one that is later coalesces."""
    story = Story(
        overlap=Overlap.QUEUE,
        coalesce=Coalesce(coalesce),
        misfire_grace=10**6 * SECOND,
    )
    if busy:
        story.attend(0)
        story.extend(0)
    first = 10 if busy else 0
    late = first + 60
    record = story.record
    assert record is not None
    running = [replace(run, until=T0 + 10**9) for run in record.state.runs]
    state = replace(record.state, runs=tuple(running))
    story.record = replace(record, state=state)
    started = story.attend(late)
    waiting = [(f.slot - T0) // SECOND for f in story.state.waiting]
    assert started + waiting == list(range(first, late + 1, 10))
    assert story.passed() == []


def test_an_outage_does_not_become_a_queue() -> None:
    story = Story(overlap=Overlap.QUEUE)
    assert story.attend(3600) == [3600]
    assert story.state.waiting == ()
    assert story.passed() == [("skipped", 0, 3590, 360, "coalesced")]


def test_a_queue_that_never_empties_loses_slots_by_name() -> None:
    """Beyond a hundred that wait, slots are coalesced a minute later."""
    story = Story(overlap=Overlap.QUEUE)
    at = 0.0
    story.attend(at)
    while at < 3000:
        at += 10
        story.extend(at)
        story.attend(at)
    assert len(story.state.waiting) == 100
    assert story.state.next == T0 + 1010 * SECOND
    story.settle(3001)
    story.attend(3001)
    assert len(story.state.waiting) == 100
    assert story.passed() == [("skipped", 1010, 2990, 199, "coalesced")]
