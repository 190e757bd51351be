"""Namespaces, databases and sockets: neighbours on one server leave each other be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.abc import Beat, JobStore, Member, Signal
from aiosched.stores import open_store
from aiosched.testing.contract import JobStoreContract
from aiosched.testing.contract_decisions import claim, create, ids_in
from tests import servers
from tests.stores.redis.wire import opened
from tests.turns import by_turns
from tests.waiting import wait_until

IDS = ids_in(1, 3)
MEMBER = Member("me", "name", None, (), True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the server programs."""
    by_turns(metafunc, "own")


@pytest.fixture(scope="module")
def own(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A server of this module's own, of which all databases are used."""
    with servers.Server(request.param) as one:
        yield one


@pytest.fixture
def address(own: servers.Server) -> Iterator[str]:
    yield f"redis://127.0.0.1:{own.port}"
    own.flush()


class TestOverASocketInAnotherDatabase(JobStoreContract):
    """Every promise of the port, over a unix socket and in database 9."""

    @pytest.fixture(autouse=True)
    def _server(self, own: servers.Server) -> Iterator[None]:
        self.url = f"unix://{own.unix_path}?db=9"
        yield
        assert "db0" not in str(own.command("INFO", "keyspace"))
        own.flush()

    async def make_store(self) -> JobStore:
        return open_store(self.url)


async def test_the_same_name_in_two_databases(address: str) -> None:
    """Channels belong to all databases of a server; their names tell them apart."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sessions = [await enter(opened(f"{address}/{n}")) for n in (0, 1, 12)]
        heard: list[list[Signal]] = []
        for session in sessions:
            stream, signals = session.signals(), list[Signal]()
            heard.append(signals)
            reading = asyncio.create_task(_hear(stream, signals))
            stack.callback(reading.cancel)
            stack.push_async_callback(stream.aclose)
            await stream.watch(frozenset({1}), frozenset({1}))
        for number, session in enumerate(sessions):
            await session.transact(IDS[number : number + 1], create(at=1))
            member = Member(f"m{number}", "name", None, (), True)
            pulse = await session.beat(Beat(member, f"m{number}", (1,)))
            assert [each.id for each in pulse.members] == [f"m{number}"]
        for number, signals in enumerate(heard):

            def told(signals: list[Signal] = signals) -> bool:
                return {"changed", "canary"} <= {one.kind for one in signals}

            await wait_until(told, "own signals")
            jobs = {entry[0] for one in signals for entry in one.entries}
            assert jobs == {IDS[number]}, "heard of another database"
            beats = {
                each for one in signals if one.kind == "canary" for each in one.ids
            }
            assert beats == {f"m{number}"}
        for number, session in enumerate(sessions):
            assert set(await session.read(IDS)) == {IDS[number]}


async def _hear(stream: Any, heard: list[Signal]) -> None:
    async for signal in stream:
        heard.append(signal)  # noqa: PERF401


async def test_namespaces_side_by_side(address: str, own: servers.Server) -> None:
    """Of which one's name begins as the other's, in whatever way."""
    names = ["app", "app:1", "app1", "a*", "[a]", "a?p", "APP", "app\\"]
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(opened(address, namespace=name))
            for name in names
        ]
        for number, session in enumerate(sessions):
            await session.transact(IDS, create(at=1))
            member = Member(f"m{number}", "name", None, (), True)
            pulse = await session.beat(Beat(member, f"m{number}", (1,)))
            assert [each.id for each in pulse.members] == [f"m{number}"]
        first, *others = sessions
        assert set(await first.transact(IDS, claim("me"))) == set(IDS)
        for session in others:
            records = (await session.read(IDS)).values()
            assert [one.state.runs for one in records] == [()] * 3
            page = await session.list(limit=100)
            assert {one.definition.id for one in page.records} == set(IDS)
        keys = own.command("KEYS", "*")
        for session in sessions:
            # Neither sweeping nor mending looks beyond its own keys.
            assert await session.sweep() == 0
            for _ in range(8):
                await session.mend()
        assert own.command("KEYS", "*") == keys or sorted(
            own.command("KEYS", "*")  # type: ignore[call-overload]
        ) == sorted(keys)  # type: ignore[call-overload]


async def test_schedulers_side_by_side(address: str) -> None:
    """Two applications, each in two databases: four that know nothing of each other."""
    places = [(ns, db) for ns in ("shop", "shop:1") for db in (0, 3)]
    start = datetime.now(UTC) + timedelta(seconds=0.3)
    ran: dict[tuple[str, int], list[str]] = {place: [] for place in places}
    async with AsyncExitStack() as stack:
        for place in places:
            scheduler = Scheduler(f"{address}/{place[1]}", namespace=place[0])

            @scheduler.executor
            def beside(word: str, mine: list[str] = ran[place]) -> None:
                mine.append(word)

            await stack.enter_async_context(scheduler)
            trigger = IntervalTrigger(seconds=0.2, start=start)
            word = f"{place[0]}/{place[1]}"
            job = Job("beside", trigger=trigger, id="same", kwargs={"word": word})
            await scheduler.schedule(job)
        await wait_until(lambda: all(len(x) > 2 for x in ran.values()), "three runs")
    for (namespace, database), words in ran.items():
        assert set(words) == {f"{namespace}/{database}"}
