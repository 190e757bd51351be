"""``aiosched jobs``: the jobs of a namespace, as a table or as JSON."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiosched.cli.app import CannotError
from aiosched.cli.printable import printable
from aiosched.errors import ConfigurationError, StoreUnavailableError
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
_NONE = "-"
_GAP = "  "
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """Which jobs are to be listed, and how.

    Attributes:
        store: URL of the store.
        namespace: Where the jobs are.
        tag: Only jobs that carry it; None: all.
        keyword: Only jobs that are subscribed to it; None: all.
        executor: Only jobs that it does; None: all.
        state: Only jobs in it; None: active and paused ones.
        queue: Only jobs that belong to it; None: all.
        unclaimable: Only jobs that no live peer can run.
        as_json: One JSON array rather than a table.
    """

    store: str
    namespace: str
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
        CannotError: The store cannot be used, or does not answer; or there is
            no such state.
    """
    try:
        scheduler = Scheduler(
            listed.store, namespace=listed.namespace, name="cli", run_jobs=False
        )
        jobs = asyncio.run(_read(scheduler, listed))
    except (ConfigurationError, StoreUnavailableError) as error:
        raise CannotError(str(error)) from None
    if listed.as_json:
        data = [job.to_dict(snapshot=True) for job in jobs]
        print(json.dumps(data, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty() and importlib.util.find_spec("rich"):
        _print_rich([cells(job) for job in jobs])
    else:
        _print_plain([cells(job) for job in jobs])
    return 0


async def _read(scheduler: Scheduler, listed: Listed) -> list[Job]:
    found: dict[str, Job] = {}
    cursor: str | None = None
    async with scheduler:
        while True:
            page = await scheduler.get_jobs(
                tag=listed.tag,
                keyword=listed.keyword,
                executor=listed.executor,
                state=listed.state,  # type: ignore[arg-type] # it is checked
                queue=listed.queue,
                unclaimable=True if listed.unclaimable else None,
                limit=_PAGE,
                cursor=cursor,
            )
            found.update((job.id, job) for job in page)
            cursor = page.cursor
            if cursor is None:
                return [found[job_id] for job_id in sorted(found)]


def cells(job: Job) -> tuple[str, ...]:
    """Return a job's line of the table, a text for each of ``COLUMNS``."""
    when = job.trigger.describe() if job.trigger is not None else _NONE
    if job.keyword is not None:
        when = f"keyword {job.keyword}" + ("" if when == _NONE else f", {when}")
    told = (
        job.id,
        job.state.value if job.state is not None else _NONE,
        job.unclaimable or _NONE,
        _time(job.next_fire_time),
        _time(job.last_fire_time),
        job.last_outcome.value if job.last_outcome is not None else _NONE,
        str(job.running),
        job.executor,
        job.queue or _NONE,
        ",".join(job.tags) or _NONE,
        when,
    )
    return tuple(printable(text) for text in told)


def _time(value: datetime | None) -> str:
    return _NONE if value is None else value.isoformat(timespec="seconds")


def _print_plain(rows: Sequence[tuple[str, ...]]) -> None:
    table = [COLUMNS, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        line = _GAP.join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        )
        print(line.rstrip())


def _print_rich(rows: Sequence[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*COLUMNS, box=box.SIMPLE_HEAD)
    for row in rows:
        # As they are: an id may look like markup.
        table.add_row(*[Text(cell) for cell in row])
    Console(highlight=False).print(table)
