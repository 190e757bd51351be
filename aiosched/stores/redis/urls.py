"""Store URLs: what to connect to, and by which class."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from aiosched.errors import ConfigurationError
from aiosched.stores import masked
from aiosched.stores.redis.topology import Node

__all__ = ["Address", "parse_url"]

_CLASSES: dict[str, type[AbstractConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
    "redis+cluster": Connection,
    "rediss+cluster": SSLConnection,
    "redis+sentinel": Connection,
    "rediss+sentinel": SSLConnection,
}
_CLUSTER = ("redis+cluster", "rediss+cluster")
_SENTINEL = ("redis+sentinel", "rediss+sentinel")
_TLS = ("rediss", "rediss+cluster", "rediss+sentinel")
_FORMS = (
    '"redis://[user:password@]host[:port][/db]", "rediss://…", "unix:///path?db=0", '
    '"redis+cluster://host[:port],host[:port]" or '
    '"redis+sentinel://host[:port],host[:port]/master[/db]"'
)
_MAX_DB = 1_000_000
_PORT = 6379
_SENTINEL_PORT = 26_379


def _flag(text: str) -> bool:
    if text.lower() in {"true", "yes", "1"}:
        return True
    if text.lower() in {"false", "no", "0"}:
        return False
    raise ValueError(text)


def _cert_reqs(text: str) -> str:
    if text not in {"none", "optional", "required"}:
        raise ValueError(text)
    return text


_SSL_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_password": str,
    "ssl_cert_reqs": _cert_reqs,
    "ssl_check_hostname": _flag,
}
_OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": int,
    "username": str,
    "password": str,
    "client_name": str,
}
_SENTINEL_OPTIONS: dict[str, Callable[[str], Any]] = {
    "sentinel_username": str,
    "sentinel_password": str,
}
_REMEDIES = {
    _flag: "write true or false",
    _cert_reqs: "write none, optional or required",
    int: "write a whole number",
}
_KEEPALIVE = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    # Milliseconds that sent data may stay unacknowledged.
    "TCP_USER_TIMEOUT": 20_000,
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how it is spoken to.

    Attributes:
        shown: The URL as it may be shown, without secrets.
        kind: The driver's connection class.
        options: What that class is built with.
        seeds: Nodes of a cluster that may be asked for the others; empty: it is
            no cluster.
        sentinels: Who may be asked for the master; empty: nobody need be.
        master: The name that the sentinels know it by.
        asking: What the class is built with where sentinels are asked.
    """

    shown: str
    kind: type[AbstractConnection]
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    seeds: tuple[Node, ...] = ()
    sentinels: tuple[Node, ...] = ()
    master: str = ""
    asking: dict[str, Any] = field(default_factory=dict, repr=False)


def parse_url(url: str) -> Address:
    """Read a store URL; no I/O.

    Raises:
        ConfigurationError: It is wrong, contradicts itself, or names something
            that is not in this version; passwords are masked.
    """
    if not isinstance(url, str):
        raise _refused(url, "is no URL", f"write {_FORMS}")
    shown = masked(url)
    try:
        parts = urlsplit(url)
        # Of several hosts each may have its own.
        port = None if parts.scheme in _CLUSTER + _SENTINEL else parts.port
    except ValueError:
        raise _refused(shown, "cannot be read", f"write {_FORMS}") from None
    if parts.scheme not in _CLASSES:
        raise _refused(shown, "does not name a Redis server", f"write {_FORMS}")
    if parts.fragment:
        raise _refused(shown, "has a part after #", "write # in a password as %23")
    options = _query(parts, shown)
    _credentials(parts, options, shown)
    seeds: tuple[Node, ...] = ()
    sentinels: tuple[Node, ...] = ()
    master, asking = "", dict[str, Any]()
    if parts.scheme == "unix":
        _unix(parts, options, shown)
    elif parts.scheme in _CLUSTER:
        seeds = _cluster(parts, options, shown)
    elif parts.scheme in _SENTINEL:
        sentinels = _nodes(parts, shown, _SENTINEL_PORT)
        master, asking = _sentinel(parts, options, shown)
    else:
        _network(parts, port, options, shown)
    if not 0 <= options.get("db", 0) <= _MAX_DB:
        raise _refused(shown, "names no database", "write its number, such as /0")
    kind = _CLASSES[parts.scheme]
    return Address(shown, kind, options, seeds, sentinels, master, asking)


def _query(parts: SplitResult, shown: str) -> dict[str, Any]:
    known = dict(_OPTIONS)
    if parts.scheme in _TLS:
        known |= _SSL_OPTIONS
    if parts.scheme in _SENTINEL:
        known |= _SENTINEL_OPTIONS
    options: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name in _SSL_OPTIONS and parts.scheme not in _TLS:
            secure = parts.scheme.replace("redis", "rediss", 1)
            raise _refused(
                shown, f"{name} contradicts the scheme", f"write {secure}://"
            )
        if name not in known:
            raise _refused(
                shown,
                f"has the unknown option {masked(name)}",
                f"use one of {', '.join(known)}; time-outs are arguments of "
                "RedisJobStore",
            )
        if name in options:
            raise _refused(shown, f"gives {name} twice", "give it once")
        try:
            options[name] = known[name](text)
        except ValueError:
            remedy = _REMEDIES.get(known[name], "correct it")
            raise _refused(shown, f"{name} cannot be read", remedy) from None
    return options


def _credentials(parts: SplitResult, options: dict[str, Any], shown: str) -> None:
    for name, value in (("username", parts.username), ("password", parts.password)):
        if not value:
            continue
        if name in options:
            raise _refused(shown, f"gives the {name} twice", "give it once")
        options[name] = unquote(value)
    if options.get("username") and not options.get("password"):
        raise _refused(
            shown, "has a user name and no password", "write user:password@host"
        )
    if options.get("sentinel_username") and not options.get("sentinel_password"):
        raise _refused(
            shown, "has a sentinel_username alone", "give the sentinel_password, too"
        )


def _unix(parts: SplitResult, options: dict[str, Any], shown: str) -> None:
    if parts.hostname or parts.netloc.rpartition("@")[2]:
        raise _refused(
            shown,
            "names a host beside a socket's path",
            "write three slashes: unix:///path/to/socket",
        )
    if len(parts.path) < 2:
        raise _refused(shown, "names no socket", "write unix:///path/to/socket")
    options["path"] = unquote(parts.path)


def _network(
    parts: SplitResult, port: int | None, options: dict[str, Any], shown: str
) -> None:
    if not parts.hostname or "," in parts.netloc:
        raise _refused(shown, "does not name one host", f"write {_FORMS}")
    host = _host(parts.hostname, shown)
    if port == 0:
        raise _refused(shown, "has the port 0", "give 1 to 65535, such as 6379")
    _database(parts.path, options, shown)
    options["host"] = host
    options["port"] = _PORT if port is None else port
    _kept_alive(options)


def _nodes(parts: SplitResult, shown: str, port_else: int) -> tuple[Node, ...]:
    """Read several hosts, of which one that answers is enough."""
    nodes: dict[Node, None] = {}
    for text in parts.netloc.rpartition("@")[2].split(","):
        try:
            one = urlsplit(f"//{text}")
            host, port = one.hostname, one.port
        except ValueError:
            raise _refused(shown, "cannot be read", f"write {_FORMS}") from None
        if not host:
            raise _refused(shown, "has an empty host", f"write {_FORMS}")
        if port == 0:
            raise _refused(shown, "has the port 0", "give 1 to 65535, such as 6379")
        nodes[Node(_host(host, shown), port_else if port is None else port)] = None
    return tuple(nodes)


def _cluster(
    parts: SplitResult, options: dict[str, Any], shown: str
) -> tuple[Node, ...]:
    nodes = _nodes(parts, shown, _PORT)
    _database(parts.path, options, shown)
    if options.pop("db", 0) != 0:
        raise _refused(
            shown, "names a database, and a cluster has none but 0", "leave it out"
        )
    _kept_alive(options)
    return nodes


def _sentinel(
    parts: SplitResult, options: dict[str, Any], shown: str
) -> tuple[str, dict[str, Any]]:
    """Read the master's name, and how sentinels are spoken to."""
    name, _, database = parts.path.removeprefix("/").partition("/")
    master = unquote(name)
    if not master or not master.isprintable() or " " in master:
        raise _refused(
            shown, "does not name the master", "write redis+sentinel://host,host/name"
        )
    if "=" in master:
        # Names are shown, and what looks like an option may be a secret.
        raise _refused(
            shown, "has an option where the master's name stands", "write ? before it"
        )
    _database(database, options, shown)
    _kept_alive(options)
    secrets = {
        one: options.pop(f"sentinel_{one}", None) for one in ("username", "password")
    }
    mine = ("db", "username", "password")
    asking = {one: value for one, value in options.items() if one not in mine}
    asking |= {one: value for one, value in secrets.items() if value}
    return master, asking


def _host(text: str, shown: str) -> str:
    host = unquote(text)
    if not host.isprintable() or any(char.isspace() for char in host):
        raise _refused(shown, "has a blank in the host's name", f"write {_FORMS}")
    return host


def _database(text: str, options: dict[str, Any], shown: str) -> None:
    path = unquote(text).strip("/")
    if path:
        if "db" in options:
            raise _refused(shown, "gives the database twice", "give it once")
        if not path.isdecimal() or not path.isascii():
            raise _refused(
                shown, "has a path that is no database", "write its number, such as /0"
            )
        options["db"] = int(path)


def _kept_alive(options: dict[str, Any]) -> None:
    options["socket_keepalive"] = True
    options["socket_keepalive_options"] = {
        getattr(socket, name): value
        for name, value in _KEEPALIVE.items()
        if hasattr(socket, name)
    }


def _refused(value: object, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("store", value, problem, remedy)
