"""What a store adds to a job: the part of a snapshot that is not definition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from pydantic import PrivateAttr

from aiosched.enums import JobState, Outcome
from aiosched.jobs.base import Model
from aiosched.jobs.progress import Progress, progress_of
from aiosched.jobs.runs import Run, run_of
from aiosched.records import Counts, Reported, Row
from aiosched.rows import unpack_row
from aiosched.values import value

__all__ = [
    "DEFAULT_QUEUE",
    "NEVER_STORED",
    "SNAPSHOT_FIELDS",
    "Snapshot",
    "Stored",
    "readable_rows",
]

DEFAULT_QUEUE = "default"
_NOTHING = Counts()


def readable_rows(packed: Iterable[str]) -> Iterator[Row]:
    """Decode packed rows; one that cannot be read is passed over."""
    for line in packed:
        with suppress(ValueError):
            yield unpack_row(line)


@value(frozen=True, slots=True)
class Snapshot:
    """A job's state at the instant at which it was read.

    The properties of :class:`aiosched.Job` say what each means.
    """

    version: int = 0
    state: JobState | None = None
    next_fire_time: datetime | None = None
    last_fire_time: datetime | None = None
    running: int = 0
    waiting: int = 0
    counts: Counts = _NOTHING
    created_at: datetime | None = None
    pause_note: str = ""
    pause_until: datetime | None = None
    abridged: bool = False
    unclaimable: str = ""
    declared: int | None = None
    packed: tuple[str, ...] = ()
    read_at: int = 0
    said: Reported | None = None

    @property
    def recent(self) -> tuple[Run, ...]:
        """Decode the packed rows; they are read far less often than listed."""
        rows = readable_rows(self.packed)
        return tuple(run_of(row, now=self.read_at) for row in rows)

    @property
    def last_outcome(self) -> Outcome | None:
        """Decode the newest row alone."""
        row = next(readable_rows(self.packed[:1]), None)
        return None if row is None else run_of(row).outcome

    @property
    def progress(self) -> Progress | None:
        """Return what one of its runs has said last of how far it is."""
        return None if self.said is None else progress_of(self.said)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; the runs of ``recent`` are left to history."""
        data: dict[str, Any] = {
            name: getattr(self, name)
            for name in SNAPSHOT_FIELDS
            if name not in ("counts", "last_outcome", "progress")
        }
        for name, held in data.items():
            if isinstance(held, datetime):
                data[name] = held.isoformat()
            elif isinstance(held, JobState):
                data[name] = held.value
        outcome = self.last_outcome
        data["last_outcome"] = None if outcome is None else outcome.value
        progress = self.progress
        data["progress"] = None if progress is None else progress.to_dict()
        data["counts"] = asdict(self.counts) | {"slots": self.counts.slots}
        return data


NEVER_STORED = Snapshot()
SNAPSHOT_FIELDS = (
    *(f.name for f in fields(Snapshot) if f.name not in ("packed", "read_at", "said")),
    "last_outcome",
    "progress",
)


class Stored(Model):
    """The properties by which a job shows its snapshot."""

    # From a factory: a default that is no plain value is copied deeply each time.
    _snapshot: Snapshot = PrivateAttr(default_factory=lambda: NEVER_STORED)

    @property
    def version(self) -> int:
        """Of the definition; 0: never stored, 1 at creation, one more per change."""
        return self._snapshot.version

    @property
    def state(self) -> JobState | None:
        """What it was up to when it was read; None: never stored."""
        return self._snapshot.state

    @property
    def next_fire_time(self) -> datetime | None:
        """When its next slot starts; None if there is none, or while it is paused.

        Jitter and the shift of an exclusion included; excluded slots are passed
        over.  The same as :meth:`aiosched.Scheduler.next_fire_time` says.
        """
        return self._snapshot.next_fire_time

    @property
    def last_fire_time(self) -> datetime | None:
        """The latest fire time that was started; None if none is known."""
        return self._snapshot.last_fire_time

    @property
    def running(self) -> int:
        """How many runs of it there were."""
        return self._snapshot.running

    @property
    def progress(self) -> Progress | None:
        """How far it was, as one of its runs has said last.

        None: nothing of it ran, or none has said.  Where several run at a time,
        :meth:`aiosched.Scheduler.running` tells them apart.
        """
        return self._snapshot.progress

    @property
    def waiting(self) -> int:
        """How many firings waited to be started, retries included."""
        return self._snapshot.waiting

    @property
    def counts(self) -> Counts:
        """Sums over its life: slots by what became of them, and outcomes."""
        return self._snapshot.counts

    @property
    def recent(self) -> tuple[Run, ...]:
        """Its last final runs, newest first; at most ``keep_last``."""
        return self._snapshot.recent

    @property
    def last_outcome(self) -> Outcome | None:
        """How its last firing ended; None if none has."""
        return self._snapshot.last_outcome

    @property
    def created_at(self) -> datetime | None:
        """When it was first stored; None: never."""
        return self._snapshot.created_at

    @property
    def pause_note(self) -> str:
        """What the person who paused it wrote."""
        return self._snapshot.pause_note

    @property
    def pause_until(self) -> datetime | None:
        """When its pause ends by itself; None: never, or it is not paused."""
        return self._snapshot.pause_until

    @property
    def abridged(self) -> bool:
        """Whether args and kwargs were left out of a listing for their size."""
        return self._snapshot.abridged

    @property
    def unclaimable(self) -> str:
        """Why no live peer could run it when it was read; empty: one could.

        ``unresolvable``: none has its executor; ``unserved``: none of those that
        have serves its queue; ``unreadable``: none of those can read it;
        ``unclaimed``: those that could claim nothing (held, ending, or clients).
        """
        return self._snapshot.unclaimable

    @property
    def declared(self) -> int | None:
        """Revision under which code or a file declared it; None: it was scheduled."""
        return self._snapshot.declared
