"""A user with the rights that the documentation lists, and with one less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from aiosched.abc import Beat, JobStore, Member
from aiosched.clock import SystemClock
from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.stores import open_store
from aiosched.stores.redis.doctor import doctor
from aiosched.stores.redis.store import RedisJobStore
from aiosched.testing.contract import JobStoreContract
from aiosched.testing.contract_decisions import create, ids_in
from tests import servers
from tests.stores.redis.wire import opened
from tests.turns import by_turns

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "redis-deployments.md"
IDS = ids_in(1, 2)
MEMBER = Member("me", "name", None, (), True)
_OPTIONAL = {"config|get", "config", "client|setinfo", "client"}
"""What is asked for and done without."""


def documented(prefix: str) -> list[str]:
    """Return the rules of the page, for namespaces that begin like this."""
    text = PAGE.read_text()
    found = re.search(r"```text\nACL SETUSER jobs (.*?)```", text, re.DOTALL)
    assert found is not None, "the page lists no rights"
    rules = found[1].split()
    assert rules[:2] == ["on", ">password"]
    patterns = {
        f"{mark}{{shop{end}": f"{mark}{{{prefix}{end}"
        for mark in "~&"
        for end in ("}:*", ":*")
    }
    assert set(patterns) <= set(rules)
    return [patterns.get(rule, rule) for rule in rules]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the server programs."""
    by_turns(metafunc, "guarded")


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    with servers.Server(request.param) as one:
        yield one


def grant(server: servers.Server, *rules: str) -> str:
    """Make the user anew; return the URL with its name."""
    server.command("ACL", "SETUSER", "jobs", "reset", *rules)
    server.command("ACL", "LOG", "RESET")
    return f"redis://jobs:password@127.0.0.1:{server.port}"


def denied(server: servers.Server) -> set[str]:
    """Return what the server has refused to the user."""
    with redis.Redis(port=server.port) as admin:
        entries = admin.acl_log()
        return {_text(each["object"]).lower() for each in entries} - _OPTIONAL


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class TestWithFewRights(JobStoreContract):
    """Every promise of the port, for a user with exactly the rights of the page."""

    @pytest.fixture(autouse=True)
    def _server(self, guarded: servers.Server) -> Iterator[None]:
        # Each test has a namespace contract-…, whose other half is drawn.
        rules = [
            rule.replace("{contract-*}:*", "{contract-*").replace(
                "{contract-*:*", "{contract-*"
            )
            for rule in documented("contract-*")
        ]
        self.url = grant(guarded, *rules)
        yield
        assert denied(guarded) == set()
        guarded.flush()

    async def make_store(self) -> JobStore:
        return open_store(self.url)


async def test_sweeping_mending_and_the_doctor(guarded: servers.Server) -> None:
    guarded.flush()
    url = grant(guarded, *documented("t"))
    async with opened(url) as session:
        await session.transact(IDS, create(at=1))
        await session.beat(Beat(MEMBER, "me", (1,)))
        with redis.Redis(port=guarded.port) as raw:
            raw.set("{t:1}:j:garbage", "no record")
            raw.zadd("{t:1}:a:default", {"nobody": 5, IDS[0]: 77})
            raw.set("{t:1}:a:odd", "no agenda")
            raw.sadd("{t:1}:xs", "x:unused")
            raw.set("{t:1}:x:unused", "no spec")
        for _ in range(12):
            await session.mend()
        await session.sweep()
        async with doctor(RedisJobStore(url), "t", SystemClock().wall) as look:
            assert await look.examine()
            await look.fix(allowed=True)
    assert denied(guarded) == set()
    guarded.flush()


async def test_what_lies_beside_is_out_of_reach(guarded: servers.Server) -> None:
    """Another namespace is refused, by the name of its key."""
    guarded.flush()
    url = grant(guarded, *documented("t"))
    for name in ("other", "t2"):
        with pytest.raises(ConfigurationError, match=rf"{{{name}}}:meta") as caught:
            async with opened(url, namespace=name):
                pass
        assert "give the user this right" in caught.value.remedy
    assert guarded.command("KEYS", "*") == []


@pytest.mark.parametrize("verb", ["watch", "hgetall", "hset", "smembers", "time"])
async def test_a_right_that_is_needed_at_the_start(
    guarded: servers.Server, verb: str
) -> None:
    guarded.flush()
    url = grant(guarded, *[one for one in documented("t") if one != f"+{verb}"])
    with pytest.raises(ConfigurationError, match=f"(?i)'{verb}'"):
        async with opened(url):
            pass


@pytest.mark.parametrize("verb", ["zadd", "publish", "mget", "xadd", "incr"])
async def test_a_right_that_is_needed_later(guarded: servers.Server, verb: str) -> None:
    """Nothing is written by halves, and all goes on once it is given."""
    guarded.flush()
    url = grant(guarded, *[one for one in documented("t") if one != f"+{verb}"])
    async with opened(url) as session:
        with pytest.raises(StoreUnavailableError, match=f"(?i)'{verb}'"):
            await session.transact(IDS, create(at=1))
        assert guarded.command("KEYS", "{t:*") == []
        guarded.command("ACL", "SETUSER", "jobs", f"+{verb}")
        assert set(await session.transact(IDS, create(at=1))) == set(IDS)


async def test_channels_that_were_forgotten(guarded: servers.Server) -> None:
    """The default of Redis 7: a user has no channel until one is given."""
    guarded.flush()
    url = grant(guarded, *[one for one in documented("t") if one[0] != "&"])
    async with opened(url) as session:
        stream = session.signals()
        with pytest.raises(StoreUnavailableError, match="channel"):
            await stream.watch(frozenset({1}), frozenset())
        await stream.aclose()
        with pytest.raises(StoreUnavailableError, match=r"{t:1}:s.*channel"):
            await session.transact(IDS, create(at=1))
