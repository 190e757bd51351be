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

__all__ = ["Address", "parse_url"]

_LATER = {
    "redis+sentinel": "Sentinel",
    "rediss+sentinel": "Sentinel",
    "redis+cluster": "Redis Cluster",
    "rediss+cluster": "Redis Cluster",
}
_CLASSES: dict[str, type[AbstractConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}
_FORMS = (
    '"redis://[user:password@]host[:port][/db]", "rediss://…" or "unix:///path?db=0"'
)
_MAX_DB = 1_000_000


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
    """

    shown: str
    kind: type[AbstractConnection]
    options: dict[str, Any] = field(default_factory=dict, repr=False)


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
        port = parts.port
    except ValueError:
        raise _refused(shown, "cannot be read", f"write {_FORMS}") from None
    if parts.scheme in _LATER:
        raise _refused(
            shown,
            f"{_LATER[parts.scheme]} is not in this version",
            "use redis://, rediss:// or unix://",
        )
    if parts.scheme not in _CLASSES:
        raise _refused(shown, "does not name a Redis server", f"write {_FORMS}")
    if parts.fragment:
        raise _refused(shown, "has a part after #", "write # in a password as %23")
    options = _query(parts, shown)
    _credentials(parts, options, shown)
    if parts.scheme == "unix":
        _unix(parts, options, shown)
    else:
        _network(parts, port, options, shown)
    if not 0 <= options.get("db", 0) <= _MAX_DB:
        raise _refused(shown, "names no database", "write its number, such as /0")
    return Address(shown, _CLASSES[parts.scheme], options)


def _query(parts: SplitResult, shown: str) -> dict[str, Any]:
    known = _OPTIONS | (_SSL_OPTIONS if parts.scheme == "rediss" else {})
    options: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name in _SSL_OPTIONS and parts.scheme != "rediss":
            raise _refused(shown, f"{name} contradicts the scheme", "write rediss://")
        if name not in known:
            raise _refused(
                shown,
                f"has the unknown option {name}",
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
    host = unquote(parts.hostname)
    if not host.isprintable() or any(char.isspace() for char in host):
        raise _refused(shown, "has a blank in the host's name", f"write {_FORMS}")
    if port == 0:
        raise _refused(shown, "has the port 0", "give 1 to 65535, such as 6379")
    path = unquote(parts.path).strip("/")
    if path:
        if "db" in options:
            raise _refused(shown, "gives the database twice", "give it once")
        if not path.isdecimal() or not path.isascii():
            raise _refused(
                shown, "has a path that is no database", "write its number, such as /0"
            )
        options["db"] = int(path)
    options["host"] = host
    options["port"] = 6379 if port is None else port
    options["socket_keepalive"] = True
    options["socket_keepalive_options"] = {
        getattr(socket, name): value
        for name, value in _KEEPALIVE.items()
        if hasattr(socket, name)
    }


def _refused(value: object, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("store", value, problem, remedy)
