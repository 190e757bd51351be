"""``aiosched results`` and ``aiosched history``: a job's ledger, for people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from aiosched.cli.app import CannotError
from aiosched.cli.printable import printable
from aiosched.enums import JobState, Outcome
from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.jobs import LedgerEntry, Run
from aiosched.scheduler import Scheduler

__all__ = ["Asked", "entry_data", "print_history", "run_data"]

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a job's ledger is to be printed.

    Attributes:
        job: The job's id.
        store: URL of the store.
        namespace: Where the job is.
        limit: Most lines to print; None: all there are.
        since: Only what was decided at or after it; None: from the beginning.
        until: Only what was decided at or before it; None: to the end.
        kinds: Only rows of these kinds; empty: of all.
        runs_only: Only runs, in the form of a result.
        as_json: One JSON array rather than lines.
    """

    job: str
    store: str
    namespace: str
    limit: int | None = 20
    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()
    runs_only: bool = False
    as_json: bool = False


def print_history(asked: Asked) -> int:
    """Print what became of a job, newest first.

    Returns:
        0; 1 if there is no such job, nor a trace of one.

    Raises:
        CannotError: The store cannot be used, or does not answer.
    """
    try:
        scheduler = Scheduler(
            asked.store, namespace=asked.namespace, name="cli", run_jobs=False
        )
        state, count = asyncio.run(_print_pages(scheduler, asked))
    except (ConfigurationError, StoreUnavailableError) as error:
        raise CannotError(str(error)) from None
    if state is JobState.UNKNOWN and not count:
        if not asked.as_json:
            print(f"no job {asked.job!r}, nor a trace of one, in {asked.namespace}")
        return 1
    return 0


async def _print_pages(scheduler: Scheduler, asked: Asked) -> tuple[JobState, int]:
    """Print page by page, so that a long history needs no room."""
    printer = _Printer(as_json=asked.as_json)
    cursor: str | None = None
    async with scheduler:
        state = await scheduler.state(asked.job)
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
                run_data(entry.run)
                if asked.runs_only and entry.run
                else entry_data(entry)
                for entry in page
            )
            cursor = page.cursor
            if cursor is None:
                break
    printer.close()
    return state, printer.count


class _Printer:
    """Prints rows as lines, or as the items of one JSON array."""

    def __init__(self, *, as_json: bool) -> None:
        self.count = 0
        self._as_json = as_json

    def print(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            if self._as_json:
                text = json.dumps(row, indent=2, ensure_ascii=False)
                print(",\n" if self.count else "[\n", text, sep="", end="")
            else:
                print(_line(row))
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
    return _entry_line(row) if run is None else _run_line(run)


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


def _run_line(run: dict[str, Any]) -> str:
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
