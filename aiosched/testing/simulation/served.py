"""The Redis store's own code over a modelled server, as nodes reach it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from aiosched.abc import Decide, JobStore, Report, Session, Signal
from aiosched.errors import StoreUnavailableError
from aiosched.records import Change, Record, Row
from aiosched.rows import unpack_line
from aiosched.stores.redis.codec import decode, split
from aiosched.stores.redis.signals import parse_changed, parse_done
from aiosched.stores.redis.specs import SpecCache
from aiosched.stores.redis.store import RedisJobStore
from aiosched.testing.faults import FaultySession, FaultyStore
from aiosched.testing.nodes import process_of
from aiosched.testing.redis_model import Server
from aiosched.testing.redis_model.values import Sorted, Stream
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.commits import Commit, kind_of
from aiosched.testing.simulation.network import (
    INTENT,
    Line,
    Peer,
    SimulatedConnection,
)

if TYPE_CHECKING:
    from aiosched.testing.simulation.world import World

__all__ = ["RedisPremises"]

T = TypeVar("T")
Changed = Mapping[bytes, tuple[Any, Any]]

_URL = "redis://simulated"
_TIME = b"\r\nTIME\r\n"
_INFINITE = float("inf")


class RedisPremises:
    """One modelled server, and the connections to it."""

    def __init__(self, world: World) -> None:
        """Start the server; it is empty."""
        self.world = world
        self.server: Server = Server(world.now)
        self.lines: list[Line] = []
        self._doors = 0
        self._served: dict[int, _Served] = {}
        self._reader = RecordReader()
        self.server.commits.append(self._committed)

    def store_for(self, node: str) -> JobStore:
        """Return a Redis store whose connections are the node's."""
        self._doors += 1
        store = RedisJobStore(
            _URL,
            connection_factory=functools.partial(
                SimulatedConnection, dial=functools.partial(self._dial, node)
            ),
            ids=self.world.ids("redis", node, self._doors),
        )
        return ServedStore(self, store, node)

    async def _dial(self, node: str) -> Line:
        """Open a connection, or find that it cannot be.

        Raises:
            ConnectionRefusedError: Nobody listens.
        """
        loop, ways = self.world.loop, self.world.conditions
        while (silent := ways.silent_until(node) - loop.time()) > 0:
            await CLOCK.sleep(silent)
        await CLOCK.sleep(ways.latency(node) + ways.latency(node))
        if ways.refused():
            raise ConnectionRefusedError("the simulated server is down")
        line = Line(
            self.world, node, functools.partial(self._accept, node), self._ended
        )
        self.lines.append(line)
        return line

    def _accept(self, node: str) -> Peer:
        served = _Served(self, node)
        self._served[served.id] = served
        return served

    def forget(self, served: _Served) -> None:
        """Let go of the server's side of a connection that has ended."""
        del self._served[served.id]

    def _ended(self, line: Line) -> None:
        self.lines.remove(line)

    def crashed(self, node: str) -> None:
        """Let the server find out, behind what was sent, that a node is dead."""
        for line in tuple(self.lines):
            if process_of(line.node) == node:
                line.hang_up()

    def disconnect(self) -> None:
        """End all connections; answers that are on their way are lost."""
        for line in tuple(self.lines):
            line.cut()

    def snapshot(self) -> object:
        """Keep what the server holds."""
        return self.server.snapshot()

    def restore(self, kept: object | None) -> dict[str, Record]:
        """Go back to what was kept, or to nothing."""
        if kept is None:
            self.server.clear()
        else:
            self.server.restore(kept)  # type: ignore[arg-type]
        values = self.server.databases[0].values
        self._reader = RecordReader()
        for key, value in values.items():
            self._reader.note(key, value)
        found: dict[str, Record] = {}
        for key, value in values.items():
            record = self._reader.record(key, value)
            if record is not None:
                found[record.definition.id] = record
        return found

    # -- commits --------------------------------------------------------------------

    def _committed(
        self,
        connection: Any,
        changed: Changed,
        published: Sequence[tuple[bytes, bytes]],
    ) -> None:
        commits = self._changes(connection, changed)
        if commits:
            self.world.committed(commits)
        signals = signals_of(published)
        if commits or signals:
            announced = any(parts_of(key)[1] == "rev" for key in changed)
            self.world.published(commits, signals, announced=announced)

    def _changes(self, connection: Any, changed: Changed) -> list[Commit]:
        """Read what was written to which records."""
        reader = self._reader
        for key, (_, new) in changed.items():
            reader.note(key, new)
        before: dict[str, Record | None] = {}
        after: dict[str, Record | None] = {}
        rows: dict[str, list[Row]] = {}
        due: dict[str, int | None] = {}
        for key, (old, new) in changed.items():
            _, kind, name = parts_of(key)
            if kind == "j" and (old != new):
                before[name] = reader.known.get(key)
                after[name] = reader.record(key, new)
            elif kind == "l" and isinstance(new, Stream):
                for row in _new_rows(old, new):
                    rows.setdefault(row.job_id, []).append(row)
            elif kind == "a":
                for job_id, where in _moved(old, new).items():
                    # It leaves one agenda for another, in either order.
                    if where is not None or job_id not in due:
                        due[job_id] = where
        tags = {parts_of(key)[0] for key in changed}
        ids = dict.fromkeys([*after, *due, *rows])
        if not ids:
            return []
        served = self._served.get(connection.id)
        node = None if served is None else process_of(served.node)
        at = self.world.now() if served is None else served.asked or self.world.now()
        commits = []
        for job_id in ids:
            if job_id not in after:
                held = self._held(tags, job_id)
                before[job_id] = after[job_id] = held
            where = due[job_id] if job_id in due else self._due(tags, job_id)
            commits.append(
                Commit(
                    at,
                    node,
                    job_id,
                    before[job_id],
                    after[job_id],
                    tuple(rows.get(job_id, ())),
                    where,
                )
            )
        return commits

    def _held(self, tags: set[str], job_id: str) -> Record | None:
        keys = (f"{tag}:j:{job_id}".encode() for tag in tags)
        found = (self._reader.known.get(key) for key in keys)
        return next((one for one in found if one is not None), None)

    def _due(self, tags: set[str], job_id: str) -> int | None:
        """Return where a job stands in the agendas of its shard."""
        name = job_id.encode()
        values = self.server.databases[0].values
        for tag in tags:
            for key in self._reader.agendas.get(tag, ()):
                value = values.get(key)
                if isinstance(value, Sorted) and name in value.scores:
                    return _instant(value.scores[name])
        return None


def parts_of(key: bytes) -> tuple[str, str, str]:
    """Return tag, kind and name of a key of the Redis store."""
    tag, brace, rest = key.decode().partition("}:")
    kind, _, name = rest.partition(":")
    return tag + brace[:1], kind, name


def signals_of(published: Sequence[tuple[bytes, bytes]]) -> list[Signal]:
    """Read what was published of jobs; the shard is not told."""
    found: list[Signal] = []
    for channel, data in published:
        kind = parts_of(channel)[1]
        if kind == "s":
            found.append(parse_changed(0, data))
        elif kind == "d":
            found.append(parse_done(0, data))
    return found


class RecordReader:
    """Decodes records as they are written.

    Attributes:
        known: The last record under each key.
        agendas: Keys of the agendas of each shard, in the order of their coming.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.known: dict[bytes, Record] = {}
        self.agendas: dict[str, dict[bytes, None]] = {}
        self._specs = SpecCache()
        self._bodies: dict[str, bytes] = {}

    def note(self, key: bytes, value: Any) -> None:
        """Remember the content of a shared spec, and where agendas are."""
        tag, kind, name = parts_of(key)
        if kind == "x" and isinstance(value, bytes):
            self._bodies[name] = value
        elif kind == "a":
            self.agendas.setdefault(tag, {})[key] = None

    def record(self, key: bytes, value: Any) -> Record | None:
        """Return the record that stands under a key now; None: there is none."""
        _, kind, name = parts_of(key)
        if kind != "j" or not isinstance(value, bytes):
            self.known.pop(key, None)
            return None
        parts = split(value)
        spec = self._specs.find(parts.spec)
        if spec is None:
            body = self._bodies.get(parts.spec[1:].decode())
            spec = self._specs.learn(parts.spec, body)
        record = self.known[key] = decode(parts, name, spec)
        return record


def _new_rows(old: Any, new: Stream) -> list[Row]:
    last = old.last if isinstance(old, Stream) else (0, 0)
    found: list[Row] = []
    for _, words, *_ in new.between((last[0], last[1] + 1), (2**64 - 1, 2**64 - 1)):
        fields = dict(zip(words[::2], words[1::2], strict=True))
        packed = fields.get(b"r", b"").decode()
        for line in packed.split("\n") if packed else ():
            found += unpack_line(line)
    return found


def _moved(old: Any, new: Any) -> dict[str, int | None]:
    before = old.scores if isinstance(old, Sorted) else {}
    after = new.scores if isinstance(new, Sorted) else {}
    if len(before) == len(after):
        names = {name for name, score in after.items() if before.get(name) != score}
        names |= before.keys() - after.keys()
    else:
        names = before.keys() ^ after.keys()
        names |= {n for n in before.keys() & after.keys() if before[n] != after[n]}
    return {
        name.decode(): _instant(after[name]) if name in after else None
        for name in sorted(names)
    }


def _instant(score: float) -> int | None:
    return None if score == _INFINITE else int(score)


class _Served:
    """The server's side of one line, and what it answers when it will not work."""

    def __init__(self, premises: RedisPremises, node: str) -> None:
        self.node = node
        self.asked: int = 0
        self._premises = premises
        self._session = premises.server.connect()
        self.id: int = self._session.id

    @property
    def pushed(self) -> Callable[[bytes], None] | None:
        return self._session.pushed

    @pushed.setter
    def pushed(self, value: Callable[[bytes], None] | None) -> None:
        self._session.pushed = value

    def feed(self, data: bytes) -> bytes:
        server = self._premises.server
        server.refusing = self._premises.world.conditions.refusing()
        reply = self._session.feed(data)
        if _TIME in data:
            # What is committed next here was decided with this instant.
            self.asked = server.clock_us()
        return reply

    def close(self) -> None:
        self._session.close()
        self._premises.forget(self)


class ServedStore(FaultyStore):
    """A Redis store of one node: it notes what each transaction is for."""

    def __init__(self, premises: RedisPremises, store: JobStore, node: str) -> None:
        """Wrap the node's store."""
        super().__init__(store)
        self.premises = premises
        self.node = node

    async def open(
        self,
        namespace: str,
        terms: Mapping[str, Any],
        *,
        report: Report | None = None,
    ) -> FaultySession:
        """Open a session of the Redis store, and wrap it."""
        session = await self.inner.open(namespace, terms, report=report)
        return ServedSession(self, session)

    async def carry_out(
        self,
        verb: str,  # noqa: ARG002 - nothing is planned
        call: Callable[[], Awaitable[T]],
        arguments: Mapping[str, Any],  # noqa: ARG002
        undo: Callable[[T], Awaitable[None]] | None = None,  # noqa: ARG002
    ) -> T:
        """Make the call."""
        return await call()


class ServedSession(FaultySession):
    """A session of the Redis store whose transactions are counted."""

    def __init__(self, store: ServedStore, session: Session) -> None:
        """Wrap an open session."""
        super().__init__(store, session)
        self.spanning: bool = store.premises.world.spanning
        self._door = store

    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
        urgent: bool = False,
    ) -> dict[str, Change]:
        """Do it; its packets are known by what it is for."""
        world, node = self._door.premises.world, self._door.node
        before, after = kind_of(decide, claim=claim)
        token = INTENT.set((before, after) if before and after else ())
        counters = self.inner.counters
        aborts, unknown = counters.aborts, counters.unknown
        try:
            return await self.inner.transact(
                ids, decide, claim=claim, signal=signal, urgent=urgent
            )
        except StoreUnavailableError:
            world.counts["transactions failed"] += 1
            raise
        finally:
            INTENT.reset(token)
            why = world.conditions.present(process_of(node))
            if counters.aborts > aborts:
                world.counts["aborts"] += counters.aborts - aborts
                world.counts[f"aborts: {why}"] += counters.aborts - aborts
            if counters.unknown > unknown:
                world.counts["unknown EXECs"] += counters.unknown - unknown
                world.counts[f"unknown EXECs: {why}"] += counters.unknown - unknown
