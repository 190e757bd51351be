"""The rules of conduct: each is broken once, by hand, and each is kept once."""

from __future__ import annotations

import importlib

import pytest

from aiosched import planning
from aiosched.enums import Outcome, Reason, RowKind
from aiosched.instants import SECOND
from aiosched.jobs import Retry
from aiosched.records import Change, Row
from aiosched.testing.simulation.steps import Firing
from tests.simulation.test_judge import LEASE, NOW, A, B, Desk


def running(**options: object) -> Desk:
    """Return a desk whose job p0 has claimed, and whose executor it has entered."""
    desk = Desk(**options)
    desk.judge.conduct.witnessed = True
    desk.write(desk.attend(A), "p0")
    desk.judge.started("p0", "job", "k", 1, desk.fence)
    return desk


@pytest.mark.parametrize(
    ("by", "outcome", "right"),
    [
        ("returned", Outcome.SUCCEEDED, True),
        ("finished", Outcome.SUCCEEDED, True),
        ("raised", Outcome.FAILED, True),
        ("cancelled", Outcome.CANCELLED, True),
        ("cancelled", Outcome.TIMED_OUT, True),
        ("raised", Outcome.SUCCEEDED, False),
        ("cancelled", Outcome.SUCCEEDED, False),
        ("", Outcome.SUCCEEDED, False),
        ("returned", Outcome.FAILED, False),
        ("raised", Outcome.CANCELLED, False),
        ("", Outcome.CANCELLED, False),
    ],
)
def test_an_outcome_tells_how_its_execution_ended(
    by: str, outcome: Outcome, *, right: bool
) -> None:
    desk = running()
    if by:
        desk.judge.ended("p0", "job", desk.fence, by)
    desk.write(desk.settle(A, desk.fence, outcome), "p0")
    assert desk.rules == (set() if right else {"outcome"})


@pytest.mark.parametrize("lost", [False, True])
def test_an_outcome_that_the_store_has_forgotten(*, lost: bool) -> None:
    """Whoever ends the run that came back with the store cannot know of it."""
    desk = running()
    desk.judge.ended("p0", "job", desk.fence, "raised")
    if lost:
        desk.judge.conduct.lost()
    desk.write(desk.settle(A, desk.fence, Outcome.CANCELLED), "p0")
    assert desk.rules == (set() if lost else {"outcome"})


def test_a_success_that_was_never_begun() -> None:
    desk = Desk()
    desk.judge.conduct.witnessed = True
    desk.write(desk.attend(A), "p0")
    desk.write(desk.settle(A, desk.fence), "p0")
    assert desk.rules == {"outcome"}


@pytest.mark.parametrize("excuse", ["", "dead", "stopped", "long ago", "another"])
def test_a_run_is_lost_only_with_an_excuse(excuse: str) -> None:
    desk = Desk(on_lost="record", overlap="allow", max_running=3)
    conduct = desk.judge.conduct
    desk.judge.trouble(NOW, NOW + 1_000 * SECOND)
    if excuse == "long ago":
        conduct.hindered("p0", 2)
    desk.at += 10 * SECOND
    desk.write(desk.attend(A), "p0")
    desk.at += LEASE - 2 * SECOND
    if excuse == "dead":
        desk.judge.crashed("p0")
    elif excuse in ("stopped", "another"):
        conduct.hindered("p0" if excuse == "stopped" else "p1", 1)
    desk.at += 2 * SECOND
    desk.write(desk.attend(B, 0), "p1")
    right = excuse in ("dead", "stopped")
    assert desk.rules == (set() if right else {"abandoned"})


def test_an_outcome_that_could_have_been_written_for_long() -> None:
    desk = running(on_lost="record")
    desk.judge.trouble(NOW, NOW + 1_000 * SECOND)
    desk.judge.conduct.hindered("", 1)
    desk.judge.ended("p0", "job", desk.fence, "returned")
    desk.at += LEASE
    desk.write(desk.attend(B), "p1")
    assert desk.rules == {"abandoned"}


@pytest.mark.parametrize("late", [0, 1])
def test_a_peer_that_has_not_beaten_claims_nothing(late: int) -> None:
    desk = Desk()
    desk.judge.trouble(NOW, NOW + 1_000 * SECOND)
    desk.judge.conduct.beaten("p0", (desk.at - NOW) / SECOND)
    terms = desk.judge.terms
    desk.at += terms.member_timeout + late * 2 * SECOND
    desk.write(desk.attend(A), "p0")
    assert desk.rules == ({"lapsed"} if late else set())


@pytest.mark.parametrize(
    ("after", "by", "told", "right"),
    [
        (4, "cancelled", True, True),
        (9, "cancelled", True, False),
        (9, "returned", True, True),
        (9, "returned", False, False),
    ],
)
def test_what_is_to_stop_is_told(
    after: int, by: str, *, told: bool, right: bool
) -> None:
    desk = Desk(max_running=1)
    desk.write(desk.attend(A), "p0")
    fence = desk.fence
    desk.judge.started("p0", "job", "k", 1, fence, lambda: told)
    assert desk.record is not None
    desk.write(planning.stop(desk.record, desk.at), "client")
    assert desk.record.state.runs[0].cancel is not Reason.NONE
    desk.at += after * SECOND
    desk.judge.ended("p0", "job", fence, by)
    assert desk.rules == (set() if right else {"stopped"})


@pytest.mark.parametrize("held", [0, 3])
def test_a_timeout_is_told(held: int) -> None:
    desk = Desk(timeout=2.0)
    desk.write(desk.attend(A), "p0")
    desk.judge.started("p0", "job", "k", 1, desk.fence, lambda: False)
    if held:
        desk.judge.conduct.hindered("p0", held)
    desk.at += 4 * SECOND
    desk.judge.ended("p0", "job", desk.fence, "returned")
    assert desk.rules == (set() if held else {"timeout"})


def test_a_run_that_goes_on_at_the_end_is_judged_too() -> None:
    desk = Desk(timeout=2.0)
    desk.write(desk.attend(A), "p0")
    desk.judge.started("p0", "job", "k", 1, desk.fence, lambda: False)
    desk.at += 4 * SECOND
    assert desk.record is not None
    desk.judge.finish({"job": desk.record}, desk.judge.rows, 1, desk.at)
    assert desk.rules == {"timeout"}


def test_a_fire_reaches_who_listens_all_the_while() -> None:
    desk = Desk(keyword="red")
    before = desk.judge.listeners("red")
    assert {one.job_id for one in before} == {"job"}
    assert not desk.judge.listeners("green")
    gone = Firing("gone", 1, "")
    desk.judge.reached("red", before | {gone}, [gone._replace(job_id="job")], desk.at)
    assert not desk.rules
    desk.judge.reached("red", before, [], desk.at)
    assert desk.rules == {"reached"}


def test_a_failure_is_not_tried_again_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(retry=Retry(2, delay=0))
    settle = importlib.import_module("aiosched.planning.settle")
    monkeypatch.setattr(settle, "retries", lambda *_: True)
    for failures in (1, 2):
        desk.write(desk.attend(A), "p0")
        desk.write(desk.settle(A, desk.fence, Outcome.FAILED), "p0")
        assert desk.rules == (set() if failures < 2 else {"tries"})
        desk.at += SECOND


@pytest.mark.parametrize("grace", [None, 5])
def test_a_slot_is_missed_too_early(grace: int | None) -> None:
    desk = Desk(misfire_grace=grace)
    assert desk.record is not None
    for late in (5, 61):
        desk.judge.violations.clear()
        slot = desk.at - late * SECOND
        row = Row("job", RowKind.MISSED, desk.at, slot, slot, 1)
        change = Change(desk.record, desk.commit.due, rows=(row,))
        desk.write(change, "p0")
        assert ("missed" in desk.rules) is (late == 5)
