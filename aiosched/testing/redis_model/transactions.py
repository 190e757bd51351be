"""MULTI, EXEC and WATCH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosched.testing.redis_model.database import Watch
from aiosched.testing.redis_model.resp import NO_ARRAY, RefusedError, Reply
from aiosched.testing.redis_model.words import Command, Words

if TYPE_CHECKING:
    from aiosched.testing.redis_model.connection import Connection

__all__ = ["AT_ONCE", "COMMANDS", "Queue", "unwatch"]

AT_ONCE = frozenset({"exec", "discard", "multi", "watch", "quit", "reset"})
"""What is not queued inside a transaction."""


class Queue:
    """The commands of a transaction.

    Attributes:
        commands: In order.
        spoilt: One was refused, so that EXEC does none.
    """

    __slots__ = ("commands", "spoilt")

    def __init__(self) -> None:
        """Be empty."""
        self.commands: list[tuple[Command, Words]] = []
        self.spoilt: bool = False

    def add(self, command: Command, words: Words) -> None:
        """Put a command at the end."""
        self.commands.append((command, words))


def unwatch(connection: Connection) -> None:
    """Watch nothing any more."""
    watch, connection.watch = connection.watch, Watch()
    for number, key in watch.keys:
        watchers = connection.server.databases[number].watchers
        watchers[key].remove(watch)
        if not watchers[key]:
            del watchers[key]


def _multi(connection: Connection, _words: Words) -> Reply:
    if connection.queue is not None:
        raise RefusedError("ERR MULTI calls can not be nested")
    connection.queue = Queue()
    return "OK"


def _discard(connection: Connection, _words: Words) -> Reply:
    if connection.queue is None:
        raise RefusedError("ERR DISCARD without MULTI")
    connection.discard()
    return "OK"


def _watch(connection: Connection, words: Words) -> Reply:
    if connection.queue is not None:
        raise RefusedError("ERR WATCH inside MULTI is not allowed")
    if connection.watch.broken:
        return "OK"  # whatever is watched now, EXEC aborts
    database = connection.database
    for key in words[1:]:
        name = (database.number, key)
        if name not in connection.watch.keys:
            connection.watch.keys[name] = database.lapsed(key)
            database.watchers.setdefault(key, []).append(connection.watch)
    return "OK"


def _unwatch(connection: Connection, _words: Words) -> Reply:
    unwatch(connection)
    return "OK"


def _exec(connection: Connection, _words: Words) -> Reply:
    queue = connection.queue
    connection.executed = False
    if queue is None:
        raise RefusedError("ERR EXEC without MULTI")
    broken = connection.watch.broken or _lapsed(connection)
    connection.discard()
    if queue.spoilt:
        raise RefusedError(
            "EXECABORT Transaction discarded because of previous errors."
        )
    if broken:
        return NO_ARRAY
    connection.executed = connection.executing = True
    connection.answer_header(len(queue.commands))
    for command, queued in queue.commands:
        reply = connection.run(command, queued)
        if reply is not connection.SILENT:
            connection.answer(reply)
    connection.executing = False
    return connection.SILENT


def _lapsed(connection: Connection) -> bool:
    """Say whether a watched key has ended since, although nobody looked."""
    databases = connection.server.databases
    return any(
        not lapsed_before and databases[number].lapsed(key)
        for (number, key), lapsed_before in connection.watch.keys.items()
    )


COMMANDS: dict[str, Command] = {
    "multi": Command(_multi, 1, ours=True, early=True),
    "exec": Command(_exec, 1, ours=True, early=True),
    "discard": Command(_discard, 1, ours=True, early=True),
    "watch": Command(_watch, -2, ours=True, early=True),
    "unwatch": Command(_unwatch, 1, ours=True, early=True),
}
