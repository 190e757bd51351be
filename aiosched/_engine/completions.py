"""Completions: who waits for the end of which run, on any peer.

A waiter subscribes to the completions of the job's shard, then looks whether
the run has ended already, and looks again at each completion, resync and beat.
The ledger is the answer; the signal only says when to ask it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aiosched._engine.service import Service
from aiosched.abc import Session, shard_of
from aiosched.clock import Clock
from aiosched.enums import JobState
from aiosched.errors import JobNotFoundError, StoreUnavailableError
from aiosched.instants import SECOND
from aiosched.jobs.snapshots import readable_rows
from aiosched.records import Record, Row
from aiosched.rows import ELSEWHERE

__all__ = ["Completions", "Waiter"]

_SEEN = 10_000
_IDLE = 3600.0
_ROWS = 1000
SLACK = 5 * SECOND
"""How far back a callback looks for outcomes when it hears of a job's end."""


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody who waits for a final outcome.

    Attributes:
        key: The firing; None: the next of the job to end.
        since: Outcomes before this instant are not meant; None: it is not
            known (yet) which were there before.
        known: Firings that had ended before.
    """

    job_id: str
    key: str | None
    shard: int
    future: asyncio.Future[Row]
    since: int | None = None
    known: frozenset[str] = frozenset()

    def wants(self, row: Row) -> bool:
        """Return whether this is the outcome that is waited for."""
        if row.job_id != self.job_id or not row.final:
            return False
        if self.key is not None:
            return row.key == self.key
        if self.since is None:
            return False
        return row.at >= self.since and row.key not in self.known


Listener = Callable[[Row], None]


class Completions(Service):
    """Delivers final outcomes to waiters and callbacks."""

    name = "completions"

    def __init__(
        self, clock: Clock, session: Session, retarget: Callable[[], None]
    ) -> None:
        super().__init__(clock)
        self.session = session
        self.retarget = retarget
        self._waiters: set[Waiter] = set()
        self._listeners: dict[int, tuple[str | None, int, Listener]] = {}
        self._next = 0
        self._swept = session.estimate()
        self._asked: set[str] = set()
        self._all = False
        self._seen: OrderedDict[tuple[str, str, int], None] = OrderedDict()
        self._confirmed: frozenset[int] = frozenset()

    # -- who waits ---------------------------------------------------------

    def shards(self) -> frozenset[int]:
        """Return the shards whose completions matter."""
        wanted = {waiter.shard for waiter in self._waiters}
        for job_id in self._named():
            if job_id is None:
                return frozenset(range(self.session.terms.shards))
            wanted.add(shard_of(job_id, self.session.terms.shards))
        return frozenset(wanted)

    def wait(self, job_id: str, key: str | None, since: int | None = None) -> Waiter:
        """Enter a waiter; ``leave`` it when done.

        Args:
            job_id: The job.
            key: The firing; None: the next of the job to end, once ``after``
                has said after what.
            since: No outcome of the firing is older than this instant.
        """
        shard = shard_of(job_id, self.session.terms.shards)
        future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        waiter = Waiter(job_id, key, shard, future, since)
        self._waiters.add(waiter)
        self.retarget()
        self._asked.add(job_id)
        self.wake()
        return waiter

    def after(self, waiter: Waiter, before: Sequence[Row]) -> None:
        """Let a waiter want what ends after these outcomes, newest first.

        Told by the outcomes themselves and not by a clock: one that comes
        between reading them and this call is found by the look that follows.
        """
        waiter.since = before[0].at if before else 0
        waiter.known = frozenset(row.key for row in before)
        self._asked.add(waiter.job_id)
        self.wake()

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting; safe to call twice."""
        self._waiters.discard(waiter)
        self.retarget()

    def listen(self, job_id: str | None, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` for each final outcome from now on; None: any job's.

        Returns:
            A function that ends it.
        """
        number = self._next = self._next + 1
        self._listeners[number] = (job_id, self.session.estimate(), listener)
        self.retarget()

        def off() -> None:
            self._listeners.pop(number, None)
            self.retarget()

        return off

    # -- what is heard -----------------------------------------------------

    def confirmed(self, shards: frozenset[int]) -> None:
        """Look again for those whose shard is listened to only now."""
        new, self._confirmed = shards - self._confirmed, shards
        self._asked.update(w.job_id for w in self._waiters if w.shard in new)
        self.wake()

    def hear(self, job_ids: Iterable[str]) -> None:
        """Take a completion signal."""
        waited = {waiter.job_id for waiter in self._waiters}
        named = self._named()
        for job_id in job_ids:
            if job_id in waited or job_id in named or None in named:
                self._asked.add(job_id)
        if self._asked:
            self.wake()

    def resync(self) -> None:
        """Messages may have been lost: look for everybody."""
        self._all = True
        self.wake()

    def deliver(self, rows: Iterable[Row]) -> None:
        """Hand final outcomes on; each reaches a listener once."""
        if not self._waiters and not self._listeners:
            return
        for row in rows:
            if not row.final:
                continue
            for waiter in [w for w in self._waiters if w.wants(row)]:
                if not waiter.future.done():
                    waiter.future.set_result(row)
            # A firing of an earlier life of the id may have had the same key.
            identity = _identity(row)
            if not self._listeners or identity in self._seen:
                continue
            self._seen[identity] = None
            if len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
            for job_id, since, listener in list(self._listeners.values()):
                if row.at >= since and job_id in (None, row.job_id):
                    listener(row)

    def _named(self) -> set[str | None]:
        return {job_id for job_id, _, _ in self._listeners.values()}

    # -- the loop ----------------------------------------------------------

    async def run(self) -> None:
        """Look for outcomes whenever there is a reason to.

        And once a beat for everybody, however many signals come meanwhile: the
        one that was lost may be the one that matters.
        """
        interval = self.session.terms.beat / SECOND
        due = self.clock.monotonic() + interval
        while True:
            waiting = bool(self._waiters or self._listeners)
            if not self._asked and not self._all:
                left = due - self.clock.monotonic()
                await self.doze(left if waiting else max(_IDLE, interval))
            if waiting and self.clock.monotonic() >= due:
                self._all = True
            if self._all:
                due = self.clock.monotonic() + interval
            # What is asked from here on is asked again: it may have happened
            # after this look has read.
            everything, self._all = self._all, False
            asked, self._asked = self._asked, set()
            try:
                await self._answer(asked, everything=everything)
            except StoreUnavailableError:
                self._asked |= asked
                self._all = self._all or everything
                raise
            self.alive()

    async def _answer(self, asked: set[str], *, everything: bool) -> None:
        if everything:
            asked.update(w.job_id for w in self._waiters)
            await self._sweep()
        for job_id in sorted(asked):
            self.step()
            record, rows = await self.look(job_id)
            self.deliver(rows)
            self._give_up(job_id, record)

    async def _sweep(self) -> None:
        """Hand on what listeners may not have heard of, from the ledger."""
        began, since = self.session.estimate(), self._swept - SLACK
        names = self._named()
        for job_id in [None] if None in names else sorted(map(str, names)):
            rows: list[Row] = []
            cursor: str | None = None
            while True:
                self.step()
                page = await self.session.ledger(
                    job_id, since=since, limit=_ROWS, cursor=cursor
                )
                rows += page
                if page.complete:
                    break
                cursor = page.cursors[-1]
            self.deliver(reversed(rows))
        self._swept = began

    async def look(self, job_id: str) -> tuple[Record | None, list[Row]]:
        """Return the job's record and recent final outcomes, oldest first."""
        record = (await self.session.read([job_id])).get(job_id)
        rows = [] if record is None else list(readable_rows(record.state.recent))
        if record is None or not self._told(record, rows):
            rows = await self._ledger(job_id)
        rows.sort(key=lambda row: row.at)
        return record, [r for r in rows if r.final and r.value != ELSEWHERE]

    async def _ledger(self, job_id: str) -> list[Row]:
        """Read back as far as the oldest firing that is waited for."""
        asked = [w.since or 0 for w in self._waiters if w.job_id == job_id and w.key]
        rows: list[Row] = []
        cursor: str | None = None
        while True:
            page = await self.session.ledger(job_id, limit=_ROWS, cursor=cursor)
            rows += page
            if page.complete or not asked or page[-1].at < min(asked):
                return rows
            cursor = page.cursors[-1]

    def _give_up(self, job_id: str, record: Record | None) -> None:
        """Tell those who wait for what can no longer come."""
        gone = record is None or record.state.status is JobState.FINISHED
        still_open = set() if record is None else _open_keys(record)
        for waiter in [w for w in self._waiters if w.job_id == job_id]:
            if waiter.key is None:
                hopeless = gone and waiter.since is not None
            else:
                hopeless = waiter.key not in still_open
            if hopeless and not waiter.future.done():
                waiter.future.set_exception(JobNotFoundError(job_id))

    def _told(self, record: Record, recent: Sequence[Row]) -> bool:
        """Return whether a record's own rows hold all that is asked about it."""
        job_id = record.definition.id
        waiters = [w for w in self._waiters if w.job_id == job_id]
        still_open = _open_keys(record)
        keys = {w.key for w in waiters if w.key is not None} - still_open
        if keys - {row.key for row in recent}:
            return False
        if any(row.value == ELSEWHERE for row in recent):
            return False
        if len(recent) < record.definition.spec.keep_last:
            return True
        since = [w.since for w in waiters if w.key is None and w.since is not None]
        heard = bool(recent) and _identity(recent[-1]) in self._seen
        if {None, job_id} & self._named() and not heard:
            since.append(self._swept - SLACK)
        return not since or (bool(recent) and recent[-1].at < min(since))


def _identity(row: Row) -> tuple[str, str, int]:
    return row.job_id, row.key, row.fence or row.at


def _open_keys(record: Record) -> set[str]:
    keys = {run.firing.key for run in record.state.runs}
    keys.update(firing.key for firing in record.state.waiting)
    return keys
