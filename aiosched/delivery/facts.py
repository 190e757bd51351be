"""Rows of the ledger as JSON, for those who are told of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiosched.enums import RowKind
from aiosched.jobs import Job, LedgerEntry
from aiosched.jobs.runs import OF_RUNS

__all__ = ["TYPES", "fact_of", "fact_type"]

_OF_SLOTS = (RowKind.SKIPPED, RowKind.MISSED, RowKind.EXCLUDED, RowKind.PAUSED)

TYPES: frozenset[str] = frozenset(
    {
        *(f"run.{k.value}" for k in OF_RUNS if k is not RowKind.HANDED_BACK),
        *(f"attempt.{kind.value}" for kind in OF_RUNS),
        *(f"slots.{kind.value}" for kind in _OF_SLOTS),
        *(
            f"job.{kind.value}"
            for kind in RowKind
            if kind not in OF_RUNS and kind not in _OF_SLOTS
        ),
    }
)
"""Every type of fact: ``run.`` for the one outcome of a firing, ``attempt.`` for an
end after which it is or may be tried again, ``slots.`` and ``job.``."""


def fact_type(entry: LedgerEntry) -> str:
    """Return the type of a row, one of :data:`TYPES`."""
    kind = entry.kind.value
    if entry.run is not None:
        return f"run.{kind}" if entry.run.final else f"attempt.{kind}"
    return f"slots.{kind}" if entry.kind in _OF_SLOTS else f"job.{kind}"


def fact_of(
    entry: LedgerEntry, job: Job | None, *, results: bool = False
) -> dict[str, Any]:
    """Return a row as a JSON object; what there is nothing to say of is left out.

    Args:
        entry: The row.
        job: What it is about, as far as it is known.
        results: Whether results, and messages of errors, are said: they may hold
            what is not for everybody.
    """
    said: dict[str, Any] = {
        "job_id": entry.job_id,
        "kind": entry.kind.value,
        "at": entry.at.isoformat(),
        "reason": entry.reason.value,
        "peer": entry.peer,
        "by": entry.by,
        "note": entry.note,
        "fields": list(entry.fields),
    }
    if entry.run is None:
        said |= {
            "first": _text(entry.first),
            "last": _text(entry.last),
            "count": entry.count or None,
            "firing_id": f"{entry.job_id}/{entry.key}" if entry.key else "",
        }
    else:
        said |= _run(entry, results=results)
    if job is not None:
        said |= {
            "executor": job.executor,
            "queue": job.queue or "default",
            "tags": list(job.tags),
        }
    return {name: value for name, value in said.items() if value not in ("", [], None)}


def _run(entry: LedgerEntry, *, results: bool) -> dict[str, Any]:
    run = entry.run
    assert run is not None  # noqa: S101 - the caller has looked
    said: dict[str, Any] = {
        "run_id": run.run_id,
        "firing_id": run.firing.id,
        "cause": run.cause.value,
        "fire_time": run.fire_time.isoformat(),
        "attempt": run.attempt,
        "final": run.final,
        "fence": run.fence,
        "started_at": _text(run.started_at),
        "duration": None if run.duration is None else run.duration.total_seconds(),
    }
    if run.error is not None:
        said["error"] = {"type": run.error.type}
        if results:
            said["error"]["message"] = run.error.message
    elif results:
        said["result"] = run.result
    return said


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
