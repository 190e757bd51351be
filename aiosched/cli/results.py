"""``aiosched results`` and ``aiosched history``: a job's ledger, for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from aiosched.cli.codes import ExitCode
from aiosched.cli.place import Place, work
from aiosched.cli.printable import printable
from aiosched.clock import SystemClock
from aiosched.enums import JobState, Outcome
from aiosched.jobs import LedgerEntry, Run
from aiosched.scheduler import Scheduler

__all__ = [
    "Asked",
    "entry_data",
    "follow_history",
    "print_history",
    "run_data",
    "run_line",
]

_PAGE = 500
_LOOK = 0.5
"""Seconds between two looks at a ledger that is followed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a job's ledger is to be printed.

    Attributes:
        job: The job's id; None: all of them.
        place: Where it is.
        limit: Most lines to print; None: all there are.
        since: Only what was decided at or after it; None: from the beginning.
        until: Only what was decided at or before it; None: to the end.
        kinds: Only rows of these kinds; empty: of all.
        runs_only: Only runs, in the form of a result.
        as_json: One JSON array rather than lines.
    """

    job: str | None
    place: Place
    limit: int | None = 20
    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()
    runs_only: bool = False
    as_json: bool = False


def print_history(asked: Asked) -> int:
    """Print what became of a job, newest first.

    Returns:
        0; 3 if there is no such job, nor a trace of one.

    Raises:
        ConfigurationError: The store or a word cannot be used.
        StoreUnavailableError: The store does not answer.
    """

    async def deed(scheduler: Scheduler) -> tuple[JobState | None, int]:
        return await _print_pages(scheduler, asked)

    state, count = work(asked.place, deed)
    if state is JobState.UNKNOWN and not count:
        where = asked.place.namespace
        print(
            f"aiosched: no job {asked.job!r}, nor a trace of one, in {where}",
            file=sys.stderr,
        )
        return ExitCode.NOT_FOUND
    return 0


def follow_history(asked: Asked) -> int:
    """Print what the ledger says from now on, oldest first, until it is interrupted.

    Raises:
        ConfigurationError: The store or a word cannot be used.
        StoreUnavailableError: The store does not answer any more.
    """

    async def deed(scheduler: Scheduler) -> None:
        clock, since = SystemClock(), asked.since
        seen: list[LedgerEntry] = []
        if since is None:
            newest = await scheduler.history(limit=1)
            if newest:
                since = newest[0].at
                seen = await _since(scheduler, asked, since)
        while True:
            found = await _since(scheduler, asked, since)
            for entry in found:
                if entry not in seen:
                    _print_entry(entry, as_json=asked.as_json)
            if found:
                # What was decided in the same microsecond may come in two looks.
                since = found[-1].at
                seen = [entry for entry in found if entry.at == since]
            await clock.sleep(_LOOK)

    work(asked.place, deed)
    return 0


async def _since(
    scheduler: Scheduler, asked: Asked, since: datetime | None
) -> list[LedgerEntry]:
    """Return the rows decided at or after an instant, oldest first; None: all."""
    found: list[LedgerEntry] = []
    cursor: str | None = None
    while True:
        page = await scheduler.history(
            asked.job,
            since=since,
            until=asked.until,
            kind=asked.kinds or None,  # type: ignore[arg-type] # it is checked
            limit=_PAGE,
            cursor=cursor,
        )
        found += page
        cursor = page.cursor
        if cursor is None:
            return found[::-1]


def _print_entry(entry: LedgerEntry, *, as_json: bool) -> None:
    data = entry_data(entry)
    if as_json:
        print(json.dumps(data, ensure_ascii=False), flush=True)
    else:
        print(f"{printable(entry.job_id)}  {_line(data)}", flush=True)


async def _print_pages(
    scheduler: Scheduler, asked: Asked
) -> tuple[JobState | None, int]:
    """Print page by page, so that a long history needs no room."""
    printer = _Printer(as_json=asked.as_json, named=asked.job is None)
    cursor: str | None = None
    state = None if asked.job is None else await scheduler.state(asked.job)
    while asked.limit is None or printer.count < asked.limit:
        left = _PAGE if asked.limit is None else asked.limit - printer.count
        page = await scheduler.history(
            asked.job,
            since=asked.since,
            until=asked.until,
            kind=asked.kinds or None,  # type: ignore[arg-type] # it is checked
            runs_only=asked.runs_only,
            limit=min(left, _PAGE),
            cursor=cursor,
        )
        printer.print(
            run_data(entry.run) if asked.runs_only and entry.run else entry_data(entry)
            for entry in page
        )
        cursor = page.cursor
        if cursor is None:
            break
    printer.close()
    return state, printer.count


class _Printer:
    """Prints rows as lines, or as the items of one JSON array."""

    def __init__(self, *, as_json: bool, named: bool) -> None:
        self.count = 0
        self._named = named
        self._as_json = as_json

    def print(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            if self._as_json:
                text = json.dumps(row, indent=2, ensure_ascii=False)
                print(",\n" if self.count else "[\n", text, sep="", end="")
            else:
                name = f"{printable(row['job_id'])}  " if self._named else ""
                print(f"{name}{_line(row)}")
            self.count += 1

    def close(self) -> None:
        if self._as_json:
            print("\n]" if self.count else "[]")


def run_data(run: Run) -> dict[str, Any]:
    """Return a run as JSON values; durations are seconds."""
    error, lateness, duration = run.error, run.lateness, run.duration
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "key": run.key,
        "cause": run.cause.value,
        "fire_time": run.fire_time.isoformat(),
        "due": run.due.isoformat(),
        "started": run.started_at.isoformat() if run.started_at else None,
        "ended": run.ended_at.isoformat(),
        "lateness": None if lateness is None else lateness.total_seconds(),
        "late": run.late,
        "duration": None if duration is None else duration.total_seconds(),
        "status": run.outcome.value if run.outcome else "handed_back",
        "final": run.final,
        "reason": run.reason.value or None,
        "value": run.result,
        "error": asdict(error) if error else None,
        "faded": run.faded,
        "attempt": run.attempt,
        "missed": run.missed,
        "node": run.peer,
        "fence": run.fence,
    }


def entry_data(entry: LedgerEntry) -> dict[str, Any]:
    """Return a row of the ledger as JSON values."""
    return {
        "job_id": entry.job_id,
        "kind": entry.kind.value,
        "at": entry.at.isoformat(),
        "first": entry.first.isoformat() if entry.first else None,
        "last": entry.last.isoformat() if entry.last else None,
        "count": entry.count,
        "reason": entry.reason.value or None,
        "node": entry.peer,
        "key": entry.key or None,
        "by": entry.by or None,
        "note": entry.note or None,
        "fields": list(entry.fields),
        "run": run_data(entry.run) if entry.run else None,
    }


def _line(row: dict[str, Any]) -> str:
    run = row if "run_id" in row else row["run"]
    return _entry_line(row) if run is None else run_line(run)


def _entry_line(row: dict[str, Any]) -> str:
    parts = [f"{row['at']}  {row['kind']}"]
    if row["count"]:
        slots = "slot" if row["count"] == 1 else "slots"
        span = row["first"]
        if row["last"] != row["first"]:
            span += f" … {row['last']}"
        parts.append(f"{row['count']} {slots} {span}")
    if row["fields"]:
        parts.append(", ".join(row["fields"]))
    if row["reason"]:
        parts.append(f"({row['reason']})")
    if row["by"]:
        parts.append(f"by {printable(row['by'])}")
    if row["note"]:
        parts.append(printable(json.dumps(row["note"], ensure_ascii=False)))
    return "  ".join(parts)


def run_line(run: dict[str, Any]) -> str:
    """Write a run, as :func:`run_data` has it, as one line."""
    error = run["error"]
    reason = f" ({run['reason']})" if run["reason"] else ""
    place = f"due {run['due']}"
    if run["late"]:
        place += f"  {run['lateness']:.3f} s late"
    if run["attempt"]:
        place += f"  attempt {run['attempt']} on {run['node']}"
    parts = [f"{run['ended']}  {run['status']}{reason}", place]
    if error:
        parts.append(printable(f"{error['type']}: {error['message']}"))
    elif run["faded"]:
        parts.append("no longer kept")
    elif run["value"] is not None or run["status"] == Outcome.SUCCEEDED.value:
        parts.append(printable(json.dumps(run["value"], ensure_ascii=False)))
    return "  ".join(parts)
