"""Slots in a row: what a look may ask for, and the long way to find out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from aiosched.triggers.base import Trigger

__all__ = [
    "FIRST_INSTANT",
    "LAST_INSTANT",
    "LOOK_LIMIT",
    "STRETCH_LIMIT",
    "Fate",
    "Stretch",
    "first_due",
    "stretch_by_slots",
]

LOOK_LIMIT = 10_000
"""How many candidates one look may enumerate where there is no arithmetic."""

STRETCH_LIMIT = 1_000
"""From how many pieces, of one slot or one run of days, a stretch is put together."""

FIRST_INSTANT = -62_135_510_400_000_000
"""0001-01-02 UTC: a day after the earliest datetime, so every zone can show it."""

LAST_INSTANT = 253_402_214_399_999_999
"""9999-12-30 23:59:59.999999 UTC: the latest instant that every zone can show."""

Fate = Literal["kept", "moved", "excluded"]
"""What becomes of a slot."""


class Stretch(NamedTuple):
    """Slots that follow each other and share their fate.

    Attributes:
        last: The last of them.
        number: How many there are.
        fate: ``kept``: due at their own instants; ``moved``: due at others;
            ``excluded``: never fired.
    """

    last: int
    number: int
    fate: Fate


def stretch_by_slots(
    trigger: Trigger, first: int, until: int, anchor: int | None
) -> Stretch:
    """Ask slot by slot how long a stretch is, up to 1,000 slots.

    Args:
        trigger: One that moves no slots.
        first: A slot of it.
        until: An instant that is not earlier.
        anchor: As for :meth:`Trigger.next`.
    """
    excluded = trigger.due(first, anchor) is None
    last, number = first, 1
    while number < STRETCH_LIMIT:
        slot = trigger.next(last, anchor)
        if slot is None or slot > until:
            break
        if (trigger.due(slot, anchor) is None) != excluded:
            break
        last, number = slot, number + 1
    return Stretch(last, number, "excluded" if excluded else "kept")


def first_due(trigger: Trigger, after: int, anchor: int | None) -> int | None:
    """Return when the first slot later than ``after`` is due that is not excluded.

    Args:
        trigger: One of which no slot up to ``after`` is due behind it.
        after: An instant.
        anchor: As for :meth:`Trigger.next`.

    Returns:
        None if there is none among the next 10,000.
    """
    slot = trigger.next(after, anchor)
    for _ in range(LOOK_LIMIT):
        if slot is None:
            break
        at = trigger.due(slot, anchor)
        if at is not None and at > after:
            return at
        slot = trigger.next(slot, anchor)
    return None
