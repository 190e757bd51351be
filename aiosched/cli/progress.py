"""What is known of a demo while it goes on; the screens draw it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from aiosched.jobs import Job, Run
from aiosched.records import Counts

__all__ = ["JobRow", "PeerRow", "Progress"]

_NOTES = 3
NOTHING = Counts()


@dataclass(slots=True)
class JobRow:
    """One job, as it was last seen.

    Attributes:
        asked: Whether it runs when people ask for it, so that it is never over.
        over: Whether it has finished.
        lateness: Seconds from fire time to start, in the order of the ends.
    """

    job_id: str
    kind: str
    asked: bool = False
    counts: Counts = NOTHING
    running: int = 0
    waiting: int = 0
    over: bool = False
    next_fire: datetime | None = None
    lateness: list[float] = field(default_factory=list)

    def take(self, job: Job, *, over: bool) -> None:
        """Take over what a snapshot says."""
        self.counts = job.counts
        self.running, self.waiting = job.running, job.waiting
        self.over = over
        self.next_fire = None if over else job.next_fire_time


@dataclass(slots=True)
class PeerRow:
    """One peer process.

    Attributes:
        id: Incarnation id; empty until it has been seen in the store.
        state: ``starting``, ``live``, ``killed`` or ``ended``.
        running: Runs that it had at its last beat.
        ended: Firings whose final attempt it made.
    """

    name: str
    pid: int
    id: str = ""
    state: str = "starting"
    running: int = 0
    ended: int = 0


@dataclass(slots=True)
class Progress:
    """A demo under way.

    Attributes:
        store: What people call the store.
        window: Seconds in which work comes in.
        origin: The store's instant at which it began; None before.
        elapsed: Seconds since then.
        notes: What has happened beside the runs: seconds and text.
    """

    store: str
    window: float
    origin: datetime | None = None
    elapsed: float = 0.0
    jobs: dict[str, JobRow] = field(default_factory=dict)
    peers: dict[str, PeerRow] = field(default_factory=dict)
    notes: deque[tuple[float, str]] = field(
        default_factory=lambda: deque(maxlen=_NOTES)
    )

    def ended(self, run: Run) -> None:
        """Count a final attempt."""
        for peer in self.peers.values():
            if peer.id == run.peer:
                peer.ended += 1
        row = self.jobs.get(run.job_id)
        if row is not None and run.attempt == 1 and run.started_at is not None:
            row.lateness.append((run.started_at - run.fire_time).total_seconds())

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to come but what people ask for."""
        rows = self.jobs.values()
        return all(
            row.running == 0 and row.waiting == 0 and (row.over or row.asked)
            for row in rows
        )
