"""Why a firing ran when it ran, and how it ended; :mod:`aiosched.planning.reasons`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiosched.enums import Cause, JobState, RowKind
from aiosched.instants import LATE
from aiosched.planning.moments import due_at
from aiosched.planning.wording import (
    Case,
    Evidence,
    act_words,
    ended_words,
    fate_words,
    length,
    peer,
    when,
)
from aiosched.records import LiveRun, Pending, Row
from aiosched.triggers.backfill import BackfillTrigger

__all__ = ["explain_case", "moved_words", "obstacle"]

_HELD_BACK = 100
"""Earlier slots that are looked through for one whose jitter held this back."""


class _Begin(NamedTuple):
    at: int
    due: int
    owner: str


def explain_case(evidence: Evidence, case: Case, cases: Sequence[Case]) -> str:
    """Say what became of a firing, in words that follow the name of its job."""
    final = case.final
    if final is not None:
        if not final.started:
            return _never_started(evidence, case, final)
        done = ended_words(evidence, final)
        where = f"{_attempt(evidence, case, final.attempt)}on "
        where += peer(evidence, final.owner)
        said = f"ran {_what(evidence, case)}{_punctual(evidence, case, cases)}, "
        return f"{said}{where}, and {done}{_stood_for(final)}"
    if case.live is not None:
        return _running(evidence, case, case.live, cases)
    if case.waiting is not None:
        return _waiting(evidence, case, case.waiting, cases)
    return _unfinished(evidence, case)


def moved_words(evidence: Evidence, slot: int, due: int) -> str:
    """Say that a slot is due at another instant, if it is."""
    if due == slot:
        return ""
    trigger = evidence.trigger
    moved: int | None = slot
    if evidence.of_era(slot) and trigger is not None and not trigger.plain:
        moved = trigger.due(slot)
    words = ""
    if moved is not None and moved != slot:
        words = f", moved to {when(moved)} off an excluded day"
    elif moved is None:
        moved = slot
    jitter = due - moved
    return f"{words}, with {length(jitter)} of jitter" if jitter > 0 else words


def obstacle(
    cases: Sequence[Case], case: Case | None, due: int, until: int
) -> tuple[int, int | None, str] | None:
    """Return the run that was in the way: still under way after ``due``.

    Args:
        cases: All firings that are known.
        case: The one that had to wait; it is not in its own way.
        due: When it was to start.
        until: When it could.
    """
    found = [
        span
        for other in cases
        if other is not case
        for span in other.spans
        if span[0] < until and (span[1] is None or due < span[1])
    ]
    return max(found, key=lambda span: (span[1] is None, span[1] or 0), default=None)


def _what(evidence: Evidence, case: Case) -> str:
    at = when(case.slot)
    if case.cause is Cause.KEYWORD:
        return f"as fired by keyword at {at}"
    if case.cause is Cause.MANUAL:
        asked = [
            row
            for row in evidence.rows
            if row.kind is RowKind.ASKED and row.key == case.key
        ]
        return f"as asked by hand{act_words(asked[0]) if asked else f' at {at}'}"
    begin = _begin(evidence, case)
    due = case.slot if begin is None or _filled(evidence) else begin.due
    return f"its slot of {at}{moved_words(evidence, case.slot, due)}"


def _begin(evidence: Evidence, case: Case) -> _Begin | None:
    """Return when the first attempt began; None: none has, or its row is gone."""
    first: Row | LiveRun
    if case.attempts and case.attempts[0].started:
        first = case.attempts[0]
        if first.attempt > 1 and first.kind is not RowKind.HANDED_BACK:
            return None
        due = first.due or case.slot
        return _Begin(first.started, _own_due(evidence, case, due), first.owner)
    if case.live is not None and case.live.firing.attempt <= 1:
        first = case.live
        due = case.live.firing.at
        return _Begin(first.started, _own_due(evidence, case, due), first.owner)
    return None


def _own_due(evidence: Evidence, case: Case, noted: int) -> int:
    """Return when a slot was due, by the stored trigger or else by its row."""
    record = evidence.record
    if record is None or case.cause is not Cause.SLOT or _filled(evidence):
        return noted
    if not evidence.of_era(case.slot):
        return noted
    return due_at(record.definition, case.slot) or noted


def _filled(evidence: Evidence) -> bool:
    """Tell whether the job is a backfill, whose slots are due in their turn."""
    return isinstance(evidence.trigger, BackfillTrigger)


def _punctual(evidence: Evidence, case: Case, cases: Sequence[Case]) -> str:
    begin = _begin(evidence, case)
    if begin is None:
        return ""
    late = begin.at - begin.due
    if late < LATE:
        return " on time"
    why = _why_late(evidence, case, begin, cases)
    return f" {length(late)} late, because {why}"


def _why_late(
    evidence: Evidence, case: Case, begin: _Begin, cases: Sequence[Case]
) -> str:
    """Say what kept a firing from starting when it was due."""
    resumed = evidence.latest(begin.at, RowKind.RESUMED)
    if resumed is not None and begin.due < resumed.at:
        return f"the job was paused until it was resumed{act_words(resumed)}"
    record = evidence.record
    limit = 1 if record is None else record.definition.spec.max_running
    way = obstacle(cases, case, begin.due, begin.at)
    if way is not None and limit == 1:
        begun, end, owner = way
        ended = f"until {when(end)}" if end is not None and end <= begin.at else "then"
        place = peer(evidence, owner)
        return f"the run that began at {when(begun)} on {place} was in its way {ended}"
    held = _held_back(evidence, case, begin)
    if held is not None:
        return f"it does not overtake the slot of {when(held)}, which has more jitter"
    born = evidence.births.get(begin.owner)
    if born is not None and born > begin.due:
        place = peer(evidence, begin.owner)
        return f"{place}, which took it, was not there before {when(born)}"
    return "no peer that can run it was free to take it before"


def _held_back(evidence: Evidence, case: Case, begin: _Begin) -> int | None:
    """Return the earlier slot whose jitter this one had to wait for."""
    record, trigger = evidence.record, evidence.trigger
    if record is None or trigger is None or case.cause is not Cause.SLOT:
        return None
    jitter = record.definition.spec.jitter
    slot: int | None = case.slot
    for _ in range(_HELD_BACK if jitter else 0):
        slot = None if slot is None else trigger.last(slot - 1)
        if slot is None or slot < case.slot - jitter or not evidence.of_era(slot):
            return None
        due = due_at(record.definition, slot)
        if due is not None and begin.at - LATE < due <= begin.at:
            return slot
    return None


def _attempt(evidence: Evidence, case: Case, number: int) -> str:
    """Tell of the attempts before the last one, if there were any."""
    before = [row for row in case.attempts if not row.final]
    if not before:
        return "" if number <= 1 else f"at attempt {number} "
    told = [
        f"attempt {row.attempt} on {peer(evidence, row.owner)} "
        f"{ended_words(evidence, row)}"
        for row in before[-3:]
    ]
    return f"at attempt {number}, after {' and '.join(told)}, "


def _stood_for(row: Row) -> str:
    if not row.missed:
        return ""
    slots = "1 other slot" if row.missed == 1 else f"{row.missed:,} other slots"
    return f"; it stood for {slots} as well"


def _never_started(evidence: Evidence, case: Case, row: Row) -> str:
    said = f"did not run {_what(evidence, case)}"
    if row.kind is RowKind.EXPIRED:
        return f"{said}, because its time to live had ended by {when(row.at)}"
    why = fate_words(evidence, row) or ""
    return f"{said}: it was cancelled while it waited, at {when(row.at)}{why}"


def _running(
    evidence: Evidence, case: Case, run: LiveRun, cases: Sequence[Case]
) -> str:
    place = peer(evidence, run.owner)
    said = f"is running {_what(evidence, case)}, begun"
    said += f"{_punctual(evidence, case, cases)} at {when(run.started)}"
    said += f" {_attempt(evidence, case, run.firing.attempt)}on {place}"
    if run.until <= evidence.now:
        said += f", whose lease has ended at {when(run.until)}"
    return f"{said}, and has been told to stop" if run.cancel else said


def _waiting(
    evidence: Evidence, case: Case, firing: Pending, cases: Sequence[Case]
) -> str:
    said = f"has not run {_what(evidence, case)} yet"
    past = [row for row in case.attempts if not row.final]
    if past:
        told = f"attempt {past[-1].attempt} {ended_words(evidence, past[-1])}"
        said += f": {told}, and the next is due at {when(firing.at)}"
        return said
    record = evidence.record
    if record is not None and record.state.status is JobState.PAUSED:
        held = evidence.latest(evidence.now, RowKind.HELD, RowKind.STOPPED)
        return f"{said}, because the job is paused{act_words(held)}"
    way = obstacle(cases, case, firing.at, evidence.now)
    if way is not None:
        place = peer(evidence, way[2])
        return f"{said}: it waits for the run that began at {when(way[0])} on {place}"
    return f"{said}: it waits for a peer that can run it"


def _unfinished(evidence: Evidence, case: Case) -> str:
    """Say what is left of a firing whose outcome is not to be found."""
    row = case.attempts[-1]
    said = f"ran {_what(evidence, case)} at attempt {row.attempt} "
    said += f"on {peer(evidence, row.owner)}, which {ended_words(evidence, row)}"
    return f"{said}; how it ended is not in the rows that were read"
