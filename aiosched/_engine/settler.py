"""The settler: outcomes into the store, gathered while its connection is busy.

No delay is added to gather a batch: under load, settlements batch by
themselves while the one before is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from aiosched import planning
from aiosched._engine.events import EventBus
from aiosched._engine.live import Live
from aiosched._engine.service import PATIENCE
from aiosched._engine.telling import entries_again, finishes
from aiosched.abc import MAX_BATCH, Session
from aiosched.clock import Clock
from aiosched.enums import Outcome, RowKind
from aiosched.errors import StoreConflictError, StoreDataError, StoreUnavailableError
from aiosched.records import Change, Definition, Ended, Record, Row

__all__ = ["Settler"]

log = logging.getLogger("aiosched")

_ROWS = 1000
"""The newest rows of a job among which the end of a run is looked for."""

Settled = Callable[[Sequence[tuple[Live, Change | None]]], None]
"""Takes runs that are over, with what was written of each; None: nothing."""
Told = Callable[[str, Change, bool, Definition | None], None]
"""Takes a job's id, a change to it, whether it has finished, and what it was."""


class Settler:
    """Writes the ends of runs; keeps them through outages.

    Attributes:
        name: For health.
        closing: A shutdown has begun.
        healthy: False between a failure and the next success.
    """

    name = "settler"

    def __init__(
        self,
        clock: Clock,
        session: Session,
        bus: EventBus,
        owner: str,
        owns: Callable[[Live], bool],
        settled: Settled,
        told: Told,
        unreadable: Callable[[StoreDataError], None],
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self.clock = clock
        self.session = session
        self.bus = bus
        self.owner = owner
        self.owns = owns
        self.settled = settled
        self.told = told
        self.unreadable = unreadable
        self.spawn = spawn
        self._ready: dict[int, list[tuple[Live, Ended]]] = {}
        self._writing: dict[int, list[tuple[Live, Ended]]] = {}
        self.closing = False
        self.healthy = True
        self.trouble = ""
        self._busy: dict[int, float] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, live: Live, ended: Ended) -> None:
        """Take an outcome; it is written as soon as its shard is free."""
        self._ready.setdefault(live.shard, []).append((live, ended))
        self._idle.clear()
        if live.shard not in self._busy:
            self._busy[live.shard] = self.clock.monotonic()
            work = self._shard(live.shard)
            try:
                task = self.spawn(work, name=f"aiosched settle {live.shard}")
            except RuntimeError:
                work.close()
                self._cut_off(live.shard)
            else:
                task.add_done_callback(partial(self._written, live.shard))

    def overdue(self) -> float:
        """Return for how many seconds the writing of outcomes has been overdue."""
        oldest = min(self._busy.values(), default=None)
        if oldest is None:
            return 0.0
        return max(self.clock.monotonic() - oldest - PATIENCE, 0.0)

    async def flush(self) -> None:
        """Wait until everything that was put has been written."""
        await self._idle.wait()

    def _written(self, shard: int, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # if that was before its first step, nobody has said so
            self._cut_off(shard)

    def _cut_off(self, shard: int) -> None:
        """Give outcomes up: the loop or the engine ends, and cancels what writes."""
        given_up = [*self._writing.pop(shard, ()), *self._ready.pop(shard, ())]
        self._busy.pop(shard, None)
        if not self._busy and not self._ready:
            self._idle.set()
        why = (
            "the store did not confirm it before the shutdown ended"
            if self.closing
            else "its loop was ended before shutdown() was awaited"
        )
        for live, _ in given_up:
            log.warning(
                "the end of a run of %s is not recorded: %s",
                live.job_id,
                why,
                extra={"action": "cut_off", "job_id": live.job_id},
            )

    async def _shard(self, shard: int) -> None:
        try:
            while ready := self._ready.get(shard):
                batch, ids = _take(ready)
                if not ready:
                    del self._ready[shard]
                self._writing[shard] = batch
                await self._write(batch, ids)
                del self._writing[shard]
                self._busy[shard] = self.clock.monotonic()
        except asyncio.CancelledError:
            self._cut_off(shard)
            raise
        finally:
            self._busy.pop(shard, None)
            if not self._busy and not self._ready:
                self._idle.set()

    async def _write(self, batch: list[tuple[Live, Ended]], ids: Sequence[str]) -> None:
        by_id: dict[str, list[tuple[int, Ended]]] = {}
        for live, ended in batch:
            by_id.setdefault(live.job_id, []).append((live.fence, ended))
        written: dict[str, frozenset[int]] = {}
        finished: set[str] = set()

        def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
            changes: dict[str, Change] = {}
            written.clear()
            finished.clear()
            for job_id, record in records.items():
                change, fences = planning.settle_all(
                    record, self.owner, by_id[job_id], now
                )
                if change is not None:
                    changes[job_id] = change
                    written[job_id] = fences
                    if record is not None and finishes(record.state, change):
                        finished.add(job_id)
            return changes

        # What goes on moves from the end of its lease to a nearer instant: the
        # backups must hear of it, or they look only when that lease has ended,
        # should the owner die meanwhile.
        one_a_queue = {live.queue: live for live, _ in batch}.values()
        signal = not all(map(self.owns, one_a_queue)) or any(
            ended.finish or _goes_on(live) for live, ended in batch
        )
        changes, doubtful = await self._through_outages(ids, decide, signal=signal)
        if not signal:
            await self._tell_of(batch, changes)
        told = {i: (change, i in finished) for i, change in changes.items()}
        closed: list[tuple[Live, Ended, Change | None]] = []
        for live, ended in batch:
            ours = live.fence in written.get(live.job_id, ())
            closed.append((live, ended, changes.get(live.job_id) if ours else None))
        told.update(await self._hand_over(closed, doubtful=doubtful))
        if not self.bus.silent:
            was = {live.job_id: live.start.definition for live, _ in batch}
            for job_id, (change, over) in told.items():
                self.told(job_id, change, over, was.get(job_id))

    async def _hand_over(
        self,
        batch: Sequence[tuple[Live, Ended, Change | None]],
        *,
        doubtful: bool,
    ) -> dict[str, tuple[Change, bool]]:
        """Tell what was written of runs.

        Args:
            batch: The runs, how they ended, and what was written just now; None:
                nothing, for an earlier try has, or they are no longer held.
            doubtful: Whether an earlier try may have been carried out.

        Returns:
            What earlier tries have written, by id, and whether the job is over.
        """
        earlier: dict[str, tuple[Change, bool]] = {}
        done: list[tuple[Live, Change | None]] = []
        for live, ended, written in batch:
            change = written
            if change is None and doubtful:
                self.settled(done)  # before the store is asked again
                done = []
                change = await self._applied(live, ended)
                if change is not None:
                    earlier[live.job_id] = change, finishes(None, change)
            if change is None:
                self._too_late(live)
            done.append((live, change))
        self.settled(done)
        return earlier

    async def _tell_of(
        self, batch: list[tuple[Live, Ended]], changes: Mapping[str, Change]
    ) -> None:
        """Let others hear of jobs whose queue changed while they ran.

        They may be the owners of the new one, and the end was written silently.
        """
        ids = {
            live.job_id
            for live, _ in batch
            if (change := changes.get(live.job_id)) is not None
            and change.record is not None
            and change.record.definition.spec.queue != live.queue
        }
        if ids:
            with suppress(StoreUnavailableError, StoreConflictError):
                # The index is compared with the records all the time, too.
                await self.session.transact(sorted(ids), entries_again)

    def _too_late(self, live: Live) -> None:
        self.bus.emit("fenced", live.job_id, fence=live.fence)
        log.warning(
            "the outcome of a run of %s came too late and was not recorded",
            live.job_id,
            extra={"action": "fenced", "job_id": live.job_id},
        )

    async def _pause(self, error: Exception, seconds: float) -> None:
        """Wait before the next try; garbage may be put right by somebody."""
        self.healthy = False
        self.trouble = str(error)
        if isinstance(error, StoreDataError):
            self.unreadable(error)
        await self.clock.sleep(seconds)

    async def _applied(self, live: Live, ended: Ended) -> Change | None:
        """Return what an earlier try wrote, whose answer was lost; None: nothing.

        As a change to the record as it is now, with the rows of that commit.
        """
        pause = 0.05
        while True:
            try:
                rows = await self._rows(live, ended)
                records = await self.session.read([live.job_id]) if rows else {}
                break
            except (StoreUnavailableError, StoreDataError) as error:
                await self._pause(error, pause)
                pause = min(pause * 2, 1.0)
        if not rows:
            return None
        record = records.get(live.job_id)
        if record is None:
            return Change(None, rows=rows)
        at = planning.instant(record.definition, record.state)
        return Change(record, at, rows=rows)

    async def _rows(self, live: Live, ended: Ended) -> tuple[Row, ...]:
        """Return what this peer wrote at the end of a run, if it did, oldest first.

        And the row of the job's removal, if it was removed meanwhile.
        """
        kinds = {RowKind.from_code(ended.outcome.code)}
        if ended.outcome is Outcome.CANCELLED:
            kinds.add(RowKind.HANDED_BACK)
        page = await self.session.ledger(
            live.job_id, since=live.start.run.started, limit=_ROWS
        )
        written = {
            row.at
            for row in page
            if (row.fence, row.owner) == (live.fence, self.owner) and row.kind in kinds
        }
        return tuple(
            row
            for row in reversed(page)
            if (written and row.kind is RowKind.REMOVED)
            or (row.at in written and row.owner == self.owner)
        )

    async def _through_outages(
        self,
        ids: Sequence[str],
        decide: Callable[[Mapping[str, Record | None], int], dict[str, Change]],
        *,
        signal: bool,
    ) -> tuple[dict[str, Change], bool]:
        """Write; return also whether an earlier try may have been carried out."""
        pause, doubtful = 0.05, False
        while True:
            try:
                changes = await self.session.transact(ids, decide, signal=signal)
            except (
                StoreUnavailableError,
                StoreConflictError,
                StoreDataError,
            ) as error:
                # What cannot be read may have come to light in mid-write.
                doubtful = doubtful or not isinstance(error, StoreConflictError)
                await self._pause(error, pause)
                pause = min(pause * 2, 1.0)
            else:
                self.healthy = True
                return changes, doubtful


def _goes_on(live: Live) -> bool:
    """Return whether the job may have something to do after this run."""
    definition, firing = live.start.definition, live.start.run.firing
    trigger = definition.spec.trigger
    if definition.spec.retry is not None:
        return True
    try:
        return (
            trigger is not None
            and trigger.next(firing.slot, definition.anchor) is not None
        )
    except Exception:  # a trigger of the user's own; planning says what comes of it
        return True


def _take(
    ready: list[tuple[Live, Ended]],
) -> tuple[list[tuple[Live, Ended]], list[str]]:
    """Take a batch of at most ``MAX_BATCH`` jobs from the front."""
    ids: dict[str, None] = {}
    count = 0
    for live, _ in ready:
        if live.job_id not in ids and len(ids) == MAX_BATCH:
            break
        ids[live.job_id] = None
        count += 1
    batch = ready[:count]
    del ready[:count]
    return batch, list(ids)
