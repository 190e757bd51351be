"""``aiosched jobs``: the jobs of a namespace, as a table or as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aiosched.cli.place import Place, work
from aiosched.cli.printable import printable
from aiosched.cli.selecting import Chosen, every_job
from aiosched.cli.tables import NONE, moment_text, print_table
from aiosched.jobs import Job
from aiosched.scheduler import Scheduler

__all__ = ["COLUMNS", "Listed", "cells", "print_jobs"]

COLUMNS = (
    "ID",
    "STATE",
    "UNCLAIMABLE",
    "NEXT",
    "LAST",
    "OUTCOME",
    "RUNNING",
    "EXECUTOR",
    "QUEUE",
    "TAGS",
    "WHEN",
)
"""Heads of the table."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Which jobs are to be listed, and how.

    Attributes:
        place: Where the jobs are.
        tag: Only jobs that carry it; None: all.
        keyword: Only jobs that are subscribed to it; None: all.
        executor: Only jobs that it does; None: all.
        state: Only jobs in it; None: active and paused ones.
        queue: Only jobs that belong to it; None: all.
        unclaimable: Only jobs that no live peer can run.
        as_json: One JSON array rather than a table.
    """

    place: Place
    tag: str | None = None
    keyword: str | None = None
    executor: str | None = None
    state: str | None = None
    queue: str | None = None
    unclaimable: bool = False
    as_json: bool = False


def print_jobs(listed: Listed) -> int:
    """Print the jobs that match, by id.

    Returns:
        0, also if there are none.

    Raises:
        ConfigurationError: The store cannot be used, or there is no such state.
        StoreUnavailableError: The store does not answer.
    """
    chosen = Chosen(
        (), listed.tag, listed.keyword, listed.executor, listed.queue, listed.state
    )

    async def deed(scheduler: Scheduler) -> list[Job]:
        return await every_job(scheduler, chosen, unclaimable=listed.unclaimable)

    jobs = work(listed.place, deed)
    if listed.as_json:
        data = [job.to_dict(snapshot=True) for job in jobs]
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print_table(COLUMNS, [cells(job) for job in jobs])
    return 0


def cells(job: Job) -> tuple[str, ...]:
    """Return a job's line of the table, a text for each of ``COLUMNS``."""
    when = job.trigger.describe() if job.trigger is not None else NONE
    if job.keyword is not None:
        when = f"keyword {job.keyword}" + ("" if when == NONE else f", {when}")
    told = (
        job.id,
        job.state.value if job.state is not None else NONE,
        job.unclaimable or NONE,
        moment_text(job.next_fire_time),
        moment_text(job.last_fire_time),
        job.last_outcome.value if job.last_outcome is not None else NONE,
        str(job.running),
        job.executor,
        job.queue or NONE,
        ",".join(job.tags) or NONE,
        when,
    )
    return tuple(printable(text) for text in told)
