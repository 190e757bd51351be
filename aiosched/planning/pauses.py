"""The end of a pause: by a person, or by its time, whoever finds that out."""

from __future__ import annotations

from aiosched.enums import JobState, RowKind
from aiosched.planning._draft import Draft
from aiosched.rows import NO_ACT, Act

__all__ = ["end_pause", "lapse_pause"]


def lapse_pause(draft: Draft) -> None:
    """End a pause whose time is over, as a look at that instant would have."""
    until = draft.state.pause_until
    if (
        draft.state.status is JobState.PAUSED
        and until is not None
        and until <= draft.now
    ):
        end_pause(draft)


def end_pause(draft: Draft, act: Act = NO_ACT) -> None:
    """Count the slots of a pause and let the job go on.

    The last slot that a trigger fires is not lost to a pause: a one-time job
    that was held over its instant runs when it is let go.

    A pause is over at its ``pause_until``, however late somebody finds out:
    what is due after it is a slot like any other.

    The slots of a backfill are past by design, and no pause passes over them.
    """
    state = draft.state
    end, over = draft.now, 0
    if state.pause_until is not None and state.pause_until <= draft.now:
        end = over = state.pause_until
    state.status = JobState.ACTIVE
    state.pause_note, state.pause_until = "", None
    draft.note(RowKind.RESUMED, act, due=over)
    left = draft.runs_left()
    if state.next is None and state.latest is not None and left != 0:
        state.next = draft.next_slot(state.latest)  # its trigger works again
    trigger = draft.definition.spec.trigger
    if trigger is not None and trigger.backfills:
        return
    due = draft.due(end, whole=False)
    if due is None:
        return
    until = due.last
    if due.newest is not None and not draft.fires_after(due.newest):
        until = due.newest - 1
    draft.pass_over(until, RowKind.PAUSED)
