"""What is to come: the slots of a record that will be fired, and when.

The answer is found by deciding ahead of time: the looks that peers will take
are taken on a copy, each at the instant at which it falls due, and every run
ends at once.  So whatever planning does with jitter, exclusions, pauses, late
slots, limits and retries, the outlook says the same, because it is the same code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from aiosched.enums import JobState, Outcome
from aiosched.planning.attend import attend
from aiosched.planning.moments import due_at, instant
from aiosched.planning.settle import settle_all
from aiosched.records import Definition, Ended, LiveRun, Record, State

__all__ = ["MOST_LOOKS", "Coming", "outlook"]

MOST_LOOKS = 10_000
"""Looks that may show nothing before the outlook ends."""

_NOBODY = "outlook"
_LEASE = 1
_CAPACITY = 1
"""Runs that a look starts; a peer that looks at one job starts one, too."""
_ENDED = Ended(Outcome.SUCCEEDED)


class Coming(NamedTuple):
    """A slot that will be fired.

    Attributes:
        slot: Its nominal instant.
        due: When it starts: moved and jittered; of one that is late already,
            when it should have.
    """

    slot: int
    due: int


def outlook(record: Record, now: int, after: int | None = None) -> Iterator[Coming]:
    """Yield the slots that will be fired, in order, never ending by itself.

    It is assumed that peers are there, that runs end before the next slot, and
    that nobody changes anything.  Slots that were taken already (they run, or
    wait) are not to come; but those that wait, be it for their next attempt, are
    in the way of others until they have had it.

    Args:
        record: The job; not changed.
        now: The store's instant.
        after: Only slots that start later; None: all.

    Yields:
        As many as are asked for.  It ends where the job ends, is paused for
        good, or has not shown anything for ``MOST_LOOKS`` looks.
    """
    definition = _bare(record.definition)
    taken = {(firing.cause, firing.key) for firing in record.state.waiting}
    state: State | None = _settled(definition, _quiet(record.state), now)
    moment, looks, jumped = now, 0, after is None
    while state is not None and looks < MOST_LOOKS:
        at = instant(definition, state)
        if at is None or state.status is JobState.FINISHED:
            return
        if _nothing_waits(state) and at > moment and not jumped:
            _jump(definition, state, after or 0)
            jumped = True
            continue
        if at > moment and _simple(definition, state):
            yield from _walk(definition, state, after)
            return
        moment, looks = max(moment, at), looks + 1
        change = attend(definition, state, moment, _CAPACITY, _NOBODY, _LEASE)
        if change is None:
            return
        for start in change.starts:
            if (start.run.firing.cause, start.run.firing.key) in taken:
                continue
            due = moment if moment > now else start.run.firing.at
            if after is None or due > after:
                looks = 0
                yield Coming(start.run.firing.slot, due)
        following = change.record
        state = None
        if following is not None:
            state = _settled(definition, following.state, moment)


def _bare(definition: Definition) -> Definition:
    """Leave out what only costs time: outcomes to carry along, a tombstone."""
    spec = replace(definition.spec, keep=0, keep_last=0, keep_results=None)
    return replace(definition, spec=spec)


def _quiet(state: State) -> State:
    """Leave out the outcomes that are carried along."""
    quiet = state.copy()
    quiet.recent = ()
    return quiet


def _nothing_waits(state: State) -> bool:
    return state.status is JobState.ACTIVE and not state.waiting


def _settled(definition: Definition, state: State, now: int) -> State | None:
    """End every run; None if that was the end of the job."""
    record: Record | None = Record(definition, state)
    runs: tuple[LiveRun, ...] = state.runs
    for run in runs:
        if record is None:
            break
        change, _ = settle_all(record, run.owner, [(run.fence, _ENDED)], now)
        record = record if change is None else change.record
    return None if record is None else record.state


def _simple(definition: Definition, state: State) -> bool:
    """Tell whether each slot is fired when it is due, one at a time."""
    trigger = definition.spec.trigger
    return _nothing_waits(state) and trigger is not None and trigger.plain


def _walk(definition: Definition, state: State, after: int | None) -> Iterator[Coming]:
    """Do the same for simple triggers, at the cost of the trigger alone."""
    spec, slot = definition.spec, state.next
    trigger, left = spec.trigger, None
    if spec.max_runs is not None:
        left = spec.max_runs - state.counts.fired
    while trigger is not None and slot is not None and left != 0:
        due = due_at(definition, slot)
        if due is not None and (after is None or due > after):
            yield Coming(slot, due)
        left = None if left is None else left - 1
        slot = trigger.next(slot, definition.anchor)


def _jump(definition: Definition, state: State, after: int) -> None:
    """Pass over slots that have started by ``after``, as if each had been fired."""
    spec, anchor = definition.spec, definition.anchor
    trigger, slot, fired = spec.trigger, state.next, 0
    limit = after - spec.jitter
    for _ in range(MOST_LOOKS):
        if trigger is None or slot is None or slot > limit:
            break
        last, number, fate = trigger.stretch(slot, limit, anchor)
        if not number:
            break
        if fate == "moved":
            due = due_at(definition, last)
            if due is not None and due + spec.jitter > after:
                break
        if fate != "excluded":
            fired += number
        state.latest, slot = last, trigger.next(last, anchor)
    state.next = slot
    state.counts = state.counts.plus(fired=fired)
    if spec.max_runs is not None and state.counts.fired >= spec.max_runs:
        state.next = None
