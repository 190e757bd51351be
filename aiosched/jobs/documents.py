"""Jobs as one JSON document: how they move from store to store.

Pure.  A document says what a job is and what it has come to, and nothing that
holds only where it lies: no leases, no open firings, no ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from aiosched.errors import (
    ArgumentsError,
    ConfigurationError,
    InvalidInputError,
    TriggerError,
)
from aiosched.instants import micros, moment
from aiosched.jobs import checks
from aiosched.jobs.job import Job
from aiosched.records import Counts
from aiosched.triggers.base import Trigger, trigger_from_data

__all__ = [
    "FORMAT",
    "VERSION",
    "MovedState",
    "StoredJob",
    "document_of",
    "document_schema",
    "read_document",
    "within",
]

FORMAT = "aiosched.jobs"
VERSION = 1
"""Of the form; a document of a later one is refused, not guessed at."""

_REMEDY = "take a document that export_jobs() or `aiosched export` wrote"
_MOST = 10**15
_COUNTS = tuple(Counts.__slots__)
_KEYS = frozenset(("format", "version", "exported_at", "namespace", "jobs", "left_out"))
_ENTRY = frozenset(("job", "state"))
_STATE = frozenset(
    (
        "next_slot",
        "pause_note",
        "pause_until",
        "counts",
        "declared",
        "trigger_given",
        "when_given",
    )
)


@dataclass(frozen=True, slots=True)
class MovedState:
    """What a job has come to, in a document.

    Attributes:
        next_slot: The next slot of its trigger that is not accounted for, in
            microseconds since 1970; None: there is none.
        counts: Sums over its firings that have ended.
        pause_note: Why it is paused.
        pause_until: When its pause ends by itself; None: when it is resumed.
        declared: Revision of the code that declared it; None: none did.
        trigger_given: The trigger as it was given, where pinning made another.
        when_given: Microseconds after which it was to run once.
    """

    next_slot: int | None
    counts: Counts
    pause_note: str = ""
    pause_until: int | None = None
    declared: int | None = None
    trigger_given: Trigger | None = None
    when_given: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; instants as ISO 8601 text."""
        given = self.trigger_given
        return {
            "next_slot": _text(self.next_slot),
            "pause_note": self.pause_note,
            "pause_until": _text(self.pause_until),
            "counts": asdict(self.counts),
            "declared": self.declared,
            "trigger_given": None if given is None else given.to_data(),
            "when_given": self.when_given,
        }


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job of a document."""

    job: Job
    state: MovedState


def document_of(
    jobs: Iterable[StoredJob],
    *,
    namespace: str,
    at: int,
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """Return jobs as a document, sorted by id.

    Args:
        jobs: What to write.
        namespace: Where they are.
        at: The store's instant at which they were read.
        left_out: Id to reason, of jobs that cannot be moved now.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": _text(at),
        "namespace": namespace,
        "jobs": [
            {"job": one.job.to_dict(), "state": one.state.to_dict()}
            for one in sorted(jobs, key=lambda one: one.job.id)
        ],
        "left_out": [
            {"id": job_id, "reason": reason}
            for job_id, reason in sorted(left_out.items())
        ],
    }


def read_document(data: object) -> list[StoredJob]:
    """Check a document, and return its jobs in their order.

    Raises:
        InvalidInputError: Something in it is not right; ``field`` is its path,
            such as ``jobs[3].state.next_slot``.
    """
    given = _mapping("document", data, _KEYS)
    if given.get("format") != FORMAT:
        raise _wrong("format", given.get("format"), f"is not {FORMAT}")
    version = given.get("version")
    if type(version) is not int or version != VERSION:
        raise ConfigurationError(
            "version",
            version,
            f"is a form that this version of aiosched cannot read (it reads {VERSION})",
            "install the version that wrote it",
        )
    entries = given.get("jobs")
    if not isinstance(entries, list):
        raise _wrong("jobs", entries, "is not a list")
    found = [_read_entry(f"jobs[{n}]", one) for n, one in enumerate(entries)]
    places: dict[str, int] = {}
    for number, one in enumerate(found):
        first = places.setdefault(one.job.id, number)
        if first != number:
            raise ConfigurationError(
                f"jobs[{number}].job.id",
                one.job.id,
                f"is that of jobs[{first}], too",
                "leave one of the two out",
            )
    return found


def _read_entry(path: str, entry: object) -> StoredJob:
    given = _mapping(path, entry, _ENTRY)
    data = given.get("job")
    if not isinstance(data, Mapping):
        raise _wrong(f"{path}.job", data, "is not an object")
    if not isinstance(data.get("id"), str):
        raise _wrong(f"{path}.job.id", data.get("id"), "is no id")
    try:
        job = Job.from_dict(data)
    except (ConfigurationError, TriggerError, ArgumentsError) as error:
        raise within(f"{path}.job", error) from None
    return StoredJob(job, _read_state(f"{path}.state", given.get("state")))


def _read_state(path: str, data: object) -> MovedState:
    given = _mapping(path, {} if data is None else data, _STATE)
    trigger = given.get("trigger_given")
    if trigger is not None:
        if not isinstance(trigger, Mapping):
            raise _wrong(f"{path}.trigger_given", trigger, "is not an object")
        try:
            trigger = trigger_from_data(trigger)
        except (ConfigurationError, TriggerError) as error:
            raise within(f"{path}.trigger_given", error) from None
    try:
        note = checks.free_text("pause_note", given.get("pause_note", ""))
        declared = checks.number(
            "declared", given.get("declared"), least=0, most=2**31, none=True
        )
        delay = checks.number(
            "when_given", given.get("when_given"), least=0, most=10**16, none=True
        )
    except ConfigurationError as error:
        raise within(path, error) from None
    return MovedState(
        _instant(f"{path}.next_slot", given.get("next_slot")),
        _read_counts(f"{path}.counts", given.get("counts")),
        note,
        _instant(f"{path}.pause_until", given.get("pause_until")),
        declared,
        trigger,
        delay,
    )


def _read_counts(path: str, data: object) -> Counts:
    given = _mapping(path, {} if data is None else data, frozenset(_COUNTS))
    for name, number in given.items():
        if type(number) is not int or not 0 <= number <= _MOST:
            raise _wrong(f"{path}.{name}", number, "is no count")
    counts = Counts(**given)
    if counts.fired + counts.asked != counts.outcomes:
        raise _wrong(
            path,
            dict(given),
            f"{counts.fired} fired and {counts.asked} asked are not "
            f"{counts.outcomes} outcomes",
        )
    return counts


def _mapping(path: str, data: object, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise _wrong(path, data, "is not an object")
    for name in data:
        if name not in known:
            raise ConfigurationError(
                f"{path}.{name}" if path != "document" else str(name),
                data[name],
                "is not known",
                f"use {', '.join(sorted(known))}",
            )
    return data


def _instant(path: str, value: object) -> int | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        if found is not None and found.utcoffset() is not None:
            return micros(found)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(
        path, value, "is no instant", "write it as 2030-01-31T09:00:00+00:00"
    )


def _text(instant: int | None) -> str | None:
    return None if instant is None else moment(instant).isoformat()


def _wrong(path: str, value: object, problem: str) -> ConfigurationError:
    return ConfigurationError(path, value, problem, _REMEDY)


def within(path: str, error: InvalidInputError) -> InvalidInputError:
    """Return an error that says where in a document it is to blame.

    One that has more to say than a field, such as who is known, is left as it is.
    """
    kind = type(error)
    if kind not in (ConfigurationError, TriggerError, ArgumentsError):
        return error
    return kind(f"{path}.{error.field}", error.value, error.problem, error.remedy)


def document_schema() -> dict[str, Any]:
    """Return the JSON schema of a document."""
    job = Job.json_schema()
    definitions = job.pop("$defs", {})
    instant = {"type": ["string", "null"], "format": "date-time"}
    count = {"type": "integer", "minimum": 0}
    state = {
        "next_slot": instant,
        "pause_note": {"type": "string", "maxLength": checks.MAX_NOTE},
        "pause_until": instant,
        "counts": {
            "type": "object",
            "properties": dict.fromkeys(_COUNTS, count),
            "additionalProperties": False,
        },
        "declared": {"type": ["integer", "null"], "minimum": 0},
        "trigger_given": {"type": ["object", "null"]},
        "when_given": {"type": ["integer", "null"], "minimum": 0},
    }
    entry = {"job": job, "state": _object(state, ())}
    left = _object(
        {"id": {"type": "string"}, "reason": {"type": "string"}}, ("id", "reason")
    )
    return {
        "title": "Jobs",
        "description": "Jobs of a namespace, as export_jobs() writes them.",
        **_object(
            {
                "format": {"const": FORMAT},
                "version": {"const": VERSION},
                "exported_at": instant,
                "namespace": {"type": "string"},
                "jobs": {"type": "array", "items": _object(entry, ("job",))},
                "left_out": {"type": "array", "items": left},
            },
            ("format", "version", "jobs"),
        ),
        "$defs": definitions,
    }


def _object(properties: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
