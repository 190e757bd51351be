"""The verbs of a scheduler for threads, over one :class:`~aiosched.Scheduler`.

A façade decides nothing: it brings each call to the loop of its scheduler, and
the answer back.  A process that was forked gets a scheduler of its own.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from aiosched._api.options import callable_of, grace_of
from aiosched._api.waiting import DoneCallback
from aiosched._engine.events import Event, Handler
from aiosched.background.blocked import Verbs
from aiosched.background.life import Life
from aiosched.background.verbs import like
from aiosched.errors import SchedulerStateError
from aiosched.jobs import Job, checks
from aiosched.registry import Registry
from aiosched.scheduler import DEFAULT_GRACE, Scheduler

__all__ = ["BlockingIterator", "Facade"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class BlockingIterator(Iterator[T], Generic[T]):
    """An asynchronous iterator of the scheduler's, for a thread."""

    def __init__(self, life: Life, source: AsyncIterator[T]) -> None:
        """Read a source that belongs to a life."""
        self._life = life
        self._source = source

    def __next__(self) -> T:
        """Wait for the next.

        What was told before a shutdown is still handed out after it.

        Raises:
            StopIteration: There are no more.
            SchedulerStateError: The scheduler is not started; or this is a
                child that was forked since.
        """
        life = self._life
        if life.process != os.getpid():
            message = "this iterator was made before the process was forked"
            raise SchedulerStateError(message)
        home = life.home
        try:
            over = home is not None and home.over.is_set()
            found = self._stepped() if over else life.call(self._step)
        except SchedulerStateError:
            if home is None or not home.ends:
                raise
            home.over.wait()
            found = self._stepped()
        if not found:
            raise StopIteration
        return found[0]

    async def _step(self, _: Scheduler) -> tuple[T] | tuple[()]:
        try:
            return (await anext(self._source),)
        except StopAsyncIteration:
            return ()

    def _stepped(self) -> tuple[T] | tuple[()]:
        """Do so without a loop: what is left is there, and needs no waiting."""
        step = self._step(self._life.scheduler)
        try:
            step.send(None)
        except StopIteration as done:
            found: tuple[T] | tuple[()] = done.value
            return found
        except RuntimeError:  # it would have to wait, and nothing comes any more
            return ()
        step.close()
        return ()


class Facade(Verbs):
    """What the schedulers for threads share: every verb, blocking."""

    @like(Scheduler.__init__)
    def __init__(self, *args: Any, **options: Any) -> None:
        """Check the options; nothing is opened before the start.

        Every parameter is that of :class:`~aiosched.Scheduler`.

        Raises:
            ConfigurationError: An option that cannot be used.
        """
        scheduler = Scheduler(*args, **options)
        given = inspect.signature(Scheduler).bind(*args, **options).arguments
        # As they were understood: a list that can be read once has been read.
        self._options: dict[str, Any] = {
            **given,
            "store": scheduler.store,
            "queues": scheduler.queues,
        }
        life = Life(scheduler)
        # Those of the processes before a fork are kept: whoever collected one
        # would close connections that are still the parent's.
        self._lives: dict[int, Life] = {life.process: life}

    # -- the scheduler -----------------------------------------------------

    def _life(self) -> Life:
        process = os.getpid()
        life = self._lives.get(process)
        if life is None:
            # At once for all threads, and without a lock, which a thread that
            # was not forked with us may have held.
            life = self._lives.setdefault(process, self._inherited())
        return life

    def _inherited(self) -> Life:
        before = [*self._lives.values()][-1]
        if before.home is None:
            before.scheduler._settle_in()
            life = Life(before.scheduler, wanted=before.wanted, held=before.held)
        else:
            before.home.leave()
            fresh = self._renewed(before.scheduler)
            life = Life(fresh, wanted=not before.closed, held=before.held)
        life.closed = before.closed
        return life

    def _renewed(self, scheduler: Scheduler) -> Scheduler:
        fresh = Scheduler(**self._options)
        fresh._take_over(scheduler)
        return fresh

    def _renew(self, life: Life) -> None:
        """Be as before a start that has failed."""
        if not life.closed:
            fresh = self._renewed(life.scheduler)
            self._lives[life.process] = Life(fresh, wanted=life.wanted, held=life.held)

    def _awake(self) -> Life:
        """Return the life, which a call starts where it is wanted."""
        life = self._life()
        if life.home is None and life.wanted and not life.closed:
            with life.waking:
                if life.home is None:
                    try:
                        life.start(paused=life.held)
                    except Exception:
                        self._renew(life)
                        raise
        return life

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler behind all this, for coroutines that run on its loop.

        Another one after a fork, and after a start that failed.
        """
        return self._life().scheduler

    @property
    def id(self) -> str:
        """Incarnation id of the peer."""
        return self.scheduler.id

    @property
    def name(self) -> str:
        """What people call the peer."""
        return self.scheduler.name

    @property
    def namespace(self) -> str:
        """Whose jobs it sees."""
        return self.scheduler.namespace

    @property
    def registry(self) -> Registry:
        """Its executors."""
        return self.scheduler.registry

    def _call(self, make: Callable[[Scheduler], Coroutine[Any, Any, T]]) -> T:
        return self._awake().call(make)

    def _pass(self, function: Callable[[Scheduler], T]) -> T:
        return self._life().pass_on(function)

    # -- verbs whose types ask for more ---------------------------------------

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

    # -- listeners ---------------------------------------------------------

    def events(
        self, *names: str, job: Job | str | None = None
    ) -> BlockingIterator[Event]:
        """Iterate over this peer's events from now on, until it is closed.

        Waits for each.  All else as :meth:`aiosched.Scheduler.events`.
        """
        life = self._awake()
        source = life.pass_on(lambda scheduler: scheduler.events(*names, job=job))
        return BlockingIterator(life, source)

    def on(self, name: str, handler: Handler) -> Callable[[], None]:
        """Call a function for this peer's events.

        A plain function is called beside the loop, where it may use every verb:
        one behind the other, in the order of the events.  All else as
        :meth:`aiosched.Scheduler.on`.
        """
        return self._pass(lambda one: one.on(name, self._aside(handler)))

    def on_missed(self, handler: Handler) -> Callable[[], None]:
        """Call a function for slots that were not run in time.

        Plain functions as for :meth:`on`; all else as
        :meth:`aiosched.Scheduler.on_missed`.
        """
        return self._pass(lambda one: one.on_missed(self._aside(handler)))

    def add_done_callback(
        self, callback: DoneCallback, job: Job | str | None = None
    ) -> Callable[[], None]:
        """Call back for each final outcome from now on, whichever peer ran it.

        Plain functions as for :meth:`on`; all else as
        :meth:`aiosched.Scheduler.add_done_callback`.  After a fork it has to be
        called anew.
        """

        async def listening(one: Scheduler) -> Callable[[], None]:
            return one.add_done_callback(self._aside(callback), job)

        end = self._call(listening)
        return lambda: self._pass(lambda _: end())

    def _aside(self, handler: Callable[[T], Any]) -> Callable[[T], Any]:
        """Make of a plain function one that is called beside the loop."""
        callable_of("handler", handler)
        if inspect.iscoroutinefunction(handler):
            return handler

        @functools.wraps(handler, updated=())
        async def told(fact: T) -> None:
            answer = await self._life().listen(functools.partial(handler, fact))
            if inspect.isawaitable(answer):
                await answer

        return told

    # -- life --------------------------------------------------------------

    def shutdown(
        self, *, force: bool = False, grace: timedelta | float | None = DEFAULT_GRACE
    ) -> None:
        """Stop claiming, let runs end, close the store; returns when that is done.

        Safe to call twice and from any thread: every call waits for the same
        end, and one with ``force`` hurries it; so does Ctrl-C while it waits.
        A function that is run as a job may call it with ``force=True``, or it
        is waited for itself.

        Args:
            force: Cancel runs at once; see :meth:`aiosched.Scheduler.shutdown`.
            grace: How long runs may take to end before they are cancelled;
                None: as long as they take.

        Raises:
            ConfigurationError: A grace or force that cannot be used; nothing
                was ended.
            SchedulerStateError: It was called on the scheduler's own loop.
        """
        seconds = grace_of(grace)
        checks.flag("force", force)
        self._life().end(force=force, grace=seconds)

    def __contains__(self, job: Job | str) -> bool:
        """Return whether there is such a job; as :meth:`job_exists`."""
        return self.job_exists(job)

    def _left(self, error: BaseException | None) -> None:
        """Shut down behind a block; raise what made the scheduler fail, if need be."""
        life = self._life()
        self.shutdown()
        if life.failure is not None and error is None:
            raise life.failure

    def __repr__(self) -> str:
        """Show the name and the state."""
        life = self._life()
        over = life.closed or life.failure is not None
        state = "closed" if over else "started" if life.home is not None else "new"
        name, space = life.scheduler.name, life.scheduler.namespace
        return f"<{type(self).__name__} {name} in {space}, {state}>"
