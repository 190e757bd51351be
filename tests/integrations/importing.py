"""Functions that old schedulers run, and what the tests of importers share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aiosched import Context, Job
from aiosched.integrations.importers import Found, Names
from aiosched.triggers.base import trigger_from_data

KEEP = Names(keep=True)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NAMED = f"{__name__}:work"


def work(*args: Any, **kwargs: Any) -> None:
    """Do nothing; a function that can be named from elsewhere."""


def triggers(found: Found) -> dict[str, str]:
    """Return id to words of each trigger."""
    return {
        one.job.id: one.job.trigger.describe()
        for one in found.jobs
        if one.job.trigger is not None
    }


def reasons(found: Found) -> dict[str, str]:
    return {one.id: one.reason for one in found.left_out}


def read_back(found: Found) -> list[Job]:
    """Return the jobs of the document, read as an import reads them."""
    jobs = [Job.from_dict(entry["job"]) for entry in found.document()["jobs"]]
    for entry, job in zip(found.document()["jobs"], jobs, strict=True):
        slot = datetime.fromisoformat(entry["state"]["next_slot"])
        assert slot.utcoffset() == timedelta(0)
        assert job.trigger is not None
        assert trigger_from_data(entry["job"]["trigger"]) == job.trigger
        just_before = slot - timedelta(microseconds=1)
        assert job.trigger.next_fire_time(just_before) == slot, job.id
    return jobs


class Fired:
    """An executor that notes for which slots it was run."""

    def __init__(self) -> None:
        self.slots: dict[str, list[datetime]] = {}

    async def run(self, context: Context, *args: Any, **kwargs: Any) -> None:
        self.slots.setdefault(context.job_id, []).append(context.fire_time)
