"""What can be wrong with a namespace's data: every kind, by a stable name.

Who finds it and who mends it are rooms of the stores; this is what they tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["KINDS", "Damage", "Kind", "Level"]


class Level(StrEnum):
    """How much a finding matters, and what may be done about it."""

    SAFE = "safe"
    """Damage that is mended from what is there; nothing is lost by it."""
    UNREADABLE = "unreadable"
    """Damage that nobody can read: it is put into quarantine, if that is allowed."""
    LITTER = "litter"
    """Left over and harmless; it is cleared away."""
    NOTE = "note"
    """Nothing that could be mended in the data."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: Stable; other programs may go by it.
        level: Whether it is damage.
        meaning: What it does to jobs.
        remedy: What ``--fix`` does, or what a person can do.
    """

    name: str
    level: Level
    meaning: str
    remedy: str


_ASIDE = "is moved to quarantine"
_ROWS: tuple[tuple[str, Level, str, str], ...] = (
    # The index, which peers put right by themselves.
    (
        "record-without-entry",
        Level.SAFE,
        "nobody looks at this job any more",
        "the entry is written again",
    ),
    (
        "entry-without-record",
        Level.SAFE,
        "an entry of a job that there is not",
        "the entry is taken out",
    ),
    (
        "entry-out-of-step",
        Level.SAFE,
        "the job is looked at too early or too late",
        "the entry is moved to the instant that follows from the record",
    ),
    (
        "entry-astray",
        Level.SAFE,
        "an entry in the agenda of another queue or shard",
        "the entry is taken out, and stands where it belongs",
    ),
    (
        "keyword-missing",
        Level.SAFE,
        "a fire of its keyword does not reach the job",
        "the job is entered under its keyword",
    ),
    (
        "keyword-left-over",
        Level.SAFE,
        "under a keyword stands who is not subscribed",
        "it is taken out",
    ),
    (
        "queue-missing",
        Level.SAFE,
        "no newcomer knows of the queue",
        "the queue is entered again",
    ),
    (
        "name-missing",
        Level.SAFE,
        "what the jobs share is never cleared away",
        "the name is entered again",
    ),
    (
        "name-left-over",
        Level.LITTER,
        "a name of what is not there",
        "the name is taken out",
    ),
    # Records, and what they share.
    (
        "spec-missing",
        Level.UNREADABLE,
        "a record cannot be read without its spec",
        "it is copied from another shard; else the record " + _ASIDE,
    ),
    (
        "spec-garbled",
        Level.UNREADABLE,
        "the content of a spec is not what its name says",
        "it is copied from another shard; else it " + _ASIDE,
    ),
    (
        "blob-missing",
        Level.UNREADABLE,
        "the job's arguments or a payload are gone",
        "they are copied from another job; else the record " + _ASIDE,
    ),
    (
        "blob-garbled",
        Level.UNREADABLE,
        "arguments are not what their name says",
        "they are copied from another job; else they are " + _ASIDE[3:],
    ),
    (
        "record-unreadable",
        Level.UNREADABLE,
        "the job does not run",
        "the record " + _ASIDE,
    ),
    (
        "record-astray",
        Level.UNREADABLE,
        "a record in a shard where nobody looks for it",
        "the record " + _ASIDE,
    ),
    (
        "outcome-unreadable",
        Level.UNREADABLE,
        "an outcome that a record remembers",
        "the line is put into quarantine, the record goes on without it",
    ),
    (
        "state-out-of-step",
        Level.SAFE,
        "the counts of a job do not add up",
        "the difference is booked as lost firings and missed slots, and a row of the "
        "ledger says what did not add up",
    ),
    (
        "state-impossible",
        Level.UNREADABLE,
        "a record that says what cannot be",
        "the record " + _ASIDE,
    ),
    (
        "lease-orphaned",
        Level.SAFE,
        "a run of a peer that is gone, taken over by nobody",
        "the run is given up, to be run again or recorded as lost",
    ),
    ("spec-unused", Level.LITTER, "no record names it", "it is deleted"),
    ("blob-unused", Level.LITTER, "no record names it", "it is deleted"),
    # The namespace.
    (
        "meta-missing",
        Level.SAFE,
        "a newcomer takes other terms than the peers",
        "what follows from the records, else the default, is entered",
    ),
    (
        "meta-unreadable",
        Level.UNREADABLE,
        "terms that cannot be right",
        "they are put into quarantine, and entered anew",
    ),
    (
        "counter-unreadable",
        Level.UNREADABLE,
        "no change of the shard can be counted",
        "the counter is put into quarantine and begins anew",
    ),
    (
        "guard-unreadable",
        Level.UNREADABLE,
        "nobody can hold this guarded name",
        "the key " + _ASIDE,
    ),
    (
        "part-unreadable",
        Level.UNREADABLE,
        "a part of a key that is nothing of ours",
        "the part is put into quarantine",
    ),
    (
        "ledger-unreadable",
        Level.UNREADABLE,
        "an entry of the ledger that tells nothing",
        "the entry is put into quarantine",
    ),
    (
        "type-wrong",
        Level.UNREADABLE,
        "a key of ours holds something of another type",
        "the key " + _ASIDE,
    ),
    (
        "key-foreign",
        Level.UNREADABLE,
        "a key under our prefix that is none of ours",
        "the key " + _ASIDE,
    ),
    ("member-stale", Level.LITTER, "a peer that is long gone", "it is taken out"),
    (
        "executor-stale",
        Level.LITTER,
        "no peer has advertised it for a week",
        "it is taken out",
    ),
    # What no repair of the data can change.
    (
        "record-later",
        Level.NOTE,
        "written by a later version of aiosched",
        "it is left alone; update this program",
    ),
    (
        "spec-unknown",
        Level.NOTE,
        "its trigger or a field of its spec is not known to this program",
        "it is left alone; update this program, or install what brings the kind",
    ),
    (
        "quarantined",
        Level.NOTE,
        "put aside by an earlier repair",
        "look at it, then delete it or rename it back",
    ),
    (
        "eviction",
        Level.NOTE,
        "under memory pressure the server deletes jobs",
        "set maxmemory-policy to noeviction",
    ),
    (
        "persistence-off",
        Level.NOTE,
        "a restart of the server forgets all jobs",
        "set appendonly to yes",
    ),
    (
        "clock-apart",
        Level.NOTE,
        "this host and the server tell other times",
        "let both follow a time server; leases are judged by the server's",
    ),
)

KINDS = {row[0]: Kind(*row) for row in _ROWS}
"""Every kind, by name."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One finding.

    Attributes:
        kind: A name of :data:`KINDS`.
        key: The key concerned, as far as it can be shown as text.
        detail: What is wrong with it, in one sentence.
        job_id: The job concerned; None: none, or it is not known.
        shard: The shard concerned, -1 for what belongs to the whole namespace.
        raw: The key's bytes.
        part: The field, member or entry of the key; None: the key itself.
    """

    kind: str
    key: str
    detail: str
    job_id: str | None = None
    shard: int = -1
    raw: bytes = b""
    part: bytes | None = None

    @property
    def level(self) -> Level:
        """How much it matters."""
        return KINDS[self.kind].level

    def to_dict(self) -> dict[str, Any]:
        """Return it as data that JSON can hold; bytes are shown as text."""
        kind = KINDS[self.kind]
        return {
            "kind": self.kind,
            "level": kind.level.value,
            "key": self.key,
            "part": None if self.part is None else self.part.decode("utf-8", "replace"),
            "job_id": self.job_id,
            "detail": self.detail,
            "meaning": kind.meaning,
            "remedy": kind.remedy,
        }
