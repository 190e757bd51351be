"""The wire between peers and their server: dead, deaf, slow, and out of order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
import redis

from aiosched import IntervalTrigger, Job, RedisJobStore, Scheduler
from aiosched.errors import StoreUnavailableError
from tests.faults.crew import BEAT, LEASE, TERMS, Crew
from tests.faults.proxies import Pipe, Wire
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

EVERY = 0.2
JOBS = 4
SPREAD = {**TERMS, "shards": 64}
"""So many shards that none of two peers is the owner of none of them."""
PUSHED = b"*3\r\n$7\r\nmessage\r\n"


def store(url: str) -> Callable[[], RedisJobStore]:
    """Return what makes stores that soon find out that nobody answers."""
    return lambda: RedisJobStore(
        url, exchange_timeout=1.0, socket_connect_timeout=1.0, resolve_timeout=2.0
    )


@asynccontextmanager
async def scene(
    server: Server, *, through: int = 2
) -> AsyncIterator[tuple[Wire, Crew, Scheduler]]:
    """Peers behind one wire, and a client that reaches the server directly."""
    async with (
        Wire(server.address) as wire,
        Crew(store(wire.url), namespace="network", terms=SPREAD) as crew,
    ):
        for _ in range(through):
            await crew.peer()
        client = await crew.client(store=server.url)
        yield wire, crew, client


async def grids(client: Scheduler, *, every: float = EVERY) -> None:
    """Have some jobs run for ever, every other of them for a while each time."""
    start = datetime.now(UTC) + timedelta(seconds=0.2)
    trigger = IntervalTrigger(seconds=every, start=start)
    for n in range(JOBS):
        secs = {"secs": 0.1 * (n % 2)}
        await client.schedule(Job("tick", trigger=trigger, id=f"job-{n}", kwargs=secs))


async def adds_up(
    crew: Crew, client: Scheduler, *, excused: bool, every: float = EVERY
) -> None:
    """Every slot has one fate, every run one end, and all are well."""
    await crew.until_well()
    for job in await client.get_jobs(limit=100):
        if job.id.startswith("job-"):
            await client.pause(job)
    await client.drain(timeout=30)
    assert await crew.judged(client, excused=excused, every=every) == []
    assert not crew.events("data_lost", "service_failed", "unreadable")


async def test_connections_are_cut_all_the_time(
    launch: Any, seed: int, *, long_run: bool
) -> None:
    """At random: all, the subscriptions only, or all others."""
    chance = random.Random(seed)
    async with scene(launch()) as (wire, crew, client):
        await grids(client)
        fires = 0
        await client.schedule(Job("tick", keyword="word", id="fired"))
        cuts = 0
        for _ in range(200 if long_run else 30):
            await asyncio.sleep(chance.uniform(0.02, 0.2))
            cuts += wire.break_all(subscribed=chance.choice([None, True, False])) > 0
            await client.fire_job("word")
            fires += 1
        assert cuts > 15
        await wait_until(
            lambda: len({x.key for x in crew.ran("fired")}) == fires,
            "every fire runs",
            timeout=30,
        )
        await adds_up(crew, client, excused=True)
        assert (await client.get_job("fired")).counts.succeeded == fires


async def test_half_open_connections_are_given_up(launch: Any) -> None:
    """Nothing arrives on what was open, and nobody is told; new ones work."""
    async with scene(launch()) as (wire, crew, client):
        await grids(client)
        await crew.until_ran("job-0", "job-3", times=2)
        began = monotonic()
        assert wire.swallow() >= 2 * 4
        await crew.until_told("store_up", since=began, by=2)
        await crew.until_ran("job-0", "job-3", times=2, since=monotonic())
        assert {x.peer for x in crew.events("store_down", since=began)} == {
            "peer-1",
            "peer-2",
        }
        await adds_up(crew, client, excused=True)


async def test_a_half_open_subscription_is_found_out_by_its_silence(
    launch: Any,
) -> None:
    """Requests get through, so only the own beats that are unheard can tell."""
    server = launch()
    async with scene(server) as (wire, crew, client):
        await client.schedule(Job("tick", keyword="word", id="fired"))
        await client.fire_job("word")
        await crew.until_ran("fired")
        before = wire.connections
        assert wire.swallow(subscribed=True) == 2
        await wait_until(
            lambda: sum(p.subscribed and not p.dead for p in wire.pipes) == 2,
            "two new subscriptions",
        )
        assert wire.connections - before <= 4
        # And they hear again: many fires, none of which waits for a beat.
        since = monotonic()
        for _ in range(5):
            await client.fire_job("word")
        await crew.until_ran("fired", times=5, since=since)
        assert crew.events("store_down") == []
        assert all(one.health().ok for one in crew.peers.values())


async def test_a_peer_that_is_cut_off_is_stood_in_for(launch: Any) -> None:
    """For three leases one peer hears and says nothing; the other does it all."""
    server = launch()
    async with scene(server, through=1) as (wire, crew, client):
        other = await crew.peer(store=server.url)
        await grids(client)
        long = Job("tick", id="long", kwargs={"secs": 1.2 * LEASE}, keep=3_600)
        await client.schedule(long)
        await crew.until_ran("job-0", "job-3", "long", times=1)
        wire.silent = True
        wire.swallow()
        began = monotonic()
        await crew.until_told("store_down", since=began)
        with pytest.raises(StoreUnavailableError):
            await crew.peers["peer-1"].get_jobs()
        await asyncio.sleep(max(0.0, began + 3 * LEASE - monotonic()))
        assert not crew.peers["peer-1"].health().ok
        assert other.health().ok
        since = monotonic()
        await crew.until_ran(*[f"job-{n}" for n in range(JOBS)], since=since)
        assert {x.peer for x in crew.ran(since=since)} == {other.name}
        wire.silent = False
        await crew.until_told("lapsed", since=began)
        await crew.until_told("store_up", since=began)
        since = monotonic()
        # Again and again: the other owns all shards until it has heard of this one.
        while {x.peer for x in crew.ran(since=since)} != {"peer-1", "peer-3"}:
            assert monotonic() < since + 30, "only one of them takes part"
            await client.schedule_many([Job("tick") for _ in range(100)])
            await asyncio.sleep(0.5)
        await wait_until(
            lambda: any(x.ended is not None for x in crew.ran("long")), "its end"
        )
        await adds_up(crew, client, excused=True)
        (run,) = [x.run for x in await client.history("long") if x.run is not None][:1]
        assert run.final
        assert run.outcome == "succeeded"


async def test_subscriptions_are_killed_by_the_server(launch: Any) -> None:
    """Again and again: each comes back, and reads what it may have missed."""
    server = launch()
    async with scene(server) as (_, crew, client):
        peer = crew.peers["peer-1"]
        await client.schedule(Job("tick", keyword="word", id="fired", note="n"))
        with redis.Redis(port=server.port) as admin:
            for _ in range(12):
                (firing,) = await client.fire_job("word")
                admin.client_kill_filter(_type="pubsub")
                # Also who waits hears of it: its own subscription was killed.
                assert (await peer.wait(firing, timeout=10)).outcome == "succeeded"
        assert len(crew.ran("fired")) == 12
        # A peer may notice, and say so; nothing else comes of it.
        assert not crew.events("run_lost", "lapsed", "service_failed")


class Mangled:
    """Delays, doubles, drops and shuffles what is published, and nothing else."""

    def __init__(self, wire: Wire, chance: random.Random) -> None:
        self.chance = chance
        self.counts = {"dropped": 0, "late": 0, "twice": 0, "passed": 0}
        wire.tamper = self

    def __call__(self, pipe: Pipe, answer: bytes) -> None:
        if not answer.startswith(PUSHED):
            self._write(pipe, answer)
            return
        kind = self.chance.choice(list(self.counts))
        self.counts[kind] += 1
        if kind in ("passed", "twice"):
            self._write(pipe, answer)
        if kind in ("late", "twice"):
            asyncio.get_running_loop().call_later(
                self.chance.uniform(0.0, 3 * BEAT), self._write, pipe, answer
            )

    def _write(self, pipe: Pipe, answer: bytes) -> None:
        if not pipe.near.is_closing():
            pipe.near.write(answer)


@pytest.mark.parametrize("kind", ["mangled", "dropped"])
async def test_messages_do_not_decide(
    launch: Any, seed: int, kind: str, *, long_run: bool
) -> None:
    """They are lost, doubled, late and out of order: a beat late, never wrong."""
    chance = random.Random(seed)
    fires = 100 if long_run else 20
    async with (
        Wire(launch().address) as wire,
        Crew(store(wire.url), namespace="network", terms=SPREAD) as crew,
    ):
        mangled = Mangled(wire, chance)
        if kind == "dropped":
            mangled.counts = {"dropped": 0}
        for _ in range(2):
            await crew.peer()
        client = await crew.client()
        await grids(client)
        job = Job("tick", keyword="word", id="fired", overlap="queue")
        await client.schedule(job)
        for _ in range(fires):
            await asyncio.sleep(chance.uniform(0.0, 0.1))
            await client.fire_job("word")
        await crew.until_ran("fired", times=fires)
        waited = await client.start_job("fired")
        assert (await client.wait(waited, timeout=10)).outcome == "succeeded"
        await adds_up(crew, client, excused=False)
        assert len(crew.ran("fired")) == fires + 1
    assert min(mangled.counts.values()) > 10, mangled.counts


async def test_a_server_far_away(launch: Any) -> None:
    """200 ms there and back: slower, and nothing else."""
    async with scene(launch()) as (wire, crew, client):
        wire.delay = 0.1
        await grids(client, every=1.0)
        await crew.until_ran(*[f"job-{n}" for n in range(JOBS)], times=3)
        firing = await client.start_job(
            await client.schedule(Job("tick", keyword="never", id="by-hand"))
        )
        peer = crew.peers["peer-2"]
        assert (await peer.wait(firing, timeout=10)).outcome == "succeeded"
        assert not crew.events("store_down", "lapsed", "run_lost", "fenced")
        wire.delay = 0.0
        await adds_up(crew, client, excused=False, every=1.0)


async def test_a_flooded_neighbour(launch: Any) -> None:
    """Another namespace of the same server is written to as fast as it goes."""
    server = launch()
    async with (
        scene(server) as (_, crew, client),
        Crew(server.url, namespace="flooded") as flooded,
    ):
        await grids(client)
        noisy = await flooded.peer()
        ended = asyncio.Event()
        made = 0

        async def flood(stem: str) -> None:
            nonlocal made
            while not ended.is_set():
                some = [Job("tick", id=f"{stem}-{made}-{n}") for n in range(50)]
                made += len(some)
                await noisy.schedule_many(some)

        floods = [asyncio.ensure_future(flood(f"f{n}")) for n in range(2)]
        since = monotonic()
        await crew.until_ran(*[f"job-{n}" for n in range(JOBS)], times=4, since=since)
        ended.set()
        await asyncio.gather(*floods)
        await adds_up(crew, client, excused=True)
        found = {job.id for job in await client.get_jobs(limit=1_000)}
        assert found == {f"job-{n}" for n in range(JOBS)}
        await noisy.drain(timeout=60)
        assert len(flooded.runs) == made > 100
        assert await flooded.judged(noisy, excused=True) == []
