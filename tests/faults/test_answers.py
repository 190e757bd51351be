"""What a server may answer instead of doing what it is asked, and then does again.

In each case: verbs raise ``StoreUnavailableError``, each peer tells once, health
is red; and when it is over everything goes on without a restart, with nothing
lost, nothing doubled and nothing half-written.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
import redis

from aiosched import IntervalTrigger, Job, RedisJobStore, Scheduler
from aiosched.errors import StoreUnavailableError
from tests.faults.crew import BEAT, Crew
from tests.faults.proxies import Wire
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

EVERY = 0.2
SECRET = "open-sesame"
PEERS = 3


# --- how it is brought about, and how it ends --------------------------------------


@contextmanager
def out_of_memory(server: Server) -> Iterator[str]:
    """The limit is reached and nothing may be evicted."""
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        yield "used memory"
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")


@contextmanager
def read_only(server: Server) -> Iterator[str]:
    """It was made the replica of a master that cannot be reached."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        server.command("REPLICAOF", "127.0.0.1", str(nobody.getsockname()[1]))
        try:
            yield "read only replica"
        finally:
            server.command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_its_master(server: Server) -> Iterator[str]:
    """The same, and it does not even answer from what it has."""
    server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
    with read_only(server):
        yield "Link with MASTER is down"
    server.command("CONFIG", "SET", "replica-serve-stale-data", "yes")


@contextmanager
def without_password(server: Server) -> Iterator[str]:
    """Somebody sets a password; who is connected is thrown out."""
    server.command("CONFIG", "SET", "requirepass", SECRET)
    with redis.Redis(port=server.port, password=SECRET) as admin:
        admin.client_kill_filter(_type="normal")
        admin.client_kill_filter(_type="pubsub")
        try:
            yield "denies access"
        finally:
            admin.config_set("requirepass", "")


@contextmanager
def without_permission(server: Server) -> Iterator[str]:
    """Writing is forbidden to the user meanwhile."""
    with redis.Redis(port=server.port) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-hset", "-exec")
        try:
            yield "denies access"
        finally:
            admin.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def disk_full(server: Server) -> Iterator[str]:
    """Its append-only file cannot grow any more."""
    (file,) = server.folder.glob("appendonlydir/*.incr.aof")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    limit = file.stat().st_size, resource.RLIM_INFINITY
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limit)
    try:
        yield "MISCONF"
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)


@contextmanager
def no_more_clients(server: Server) -> Iterator[str]:
    """Others have taken all connections that the server accepts."""
    with redis.Redis(port=server.port, single_connection_client=True) as admin:
        admin.config_set("maxclients", 1)
        admin.client_kill_filter(_type="normal", skipme=True)
        admin.client_kill_filter(_type="pubsub")
        try:
            yield "cannot be reached"
        finally:
            admin.config_set("maxclients", 1_000)


@contextmanager
def stopped(server: Server) -> Iterator[str]:
    """The process is there, connections are taken, and nobody answers."""
    with server.paused():
        yield "did not answer in time"


Fault = Callable[[Server], AbstractContextManager[str]]
FAULTS: dict[str, Fault] = {
    "OOM": out_of_memory,
    "READONLY": read_only,
    "MASTERDOWN": without_its_master,
    "NOAUTH": without_password,
    "NOPERM": without_permission,
    "MISCONF": disk_full,
    "maxclients": no_more_clients,
    "SIGSTOP": stopped,
}
ANSWERS = {
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "MOVED": b"-MOVED 3999 127.0.0.1:1\r\n",
    "ASK": b"-ASK 3999 127.0.0.1:1\r\n",
    "CLUSTERDOWN": b"-CLUSTERDOWN The cluster is down\r\n",
    "TRYAGAIN": b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
    "BUSY": b"-BUSY Redis is busy running a script.\r\n",
    "NOREPLICAS": b"-NOREPLICAS Not enough good replicas to write.\r\n",
}


async def test_a_server_that_refuses(
    launch: Any, caplog: pytest.LogCaptureFixture, seed: int, *, long_run: bool
) -> None:
    server = launch(aof=True)
    async with _scene(server.url) as (crew, client):
        for name in _order(FAULTS, seed, long_run=long_run):
            with _named(name):
                await _rides_it_out(crew, client, FAULTS[name](server), caplog)
        await _adds_up(crew, client)


async def test_a_server_that_answers_something_else(
    launch: Any, caplog: pytest.LogCaptureFixture, seed: int, *, long_run: bool
) -> None:
    async with (
        Wire(launch().address) as wire,
        _scene(wire.url) as (crew, client),
    ):
        for name in _order(ANSWERS, seed, long_run=long_run):
            with _named(name):
                fault = _answering(wire, name)
                await _rides_it_out(crew, client, fault, caplog)
        await _adds_up(crew, client)


@contextmanager
def _answering(wire: Wire, name: str) -> Iterator[str]:
    wire.answer, wire.answered = ANSWERS[name], 0
    yield "is loading" if name == "LOADING" else "refuses for now"
    wire.answer = None
    assert wire.answered > 0


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"the fault was {name}")
        raise


def _order(kinds: Iterable[str], seed: int, *, long_run: bool) -> list[str]:
    chance = random.Random(seed)
    names = list(kinds) * (5 if long_run else 1)
    chance.shuffle(names)
    return names


@asynccontextmanager
async def _scene(url: str) -> AsyncIterator[tuple[Crew, Scheduler]]:
    """Two peers at work, and a client."""

    def store() -> RedisJobStore:
        return RedisJobStore(
            url, exchange_timeout=0.5, socket_connect_timeout=0.5, resolve_timeout=1.0
        )

    async with Crew(store, namespace="answers") as crew:
        for _ in range(2):
            await crew.peer()
        client = await crew.client()
        start = datetime.now(UTC) + timedelta(seconds=0.3)
        trigger = IntervalTrigger(seconds=EVERY, start=start)
        for n in range(4):
            secs = {"secs": 0.1 * (n % 2)}
            job = Job("tick", trigger=trigger, id=f"job-{n}", kwargs=secs)
            await client.schedule(job)
        yield crew, client


async def _rides_it_out(
    crew: Crew,
    client: Scheduler,
    fault: AbstractContextManager[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "aiosched")
    await crew.until_ran("job-0", "job-3", since=monotonic())
    began, lines = monotonic(), len(caplog.records)
    with fault as words:
        await crew.until_told("store_down", since=began, by=PEERS)
        await wait_until(
            lambda: (
                not any(
                    one.health().ok or one.health().store for one in crew.peers.values()
                )
            ),
            "all know that the store is away",
        )
        for verb in _verbs(client):
            with pytest.raises(StoreUnavailableError, match=words):
                async with asyncio.timeout(10):
                    await verb()
        await asyncio.sleep(2 * BEAT)
    ended = monotonic()
    await crew.until_told("store_up", since=began, by=PEERS)
    await crew.until_well()
    assert len(crew.events("store_down", since=began)) == PEERS, "not once each"
    assert len(crew.events("store_up", since=began)) == PEERS, "not once each"
    _quiet(caplog.records[lines:])
    assert not crew.events("data_lost", "service_failed", "unreadable")
    assert not await client.job_exists("refused"), "half-written"
    assert (await client.get_job("job-1")).state == "active"
    await crew.until_ran("job-0", "job-3", since=ended)


def _verbs(client: Scheduler) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: client.schedule(Job("tick", id="refused", keyword="word")),
        lambda: client.pause("job-1"),
    ]


def _quiet(records: list[logging.LogRecord]) -> None:
    """What is logged are changes of state, not tries."""
    told = Counter(
        getattr(x, "action", "") for x in records if x.levelno >= logging.WARNING
    )
    assert told.pop("store_down") == told.pop("store_up") == PEERS
    # Each late run says so, and a loop that the machine has kept waiting.
    told.pop("run_late", None)
    told.pop("blocked", None)
    # A lifeline tells of its own trouble once.
    assert told.pop("lifeline_failed", 0) <= PEERS
    # A lease of before may have ended meanwhile.
    assert told.pop("run_lost", 0) + told.pop("fenced", 0) <= PEERS * 4
    assert not told, told


async def _adds_up(crew: Crew, client: Scheduler) -> None:
    """Every slot of every job has one fate, and every run one end."""
    for n in range(4):
        await client.pause(f"job-{n}")
    await client.drain(timeout=30)
    assert await crew.judged(client, excused=True, every=EVERY) == []


async def test_many_verbs_share_few_connections(launch: Any) -> None:
    """The pool is exhausted a hundred times over, and everybody gets a turn."""
    server = launch()
    async with Crew(server.url, namespace="answers") as crew:
        peer = await crew.peer()
        made = [
            peer.schedule(Job("tick", id=f"at-once-{n}", keep=3_600))
            for n in range(400)
        ]
        reads = [peer.get_jobs(limit=10) for _ in range(200)]
        async with asyncio.timeout(60):
            await asyncio.gather(*made, *reads)
        # Four for transactions, two for reads, a subscription, two of the lifeline,
        # and who asks.
        assert _clients(server) <= 4 + 2 + 1 + 2 + 1
        await crew.until_ran(*[f"at-once-{n}" for n in range(400)])
        await peer.drain(timeout=30)
        assert await crew.judged(peer) == []
        assert peer.health().ok


def _clients(server: Server) -> int:
    text = str(server.command("INFO", "clients"))
    (line,) = (x for x in text.splitlines() if x.startswith("connected_clients"))
    return int(line.partition(":")[2])
