"""Why a slot was passed over, or what will become of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from aiosched.enums import JobState, Overlap, Reason, RowKind
from aiosched.planning.moments import due_at
from aiosched.planning.outlook import outlook
from aiosched.planning.runwords import moved_words, obstacle
from aiosched.planning.wording import (
    Case,
    Evidence,
    act_words,
    length,
    peer,
    when,
)
from aiosched.records import Record, Row
from aiosched.triggers.base import Trigger
from aiosched.triggers.days import day_set
from aiosched.triggers.excluding import ExcludingTrigger
from aiosched.triggers.localdays import date_of, local_days

__all__ = ["explain_coming", "explain_range"]

_COMING = 1_000
"""Coming slots that are looked through for the one that was asked about."""


def explain_range(
    evidence: Evidence, row: Row, slot: int, cases: Sequence[Case]
) -> str:
    """Say why a slot was passed over, in words that follow the name of its job."""
    verbs = {
        RowKind.SKIPPED: "skipped",
        RowKind.MISSED: "missed",
        RowKind.EXCLUDED: "left out",
        RowKind.PAUSED: "passed over",
    }
    said = f"{verbs[row.kind]} its slot of {when(slot)}, because "
    if row.kind is RowKind.EXCLUDED:
        said += excluded_words(evidence, slot)
    elif row.kind is RowKind.PAUSED:
        said += _paused_words(evidence, slot, row)
    elif row.kind is RowKind.MISSED:
        said += _missed_words(evidence, row, slot)
    else:
        said += _skipped_words(evidence, row, slot, cases)
    if row.count > 1:
        first, last = when(row.slot), when(row.until)
        said += f" (one of {row.count:,} such slots from {first} to {last})"
    return said


def excluded_words(evidence: Evidence, slot: int) -> str:
    """Say by which rule a slot is excluded."""
    trigger = evidence.trigger
    words = ""
    if trigger is not None and evidence.of_era(slot):
        words = _rule(trigger, slot)
    return words or "its trigger excludes it"


def _rule(trigger: Trigger, slot: int) -> str:
    """Find the rule in a trigger, or in those of which it is made."""
    if isinstance(trigger, ExcludingTrigger):
        day = local_days(trigger.tz).day(slot)
        for text in trigger.days:
            rule = day_set((text,))
            if day in rule:
                named = f"{date_of(day)} in {trigger.tz}"
                words = f"{named} is excluded by its rule {rule.words()[0]}"
                if trigger.shift != "skip":
                    words += ", and no business day beside it is free for it"
                return words
        for other in trigger.without:
            if other.next(slot - 1) == slot:
                return f"it excludes when another trigger fires ({other.describe()})"
    inner = getattr(trigger, "trigger", None)
    parts = (inner,) if inner is not None else getattr(trigger, "triggers", ())
    for part in parts:
        if isinstance(part, Trigger) and part.next(slot - 1) == slot:
            words = _rule(part, slot)
            if words:
                return words
    return ""


def explain_coming(evidence: Evidence, slot: int) -> str:
    """Say what will become of a slot that nobody has decided on yet."""
    record = evidence.record
    if record is None:  # pragma: no cover - only asked with a record
        return f"has no slot at {when(slot)}"
    at, due = when(slot), due_at(record.definition, slot)
    if record.state.status is JobState.PAUSED:
        said = _while_paused(evidence, record, slot, slot if due is None else due)
        if said:
            return said
    if due is None:
        tense = "leaves" if slot <= evidence.now else "will leave"
        return f"{tense} out its slot of {at}, because {excluded_words(evidence, slot)}"
    if due <= evidence.now:
        return _overdue(evidence, record, slot, due)
    jitter = record.definition.spec.jitter
    for coming in islice(outlook(record, evidence.now, due - 1), _COMING):
        if coming.slot == slot:
            start = "" if coming.due == slot else f" at {when(coming.due)}"
            moved = moved_words(evidence, slot, due)
            return f"will run its slot of {at}{start}{moved}"
        if coming.due > due + jitter:
            return f"will skip its slot of {at}, because others are due with it"
    if record.definition.spec.max_runs is not None:
        return (
            f"will not run its slot of {at}, because its max_runs of "
            f"{record.definition.spec.max_runs:,} are used up before"
        )
    return f"will not run its slot of {at}, as far as can be foreseen"


def _overdue(evidence: Evidence, record: Record, slot: int, due: int) -> str:
    said = f"has not run its slot of {when(slot)} yet, which was due at {when(due)}"
    runs, spec = record.state.runs, record.definition.spec
    if runs and len(runs) >= spec.max_running:
        place = peer(evidence, runs[0].owner)
        way = f"the run that began at {when(runs[0].started)} on {place}"
        if spec.overlap is Overlap.SKIP:
            return f"{said}: {way} is in its way, and with its end it is skipped"
        return f"{said}: {way} is in its way"
    return f"{said}: no peer that can run it has been free to take it"


def _while_paused(evidence: Evidence, record: Record, slot: int, due: int) -> str:
    """Say that the job is paused over a slot; empty if it is not, by then."""
    until = record.state.pause_until
    if until is not None and due > until:
        return ""
    verb = "has passed over" if slot <= evidence.now else "will pass over"
    return f"{verb} its slot of {when(slot)}, because {_pause(evidence, record)}"


def _pause(evidence: Evidence, record: Record) -> str:
    """Say that a job is paused, by whom, why and until when."""
    held = evidence.latest(evidence.now, RowKind.HELD, RowKind.STOPPED)
    note = record.state.pause_note
    if held is None:
        words = "it is paused" + (f" ({note})" if note else "")
    else:
        verb = "stopped" if held.kind is RowKind.STOPPED else "paused"
        words = f"it was {verb}{act_words(held)}"
    until = record.state.pause_until
    return words if until is None else f"{words} until {when(until)}"


def _paused_words(evidence: Evidence, slot: int, row: Row) -> str:
    held = evidence.latest(slot, RowKind.HELD, RowKind.STOPPED)
    if held is None:
        return f"the job was paused until {when(row.at)}"
    verb = "stopped" if held.kind is RowKind.STOPPED else "paused"
    resumed = evidence.latest(row.at, RowKind.RESUMED)
    words = f"the job was {verb}{act_words(held)}"
    if resumed is None or resumed.at < held.at:
        return f"{words}, until {when(row.at)}"
    return f"{words} and resumed{act_words(resumed)}"


def _missed_words(evidence: Evidence, row: Row, slot: int) -> str:
    late = row.at - slot
    words = f"nobody looked at it before {when(row.at)}, {length(late)} late"
    changed = evidence.latest(evidence.now, RowKind.MODIFIED, RowKind.CREATED)
    grace = None
    if evidence.record is not None and (changed is None or changed.at <= row.at):
        grace = evidence.record.definition.spec.misfire_grace
    if grace is None:
        return f"{words}, which is more than its grace"
    return f"{words}, which is more than its grace of {length(grace)}"


def _skipped_words(
    evidence: Evidence, row: Row, slot: int, cases: Sequence[Case]
) -> str:
    if row.reason is Reason.OVERLAP:
        return _overlap_words(evidence, row, slot, cases)
    if row.reason is Reason.MODIFIED:
        act = evidence.latest(row.at, RowKind.MODIFIED)
        return f"its trigger was changed{act_words(act) or f' at {when(row.at)}'}"
    if row.reason is Reason.REMOVED:
        act = evidence.latest(row.at, RowKind.REMOVED)
        return f"the job was removed{act_words(act) or f' at {when(row.at)}'}"
    found = f"more than one slot was due when a peer looked at {when(row.at)}"
    if row.reason is Reason.LIMIT:
        return f"{found}, and its coalesce_limit was reached by newer ones"
    if row.reason is Reason.COALESCED:
        stands = _stands_for(row, cases)
        if stands is not None:
            return f"{found}, and the run of slot {when(stands)} stands for them all"
        return f"{found}, and one run stands for them all"
    return f"it was decided so at {when(row.at)}"


def _stands_for(row: Row, cases: Sequence[Case]) -> int | None:
    """Return the slot whose run was taken when others were skipped for it."""
    near = [
        (abs(begun - row.at), case.slot)
        for case in cases
        for begun, _, _ in case.spans
        if case.slot not in range(row.slot, row.until + 1) and begun >= row.at
    ]
    return min(near)[1] if near else None


def _overlap_words(
    evidence: Evidence, row: Row, slot: int, cases: Sequence[Case]
) -> str:
    for case in cases:
        for attempt in case.attempts:
            if row.fence and attempt.fence == row.fence and attempt.started:
                begun, owner = attempt.started, attempt.owner
                return _in_the_way(evidence, begun, owner, attempt.at)
        if case.live is not None and case.live.fence == row.fence:
            return _in_the_way(evidence, case.live.started, case.live.owner, None)
    way = obstacle(cases, None, slot, row.at + 1)
    if way is not None and way[0] <= slot:
        return _in_the_way(evidence, way[0], way[2], way[1])
    return "a run of the job was still under way"


def _in_the_way(evidence: Evidence, begun: int, owner: str, end: int | None) -> str:
    goes_on = "goes on still" if end is None else f"went on until {when(end)}"
    place = peer(evidence, owner)
    return f"the run that began at {when(begun)} on {place} {goes_on}"
