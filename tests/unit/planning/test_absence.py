"""What ten years of absence cost: counted questions, no lists, a few rows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aiosched import planning
from aiosched.enums import Coalesce, JobState, Outcome, Overlap, RowKind
from aiosched.instants import SECOND, moment
from aiosched.planning.moments import MOST_STRETCHES
from aiosched.records import MAX_WAITING, Change, Definition, Ended, Record, Spec
from aiosched.triggers.base import Trigger
from aiosched.triggers.excluding import ExcludingTrigger
from aiosched.triggers.interval import IntervalTrigger

T0 = 1_700_000_000 * SECOND
LEASE = 15 * SECOND
YEARS = 10 * 365 * 86_400
LATER = T0 + YEARS * SECOND
EACH_SECOND = IntervalTrigger(seconds=1, start=moment(T0)).rule()
WORKDAYS = IntervalTrigger(seconds=1, start=moment(T0)).excluding("sat-sun").rule()
WEEKS = YEARS // (7 * 86_400)
GRACES = [None, 0, 3600 * SECOND, 100 * YEARS * SECOND]
QUESTIONS = ("next", "last", "count", "reach")


class Counted:
    """Counts the questions that interval triggers are asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        for name in QUESTIONS:
            monkeypatch.setattr(
                IntervalTrigger, name, self._counting(getattr(IntervalTrigger, name))
            )

    def _counting(self, question: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **options: Any) -> Any:
            self.asked += 1
            return question(*args, **options)

        return count

    def taken(self) -> int:
        """Return how many there were since the last time."""
        asked, self.asked = self.asked, 0
        return asked


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def created(trigger: Trigger, **options: Any) -> Record:
    definition = Definition("job", Spec("work", trigger, **options), T0)
    change = planning.schedule(definition, None, T0)
    assert change is not None
    assert change.record is not None
    return change.record


def looked(record: Record, now: int) -> Change:
    change = planning.attend(
        record.definition, record.state, now, MAX_WAITING, "me", LEASE
    )
    assert change is not None
    return change


def after(change: Change | None) -> Record:
    assert change is not None
    assert change.record is not None
    return change.record


def slots_of(change: Change) -> int:
    return sum(row.count for row in change.rows if row.kind is not RowKind.SUCCEEDED)


@pytest.mark.parametrize("overlap", list(Overlap))
@pytest.mark.parametrize("grace", GRACES)
@pytest.mark.parametrize("coalesce", list(Coalesce))
@pytest.mark.parametrize("limit", [None, 3])
def test_a_look_after_ten_years(
    counted: Counted,
    coalesce: Coalesce,
    grace: int | None,
    overlap: Overlap,
    limit: int | None,
) -> None:
    """315 million slots: some twenty questions, and one for each that is fired."""
    record = created(
        EACH_SECOND,
        coalesce=coalesce,
        misfire_grace=grace,
        overlap=overlap,
        coalesce_limit=limit,
        max_running=2 if overlap is Overlap.ALLOW else 1,
    )
    counted.taken()
    change = looked(record, LATER)
    asked = counted.taken()
    state = after(change).state
    fired = state.counts.fired
    halving = 60 if limit is not None and coalesce is Coalesce.ALL else 0
    assert asked <= 20 + 2 * fired + halving
    assert fired <= MAX_WAITING + 1
    assert len(change.rows) <= 3
    assert state.next is not None
    assert state.counts.slots == (state.next - T0) // SECOND
    waits = overlap in (Overlap.ALLOW, Overlap.QUEUE, Overlap.CANCEL_PREVIOUS)
    behind = 1 if coalesce is Coalesce.ALL and waits else 0
    assert state.next == LATER + SECOND or behind
    assert planning.conserved(after(change)) is None


def test_the_same_with_a_run_in_the_way(counted: Counted) -> None:
    """A run that took ten years, and a job that skips."""
    record = after(looked(created(EACH_SECOND), T0))
    (run,) = record.state.runs
    counted.taken()
    change = planning.settle(
        record.definition,
        record.state,
        "me",
        run.fence,
        Ended(Outcome.SUCCEEDED),
        LATER,
    )
    assert counted.taken() <= 20
    assert change is not None
    assert [row.kind for row in change.rows] == [RowKind.SKIPPED, RowKind.SUCCEEDED]
    assert change.rows[0].count == YEARS


def paused(record: Record) -> Record:
    return after(planning.pause(record, T0))


def retimed(record: Record) -> Definition:
    return replace(record.definition, anchor=T0 + SECOND // 2)


VERBS: dict[str, Callable[[Record], Change | None]] = {
    "resume": lambda record: planning.resume(paused(record), LATER),
    "modify": lambda record: planning.modify(retimed(record), record, LATER),
    "remove": lambda record: planning.remove(record, LATER),
    "modify paused": lambda r: planning.modify(retimed(r), paused(r), LATER),
    "remove paused": lambda record: planning.remove(paused(record), LATER),
}


@pytest.mark.parametrize("trigger", [EACH_SECOND, WORKDAYS], ids=["all", "workdays"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_verbs_after_ten_years(
    counted: Counted, verb: str, trigger: Trigger
) -> None:
    """One row for the slots, one for the excluded ones, one for the verb."""
    record = created(trigger)
    counted.taken()
    change = VERBS[verb](record)
    asked = counted.taken()
    assert change is not None
    excluded = sum(r.count for r in change.rows if r.kind is RowKind.EXCLUDED)
    if trigger is EACH_SECOND:
        assert asked <= 20
        assert excluded == 0
    else:
        assert asked <= 40 * WEEKS
        assert abs(excluded - WEEKS * 2 * 86_400) <= 2 * 86_400
    assert slots_of(change) == YEARS + 1
    kept = [r for r in change.rows if r.count and r.kind is not RowKind.EXCLUDED]
    expected = RowKind.SKIPPED if verb in ("modify", "remove") else RowKind.PAUSED
    assert [row.kind for row in kept] == [expected]
    assert len(change.rows) <= 3
    if change.record is not None:
        assert planning.conserved(change.record) is None


@pytest.mark.parametrize("coalesce", list(Coalesce))
@pytest.mark.parametrize("grace", GRACES)
def test_a_look_after_ten_years_of_workdays(
    counted: Counted, coalesce: Coalesce, grace: int | None
) -> None:
    """Walked by weeks, not by slots; one row for all weekends together."""
    record = created(WORKDAYS, coalesce=coalesce, misfire_grace=grace)
    counted.taken()
    change = looked(record, LATER)
    assert counted.taken() <= 60 * WEEKS
    excluded = [row for row in change.rows if row.kind is RowKind.EXCLUDED]
    assert len(excluded) <= 1
    assert len(change.rows) <= 3
    state = after(change).state
    assert state.next == LATER + SECOND
    assert planning.conserved(after(change)) is None


def test_nothing_is_listed() -> None:
    """Neither memory nor the record grows with the number of slots."""
    for trigger in (EACH_SECOND, WORKDAYS):
        record = created(trigger, coalesce=Coalesce.LATEST)
        looked(record, T0 + 60 * SECOND)
        tracemalloc.start()
        looked(record, LATER)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 200_000


def test_a_century_of_workdays_takes_several_looks_and_fires_the_newest() -> None:
    """What one look does not get to is left to the next, in two rows each."""
    record: Record | None = created(WORKDAYS)
    now = T0 + 10 * YEARS * SECOND
    rows, starts, looks = [], [], 0
    while record is not None:
        at = planning.instant(record.definition, record.state)
        if record.state.status is not JobState.ACTIVE or at is None or at > now:
            break
        change = looked(record, now)
        record, looks = change.record, looks + 1
        rows += change.rows
        starts += change.starts
    assert looks == 10 * WEEKS * 2 // MOST_STRETCHES + 1
    assert len(rows) <= 2 * looks + 1
    (start,) = starts
    trigger = start.definition.spec.trigger
    assert isinstance(trigger, ExcludingTrigger)
    assert now - 3 * 86_400 * SECOND <= start.run.firing.slot <= now
    assert trigger.next_due(start.run.firing.slot, T0) is not None
