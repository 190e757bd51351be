"""Settle and extend: what the holder of a claim may do with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from aiosched.enums import JobState, OnLost, Outcome, Overlap, Reason, RowKind
from aiosched.planning._draft import Draft
from aiosched.planning.moments import instant
from aiosched.planning.pauses import lapse_pause
from aiosched.planning.retry import backoff, retries
from aiosched.planning.slots import pass_overlapped
from aiosched.planning.verbs import take_out
from aiosched.records import (
    Change,
    Definition,
    Ended,
    LiveRun,
    Record,
    Reported,
    Row,
    State,
)

__all__ = ["extend", "settle", "settle_all"]


def settle(
    definition: Definition,
    state: State,
    owner: str,
    fence: int,
    ended: Ended,
    now: int,
) -> Change | None:
    """Close a run: its outcome, or the next attempt, or its handing back.

    Returns:
        The change to write, or None where the record no longer carries
        (owner, fence): somebody else has taken the firing over, and nothing
        may be written.

    A run that asks for the end of its job takes it out with its own outcome.
    """
    run = _held(state, owner, fence)
    if run is None:
        return None
    draft = Draft(definition, state, now, owner)
    if state.status is JobState.PAUSED:
        lapse_pause(draft)
    if draft.state.next is not None:
        _count_overlapped(draft, run, ended)
    draft.state.runs = tuple([r for r in draft.state.runs if r.fence != fence])
    removed = draft.state.status is JobState.REMOVED
    stays = run.cancel is Reason.NONE and not removed
    firing = run.firing
    if stays and ended.reason is Reason.SHUTDOWN and _handed_back(definition, ended):
        draft.note_attempt(run, RowKind.HANDED_BACK, reason=Reason.SHUTDOWN)
        attempt = max(firing.attempt - 1, 0)
        draft.wait(replace(firing, attempt=attempt, at=now, open=True), first=True)
    elif stays and retries(definition, firing, ended):
        draft.note_attempt(
            run,
            RowKind.from_code(ended.outcome.code),
            reason=ended.reason,
            value=ended.value,
        )
        at = now + max(backoff(definition, firing), ended.after)
        draft.wait(replace(firing, at=at, open=True), first=True)
    else:
        reason = ended.reason
        if ended.outcome is Outcome.CANCELLED and run.cancel is not Reason.NONE:
            reason = run.cancel
        draft.end(firing, ended.outcome, run=run, reason=reason, value=ended.value)
        if ended.finish and not removed and run.cancel is not Reason.REMOVED:
            # A run of the removed job that had the id before ends only that one.
            take_out(draft, Reason.ITSELF)
    return draft.change()


def extend(
    definition: Definition,
    state: State,
    owner: str,
    fences: Collection[int],
    now: int,
    lease: int,
    progress: Mapping[int, Reported] | None = None,
) -> Change | None:
    """Renew leases.

    Args:
        definition: Of the job.
        state: Of its record.
        owner: Whose leases.
        fences: Of which runs.
        now: The store's instant.
        lease: How long they hold from now on.
        progress: What some of these runs have said of how far they are, by fence.

    Returns:
        The change, whose ``answer`` maps each fence that is still held to the
        reason for which its run is to be stopped (``Reason.NONE``: it is
        not).  None if none is held.  A fence that is missing was lost.
    """
    held: dict[int, Reason] = {}
    runs: list[LiveRun] = []
    for run in state.runs:
        if run.owner == owner and run.fence in fences:
            held[run.fence] = run.cancel
            run = replace(run, until=max(run.until, now + lease))
            said = progress.get(run.fence) if progress else None
            runs.append(run if said is None else _heard(run, said, now))
        else:
            runs.append(run)
    if not held:
        return None
    after = state.copy()
    after.runs = tuple(runs)
    after.seq = max(state.seq + 1, now)
    return Change(Record(definition, after), instant(definition, after), answer=held)


def _heard(run: LiveRun, said: Reported, now: int) -> LiveRun:
    """Note what a run has said, if it is anything new."""
    known = run.progress
    if known is not None and (known.share, known.note) == (said.share, said.note):
        return run
    return replace(run, progress=replace(said, at=now))


def _held(state: State, owner: str, fence: int) -> LiveRun | None:
    for run in state.runs:
        if run.fence == fence and run.owner == owner:
            return run
    return None


def _handed_back(definition: Definition, ended: Ended) -> bool:
    if ended.outcome is not Outcome.CANCELLED:
        return False
    return definition.spec.on_lost is OnLost.RERUN or not ended.entered


def _count_overlapped(draft: Draft, run: LiveRun, ended: Ended) -> None:
    if (
        draft.state.status is JobState.ACTIVE
        and draft.definition.spec.overlap is Overlap.SKIP
        and draft.room() <= 0
    ):
        # Slots after the executor's end were only delayed by the settling.
        until = min(ended.at or draft.now, draft.now)
        pass_overlapped(draft, until, run.fence)


def settle_all(
    record: Record | None,
    owner: str,
    ends: Sequence[tuple[int, Ended]],
    now: int,
) -> tuple[Change | None, frozenset[int]]:
    """Close several runs of one job at once.

    Returns:
        The one change that does it (None: nothing is left to close), and the
        fences that it closes; the others were stale.
    """
    if record is not None and len(ends) == 1:
        ((fence, ended),) = ends
        only = settle(record.definition, record.state, owner, fence, ended, now)
        return only, frozenset() if only is None else frozenset((fence,))
    closed: set[int] = set()
    rows: list[Row] = []
    last: Change | None = None
    for fence, ended in ends:
        if record is None:
            break
        change = settle(record.definition, record.state, owner, fence, ended, now)
        if change is not None:
            closed.add(fence)
            rows.extend(change.rows)
            last, record = change, change.record
    if last is not None:
        last.rows = tuple(rows)
    return last, frozenset(closed)
