"""What peers and stores say to each other: terms, beats, heads, signals.

Plain frozen values; the ports that use them are in :mod:`aiosched.abc`.
Instants and durations are whole microseconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from aiosched.instants import SECOND
from aiosched.records import Record, Row

__all__ = [
    "MAX_BATCH",
    "Beat",
    "Counters",
    "ExecutorInfo",
    "GuardStep",
    "Guarded",
    "Head",
    "Member",
    "Mended",
    "Page",
    "Pulse",
    "RowPage",
    "Signal",
    "Terms",
    "shard_of",
]

MAX_BATCH = 100
"""Most ids in one transaction; Redis' WATCH costs the square of its keys."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all peers of a namespace must agree on; stored by the first.

    A peer that is given other terms is refused; ``None`` takes the stored ones
    (see :meth:`JobStore.open`).  Durations in microseconds.
    """

    shards: int = 64
    lease: int = 15 * SECOND
    beat: int = 5 * SECOND
    member_timeout: int = 15 * SECOND
    steal_delay: int = SECOND // 4
    ledger_age: int = 7 * 86_400 * SECOND
    ledger_cap: int = 1_000_000


def shard_of(job_id: str, shards: int) -> int:
    """Return the shard of a job; it follows from the id alone."""
    return zlib.crc32(job_id.encode()) % shards


@dataclass(frozen=True, slots=True)
class Member:
    """A peer as the others see it.

    Attributes:
        id: Random incarnation id, new for each start.
        name: What its user calls it; need not be unique.
        queues: Queues it serves; None: all.
        executors: Names it can run, sorted.
        claims: False for a client (``run_jobs=False``) or while shutting down.
        beat: Instant of its last beat.
        running: Runs it had at that beat.
        schema: Highest schema of records that it reads.
        triggers: Kinds of triggers that it knows, sorted; None: it did not say,
            and is taken to know all.
    """

    id: str
    name: str
    queues: tuple[str, ...] | None
    executors: tuple[str, ...]
    claims: bool
    beat: int = 0
    running: int = 0
    started: int = 0
    host: str = ""
    schema: int = 1
    triggers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """What a peer tells and asks, every few seconds.

    Attributes:
        member: Itself; None takes it out of the members (shutdown).
        shards: Whose ``revs`` it wants to know.
        canary: Whether to publish a canary, by which it hears that it hears.
    """

    member: Member | None
    member_id: str
    shards: tuple[int, ...] = ()
    canary: bool = True


@dataclass(frozen=True, slots=True)
class Pulse:
    """The store's answer to a beat.

    Attributes:
        members: Every peer whose beat is younger than the member timeout,
            sorted by id.
        revs: Change counter of each shard asked for; of a store with several
            servers those are left out that cannot be reached.
        epoch: Identity of the data set; a new one means that data was lost.
        queues: Every queue that ever had a job, sorted.
    """

    now: int
    members: tuple[Member, ...]
    revs: Mapping[int, int]
    epoch: str
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The first entries of one agenda.

    Attributes:
        entries: (job id, instant), earliest first; without those at ``+inf``.
        complete: True if the agenda has no further finite entry.
        rev: The shard's change counter when it was read.
    """

    shard: int
    queue: str
    entries: tuple[tuple[str, int], ...]
    complete: bool
    rev: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``cursor`` is None after the last."""

    records: tuple[Record, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Mended:
    """What one step of mending has done.

    Attributes:
        ids: Jobs whose index was written anew, sorted.
        cost: Commands that it took.
        complete: Whether it was the last step of a pass over all jobs.
        urgent: Much is missing: the next step should not wait.
    """

    ids: tuple[str, ...] = ()
    cost: int = 0
    complete: bool = True
    urgent: bool = False


class RowPage(tuple[Row, ...]):
    """Ledger rows, newest first, and how to read on behind each of them.

    Attributes:
        cursors: Of each row, in the store's own spelling: a cursor leads to
            the rows behind that row, whatever is written or let go of meanwhile.
        complete: Whether there was nothing behind the last row.
    """

    cursors: tuple[str, ...]
    complete: bool

    def __new__(
        cls, rows: Iterable[tuple[Row, str]] = (), *, complete: bool = True
    ) -> Self:
        """Take rows with their cursors."""
        given = tuple(rows)
        page = super().__new__(cls, [row for row, _ in given])
        page.cursors = tuple([cursor for _, cursor in given])
        page.complete = complete
        return page


@dataclass(frozen=True, slots=True)
class ExecutorInfo:
    """What a peer advertises of an executor, for those that lack it.

    Attributes:
        parameters: (name, kind, required) of each parameter but the context;
            kind is that of :mod:`inspect`, as its name in lower case.
        seen: When a peer last advertised it.
    """

    name: str
    parameters: tuple[tuple[str, str, bool], ...]
    queue: str = "default"
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Signal:
    """A hint from the store.

    Attributes:
        kind: ``changed`` (``entries`` moved, or a job's runs are to stop),
            ``done`` (``ids`` have a final outcome), ``resync`` (messages may
            have been lost: read again), ``canary`` (``ids`` holds the id of
            the peer whose beat it is).
        entries: (job id, queue, instant or None for ``+inf``/gone, seq).
    """

    kind: str
    shard: int = -1
    entries: tuple[tuple[str, str, int | None, int], ...] = ()
    ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Counters:
    """What a session has done, for tests and metrics; only ever grows."""

    commands: int = 0
    round_trips: int = 0
    transactions: int = 0
    aborts: int = 0
    unknown: int = 0
    unreadable: int = 0
    extra: dict[str, int] = field(default_factory=dict)


class GuardStep(StrEnum):
    """What is asked of a guarded name."""

    TAKE = "take"
    """Hold it, if nobody does."""
    EXTEND = "extend"
    """Hold it for longer, if it is held by who asks."""
    RELEASE = "release"
    """Let it go, if it is held by who asks."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """Who holds a guarded name, after a step.

    Attributes:
        claim: Token of the claim that holds it; empty: nobody does.
        owner: Whom the holder says to be.
        fence: Ordered token of the claim: later claims to the name have greater
            ones.
        left: For how long it is held unless it is extended.
    """

    claim: str = ""
    owner: str = ""
    fence: int = 0
    left: int = 0
