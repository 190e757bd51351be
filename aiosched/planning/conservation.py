"""Conservation: the sums of a record against what its trigger says.

Every slot up to the frontier of a job is accounted for once::

    slots = fired + skipped + missed + excluded + paused

and so is every firing: ``fired + asked = outcomes + open``.
"""

from __future__ import annotations

from aiosched.records import Record, State
from aiosched.triggers.base import Trigger

__all__ = ["conserved", "slots_between"]


def conserved(record: Record) -> str | None:
    """Check the sums of one record; it is left as it is.

    The trigger is asked for the slots of the present definition's era, from its
    first to the latest that is accounted for.  A trigger that does not count by
    arithmetic has to be enumerated, however many they are.

    Returns:
        None if everything adds up; else what does not, in one sentence.

    Raises:
        Exception: Whatever a trigger of the user's own raises.
    """
    state, counts = record.state, record.state.counts
    unended = len(state.runs) + len(state.waiting)
    if counts.fired + counts.asked != counts.outcomes + unended:
        return (
            f"{counts.fired} fired and {counts.asked} asked for are not "
            f"{counts.outcomes} outcomes and {unended} open firings"
        )
    trigger, anchor = record.definition.spec.trigger, record.definition.anchor
    if trigger is None or state.since is None:
        return None
    return _slots(trigger, anchor, state)


def _slots(trigger: Trigger, anchor: int | None, state: State) -> str | None:
    since, latest = state.since or 0, state.latest
    accounted = state.counts.slots - state.former
    there = 0 if latest is None else slots_between(trigger, since, latest, anchor)
    if accounted != there:
        return (
            f"{accounted} slots are accounted for since {since}, and the trigger "
            f"has {there} up to {latest}"
        )
    if state.next is None:
        return None
    expected = since if latest is None else trigger.next(latest, anchor)
    if state.next != expected:
        return f"the next slot is {state.next}, and the trigger says {expected}"
    return None


def slots_between(
    trigger: Trigger, first: int, until: int, anchor: int | None = None
) -> int:
    """Count all slots of a range, excluded ones too, however many there are."""
    total, begin = 0, first
    while begin <= until:
        last = trigger.reach(begin, until, anchor)
        if last is None:
            break
        total += trigger.count(begin, last, anchor)
        begin = last + 1
    return total
