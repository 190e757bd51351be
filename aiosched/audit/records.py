"""What an audit record holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiosched.enums import RowKind
from aiosched.errors import ConfigurationError
from aiosched.jobs import Job, LedgerEntry, checks
from aiosched.jobs.plain import load_json
from aiosched.results import dump_result

__all__ = ["FORM", "Trail", "changes_of", "comments_of", "plain", "status_of"]

FORM = 1
"""Version of the form of a record, its field ``audit``."""
_HIDDEN = ("args", "kwargs")


@dataclass(frozen=True, slots=True)
class Trail:
    """Something that was done, for the audit log.

    Attributes:
        operation: What was done, such as ``invoice.sent``; 1 to 200 characters.
        status: How it went, such as ``ok``; 1 to 200 characters.
        comments: For people; up to 1,000 characters.
        actor: Who did it; None: who acts, as ``acting_as`` said, else the job that
            runs, else the scheduler.
        job_id: The job concerned; None: the one that runs, if one does.
        data: Any JSON value; None for none.
    """

    operation: str
    status: str
    comments: str
    actor: str | None = None
    job_id: str | None = None
    data: Any = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: One cannot be recorded.
        """
        checks.text_id("operation", self.operation, what="name")
        checks.text_id("status", self.status, what="word")
        checks.free_text("comments", self.comments)
        for field in ("actor", "job_id"):
            value = getattr(self, field)
            if value is not None:
                checks.text_id(field, value, what="name")


def plain(value: Any) -> Any:
    """Return a value as JSON has it; what JSON cannot hold is shown as text."""
    text = dump_result(value)
    return load_json(text) if text else None


def status_of(entry: LedgerEntry) -> str:
    """Return how a row went: ``ok``, or what became of it instead."""
    if entry.run is None:
        return entry.kind.value if entry.count else "ok"
    return "ok" if entry.kind is RowKind.SUCCEEDED else entry.kind.value


def comments_of(entry: LedgerEntry) -> str:
    """Return what a row says for people."""
    if entry.note:
        return entry.note
    error = entry.run.error if entry.run is not None else None
    return error.type if error is not None else entry.reason.value


def changes_of(
    entry: LedgerEntry, before: Job | None, after: Job | None, *, arguments: bool
) -> Mapping[str, Any]:
    """Return what a modification changed: before and after, by field.

    Args:
        entry: The row.
        before: The job as it was.
        after: The job as it is.
        arguments: Whether the values of arguments are shown.
    """
    if not entry.fields or before is None or after is None:
        return {}
    old, new = _values(before), _values(after)
    return {
        name: ["<hidden>", "<hidden>"]
        if name in _HIDDEN and not arguments
        else [old.get(name), new.get(name)]
        for name in entry.fields
    }


def _values(job: Job) -> dict[str, Any]:
    try:
        return job.to_dict()
    except (ConfigurationError, ValueError):
        return {}
