"""What triggers do under the virtual clock: the instants at which a job ran."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from aiosched import Job, Scheduler, Trigger
from aiosched.instants import moment
from tests.engine.kit import loop

__all__ = ["SLOW", "instant", "ran_at"]

SLOW: dict[str, Any] = {
    "terms": {"beat": 3600, "member_timeout": 4 * 3600, "lease": 4 * 3600}
}
"""Signs of life each hour, so that years pass in seconds."""


def instant() -> datetime:
    """Return what the virtual clock on the wall shows."""
    return moment(loop().wall())


async def ran_at(trigger: Trigger, span: timedelta) -> list[datetime]:
    """Run a job for some time, and return when its runs began.

    They must have begun at the instants that its trigger had named before.
    """
    began: list[datetime] = []

    async def note() -> None:
        began.append(instant())

    async with Scheduler(name="p0", **SLOW) as scheduler:
        scheduler.register(note)
        beginning = instant()
        await scheduler.schedule(Job(note, id="job", trigger=trigger))
        # A moment longer, so that a run that is due at the end has begun.
        await asyncio.sleep(span.total_seconds() + 0.25)
        foreseen = trigger.upcoming(len(began) + 1, beginning)
        assert [one for one in foreseen if one <= instant()] == began
    return began
