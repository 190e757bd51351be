"""The auditor: who did what to which job, and what became of every run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosched._engine.events import Event
from aiosched.audit.chain import Chain
from aiosched.audit.records import (
    FORM,
    Trail,
    changes_of,
    comments_of,
    plain,
    status_of,
)
from aiosched.audit.sinks import AuditSink, ConsoleSink, Record, sink_of
from aiosched.clock import SystemClock, random_id
from aiosched.context import acting, acting_as, current_run
from aiosched.delivery import Counts, Outlet, Spool, teller
from aiosched.delivery.facts import fact_of, fact_type
from aiosched.errors import ConfigurationError, SchedulerStateError
from aiosched.instants import moment
from aiosched.jobs import LedgerEntry
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["Auditor"]

SinkLike = AuditSink | type[AuditSink] | Callable[[Record], Any]


class Auditor:
    """Records what one peer does, in one or several sinks.

    By itself: every row of the ledger that this peer writes (jobs added, modified,
    paused, resumed, stopped, started, removed; runs; slots that were passed over),
    keywords that are fired here, and runs that begin here.  By you: what
    :meth:`audit_params`, :meth:`audit_trail`, :meth:`audit_custom` and
    :meth:`trail` are called with.

    A sink that fails or is slow harms nobody: its records wait in memory, then in
    the ``spool``; what is lost beyond that is counted and told, and shows as a gap
    in ``seq``.

    Use it around the scheduler: ``async with Auditor(scheduler), scheduler:``.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        sinks: Iterable[SinkLike] | SinkLike | None = None,
        *,
        chained: bool = False,
        key: bytes | None = None,
        arguments: bool = False,
        results: bool = False,
        slots: bool = True,
        spool: str | os.PathLike[str] | None = None,
        limit: int = 10_000,
        give_up: float | None = None,
        pause: float = 0.5,
    ) -> None:
        """Begin to listen; records go out once it was entered.

        Args:
            scheduler: The peer, started or not.
            sinks: Where records go; None: to the console.
            chained: Whether records are tied by hashes, see
                :func:`aiosched.audit.verify`.
            key: Of the chain, 16 bytes or more; None: it has none.
            arguments: Whether the arguments of jobs are shown.
            results: Whether results and messages of errors are shown.
            slots: Whether slots that were passed over are recorded.
            spool: Folder for what cannot be written now, of this peer alone.
            limit: Records in memory for each sink, at most.
            give_up: Seconds after which a record is dropped that a sink does not
                take, so that the next ones get through; None: never.
            pause: Seconds before the second try; doubled each time, up to 60.

        Raises:
            ConfigurationError: Something cannot be used.
        """
        self._scheduler = scheduler
        self._clock = SystemClock()
        self._sinks = _sinks_of(sinks)
        self._chain = Chain(random_id(), hashed=chained, key=key)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early: list[Record] = []
        self._closed = False
        self._limit = limit
        self._shown = {"arguments": arguments, "results": results, "slots": slots}
        self._where = _where(scheduler)
        outlet = partial(
            Outlet,
            limit=limit,
            give_up=give_up,
            pause=pause,
            tell=teller(scheduler),
        )
        self._outlets = [
            outlet(
                f"audit {sink.name}"[:200],
                _writer(sink),
                spool=_spool_of(spool, sink.name),
            )
            for sink in self._sinks
        ]
        self._offs = [
            scheduler.on("recorded", self._recorded),
            scheduler.on("job_fired", self._fired),
            scheduler.on("run_started", self._started),
            scheduler.on("delivery_dropped", self._dropped),
        ]

    @property
    def counts(self) -> dict[str, Counts]:
        """What became of the records, by the name of the sink."""
        pairs = zip(self._sinks, self._outlets, strict=True)
        return {sink.name: outlet.counts for sink, outlet in pairs}

    # -- by you ------------------------------------------------------------------

    def audit_params(self, operation: str, status: str, comments: str) -> None:
        """Record that something was done; from any thread, never blocks.

        Within a run the record says which.  Safe after the end: it is then
        dropped, and the log says so.

        Args:
            operation: What was done; 1 to 200 characters.
            status: How it went; 1 to 200 characters.
            comments: For people; up to 1,000 characters.

        Raises:
            ConfigurationError: One of them cannot be recorded.
        """
        self.audit_trail(Trail(operation, status, comments))

    def audit_trail(self, trail: Trail) -> None:
        """Record the same, and more if the trail says more."""
        if not isinstance(trail, Trail):
            raise ConfigurationError("trail", trail, "is no Trail", "give a Trail")
        run = current_run()
        who = trail.actor or acting()
        if not who:
            who = self._scheduler.name if run is None else f"job {run.job_id}"
        record: Record = {
            "operation": trail.operation,
            "status": trail.status,
            "comments": trail.comments,
            "actor": who,
        }
        if run is not None:
            record |= {
                "job_id": run.job_id,
                "run_id": run.run_id,
                "fence": run.fence,
            }
        if trail.job_id is not None:
            record["job_id"] = trail.job_id
        if trail.data is not None:
            record["data"] = plain(trail.data)
        self._add(record)

    def audit_custom(self, value: Any) -> None:
        """Record any JSON value, as ``data`` of an operation ``custom``.

        What JSON cannot hold, or takes more than 64 kB, is shown as cut text.
        """
        self.audit_trail(Trail("custom", "ok", "", data=value))

    @contextmanager
    def trail(
        self, operation: str, comments: str = "", data: Any = None
    ) -> Iterator[None]:
        """Record a step when it ends: ``ok``, or ``failed`` if it raises.

        Args:
            operation: What is done.
            comments: For people; of a failure the error's class is added.
            data: Any JSON value.
        """
        Trail(operation, "ok", comments)  # refused before the step, not behind it
        try:
            yield
        except BaseException as error:
            word = type(error).__name__
            said = f"{comments}: {word}" if comments else word
            self.audit_trail(Trail(operation, "failed", said[-1000:], data=data))
            raise
        self.audit_trail(Trail(operation, "ok", comments, data=data))

    def actor(self, name: str) -> AbstractContextManager[None]:
        """Name who acts: ``with audit.actor("alice"): await scheduler.pause(…)``.

        The same as :func:`acting_as`: the ledger says so too, and the inner one of
        two wins.  Not taken over into runs, which act by themselves.

        Raises:
            ConfigurationError: It is no name.
        """
        return acting_as(name)

    # -- by itself ---------------------------------------------------------------

    def _recorded(self, event: Event) -> None:
        recorded = event.data["recorded"]
        entry: LedgerEntry = recorded.entry
        if entry.count and entry.run is None and not self._shown["slots"]:
            return
        record: Record = {
            "operation": fact_type(entry),
            "status": status_of(entry),
            "comments": comments_of(entry),
            "actor": entry.by or self._scheduler.name,
            "job_id": entry.job_id,
        }
        if entry.run is not None and entry.run.attempt:
            record |= {"run_id": entry.run.run_id, "fence": entry.fence}
        changes = changes_of(
            entry, recorded.before, recorded.job, arguments=self._shown["arguments"]
        )
        if changes:
            record["changes"] = changes
        record["data"] = fact_of(entry, recorded.job, results=self._shown["results"])
        self._add(record, event)

    def _fired(self, event: Event) -> None:
        keyword, fire_id = event.data["keyword"], event.data["fire_id"]
        self._add(
            {
                "operation": "job.fired",
                "status": "ok",
                "comments": "",
                "actor": event.data["by"],
                "job_id": event.job_id,
                "data": {"keyword": keyword, "fire_id": fire_id},
            },
            event,
        )

    def _started(self, event: Event) -> None:
        context = event.data["context"]
        self._add(
            {
                "operation": "run.started",
                "status": "ok",
                "comments": "",
                "actor": self._scheduler.name,
                "job_id": event.job_id,
                "run_id": context.run_id,
                "fence": context.fence,
                "data": {"cause": context.cause.value, "late": context.late},
            },
            event,
        )

    def _dropped(self, event: Event) -> None:
        """Let the other sinks say what one of them has lost."""
        if any(outlet.name == event.data["outlet"] for outlet in self._outlets):
            self._add(
                {
                    "operation": "audit.dropped",
                    "status": "failed",
                    "comments": event.data["outlet"],
                    "actor": self._scheduler.name,
                    "data": {"count": event.data["count"]},
                },
                event,
            )

    def _add(self, said: Record, event: Event | None = None) -> None:
        """Complete a record and hand it to every sink; from any thread."""
        at = event.at if event is not None else self._scheduler._estimate()
        at = at or self._clock.wall()
        record: Record = {"audit": FORM, "at": moment(at).isoformat(), **said}
        record |= self._where | {"pid": os.getpid()}
        with self._lock:
            loop = self._loop
            if self._closed or (loop is None and len(self._early) >= self._limit):
                _lost(record)
                return
            if loop is None:
                self._early.append(record)
                return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            self._put(record)
            return
        try:
            loop.call_soon_threadsafe(self._put, record)
        except RuntimeError:  # the loop was closed without close()
            _lost(record)

    def _put(self, record: Record) -> None:
        self._chain.add(record)
        for outlet in self._outlets:
            outlet.put(record)

    # -- life --------------------------------------------------------------------

    async def open(self) -> None:
        """Open the sinks, and write what there is so far.

        Raises:
            SchedulerStateError: It was opened before.
            OSError: A sink cannot be opened.
        """
        if self._loop is not None or self._closed:
            message = "the auditor was opened before; build a new one"
            raise SchedulerStateError(message)
        try:
            for sink in self._sinks:
                last = await sink.open()
                self._chain.last = self._chain.last or last
        except BaseException:
            self._stop_listening()
            raise
        with self._lock:
            self._loop = asyncio.get_running_loop()
            early, self._early = self._early, []
        for record in early:
            self._put(record)
        for outlet in self._outlets:
            outlet.start()

    async def flush(self) -> None:
        """Wait until every sink has taken everything, however long that takes."""
        await self._clock.sleep(0)  # what other threads have handed over
        for outlet in self._outlets:
            await outlet.flush()

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, and write what waits for so many seconds; safe to repeat.

        What is left then is in the spool; without one it is dropped, and told.
        """
        self._stop_listening()
        await self._clock.sleep(0)
        with self._lock:
            first, self._closed = not self._closed, True
        await asyncio.gather(*(outlet.close(grace) for outlet in self._outlets))
        if first and self._loop is not None:
            for sink in self._sinks:
                await sink.close()

    def _stop_listening(self) -> None:
        for off in self._offs:
            off()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()


def _where(scheduler: Scheduler) -> dict[str, str]:
    return {
        "namespace": scheduler.namespace,
        "peer": scheduler.name,
        "peer_id": scheduler.id,
        "host": socket.gethostname(),
    }


def _sinks_of(given: Any) -> list[AuditSink]:
    if given is None:
        given = [ConsoleSink()]
    elif isinstance(given, AuditSink) or not isinstance(given, Iterable):
        given = [given]
    sinks = [sink_of(one) for one in given]
    names = [sink.name for sink in sinks]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(
            "sinks", names, "are none, or two have one name", "give each a name"
        )
    return sinks


def _spool_of(place: str | os.PathLike[str] | None, name: str) -> Spool | None:
    """Return the spool of a sink: the same after a restart, in any order."""
    if place is None:
        return None
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    named = hashlib.sha256(name.encode()).hexdigest()[:16]
    return Spool(folder / f"audit-{named}.jsonl")


def _lost(record: Record) -> None:
    log.error(
        "an audit record is lost, the auditor is not open: %s",
        json.dumps(record),
        extra={"action": "audit_lost"},
    )


def _writer(sink: AuditSink) -> Any:
    async def write(item: Record) -> None:
        # A copy, so that no sink can change what another is given.
        await sink.write(json.loads(json.dumps(item)))

    return write
