"""What the verbs of a scheduler share: its parts, its state, one transaction."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from aiosched import planning
from aiosched._api.deciding import (
    Decided,
    DecideOne,
    batches_of,
    decide_one,
    each_of,
    in_parts,
)
from aiosched._api.gathering import Gathering
from aiosched._engine.engine import Engine
from aiosched._engine.events import EventBus
from aiosched._engine.needs import Gap
from aiosched._engine.observing import Contained, ObservedSession, Observer
from aiosched.abc import ExecutorInfo, JobStore, Session, shard_of
from aiosched.clock import Clock, IdSource
from aiosched.context import acting
from aiosched.errors import (
    ConfigurationError,
    JobError,
    SchedulerStateError,
    StoreDataError,
    TriggerError,
    UnknownExecutorError,
    shown,
)
from aiosched.instants import SECOND
from aiosched.jobs import Firing, Job, checks
from aiosched.jobs.conversions import (
    anchor_of,
    definition_of,
    job_of,
    shape_of,
    to_spec,
)
from aiosched.logs import log, logging_to
from aiosched.planning.outlook import outlook
from aiosched.records import Apart, Change, Definition, Record, Spec
from aiosched.registry import Registered, Registry, dump
from aiosched.rows import Act

__all__ = ["Base", "DecideOne", "first_due", "job_id_of", "shown_job"]

GapOf = Callable[[Record], Gap | None]
_CATALOGUE_AGE = 5 * SECOND
_TOLD_AGAIN = 86_400.0
_SPECS = 1_000
"""Specs that are shared, as long as jobs are scheduled with them."""
_UNREAD = 10_000
"""Keys of which it is remembered that they were told of."""
_SETTINGS = frozenset(
    (
        *("id", "max_concurrency", "name", "namespace"),
        *("queues", "registry", "run_jobs", "store"),
    )
)
"""What is read at the start, and told to other peers."""


def job_id_of(job: Job | Firing | str) -> str:
    """Return the id that a job, a firing or a text names.

    Raises:
        ConfigurationError: It is none of these, or not text that can be written.
    """
    if isinstance(job, Job):
        return job.id
    job_id = job.job_id if isinstance(job, Firing) else job
    if not isinstance(job_id, str):
        raise ConfigurationError(
            "job", job, "names no job", "give a job's id, a Job, or a Firing"
        )
    try:
        job_id.encode()
    except UnicodeEncodeError:
        problem = "has half a character (a lone surrogate)"
        raise ConfigurationError("job", job_id, problem, "correct the id") from None
    return job_id


def first_due(record: Record, now: int) -> int | None:
    """Return when the next slot of a record starts; None: none is to come."""
    coming = next(outlook(record, now), None)
    return None if coming is None else coming.due


def shown_job(record: Record, now: int, unclaimable: str = "") -> Job:
    """Return the snapshot of a record.

    Args:
        record: What is stored.
        now: The store's instant.
        unclaimable: Why no live peer can run it, in a word; empty: one can.

    Raises:
        StoreDataError: It holds what cannot be shown, such as an instant beyond
            all calendars.
    """
    try:
        return job_of(record, now=now, foresee=first_due, unclaimable=unclaimable)
    except (ValueError, TypeError, OverflowError) as error:
        problem = f"its record cannot be shown: {error}"
        raise StoreDataError(record.definition.id, problem) from error


class Base:
    """The parts of a scheduler, as its verbs use them."""

    store: JobStore
    id: str
    name: str
    namespace: str
    logger: logging.Logger
    registry: Registry
    _bus: EventBus
    _clock: Clock
    _ids: IdSource
    _revision: int
    _max_payload: int
    _session: Session | None = None
    _engine: Engine | None = None
    _closed = False
    _process = 0
    """In which it was built, or started: a fork makes another of it."""
    _catalogue: dict[str, ExecutorInfo]
    _catalogue_at = 0
    _unread: dict[str, tuple[str, float]]
    _specs: dict[Hashable, Spec]
    _gatherings: dict[int, Gathering]
    _observers: tuple[Observer, ...] = ()
    _observed: Contained | None = None
    _carry: Callable[[], str] | None = None
    """Tells the trace context of a caller; None: nobody traces."""

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse a setting that is changed while the scheduler runs."""
        if name in _SETTINGS and self._session is not None:
            message = (
                f"{name} cannot be changed after the start; build a new scheduler "
                f"with {name}={shown(value)}"
            )
            raise SchedulerStateError(message)
        super().__setattr__(name, value)

    # -- state -------------------------------------------------------------

    def _opened(self) -> Session:
        """Return the session of a started scheduler.

        Raises:
            SchedulerStateError: It is not started, or closed, or has failed, or
                this is a child that was forked after the start.
        """
        if self._closed:
            message = "the scheduler is closed; build a new one"
            raise SchedulerStateError(message)
        if self._session is None or self._engine is None:
            message = (
                "the scheduler is not started; await scheduler.start(), "
                'or use "async with"'
            )
            raise SchedulerStateError(message)
        if self._process != os.getpid():
            message = (
                "the scheduler was started before this process was forked, and its "
                "connections are the parent's; build a new one here, or use a "
                "BackgroundScheduler, which does so by itself"
            )
            raise SchedulerStateError(message)
        if self._engine.failure is not None:
            message = f"the scheduler has failed: {self._engine.failure!r}"
            raise SchedulerStateError(message) from self._engine.failure
        return self._session

    def _running_engine(self) -> Engine:
        self._opened()
        assert self._engine is not None  # noqa: S101 - _opened has seen to it
        return self._engine

    def _logging(self) -> AbstractContextManager[None]:
        """Let all that is begun within log as this scheduler."""
        return logging_to(
            self.logger, peer=self.id, scheduler=self.name, namespace=self.namespace
        )

    def _observe(self, observer: Observer) -> None:
        """Let somebody watch from inside: metrics, traces.

        Raises:
            SchedulerStateError: The scheduler has been started already.
        """
        if self._session is not None or self._closed:
            message = "the scheduler is watched from its start: do this before start()"
            raise SchedulerStateError(message)
        if observer not in self._observers:
            self._observers = (*self._observers, observer)

    def _watched(self, session: Session) -> Session:
        """Return a session whose commits are told of, if anybody watches."""
        if not self._observers:
            return session
        self._observed = Contained(self._observers)
        if any(type(one).carry is not Observer.carry for one in self._observers):
            self._carry = self._observed.carry
        return ObservedSession(session, self._clock, self._observed)

    def _report(self, key: str, problem: str) -> None:
        """Tell of what the store holds and this peer cannot read, once.

        And again when something else is wrong with it, or after a day.
        """
        now = self._clock.monotonic()
        told = self._unread.get(key)
        if told is not None and told[0] == problem and now - told[1] < _TOLD_AGAIN:
            return
        self._unread.pop(key, None)
        self._unread[key] = problem, now
        if len(self._unread) > _UNREAD:
            del self._unread[next(iter(self._unread))]
        with self._logging():
            log.error(
                "cannot read %s: %s",
                key,
                problem,
                extra={"action": "unreadable", "key": key},
            )
        self._bus.emit("unreadable", key=key, problem=problem)

    def _act(self, by: object, note: object = "", *, field: str = "note") -> Act:
        """Check who acts and why; this scheduler does, unless somebody is named.

        By the call, or around it with ``acting_as``.

        Raises:
            ConfigurationError: A name or note that cannot be stored.
        """
        trace = "" if self._carry is None else self._carry()
        who = acting() or self.name
        if by is not None:
            who = checks.text_id("by", by, what="name")
        return Act(who, checks.free_text(field, note), trace=trace)

    # -- records -----------------------------------------------------------

    async def _decide(
        self, job_id: str, decide: DecideOne, event: str | None = None
    ) -> Record | None:
        """Apply a verb to one record.

        Args:
            job_id: Which one.
            decide: The verb.
            event: What is told of it, if it changes anything.

        Returns:
            The record as it is now; None if it is (now) gone.

        Raises:
            StoreDataError: There is something, but it cannot be read.
        """
        decided = await decide_one(self._opened(), job_id, decide)
        self._committed({job_id: decided}, event)
        return decided[0]

    async def _decide_together(
        self, definition: Definition, decide: DecideOne, event: str
    ) -> Record | None:
        """Do the same for a definition, with others that ask meanwhile."""
        session, job_id = self._opened(), definition.id
        place = -1 if session.spanning else shard_of(job_id, session.terms.shards)
        gathering = self._gatherings.get(place)
        if gathering is None:
            gathering = self._gatherings[place] = Gathering(session)
        arguments = definition.arguments
        large = arguments.size if isinstance(arguments, Apart) else len(arguments)
        large += len(definition.spec.meta)
        decided = await gathering.decide(job_id, decide, large)
        self._committed({job_id: decided}, event)
        return decided[0]

    async def _decide_many(
        self,
        job_ids: Iterable[str],
        decide: Callable[[str], DecideOne],
        event: str | Callable[[str], None] | None = None,
    ) -> tuple[dict[str, Record | None], dict[str, JobError]]:
        """Apply a verb to many records, a hundred in a transaction.

        Args:
            job_ids: Which ones.
            decide: The verb for each.
            event: What is told of each that is changed, or who tells it.

        Returns:
            The records as they are now, and the errors, both by id.
        """
        session = self._opened()
        records: dict[str, Record | None] = {}
        errors: dict[str, JobError] = {}

        def lenient(job_id: str) -> DecideOne:
            verb = decide(job_id)

            def one(record: Record | None, now: int) -> Change | None:
                errors.pop(job_id, None)
                try:
                    return verb(record, now)
                except JobError as error:
                    errors[job_id] = error
                    return None

            return one

        async def apart(part: list[str]) -> None:
            async for decided in in_parts(session, part, lenient):
                self._committed(decided, event)
                records.update({one: record for one, (record, _) in decided.items()})

        await each_of(batches_of(session, job_ids), apart)
        return records, errors

    def _committed(
        self,
        decided: Mapping[str, Decided],
        event: str | Callable[[str], None] | None,
    ) -> None:
        if self._engine is None:
            return
        shards: dict[int, dict[str, Change]] = {}
        count = self._engine.session.terms.shards
        for job_id, (_, change) in decided.items():
            if change is not None:
                shards.setdefault(shard_of(job_id, count), {})[job_id] = change
        for shard, changes in shards.items():
            self._engine.committed(shard, changes)
        if event is None or (isinstance(event, str) and not self._bus.hears(event)):
            return
        for job_id in sorted(i for i, (_, change) in decided.items() if change):
            if isinstance(event, str):
                self._bus.emit(event, job_id)
            else:
                event(job_id)

    # -- definitions -------------------------------------------------------

    async def _known(
        self, job: Job, *, allow_unknown: bool
    ) -> Registered | ExecutorInfo | None:
        """Return what is known of a job's executor, here or elsewhere.

        Raises:
            UnknownExecutorError: Nobody has it.
        """
        found = self.registry.find(job.target or job.executor)
        if found is not None:
            return found
        info = await self._advertised(job.executor, eager=not allow_unknown)
        if info is None and not allow_unknown:
            known = {*self.registry.names, *self._catalogue}
            raise UnknownExecutorError(job.executor, tuple(sorted(known)))
        return info

    async def _advertised(
        self, name: str, *, eager: bool = False
    ) -> ExecutorInfo | None:
        """Return what peers have advertised under a name.

        Args:
            name: The executor.
            eager: Ask again if it is not known, however fresh the answer is.
        """
        session = self._opened()
        fresh = session.estimate() - self._catalogue_at < _CATALOGUE_AGE
        if not fresh or (eager and name not in self._catalogue):
            self._catalogue = dict(await session.catalogue())
            self._catalogue_at = session.estimate()
        return self._catalogue.get(name)

    async def _definition(
        self, job: Job, *, allow_unknown: bool = False, declared: int | None = None
    ) -> Definition:
        """Check a job against its executor and turn it into a definition.

        Raises:
            InvalidInputError: Something about it cannot be stored.
        """
        known = await self._known(job, allow_unknown=allow_unknown)
        arguments = dump(
            known,
            job.args,
            job.kwargs,
            partial=job.trigger is None
            and job.when is None
            and job.keyword is not None,
            limit=self._max_payload,
        )
        name = job.executor
        if job.target is not None and isinstance(known, Registered):
            name = known.name
        queue = known.queue if known is not None else None
        spec = self._spec(job, queue, declared, name)
        return definition_of(job, spec, anchor_of(job), arguments)

    def _spec(
        self, job: Job, queue: str | None, declared: int | None, executor: str
    ) -> Spec:
        """Return the spec of a job, the same for all that are alike.

        What follows from a spec is remembered by its identity: its bytes, what it
        needs of a peer, what its jobs look like.
        """
        shape = (shape_of(job), queue, declared, executor)
        try:
            found = self._specs.get(shape)
        except TypeError:  # a trigger of the user's own that cannot be hashed
            return to_spec(job, queue=queue, declared=declared, executor=executor)
        if found is None:
            found = to_spec(job, queue=queue, declared=declared, executor=executor)
            if len(self._specs) >= _SPECS:
                self._specs.clear()
            self._specs[shape] = found
        return found

    def _snapshot(
        self,
        record: Record | None,
        job_id: str,
        gap: GapOf | None = None,
        now: int | None = None,
    ) -> Job:
        if record is None:
            message = f"the record of {job_id!r} was read and is gone"
            raise RuntimeError(message)
        return self._shown(record, gap, now)

    def _shown(
        self, record: Record, gap: GapOf | None = None, now: int | None = None
    ) -> Job:
        """Return the snapshot of a record, and whether somebody can run it.

        Args:
            record: What is stored.
            gap: Tells why nobody can; where there are many records, one for all.
            now: The store's instant, likewise.

        Raises:
            StoreDataError: It holds what cannot be shown.
        """
        if gap is None:
            gap = self._running_engine().alarms.gap
        why = gap(record)
        reason = "" if why is None else why.reason
        if now is None:
            now = self._opened().estimate()
        return shown_job(record, now, reason)


def refuse_silent(definition: Definition, now: int) -> None:
    """Refuse a trigger that has no fire time any more.

    Raises:
        TriggerError: Nothing would ever happen.
    """
    if definition.spec.trigger is None:
        return  # once, or whenever its keyword is fired
    pinned = planning.pin(definition, now)
    if pinned.spec.trigger is None or definition.spec.keyword is not None:
        return
    if planning.first_slot(pinned, now) is None:
        trigger: Any = pinned.spec.trigger.with_instant(pinned.anchor)
        raise TriggerError(
            "trigger",
            trigger,
            "has no fire time from now on",
            "give it a later end, or a date",
        )


async def gather_pages(
    fetch: Callable[[str | None], Any],
) -> list[Record]:
    """Read a listing to its end."""
    records: list[Record] = []
    cursor: str | None = None
    while True:
        page = await fetch(cursor)
        records.extend(page.records)
        cursor = page.cursor
        if cursor is None:
            return records
