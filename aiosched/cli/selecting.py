"""Which jobs a command is about: by their ids, or all that match."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from aiosched.cli.codes import CannotError, ExitCode
from aiosched.cli.printable import printable
from aiosched.jobs import Job
from aiosched.scheduler import Scheduler

__all__ = ["Chosen", "chosen_of", "confirm", "every_job"]

_PAGE = 500
_NAMED = 5
"""Ids that a question names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen.

    Attributes:
        ids: These; empty: all that match.
        tag: Jobs that carry it.
        keyword: Jobs that are subscribed to it.
        executor: Jobs that it does.
        queue: Jobs that belong to it.
        state: Jobs in it; None: active and paused ones.
    """

    ids: tuple[str, ...] = ()
    tag: str | None = None
    keyword: str | None = None
    executor: str | None = None
    queue: str | None = None
    state: str | None = None


def chosen_of(words: argparse.Namespace, *, needed: bool = True) -> Chosen:
    """Return what the words choose.

    Args:
        words: Of a command with :func:`aiosched.cli.words.add_selection`.
        needed: Whether nothing chosen is refused, rather than everything.

    Raises:
        CannotError: Nothing is chosen, or ids and filters at once.
    """
    names = ("tag", "keyword", "executor", "queue", "state")
    filters = {name: getattr(words, name, None) for name in names}
    some = words.all or any(value is not None for value in filters.values())
    if words.jobs and some:
        raise CannotError("give ids of jobs, or a filter such as --tag, not both")
    if needed and not words.jobs and not some:
        raise CannotError("name jobs by their ids, by a filter such as --tag, or --all")
    if words.all and any(value is not None for value in filters.values()):
        raise CannotError("--all goes with no filter; leave one of the two out")
    return Chosen(tuple(dict.fromkeys(words.jobs)), **filters)


async def every_job(
    scheduler: Scheduler, chosen: Chosen, *, unclaimable: bool = False
) -> list[Job]:
    """Return the jobs that match, sorted by id."""
    found: dict[str, Job] = {}
    cursor: str | None = None
    while True:
        page = await scheduler.get_jobs(
            tag=chosen.tag,
            keyword=chosen.keyword,
            executor=chosen.executor,
            state=chosen.state,  # type: ignore[arg-type] # it is checked
            queue=chosen.queue,
            unclaimable=True if unclaimable else None,
            limit=_PAGE,
            cursor=cursor,
        )
        found.update((job.id, job) for job in page)
        cursor = page.cursor
        if cursor is None:
            return [found[job_id] for job_id in sorted(found)]


def confirm(what: str, ids: list[str], *, yes: bool) -> None:
    """Ask whether something may be done that cannot be undone.

    Args:
        what: Verb and place, such as ``remove ... from shop``; ``...`` stands for
            the jobs.
        ids: Of the jobs.
        yes: Somebody has said yes already.

    Raises:
        CannotError: Nobody can be asked, or the answer is no.
    """
    if yes or not ids:
        return
    named = ", ".join(printable(job_id) for job_id in ids[:_NAMED])
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    jobs = "job" if len(ids) == 1 else f"{len(ids):,} jobs"
    question = what.replace("...", f"{jobs} ({named}{more})")
    if sys.stdin is None or not sys.stdin.isatty():
        raise CannotError(f"will not {question} unasked; add --yes", ExitCode.REFUSED)
    print(f"{question}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CannotError("nothing was changed", ExitCode.REFUSED)
