"""Facts of one peer, told to whoever listens: logs, metrics, callbacks, tests."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from aiosched.instants import moment
from aiosched.logs import log

__all__ = ["EVENTS", "Event", "EventBus", "EventStream", "Handler", "of_called_code"]

EVENTS = frozenset(
    {
        "blocked",  # user code held the loop: seconds
        "callback_failed",  # a listener raised: error
        "clock_stepped",  # the host's clock was set: seconds, ahead
        "data_lost",  # the store's data set is another one: epoch
        "declared_failed",  # a declared job was passed over: job_id, error
        "delivery_back",  # it goes out again: outlet
        "delivery_dropped",  # it will never go out: outlet, count, reason
        "delivery_failed",  # it does not go out now: outlet, error, waiting
        "fenced",  # an outcome came too late: job_id, fence
        "guard_lost",  # somebody else may hold it: guard, fence, why
        "index_mended",  # what peers need to find jobs was wrong: jobs
        "job_fired",  # by a keyword, this peer asked: keyword, fire_id, by
        "job_finished",  # nothing is left of it to run
        "job_modified",
        "job_paused",
        "job_removed",
        "job_resumed",
        "job_scheduled",
        "job_stopped",
        "lapsed",  # this peer missed its own deadline: seconds
        "missed",  # job_id, slot, overdue (seconds), recorded, reason, cause
        "peer_joined",
        "peer_left",
        "recorded",  # this peer wrote a row of the ledger: recorded
        "run_ended",  # job_id, run
        "run_lost",  # a lease was taken over or given up: job_id, fence
        "run_progress",  # the store has heard of it: job_id, fence, done, note
        "run_started",  # job_id, fence, attempt, lateness (seconds), late, context
        "service_failed",
        "slots_passed",  # job_id, kind, count, first, last, reason
        "store_down",
        "store_up",
        "unclaimable",  # no capable peer: job_id, executor, queue, reason, why
        "uncooperative",  # a cancelled run does not end: job_id, fence, reason
        "unreadable",  # data that cannot be read: key, problem
    }
)

_BY_NAME = frozenset({"recorded"})
"""What is heard by name only: ``*`` hears of each row by an event of its own."""
_BACKLOG = 10_000
_ENDS_ALL = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends the program, or the loop, and not just the listener that it strikes."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on this peer.

    Attributes:
        name: One of :data:`EVENTS`.
        at: The store's instant as this peer knew it, in microseconds.
        job_id: The job concerned, or None.
        data: What else there is to say; keys are listed with the names.
    """

    name: str
    at: int
    job_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def when(self) -> datetime:
        """The instant as an aware datetime in UTC."""
        return moment(self.at)


Handler = Callable[[Event], Awaitable[None] | None]


def check_name(name: str) -> None:
    """Raise ValueError unless there is an event of that name."""
    if name not in EVENTS:
        message = f"no event is named {name!r}; they are {sorted(EVENTS)}"
        raise ValueError(message)


def of_called_code(error: BaseException) -> bool:
    """Tell whether the code that was awaited is at fault, and nobody else.

    It is not where the program or the loop ends, or this task was cancelled.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return not isinstance(error, _ENDS_ALL)


class EventStream(AsyncIterator[Event]):
    """Events in their order, until the scheduler is closed.

    Who does not keep up loses the oldest of 10,000.

    Args:
        names: Events of these names; empty: of all.
        job_id: Events about this job; None: about all, and about none.
    """

    def __init__(self, names: Iterable[str] = (), job_id: str | None = None) -> None:
        self._names = frozenset(names)
        self._job_id = job_id
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(_BACKLOG)
        self._ended = False

    def offer(self, event: Event) -> None:
        """Add an event, if it is one of those that are wanted."""
        if not self.wants(event.name):
            return
        if self._job_id in (None, event.job_id):
            self._put(event)

    def wants(self, name: str) -> bool:
        """Return whether events of that name are among those that are wanted."""
        if self._names:
            return name in self._names
        return name not in _BY_NAME

    def end(self) -> None:
        """Let the stream end behind what it holds."""
        self._put(None)

    def _put(self, event: Event | None) -> None:
        if self._queue.full():
            # A listener that does not listen must not fill the memory.
            self._queue.get_nowait()
        self._queue.put_nowait(event)

    async def __anext__(self) -> Event:
        """Return the next event."""
        if self._ended:
            raise StopAsyncIteration
        event = await self._queue.get()
        if event is None:
            self._ended = True
            self._put(None)  # other tasks may wait here as well
            raise StopAsyncIteration
        return event


class EventBus:
    """Fans events out to handlers and iterators; none of them can harm a run."""

    def __init__(self, estimate: Callable[[], int]) -> None:
        self._estimate = estimate
        self._handlers: dict[str, list[Handler]] = {}
        # Weakly, so that one that nobody iterates over any more is forgotten.
        self._streams: set[weakref.ref[EventStream]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: list[Callable[..., Any]] = []
        self._closed = False
        self.within: Callable[[], AbstractContextManager[None]] = nullcontext
        """As whom it logs what listeners do wrong, whoever told them."""

    def on(self, name: str, handler: Handler) -> Callable[[], None]:
        """Call ``handler`` for each event of that name, ``*`` for all but rows.

        Returns:
            A function that ends it; safe to call twice.

        Raises:
            ValueError: There is no event of that name.
        """
        if name != "*":
            check_name(name)
        handlers = self._handlers.setdefault(name, [])
        handlers.append(handler)

        def off() -> None:
            if handler in handlers:
                handlers.remove(handler)

        return off

    def take_over(self, other: EventBus) -> None:
        """Have the handlers of another bus, which is not used any more."""
        self._handlers = other._handlers

    @property
    def silent(self) -> bool:
        """Whether nobody listens to anything."""
        return not self._streams and not self._handlers

    def hears(self, name: str) -> bool:
        """Return whether anybody listens; who tells may spare itself the words."""
        handlers = self._handlers
        if not handlers and not self._streams:
            return False
        if name in _BY_NAME:
            named = any(stream.wants(name) for stream in self._alive())
            return named or bool(handlers.get(name))
        return bool(self._streams or handlers.get(name) or handlers.get("*"))

    def emit(self, name: str, job_id: str | None = None, /, **data: Any) -> None:
        """Tell everybody; never raises and never waits."""
        if not self.hears(name):
            return
        event = Event(name, self._estimate(), job_id, data)
        for stream in self._alive():
            stream.offer(event)
        everything = () if name in _BY_NAME else self._handlers.get("*", ())
        for handler in (*self._handlers.get(name, ()), *everything):
            self.call(handler, event)

    def call(self, handler: Callable[[T], Awaitable[None] | None], fact: T) -> None:
        """Call somebody's function or coroutine function; contain what it raises.

        A ``CancelledError`` too, which comes from something of theirs that was
        cancelled: it would be taken for the cancellation of whoever tells.
        """
        try:
            answer = handler(fact)
        except _ENDS_ALL:
            raise
        except BaseException as error:
            self._failed(handler, error)
            return
        if answer is not None:
            task = asyncio.ensure_future(self._await(handler, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _await(
        self, handler: Callable[..., Any], answer: Awaitable[None]
    ) -> None:
        try:
            await answer
        except BaseException as error:
            if not of_called_code(error):
                raise
            self._failed(handler, error)

    def _failed(self, handler: Callable[..., Any], error: BaseException) -> None:
        with self.within():
            log.error(
                "a listener raised %s",
                type(error).__name__,
                exc_info=error,
                extra={"action": "callback_failed"},
            )
        if handler not in self._failing:
            # One that fails over its own failure is not told of it again.
            self._failing.append(handler)
            try:
                self.emit("callback_failed", error=error, of=handler)
            finally:
                self._failing.remove(handler)

    def iterate(
        self, names: Iterable[str] = (), job_id: str | None = None
    ) -> EventStream:
        """Return an iterator over the events from this call on.

        Args:
            names: Of these names only; empty: of all.
            job_id: About this job only; None: about anything.

        Raises:
            ValueError: There is no event of such a name.
        """
        wanted = tuple(names)
        for name in wanted:
            check_name(name)
        stream = EventStream(wanted, job_id)
        if self._closed:
            stream.end()
        else:
            self._streams.add(weakref.ref(stream, self._streams.discard))
        return stream

    def _alive(self) -> list[EventStream]:
        found = [reference() for reference in self._streams]
        return [stream for stream in found if stream is not None]

    async def close(self) -> None:
        """End the iterators and wait for handlers that are under way."""
        self._closed = True
        for stream in self._alive():
            stream.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in self._tasks:
            task.cancel()
