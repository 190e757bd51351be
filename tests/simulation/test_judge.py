"""The judge: every rule is broken once, by hand, and is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiosched import planning
from aiosched.abc import Signal, Terms
from aiosched.enums import Outcome, RowKind
from aiosched.instants import SECOND
from aiosched.jobs import Job
from aiosched.jobs.conversions import anchor_of, to_spec
from aiosched.records import Change, Definition, Ended, Record
from aiosched.testing.simulation.commits import Commit, Loss
from aiosched.testing.simulation.judge import Judge
from aiosched.testing.simulation.losses import Absences
from aiosched.testing.simulation.rules import RULES
from aiosched.triggers import IntervalTrigger

NOW = 1_700_000_000 * SECOND
LEASE = 15 * SECOND
A, B = "a" * 16, "b" * 16


class Desk:
    """A judge, and one job whose record is written by hand."""

    def __init__(self, **options: object) -> None:
        self.at = NOW
        self.trip = 0
        self.judge = Judge(
            Terms(lease=LEASE),
            lambda: self.at + self.trip,
            lambda: (self.at - NOW) / SECOND,
        )
        self.judge.peer("p0", A)
        self.judge.peer("p1", B)
        fields = {"trigger": IntervalTrigger(seconds=10), **options}
        job = Job("work", id="job", **fields)  # type: ignore[arg-type]
        self.definition = Definition(job.id, to_spec(job), anchor_of(job))
        self.record: Record | None = None
        self.write(planning.schedule(self.definition, None, self.at), "p0")
        self.at += 10 * SECOND  # its first slot

    def write(
        self,
        change: Change | None,
        node: str,
        *,
        record: object = ...,
        due: object = ...,
    ) -> None:
        """Commit a change, or what a bug would make of it."""
        assert change is not None
        after = change.record if record is ... else record
        at = change.at if due is ... else due
        commit = Commit(
            self.at,
            node,
            "job",
            self.record,
            after,
            change.rows,
            at,  # type: ignore[arg-type]
        )
        self.judge.committed([commit])
        self.record = after  # type: ignore[assignment]
        self.commit = commit

    def attend(self, owner: str, capacity: int = 1) -> Change:
        assert self.record is not None
        change = planning.attend(
            self.record.definition, self.record.state, self.at, capacity, owner, LEASE
        )
        assert change is not None
        return change

    def settle(
        self, owner: str, fence: int, outcome: Outcome = Outcome.SUCCEEDED
    ) -> Change:
        assert self.record is not None
        change = planning.settle(
            self.record.definition,
            self.record.state,
            owner,
            fence,
            Ended(outcome),
            self.at,
        )
        assert change is not None
        return change

    @property
    def fence(self) -> int:
        assert self.record is not None
        return self.record.state.runs[0].fence

    @property
    def rules(self) -> set[str]:
        return {one.rule for one in self.judge.violations}


def test_what_planning_decides_breaks_no_rule() -> None:
    desk = Desk()
    for _ in range(3):
        desk.write(desk.attend(A), "p0")
        desk.at += 4 * SECOND
        desk.write(desk.settle(A, desk.fence), "p0")
        desk.at += 6 * SECOND
    assert not desk.judge.violations


def test_a_live_claim_that_another_ends() -> None:
    desk = Desk()
    desk.write(desk.attend(A), "p0")
    desk.at += SECOND
    desk.write(desk.settle(A, desk.fence), "p1")
    assert {"lease", "holder"} <= desk.rules


def test_a_claim_for_another() -> None:
    desk = Desk()
    desk.write(desk.attend(A), "p1")
    assert desk.rules == {"claimer"}


def test_a_takeover_before_the_lease_has_ended() -> None:
    desk = Desk()
    desk.write(desk.attend(A), "p0")
    desk.at += LEASE - 1
    truth, desk.at = desk.at, desk.at + 1
    change = desk.attend(B)
    desk.at = truth
    desk.write(change, "p1")
    assert {"lease", "decided"} <= desk.rules


def test_a_fence_that_is_used_again_after_a_loss() -> None:
    desk = Desk()
    kept = desk.record
    assert kept is not None
    first = desk.attend(A)
    desk.write(first, "p0")
    desk.judge.lost(Loss(desk.at, NOW, {"job": kept}))
    desk.record = kept
    desk.write(first, "p0")
    assert "fence" in desk.rules


def test_an_outcome_twice() -> None:
    desk = Desk()
    desk.write(desk.attend(A), "p0")
    desk.at += SECOND
    held = desk.record
    change = desk.settle(A, desk.fence)
    desk.write(change, "p0")
    desk.record = held
    desk.write(change, "p0")
    assert {"once", "chain"} <= desk.rules


def test_an_entry_at_another_instant() -> None:
    desk = Desk()
    desk.write(desk.attend(A), "p0", due=NOW)
    assert "index" in desk.rules


def test_a_slot_that_is_dropped() -> None:
    desk = Desk()
    change = desk.attend(A)
    assert change.record is not None
    state = change.record.state.copy()
    assert state.next is not None
    state.next += 10 * SECOND
    desk.write(change, "p0", record=replace(change.record, state=state))
    assert {"slots", "decided"} <= desk.rules


def test_sums_that_no_row_explains() -> None:
    desk = Desk()
    change = desk.attend(A)
    assert change.record is not None
    state = change.record.state.copy()
    state.counts = state.counts.plus(skipped=1)
    desk.write(change, "p0", record=replace(change.record, state=state))
    assert {"sums", "slots"} <= desk.rules


def test_more_runs_than_there_may_be() -> None:
    desk = Desk(overlap="allow", max_running=2)
    desk.write(desk.attend(A), "p0")
    desk.at += 10 * SECOND
    change = desk.attend(B)
    assert change.record is not None
    narrow = replace(change.record.definition.spec, max_running=1)
    definition = replace(change.record.definition, spec=narrow)
    desk.write(change, "p1", record=replace(change.record, definition=definition))
    assert "room" in desk.rules


def test_what_may_not_run_twice_and_does() -> None:
    desk = Desk(on_lost="record")
    desk.write(desk.attend(A), "p0")
    desk.at += LEASE
    assert desk.record is not None
    rerun = replace(desk.record.definition.spec, on_lost=Job("w").on_lost)
    definition = replace(desk.record.definition, spec=rerun)
    change = planning.attend(definition, desk.record.state, desk.at, 1, B, LEASE)
    desk.write(change, "p1")
    assert "lost" in desk.rules


def test_an_executor_is_entered_once_and_only_with_a_claim() -> None:
    desk = Desk()
    desk.write(desk.attend(A), "p0")
    desk.judge.started("p0", "job", "k", 1, desk.fence)
    assert not desk.judge.violations
    desk.judge.started("p0", "job", "k", 1, desk.fence)
    desk.judge.started("p1", "job", "k", 1, desk.fence + 1)
    assert [one.rule for one in desk.judge.violations] == ["entered", "entered"]


@pytest.mark.parametrize("trouble", [0, 8])
def test_what_is_due_is_looked_at_unless_something_is_wrong(trouble: int) -> None:
    desk = Desk()
    desk.judge.trouble(desk.at, desk.at + trouble * SECOND)
    desk.at += 9 * SECOND
    desk.write(desk.attend(A), "p0")
    assert desk.rules == (set() if trouble else {"prompt"})


def test_what_nobody_looks_at_is_found_at_the_end() -> None:
    desk = Desk()
    desk.at += 60 * SECOND
    assert desk.record is not None
    rows = [row for row in desk.judge.rows if row.kind is RowKind.CREATED]
    desk.judge.finish({"job": desk.record}, rows, 3, desk.at)
    assert desk.rules == {"prompt"}


def test_a_row_that_is_missing_and_one_too_many() -> None:
    desk = Desk()
    assert desk.record is not None
    row = desk.judge.rows[0]
    desk.at += 1
    desk.judge.finish({"job": desk.record}, [replace(row, key="x")], 0, desk.at)
    assert [one.rule for one in desk.judge.violations] == ["books", "books"]


def test_what_is_told_is_what_was_written_with_it() -> None:
    desk = Desk()
    commit, record = desk.commit, desk.record
    assert record is not None
    seq, due = record.state.seq, commit.due
    right = Signal("changed", 0, (("job", "default", due, seq),))
    desk.judge.told([commit], [right], True)
    desk.judge.told([], [right], True)  # put right once more: it stands there
    desk.judge.told([commit], [], False)
    assert not desk.rules


@pytest.mark.parametrize(
    ("name", "written", "moved", "later", "announced"),
    [
        ("before its transaction", False, 0, 0, False),
        ("of another instant", True, 1, 0, True),
        ("of a number to come", True, 0, 1, True),
        ("of a job that there is not", False, 0, 1, True),
    ],
)
def test_what_is_told_wrongly(
    name: str, *, written: bool, moved: int, later: int, announced: bool
) -> None:
    desk = Desk()
    record, due = desk.record, desk.commit.due
    assert record is not None
    assert due is not None
    entry = ("job", "default", due + moved, record.state.seq + later)
    commits = [desk.commit] if written else []
    desk.judge.told(commits, [Signal("changed", 0, (entry,))], announced)
    assert desk.rules == {"signals"}, name


def test_what_is_not_told() -> None:
    desk = Desk()
    desk.judge.told([desk.commit], [], True)
    assert [one.text for one in desk.judge.violations] == [
        "it has changed, and nobody is told"
    ]
    desk.write(desk.attend(A), "p0")
    desk.write(desk.settle(A, desk.fence), "p0")
    desk.judge.told([desk.commit], [], False)
    desk.judge.told([], [Signal("done", 0, ids=("job",))], False)
    assert [one.text for one in desk.judge.violations[1:]] == [
        "a firing has ended, and nobody is told",
        "the end of a firing is told, and none was written",
    ]


def test_each_slot_is_named_as_before_or_after_a_loss() -> None:
    desk = Desk()
    first = desk.at
    desk.write(desk.attend(A), "p0")
    desk.write(desk.settle(A, desk.fence), "p0")
    kept, since = desk.record, desk.at
    assert kept is not None
    desk.at += 10 * SECOND
    desk.write(desk.attend(A), "p0")
    desk.write(desk.settle(A, desk.fence), "p0")
    loss = Loss(desk.at + 1, since, {"job": kept})
    desk.judge.lost(loss)
    desk.record = kept
    desk.at += SECOND
    assert [one.side for one in desk.judge.named()[0][1]] == ["before", "forgotten"]
    for _ in range(2):
        desk.write(desk.attend(A), "p0")
        desk.write(desk.settle(A, desk.fence), "p0")
        desk.at += 9 * SECOND
    ((told, slots),) = desk.judge.named()
    assert told is loss
    assert [((one.slot - first) // SECOND, one.side) for one in slots] == [
        (0, "before"),
        (10, "again"),
        (20, "after"),
    ]
    assert desk.judge.forgotten[0].real
    assert not desk.rules


def test_what_was_on_its_way_when_the_store_was_copied_is_forgotten() -> None:
    # Seed 16 on a server: decided before the copy, and committed after it.
    desk = Desk()
    desk.write(desk.attend(A), "p0")
    kept, since = desk.record, desk.at + 1
    assert kept is not None
    desk.trip = 2
    settled = desk.settle(A, desk.fence)
    desk.write(settled, "p0")
    desk.judge.lost(Loss(desk.at + 5, since, {"job": kept}))
    desk.record = kept
    desk.write(settled, "p0")
    assert not desk.rules
    desk.judge.lost(Loss(desk.at + 9, desk.at + 8, {"job": kept}))
    desk.record = kept
    desk.write(settled, "p0")
    assert "once" in desk.rules


def test_a_loss_that_nobody_could_see_is_none() -> None:
    desk = Desk()
    there = desk.record
    assert there is not None
    desk.judge.lost(Loss(desk.at, None, {}))
    assert desk.judge.forgotten[0].real
    desk.judge.lost(Loss(desk.at + SECOND, desk.at, {"job": there}))
    (one,) = desk.judge.forgotten
    assert one.loss.records == {"job": there}
    assert [row.kind for row in one.rows] == [RowKind.CREATED]


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (5, None),
        (13, "tells of the loss"),
        (None, "says nothing"),
    ],
)
def test_a_loss_is_told_within_a_beat(told: int | None, problem: str | None) -> None:
    loss = Loss(NOW, None, {})
    absences = Absences(5 * SECOND)
    at = None if told is None else NOW + told * SECOND
    text = absences.silent("p0", loss, at, NOW + 60 * SECOND)
    assert (text is None) if problem is None else (problem in (text or ""))
    absences.away("p1", NOW, NOW + 60 * SECOND)
    assert absences.silent("p0", loss, at, NOW + 60 * SECOND) == text
    absences.away("", NOW + SECOND, NOW + 3 * SECOND)
    late = absences.silent("p0", loss, at, NOW + 60 * SECOND)
    assert (late is None) is (told is not None)


def test_every_rule_says_what_it_asks() -> None:
    assert len(RULES) >= 20
    assert all(rule.text.endswith(".") for rule in RULES.values())
