"""The attender: due entries into starts, by one transaction a batch.

Looking makes progress.  Whatever a look finds, the entry afterwards stands at
another instant, has left the agenda, or is remembered as one that this peer
cannot act on, so that nobody spins over it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from aiosched import planning
from aiosched._engine.alarms import Alarms
from aiosched._engine.events import EventBus
from aiosched._engine.heads import Due, Heads
from aiosched._engine.live import Live
from aiosched._engine.membership import Membership
from aiosched._engine.needs import Need, need_of, need_of_definition
from aiosched._engine.runner import Runner
from aiosched._engine.telling import entries_again, finishes, tell
from aiosched.abc import Session
from aiosched.enums import Reason
from aiosched.errors import StoreConflictError, StoreDataError, StoreUnavailableError
from aiosched.instants import SECOND
from aiosched.records import Change, Definition, Record

__all__ = ["Attender"]


class Attender:
    """Claims for one peer."""

    def __init__(
        self,
        session: Session,
        heads: Heads,
        membership: Membership,
        runner: Runner,
        bus: EventBus,
        owner: str,
        can_run: Callable[[str], bool],
        limit: int,
        began: Callable[[int], None],
        unreadable: Callable[[StoreDataError], None],
        alarms: Alarms,
    ) -> None:
        self.session = session
        self.heads = heads
        self.membership = membership
        self.runner = runner
        self.bus = bus
        self.owner = owner
        self.can_run = can_run
        self.limit = limit
        self.began = began
        self.unreadable = unreadable
        self.alarms = alarms
        self.accepting = True
        self.held = False
        self.free_since = -math.inf
        self._reserved = 0
        self._leases: dict[str, int] = {}

    # -- capacity ----------------------------------------------------------

    def free(self) -> int:
        """Return how many more runs this peer takes by itself."""
        return 0 if self.held else self.places()

    def places(self) -> int:
        """Return how many more runs there is room for."""
        if not self.accepting:
            return 0
        return self.limit - len(self.runner.live) - self._reserved

    def full(self) -> bool:
        """Return whether it claims, and has no place for any more now."""
        return self.accepting and not self.held and self.places() <= 0

    def freeing(self, monotonic: Callable[[], float]) -> None:
        """Note, before a place becomes free, that there was none until now.

        Args:
            monotonic: Tells the second, if it has to be known.
        """
        if self.free() <= 0:
            self.free_since = monotonic()

    def reserve(self, count: int) -> None:
        """Set places aside for claims that are under way."""
        self._reserved += count

    def release(self, count: int) -> None:
        """Give them back."""
        self._reserved -= count

    # -- own leases --------------------------------------------------------

    def mine(self, due: Due) -> bool:
        """Return whether the entry is only the lease end of an own run."""
        if due.job_id not in self.runner.live:
            self._leases.pop(due.job_id, None)
            return False
        return self._leases.get(due.job_id) == due.at

    def moved(self, job_id: str, change: Change) -> None:
        """Take over a commit of this peer's own."""
        record = change.record
        runs = () if record is None else record.state.runs
        first = change.at
        if runs and first is not None:
            ends = [run.until for run in runs if run.owner == self.owner]
            if len(ends) == len(runs) and min(ends) == first:
                self._leases[job_id] = first
                return
        self._leases.pop(job_id, None)

    # -- attending ---------------------------------------------------------

    def _learn(self, due: Due, record: Record) -> None:
        """Take this job's turns among the peers that can run it."""
        if self.membership.mixed:
            turn = self.membership.turn(due.key, need_of(record))
            self.heads.set_turn(due.key, due.job_id, turn)

    async def attend(
        self,
        batch: Sequence[Due],
        *,
        capacity: int | None = None,
        begun: Callable[[Live], None] | None = None,
    ) -> bool:
        """Look at due entries, in one transaction.

        Args:
            batch: The entries, of one shard if the session is not spanning.
            capacity: How many runs may begin; None: one for each entry.
            begun: Told of each run that begins.

        Returns:
            Whether the store answered.
        """
        look = _Look(self, batch, len(batch) if capacity is None else capacity)
        agendas = {due.key for due in batch}
        owned = all(self.heads.rank(key) == 0 for key in agendas)
        try:
            changes = await self.session.transact(
                [due.job_id for due in batch],
                look.decide,
                claim=True,
                signal=not owned,
            )
        except (StoreUnavailableError, StoreConflictError) as error:
            # Nothing is known to be written; what may have been comes back
            # by itself when its lease ends.
            self.heads.invalidate({due.key for due in batch})
            return isinstance(error, StoreConflictError)
        except StoreDataError as error:
            self.unreadable(error)
            self.heads.invalidate({due.key for due in batch})
            return False
        now = self.session.estimate()
        for due in batch:
            change = changes.get(due.job_id)
            if change is None:
                self._unchanged(due, look, now)
            else:
                self._changed(due, look, change, now, begun)
        if owned:
            await self._tell_holders(changes)
        return True

    async def _tell_holders(self, changes: Mapping[str, Change]) -> None:
        """Let other peers hear that their runs are to stop.

        An owner's commits are silent, so the entry is written once more.
        """
        ids = [job_id for job_id, c in changes.items() if self._stops_others(c)]
        if not ids:
            return

        with suppress(StoreUnavailableError, StoreConflictError):
            # They hear of it at their next extension all the same.
            await self.session.transact(ids, entries_again)

    def _stops_others(self, change: Change) -> bool:
        if change.record is not None:
            for run in change.record.state.runs:
                if run.cancel is not Reason.NONE and run.owner != self.owner:
                    return True
        return False

    def _changed(
        self,
        due: Due,
        look: _Look,
        change: Change,
        now: int,
        begun: Callable[[Live], None] | None,
    ) -> None:
        self.moved(due.job_id, change)
        if self.membership.mixed and change.record is not None:
            self._learn(due, change.record)
        self.heads.attended(due, change)
        finished = due.job_id in look.finished
        if finished or change.rows:
            was = look.was.get(due.job_id)
            tell(self.bus, due.job_id, change, finished=finished, definition=was)
        self.stop(change)
        if change.starts:
            self._start(due, change, now, begun)
            if self.heads.rank(due.key):
                self.membership.suspect(due.key, _need_of_start(change))

    def _unchanged(self, due: Due, look: _Look, now: int) -> None:
        if due.job_id in look.elsewhere:
            self.heads.update(due.key, due.job_id, None)
        elif due.job_id in look.held:
            self.heads.again(due, look.held[due.job_id])
        elif due.job_id in look.early:
            # This peer's estimate of the store's clock runs ahead.
            wait = max(due.at - look.now, 0) + SECOND // 1000
            self.heads.again(due, now + wait)
        elif due.job_id in look.starved:
            self.heads.again(due, due.at)
        elif due.job_id in look.idle:
            self._cannot(due, *look.idle[due.job_id])
        elif due.job_id in look.seen:
            self.heads.invalidate([due.key])  # somebody else was first
        else:
            self.heads.ignore(due.key, due.job_id, due.at)
            self.alarms.unreadable(due)

    def _start(
        self,
        due: Due,
        change: Change,
        now: int,
        begun: Callable[[Live], None] | None,
    ) -> None:
        for start in change.starts:
            # Stopped or blocked between the claim and here for longer than the
            # lease: it is somebody else's, and nobody has entered it here.
            # What comes between here and there, the run itself finds out.
            if start.run.until > now:
                live = self.runner.start(start, due.key[0], now)
                self.began(live.shard)
                if begun is not None:
                    begun(live)

    def _cannot(self, due: Due, record: Record, until: int | None) -> None:
        self.heads.ignore(due.key, due.job_id, due.at, until)
        self._learn(due, record)
        if not self.can_run(record.definition.spec.executor):
            self.alarms.idle(due, record)

    def stop(self, change: Change) -> None:
        """Stop own runs that a decision of this peer's has cancelled."""
        if change.record is None:
            return
        for run in change.record.state.runs:
            if run.cancel is not Reason.NONE:
                for live in self.runner.live.of(change.record.definition.id):
                    if live.fence == run.fence:
                        self.runner.cancel(live, run.cancel)


def _need_of_start(change: Change) -> Need:
    # The record may be gone: a one-time job that was taken for the last time.
    if change.record is not None:
        return need_of(change.record)
    return need_of_definition(change.starts[0].definition)


class _Look:
    """One look at a batch; ``decide`` may be called again, on newer records.

    Attributes:
        seen: Ids that were there at all.
        idle: id -> record, of due jobs that this peer cannot act on, and
            when there may be something in them that it can do.
        early: Ids that are not due yet by the store's clock.
        starved: Ids for which the batch had no capacity left.
        held: id -> instant before which a takeover has to wait.
        elsewhere: Ids of jobs that have moved to another queue.
        finished: Ids of jobs that come to their end with what was decided.
        was: id -> definition, of jobs of which nothing is left.
        capable: executor -> whether this peer has it, of those asked for.
    """

    def __init__(self, attender: Attender, batch: Sequence[Due], capacity: int) -> None:
        self.attender = attender
        self.expected = {due.job_id: due.at for due in batch}
        self.queues = {due.job_id: due.key[1] for due in batch}
        self.capacity = capacity
        self._clear()

    def _clear(self) -> None:
        self.seen: set[str] = set()
        self.idle: dict[str, tuple[Record, int | None]] = {}
        self.early: set[str] = set()
        self.starved: set[str] = set()
        self.now = 0
        self.held: dict[str, int] = {}
        self.elsewhere: set[str] = set()
        self.finished: set[str] = set()
        self.was: dict[str, Definition] = {}
        self.capable: dict[str, bool] = {}

    def decide(
        self, records: Mapping[str, Record | None], now: int
    ) -> dict[str, Change]:
        """Attend each record, counting capacity inside this call."""
        self._clear()
        if self.attender.membership.lapsed():
            self.seen.update(records)  # to be read again after the next beat
            return {}
        self.now = now
        left = self.capacity
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            self.seen.add(job_id)
            change = self._one(job_id, record, now, left)
            if change is not None:
                left -= len(change.starts)
                changes[job_id] = change
                if record is not None and change.record is None:
                    self.was[job_id] = record.definition
                if record is not None and finishes(record.state, change):
                    self.finished.add(job_id)
        return changes

    def _one(
        self, job_id: str, record: Record | None, now: int, left: int
    ) -> Change | None:
        if record is None:
            return Change(None, index_only=True)
        attender, definition = self.attender, record.definition
        if definition.spec.queue != self.queues[job_id]:
            self.elsewhere.add(job_id)
            return None
        hold = attender.membership.hold_until
        if now < hold and any(
            run.until <= now and run.owner != attender.owner
            for run in record.state.runs
        ):
            self.held[job_id] = hold
            return None
        executor = definition.spec.executor
        capable = self.capable.get(executor)
        if capable is None:
            capable = self.capable[executor] = attender.can_run(executor)
        change = planning.attend(
            definition,
            record.state,
            now,
            left if capable else 0,
            attender.owner,
            attender.session.terms.lease,
            # What nobody can run is parked: no slot of it lapses meanwhile.
            slots=capable or attender.alarms.gap(record) is None,
        )
        if change is not None:
            return change
        at = planning.instant(definition, record.state)
        if at != self.expected[job_id]:
            return Change(record, at, index_only=True)
        if self.expected[job_id] > now:
            self.early.add(job_id)
        elif capable and left <= 0:
            self.starved.add(job_id)
        else:
            until = planning.later(definition, record.state, now)
            self.idle[job_id] = record, until
        return None
