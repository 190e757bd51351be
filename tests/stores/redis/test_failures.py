"""A driver's exception never leaves the room."""

from __future__ import annotations

from typing import Any

import pytest
from redis import exceptions as driver
from redis.asyncio.connection import Connection

from aiosched.errors import (
    ConfigurationError,
    StoreDataError,
    StoreError,
    StoreUnavailableError,
)
from aiosched.stores.redis import connection
from aiosched.stores.redis.failures import denied, hung_up, refusal, translated
from aiosched.stores.redis.store import RedisJobStore
from aiosched.testing.contract_decisions import create
from tests.stores.redis.wire import IDS, opened, parse

TABLE = [
    (driver.ConnectionError("gone"), StoreUnavailableError),
    (driver.TimeoutError("slow"), StoreUnavailableError),
    (driver.BusyLoadingError("loading"), StoreUnavailableError),
    (driver.InvalidResponse("HTTP/1.1"), StoreUnavailableError),
    (driver.AuthenticationError("no"), StoreUnavailableError),
    (driver.ReadOnlyError("replica"), StoreUnavailableError),
    (driver.OutOfMemoryError("full"), StoreUnavailableError),
    (driver.ClusterDownError("down"), StoreUnavailableError),
    (driver.MasterDownError("down"), StoreUnavailableError),
    (driver.TryAgainError("later"), StoreUnavailableError),
    (driver.MovedError("1 127.0.0.1:1"), StoreUnavailableError),
    (driver.NoPermissionError("no"), StoreUnavailableError),
    (driver.ResponseError("MISCONF errors writing to disk"), StoreUnavailableError),
    (driver.ResponseError("BUSY running a script"), StoreUnavailableError),
    (driver.ResponseError("NOREPLICAS not enough"), StoreUnavailableError),
    (
        driver.ExecAbortError("Transaction discarded because of: MISCONF disk"),
        StoreUnavailableError,
    ),
    (
        driver.ExecAbortError("Transaction discarded because of: NOPERM exec"),
        StoreUnavailableError,
    ),
    (
        driver.ExecAbortError("Transaction discarded because of previous errors."),
        StoreError,
    ),
    (driver.ResponseError("WRONGTYPE of value"), StoreDataError),
    (driver.ResponseError("ERR unknown command"), StoreError),
    (driver.RedisError("something"), StoreError),
    (OSError("refused"), StoreUnavailableError),
    (TimeoutError(), StoreUnavailableError),
]


@pytest.mark.parametrize(("error", "ours"), TABLE, ids=lambda one: repr(one)[:40])
def test_the_table(error: Exception, ours: type[StoreError]) -> None:
    made = translated(error, "redis://h")
    assert type(made) is ours
    assert "redis://h" in str(made)
    if isinstance(error, driver.ResponseError):
        assert type(refusal(error, "k")) is ours


@pytest.mark.parametrize(
    ("error", "closed"),
    [
        (driver.ConnectionError("Connection closed by server."), True),
        (ConnectionResetError(), True),
        (BrokenPipeError(), True),
        (TimeoutError(), False),
        (driver.TimeoutError("slow"), False),
        (driver.BusyLoadingError("LOADING"), False),
        (driver.AuthenticationError("NOAUTH"), False),
        (driver.ResponseError("ERR"), False),
    ],
    ids=repr,
)
def test_what_tells_that_a_server_has_hung_up(
    error: Exception, *, closed: bool
) -> None:
    assert hung_up(error) is closed


def test_what_waiting_cannot_mend_is_told_at_opening() -> None:
    for error in (
        driver.AuthenticationError("invalid password"),
        driver.NoPermissionError("no"),
        driver.ResponseError("WRONGPASS"),
        driver.MovedError("1 127.0.0.1:1"),
        driver.ClusterCrossSlotError("x"),
        driver.ResponseError("DB index is out of range"),
    ):
        assert isinstance(denied(error, "redis://h"), ConfigurationError)
    assert denied(driver.ConnectionError("gone"), "redis://h") is None


async def test_a_wrong_password(launch: Any) -> None:
    server = launch()
    server.command("CONFIG", "SET", "requirepass", "secret")
    for url in (server.url, server.url.replace("//", "//:wrong@")):
        with pytest.raises(ConfigurationError, match="denies access"):
            await RedisJobStore(url).open("n", {})
    async with opened(server.url.replace("//", "//:secret@")) as session:
        assert await session.now() > 0


async def test_a_database_that_there_is_not(redis_url: str) -> None:
    with pytest.raises(ConfigurationError, match="no such database"):
        await RedisJobStore(redis_url.replace("/0", "/4242")).open("n", {})


async def test_nobody_listens() -> None:
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await RedisJobStore("redis://127.0.0.1:1").open("n", {})


async def test_a_unix_socket(launch: Any) -> None:
    server = launch()
    async with opened(server.unix_url) as session:
        assert await session.now() > 0


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "x" * 101, "a\nb"])
async def test_namespaces_that_cannot_be_keys(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await RedisJobStore("redis://127.0.0.1:1").open(name, {})
    assert caught.value.field == "namespace"


async def test_a_server_that_evicts_is_told(launch: Any) -> None:
    said: list[tuple[str, str]] = []
    server = launch(options={"maxmemory-policy": "allkeys-lru"})
    async with opened(server.url, report=lambda *what: said.append(what)):
        assert [key for key, _ in said] == ["maxmemory-policy"]
        assert "allkeys-lru" in said[0][1]


async def test_the_factory_is_given_what_a_connection_takes(redis_url: str) -> None:
    given: list[dict[str, Any]] = []

    def factory(**options: Any) -> Connection:
        given.append(options)
        return Connection(**options)

    async with opened(redis_url, connection_factory=factory) as session:
        await session.now()
    assert given
    for options in given:
        assert options["protocol"] == 2
        assert options["socket_timeout"] is None
        assert options["retry"].get_retries() == 0


COMMANDS = [
    ("PING",),
    ("SET", "ü", b"\x00\xff\r\n"),
    ("ZADD", "k", 1790000000000000, "a", "+inf", "b"),
    ["MSET", *[word for number in range(100) for word in (f"k{number}", b"v")]],
]


def test_packing_without_hiredis_is_the_same() -> None:
    plain = b"".join(connection._pack_plainly(tuple(one)) for one in COMMANDS)
    assert plain == connection.pack(COMMANDS)
    words = list(parse(plain))
    assert words[1] == [b"SET", "ü".encode(), b"\x00\xff\r\n"]
    assert words[2][2] == b"1790000000000000"


def test_a_refused_login_says_so() -> None:
    made = translated(driver.AuthenticationError("Authentication required."), "here")
    assert "denies access" in str(made)


async def test_a_server_without_its_master_is_not_empty(launch: Any) -> None:
    """That it does not serve for now is no garbage, and no list without jobs."""
    server = launch()
    said: list[tuple[str, str]] = []
    async with opened(server.url, report=lambda *what: said.append(what)) as session:
        await session.transact(IDS, create(5, keyword="word"))
        server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
        server.command("REPLICAOF", "127.0.0.1", "1")
        for read in (
            lambda: session.list(),
            lambda: session.agenda([(1, "default")]),
            lambda: session.ledger(),
            lambda: session.by_keyword("word"),
            lambda: session.read(IDS),
            lambda: session.sweep(),
        ):
            with pytest.raises(StoreUnavailableError):
                await read()
        server.command("REPLICAOF", "NO", "ONE")
        assert len((await session.list()).records) == len(IDS)
    assert said == []
