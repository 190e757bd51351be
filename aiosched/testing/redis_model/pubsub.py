"""Channels: who subscribes, and who is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiosched.testing.redis_model.keyspace import glob
from aiosched.testing.redis_model.resp import Push, RefusedError, Reply
from aiosched.testing.redis_model.words import Command, Words

if TYPE_CHECKING:
    from aiosched.testing.redis_model.connection import Connection

__all__ = ["COMMANDS", "Channels", "leave_all", "subscribed"]


class Channels:
    """All subscriptions of a server.

    Attributes:
        plain: Who listens to a channel.
        sharded: Who listens to a channel of a shard.
        patterns: Who listens to all channels that look so.
        published: (channel, message) of this commit; None while nobody wants
            to know.
    """

    def __init__(self) -> None:
        """Have none."""
        self.plain: dict[bytes, list[Connection]] = {}
        self.sharded: dict[bytes, list[Connection]] = {}
        self.patterns: dict[bytes, tuple[re.Pattern[bytes], list[Connection]]] = {}
        self.published: list[tuple[bytes, bytes]] | None = None

    def publish(self, channel: bytes, message: bytes) -> int:
        """Tell everybody who listens; return how many they are."""
        if self.published is not None:
            self.published.append((channel, message))
        count = 0
        for connection in list(self.plain.get(channel, ())):
            connection.push(Push((b"message", channel, message)))
            count += 1
        for name, (pattern, connections) in list(self.patterns.items()):
            if pattern.fullmatch(channel):
                for connection in list(connections):
                    connection.push(Push((b"pmessage", name, channel, message)))
                    count += 1
        return count

    def publish_sharded(self, channel: bytes, message: bytes) -> int:
        """Do the same for a channel of a shard."""
        if self.published is not None:
            self.published.append((channel, message))
        connections = list(self.sharded.get(channel, ()))
        for connection in connections:
            connection.push(Push((b"smessage", channel, message)))
        return len(connections)


def subscribed(connection: Connection) -> int:
    """Return how many channels and patterns a connection listens to."""
    return len(connection.channels) + len(connection.patterns)


def leave_all(connection: Connection) -> None:
    """Forget the subscriptions of a connection, telling it nothing."""
    channels = connection.server.channels
    for name in connection.channels:
        _leave(channels.plain, name, connection)
    for name in connection.sharded:
        _leave(channels.sharded, name, connection)
    for name in connection.patterns:
        listening = channels.patterns[name][1]
        listening.remove(connection)
        if not listening:
            del channels.patterns[name]
    connection.channels.clear()
    connection.sharded.clear()
    connection.patterns.clear()


def _leave(
    channels: dict[bytes, list[Connection]], name: bytes, connection: Connection
) -> None:
    channels[name].remove(connection)
    if not channels[name]:
        del channels[name]


def _subscribe(connection: Connection, words: Words) -> Reply:
    for name in words[1:]:
        if name not in connection.channels:
            connection.channels[name] = None
            connection.server.channels.plain.setdefault(name, []).append(connection)
        connection.answer(Push((b"subscribe", name, subscribed(connection))))
    return connection.SILENT


def _psubscribe(connection: Connection, words: Words) -> Reply:
    known = connection.server.channels.patterns
    for name in words[1:]:
        if name not in connection.patterns:
            connection.patterns[name] = None
            known.setdefault(name, (glob(name), []))[1].append(connection)
        connection.answer(Push((b"psubscribe", name, subscribed(connection))))
    return connection.SILENT


def _ssubscribe(connection: Connection, words: Words) -> Reply:
    if connection.executing:
        raise RefusedError("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    for name in words[1:]:
        if name not in connection.sharded:
            connection.sharded[name] = None
            connection.server.channels.sharded.setdefault(name, []).append(connection)
        count = len(connection.sharded)
        connection.answer(Push((b"ssubscribe", name, count)))
    return connection.SILENT


def _names(words: Words, mine: dict[bytes, None]) -> Sequence[bytes]:
    return words[1:] if len(words) > 1 else sorted(mine)


def _unsubscribe(connection: Connection, words: Words) -> Reply:
    names = _names(words, connection.channels)
    for name in names:
        if name in connection.channels:
            del connection.channels[name]
            _leave(connection.server.channels.plain, name, connection)
        connection.answer(Push((b"unsubscribe", name, subscribed(connection))))
    if not names:
        connection.answer(Push((b"unsubscribe", None, subscribed(connection))))
    return connection.SILENT


def _punsubscribe(connection: Connection, words: Words) -> Reply:
    names = _names(words, connection.patterns)
    known = connection.server.channels.patterns
    for name in names:
        if name in connection.patterns:
            del connection.patterns[name]
            known[name][1].remove(connection)
            if not known[name][1]:
                del known[name]
        connection.answer(Push((b"punsubscribe", name, subscribed(connection))))
    if not names:
        connection.answer(Push((b"punsubscribe", None, subscribed(connection))))
    return connection.SILENT


def _sunsubscribe(connection: Connection, words: Words) -> Reply:
    names = _names(words, connection.sharded)
    for name in names:
        if name in connection.sharded:
            del connection.sharded[name]
            _leave(connection.server.channels.sharded, name, connection)
        count = len(connection.sharded)
        connection.answer(Push((b"sunsubscribe", name, count)))
    if not names:
        connection.answer(Push((b"sunsubscribe", None, len(connection.sharded))))
    return connection.SILENT


def _publish(connection: Connection, words: Words) -> Reply:
    return connection.server.channels.publish(words[1], words[2])


def _spublish(connection: Connection, words: Words) -> Reply:
    return connection.server.channels.publish_sharded(words[1], words[2])


COMMANDS: dict[str, Command] = {
    "subscribe": Command(_subscribe, -2, ours=True, early=True),
    "psubscribe": Command(_psubscribe, -2, ours=True, early=True),
    "ssubscribe": Command(_ssubscribe, -2, ours=True, early=True),
    "unsubscribe": Command(_unsubscribe, -1, ours=True, early=True),
    "punsubscribe": Command(_punsubscribe, -1, ours=True, early=True),
    "sunsubscribe": Command(_sunsubscribe, -1, ours=True, early=True),
    "publish": Command(_publish, 3, ours=True, early=True),
    "spublish": Command(_spublish, 3, ours=True, early=True),
}
