"""Commands about the connection and the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosched.testing.redis_model.keyspace import glob
from aiosched.testing.redis_model.pubsub import leave_all, subscribed
from aiosched.testing.redis_model.resp import RefusedError, Reply, Table, Text
from aiosched.testing.redis_model.words import (
    SYNTAX,
    Command,
    Words,
    bad_arity,
    integer,
)

if TYPE_CHECKING:
    from aiosched.testing.redis_model.connection import Connection

__all__ = ["COMMANDS", "CONTAINERS"]

_WRONG = "WRONGPASS invalid username-password pair or user is disabled."
_NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default "  # noqa: S105
    "user. Are you sure your configuration is correct?"
)
_HELLO_FIRST = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise "
    "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
    "client and select the RESP protocol version at the same time"
)
_BAD_NAME = "ERR Client names cannot contain spaces, newlines or special characters."
_HIGHEST_INT = 2**31 - 1
_LOWEST_INT = -(2**31)


def _hello(connection: Connection, words: Words) -> Reply:
    protocol = None
    if len(words) > 1:
        problem = "ERR Protocol version is not an integer or out of range"
        protocol = integer(words[1], problem)
        if protocol not in {2, 3}:
            raise RefusedError("NOPROTO unsupported protocol version")
    user: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    place = 2
    while place < len(words):
        option, more = words[place].lower(), len(words) - 1 - place
        if option == b"auth" and more >= 2:
            user = words[place + 1], words[place + 2]
            place += 2
        elif option == b"setname" and more:
            name = words[place + 1]
            _check_name(name)
            place += 1
        else:
            text = words[place].decode("latin-1")
            raise RefusedError(f"ERR Syntax error in HELLO option '{text}'")
        place += 1
    if user is not None:
        _log_in(connection, *user)
    if not connection.authenticated:
        raise RefusedError(_HELLO_FIRST)
    if name is not None:
        connection.name = name
    if protocol is not None:
        connection.protocol = protocol
    return _greeting(connection)


def _greeting(connection: Connection) -> Reply:
    return Table(
        {
            b"server": b"redis",
            b"version": connection.server.version.encode(),
            b"proto": connection.protocol,
            b"id": connection.id,
            b"mode": b"standalone",
            b"role": b"master",
            b"modules": [],
        }
    )


def _check_name(name: bytes) -> None:
    if any(not 33 <= char <= 126 for char in name):
        raise RefusedError(_BAD_NAME)


def _log_in(connection: Connection, user: bytes, password: bytes) -> None:
    wanted = connection.server.config[b"requirepass"]
    if user != b"default" or (wanted and password != wanted):
        raise RefusedError(_WRONG)
    connection.authenticated = True


def _auth(connection: Connection, words: Words) -> Reply:
    if len(words) > 3:
        raise RefusedError(SYNTAX)
    if len(words) == 2:
        if not connection.server.config[b"requirepass"]:
            raise RefusedError(_NO_PASSWORD)
        _log_in(connection, b"default", words[1])
    else:
        _log_in(connection, words[1], words[2])
    return "OK"


def _ping(connection: Connection, words: Words) -> Reply:
    if len(words) > 2:
        raise bad_arity("ping")
    if connection.protocol == 2 and subscribed(connection):
        return [b"pong", words[1] if len(words) > 1 else b""]
    return words[1] if len(words) > 1 else "PONG"


def _select(connection: Connection, words: Words) -> Reply:
    number = integer(words[1])
    if not _LOWEST_INT <= number <= _HIGHEST_INT:
        raise RefusedError("ERR value is not an integer or out of range")
    if not 0 <= number < len(connection.server.databases):
        raise RefusedError("ERR DB index is out of range")
    connection.database = connection.server.databases[number]
    return "OK"


def _quit(connection: Connection, _words: Words) -> Reply:
    connection.leave_after_reply()
    return "OK"


def _reset(connection: Connection, _words: Words) -> Reply:
    connection.discard()
    leave_all(connection)
    connection.protocol = 2
    connection.database = connection.server.databases[0]
    connection.name = b""
    connection.authenticated = not connection.server.config[b"requirepass"]
    return "RESET"


def _client_id(connection: Connection, _words: Words) -> Reply:
    return connection.id


def _client_getname(connection: Connection, _words: Words) -> Reply:
    return connection.name or None


def _client_setname(connection: Connection, words: Words) -> Reply:
    _check_name(words[2])
    connection.name = words[2]
    return "OK"


def _client_setinfo(_connection: Connection, words: Words) -> Reply:
    if words[2].lower() not in {b"lib-name", b"lib-ver"}:
        text = words[2].decode("latin-1")
        raise RefusedError(f"ERR Unrecognized option '{text}'")
    return "OK"


def _client_kill(connection: Connection, words: Words) -> Reply:
    if len(words) != 4 or words[2].lower() != b"id":
        raise RefusedError(SYNTAX)
    problem = "ERR client-id should be greater than 0"
    number = integer(words[3], problem)
    if number < 1:
        raise RefusedError(problem)
    victim = connection.server.connections.get(number)
    # Like the server: unless told otherwise, the one who asks is spared.
    if victim is None or victim is connection:
        return 0
    victim.end()
    return 1


def _config_get(connection: Connection, words: Words) -> Reply:
    patterns = [glob(word.lower()) for word in words[2:]]
    return Table(
        {
            name: value
            for name, value in sorted(connection.server.config.items())
            if any(pattern.fullmatch(name) for pattern in patterns)
        }
    )


def _config_set(connection: Connection, words: Words) -> Reply:
    if len(words) % 2:
        raise bad_arity("config|set")
    for name in words[2::2]:
        if name.lower() not in connection.server.config:
            text = name.decode("latin-1")
            raise RefusedError(
                f"ERR Unknown option or number of arguments for CONFIG SET - '{text}'"
            )
    for place in range(2, len(words), 2):
        connection.server.config[words[place].lower()] = words[place + 1]
    return "OK"


def _info(connection: Connection, _words: Words) -> Reply:
    server = connection.server
    lines = [
        "# Server",
        f"redis_version:{server.version}",
        "redis_mode:standalone",
        "# Clients",
        f"connected_clients:{len(server.connections)}",
        "# Persistence",
        "loading:0",
        "# Stats",
        f"total_commands_processed:{server.calls}",
        "# Replication",
        "role:master",
        "connected_slaves:0",
    ]
    return Text("\r\n".join(lines) + "\r\n")


def _role(_connection: Connection, _words: Words) -> Reply:
    return [b"master", 0, []]


def _flushall(connection: Connection, words: Words) -> Reply:
    if len(words) > 2 or (len(words) == 2 and words[1].lower() not in _SPEEDS):
        raise RefusedError(SYNTAX)
    connection.server.clear()
    return "OK"


_SPEEDS = {b"async", b"sync"}

CONTAINERS = frozenset({"client", "config"})
"""Commands whose second word is part of the name."""

COMMANDS: dict[str, Command] = {
    "hello": Command(_hello, -1, ours=True, early=True),
    "auth": Command(_auth, -2, ours=True, early=True),
    "ping": Command(_ping, -1, ours=True),
    "select": Command(_select, 2, ours=True, early=True),
    "quit": Command(_quit, -1, ours=True, early=True),
    "reset": Command(_reset, 1, ours=True, early=True),
    "client|id": Command(_client_id, 2, ours=True, early=True),
    "client|getname": Command(_client_getname, 2, ours=True, early=True),
    "client|setname": Command(_client_setname, 3, ours=True, early=True),
    "client|setinfo": Command(_client_setinfo, 4, ours=True, early=True),
    "client|kill": Command(_client_kill, -3, ours=True, early=True),
    "config|get": Command(_config_get, -3, ours=True, early=True),
    "config|set": Command(_config_set, -4, ours=True, early=True),
    "info": Command(_info, -1, ours=True, early=True),
    "role": Command(_role, 1, ours=True, early=True),
    "flushall": Command(_flushall, -1, write=True, ours=True),
}
