"""The server: databases, channels, and what the outside may do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiosched.testing.redis_model.connection import Connection
from aiosched.testing.redis_model.database import Changes, Database
from aiosched.testing.redis_model.pubsub import Channels
from aiosched.testing.redis_model.values import Value, copied

__all__ = ["Change", "CommitHook", "Server", "Snapshot"]

Change: TypeAlias = tuple[Value | None, Value | None]
"""What stood under a key before and after; None: nothing.  Not to be changed."""

CommitHook: TypeAlias = Callable[
    [Connection, dict[bytes, Change], list[tuple[bytes, bytes]]], None
]
"""Called with the connection, the keys written, and what was published."""

_DATABASES = 16


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All data of a moment; nothing that is done later changes it.

    Attributes:
        values: What stood under each (database, key).
        deadlines: When keys were to end, in milliseconds since 1970.
    """

    values: dict[tuple[int, bytes], Value]
    deadlines: dict[tuple[int, bytes], int]


class Server:
    """A Redis server in the process: pure, synchronous, with a clock of yours.

    Attributes:
        clock_us: Microseconds since 1970; the server asks when it needs them.
        version: As HELLO and INFO say it.
        commits: Called, in order, after each command that wrote or published and
            after each EXEC that was executed, inside the server's turn.
        refusing: An error line, such as ``LOADING Redis is loading the dataset
            in memory``, with which commands are answered; None: they are done.
            With LOADING, READONLY and OOM only those commands are refused that
            a server refuses then; with anything else every one.
        config: What CONFIG GET answers.
        connections: The open ones, by id.
        databases: The sixteen databases.
        channels: Who subscribes to what.
        calls: How many commands have been executed.
    """

    def __init__(self, clock_us: Callable[[], int], version: str = "7.0.15") -> None:
        """Be empty, with nobody connected."""
        self.clock_us = clock_us
        self.version = version
        self.commits: list[CommitHook] = []
        self.refusing: str | None = None
        self.config: dict[bytes, bytes] = {
            b"appendonly": b"no",
            b"databases": b"%d" % _DATABASES,
            b"maxmemory": b"0",
            b"maxmemory-policy": b"noeviction",
            b"requirepass": b"",
            b"save": b"",
            b"timeout": b"0",
        }
        self.connections: dict[int, Connection] = {}
        self.databases: list[Database] = [
            Database(number, clock_us) for number in range(_DATABASES)
        ]
        self.channels: Channels = Channels()
        self.calls: int = 0
        self._ids = 0

    def connect(self) -> Connection:
        """Return a new connection, in RESP2, on database 0."""
        self._ids += 1
        connection = Connection(self, self._ids)
        self.connections[connection.id] = connection
        return connection

    # What Connection calls around each command and each EXEC

    def begin(self) -> Changes | None:
        """Begin to note what is written; None: nobody wants to know."""
        if not self.commits:
            return None
        changes: Changes = {}
        for database in self.databases:
            database.changes = changes
        self.channels.published = []
        return changes

    def commit(
        self, connection: Connection, changes: Changes | None, *, always: bool
    ) -> None:
        """Tell everybody what was written and published since."""
        if changes is None:
            return
        for database in self.databases:
            database.changes = None
        published, self.channels.published = self.channels.published or [], None
        if not (always or changes or published):
            return
        now = {
            key: (old, self.databases[number].values.get(key))
            for (number, key), old in changes.items()
        }
        for hook in list(self.commits):
            hook(connection, now, published)

    # What befalls a server

    def snapshot(self) -> Snapshot:
        """Return a copy of all data."""
        values: dict[tuple[int, bytes], Value] = {}
        deadlines: dict[tuple[int, bytes], int] = {}
        for database in self.databases:
            for key, value in database.values.items():
                twin = copied(value)
                assert twin is not None
                values[database.number, key] = twin
            for key, when in database.deadlines.items():
                deadlines[database.number, key] = when
        return Snapshot(values, deadlines)

    def restore(self, snapshot: Snapshot) -> None:
        """Take over the data of a snapshot, as a server does that lost the rest.

        Connections stay open (close them to restart a server); transactions
        that watch a key which was or now is there are aborted.  No commit hook
        is called: nobody has committed this.
        """
        self.clear()
        for (number, key), value in snapshot.values.items():
            twin = copied(value)
            assert twin is not None
            self.databases[number].put(key, twin)
        for (number, key), when in snapshot.deadlines.items():
            self.databases[number].deadlines[key] = when

    def clear(self) -> None:
        """Lose all data, as a server does that keeps none; see :meth:`restore`."""
        for database in self.databases:
            database.flush()
