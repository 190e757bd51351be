"""Why a firing ran when it ran, and how it ended; :mod:`aiosched.planning.reasons`."""

from __future__ import annotations

from collections.abc import Sequence

from aiosched.enums import Cause, JobState, RowKind
from aiosched.planning.lateness import (
    Begin,
    holder,
    holder_words,
    late_words,
    places,
)
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

__all__ = ["explain_case", "moved_words"]


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


def _begin(evidence: Evidence, case: Case) -> Begin | None:
    """Return when the first attempt began; None: none has, or its row is gone."""
    first: Row | LiveRun
    if case.attempts and case.attempts[0].started:
        first = case.attempts[0]
        if first.attempt > 1 and first.kind is not RowKind.HANDED_BACK:
            return None
        return Begin(first.started, first.due or case.slot, first.owner)
    if case.live is not None and case.live.firing.attempt <= 1:
        first = case.live
        due = case.live.firing.at
        return Begin(first.started, _own_due(evidence, case, due), first.owner)
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
    trigger = evidence.trigger
    return trigger is not None and trigger.backfills


def _punctual(evidence: Evidence, case: Case, cases: Sequence[Case]) -> str:
    begin = _begin(evidence, case)
    return "" if begin is None else late_words(evidence, case, begin, cases)


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
    said = f"is running {_what(evidence, case)} since {when(run.started)} on "
    said += peer(evidence, run.owner)
    again = _attempt(evidence, case, run.firing.attempt).strip(" ,")
    punctual = _punctual(evidence, case, cases).strip()
    if again:
        said += f", {again}"
        punctual = f"; its first attempt began {punctual}" if punctual else ""
    elif punctual:
        punctual = f", {punctual}"
    said += punctual
    if run.until <= evidence.now:
        said += f", and its lease has ended at {when(run.until)}"
    return f"{said}, and has been told to stop" if run.cancel else said


def _waiting(
    evidence: Evidence, case: Case, firing: Pending, cases: Sequence[Case]
) -> str:
    said = f"has not run {_what(evidence, case)} yet"
    record = evidence.record
    paused = record is not None and record.state.status is JobState.PAUSED
    held = _held_words(evidence) if paused and case.cause is not Cause.MANUAL else ""
    past = [row for row in case.attempts if not row.final]
    if past:
        told = f"attempt {past[-1].attempt} {ended_words(evidence, past[-1])}"
        said += f": {told}, and the next is due at {when(firing.at)}"
        return f"{said}, but {held}" if held else said
    if held:
        return f"{said}, because {held}"
    way = holder(places(cases, case), record, evidence.now)
    if way is not None:
        return f"{said}: it waits for {holder_words(evidence, way).rstrip(',')}"
    return f"{said}: no peer has taken it"


def _held_words(evidence: Evidence) -> str:
    held = evidence.latest(evidence.now, RowKind.HELD, RowKind.STOPPED)
    if held is None:
        return "the job is paused"
    verb = "stopped" if held.kind is RowKind.STOPPED else "paused"
    return f"the job was {verb}{act_words(held)}"


def _unfinished(evidence: Evidence, case: Case) -> str:
    """Say what is left of a firing whose outcome is not to be found."""
    row = case.attempts[-1]
    said = f"ran {_what(evidence, case)} at attempt {row.attempt} "
    said += f"on {peer(evidence, row.owner)}, which {ended_words(evidence, row)}"
    return f"{said}; how it ended is not in the rows that were read"
