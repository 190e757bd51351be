"""The scheduler: what users hold in their hands, and what wires the rest."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from aiosched._api.backfilling import Backfilling
from aiosched._api.deploying import Deploying
from aiosched._api.explaining import Explaining
from aiosched._api.gathering import Gathering
from aiosched._api.guarding import Guarding
from aiosched._api.holding import Holding
from aiosched._api.moving import Moving
from aiosched._api.options import (
    at_least_one,
    callable_of,
    clock_of,
    grace_of,
    logger_of,
    namespace_of,
    queues_of,
    terms_of,
)
from aiosched._api.previewing import Previewing
from aiosched._api.providing import Providing
from aiosched._api.waiting import Waiting
from aiosched._engine.engine import Engine
from aiosched._engine.events import EventBus, of_called_code
from aiosched._engine.outside import Outside
from aiosched._engine.teardown import TEARDOWN_LIMIT, tear_down
from aiosched.abc import ExecutorInfo, JobStore, Member, Session
from aiosched.clock import Clock, IdSource, SystemClock, random_id
from aiosched.errors import SchedulerStateError, TriggerError
from aiosched.jobs import Job, checks
from aiosched.logs import log
from aiosched.records import Spec
from aiosched.registry import (
    MAX_PAYLOAD,
    Registered,
    Registry,
    carries_schedule,
)
from aiosched.stores import MemoryJobStore, open_store

__all__ = ["Scheduler"]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_GRACE = 30.0


class Scheduler(
    Deploying,
    Moving,
    Holding,
    Waiting,
    Previewing,
    Explaining,
    Backfilling,
    Guarding,
    Providing,
):
    """Runs jobs, together with every other scheduler on the same store.

    Built without a running loop; used as ``async with Scheduler(...)``, or
    with :meth:`start` and :meth:`shutdown`.  One scheduler is one peer.
    """

    def __init__(
        self,
        store: JobStore | str | None = None,
        *,
        namespace: str = "aiosched",
        name: str | None = None,
        run_jobs: bool = True,
        queues: Iterable[str] | None = None,
        revision: int = 0,
        lease: timedelta | float | None = None,
        max_concurrency: int = 100,
        max_payload: int = MAX_PAYLOAD,
        terms: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        ids: IdSource = random_id,
        logger: logging.Logger | str | None = None,
    ) -> None:
        """Check the options; nothing is opened before :meth:`start`.

        Args:
            store: Where jobs are kept: a store, or its URL (``redis://``,
                ``rediss://``, ``unix://``, ``memory://``); None: in memory.
            namespace: Jobs of one namespace know nothing of another's.
            name: What people call this peer; need not be unique.
            run_jobs: False makes a client: it schedules, fires and waits, but
                claims nothing.
            queues: Run only jobs of these queues; None: of all.
            revision: Of the code, 0 to 2**31; a declared job is never replaced
                by that of a lower revision.
            lease: How long a claim holds unless it is extended; fixed for the
                namespace by its first peer, 15 s unless given.
            max_concurrency: Runs that this peer has at a time, at most.
            max_payload: Bytes that arguments or a payload may have.
            terms: Further :class:`~aiosched.abc.Terms` to insist on, such as
                ``shards``, ``beat``, ``steal_delay``; durations as timedelta
                or seconds.
            clock: For tests.
            ids: For tests.
            logger: Where it logs, or the name of that logger; None: ``aiosched``.

        Raises:
            ConfigurationError: An option that cannot be used.
        """
        self.store: JobStore = MemoryJobStore() if store is None else open_store(store)
        self.namespace: str = namespace_of(namespace)
        callable_of("ids", ids)
        clock_of(clock)
        self.id: str = checks.text_id("ids", ids())
        self.name: str = self.id if name is None else checks.text_id("name", name)
        self.logger: logging.Logger = logger_of(logger)
        self._process = os.getpid()
        self._has_lifeline = True
        self.run_jobs: bool = checks.flag("run_jobs", run_jobs)
        self.queues: tuple[str, ...] | None = queues_of(queues)
        self.max_concurrency: int = at_least_one("max_concurrency", max_concurrency)
        self.registry: Registry = Registry()
        checks.number("revision", revision, least=0, most=2**31)
        self._revision = revision
        self._max_payload = at_least_one("max_payload", max_payload)
        self._terms = terms_of(terms, lease)
        self._clock = SystemClock() if clock is None else clock
        self._ids = ids
        self._bus = EventBus(self._estimate)
        self._bus.within = self._logging
        self._declared: dict[str, Job] = {}
        self._withdrawn: set[str] = set()
        self._catalogue: dict[str, ExecutorInfo] = {}
        self._unread: dict[str, tuple[str, float]] = {}
        self._specs: dict[Hashable, Spec] = {}
        self._gatherings: dict[int, Gathering] = {}
        self._set_up: list[Registered] = []
        self._named: tuple[int, tuple[str, ...]] = (0, ())
        self._setting_up: set[asyncio.Task[None]] = set()
        self._starting = False
        self._ending: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def _take_over(self, other: Scheduler) -> None:
        """Have what was registered, declared and listened for on another.

        For one that takes the place of another, which is not used any more.
        """
        self.registry = other.registry
        self._declared = other._declared
        self._bus.take_over(other._bus)

    def _settle_in(self) -> None:
        """Be a peer of one's own in a process that was forked after the building."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        named = self.name != self.id
        self.id = checks.text_id("ids", self._ids())
        if not named:
            self.name = self.id

    def _estimate(self) -> int:
        return self._session.estimate() if self._session is not None else 0

    # -- executors ---------------------------------------------------------

    def register(
        self,
        target: object,
        *,
        name: str | None = None,
        aliases: Iterable[str] = (),
        queue: str | None = None,
    ) -> str:
        """Make an executor known, at any time.

        One that has a ``schedule`` is declared as a job of its name as well, as
        :meth:`declare` does it, and before the start therefore.

        Args:
            target: An :class:`Executor` (class or instance), a coroutine
                function (run on the loop) or a plain function (in a thread).
            name: What jobs call it; its own name unless given.
            aliases: Further names, such as those it had before.
            queue: Of jobs that do not name one.

        Returns:
            Its name.

        Raises:
            ConfigurationError: It cannot be run, or a name is taken.
            TriggerError: Its ``schedule`` is none.
            SchedulerStateError: It has a ``schedule``, and the scheduler is started.
        """
        if carries_schedule(target):
            self._refuse_late()
        registered = self.registry.register(
            target, name=name, aliases=aliases, queue=queue
        )
        if registered.job is not None:
            self.declare(registered.job)
        if self._engine is not None and not self._closed:
            with self._logging():
                task = asyncio.get_running_loop().create_task(
                    self._introduce(registered),
                    name=f"aiosched setup {registered.name}",
                )
            self._setting_up.add(task)
            task.add_done_callback(self._setting_up.discard)
        return registered.name

    @overload
    def executor(self, target: F) -> F: ...

    @overload
    def executor(
        self,
        target: None = None,
        *,
        name: str | None = None,
        aliases: Iterable[str] = (),
        queue: str | None = None,
    ) -> Callable[[F], F]: ...

    def executor(
        self,
        target: F | None = None,
        *,
        name: str | None = None,
        aliases: Iterable[str] = (),
        queue: str | None = None,
    ) -> F | Callable[[F], F]:
        """Register what it decorates, and return it as it was.

        With or without parentheses; options as :meth:`register`.
        """

        def decorate(decorated: F) -> F:
            self.register(decorated, name=name, aliases=aliases, queue=queue)
            return decorated

        return decorate if target is None else decorate(target)

    def _resolve(self, name: str) -> Registered | None:
        found = self.registry.find(name)
        return found if found in self._set_up else None

    def _executors(self) -> tuple[str, ...]:
        if self._named[0] != len(self._set_up):  # none ever goes
            names = sorted(n for each in self._set_up for n in each.names)
            self._named = len(self._set_up), tuple(names)
        return self._named[1]

    async def _introduce(self, registered: Registered) -> None:
        """Set up an executor that was registered after the start."""
        if registered in self._set_up:
            return
        if not self.run_jobs:
            self._set_up.append(registered)
            return
        try:
            await registered.setup()
        except BaseException as error:
            if not of_called_code(error):
                raise
            log.exception(
                "setting up %s failed",
                registered.name,
                extra={"action": "setup_failed", "executor": registered.name},
            )
            self._bus.emit("callback_failed", error=error, of=registered.name)
            return
        self._set_up.append(registered)
        if self._engine is not None and self._session is not None:
            self._engine.registered()
            await self._session.advertise(registered.infos())

    # -- life --------------------------------------------------------------

    async def start(self, *, paused: bool = False) -> None:
        """Open the store, set executors up, begin to run jobs.

        Args:
            paused: Claim nothing until :meth:`release`, as after :meth:`hold`.
                Of no consequence for a client.

        Raises:
            SchedulerStateError: It was started before.
            ConfigurationError: The namespace was begun with other terms, or a
                declared job cannot be stored.
            StoreUnavailableError: The store does not answer; build a new
                scheduler and try again.
        """
        checks.flag("paused", paused)
        if self._closed:
            message = "the scheduler is closed; build a new one"
            raise SchedulerStateError(message)
        if self._starting:
            message = "the scheduler is started already; start() once is enough"
            raise SchedulerStateError(message)
        self._starting = True
        self._settle_in()
        with self._logging():  # the services that are begun here do so, too
            try:
                session = await self.store.open(
                    self.namespace, self._terms, report=self._report
                )
                self._session = self._watched(session)
                await self._begin(self._session, held=paused)
            except BaseException:
                await self._end(force=True, grace=0.0)
                raise

    async def _begin(self, session: Session, *, held: bool) -> None:
        for registered in self.registry:
            if self.run_jobs:
                await registered.setup()
            self._set_up.append(registered)
        if self.run_jobs:
            await session.advertise(self.registry.infos())
        member = Member(
            self.id,
            self.name,
            self.queues,
            (),
            self.run_jobs,
            started=session.estimate(),
        )
        outside = Outside(
            self._resolve,
            self._executors,
            self._restore,
            self._advertise,
            self._connect(session),
            self._report,
            self._ids,
            self._observed,
        )
        self._engine = Engine(
            session,
            self._clock,
            self._bus,
            member,
            outside,
            max_concurrency=self.max_concurrency,
        )
        self._engine.attender.held = held
        await self._engine.start()
        await self._schedule_declared(TriggerError)
        log.info(
            "scheduler %s has started",
            self.name,
            extra={"action": "scheduler_started"},
        )

    def _connect(self, session: Session) -> Any:
        if not (self.store.threadable and self._has_lifeline):
            return None
        # Should the store have lost its data, whoever comes first begins it anew.
        terms = asdict(session.terms)
        return lambda: self.store.open(self.namespace, terms, report=None)

    async def _restore(self) -> None:
        """Put back what the code declares after the store lost its data."""
        if self._session is None or self._closed:
            return
        await self._advertise()
        # Nobody stands by any more to mend one: the others must be put back.
        await self._schedule_declared(Exception)

    async def _advertise(self) -> None:
        """Tell the catalogue what can be run here."""
        if self.run_jobs and self._session is not None and not self._closed:
            await self._session.advertise(self.registry.infos())

    async def shutdown(
        self, *, force: bool = False, grace: timedelta | float | None = DEFAULT_GRACE
    ) -> None:
        """Stop claiming, let runs end, close the store.

        Safe to call twice: every call waits for the same end, and one with
        ``force`` hurries it.  A call that is cancelled while it waits hurries
        it, too, and does not stop it.

        Args:
            force: Cancel runs at once.  A run that is cut short is handed
                back, to be run again without using up an attempt, unless its
                job says ``on_lost="record"``.
            grace: How long runs may take to end before they are cancelled;
                None: as long as they take.

        Raises:
            ConfigurationError: A grace or force that cannot be used; nothing
                was ended.
        """
        seconds = grace_of(grace)
        checks.flag("force", force)
        await self._end(force=force, grace=seconds)

    async def _end(self, *, force: bool, grace: float | None) -> None:
        """Wait for the one ending, which the first call begins."""
        self._closed = True
        if self._ending is None:
            with self._logging():
                self._ending = asyncio.get_running_loop().create_task(
                    self._release(force=force, grace=grace),
                    name=f"aiosched ending {self.name}",
                )
        elif force and self._engine is not None:
            self._engine.hurry()
        try:
            await asyncio.wait([self._ending])
        except asyncio.CancelledError:
            if self._engine is not None:
                self._engine.hurry()
            raise
        if not self._ending.cancelled():  # by who ended the loop around it
            self._ending.result()

    async def _release(self, *, force: bool, grace: float | None) -> None:
        try:
            if self._engine is not None:
                await self._engine.stop(force=force, grace=grace)
            for task in list(self._setting_up):
                task.cancel()
            if self._setting_up:
                await asyncio.wait(self._setting_up, timeout=TEARDOWN_LIMIT)
            await tear_down(reversed(self._set_up) if self.run_jobs else ())
        finally:
            try:
                await self._bus.close()
            finally:
                if self._session is not None:
                    await self._session.close()
                self._ended.set()
        log.info(
            "scheduler %s has ended",
            self.name,
            extra={"action": "scheduler_ended"},
        )

    async def run_forever(self) -> None:
        """Run until :meth:`shutdown` is called elsewhere, or something fails.

        Starts the scheduler if it has not been started.  Cancelling it shuts
        the scheduler down.

        Raises:
            Exception: What ended a service of the scheduler.
        """
        if not self._starting:
            await self.start()
        engine = self._engine
        try:
            if engine is not None:
                await engine.ended()
            await self._ended.wait()
        finally:
            await self.shutdown()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shut down; raise what made the scheduler fail, if nothing else did."""
        await self.shutdown()
        failure = self._engine.failure if self._engine is not None else None
        if failure is not None and error is None:
            raise failure

    def __repr__(self) -> str:
        """Show the name and the state."""
        state = "closed" if self._closed else "started" if self._starting else "new"
        return f"<Scheduler {self.name} in {self.namespace}, {state}>"
