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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from aiosched.errors import ConfigurationError
from aiosched.messages import (
    MAX_BATCH,
    Beat,
    Counters,
    ExecutorInfo,
    Guarded,
    GuardStep,
    Head,
    Member,
    Mended,
    Page,
    Pulse,
    RowPage,
    Signal,
    Terms,
    shard_of,
)
from aiosched.records import Change, Record

__all__ = [
    "MAX_BATCH",
    "Beat",
    "Counters",
    "ExecutorInfo",
    "GuardStep",
    "Guarded",
    "Head",
    "JobStore",
    "Member",
    "Mended",
    "Page",
    "Pulse",
    "RowPage",
    "Session",
    "Signal",
    "SignalStream",
    "Terms",
    "shard_of",
]

Decide = Callable[[Mapping[str, Record | None], int], Mapping[str, Change]]
Report = Callable[[str, str], None]


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


class Session(abc.ABC):
    """One peer's open connection to one namespace.

    All methods belong to the loop on which the session was opened.  A method
    that is cancelled leaves records whole: a transaction either happened or
    did not.
    """

    terms: Terms
    counters: Counters
    spanning: bool = False
    """Whether a transaction may be about several shards."""

    @abc.abstractmethod
    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
        urgent: bool = False,
    ) -> dict[str, Change]:
        """Apply a pure decision to the records of one shard, atomically.

        Or of several, where the session is :attr:`spanning`.

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
            ids: 1 to ``MAX_BATCH`` distinct ids, of one shard if not spanning.
            decide: The pure function.
            claim: Drop what changed rather than decide again.
            signal: False for commits of the agenda's own owner, of which
                nobody needs to hear; completions are published all the same.
            urgent: Let it go before whatever else of this session waits for a
                connection: a lease is running out.

        Returns:
            The committed changes by id.  An id may be missing: decided
            nothing, dropped, or its record cannot be read (which is reported
            through ``report`` and never repaired by deleting).

        Raises:
            StoreUnavailableError: Nothing is known to have been written, or
                it is known that nothing was, which the error's ``unwritten``
                says; calling again is safe, because fences and seq make a second
                application a no-op.
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
        self,
        heads: Sequence[tuple[int, str]],
        *,
        limit: int = MAX_BATCH,
        partial: bool = False,
    ) -> Sequence[Head]:
        """Return the first ``limit`` entries of each (shard, queue) agenda.

        Args:
            heads: Which agendas.
            limit: Entries of each, at most.
            partial: Leave out agendas whose server cannot be reached, where a
                store has several servers.

        Raises:
            StoreUnavailableError: Calling again is safe.
        """

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
        cursor: str | None = None,
    ) -> RowPage:
        """Return ledger rows, newest first: last those that were written first.

        Reading on with cursors shows each row that was there all the time
        exactly once, also those of one microsecond, and none that is written
        meanwhile.

        Args:
            job_id: Only rows of this job; None: of all.
            since: Only rows decided at or after this instant.
            until: Only rows decided at or before this instant.
            limit: Most rows to return; the page says whether there are more.
            cursor: Only rows behind the one to which a page gave this cursor;
                one cursor serves whatever the other arguments are.

        Raises:
            ValueError: The cursor is none of this store.
        """

    @abc.abstractmethod
    async def beat(self, beat: Beat) -> Pulse:
        """Say that a peer lives, and learn who else does; may publish a canary.

        Counters whose server cannot be reached are left out of the pulse, where
        a store has several servers.

        Raises:
            StoreUnavailableError: Others may not have heard; calling again is safe.
        """

    @abc.abstractmethod
    async def advertise(self, executors: Sequence[ExecutorInfo]) -> None:
        """Tell others which executors exist; renewed at each start."""

    @abc.abstractmethod
    async def catalogue(self) -> dict[str, ExecutorInfo]:
        """Return the executors advertised within the last 7 days, by name."""

    async def guard(
        self, step: GuardStep, name: str, token: str, *, owner: str = "", ttl: int = 0
    ) -> Guarded:
        """Take, extend or release a guarded name, atomically.

        A guarded name is a short claim for user code, with which the store itself
        decides nothing.  It is held by one claim at a time, which is known by its
        token, and it ends by itself: when ``ttl`` has passed by the store's own
        clock, whatever became of its holder.  There is no instant at which it is
        held without an end.

        Whoever asks and does not hold it changes nothing: neither is it held for
        longer, nor does it end.  To take what one holds already, and to release
        what one does not hold, changes nothing either; so each step may be asked
        for again after an error.

        Args:
            step: Take, extend or release.
            name: What is guarded: 1 to 200 characters, told apart from those of
                other namespaces.
            token: Of this claim, drawn by who makes it, and never used again once
                it was released.
            owner: Who makes it, for others to see; when it is taken.
            ttl: Microseconds, counted from the store's now, for taking and
                extending: 1,000 or more.  A store may round it up to
                milliseconds.

        Returns:
            Who holds it afterwards.  It was taken, extended or is still held if
            the token is the own one, whose fence stays as it was when it was
            taken; it is free where the token is empty.

        Raises:
            ConfigurationError: This store keeps no guards, which is the default.
            StoreUnavailableError: If it is not ``unwritten``, the step may have
                been carried out.
            StoreConflictError: Overtaken too often; nothing was written.
            StoreDataError: Something else stands where the claim would be.
        """
        del step, name, token, owner, ttl
        raise ConfigurationError(
            "store",
            type(self).__name__,
            "keeps no guards",
            "use a store that does, such as memory:// or redis://, or give its "
            "session the method guard",
        )

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

    def drift(self) -> int | None:
        """Return how far the host's wall clock is ahead of the store's clock.

        For stores that took their time from this host, and do not follow it
        when it is set.  Without I/O.

        Returns:
            Microseconds, negative if it is behind; None: the store has a clock
            of its own, which is the default.
        """
        return None

    @abc.abstractmethod
    async def sweep(self) -> int:
        """Delete shared data that no record uses; return how many keys went."""

    async def mend(self) -> Mended:
        """Go on comparing the index with the records, and put it right.

        The records are the truth: what is derived from them (agenda entries,
        keywords, queues) is written anew where it differs, and nothing else is
        touched.  Each call takes one bounded step; the calls of a session go
        over all records again and again.

        Returns:
            What was put right; the default is for stores whose index cannot
            differ from the records, and does nothing.

        Raises:
            StoreUnavailableError: Calling again is safe.
        """
        return Mended()

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

    A subclass may say by itself when it runs: ``schedule`` is a trigger, None (once),
    or a plain method that returns one of them.  Where there is one, registering
    the executor before the start declares a job of its name.
    """

    run: Callable[..., Any]

    async def setup(self) -> None:  # noqa: B027 - optional
        """Acquire what runs need; awaited once, before the first run."""

    async def teardown(self) -> None:  # noqa: B027 - optional
        """Release it; awaited once, after the last run has ended."""
