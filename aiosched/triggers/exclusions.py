"""What can be excluded from a trigger, and what of it cannot be meant."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Literal, TypeAlias, get_args

from aiosched.errors import TriggerError
from aiosched.instants import DAY, micros
from aiosched.triggers.base import FIRST_INSTANT, Trigger, trigger_from_data

__all__ = [
    "RECENT",
    "Exclusion",
    "Shift",
    "check_parts",
    "ever_fires",
    "read_trigger",
    "sorted_triggers",
]

Shift = Literal["skip", "next_business_day", "previous_business_day"]
Exclusion: TypeAlias = "date | str | Trigger | Iterable[Exclusion]"
"""What can be excluded; a tuple of two dates is a range."""

_SHIFTS = get_args(Shift)
RECENT = micros(datetime(2020, 1, 1, tzinfo=UTC))
"""Where it is first tried whether anything is left to fire."""

_TRIES = 250
_TRIED = 365 * DAY


def read_trigger(value: object, field: str) -> Trigger:
    """Return a trigger that is given as one, or as data."""
    if isinstance(value, Mapping):
        return trigger_from_data(value)
    if isinstance(value, Trigger):
        return value
    raise TriggerError(field, value, "is not a trigger", "give a trigger")


def check_parts(trigger: Trigger, others: list[Trigger], shift: object) -> None:
    """Refuse what cannot be meant."""
    if shift not in _SHIFTS:
        listed = ", ".join(f'"{one}"' for one in _SHIFTS)
        raise TriggerError("shift", shift, "is no shift", f"use one of {listed}")
    if trigger.moves or any(other.moves for other in others):
        raise TriggerError(
            "shift",
            shift,
            "slots that are moved cannot be excluded again",
            "say all days in one excluding(), with its shift",
        )
    if shift != "skip" and others:
        raise TriggerError(
            "shift",
            shift,
            "only days can be shifted, and a trigger is excluded",
            'exclude days, or use shift="skip"',
        )
    if shift != "skip" and not trigger.plain:
        raise TriggerError(
            "shift",
            shift,
            "something is excluded already, without this shift",
            "say all days in one excluding(), with its shift",
        )
    for other in others:
        if other == trigger:
            raise TriggerError(
                "excluding",
                other.describe(),
                "it is excluded from itself, so nothing is left to fire",
                "exclude another trigger",
            )


def sorted_triggers(triggers: Iterable[Trigger]) -> tuple[Trigger, ...]:
    """Sort triggers by their data, each once, so that equal sets are equal."""
    found = {json.dumps(one.to_data(), sort_keys=True): one for one in triggers}
    return tuple(found[key] for key in sorted(found))


def ever_fires(trigger: Trigger, starts: Iterable[int]) -> bool:
    """Tell whether any slot is kept or moved, as far as a few hundred tell.

    Args:
        trigger: One that is pinned.
        starts: From where it is tried.  If there are no slots at all behind them,
            it is tried from the beginning of time.

    Returns:
        False if all slots are excluded, or 250 stretches of them that span a
        year.  True if a slot fires, or if they span less.
    """
    seen = False
    for start in starts:
        first = trigger.next(start - 1)
        seen = seen or first is not None
        if first is not None and _fires_from(trigger, first):
            return True
    first = None if seen else trigger.next(FIRST_INSTANT - 1)
    return first is not None and _fires_from(trigger, first)


def _fires_from(trigger: Trigger, first: int) -> bool:
    slot: int | None = first
    at = first
    for _ in range(_TRIES):
        if slot is None:
            return False
        if trigger.due(slot) is not None:
            return True
        at = trigger._leap(slot)
        slot = trigger.next(at)
    return at - first < _TRIED
