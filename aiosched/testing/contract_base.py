"""What the parts of the store contract share: sessions, listening, races."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
)
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from aiosched.abc import (
    MAX_BATCH,
    JobStore,
    Session,
    Signal,
    SignalStream,
)
from aiosched.clock import SystemClock, random_id
from aiosched.records import Change, Record, Row
from aiosched.testing.contract_decisions import SHARDS

__all__ = [
    "ContractBase",
    "Ear",
    "Interleaved",
    "entries_of",
    "everything",
    "found_by",
    "rows_of",
    "subscribers",
]

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds after which something that was to happen is given up."""


class Interleaved(Awaitable[T]):
    """A coroutine that is overtaken at one of its points of suspension.

    Awaiting it runs ``first``; before ``first`` goes on after its ``point``-th
    suspension, ``second`` runs from beginning to end, in the same task.

    Attributes:
        reached: Whether ``first`` was suspended that often.
    """

    def __init__(
        self,
        first: Coroutine[Any, Any, T],
        point: int,
        second: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        """Take both without starting either."""
        self._first = first
        self._point = point
        self._second = second
        self.reached: bool = False

    def __await__(self) -> Generator[Any, Any, T]:
        """Drive the first by hand."""
        waits = 0
        failure: BaseException | None = None
        while True:
            if waits == self._point and not self.reached:
                self.reached = True
                yield from self._second().__await__()
            try:
                if failure is None:
                    awaited = self._first.send(None)
                else:
                    awaited = self._first.throw(failure)
            except StopIteration as end:
                result: T = end.value
                return result
            waits += 1
            failure = None
            try:
                yield awaited
            except BaseException as error:
                failure = error


class Ear:
    """Reads one subscription, and gives up waiting some time.

    Attributes:
        heard: Every signal so far that somebody has waited for.
    """

    def __init__(self, stream: SignalStream) -> None:
        """Begin to listen."""
        self.stream = stream
        self.heard: list[Signal] = []
        self._arrived: asyncio.Queue[Signal] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self.open()

    def open(self) -> None:
        """Begin to listen, or to listen again."""
        self._reader = asyncio.get_running_loop().create_task(self._listen())

    async def shut(self) -> None:
        """Stop reading what comes; the subscription goes on."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _listen(self) -> None:
        async for signal in self.stream:
            self._arrived.put_nowait(signal)

    async def until(self, enough: Callable[[Signal], bool]) -> Signal:
        """Return the next signal that is wanted; keep all in ``heard``."""
        async with asyncio.timeout(PATIENCE):
            while True:
                signal = await self._arrived.get()
                self.heard.append(signal)
                if enough(signal):
                    return signal

    async def changed(self, job_id: str) -> Signal:
        """Return the next signal that a job has changed."""
        return await self.until(
            lambda signal: any(entry[0] == job_id for entry in signal.entries)
        )

    async def aclose(self) -> None:
        """End the subscription."""
        await self.stream.aclose()
        await self.shut()


class ContractBase:
    """Opens sessions for the tests; see ``JobStoreContract``."""

    can_race = True
    """Whether another transaction can be got between read and commit of one.

    False only for a store that is not ``threadable`` and yet suspends inside
    ``transact``; its races are then run at its suspensions alone.
    """

    async def make_store(self) -> JobStore:
        """Return the store to test; called once in each test."""
        raise NotImplementedError

    async def advance(self, seconds: float) -> None:
        """Let the store's clock go on by at least so much (less than 0.1 s)."""
        await SystemClock().sleep(seconds)

    @asynccontextmanager
    async def opened(
        self, count: int = 1, **terms: int
    ) -> AsyncGenerator[list[Session], None]:
        """Open sessions on a new namespace, and close them at the end."""
        store = await self.make_store()
        namespace = f"contract-{random_id()}"
        async with self.sessions(store, namespace, count, **terms) as found:
            yield found

    @asynccontextmanager
    async def sessions(
        self, store: JobStore, namespace: str, count: int = 1, **terms: int
    ) -> AsyncGenerator[list[Session], None]:
        """Open sessions on a namespace, and close them at the end."""
        async with AsyncExitStack() as stack:
            found = []
            for _ in range(count):
                session = await store.open(namespace, {"shards": SHARDS, **terms})
                stack.push_async_callback(session.close)
                found.append(session)
            yield found

    @asynccontextmanager
    async def ear(
        self, session: Session, changed: set[int], done: set[int] | None = None
    ) -> AsyncGenerator[Ear, None]:
        """Listen to some shards."""
        ear = Ear(session.signals())
        try:
            await ear.stream.watch(frozenset(changed), frozenset(done or ()))
            yield ear
        finally:
            await ear.aclose()

    def between(
        self,
        store: JobStore,
        namespace: str,
        spare: Session,
        work: Callable[[Session], Coroutine[Any, Any, Any]],
    ) -> Callable[[], None]:
        """Return a plain function that runs ``work`` to its end at once.

        Called from within a decision, it writes between the read and the
        commit of the transaction that asked.  A threadable store does it on a
        session of another thread; any other must get through without waiting.
        """

        async def apart() -> None:
            async with self.sessions(store, namespace) as [session]:
                await work(session)

        def in_thread() -> None:
            failures: list[BaseException] = []

            def body() -> None:
                try:
                    asyncio.run(apart())
                except BaseException as error:
                    failures.append(error)

            thread = threading.Thread(target=body)
            thread.start()
            thread.join()
            if failures:
                raise failures[0]

        def by_hand() -> None:
            coroutine = work(spare)
            try:
                coroutine.send(None)
            except StopIteration:
                return
            coroutine.close()
            assert not self.can_race, (
                "the store is not threadable, and yet waits inside a transaction; "
                "set can_race = False if that is meant"
            )

        return in_thread if store.threadable else by_hand


async def found_by(session: Session, *ids: str) -> dict[str, Record | None]:
    """Return the records of one shard as one transaction sees them."""
    seen: dict[str, Record | None] = {}

    def look(records: Mapping[str, Record | None], _: int) -> dict[str, Change]:
        seen.clear()
        seen.update(records)
        return {}

    await session.transact(ids, look)
    return seen


async def entries_of(
    session: Session, shard: int, queue: str = "default", limit: int = MAX_BATCH
) -> dict[str, int]:
    """Return an agenda's first entries as a dict, in order."""
    [head] = await session.agenda([(shard, queue)], limit=limit)
    return dict(head.entries)


async def everything(session: Session, limit: int = 100) -> dict[str, Record]:
    """Return all records, page by page."""
    found: dict[str, Record] = {}
    cursor: str | None = None
    for _ in range(10_000):
        page = await session.list(cursor=cursor, limit=limit)
        found.update({record.definition.id: record for record in page.records})
        cursor = page.cursor
        if cursor is None:
            return found
    message = "the listing does not end"
    raise AssertionError(message)


async def rows_of(
    session: Session,
    job_id: str | None = None,
    *,
    since: int | None = None,
    until: int | None = None,
    limit: int = 100,
) -> list[Row]:
    """Return ledger rows as a list, whatever the store makes of them."""
    return list(await session.ledger(job_id, since=since, until=until, limit=limit))


async def subscribers(session: Session, keyword: str) -> list[str]:
    """Return the ids under a keyword as a list, whatever the store makes of them."""
    return list(await session.by_keyword(keyword))
