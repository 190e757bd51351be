"""Why: one sentence on what became of a slot or a run.

A pure function over what was read of a job, :class:`Evidence`.  First it is
found out what the instant that was asked for names: a slot, a range of slots,
a run that was under way; or else the nearest slot.  Then that is explained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from aiosched.enums import Cause, RowKind
from aiosched.planning.fates import explain_coming, explain_range
from aiosched.planning.runwords import explain_case
from aiosched.planning.wording import (
    OUTCOMES,
    PASSED,
    Case,
    Evidence,
    act_words,
    length,
    when,
)
from aiosched.records import Record, Row

__all__ = ["Finding", "decided", "explain", "fences_told", "nearest_slots"]

_TOLD = 3
"""Firings of one instant that are told of each; of others, their number."""

_ATTEMPTS = OUTCOMES | {RowKind.HANDED_BACK}


class Finding(NamedTuple):
    """An answer.

    Attributes:
        text: One sentence.
        known: Whether anything was known; False for a job without a trace, and
            for a slot of which the ledger has nothing any more.
    """

    text: str
    known: bool = True


def explain(evidence: Evidence, instant: int) -> Finding:
    """Say in one sentence what became of a slot, and why.

    Args:
        evidence: What was read of the job.
        instant: A slot, the instant of a fire, or any other.
    """
    job = f"Job {evidence.job_id!r}"
    if evidence.record is None and not evidence.rows:
        return Finding(
            f"Job {evidence.job_id!r} is not known: it is not stored, and the "
            "ledger has no trace of it.",
            known=False,
        )
    cases = _cases(evidence)
    found = _exactly(evidence, cases, instant)
    if found is None:
        found = _absent(evidence, instant)
    if found is None:
        found = _nearest(evidence, cases, instant)
    return Finding(f"{job} {found.text}.", found.known)


def decided(rows: Iterable[Row], slot: int) -> int | None:
    """Return when it was decided what became of a slot; None: rows do not say."""
    ends = [
        row.at
        for row in rows
        if (row.final or (row.count and row.kind in PASSED))
        and row.slot <= slot <= max(row.until, row.slot)
    ]
    return max(ends, default=None)


def fences_told(rows: Iterable[Row], slot: int, record: Record | None) -> bool:
    """Tell whether the run that was in a slot's way is among what was read."""
    rows = list(rows)
    known = {row.fence for row in rows if row.kind in _ATTEMPTS}
    if record is not None:
        known |= {run.fence for run in record.state.runs}
    wanted = {
        row.fence
        for row in rows
        if row.kind is RowKind.SKIPPED and row.slot <= slot <= row.until and row.fence
    }
    return wanted <= known


def nearest_slots(evidence: Evidence, instant: int) -> tuple[int | None, int | None]:
    """Return the slots before and after an instant, as far as they are known."""
    before = [slot for slot in _told(evidence) if slot < instant]
    after = [slot for slot in _told(evidence) if slot > instant]
    trigger, record = evidence.trigger, evidence.record
    if trigger is not None and record is not None and record.state.since is not None:
        first = record.state.since
        last = trigger.last(instant - 1)
        if last is not None and last >= first:
            before.append(last)
        following = trigger.next(max(instant, first - 1))
        ended = record.state.next is None and record.state.latest is not None
        if following is not None and not (
            ended and following > (record.state.latest or 0)
        ):
            after.append(following)
    return max(before, default=None), min(after, default=None)


# --- what is meant -------------------------------------------------------------------


def _cases(evidence: Evidence) -> list[Case]:
    """Gather what is known firing by firing."""
    cases: dict[tuple[Cause, str], Case] = {}
    for row in sorted(set(evidence.rows), key=lambda row: (row.at, row.fence)):
        if row.kind in _ATTEMPTS:
            case = Case(row.key, row.cause, row.slot)
            cases.setdefault((row.cause, row.key), case).attempts.append(row)
    if evidence.record is not None:
        for run in evidence.record.state.runs:
            one = run.firing
            case = Case(one.key, one.cause, one.slot)
            cases.setdefault((one.cause, one.key), case).live = run
        for one in evidence.record.state.waiting:
            case = Case(one.key, one.cause, one.slot)
            cases.setdefault((one.cause, one.key), case).waiting = one
    return list(cases.values())


def _exactly(evidence: Evidence, cases: list[Case], instant: int) -> Finding | None:
    """Explain the slot, or the fire, of just that instant."""
    same = [case for case in cases if case.slot == instant]
    same.sort(key=lambda case: case.cause is not Cause.SLOT)
    if same:
        return Finding(_all_of(evidence, same, cases))
    trigger, record = evidence.trigger, evidence.record
    is_slot: bool | None = None
    if evidence.of_era(instant) and trigger is not None:
        is_slot = trigger.next(instant - 1) == instant
    row = _covering(evidence, instant)
    if row is not None and row.at < (evidence.era_begun or 0):
        is_slot = None  # decided under another trigger
    if row is not None and is_slot is not False:
        sure = is_slot is True or instant in (row.slot, row.until)
        return Finding(explain_range(evidence, row, instant, cases, sure=sure))
    if not is_slot or record is None:
        return None
    state = record.state
    if state.next is not None and instant >= state.next:
        return Finding(explain_coming(evidence, instant, cases))
    if state.latest is not None and instant <= state.latest:
        return Finding(
            f"has nothing left in the ledger about its slot of {when(instant)}: rows "
            f"are kept for {length(evidence.keeps)}, and not so long where there are "
            "too many",
            known=False,
        )
    return None


def _all_of(evidence: Evidence, same: list[Case], cases: list[Case]) -> str:
    """Tell of all firings of one instant, which several may have asked for."""
    told = [explain_case(evidence, case, cases) for case in same[:_TOLD]]
    said = "; and it ".join(told)
    more = len(same) - len(told)
    if not more:
        return said
    return f"{said}; and {more:,} more of its firings are of that instant"


def _covering(evidence: Evidence, instant: int) -> Row | None:
    """Return the row of slots passed over that tells of a slot, if one does."""
    rows = [
        row
        for row in evidence.rows
        if row.count
        and row.kind in PASSED
        and row.slot <= instant <= max(row.until, row.slot)
    ]
    if not rows:
        return None
    trigger = evidence.trigger
    if evidence.of_era(instant) and trigger is not None and not trigger.plain:
        # Ranges of both kinds may lie over each other; the trigger knows.
        excluded = trigger.due(instant) is None
        fitting = [r for r in rows if (r.kind is RowKind.EXCLUDED) is excluded]
        rows = fitting or rows
    return min(rows, key=lambda row: (row.until - row.slot, row.at))


def _told(evidence: Evidence) -> set[int]:
    """Return the slots that rows and record name one by one."""
    told: set[int] = set()
    for row in evidence.rows:
        if row.count and row.kind in PASSED | _ATTEMPTS:
            told |= {row.slot, max(row.until, row.slot)}
    if evidence.record is not None:
        state = evidence.record.state
        told |= {r.firing.slot for r in state.runs if r.firing.cause is Cause.SLOT}
        told |= {one.slot for one in state.waiting if one.cause is Cause.SLOT}
        told |= {slot for slot in (state.next, state.latest) if slot is not None}
    return told


# --- where there was none -----------------------------------------------------------


def _absent(evidence: Evidence, instant: int) -> Finding | None:
    """Explain an instant at which there was no such job."""
    record = evidence.record
    life = [
        row
        for row in evidence.rows
        if row.kind in (RowKind.CREATED, RowKind.REMOVED) and row.at <= instant
    ]
    last = max(life, key=lambda row: row.at, default=None)
    at = when(instant)
    if last is not None and last.kind is RowKind.REMOVED:
        return Finding(f"did not exist at {at}: it was removed{act_words(last)}")
    later = [r.at for r in evidence.rows if r.kind is RowKind.CREATED]
    if record is not None:
        later.append(record.state.created)
    created = min(later, default=None)
    earlier = any(row.at <= instant for row in evidence.rows)
    if created is not None and instant < created and not earlier:
        return Finding(f"did not exist yet at {at}: it was created at {when(created)}")
    return None


def _ended(evidence: Evidence, instant: int) -> str:
    """Say that a job had no slot any more, if so."""
    record = evidence.record
    at = when(instant)
    if record is None:
        last = max(evidence.rows, key=lambda row: row.at)
        return f"had ended by {at}" if last.at <= instant else ""
    state, spec = record.state, record.definition.spec
    if spec.trigger is None:
        return f"has no trigger, so no slot at {at}"
    latest = state.latest
    if latest is None or instant < (evidence.era_begun or 0):
        return ""
    if state.next is None and instant > latest:
        used = spec.max_runs is not None and state.counts.fired >= spec.max_runs
        why = "its max_runs are used up" if used else "its trigger has ended"
        return f"has no slot at {at} any more, because {why}"
    return ""


def _nearest(evidence: Evidence, cases: list[Case], instant: int) -> Finding:
    """Explain what was under way at an instant, or else the nearest slot."""
    at = when(instant)
    for case in cases:
        for begun, end, _ in case.spans:
            if begun <= instant <= (evidence.now if end is None else end):
                said = explain_case(evidence, case, cases)
                return Finding(f"had no slot at {at}, but was running then: it {said}")
    before, after = nearest_slots(evidence, instant)
    close = {case.slot for case in cases if case.cause is not Cause.SLOT}
    close |= {slot for slot in (before, after) if slot is not None}
    lead = _ended(evidence, instant)
    if not lead:
        lead = f"had no slot at {at}{_by_rule(evidence, instant)}"
        lead += _sides(before, after)
    if not close:
        return Finding(f"{lead}, and none is known before or after it")
    slot = min(close, key=lambda one: (abs(one - instant), one))
    found = _exactly(evidence, cases, slot)
    if found is None:
        return Finding(f"{lead}, and nothing more is known", known=False)
    return Finding(f"{lead}; it {found.text}", found.known)


def _by_rule(evidence: Evidence, instant: int) -> str:
    """Say which trigger is meant, where it is not the one a job began with."""
    record, begun = evidence.record, evidence.era_begun
    if record is not None and record.definition.spec.trigger is None:
        return ""
    if begun is None or instant < begun:
        return " that its ledger tells of"
    changed = evidence.retimed(evidence.now)
    if changed is None or changed.at != begun:
        return ""
    return f" by the trigger that it was given{act_words(changed)}"


def _sides(before: int | None, after: int | None) -> str:
    sides = [
        f"{when(one)} {side}"
        for one, side in ((before, "before"), (after, "after"))
        if one is not None
    ]
    if not sides:
        return ""
    verb = "are" if len(sides) == 2 else "is"
    return f" (the nearest {verb} {' and '.join(sides)})"
