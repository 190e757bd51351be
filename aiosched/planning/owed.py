"""What a record owes: the start that is due and that nobody has made."""

from __future__ import annotations

from dataclasses import dataclass

from aiosched.enums import Cause, JobState, OnLost, Reason
from aiosched.planning._draft import Draft
from aiosched.planning.slots import LEAST_GRACE
from aiosched.records import Definition, State

__all__ = ["Owed", "owed"]


@dataclass(frozen=True, slots=True)
class Owed:
    """A start that is due.

    Attributes:
        slot: Nominal instant of the slot; for a fire, when it was asked for.
        due: Since when it is due.
        grace: Microseconds for which that is nothing to tell of.
        cause: Why the firing exists.
    """

    slot: int
    due: int
    grace: int
    cause: Cause = Cause.SLOT


def owed(definition: Definition, state: State, now: int) -> Owed | None:
    """Return the start that has been due for longest.

    Args:
        definition: The job.
        state: Its state; not changed.
        now: The store's instant.

    Returns:
        None if whoever looks at the record now has nothing to start: the end of
        a retention, of a lease that is not to be run again, of a time to live.
    """
    if state.status not in (JobState.ACTIVE, JobState.PAUSED):
        return None
    ended = state.pause_until is not None and state.pause_until <= now
    paused = state.status is JobState.PAUSED and not ended
    room = definition.spec.max_running
    found: list[Owed] = []
    for run in state.runs:
        # One that is lost and run again takes the place that it had.
        again = run.until <= now and _again(definition, run.cancel, run.firing.lost)
        room -= run.until > now or again
        if again and not (paused and run.firing.cause is not Cause.MANUAL):
            firing = run.firing
            found.append(Owed(firing.slot, run.until, LEAST_GRACE, firing.cause))
    room -= sum(firing.open for firing in state.waiting)
    for firing in state.waiting:
        if paused and firing.cause is not Cause.MANUAL:
            continue
        gone = not firing.open and firing.expires is not None and firing.expires <= now
        if firing.at <= now and not gone and (firing.open or room > 0):
            found.append(Owed(firing.slot, firing.at, LEAST_GRACE, firing.cause))
    if not paused and room > 0:
        found += _slot(definition, state, now)
    return min(found, key=lambda one: one.due, default=None)


def _again(definition: Definition, cancelled: Reason, lost: int) -> bool:
    spec = definition.spec
    rerun = spec.on_lost is OnLost.RERUN and lost + 1 <= spec.max_lost
    return rerun and cancelled is Reason.NONE


def _slot(definition: Definition, state: State, now: int) -> list[Owed]:
    draft = Draft(definition, state, now)
    due = draft.due(now)
    if due is None or due.oldest is None:
        return []
    grace = definition.spec.misfire_grace
    at = draft.due_at(due.oldest)
    return [
        Owed(
            due.oldest,
            due.oldest if at is None else at,
            LEAST_GRACE if grace is None else grace,
        )
    ]
