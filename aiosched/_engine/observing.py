"""Who watches a peer from inside: what it writes, and the runs that it does.

Metrics and traces stand on this.  Where nobody watches, none of it exists: the
engine then has the store's own session, and a run no step more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiosched.abc import (
    MAX_BATCH,
    Beat,
    Decide,
    ExecutorInfo,
    Head,
    Mended,
    Page,
    Pulse,
    RowPage,
    Session,
    SignalStream,
)
from aiosched.clock import Clock
from aiosched.errors import StoreError
from aiosched.logs import log
from aiosched.records import Change, Ended, Record, Start

__all__ = ["Contained", "ObservedRun", "ObservedSession", "Observer", "Wrote"]


@dataclass(frozen=True, slots=True)
class Wrote:
    """A commit of this peer's.

    Attributes:
        before: The records as they were read for it, by id; those of a commit
            that was found out later are missing.
        changes: What was written, by id.
        claim: Whether it was to claim what is due.
        asked: Ids that it was about.
        seconds: From the call to the answer.
    """

    before: Mapping[str, Record | None]
    changes: Mapping[str, Change]
    claim: bool
    asked: int
    seconds: float


class Observer:
    """Watches one scheduler or several; all of it does nothing here.

    Every method is called on the scheduler's loop, must neither wait nor take
    long, and harms nothing if it raises: it is told in the log, once.  A commit
    is told of by the one peer that made it, so that sums over peers are right.
    """

    def carry(self) -> str:
        """Return what is stored of the trace of the present caller.

        It is given back with the start of the run.  Letters, digits, ``-`` and
        ``_`` take the least room; empty: nothing.
        """
        return ""

    def wrote(self, told: Wrote) -> None:
        """Hear of a commit, after it and before its runs begin."""

    def failed(self, error: StoreError) -> None:
        """Hear of a transaction that was given up."""

    def began(self, start: Start) -> object:
        """Hear that a run begins, in its own task; the answer goes to ``ended``."""
        del start
        return None

    def ended(
        self, began: Any, start: Start, ended: Ended | None, error: BaseException | None
    ) -> None:
        """Hear that a run has ended, in its own task.

        Args:
            began: What :meth:`began` has answered.
            start: The run.
            ended: How; None: whoever ends the loop took it away.
            error: What the executor raised, if that is how it failed.
        """


class Contained:
    """Calls observers, and keeps what they raise from whatever is observed."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Call these."""
        self.observers = tuple(observers)
        self._told: set[tuple[int, str]] = set()

    def failing(self, observer: Observer, what: str, error: Exception) -> None:
        """Tell of what an observer raised, once for each and its method."""
        if (id(observer), what) in self._told:
            return
        self._told.add((id(observer), what))
        log.error(
            "%s.%s failed, and what it was told of is not observed",
            type(observer).__name__,
            what,
            exc_info=error,
            extra={"action": "observer_failed"},
        )

    def wrote(self, told: Wrote) -> None:
        """Tell of a commit."""
        for observer in self.observers:
            try:
                observer.wrote(told)
            except Exception as raised:
                self.failing(observer, "wrote", raised)

    def failed(self, error: StoreError) -> None:
        """Tell of a transaction that was given up."""
        for observer in self.observers:
            try:
                observer.failed(error)
            except Exception as raised:
                self.failing(observer, "failed", raised)

    def carry(self) -> str:
        """Return what the first observer that carries anything carries."""
        for observer in self.observers:
            try:
                if text := observer.carry():
                    return text
            except Exception as raised:
                self.failing(observer, "carry", raised)
        return ""


class ObservedRun:
    """One run that is observed."""

    def __init__(self, contained: Contained, start: Start) -> None:
        """Tell that it begins."""
        self._contained = contained
        self._start = start
        self._began: list[tuple[Observer, object]] = []
        for observer in contained.observers:
            try:
                self._began.append((observer, observer.began(start)))
            except Exception as raised:
                contained.failing(observer, "began", raised)

    def end(self, ended: Ended | None, error: BaseException | None) -> None:
        """Tell that it has ended: the last that was told first."""
        for observer, began in reversed(self._began):
            try:
                observer.ended(began, self._start, ended, error)
            except Exception as raised:
                self._contained.failing(observer, "ended", raised)


class ObservedSession(Session):
    """A session whose commits are told of."""

    def __init__(self, inner: Session, clock: Clock, contained: Contained) -> None:
        """Stand before another session."""
        self._inner = inner
        self._clock = clock
        self._contained = contained
        self.terms = inner.terms
        self.counters = inner.counters
        self.spanning = inner.spanning
        for name in vars(Session):
            # What has a default there, such as what a store may leave out.
            if not name.startswith("_") and name not in vars(ObservedSession):
                setattr(self, name, getattr(inner, name))

    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
        urgent: bool = False,
    ) -> dict[str, Change]:
        """Do so, and tell."""
        before: Mapping[str, Record | None] = {}

        def noted(
            records: Mapping[str, Record | None], now: int
        ) -> Mapping[str, Change]:
            nonlocal before
            before = records
            return decide(records, now)

        begun = self._clock.monotonic()
        try:
            changes = await self._inner.transact(
                ids, noted, claim=claim, signal=signal, urgent=urgent
            )
        except StoreError as error:
            self._contained.failed(error)
            raise
        if changes:
            seconds = self._clock.monotonic() - begun
            self._contained.wrote(Wrote(before, changes, claim, len(ids), seconds))
        return changes

    # -- the rest is as it was ---------------------------------------------------

    async def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """Read records."""
        return await self._inner.read(ids)

    async def list(self, *, cursor: str | None = None, limit: int = 100) -> Page:
        """List records."""
        return await self._inner.list(cursor=cursor, limit=limit)

    async def agenda(
        self,
        heads: Sequence[tuple[int, str]],
        *,
        limit: int = MAX_BATCH,
        partial: bool = False,
    ) -> Sequence[Head]:
        """Read agendas."""
        return await self._inner.agenda(heads, limit=limit, partial=partial)

    async def by_keyword(self, keyword: str) -> Sequence[str]:
        """Ask who is subscribed."""
        return await self._inner.by_keyword(keyword)

    async def ledger(
        self,
        job_id: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RowPage:
        """Read the ledger."""
        return await self._inner.ledger(
            job_id, since=since, until=until, limit=limit, cursor=cursor
        )

    async def beat(self, beat: Beat) -> Pulse:
        """Say that a peer lives."""
        return await self._inner.beat(beat)

    async def advertise(self, executors: Sequence[ExecutorInfo]) -> None:
        """Tell which executors there are."""
        await self._inner.advertise(executors)

    async def catalogue(self) -> dict[str, ExecutorInfo]:
        """Ask which executors there are."""
        return await self._inner.catalogue()

    def signals(self) -> SignalStream:
        """Subscribe."""
        return self._inner.signals()

    async def now(self) -> int:
        """Ask the time."""
        return await self._inner.now()

    def estimate(self) -> int:
        """Estimate the time."""
        return self._inner.estimate()

    def drift(self) -> int | None:
        """Compare clocks."""
        return self._inner.drift()

    async def sweep(self) -> int:
        """Sweep."""
        return await self._inner.sweep()

    async def mend(self) -> Mended:
        """Mend."""
        return await self._inner.mend()

    async def close(self) -> None:
        """Close it."""
        await self._inner.close()
