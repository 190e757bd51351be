"""Attend: what is to be done with a record whose instant has come."""

from __future__ import annotations

from dataclasses import replace

from aiosched.enums import Cause, JobState, OnLost, Outcome, Overlap, Reason, RowKind
from aiosched.planning._draft import Draft
from aiosched.planning.pauses import lapse_pause
from aiosched.planning.slots import (
    attend_slots,
    pass_behind_waiting,
    pass_overlapped,
)
from aiosched.records import Change, Definition, LiveRun, Pending, State

__all__ = ["attend"]


def attend(
    definition: Definition,
    state: State,
    now: int,
    capacity: int,
    owner: str,
    lease: int,
    *,
    slots: bool = True,
) -> Change | None:
    """Decide what starts, is skipped, missed or given up at this instant.

    Args:
        definition: The job.
        state: Its state; not changed.
        now: The store's instant.
        capacity: Runs that the deciding peer can start; with 0 everything
            that starts nothing is done all the same.
        owner: Incarnation id of the deciding peer.
        lease: How long its claims are valid unless extended.
        slots: False leaves due slots undecided, for a job that no live peer can
            run: it is parked, and none of its slots lapses meanwhile.

    Returns:
        The change to write, or None if there is nothing to do.
    """
    if state.status is JobState.FINISHED:
        if state.ends is not None and state.ends <= now:
            return Change(None)
        return None
    draft = Draft(definition, state, now, owner)
    if state.status is JobState.PAUSED:
        lapse_pause(draft)
    if state.runs:
        _abandon(draft)
    if state.status is JobState.REMOVED:
        return draft.change()
    if draft.state.waiting:
        _expire(draft)
        if slots and draft.state.waiting and draft.state.status is JobState.ACTIVE:
            pass_behind_waiting(draft)
        _start_waiting(draft, capacity, lease)
    if slots and draft.state.status is JobState.ACTIVE:
        attend_slots(draft, capacity, lease)
    return draft.change()


def _abandon(draft: Draft) -> None:
    """Take back the runs whose lease has ended."""
    lost = [run for run in draft.state.runs if run.until <= draft.now]
    if not lost:
        return
    at_limit = draft.room() <= 0
    draft.state.runs = tuple(r for r in draft.state.runs if r.until > draft.now)
    # In order of their claims, each to the head, so the oldest ends up first.
    for run in reversed(lost):
        _give_up(draft, run)
    if (
        at_limit
        and draft.state.status is JobState.ACTIVE
        and draft.definition.spec.overlap is Overlap.SKIP
        and lost[0].cancel is not Reason.REMOVED
    ):
        pass_overlapped(draft, draft.now, lost[0].fence)


def _give_up(draft: Draft, run: LiveRun) -> None:
    spec, times = draft.definition.spec, run.firing.lost + 1
    if run.cancel is not Reason.NONE:
        draft.end(run.firing, Outcome.CANCELLED, run=run, reason=run.cancel)
    elif (
        spec.on_lost is OnLost.RECORD
        or times > spec.max_lost
        or draft.state.status is JobState.REMOVED
    ):
        draft.end(run.firing, Outcome.LOST, run=run, reason=Reason.LEASE_LOST)
    else:
        draft.note_attempt(run, RowKind.LOST, reason=Reason.LEASE_LOST)
        again = replace(run.firing, lost=times, at=draft.now, open=True)
        draft.wait(again, first=True)


def _expire(draft: Draft) -> None:
    """End the waiting firings whose time to live is over."""
    kept: list[Pending] = []
    for firing in draft.state.waiting:
        expires = firing.expires
        if firing.open or expires is None or expires > draft.now:
            kept.append(firing)
        else:
            draft.end(firing, Outcome.EXPIRED)
    draft.state.waiting = tuple(kept)


def _start_waiting(draft: Draft, capacity: int, lease: int) -> None:
    """Start what waits, in order, as far as room and capacity allow."""
    waiting = draft.state.waiting
    if not waiting or capacity <= 0:
        return
    room = draft.room()
    paused = draft.state.status is JobState.PAUSED
    kept: list[Pending] = []
    for firing in waiting:
        if (
            firing.at > draft.now
            or len(draft.starts) >= capacity
            or (paused and firing.cause is not Cause.MANUAL)
            or not (firing.open or room > 0)
        ):
            kept.append(firing)
            continue
        if not firing.open:
            room -= 1
        # One that is open has run before: it does not wait for the job itself.
        draft.start(firing, lease, waited=not firing.open)
    draft.state.waiting = tuple(kept)
