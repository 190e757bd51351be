"""Schedules of other schedulers, read where they lie, as jobs of aiosched.

Each module reads one kind of source and writes nothing.  What it finds has one
shape, :class:`~aiosched.integrations.importers.found.Found`: jobs with the instant
at which the other scheduler would have fired them next, and beside them everything
that cannot be a job, with the reason.
"""

from __future__ import annotations

from aiosched.integrations.importers.found import Found, Left, Schedule, Taken, take
from aiosched.integrations.importers.names import Names
from aiosched.integrations.importers.shadow import Shadow, Sight

__all__ = [
    "Found",
    "Left",
    "Names",
    "Schedule",
    "Shadow",
    "Sight",
    "Taken",
    "take",
]
