"""The ports: what a store and an executor must do.  Their docstrings are the contract.

A **store** is dumb and fast: it reads records under an optimistic lock, calls
a pure function, and writes its answer, atomically.  It knows no policy, so
that memory, Redis and any later store cannot differ in meaning.  The shipped
``aiosched.testing.contract`` checks everything said here.

Who is authoritative: the store, for every record and for the time
(``Session.now``).  A peer's own clock decides only when it looks.  Signals are
hints: losing all of them costs lateness, never a firing.
"""

from __future__ import annotations

import abc
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiosched.instants import SECOND
from aiosched.records import Change, Record, Row

__all__ = [
    "MAX_BATCH",
    "Beat",
    "ExecutorInfo",
    "Head",
    "JobStore",
    "Member",
    "Page",
    "Pulse",
    "Session",
    "Signal",
    "SignalStream",
    "Terms",
    "shard_of",
]

MAX_BATCH = 100
"""Most ids in one transaction; Redis' WATCH costs the square of its keys."""

Decide = Callable[[Mapping[str, Record | None], int], Mapping[str, Change]]
Report = Callable[[str, str], None]


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


@dataclass(frozen=True, slots=True)
class Beat:
    """What a peer tells and asks, every few seconds.

    Attributes:
        member: Itself; None takes it out of the members (shutdown).
        shards: Whose ``revs`` it wants to know.
    """

    member: Member | None
    member_id: str
    shards: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Pulse:
    """The store's answer to a beat.

    Attributes:
        members: Every peer whose beat is younger than the member timeout,
            sorted by id.
        revs: Change counter of each shard asked for.
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


class SignalStream(abc.ABC):
    """A subscription to a namespace's signals.

    One task iterates; others may call ``watch`` meanwhile, one at a time.
    """

    @abc.abstractmethod
    async def watch(self, changed: frozenset[int], done: frozenset[int]) -> None:
        """Listen to the change and completion channels of exactly these shards.

        Returns once the store has confirmed, which may need somebody to be
        iterating.  Anything that was committed after that is heard, unless a
        connection breaks, and then a ``resync`` is heard.

        Raises:
            StoreUnavailableError: Calling again is safe.
        """

    @abc.abstractmethod
    def __aiter__(self) -> AsyncIterator[Signal]:
        """Yield signals; never ends by itself.

        Heals its own connection, yielding ``resync`` after each gap.  A
        message that cannot be read is reported and passed over.

        Raises:
            StoreUnavailableError: The store stays away; iterate again later.
        """

    @abc.abstractmethod
    def reset(self) -> None:
        """Give the connection up and make a new one, because it seems deaf."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """End the subscription; safe to call twice."""


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


class Session(abc.ABC):
    """One peer's open connection to one namespace.

    All methods belong to the loop on which the session was opened.  A method
    that is cancelled leaves records whole: a transaction either happened or
    did not.
    """

    terms: Terms
    counters: Counters

    @abc.abstractmethod
    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
    ) -> dict[str, Change]:
        """Apply a pure decision to the records of one shard, atomically.

        ``decide(records, now)`` is given the present record of each id (None:
        there is none) and the store's instant, and answers the changes it
        wants; ids that it leaves out stay as they are.  It may be called
        several times and must not do anything else.  All changes of one call
        are committed together, with their agenda entries, ledger rows, shared
        specs, keyword index and signals, or none of them is.

        Losing an optimistic race is not an error.  With ``claim=True`` ids
        whose record changed meanwhile are dropped from the retry and from the
        answer; otherwise everything is read and decided again.

        Args:
            ids: 1 to ``MAX_BATCH`` distinct ids of one shard.
            decide: The pure function.
            claim: Drop what changed rather than decide again.
            signal: False for commits of the agenda's own owner, of which
                nobody needs to hear; completions are published all the same.

        Returns:
            The committed changes by id.  An id may be missing: decided
            nothing, dropped, or its record cannot be read (which is reported
            through ``report`` and never repaired by deleting).

        Raises:
            StoreUnavailableError: Nothing is known to have been written, or
                it is known that nothing was; calling again is safe, because
                fences and seq make a second application a no-op.
            StoreConflictError: Overtaken too often; nothing was written.
            ValueError: No ids, too many, or of several shards.
        """

    @abc.abstractmethod
    async def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return the records of up to 1,000 ids of any shards.

        Missing and unreadable ones are left out.  Arguments that are kept
        apart are resolved.  Never writes.
        """

    @abc.abstractmethod
    async def list(self, *, cursor: str | None = None, limit: int = 100) -> Page:
        """Return a page of all records, finished ones included.

        A record that is there throughout the listing is seen at least once;
        one that comes, goes or moves meanwhile may be seen or not.  A page
        may be empty before the last.
        """

    @abc.abstractmethod
    async def agenda(
        self, heads: Sequence[tuple[int, str]], *, limit: int = MAX_BATCH
    ) -> Sequence[Head]:
        """Return the first ``limit`` entries of each (shard, queue) agenda."""

    @abc.abstractmethod
    async def by_keyword(self, keyword: str) -> Sequence[str]:
        """Return the ids of the jobs subscribed to a keyword, sorted.

        May name too many (a job that has just gone), never too few.
        """

    @abc.abstractmethod
    async def ledger(
        self,
        job_id: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
    ) -> Sequence[Row]:
        """Return ledger rows, newest first.

        Args:
            job_id: Only rows of this job; None: of all.
            since: Only rows decided at or after this instant.
            until: Only rows decided at or before this instant.
            limit: Most rows to return.
        """

    @abc.abstractmethod
    async def beat(self, beat: Beat) -> Pulse:
        """Say that a peer lives, and learn who else does; publishes a canary."""

    @abc.abstractmethod
    async def advertise(self, executors: Sequence[ExecutorInfo]) -> None:
        """Tell others which executors exist; renewed at each start."""

    @abc.abstractmethod
    async def catalogue(self) -> dict[str, ExecutorInfo]:
        """Return the executors advertised within the last 7 days, by name."""

    @abc.abstractmethod
    def signals(self) -> SignalStream:
        """Return a new subscription, to nothing yet."""

    @abc.abstractmethod
    async def now(self) -> int:
        """Ask the store what time it is."""

    @abc.abstractmethod
    def estimate(self) -> int:
        """Return the store's instant as well as it is known without asking.

        Follows the store's clock by an offset measured against the monotonic
        clock, so that steps of the local wall clock do not matter.
        """

    @abc.abstractmethod
    async def sweep(self) -> int:
        """Delete shared data that no record uses; return how many keys went."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Release connections; safe to call twice."""


class JobStore(abc.ABC):
    """Where jobs are kept; opened once per peer.

    Building one does no I/O and needs no loop.
    """

    threadable: bool = False
    """Whether further sessions may be opened on loops of other threads."""

    @abc.abstractmethod
    async def open(
        self,
        namespace: str,
        terms: Mapping[str, Any],
        *,
        report: Report | None = None,
    ) -> Session:
        """Open a session on a namespace, creating it if it is new.

        Args:
            namespace: Kept apart from every other on the same store.
            terms: Fields of :class:`Terms` that this peer insists on; those
                it leaves out are taken from the store, or are the defaults
                where the namespace is new.
            report: Called with (key, problem) for data that cannot be read.

        Raises:
            ConfigurationError: ``terms`` contradict the stored ones, or the
                store cannot be used as configured.
            StoreUnavailableError: Calling again is safe.
        """


class Executor(abc.ABC):
    """Does the work of jobs.  One instance serves all runs of a scheduler.

    Subclasses define ``run(self, context, ...)``; its annotations say what
    arguments a job may carry, and are checked when the job is scheduled.  A
    coroutine function runs on the loop; a plain function runs in a thread and
    should look at ``context.cancelled`` now and then.
    """

    run: Callable[..., Any]

    async def setup(self) -> None:  # noqa: B027 - optional
        """Acquire what runs need; awaited once, before the first run."""

    async def teardown(self) -> None:  # noqa: B027 - optional
        """Release it; awaited once, after the last run has ended."""
