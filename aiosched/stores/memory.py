"""The store of one process: dicts and sorted lists, and the same promises.

It has the shards, members, queues, ledger and signals of every other store, so
that schedulers that share one behave like peers on Redis.  What it holds lives
as long as the object.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile, islice, takewhile
from typing import Any

from aiosched.abc import (
    MAX_BATCH,
    Beat,
    Counters,
    Decide,
    ExecutorInfo,
    Guarded,
    GuardStep,
    Head,
    JobStore,
    Mended,
    Page,
    Pulse,
    Report,
    RowPage,
    Session,
    Signal,
    SignalStream,
    Terms,
    shard_of,
)
from aiosched.clock import Clock, IdSource, SystemClock, random_id
from aiosched.errors import ConfigurationError, StoreConflictError, StoreError
from aiosched.instants import SECOND
from aiosched.records import Change, Record
from aiosched.stores.guards import Asked
from aiosched.stores.rederive import rederive
from aiosched.stores.space import ADVERTISED, RESYNC, Listener, Space
from aiosched.stores.terms import agreed_terms

__all__ = ["MemoryJobStore"]

MAX_READ = 1_000
_ATTEMPTS = 16
_TURN = 1_000
"""Records handled before other tasks of the loop get their turn."""


class MemoryJobStore(JobStore):
    """Keeps jobs in this process; they are gone with the object.

    Give the same object to several schedulers of one event loop and they share
    their jobs.  It belongs to the loop on which it was opened until all its
    sessions are closed.  The wall clock is read at the first open only; time
    then follows the monotonic clock, so that setting the wall clock has no
    effect, save that schedulers warn of it (the event ``clock_stepped``).

    Args:
        clock: Tells the time; None: the running loop's and the host's.
        ids: Draws the identity of each namespace's data set.
    """

    threadable = False

    def __init__(
        self, clock: Clock | None = None, *, ids: IdSource = random_id
    ) -> None:
        """Build an empty store; no loop need be running."""
        self.clock: Clock = SystemClock() if clock is None else clock
        self._ids = ids
        self._spaces: dict[str, Space] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.sessions: int = 0
        self._offset = 0
        self._latest = 0

    async def open(
        self,
        namespace: str,
        terms: Mapping[str, Any],
        *,
        report: Report | None = None,  # noqa: ARG002 - nothing to report
    ) -> Session:
        """Open a session on a namespace, creating it if it is new.

        Args:
            namespace: Kept apart from every other on the same store.
            terms: Fields of :class:`~aiosched.abc.Terms` to insist on.
            report: Not used: nothing here can be unreadable.

        Raises:
            ConfigurationError: ``terms`` contradict the stored ones, or the
                store is open on another event loop.
        """
        self._settle_on(asyncio.get_running_loop())
        space = self._spaces.get(namespace)
        held = agreed_terms(None if space is None else space.terms, terms)
        if space is None:
            space = self._spaces[namespace] = self.make_space(namespace, held)
        self.sessions += 1
        return _MemorySession(self, space)

    def make_space(
        self,
        namespace: str,  # noqa: ARG002 - for stores derived from this one
        terms: Terms,
    ) -> Space:
        """Make room for a new namespace; simulations make one that they watch."""
        return Space(terms, self._ids())

    def _settle_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            return
        if self._loop is not None and self.sessions:
            raise ConfigurationError(
                "store",
                self,
                "this MemoryJobStore is open on another event loop",
                "give each loop a store of its own, or a store that can be "
                "shared, such as redis://",
            )
        self._loop = loop
        # Two loops' monotonic clocks need not agree; time never goes back.
        wall = max(self.clock.wall(), self._latest)
        self._offset = wall - round(self.clock.monotonic() * SECOND)

    def now(self) -> int:
        """Return the instant, as all its sessions tell it."""
        self._latest = self._offset + round(self.clock.monotonic() * SECOND)
        return self._latest

    def release(self) -> None:
        """Note that a session was closed."""
        self.sessions -= 1


class _MemoryStream(SignalStream, AsyncIterator[Signal]):
    def __init__(self, session: _MemorySession, space: Space) -> None:
        self._session = session
        self._space = space
        self._listener = Listener()

    async def watch(self, changed: frozenset[int], done: frozenset[int]) -> None:
        listener = self._listener
        if listener.closed:
            raise StoreError("this subscription is closed")
        if not listener.live:
            listener.live = True
            self._space.listeners.append(listener)
        listener.changed = changed
        listener.done = done

    def __aiter__(self) -> AsyncIterator[Signal]:
        return self

    async def __anext__(self) -> Signal:
        return await self._listener.following()

    def reset(self) -> None:
        # There is no connection to lose, but what is told of a new one is told.
        if self._listener.live:
            self._listener.hear(RESYNC)

    async def aclose(self) -> None:
        self.end()

    def end(self) -> None:
        if self._listener.closed:
            return
        self._session.streams.discard(self)
        if self._listener.live:
            self._space.listeners.remove(self._listener)
        self._listener.close()


class _MemorySession(Session):
    spanning = True

    def __init__(self, store: MemoryJobStore, space: Space) -> None:
        self.terms = space.terms
        self.counters = Counters()
        self.streams: set[_MemoryStream] = set()
        self._store = store
        self._space = space
        self._closed = False
        self._turn = 0
        self._mending = 0

    async def _begin(self, cost: int) -> None:
        """Refuse a closed session, and let others of the loop run now and then."""
        self._turn += cost
        if self._turn >= _TURN:
            self._turn = 0
            await self._store.clock.sleep(0)
        if self._closed:
            raise StoreError("this session is closed; open another one")

    # -- records ------------------------------------------------------------------

    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
        urgent: bool = False,  # noqa: ARG002 - nobody waits for a connection
    ) -> dict[str, Change]:
        await self._begin(len(ids))
        places = _shards_of(ids, self.terms.shards, spanning=self.spanning)
        spaces = self._space.shards
        for _ in range(_ATTEMPTS):
            # Nothing waits from here on.  What can still come between is a
            # decide that itself drives another transaction, as tests do.
            found = {i: spaces[places[i]].records.get(i) for i in ids}
            now = self._store.now()
            changes = dict(decide(found, now))
            if not changes.keys() <= found.keys():
                raise ValueError("decide answered for an id that it was not given")
            if any(
                c.record and c.record.definition.id != i for i, c in changes.items()
            ):
                raise ValueError("decide answered with a record of another id")
            moved = {
                i for i in found if spaces[places[i]].records.get(i) is not found[i]
            }
            if not moved:
                if changes:
                    self.counters.transactions += 1
                    for number, part in _parted(changes, places):
                        self._space.commit(number, found, part, now, signal=signal)
                return changes
            self.counters.aborts += 1
            if claim:
                ids = [job_id for job_id in ids if job_id not in moved]
                if not ids:
                    return {}
        raise StoreConflictError("a transaction", _ATTEMPTS)

    async def read(self, ids: Sequence[str]) -> dict[str, Record]:
        if len(ids) > MAX_READ:
            raise ValueError(f"{len(ids)} ids are more than {MAX_READ}")
        await self._begin(len(ids))
        shards, count = self._space.shards, self.terms.shards
        found = {i: shards[shard_of(i, count)].records.get(i) for i in ids}
        return {i: record for i, record in found.items() if record is not None}

    async def list(self, *, cursor: str | None = None, limit: int = 100) -> Page:
        if limit < 1:
            raise ValueError(f"a page of {limit} records shows nothing")
        await self._begin(limit)
        number, last = _place(cursor)
        found: tuple[Record, ...] = ()
        while number < self.terms.shards:
            room = limit - len(found)
            found += tuple(self._space.shards[number].after(last, room))
            if len(found) == limit:
                return Page(found, f"{number}:{found[-1].definition.id}")
            number, last = number + 1, None
        return Page(found, None)

    async def agenda(
        self,
        heads: Sequence[tuple[int, str]],
        *,
        limit: int = MAX_BATCH,
        partial: bool = False,  # noqa: ARG002 - all of it is here
    ) -> Sequence[Head]:
        await self._begin(len(heads))
        return [self._space.head(shard, queue, limit) for shard, queue in heads]

    async def by_keyword(self, keyword: str) -> Sequence[str]:
        await self._begin(1)
        return sorted(self._space.keywords.get(keyword, ()))

    async def ledger(
        self,
        job_id: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RowPage:
        await self._begin(limit)
        before = None if cursor is None else _number(cursor)
        rows = self._space.rows(job_id, self._store.now(), before)
        if since is not None:
            rows = takewhile(lambda entry: entry[1].at >= since, rows)
        if until is not None:
            rows = dropwhile(lambda entry: entry[1].at > until, rows)
        if job_id is not None:
            rows = (entry for entry in rows if entry[1].job_id == job_id)
        limit = max(limit, 0)
        found = [(row, str(number)) for number, row in islice(rows, limit + 1)]
        return RowPage(found[:limit], complete=len(found) <= limit)

    # -- peers --------------------------------------------------------------------

    async def beat(self, beat: Beat) -> Pulse:
        await self._begin(1)
        space = self._space
        now = self._store.now()
        if beat.member is None:
            space.members.pop(beat.member_id, None)
        else:
            space.join(beat.member, now)
        if beat.canary:
            space.canary(beat.member_id)
        return Pulse(
            now,
            space.living(now),
            {number: space.shards[number].rev for number in beat.shards},
            space.epoch,
            tuple(sorted(space.queues)),
        )

    async def advertise(self, executors: Sequence[ExecutorInfo]) -> None:
        await self._begin(len(executors))
        now = self._store.now()
        for info in executors:
            self._space.executors[info.name] = replace(info, seen=now)

    async def catalogue(self) -> dict[str, ExecutorInfo]:
        await self._begin(1)
        oldest = self._store.now() - ADVERTISED
        known = self._space.executors
        return {name: info for name, info in known.items() if info.seen >= oldest}

    async def guard(
        self, step: GuardStep, name: str, token: str, *, owner: str = "", ttl: int = 0
    ) -> Guarded:
        await self._begin(1)
        asked = Asked(step, name, token, owner, ttl)
        return self._space.guards.ask(asked, self._store.now())

    def signals(self) -> SignalStream:
        if self._closed:
            raise StoreError("this session is closed; open another one")
        stream = _MemoryStream(self, self._space)
        self.streams.add(stream)
        return stream

    async def now(self) -> int:
        await self._begin(1)
        return self._store.now()

    def estimate(self) -> int:
        return self._store.now()

    def drift(self) -> int | None:
        return self._store.clock.wall() - self._store.now()

    async def sweep(self) -> int:
        await self._begin(1)
        return self._space.prune(self._store.now())

    async def mend(self) -> Mended:
        await self._begin(1)
        space, found, looked = self._space, list[str](), 0
        while self._mending < self.terms.shards and looked < _TURN:
            looked += len(space.shards[self._mending].records)
            found += rederive(space, self._mending)
            self._mending += 1
        complete = self._mending >= self.terms.shards
        if complete:
            self._mending = 0
        return Mended(tuple(sorted(found)), complete=complete)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for stream in tuple(self.streams):
            stream.end()
        self._store.release()


def _shards_of(ids: Sequence[str], count: int, *, spanning: bool) -> dict[str, int]:
    """Return the shard of each id.

    Raises:
        ValueError: No ids, too many, one twice, or of several shards.
    """
    if not 1 <= len(ids) <= MAX_BATCH:
        raise ValueError(f"{len(ids)} ids, not 1 to {MAX_BATCH}")
    places = {job_id: shard_of(job_id, count) for job_id in ids}
    if len(places) != len(ids):
        raise ValueError("an id stands twice in one transaction")
    numbers = 1 if spanning else len(set(places.values()))
    if numbers != 1:
        raise ValueError(f"ids of {numbers} shards in one transaction")
    return places


def _parted(
    changes: Mapping[str, Change], places: Mapping[str, int]
) -> Iterable[tuple[int, Mapping[str, Change]]]:
    """Return what is to be written, shard by shard."""
    parts: dict[int, dict[str, Change]] = {}
    for job_id, change in changes.items():
        parts.setdefault(places[job_id], {})[job_id] = change
    return parts.items()


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal()):
        raise ValueError(f"{cursor!r} is no cursor of this store")
    return int(cursor)


def _place(cursor: str | None) -> tuple[int, str | None]:
    if cursor is None:
        return 0, None
    number, mark, last = cursor.partition(":")
    if not mark or not number.isdecimal():
        raise ValueError(f"{cursor!r} is no cursor of this store")
    return int(number), last
