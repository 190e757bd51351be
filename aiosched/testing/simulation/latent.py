"""The memory store as nodes reach it over a network that is simulated with it.

Each verb takes a drawn time on its way there and back, so that any two nodes'
transactions interleave in any order; signals take their time, too, and what
befalls the way or the store befalls them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from aiosched.abc import Decide, JobStore, Report, Session, Signal, SignalStream, Terms
from aiosched.clock import IdSource
from aiosched.errors import StoreUnavailableError
from aiosched.records import Change, Record
from aiosched.stores.memory import MemoryJobStore
from aiosched.stores.redis.timing import Timekeeper
from aiosched.stores.space import RowLog, Shard, Space
from aiosched.testing.faults import FaultySession, FaultyStore
from aiosched.testing.nodes import NODE, process_of
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.commits import Commit, kind_of
from aiosched.testing.simulation.distant import LatentStream

if TYPE_CHECKING:
    from aiosched.testing.simulation.world import World

__all__ = ["MemoryPremises"]

T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds that a node waits for an answer, as the Redis store does by default."""

_WRITING = frozenset({"transact", "beat", "advertise", "sweep", "open"})


class MemoryPremises:
    """One memory store, and the nodes' doors to it."""

    def __init__(self, world: World) -> None:
        """Make the store; it is empty."""
        self.world = world
        self.generation: int = 0
        self.streams: list[LatentStream] = []
        self.store: _WatchedStore = _WatchedStore(world)

    def store_for(self, node: str) -> JobStore:
        """Return the store as a node reaches it."""
        return LatentStore(self, node)

    def crashed(self, node: str) -> None:
        """Forget the subscriptions of a node that is dead."""
        for stream in tuple(self.streams):
            if process_of(stream.node) == node:
                stream.forget()

    def disconnect(self) -> None:
        """End all connections; answers that are on their way are lost."""
        self.generation += 1
        for stream in tuple(self.streams):
            stream.cut()

    def snapshot(self) -> object:
        """Keep what the store holds, by namespace."""
        return {name: space.kept() for name, space in self.store.spaces.items()}

    def restore(self, kept: object | None) -> dict[str, Record]:
        """Go back to what was kept, or to nothing; under another epoch."""
        held: dict[str, Any] = kept if isinstance(kept, dict) else {}
        found: dict[str, Record] = {}
        for name, space in self.store.spaces.items():
            space.go_back(held.get(name), self.store.draw())
            found |= {i: r for shard in space.shards for i, r in shard.records.items()}
        return found


class _StoreClock:
    """The clock of the store's host."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.store_second()

    def wall(self) -> int:
        return self._world.now()

    async def sleep(self, seconds: float) -> None:
        await CLOCK.sleep(seconds)


class _WatchedStore(MemoryJobStore):
    """A memory store whose commits the world hears of."""

    def __init__(self, world: World) -> None:
        self.draw: IdSource = world.ids("epochs")
        super().__init__(_StoreClock(world), ids=self.draw)
        self._world = world
        self.spaces: dict[str, _WatchedSpace] = {}

    def make_space(self, namespace: str, terms: Terms) -> Space:
        space = _WatchedSpace(terms, self.draw(), self._world)
        self.spaces[namespace] = space
        return space


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a namespace held at one moment."""

    shards: list[tuple[dict[str, Record], dict[str, int], int, RowLog]]
    rows: RowLog
    executors: dict[str, Any]
    queues: set[str]
    keywords: dict[str, set[str]]


class _WatchedSpace(Space):
    """A namespace that tells of commits, and can go back to what it was."""

    def __init__(self, terms: Terms, epoch: str, world: World) -> None:
        super().__init__(terms, epoch)
        self._world = world
        self._told: list[Signal] = []

    def commit(
        self,
        number: int,
        found: Mapping[str, Record | None],
        changes: Mapping[str, Change],
        now: int,
        *,
        signal: bool,
    ) -> None:
        self._told = []
        super().commit(number, found, changes, now, signal=signal)
        shard = self.shards[number]
        node = NODE.get()
        who = None if node is None else process_of(node)
        commits = [
            Commit(
                now,
                who,
                job_id,
                found[job_id],
                shard.records.get(job_id),
                change.rows,
                shard.at.get(job_id),
            )
            for job_id, change in changes.items()
        ]
        self._world.committed(commits)
        self._world.published(commits, self._told, announced=signal)

    def tell(self, number: int, signal: Signal) -> None:
        self._told.append(signal)
        super().tell(number, signal)

    def kept(self) -> _Kept:
        """Copy what is there; records never change, so they are shared."""
        return _Kept(
            [(dict(s.records), dict(s.at), s.rev, _copy(s.rows)) for s in self.shards],
            _copy(self._rows),
            dict(self.executors),
            set(self.queues),
            {word: set(ids) for word, ids in self.keywords.items()},
        )

    def go_back(self, kept: _Kept | None, epoch: str) -> None:
        """Hold what was kept, or nothing; members beat again by themselves."""
        self.epoch = epoch
        self.members = {}
        if kept is None:
            fresh: list[Any] = [({}, {}, 0, RowLog())] * self.terms.shards
            kept = _Kept(fresh, RowLog(), {}, set(), {})
        self.shards[:] = [_shard_of(*parts) for parts in kept.shards]
        self._rows = _copy(kept.rows)
        self.executors = dict(kept.executors)
        self.queues = set(kept.queues)
        self.keywords = {word: set(ids) for word, ids in kept.keywords.items()}


def _shard_of(
    records: dict[str, Record], at: dict[str, int], rev: int, rows: RowLog
) -> Shard:
    shard = Shard()
    shard.rev = rev
    shard.rows = _copy(rows)
    for job_id, record in records.items():
        queue = record.definition.spec.queue
        shard.put(job_id, record)
        shard.place(job_id, queue, queue, at.get(job_id))
    return shard


def _copy(rows: RowLog) -> RowLog:
    return RowLog(rows.rows, rows.written)


class LatentStore(FaultyStore):
    """The memory store, a network away."""

    def __init__(self, premises: MemoryPremises, node: str) -> None:
        """Make the door of one node."""
        super().__init__(premises.store)
        self.threadable = True
        self.premises = premises
        self.world: World = premises.world
        self.node = node

    async def open(
        self,
        namespace: str,
        terms: Mapping[str, Any],
        *,
        report: Report | None = None,
    ) -> FaultySession:
        """Open a session, as the inner store does, but over the network."""
        session = await self.carry_out(
            "open", lambda: self.inner.open(namespace, terms, report=report), {}
        )
        return LatentSession(self, session, self.premises.store.spaces[namespace])

    async def carry_out(
        self,
        verb: str,
        call: Callable[[], Awaitable[T]],
        arguments: Mapping[str, Any],  # noqa: ARG002 - no plan looks at them
        undo: Callable[[T], Awaitable[None]] | None = None,  # noqa: ARG002
    ) -> T:
        """Make a call over the network.

        Raises:
            StoreUnavailableError: It never arrived, or its answer was lost.
        """
        line = await self.there(verb)
        answer = await call()
        await self.back(line, verb)
        return answer

    async def there(self, verb: str) -> tuple[int, float]:
        """Let a request travel to the store.

        Returns:
            On which connection, and until when an answer is waited for.

        Raises:
            StoreUnavailableError: It did not arrive.
        """
        conditions = self.world.conditions
        until = self.world.loop.time() + TIMEOUT
        line = self.premises.generation
        await self._travel(until)
        if conditions.refused() or line != self.premises.generation:
            raise StoreUnavailableError("the simulated store cannot be reached")
        answer = conditions.refusing()
        if answer is not None and (verb in _WRITING or answer.startswith("LOADING")):
            await self._travel(until)
            raise StoreUnavailableError(f"the simulated store refuses: {answer}")
        return line, until

    async def back(self, line: tuple[int, float], verb: str) -> None:
        """Let an answer travel back.

        Raises:
            StoreUnavailableError: It did not arrive.
        """
        try:
            await self._home(*line)
        except StoreUnavailableError:
            if verb == "transact":
                self.world.unknown(self.node)
            raise

    async def _home(self, generation: int, until: float) -> None:
        await self._travel(until)
        if generation != self.premises.generation:
            raise StoreUnavailableError("the simulated store ended the connection")

    async def _travel(self, until: float) -> None:
        loop, conditions = self.world.loop, self.world.conditions
        while True:
            now = loop.time()
            silent = conditions.silent_until(self.node)
            if silent <= now:
                break
            if silent > until:
                await CLOCK.sleep(max(0.0, until - now))
                raise StoreUnavailableError("the simulated store did not answer")
            await CLOCK.sleep(silent - now)
        await CLOCK.sleep(conditions.latency(self.node))


class LatentSession(FaultySession):
    """A session of the memory store, a network away."""

    def __init__(self, store: LatentStore, session: Session, space: Space) -> None:
        """Wrap an open session of a namespace."""
        super().__init__(store, session)
        self.spanning: bool = store.world.spanning
        self._door = store
        self._space = space
        # As the Redis store knows the time: an answer that was long on its way
        # says little of it.
        self._keeper = Timekeeper()
        second = store.world.loop.time()
        self._keeper.sample(second, second, store.world.now())

    def _heard(self, sent: float, instant: int) -> None:
        self._keeper.sample(sent, self._door.world.loop.time(), instant)

    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
        urgent: bool = False,
    ) -> dict[str, Change]:
        """Do it over the network, past the named points."""
        door, world = self._door, self._door.world
        before, after = kind_of(decide, claim=claim)
        sent = world.loop.time()
        cut = world.passes(door.node, "before_write")
        cut = (before is not None and world.passes(door.node, before)) or cut
        line = await door.there("transact")
        if cut:
            world.counts["cut before"] += 1
            raise StoreUnavailableError("the connection was cut before the commit")
        answer = await self.inner.transact(
            ids, decide, claim=claim, signal=signal, urgent=urgent
        )
        clock = world.now()
        cut = world.passes(door.node, "after_write")
        cut = (after is not None and world.passes(door.node, after)) or cut
        await door.back(line, "transact")
        if cut:
            world.unknown(door.node, "cut")
            raise StoreUnavailableError("the connection was cut after the commit")
        self._heard(sent, clock)
        return answer

    async def now(self) -> int:
        """Ask over the network."""
        sent = self._door.world.loop.time()
        line = await self._door.there("now")
        instant = await self.inner.now()
        await self._door.back(line, "now")
        self._heard(sent, instant)
        return instant

    def estimate(self) -> int:
        """Return the store's instant as the last answers told of it."""
        return self._keeper.estimate(self._door.world.loop.time())

    def drift(self) -> int | None:
        """Return None: the store has a clock of its own."""
        return None

    def signals(self) -> SignalStream:
        """Return a subscription, a network away."""
        return LatentStream(self._door, self._space)
