"""One namespace's data in memory, and the signals that tell of its changes.

Nothing here waits or looks at a clock: the sessions of the memory store bring
the instant along.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count, islice

from aiosched.abc import ExecutorInfo, Head, Member, Signal, Terms, shard_of
from aiosched.instants import DAY
from aiosched.records import Change, Definition, Record, Row, Spec
from aiosched.stores.guards import Guards
from aiosched.stores.ordered import OrderedEntries

__all__ = ["ADVERTISED", "RESYNC", "Listener", "RowLog", "Shard", "Space"]

ADVERTISED = 7 * DAY
_MAX_SIGNALS = 1_000
_MAX_SPECS = 10_000
RESYNC = Signal("resync")


class Listener:
    """Where the signals for one subscription wait to be read.

    Attributes:
        live: Whether it is among those that the space tells.
        changed: Shards whose changes it is told of.
        done: Shards whose completions it is told of.
        closed: Nobody will read any more.
    """

    __slots__ = ("_signals", "_waiter", "changed", "closed", "done", "live")

    def __init__(self) -> None:
        """Listen to nothing."""
        self.live: bool = False
        self.changed: frozenset[int] = frozenset()
        self.done: frozenset[int] = frozenset()
        self.closed: bool = False
        self._signals: deque[Signal] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def hear(self, signal: Signal) -> None:
        """Keep a signal, or one resync in place of too many."""
        if len(self._signals) >= _MAX_SIGNALS:
            self._signals.clear()
            self._signals.append(RESYNC)
        self._signals.append(signal)
        self._wake()

    async def following(self) -> Signal:
        """Return the next signal, once there is one; for one reader at a time.

        Raises:
            StopAsyncIteration: It is closed.
        """
        while not self._signals and not self.closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.closed:
            raise StopAsyncIteration
        return self._signals.popleft()

    def close(self) -> None:
        """Let whoever waits go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class RowLog:
    """Rows of the ledger, oldest first; each has a number that it keeps.

    The number is how many were written up to it.  It follows from the place, for
    what a peer keeps of each row is what it keeps most of.
    """

    __slots__ = ("rows", "written")

    def __init__(self, rows: Iterable[Row] = (), written: int = 0) -> None:
        """Have these rows, the last of which is number ``written``."""
        self.rows: deque[Row] = deque(rows)
        self.written: int = written

    def append(self, row: Row) -> None:
        """Write a row behind the others."""
        self.rows.append(row)
        self.written += 1

    def newest_first(self, before: int | None) -> Iterator[tuple[int, Row]]:
        """Yield each row with its number.

        Args:
            before: Only those with lower numbers; None: all.
        """
        last = self.written
        skipped = 0 if before is None else max(last + 1 - before, 0)
        following = islice(reversed(self.rows), skipped, None)
        return zip(count(last - skipped, -1), following, strict=False)


class Shard:
    """The records of one shard, with what is derived from them."""

    __slots__ = ("_sorted", "agendas", "at", "records", "rev", "rows")

    def __init__(self) -> None:
        """Start empty."""
        self.records: dict[str, Record] = {}
        self.at: dict[str, int] = {}
        self.agendas: dict[str, OrderedEntries] = {}
        self.rev: int = 0
        self.rows: RowLog = RowLog()
        self._sorted: list[str] | None = None

    def put(self, job_id: str, record: Record) -> None:
        """Keep a record."""
        if job_id not in self.records:
            self._sorted = None
        self.records[job_id] = record

    def drop(self, job_id: str) -> None:
        """Forget a record."""
        del self.records[job_id]
        self._sorted = None

    def place(self, job_id: str, was: str, queue: str, at: int | None) -> None:
        """Move an agenda entry from wherever it was.

        Args:
            job_id: Whose entry it is.
            was: The queue in whose agenda it may be.
            queue: The queue in whose agenda it is to be.
            at: Its new instant; None: it is to be in none.
        """
        before = self.at.get(job_id)
        if before == at and was == queue:
            return
        if before is not None:
            self.agendas[was].remove((before, job_id))
        if at is None:
            self.at.pop(job_id, None)
            return
        self.at[job_id] = at
        agenda = self.agendas.get(queue)
        if agenda is None:
            agenda = self.agendas[queue] = OrderedEntries()
        agenda.add((at, job_id))

    def after(self, last: str | None, limit: int) -> list[Record]:
        """Return up to ``limit`` records by id, from the one after ``last``."""
        if self._sorted is None:
            self._sorted = sorted(self.records)
        first = 0 if last is None else bisect_right(self._sorted, last)
        return [self.records[i] for i in self._sorted[first : first + limit]]


class Space:
    """Everything that a namespace holds."""

    def __init__(self, terms: Terms, epoch: str) -> None:
        """Start empty."""
        self.terms = terms
        self.epoch = epoch
        self.shards: list[Shard] = [Shard() for _ in range(terms.shards)]
        self.members: dict[str, Member] = {}
        self.executors: dict[str, ExecutorInfo] = {}
        self.queues: set[str] = set()
        self.keywords: dict[str, set[str]] = {}
        self.guards: Guards = Guards()
        self.listeners: list[Listener] = []
        self._rows = RowLog()
        self._specs: dict[Spec, Spec] = {}

    # -- records ------------------------------------------------------------------

    def commit(
        self,
        number: int,
        found: Mapping[str, Record | None],
        changes: Mapping[str, Change],
        now: int,
        *,
        signal: bool,
    ) -> None:
        """Write all changes of one decision, and tell of them."""
        shard = self.shards[number]
        entries: list[tuple[str, str, int | None, int]] = []
        final: dict[str, None] = {}
        for job_id, change in changes.items():
            old = found[job_id]
            record = old if change.index_only else change.record
            if record is not None:
                queue = self._write(shard, job_id, old, record, change.at)
                entries.append((job_id, queue, change.at, record.state.seq))
            elif old is not None:
                queue = self._erase(shard, job_id, old)
                entries.append((job_id, queue, None, old.state.seq))
            for row in change.rows:
                self._append(row)
                if row.final:
                    final[row.job_id] = None
        self._trim(now)
        if signal:
            shard.rev += 1
            if entries:
                self.tell(number, Signal("changed", number, tuple(entries)))
        if final:
            self.tell(number, Signal("done", number, ids=tuple(final)))

    def _write(
        self, shard: Shard, job_id: str, old: Record | None, new: Record, at: int | None
    ) -> str:
        spec = new.definition.spec
        was = spec.queue if old is None else old.definition.spec.queue
        if old is None or old.definition.spec is not spec:
            new = self._index(job_id, old, new)
        if old is not new:
            shard.put(job_id, new)
        shard.place(job_id, was, spec.queue, at)
        return spec.queue

    def _index(self, job_id: str, old: Record | None, new: Record) -> Record:
        """Enter queue and keyword; return the record with a shared spec."""
        spec = new.definition.spec
        self.queues.add(spec.queue)
        if old is not None and old.definition.spec.keyword != spec.keyword:
            self._unsubscribe(job_id, old)
        if spec.keyword is not None:
            self.keywords.setdefault(spec.keyword, set()).add(job_id)
        try:
            shared = self._specs.setdefault(spec, spec)
        except TypeError:  # a trigger of the user's own that cannot be hashed
            return new
        if len(self._specs) > _MAX_SPECS:
            self._specs.clear()
        if shared is spec:
            return new
        definition = new.definition
        return Record(
            Definition(definition.id, shared, definition.anchor, definition.arguments),
            new.state,
        )

    def _erase(self, shard: Shard, job_id: str, old: Record) -> str:
        queue = old.definition.spec.queue
        self._unsubscribe(job_id, old)
        shard.place(job_id, queue, queue, None)
        shard.drop(job_id)
        return queue

    def _unsubscribe(self, job_id: str, old: Record) -> None:
        keyword = old.definition.spec.keyword
        if keyword is None:
            return
        ids = self.keywords[keyword]
        ids.discard(job_id)
        if not ids:
            del self.keywords[keyword]

    def head(self, number: int, queue: str, limit: int) -> Head:
        """Return the first entries of one agenda."""
        shard = self.shards[number]
        agenda = shard.agendas.get(queue)
        if agenda is None:
            return Head(number, queue, (), complete=True, rev=shard.rev)
        first, complete = agenda.first(limit)
        entries = tuple([(job_id, at) for at, job_id in first])
        return Head(number, queue, entries, complete, shard.rev)

    # -- the ledger ---------------------------------------------------------------

    def _append(self, row: Row) -> None:
        self._rows.append(row)
        self.shards[shard_of(row.job_id, self.terms.shards)].rows.append(row)

    def _trim(self, now: int) -> int:
        """Let go of rows that are too old or too many; return how many."""
        rows = self._rows.rows
        before = len(rows)
        oldest = now - self.terms.ledger_age
        cap = self.terms.ledger_cap
        while rows and (rows[0].at < oldest or len(rows) > cap):
            gone = rows.popleft()
            self.shards[shard_of(gone.job_id, self.terms.shards)].rows.rows.popleft()
        return before - len(rows)

    def rows(
        self, job_id: str | None, now: int, before: int | None = None
    ) -> Iterator[tuple[int, Row]]:
        """Yield the rows of the shard of a job, or all of them, newest first.

        Args:
            job_id: Whose shard; None: all shards.
            now: What is too old by then is let go of.
            before: Only rows with lower numbers; a shard has numbers of its own.
        """
        self._trim(now)
        rows = self._rows
        if job_id is not None:
            rows = self.shards[shard_of(job_id, self.terms.shards)].rows
        return rows.newest_first(before)

    # -- peers --------------------------------------------------------------------

    def join(self, member: Member, now: int) -> None:
        """Note that a peer lives."""
        self.members[member.id] = replace(member, beat=now)

    def living(self, now: int) -> tuple[Member, ...]:
        """Return the peers that are not overdue, by id; forget the others."""
        limit = now - self.terms.member_timeout
        self.members = {
            key: member for key, member in self.members.items() if member.beat > limit
        }
        return tuple(self.members[key] for key in sorted(self.members))

    def prune(self, now: int) -> int:
        """Forget what is out of date; return how many things went."""
        oldest = now - ADVERTISED
        known = len(self.executors) + len(self.members)
        self.executors = {
            name: info for name, info in self.executors.items() if info.seen >= oldest
        }
        self.living(now)
        kept = len(self.executors) + len(self.members)
        return self._trim(now) + known - kept

    # -- signals ------------------------------------------------------------------

    def tell(self, number: int, signal: Signal) -> None:
        """Let those hear a signal who listen to its shard."""
        done = signal.kind == "done"
        for listener in self.listeners:
            if number in (listener.done if done else listener.changed):
                listener.hear(signal)

    def canary(self, member_id: str) -> None:
        """Let everybody who listens hear that a peer's beat was received."""
        for listener in self.listeners:
            if listener.live:
                listener.hear(Signal("canary", ids=(member_id,)))
