"""``aiosched results`` and ``aiosched history``: a job's ledger, for people."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from aiosched.cli.app import CannotError
from aiosched.enums import JobState
from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.jobs import LedgerEntry, Run
from aiosched.scheduler import Scheduler

__all__ = ["entry_data", "print_history", "run_data"]

_PAGE = 100


def print_history(
    job: str,
    store: str,
    namespace: str,
    *,
    limit: int,
    as_json: bool,
    runs_only: bool,
) -> int:
    """Print what became of a job, newest first.

    Returns:
        0; 1 if there is no such job, nor a trace of one.

    Raises:
        CannotError: The store cannot be used, or does not answer.
    """
    try:
        scheduler = Scheduler(store, namespace=namespace, name="cli", run_jobs=False)
        state, entries = asyncio.run(_read(scheduler, job, limit, runs_only=runs_only))
    except (ConfigurationError, StoreUnavailableError) as error:
        raise CannotError(str(error)) from None
    rows = [
        run_data(entry.run) if runs_only and entry.run else entry_data(entry)
        for entry in entries
    ]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for row in rows:
            print(_line(row))
    if state is JobState.UNKNOWN and not rows:
        if not as_json:
            print(f"no job {job!r}, nor a trace of one, in {namespace}")
        return 1
    return 0


async def _read(
    scheduler: Scheduler, job: str, limit: int, *, runs_only: bool
) -> tuple[JobState, list[LedgerEntry]]:
    async with scheduler:
        state = await scheduler.state(job)
        if not runs_only:
            return state, await scheduler.history(job, limit=limit)
        asked = limit + _PAGE
        while True:
            entries = await scheduler.history(job, limit=asked)
            runs = [entry for entry in entries if entry.run is not None]
            if len(runs) >= limit or len(entries) < asked:
                return state, runs[:limit]
            asked *= 4


def run_data(run: Run) -> dict[str, Any]:
    """Return a run as JSON values."""
    error = run.error
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "key": run.key,
        "cause": run.cause.value,
        "due": run.fire_time.isoformat(),
        "started": run.started_at.isoformat() if run.started_at else None,
        "ended": run.ended_at.isoformat(),
        "status": run.outcome.value if run.outcome else "handed_back",
        "final": run.final,
        "reason": run.reason.value or None,
        "value": run.result,
        "error": asdict(error) if error else None,
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
        "run": run_data(entry.run) if entry.run else None,
    }


def _line(row: dict[str, Any]) -> str:
    run = row if "run_id" in row else row["run"]
    if run is None:
        slots = f"  {row['count']} slots {row['first']} … {row['last']}"
        said = f"{row['at']}  {row['kind']}{slots if row['count'] else ''}"
        return f"{said}  ({row['reason']})" if row["reason"] else said
    error = run["error"]
    what = f"{error['type']}: {error['message']}" if error else json.dumps(run["value"])
    reason = f" ({run['reason']})" if run["reason"] else ""
    place = f"due {run['due']}  attempt {run['attempt']} on {run['node']}"
    return f"{run['ended']}  {run['status']}{reason}  {place}  {what}"
