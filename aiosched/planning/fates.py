"""Why a slot was passed over, or what will become of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from aiosched.enums import JobState, Overlap, Reason, RowKind
from aiosched.planning.lateness import (
    case_name,
    holder,
    holder_words,
    pause_begun,
    places,
)
from aiosched.planning.moments import due_at
from aiosched.planning.outlook import outlook
from aiosched.planning.runwords import moved_words
from aiosched.planning.wording import (
    Case,
    Evidence,
    act_words,
    ended_words,
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
    evidence: Evidence,
    row: Row,
    slot: int,
    cases: Sequence[Case],
    *,
    sure: bool = True,
) -> str:
    """Say why a slot was passed over, in words that follow the name of its job.

    Args:
        evidence: What was read.
        row: That of the slot, or of a range of them.
        slot: An instant within it.
        cases: The firings that are known.
        sure: Whether it is known that there was a slot at that very instant; of a
            trigger that the job has no more, only the ends of a range are.
    """
    verbs = {
        RowKind.SKIPPED: "skipped",
        RowKind.MISSED: "missed",
        RowKind.EXCLUDED: "left out",
        RowKind.PAUSED: "passed over",
    }
    said = f"{verbs[row.kind]} its slot of {when(slot)}, "
    said += "because " if sure else "if it had one then, because "
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
        one = "one" if sure else "it would be one"
        said += f" ({one} of {row.count:,} such slots from {first} to {last})"
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


def explain_coming(evidence: Evidence, slot: int, cases: Sequence[Case]) -> str:
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
        return _overdue(evidence, record, slot, due, cases)
    jitter = record.definition.spec.jitter
    for coming in islice(outlook(record, evidence.now, due - 1), _COMING):
        if coming.slot == slot:
            start = "" if coming.due == slot else f" at {when(coming.due)}"
            moved = moved_words(evidence, slot, due)
            return f"will run its slot of {at}{start}{moved}"
        if coming.due > due + jitter:
            return f"will skip its slot of {at}, {_in_front(record, due)}"
    if record.definition.spec.max_runs is not None:
        return (
            f"will not run its slot of {at}, because its max_runs of "
            f"{record.definition.spec.max_runs:,} are used up before"
        )
    return f"will not run its slot of {at}, as far as can be foreseen"


def _in_front(record: Record, due: int) -> str:
    """Say what a coming slot will be skipped for."""
    if record.definition.spec.overlap is Overlap.SKIP:
        for firing in record.state.waiting:
            if firing.open and firing.at >= due:
                slot = when(firing.slot)
                waits = "waits for its next attempt until then"
                return f"because its firing of {slot} {waits}"
    return "as far as can be foreseen"


def _overdue(
    evidence: Evidence,
    record: Record,
    slot: int,
    due: int,
    cases: Sequence[Case],
) -> str:
    said = f"has not run its slot of {when(slot)} yet, which was due at {when(due)}"
    way = holder(places(cases), record, evidence.now)
    if way is None:
        return f"{said}: no peer has taken it"
    words = f"{holder_words(evidence, way)} is in its way"
    if record.definition.spec.overlap is Overlap.SKIP:
        return f"{said}: {words}, and with its end it is skipped"
    return f"{said}: {words}"


def _while_paused(evidence: Evidence, record: Record, slot: int, due: int) -> str:
    """Say that the job is paused over a slot; empty if it is not, by then."""
    until = record.state.pause_until
    if until is not None and due > until:
        return ""
    verb = "has passed over" if slot <= evidence.now else "will pass over"
    trigger = record.definition.spec.trigger
    if trigger is not None and trigger.backfills:
        verb = "has not run yet"  # no pause passes over them
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
    held = pause_begun(evidence, row, slot)
    resumed = evidence.latest(row.at, RowKind.RESUMED)
    if resumed is not None and resumed.at < row.at:
        resumed = None  # of another pause
    words, link = "the job was paused", "until it was"
    if held is not None:
        verb = "stopped" if held.kind is RowKind.STOPPED else "paused"
        words, link = f"the job was {verb}{act_words(held)}", "and"
    if row.reason is Reason.MODIFIED:
        act = evidence.latest(row.at, RowKind.MODIFIED)
        done = act_words(act) or f" at {when(row.at)}"
        return f"{words}, and its trigger was changed{done} before it went on"
    if row.reason is Reason.REMOVED:
        act = evidence.latest(row.at, RowKind.REMOVED)
        done = act_words(act) or f" at {when(row.at)}"
        return f"{words}, and was removed{done} before it went on"
    if resumed is None:
        return f"{words} until {when(row.at)}"
    if resumed.due:
        return f"{words} until {when(resumed.due)}"
    return f"{words} {link} resumed{act_words(resumed)}"


def _missed_words(evidence: Evidence, row: Row, slot: int) -> str:
    words = f"nobody looked at it before {when(row.at)}"
    due = _due_then(evidence, row, slot)
    if due is not None:
        words += f", {length(row.at - due)} late"
        moved = moved_words(evidence, slot, due)
        words += f" ({moved.removeprefix(', ')})" if moved else ""
    changed = evidence.latest(evidence.now, RowKind.MODIFIED, RowKind.CREATED)
    grace = None
    if evidence.record is not None and (changed is None or changed.at <= row.at):
        grace = evidence.record.definition.spec.misfire_grace
    if grace is None:
        return f"{words}, which is more than its grace"
    return f"{words}, which is more than its grace of {length(grace)}"


def _due_then(evidence: Evidence, row: Row, slot: int) -> int | None:
    """Return when a slot was due that a row tells of; None: it cannot be told."""
    record, begun = evidence.record, evidence.era_begun
    if record is None or begun is None or row.at < begun:
        return None
    if not evidence.of_era(slot) or any(
        "jitter" in evidence.fields_of(other)
        for other in evidence.rows
        if other.kind is RowKind.MODIFIED and other.at > row.at
    ):
        return None
    return due_at(record.definition, slot)


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
        return f"{found}, and as many newer ones were run as its limit allows"
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
    full = ""
    record = evidence.record
    if record is not None and record.definition.spec.max_running > 1:
        full = "its places were taken, and "
    for case in cases:
        fences = {attempt.fence for attempt in case.attempts}
        if case.live is not None:
            fences.add(case.live.fence)
        if row.fence and row.fence in fences:
            said = _occupied(evidence, case, slot)
            if said:
                return full + said
    return "firings before it had not come to their end"


def _occupied(evidence: Evidence, case: Case, slot: int) -> str:
    """Say how a firing was in the way of a slot; empty if it was not, as is known."""
    attempts = [row for row in case.attempts if row.started]
    for row in attempts:
        if row.started <= slot < row.at or (row is attempts[-1] and row.at == slot):
            end = f"went on until {when(row.at)}"
            return f"{_run(evidence, row.started, row.owner)} {end}"
    live = case.live
    if live is not None and live.started <= slot:
        return f"{_run(evidence, live.started, live.owner)} goes on still"
    before = [row for row in attempts if row.at <= slot]
    if not before:
        return ""
    last = before[-1]
    if last.final:
        return ""
    said = f"{case_name(case)} was to be tried again: attempt {last.attempt}"
    said += f" {ended_words(evidence, last)} at {when(last.at)}"
    after = [row.started for row in attempts if row.started > slot]
    after += [live.started] if live is not None else []
    if after:
        return f"{said}, and the next began at {when(min(after))}"
    return said


def _run(evidence: Evidence, begun: int, owner: str) -> str:
    return f"the run that began at {when(begun)} on {peer(evidence, owner)}"
