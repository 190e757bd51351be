"""Deciding: pure functions over one job's record.

No I/O, no asyncio, no clock, no chance.  ``attend`` and ``settle`` are the two
decisions of the engine, the verbs are those of users; all answer a
:class:`aiosched.records.Change` or None, and may be called again on a newer
record whenever a store has lost an optimistic race.
"""

from __future__ import annotations

from aiosched.planning.attend import attend
from aiosched.planning.compare import differing
from aiosched.planning.conservation import conserved
from aiosched.planning.moments import attempt_due, due_at, instant, later
from aiosched.planning.owed import Owed, owed
from aiosched.planning.settle import extend, settle, settle_all
from aiosched.planning.verbs import (
    fire,
    first_slot,
    living,
    modify,
    pause,
    pin,
    remove,
    resume,
    schedule,
    start,
    stop,
)

__all__ = [
    "Owed",
    "attempt_due",
    "attend",
    "conserved",
    "differing",
    "due_at",
    "extend",
    "fire",
    "first_slot",
    "instant",
    "later",
    "living",
    "modify",
    "owed",
    "pause",
    "pin",
    "remove",
    "resume",
    "schedule",
    "settle",
    "settle_all",
    "start",
    "stop",
]
