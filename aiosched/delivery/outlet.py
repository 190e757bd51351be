"""An outlet: items that have to go out, in lanes, until they have been taken.

One lane is sent in its order, and waits for its first item; different lanes do not
wait for each other.  Nothing here blocks whoever puts an item in, and no failure
of a receiver reaches them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiosched._engine.events import of_called_code
from aiosched.clock import Clock, SystemClock
from aiosched.delivery.reports import Counts, Reports, Tell
from aiosched.delivery.spool import Spool
from aiosched.errors import AttemptError
from aiosched.jobs import checks
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["Outlet", "RefusedError", "Send", "teller"]

Item = dict[str, Any]
Send = Callable[[Item], Awaitable[None]]

_BATCH = 500
"""Items that go to the spool, or come from it, at once."""


class RefusedError(Exception):
    """The receiver will never take this item; it is not sent again."""


class _Waiting(NamedTuple):
    number: int
    item: Item
    lane: str
    since: float
    filed: bool = False
    """Whether it came from the file, which keeps it until it was taken."""


def teller(scheduler: Scheduler) -> Tell:
    """Return what tells those who listen to a scheduler's events."""
    return scheduler._bus.emit


class Outlet:
    """Sends items to one receiver.

    At least once: an item whose answer is lost goes out again.  Bounded: what does
    not fit goes to the ``spool``, and without one is dropped, counted and told.

    Attributes:
        name: For logs and events.
        reports: What is told of it.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        *,
        limit: int = 10_000,
        at_once: int = 1,
        lane_of: Callable[[Item], str] | None = None,
        give_up: float | None = None,
        pause: float = 0.5,
        longest_pause: float = 60.0,
        spool: Spool | None = None,
        tell: Tell | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Check the options; nothing runs before the first item.

        Args:
            name: What people call it.
            send: Gives one item to the receiver.  An error means that it is sent
                again, :class:`RefusedError` that it never is.
            limit: Items in memory, at most.
            at_once: Items that are sent at a time, of different lanes.
            lane_of: Tells the lane of an item; None: all are in one.
            give_up: Seconds after which an item is dropped; None: never.
            pause: Seconds before the second try; doubled each time.
            longest_pause: Seconds between two tries, at most.
            spool: Where items go that memory has no room for, and what is left
                at the end; None: they are dropped.
            tell: Emits events; None: nobody hears.
            clock: For tests.

        Raises:
            ConfigurationError: An option that cannot be used.
        """
        self.name: str = checks.text_id("name", name, what="name")
        checks.number("limit", limit, least=1, most=10_000_000)
        checks.number("at_once", at_once, least=1, most=1_000)
        checks.share("pause", pause, least=0.001, most=3_600)
        checks.share("longest_pause", longest_pause, least=0.001, most=86_400)
        if give_up is not None:
            checks.share("give_up", give_up, least=0, most=10**9)
        self._clock = SystemClock() if clock is None else clock
        self.reports: Reports = Reports(self.name, tell, self._clock)
        self._send = send
        self._limit = limit
        self._at_once = at_once
        self._lane_of = lane_of or (lambda _: "")
        self._give_up = give_up
        self._pause = pause
        self._longest = longest_pause
        self._spool = spool
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._free: deque[str] = deque()
        self._active = self._filed = 0
        self._behind: deque[_Waiting] = deque()
        self._numbers = itertools.count()
        # What goes to the file must not be in the lanes, which are sent first.
        self._window = limit if spool is None else max(limit // 4, 1)
        self._workers: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._filing = asyncio.Lock()  # held while a thread is at the file
        self._changed = asyncio.Event()
        self._quiet = asyncio.Event()

    # -- in --------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What became of the items so far."""
        return self.reports.counts

    @property
    def waiting(self) -> int:
        """Items in memory that have not been taken yet."""
        return self._active + len(self._behind)

    @property
    def failing(self) -> bool:
        """Whether the last try of some lane has failed."""
        return bool(self.reports.stuck)

    @property
    def idle(self) -> bool:
        """Whether nothing waits, in memory or in the file."""
        return not self.waiting and (self._spool is None or self._spool.empty)

    def put(self, item: Item) -> bool:
        """Take an item, to be sent as soon as its lane is free; never blocks.

        Args:
            item: A JSON object.

        Returns:
            Whether it was taken; False: there is no room, or it is closed.

        Raises:
            RuntimeError: No event loop runs here.
        """
        if self._closed or self.waiting >= self._limit:
            self.reports.dropped(1, "closed" if self._closed else "full")
            return False
        one = self._one(item)
        filed = self._spool is not None and not self._spool.empty
        if filed or self._behind or self._active >= self._window:
            self._behind.append(one)
        else:
            self._enqueue(one)
        self.start()
        return True

    def start(self) -> None:
        """Begin to send what an earlier process has left; safe to call again.

        Raises:
            RuntimeError: No event loop runs here.
        """
        if self._closed:
            return
        spool = self._spool
        if spool is not None and (self._behind or spool.exists):
            self._changed.set()
            if self._pump is None:
                self._pump = self._begin(self._move(spool), "spool")
                self._pump.add_done_callback(self._moved)
        while self._free and len(self._workers) < self._at_once:
            task = self._begin(self._work(self._free.popleft()), "send")
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)

    async def room(self) -> None:
        """Wait until half of the memory is free, or it is closed."""
        while self.waiting > self._limit // 2 and not self._closed:
            self._quiet.clear()
            await self._quiet.wait()

    async def flush(self) -> None:
        """Wait until nothing waits, however long that takes."""
        self.start()
        while not self.idle and not self._closed:
            self._quiet.clear()
            await self._quiet.wait()

    async def close(self, grace: float = 5.0) -> None:
        """Send what waits, for so many seconds; keep the rest in the spool.

        Safe to call twice.  What is left without a spool is dropped, and told.

        Args:
            grace: Seconds; 0 sends nothing more.
        """
        if self._closed:
            return
        try:
            async with asyncio.timeout(grace):
                await self.flush()
        except TimeoutError:
            pass
        finally:
            self._closed = True
            self._quiet.set()
            await self._end()

    async def _end(self) -> None:
        async with self._filing:
            # What a thread reads or writes now is not to be half known here.
            tasks = [*self._workers, *([self._pump] if self._pump else [])]
            for task in tasks:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        queued = (one for lane in self._lanes.values() for one in lane)
        sending = [one.item for one in sorted(queued, key=_number)]
        behind = [one.item for one in self._behind]
        self._lanes.clear()
        self._behind.clear()
        self._active = self._filed = kept = 0
        spool = self._spool
        if spool is not None and (sending or behind or spool.exists):
            try:
                kept = await asyncio.to_thread(spool.rewind, sending)
                if kept == len(sending):
                    kept += await asyncio.to_thread(spool.append, behind)
            except OSError as error:
                self.reports.spool_fails(error, self.waiting)
        self.counts.spooled += kept
        self.reports.left(len(sending) + len(behind) - kept)

    def _begin(self, work: Any, what: str) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[None] = loop.create_task(
            work, name=f"aiosched outlet {self.name} {what}"
        )
        return task

    def _one(self, item: Item, *, filed: bool = False) -> _Waiting:
        lane, number = self._lane_of(item), next(self._numbers)
        return _Waiting(number, item, lane, self._clock.monotonic(), filed)

    def _enqueue(self, one: _Waiting) -> None:
        self._active += 1
        self._filed += one.filed
        lane = self._lanes.get(one.lane)
        if lane is None:
            self._lanes[one.lane] = deque((one,))
            self._free.append(one.lane)
        else:
            lane.append(one)

    # -- out -------------------------------------------------------------------

    async def _work(self, lane: str) -> None:
        """Send lanes as they become free, until none is."""
        try:
            while True:
                queue = self._lanes[lane]
                await self._deliver(queue[0])
                self._active -= 1
                self._filed -= queue.popleft().filed
                if queue:
                    self._free.append(lane)
                else:
                    del self._lanes[lane]
                self._changed.set()
                self._quiet.set()
                if not self._free:
                    return
                lane = self._free.popleft()
        finally:
            # Here and not when the task is done: what is put in between would
            # find all workers busy, and wait for the next.
            task = asyncio.current_task()
            if task is not None:
                self._workers.discard(task)

    async def _deliver(self, one: _Waiting) -> None:
        """Send one item until it is taken, or never will be."""
        pause = self._pause
        while True:
            try:
                await self._send(one.item)
            except RefusedError as error:
                self.reports.well(one.lane)
                self.reports.refused(error)
                return
            except BaseException as error:
                if not of_called_code(error):
                    raise
                wait = pause
                if isinstance(error, AttemptError):
                    wait = max(wait, min(error.after, self._longest))
                self.reports.failed(one.lane, error, self.waiting)
                self._changed.set()
            else:
                self.counts.sent += 1
                self.reports.well(one.lane)
                return
            age = self._clock.monotonic() - one.since
            if self._give_up is not None and age >= self._give_up:
                self.reports.stuck.discard(one.lane)
                self.reports.dropped(1, "too old")
                return
            await self._clock.sleep(wait)
            pause = min(pause * 2, self._longest)

    # -- the file ----------------------------------------------------------------

    def _moved(self, task: asyncio.Task[None]) -> None:
        self._pump = None
        self._quiet.set()
        if task.cancelled():
            return
        if task.exception() is not None:  # it begins anew with the next item
            log.error(
                "the spool of %s fails",
                self.name,
                exc_info=task.exception(),
                extra={"action": "spool_failed"},
            )
        elif self._behind or self._free:
            self.start()  # something came while it ended

    async def _move(self, spool: Spool) -> None:
        """Move items to the file while they do not go out, and back when they do.

        First come those in the lanes, then those of the file, then those behind.
        """
        while self._behind or spool.exists:
            self._changed.clear()
            try:
                async with self._filing:
                    moved = await self._step(spool)
            except OSError as error:
                self.reports.spool_fails(error, self.waiting)
                await self._clock.sleep(self._pause)
                continue
            if not moved:
                await self._changed.wait()

    async def _step(self, spool: Spool) -> bool:
        """Move some; tell whether there may be more to do at once."""
        if self._behind and (self.failing or self._crowded()):
            return await self._to_file(spool)
        if spool.exists and spool.empty and not self._filed:
            await asyncio.to_thread(spool.forget)
            return True
        if self._active:
            return False
        await self._refill(spool)
        return True

    def _crowded(self) -> bool:
        return len(self._behind) > self._window

    async def _to_file(self, spool: Spool) -> bool:
        """Move items behind those of the file, if that has room for all."""
        batch = list(itertools.islice(self._behind, _BATCH))
        written = await asyncio.to_thread(spool.append, [one.item for one in batch])
        for _ in range(written):
            self._behind.popleft()
        self._quiet.set()
        self.counts.spooled += written
        # Where the file is full, memory fills up now, and then items are dropped.
        return written == len(batch)

    async def _refill(self, spool: Spool) -> None:
        """Fill the lanes, which are empty, with what comes next."""
        if spool.empty:
            while self._behind and self._active < self._window:
                self._enqueue(self._behind.popleft())
        else:
            items, broken = await asyncio.to_thread(spool.read, _BATCH)
            if broken:
                self.reports.dropped(broken, "unreadable")
            for item in items:
                self._enqueue(self._one(item, filed=True))
        self.start()


def _number(one: _Waiting) -> int:
    return one.number
