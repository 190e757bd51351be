"""What a job costs, where it can be counted: it is the same on every machine.

Virtual time; the Redis store's own code runs over the server model.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, RedisJobStore, Scheduler
from aiosched._engine import events
from aiosched.abc import shard_of
from aiosched.clock import SystemClock
from aiosched.instants import moment
from aiosched.stores.redis import connection, specs, transact
from aiosched.testing.redis_model import Server
from tests.engine.kit import World, after, loop
from tests.simulation.model.wiring import factory

pytestmark = pytest.mark.virtual(timeout=100_000)

SHARDS = 4
JOBS = 600 * SHARDS
AHEAD = 60.0


class Watch(SystemClock):
    """A clock that counts how often somebody looks at it."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()


def counting(
    monkeypatch: pytest.MonkeyPatch, counts: Counter[str], where: Any, name: str
) -> None:
    """Have the calls of a function counted."""
    inner: Callable[..., Any] = getattr(where, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        counts[name] += 1
        return inner(*args, **kwargs)

    monkeypatch.setattr(where, name, counted)


def on_the_model(**options: Any) -> World:
    server = Server(loop().wall)
    store = RedisJobStore("redis://model", connection_factory=factory(server))
    chosen = {"max_concurrency": JOBS, "terms": {"shards": SHARDS}, **options}
    return World(store, **chosen)


def alike(number: int) -> list[Job]:
    """Return jobs that are due once, at one instant."""
    return [
        Job("work", id=f"job-{n:016}", keep=0, when=after(AHEAD)) for n in range(number)
    ]


async def drained(
    world: World, peers: list[Scheduler], seconds: float = AHEAD + 1.0
) -> None:
    """Let time pass until what is due has run and is settled."""
    await asyncio.sleep(seconds)
    assert len(world.runs) == len({ran.job for ran in world.runs}) == JOBS
    for peer in peers:
        assert not peer.health().running


async def test_commands_trips_and_wake_ups_of_a_drain() -> None:
    async with on_the_model() as world:
        peer = await world.peer()
        await peer.schedule_many(alike(JOBS))
        await asyncio.sleep(AHEAD - 1.0)
        engine = peer._running_engine()
        counters, wakes = peer._opened().counters, engine.timer.wake_ups
        commands, trips = counters.commands, counters.round_trips
        transactions = counters.transactions
        await drained(world, [peer], 2.0)
        assert counters.aborts == 0
        assert counters.transactions - transactions <= 2 * JOBS / 100 + 2
        # For claim and completion together, with all that a peer reads meanwhile.
        assert (counters.commands - commands) / JOBS <= 0.2
        assert (counters.round_trips - trips) / JOBS <= 0.05
        assert engine.timer.wake_ups - wakes <= 2.5 * JOBS / 100


async def test_commands_of_a_peer_that_is_full() -> None:
    """It lets places become free rather than claiming one whenever a run ends."""
    async with on_the_model(max_concurrency=100) as world:
        peer = await world.peer()
        await peer.schedule_many(alike(JOBS))
        await asyncio.sleep(AHEAD - 1.0)
        counters = peer._opened().counters
        commands, transactions = counters.commands, counters.transactions
        trips = counters.round_trips
        await drained(world, [peer], 2.0)
        assert (counters.commands - commands) / JOBS <= 0.2
        assert (counters.round_trips - trips) / JOBS <= 0.05
        assert (counters.transactions - transactions) / JOBS <= 2 / 95


async def test_a_hundred_slots_of_one_instant_are_two_transactions() -> None:
    """One claims them and one settles them, in however many shards they lie."""
    async with on_the_model(terms={"shards": 64}) as world:
        peer = await world.peer()
        start = moment(loop().wall()) + after(AHEAD)
        every = IntervalTrigger(seconds=1, start=start)
        jobs = [Job("work", id=f"job-{n}", trigger=every) for n in range(100)]
        await peer.schedule_many(jobs)
        await asyncio.sleep(AHEAD - 0.5)
        counters = peer._opened().counters
        before = counters.transactions, counters.round_trips, counters.aborts
        await asyncio.sleep(10.0)
        assert len(world.runs) == 1_000
        assert counters.transactions - before[0] == 20
        # Two each; the rest is what two beats and the sweeper ask.
        assert counters.round_trips - before[1] <= 60
        assert counters.aborts == before[2]


async def test_a_peer_that_is_full_does_not_let_places_lie_idle() -> None:
    """It waits for milliseconds for more of them to become free."""
    async with on_the_model(max_concurrency=100) as world:
        peer = await world.peer()

        @peer.executor
        async def long(seconds: float) -> None:
            world_seconds.append(loop().time())
            await asyncio.sleep(seconds)

        world_seconds: list[float] = []
        # Ninety-nine stay for an hour: one place has to do for all that follow.
        stays = [Job("long", kwargs={"seconds": 3_600.0}) for _ in range(99)]
        await peer.schedule_many(stays)
        await asyncio.sleep(1.0)
        turns = [Job("long", kwargs={"seconds": 1.0}) for _ in range(10)]
        await peer.schedule_many(turns)
        await asyncio.sleep(11.0)
        begun = world_seconds[99:]
        assert len(begun) == 10
        gaps = [later - one for one, later in pairwise(begun)]
        assert max(gaps) < 1.05


async def test_owners_that_stay_never_meet() -> None:
    """No optimistic transaction fails while the same peers live."""
    async with on_the_model() as world:
        peers = [await world.peer(f"p{n}") for n in range(3)]
        await asyncio.sleep(20.0)  # until all know of all
        await peers[0].schedule_many(alike(JOBS))
        before = [peer._opened().counters.aborts for peer in peers]
        await drained(world, peers)
        assert [peer._opened().counters.aborts for peer in peers] == before
        assert len({ran.peer for ran in world.runs}) > 1


async def test_commands_and_trips_of_scheduling_many() -> None:
    async with on_the_model() as world:
        peer = await world.peer()
        counters = peer._opened().counters
        commands, trips = counters.commands, counters.round_trips
        await peer.schedule_many(alike(JOBS))
        assert (counters.commands - commands) / JOBS <= 0.15
        assert (counters.round_trips - trips) / JOBS <= 0.03


async def test_commands_and_trips_of_fifty_that_schedule_at_once() -> None:
    """The first goes at once; the others go together behind it."""
    async with on_the_model(terms={"shards": 64}, run_jobs=False) as world:
        peer = await world.peer()
        await peer.schedule(alike(1)[0])  # the queue is known now
        counters = peer._opened().counters
        commands, trips = counters.commands, counters.round_trips
        transactions = counters.transactions
        some = [Job("work", id=f"j{n}", when=after(AHEAD)) for n in range(50)]
        await asyncio.gather(*[peer.schedule(one) for one in some])
        assert counters.transactions - transactions == 2
        assert counters.round_trips - trips == 4
        # Six commands for each of their shards, and a few to read and to begin.
        shards = len({shard_of(one.id, 64) for one in some[1:]})
        assert counters.commands - commands <= 6 * (shards + 1) + 2 * 7


async def test_fifty_jobs_of_one_call_are_one_transaction() -> None:
    async with on_the_model(terms={"shards": 64}, run_jobs=False) as world:
        peer = await world.peer()
        await peer.schedule(alike(1)[0])
        counters = peer._opened().counters
        trips, transactions = counters.round_trips, counters.transactions
        some = [Job("work", id=f"j{n}", when=after(AHEAD)) for n in range(50)]
        await peer.schedule_many(some)
        assert counters.transactions - transactions == 1
        assert counters.round_trips - trips == 2


async def test_commands_and_trips_of_one_that_schedules_alone() -> None:
    async with on_the_model(run_jobs=False) as world:
        peer = await world.peer()
        await peer.schedule(alike(1)[0])
        counters = peer._opened().counters
        commands, trips = counters.commands, counters.round_trips
        for one in alike(11)[1:]:
            await peer.schedule(one)
        assert (counters.round_trips - trips, counters.commands - commands) == (20, 120)


async def test_bytes_that_a_drain_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = 0
    inner = connection.pack

    def packed(commands: Any) -> bytes:
        nonlocal sent
        packet = inner(commands)
        sent += len(packet)
        return packet

    monkeypatch.setattr(connection, "pack", packed)
    async with on_the_model() as world:
        peer = await world.peer()
        jobs = alike(JOBS)
        await peer.schedule_many(jobs)
        scheduled, sent = sent, 0
        await drained(world, [peer])
    # Half of it are the names of keys, which stand in each command.
    assert scheduled / JOBS <= 385
    assert sent / JOBS <= 675


async def test_what_is_alike_is_worked_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: Counter[str] = Counter()
    counting(monkeypatch, counts, specs, "encode_spec")
    counting(monkeypatch, counts, transact, "decode")
    async with on_the_model() as world:
        peer = await world.peer()
        await peer.schedule_many(alike(JOBS))
        assert counts == {"encode_spec": 1}
        await drained(world, [peer])
        # Read once, to be claimed: what is settled was written here.
        assert counts == {"encode_spec": 1, "decode": JOBS}


async def test_nobody_puts_into_words_what_nobody_hears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: Counter[str] = Counter()
    counting(monkeypatch, counts, events, "Event")
    async with on_the_model() as world:
        peer = await world.peer()
        await peer.schedule_many(alike(JOBS))
        await drained(world, [peer])
        assert counts["Event"] == 0
        heard: list[str] = []
        off = peer.on("run_ended", lambda event: heard.append(event.name))
        await peer.schedule(Job("work"))
        await asyncio.sleep(1.0)
        assert heard == ["run_ended"]
        assert counts["Event"] == 1
        off()
        await peer.schedule(Job("work"))
        await asyncio.sleep(1.0)
        assert counts["Event"] == 1


async def test_looks_at_the_clock() -> None:
    watch = Watch()
    async with on_the_model(clock=watch) as world:
        peer = await world.peer()
        await peer.schedule_many(alike(JOBS))
        await asyncio.sleep(AHEAD - 0.1)
        before = watch.looks
        await drained(world, [peer])
        assert (watch.looks - before) / JOBS <= 1
