"""The settler: outcomes into the store, gathered while its connection is busy.

No delay is added to gather a batch: under load, settlements batch by
themselves while the one before is under way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
from aiosched.logs import log
from aiosched.records import Change, Definition, Ended, Record, Row

__all__ = ["Settler"]

_ROWS = 1000
"""The newest rows of a job among which the end of a run is looked for."""

_AT_ONCE = 4
"""Transactions of one peer under way at once, where one may be about all shards.

More than one only if another is full: on a slow link one would be too few.
"""

_NEWS, _SILENT = -1, -2
"""Instead of a shard, where one transaction may be about all of them."""

_Outcome = tuple[Live, Ended, bool]
"""A run, how it ended, and whether others have to hear of it.

What goes on moves from the end of its lease to a nearer instant: the backups
must hear of it, or they look only when that lease has ended, should the owner
die meanwhile.
"""

Settled = Callable[[Sequence[tuple[Live, Change | None]]], None]
"""Takes runs that are over, with what was written of each; None: nothing."""
Told = Callable[[str, Change, bool, Definition | None], None]
"""Takes a job's id, a change to it, whether it has finished, and what it was."""


@dataclass(slots=True, eq=False)
class _Writer:
    """Writes what is ready in one place, batch after batch.

    Attributes:
        place: A shard, or all of them.
        since: The monotonic second of its last sign of life.
        batch: What it is writing.
    """

    place: int
    since: float
    batch: Sequence[_Outcome] = ()


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
        found: Callable[[str, Change], None],
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
        self._ready: dict[int, list[_Outcome]] = {}
        self._writers: set[_Writer] = set()
        self._at_once: Counter[int] = Counter()
        self.found = found
        self.closing = False
        self.healthy = True
        self.trouble = ""
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, live: Live, ended: Ended) -> None:
        """Take an outcome; it is written as soon as its shard is free."""
        news = ended.finish or _goes_on(live)
        spanning = self.session.spanning
        place = live.shard
        if spanning:
            place = _NEWS if news or not self.owns(live) else _SILENT
        ready = self._ready.setdefault(place, [])
        ready.append((live, ended, news))
        self._idle.clear()
        at_once = self._at_once.get(place, 0)
        overfull = spanning and len(ready) > 1 and len(ready) % MAX_BATCH == 1
        if not at_once or (overfull and at_once < _AT_ONCE):
            self._begin(_Writer(place, self.clock.monotonic()))

    def _begin(self, writer: _Writer) -> None:
        self._writers.add(writer)
        self._at_once[writer.place] += 1
        work = self._go_on(writer)
        try:
            task = self.spawn(work, name=f"aiosched settle {writer.place}")
        except RuntimeError:
            work.close()
            self._cut_off(writer)
        else:
            task.add_done_callback(partial(self._written, writer))

    def overdue(self) -> float:
        """Return for how many seconds the writing of outcomes has been overdue."""
        oldest = min((writer.since for writer in self._writers), default=None)
        if oldest is None:
            return 0.0
        return max(self.clock.monotonic() - oldest - PATIENCE, 0.0)

    def backlog(self) -> int:
        """Return how many outcomes are known and not yet recorded."""
        writing = [writer.batch for writer in self._writers]
        waiting = [*self._ready.values(), *writing]
        return sum(len(batch) for batch in waiting)

    async def flush(self) -> None:
        """Wait until everything that was put has been written."""
        await self._idle.wait()

    def _written(self, writer: _Writer, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # if that was before its first step, nobody has said so
            self._cut_off(writer)

    def _ended(self, writer: _Writer) -> None:
        if writer in self._writers:
            self._writers.discard(writer)
            self._at_once[writer.place] -= 1
            if not self._at_once[writer.place]:
                del self._at_once[writer.place]
        if not self._writers and not self._ready:
            self._idle.set()

    def _cut_off(self, writer: _Writer) -> None:
        """Give outcomes up: the loop or the engine ends, and cancels what writes."""
        given_up = [*writer.batch, *self._ready.pop(writer.place, ())]
        writer.batch = ()
        self._ended(writer)
        why = (
            "the store did not confirm it before the shutdown ended"
            if self.closing
            else "its loop was ended before shutdown() was awaited"
        )
        for live, *_ in given_up:
            log.warning(
                "the end of a run of %s is not recorded: %s",
                live.job_id,
                why,
                extra=live.said("cut_off"),
            )

    async def _go_on(self, writer: _Writer) -> None:
        try:
            while ready := self._ready.get(writer.place):
                batch, ids = _take(ready)
                if not ready:
                    del self._ready[writer.place]
                writer.batch = batch
                await self._write(batch, ids)
                writer.batch = ()
                writer.since = self.clock.monotonic()
        except asyncio.CancelledError:
            self._cut_off(writer)
            raise
        finally:
            self._ended(writer)

    async def _write(self, batch: Sequence[_Outcome], ids: Sequence[str]) -> None:
        by_id: dict[str, list[tuple[int, Ended]]] = {}
        for live, ended, _ in batch:
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

        signal = any(news for *_, news in batch) or not self._all_owned(batch)
        changes, doubtful = await self._through_outages(ids, decide, signal=signal)
        if not signal:
            await self._tell_of(batch, changes)
        told = {i: (change, i in finished) for i, change in changes.items()}
        closed: list[tuple[Live, Ended, Change | None]] = []
        for live, ended, _ in batch:
            ours = live.fence in written.get(live.job_id, ())
            closed.append((live, ended, changes.get(live.job_id) if ours else None))
        told.update(await self._hand_over(closed, doubtful=doubtful))
        if not self.bus.silent:
            was = {live.job_id: live.start.definition for live, *_ in batch}
            for job_id, (change, over) in told.items():
                self.told(job_id, change, over, was.get(job_id))

    def _all_owned(self, batch: Sequence[_Outcome]) -> bool:
        one_an_agenda = {(live.shard, live.queue): live for live, *_ in batch}
        return all(map(self.owns, one_an_agenda.values()))

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
                    self.found(live.job_id, change)
                    earlier[live.job_id] = change, finishes(None, change)
            if change is None:
                self._too_late(live)
            done.append((live, change))
        self.settled(done)
        return earlier

    async def _tell_of(
        self, batch: Sequence[_Outcome], changes: Mapping[str, Change]
    ) -> None:
        """Let others hear of jobs whose queue changed while they ran.

        They may be the owners of the new one, and the end was written silently.
        """
        ids = {
            live.job_id
            for live, *_ in batch
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
            extra=live.said("fenced"),
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
    ready: list[_Outcome],
) -> tuple[list[_Outcome], list[str]]:
    """Take a batch of at most ``MAX_BATCH`` jobs from the front."""
    ids: dict[str, None] = {}
    count = 0
    for live, *_ in ready:
        if live.job_id not in ids and len(ids) == MAX_BATCH:
            break
        ids[live.job_id] = None
        count += 1
    batch = ready[:count]
    del ready[:count]
    return batch, list(ids)
