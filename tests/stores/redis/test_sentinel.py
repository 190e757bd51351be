"""Who is asked for the master, whom the store believes, and how it follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio.connection import Connection

from aiosched.abc import Beat, Counters, Member, Signal
from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.stores.redis.connection import Wiring
from aiosched.stores.redis.sentinel import Sentinels
from aiosched.stores.redis.urls import parse_url
from aiosched.testing.contract_decisions import claim, create, ids_in, settle
from tests.servers import Binary, Server, free_port
from tests.stores.redis.wire import opened, parse
from tests.waiting import wait_until

IDS = ids_in(1, 7)
MEMBER = Member("me", "name", None, (), True)
NOWHERE = ("10.255.255.1", 6379)


class Scripted:
    """Answers like a sentinel, with what it is told to say.

    Attributes:
        master: The address that it names; None: it knows no such master; text:
            an error that it answers.
        epoch: Of the last failover; None: nobody may ask for it.
        silent: It takes connections and says nothing.
        asked: How often.
    """

    def __init__(self, master: tuple[str, int] | str | None, epoch: int | None = 1):
        self.master = master
        self.epoch = epoch
        self.silent = False
        self.asked = 0
        self.port = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        if self._open:
            await asyncio.wait(self._open.values())
        await self._server.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[writer] = task
        try:
            while data := await reader.read(1 << 16):
                for words in parse(data):
                    if not self.silent:
                        writer.write(self._answer(words))
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _answer(self, words: list[bytes]) -> bytes:
        if words[0] != b"SENTINEL":
            return b"+OK\r\n"  # what the driver says of itself
        if isinstance(self.master, str):
            return f"-{self.master}\r\n".encode()
        if words[1] == b"MASTER":
            if self.epoch is None:
                return b"-NOPERM this user has no permissions\r\n"
            return _array("name", "m", "config-epoch", str(self.epoch))
        self.asked += 1
        if self.master is None:
            return b"*-1\r\n"
        return _array(self.master[0], str(self.master[1]))


def _array(*words: str) -> bytes:
    parts = [f"${len(one)}\r\n{one}\r\n" for one in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


@asynccontextmanager
async def scripted(*them: Scripted) -> AsyncIterator[str]:
    """Start sentinels; give the URL that names them."""
    async with AsyncExitStack() as stack:
        for one in them:
            await stack.enter_async_context(one)
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in them)
        yield f"redis+sentinel://{hosts}/m"


def room(url: str, timeout: float = 60.0) -> tuple[Sentinels, Wiring]:
    address = parse_url(url)
    topology = Sentinels(address)
    wiring = Wiring(address, None, timeout, timeout, Counters(), topology)
    return topology, wiring


async def named(url: str) -> tuple[str, int]:
    topology, wiring = room(url)
    async with asyncio.timeout(30):
        found = await topology.where(wiring, None)
    return found["host"], found["port"]


# --- whom they believe ---------------------------------------------------------------

OLD, NEW = ("old", 1), ("new", 2)


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        ([(NEW, 1)], NEW),
        ([(OLD, 1), (NEW, 1), (NEW, 1)], NEW),
        ([(NEW, 1), (NEW, 1), (OLD, 1)], NEW),
        # One that was cut off tells of the past; one is the first to know.
        ([(OLD, 4), (NEW, 5)], NEW),
        ([(NEW, 5), (OLD, 4)], NEW),
        ([("ERR not now", 0), (None, 0), (NEW, 1)], NEW),
        ([(NEW, None), (NEW, None), (OLD, None)], NEW),
    ],
    ids=repr,
)
async def test_whom_they_believe(said: list[Any], believed: tuple[str, int]) -> None:
    async with scripted(*[Scripted(*one) for one in said]) as url:
        assert await named(url) == believed


async def test_one_that_hangs_is_not_waited_for() -> None:
    """The time for connecting is a minute here, that of this test half of it."""
    hanging, dead, good = Scripted(OLD), Scripted(OLD), Scripted(NEW)
    hanging.silent = True
    async with scripted(hanging, good) as url, dead:
        assert await named(url) == NEW
    async with scripted(hanging, good) as url:
        away = url.replace("://", f"://127.0.0.1:{free_port()},")
        assert await named(away) == NEW


async def test_whoever_comes_meanwhile_shares_the_answer() -> None:
    one = Scripted(NEW)
    async with scripted(one) as url:
        topology, wiring = room(url)
        found = await asyncio.gather(*[topology.where(wiring, None) for _ in range(9)])
        assert [each["port"] for each in found] == [2] * 9
        assert one.asked == 1
        await topology.where(wiring, None)
        assert one.asked == 2, "the answer was kept for later"


async def test_whoever_asks_and_is_cancelled_takes_nobody_along() -> None:
    one = Scripted(NEW)
    one.silent = True
    async with scripted(one) as url:
        topology, wiring = room(url)
        first = asyncio.create_task(topology.where(wiring, None))
        second = asyncio.create_task(topology.where(wiring, None))
        await wait_until(lambda: bool(one._open), "a question")
        first.cancel()
        one.silent = False
        assert (await second)["port"] == 2
        assert first.cancelled()


@pytest.mark.parametrize(
    ("said", "problem", "remedy"),
    [
        ([None, None], "no sentinel watches a master named 'm'", "configuration"),
        (["NOAUTH Log in first."], "Log in first", "sentinel_password"),
        (["ERR why", "WRONGPASS no, no"], "no, no", "sentinel_password"),
        (["ERR unknown command 'SENTINEL'"], "unknown command", "port 26379"),
    ],
    ids=repr,
)
async def test_what_waiting_cannot_mend_is_refused_at_once(
    said: list[Any], problem: str, remedy: str
) -> None:
    async with scripted(*[Scripted(one) for one in said]) as url:
        with pytest.raises(ConfigurationError, match=problem) as caught:
            async with opened(url):
                pass
        assert remedy in caught.value.remedy
        assert caught.value.field == "store"


async def test_what_passes_is_told_as_such() -> None:
    """One that is away, one that is silent, one that talks nonsense."""
    silent, odd = Scripted(OLD), Scripted(("no-port", "x"))  # type: ignore[arg-type]
    silent.silent = True
    async with scripted(silent, odd, Scripted(None)) as url:
        away = url.replace("://", f"://127.0.0.1:{free_port()},")
        with pytest.raises(StoreUnavailableError) as caught:
            async with opened(away, socket_connect_timeout=0.5):
                pass
        said = str(caught.value)
        for one in ("did not answer in time", "no address", "knows no master", "111"):
            assert one in said, said


# --- servers that change their roles -------------------------------------------------


class Pair:
    """A master and its replica."""

    def __init__(self, master: Server, replica: Server) -> None:
        self.master, self.replica = master, replica
        replica.command("REPLICAOF", *self._where(master))

    @staticmethod
    def _where(server: Server) -> tuple[str, str]:
        return "127.0.0.1", str(server.port)

    async def in_step(self) -> None:
        """Wait until the replica has all."""

        def offset(one: Server, field: str) -> str:
            said = str(one.command("INFO", "replication")).splitlines()
            return next((x for x in said if x.startswith(f"{field}:")), "")

        def done() -> bool:
            there = offset(self.replica, "slave_repl_offset").partition(":")[2]
            here = offset(self.master, "master_repl_offset").partition(":")[2]
            return there == here != ""

        await wait_until(done, "a replica in step")

    async def swap(self) -> None:
        """Change places; nobody's connection is closed by that."""
        await self.in_step()
        self.replica.command("REPLICAOF", "NO", "ONE")
        self.master.command("REPLICAOF", *self._where(self.replica))
        self.master, self.replica = self.replica, self.master

    def connections(self, server: Server) -> list[str]:
        """Return what our connections to a server did last."""
        said = str(server.command("CLIENT", "LIST")).splitlines()
        facts = [dict(x.partition("=")[::2] for x in one.split()) for one in said]
        mine = [one for one in facts if set(one["flags"]) <= set("NPx")]
        verbs = [one["cmd"].partition("|")[0] for one in mine]
        return [one for one in verbs if one not in {"client", "replconf"}]


@pytest.fixture
def pair(binary: Binary) -> Iterator[Pair]:
    options = {"repl-diskless-sync-delay": "0"}
    with ExitStack() as stack:
        enter = stack.enter_context
        yield Pair(
            enter(Server(binary, options=options)),
            enter(Server(binary, options=options)),
        )


async def test_a_master_that_becomes_a_replica(pair: Pair) -> None:
    """No connection breaks: what the server answers is all that is told."""
    one = Scripted(("127.0.0.1", pair.master.port))
    async with scripted(one) as url, opened(url) as session:
        await session.transact(IDS[:2], create(at=1))
        assert set(await session.read(IDS)) == set(IDS[:2])
        epoch = (await session.beat(Beat(MEMBER, "me", (1,)))).epoch
        stream = session.signals()
        heard: list[Signal] = []
        reading = asyncio.create_task(_hear(stream, heard))
        await stream.watch(frozenset({1}), frozenset())
        await pair.swap()
        one.master = ("127.0.0.1", pair.master.port)
        claimed = await session.transact(IDS[:2], claim("me"))
        assert set(claimed) == set(IDS[:2])
        fence = claimed[IDS[0]].starts[0].run.fence
        assert set(await session.transact(IDS[:1], settle("me", fence))) == {IDS[0]}
        assert session.counters.unknown == 0
        # Those that read go along, though nobody has refused them anything.
        await session.transact(IDS[2:3], create(at=1))
        assert set(await session.read(IDS)) == set(IDS[:3])
        assert (await session.beat(Beat(MEMBER, "me", (1,)))).epoch == epoch
        assert set(pair.connections(pair.replica)) <= {"subscribe"}
        await wait_until(lambda: any(x.kind == "changed" for x in heard), "a signal")
        reading.cancel()


async def _hear(stream: Any, heard: list[Signal]) -> None:
    async for signal in stream:
        heard.append(signal)  # noqa: PERF401


async def test_a_beat_finds_it_out(pair: Pair) -> None:
    """A peer that only reads and beats is told, too."""
    one = Scripted(("127.0.0.1", pair.master.port))
    async with scripted(one) as url, opened(url) as session:
        await session.beat(Beat(MEMBER, "me", (1,)))
        await pair.swap()
        one.master = ("127.0.0.1", pair.master.port)
        pulse = await session.beat(Beat(MEMBER, "me", (1,)))
        assert [each.id for each in pulse.members] == ["me"]
        assert pair.master.command("HLEN", "{t}:members") == 1


async def test_who_is_connected_to_two_masters_decides_for_one(pair: Pair) -> None:
    """One that was replaced takes writes until it is told: for seconds."""
    one = Scripted(("127.0.0.1", pair.master.port))
    async with scripted(one) as url, opened(url) as session:
        await session.transact(IDS[:1], create(at=1))
        epochs = [(await session.beat(Beat(MEMBER, "me", (1,)))).epoch]
        old, new = pair.master, pair.replica
        await pair.in_step()
        new.command("REPLICAOF", "NO", "ONE")
        one.master = ("127.0.0.1", new.port)
        for line in str(old.command("CLIENT", "LIST")).splitlines():
            facts = dict(each.partition("=")[::2] for each in line.split())
            if facts["cmd"] == "exec":
                old.command("CLIENT", "KILL", "ID", facts["id"])
        for number in range(1, 7):
            await session.transact(IDS[number : number + 1], create(at=1))
            # What commits is at the new one; for once, what beats is not.
            named = old if number == 1 else new
            one.master = ("127.0.0.1", named.port)
            epochs.append((await session.beat(Beat(MEMBER, "me", (1,)))).epoch)
            one.master = ("127.0.0.1", new.port)
        assert epochs[0] != epochs[1], "a loss, as far as could be seen"
        # The first that found out was still sent to the old one by the sentinel.
        assert len(set(epochs[3:])) == 1
        assert pair.connections(old) == []
        assert set(await session.read(IDS)) == set(IDS)


async def test_a_sentinel_that_names_a_replica(pair: Pair) -> None:
    """It is refused, and another one's word counts, however old it seems to be."""
    await pair.in_step()
    wrong = Scripted(("127.0.0.1", pair.replica.port), epoch=7)
    right = Scripted(("127.0.0.1", pair.master.port), epoch=3)
    async with scripted(wrong, right) as both:
        url = f"redis+sentinel://127.0.0.1:{wrong.port}/m"
        with pytest.raises(StoreUnavailableError, match="is a slave"):
            async with opened(url):
                pass
        async with opened(both) as session:
            await session.transact(IDS[:1], create(at=1))
    assert wrong.asked < 20, "asked without end"


async def test_without_sentinels_a_name_may_move(pair: Pair) -> None:
    """Managed services point the host's name at the new master."""

    def factory(**options: Any) -> Connection:
        return Connection(**{**options, "port": pair.master.port})

    url = f"redis://127.0.0.1:{pair.master.port}"
    async with opened(url, connection_factory=factory) as session:
        await session.transact(IDS[:1], create(at=1))
        assert set(await session.read(IDS)) == set(IDS[:1])
        await pair.swap()
        assert set(await session.transact(IDS[:1], claim("me"))) == {IDS[0]}
        assert set(await session.read(IDS)) == set(IDS[:1])
        assert pair.connections(pair.replica) == []


async def test_a_server_that_stays_a_replica(pair: Pair) -> None:
    """It is refused in the end, and nothing is written twice when it is over."""
    url = f"redis://127.0.0.1:{pair.master.port}"
    async with opened(url, exchange_timeout=0.5) as session:
        await session.transact(IDS[:1], create(at=1))
        await pair.swap()
        with pytest.raises(StoreUnavailableError, match="read only replica"):
            await session.transact(IDS[1:2], create(at=1))
        await pair.swap()
        await session.transact(IDS[1:2], create(at=1))
        rows = await session.ledger(limit=100)
        assert set(await session.read(IDS)) == set(IDS[:2])
        assert len(rows.rows if hasattr(rows, "rows") else list(rows)) <= 2
