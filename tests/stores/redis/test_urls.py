"""Store URLs: what is understood, and how the rest is refused."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from aiosched.errors import ConfigurationError
from aiosched.stores.redis.store import RedisJobStore
from aiosched.stores.redis.urls import parse_url


def _core(url: str) -> dict[str, object]:
    options = parse_url(url).options
    return {k: v for k, v in options.items() if not k.startswith("socket_keepalive")}


@pytest.mark.parametrize(
    ("url", "kind", "options"),
    [
        ("redis://localhost", Connection, {"host": "localhost", "port": 6379}),
        ("redis://h:7/3", Connection, {"host": "h", "port": 7, "db": 3}),
        ("redis://h?db=3", Connection, {"host": "h", "port": 6379, "db": 3}),
        (
            "redis://u:p%40ss@[::1]:7",
            Connection,
            {"host": "::1", "port": 7, "username": "u", "password": "p@ss"},
        ),
        ("redis://:pw@h", Connection, {"host": "h", "port": 6379, "password": "pw"}),
        (
            "rediss://h/0?ssl_check_hostname=no&ssl_ca_certs=/ca.pem",
            SSLConnection,
            {
                "host": "h",
                "port": 6379,
                "db": 0,
                "ssl_check_hostname": False,
                "ssl_ca_certs": "/ca.pem",
            },
        ),
        (
            "unix:///run/a%20b.sock?db=2",
            UnixDomainSocketConnection,
            {"path": "/run/a b.sock", "db": 2},
        ),
        (
            "unix://u:p@/run/s",
            UnixDomainSocketConnection,
            {"path": "/run/s", "username": "u", "password": "p"},
        ),
    ],
)
def test_understood(url: str, kind: type, options: dict[str, object]) -> None:
    assert parse_url(url).kind is kind
    assert _core(url) == options


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "does not name"),
        ("localhost:6379", "does not name"),
        ("http://h", "does not name"),
        ("redis://", "one host"),
        ("redis://a,b", "one host"),
        ("redis://h:99999", "cannot be read"),
        ("redis://h:x", "cannot be read"),
        ("redis://h/x", "no database"),
        ("redis://h/1/2", "no database"),
        ("redis://h/1?db=1", "database twice"),
        ("redis://h/1?db=2", "database twice"),
        ("redis://h?db=1&db=2", "db twice"),
        ("redis://h?db=-1", "no database"),
        ("redis://h?db=x", "cannot be read"),
        ("redis://u:p@h?password=q", "password twice"),
        ("redis://u@h", "no password"),
        ("redis://h#1", "#"),
        ("redis://h?ssl_ca_certs=x", "contradicts the scheme"),
        ("redis://h?protocol=3", "unknown option protocol"),
        ("redis://h?socket_timeout=3", "unknown option socket_timeout"),
        ("unix://", "no socket"),
        ("unix:///", "no socket"),
        ("unix://run/redis.sock", "three slashes"),
        ("redis+sentinel://", "empty host"),
        ("redis+sentinel://h1,,h2/m", "empty host"),
        ("redis+sentinel://h1:x,h2/m", "cannot be read"),
        ("redis+sentinel://h1:0/m", "port 0"),
        ("redis+sentinel://h1,h2", "does not name the master"),
        ("redis+sentinel://h1,h2/", "does not name the master"),
        ("redis+sentinel://h1,h2//3", "does not name the master"),
        ("redis+sentinel://h1/sentinel_password=p", "an option where"),
        ("redis+sentinel://h1,h2/m/x", "no database"),
        ("redis+sentinel://h1,h2/m/1?db=1", "database twice"),
        ("redis+sentinel://h1,h2/m?sentinel_username=u", "sentinel_username alone"),
        ("redis+sentinel://h1,h2/m?ssl_ca_certs=x", "contradicts the scheme"),
        ("redis://h?sentinel_password=p", "unknown option sentinel_password"),
        ("redis+cluster://", "empty host"),
        ("redis+cluster://h1,,h2", "empty host"),
        ("redis+cluster://h1:x,h2", "cannot be read"),
        ("redis+cluster://h1:0", "port 0"),
        ("redis+cluster://h1,h2/1", "none but 0"),
        ("redis+cluster://h1?db=2", "none but 0"),
        ("redis+cluster://h1?ssl_ca_certs=x", r"contradicts the scheme"),
        ("redis+cluster://u@h1,h2", "no password"),
    ],
)
def test_refused(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        RedisJobStore(url)
    assert caught.value.field == "store"


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hunter2@h/1?db=2",
        "redis://h?password=hunter2&db=x",
        "redis+cluster://u:hunter2@h,h/1",
        "redis+sentinel://u:hunter2@h,h",
        "redis+sentinel://h/m/x?sentinel_password=hunter2",
        "rediss://h/x?ssl_password=hunter2",
        "redis://u:hunter2@h:port",
        "unix://u:hunter2@run/s",
        "redis://?redis://u:hunter2@h/0",
    ],
)
def test_no_password_in_a_message(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisJobStore(url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__dict__)


def test_no_password_in_a_repr() -> None:
    store = RedisJobStore("redis://u:hunter2@h")
    assert "hunter2" not in repr(store) + repr(store._address)


@pytest.mark.parametrize(
    "options",
    [
        {"lanes": 0},
        {"lanes": True},
        {"exchange_timeout": 0},
        {"socket_connect_timeout": -1},
        {"resolve_timeout": None},
    ],
)
def test_options_that_cannot_be_right(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisJobStore("redis://h", **options)  # type: ignore[arg-type]
    assert caught.value.field in options


@pytest.mark.parametrize(
    ("url", "kind", "seeds"),
    [
        ("redis+cluster://h", Connection, [("h", 6379)]),
        (
            "redis+cluster://h1:1,h2,[::1]:3/0",
            Connection,
            [("h1", 1), ("h2", 6379), ("::1", 3)],
        ),
        ("rediss+cluster://u:p@h:1,h:1", SSLConnection, [("h", 1)]),
    ],
)
def test_nodes_of_a_cluster(url: str, kind: type, seeds: list[tuple[str, int]]) -> None:
    address = parse_url(url)
    assert address.kind is kind
    assert list(address.seeds) == seeds
    assert not {"host", "port", "db"} & address.options.keys()
    assert address.options.get("password") == ("p" if "u:p@" in url else None)


@pytest.mark.parametrize(
    ("url", "kind", "core", "asking", "sentinels", "master"),
    [
        (
            "redis+sentinel://h1,h2:7,[::1]/my-master",
            Connection,
            {},
            {},
            [("h1", 26379), ("h2", 7), ("::1", 26379)],
            "my-master",
        ),
        (
            "redis+sentinel://u:p@h1/m%2Fn/3?sentinel_username=s&sentinel_password=q",
            Connection,
            {"username": "u", "password": "p", "db": 3},
            {"username": "s", "password": "q"},
            [("h1", 26379)],
            "m/n",
        ),
        (
            "rediss+sentinel://:p@h1/m?ssl_ca_certs=/ca.pem&client_name=me",
            SSLConnection,
            {"password": "p", "ssl_ca_certs": "/ca.pem", "client_name": "me"},
            {"ssl_ca_certs": "/ca.pem", "client_name": "me"},
            [("h1", 26379)],
            "m",
        ),
    ],
)
def test_sentinels(
    url: str,
    kind: type,
    core: dict[str, object],
    asking: dict[str, object],
    sentinels: list[tuple[str, int]],
    master: str,
) -> None:
    """The master's secrets are not told to the sentinels, nor the other way round."""
    address = parse_url(url)
    assert (address.kind, address.master) == (kind, master)
    assert list(address.sentinels) == sentinels
    assert _core(url) == core
    told = {k: v for k, v in address.asking.items() if not k.startswith("socket_keep")}
    assert told == asking
