"""Peers put the index of the Redis store right within a minute, in virtual time.

The store's own code runs over the server model; nobody tells the peers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from aiosched import Event, IntervalTrigger, Job, RedisJobStore, Scheduler
from aiosched.stores.redis.keys import Keys
from aiosched.stores.redis.layout import Place, classified
from aiosched.testing.redis_model import Server, Sorted
from tests.engine.kit import World, adds_up, loop, now
from tests.simulation.model.wiring import factory

pytestmark = pytest.mark.virtual(timeout=100_000)

MINUTE = 60.0
NAMESPACE = "aiosched"
JOBS = 16
NAMES = [f"j-{n}" for n in range(JOBS)]


def job(number: int) -> Job:
    return Job(
        "work",
        id=f"j-{number}",
        trigger=IntervalTrigger(seconds=12),
        keyword=f"word-{number % 3}",
        queue=f"q{number % 2}",
    )


class Vandal:
    """Somebody with a connection of his own to the model."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._keys = Keys(NAMESPACE, 64)
        self._far = server.connect()

    def do(self, *words: bytes | str | float) -> None:
        """Have the server do something that it does not refuse."""
        data = b"*%d\r\n" % len(words)
        for one in words:
            raw = one if isinstance(one, bytes) else str(one).encode()
            data += b"$%d\r\n%b\r\n" % (len(raw), raw)
        reply = self._far.feed(data)
        assert not reply.startswith(b"-"), reply

    def keys(self, *rooms: str) -> dict[bytes, Place]:
        """Return the keys of some rooms, in an order that is always the same."""
        found: dict[bytes, Place] = {}
        for raw in sorted(self.server.databases[0].values):
            place = classified(self._keys, raw)
            if place is not None and place.room in rooms:
                found[raw] = place
        return found

    def entries(self) -> list[tuple[bytes, bytes]]:
        """Return (agenda, member) of all entries."""
        values = self.server.databases[0].values
        found: list[tuple[bytes, bytes]] = []
        for key in self.keys("a"):
            agenda = values[key]
            assert isinstance(agenda, Sorted)
            found += [(key, member) for member in sorted(agenda.scores)]
        return found


Damage = Callable[[Vandal], None]


def agendas_gone(vandal: Vandal) -> None:
    vandal.do("DEL", *vandal.keys("a"))


def agendas_of_another_type(vandal: Vandal) -> None:
    for key in vandal.keys("a"):
        vandal.do("DEL", key)
        vandal.do("RPUSH", key, "x")


def agendas_that_are_sets(vandal: Vandal) -> None:
    """A union takes them for agendas in which all stand at 1."""
    for key, member in vandal.entries():
        vandal.do("DEL", key)
        vandal.do("SADD", key, member)


def never(vandal: Vandal) -> None:
    for key, member in vandal.entries():
        vandal.do("ZADD", key, "inf", member)


def much_later(vandal: Vandal) -> None:
    for key, member in vandal.entries():
        vandal.do("ZADD", key, 2**51, member)


def half_of_them(vandal: Vandal) -> None:
    chance = random.Random(7)
    for key, member in vandal.entries():
        if chance.random() < 0.5:
            vandal.do("ZREM", key, member)


def in_another_queue(vandal: Vandal) -> None:
    for key, member in vandal.entries():
        head, _, queue = key.rpartition(b":")
        other = b"q1" if queue == b"q0" else b"q0"
        vandal.do("ZREM", key, member)
        vandal.do("ZADD", head + b":" + other, 5, member)


def ghosts(vandal: Vandal) -> None:
    """Entries of jobs that there are not, and of other shards."""
    keys = list(vandal.keys("a"))
    for number in range(300):
        key = keys[number % len(keys)]
        vandal.do("ZADD", key, 2**51, f"ghost-{number}")


def words_gone(vandal: Vandal) -> None:
    vandal.do("DEL", *vandal.keys("k"), *vandal.keys("kw"))


def half_of_the_words(vandal: Vandal) -> None:
    for number, key in enumerate(vandal.keys("k", "kw")):
        if number % 2:
            vandal.do("DEL", key)


def queues_gone(vandal: Vandal) -> None:
    vandal.do("DEL", *vandal.keys("queues"))


def all_of_the_index(vandal: Vandal) -> None:
    vandal.do("DEL", *vandal.keys("a", "k", "kw", "queues"))


def at_random(vandal: Vandal) -> None:
    """Keys of the index deleted, renamed and of other types."""
    chance = random.Random(11)
    for key in vandal.keys("a", "k", "kw", "queues"):
        match chance.randrange(6):
            case 0:
                vandal.do("DEL", key)
            case 1:
                vandal.do("RENAME", key, key + b"-elsewhere")
            case 2 if b":a:" in key:
                vandal.do("DEL", key)
                vandal.do("RPUSH", key, "x")


DAMAGE: list[Damage] = [
    agendas_gone,
    agendas_of_another_type,
    agendas_that_are_sets,
    never,
    much_later,
    half_of_them,
    in_another_queue,
    ghosts,
    words_gone,
    half_of_the_words,
    queues_gone,
    all_of_the_index,
    at_random,
]


async def jobs_and_peers(world: World) -> None:
    """Start peers, and jobs every 12 s."""
    told: list[Event] = []
    for name in ("p0", "p1"):
        peer = await world.peer(name)
        peer.on("index_mended", told.append)
    await asyncio.sleep(1)
    for n in range(JOBS):
        await world.peers["p0"].schedule(job(n))
    await asyncio.sleep(27)  # between two slots
    assert not told, "nothing was wrong"


def model() -> tuple[Vandal, RedisJobStore]:
    server = Server(loop().wall)
    store = RedisJobStore("redis://model", connection_factory=factory(server))
    return Vandal(server), store


async def wrong(store: RedisJobStore) -> set[str]:
    """Return what two whole passes find to mend."""
    session = await store.open(NAMESPACE, {})
    put: set[str] = set()
    try:
        for _ in range(2):
            complete = False
            while not complete:
                told = await session.mend()
                put |= set(told.ids)
                complete = told.complete
    finally:
        await session.close()
    return put


async def as_before(world: World, peer: Scheduler, since: float) -> None:
    """Hold jobs, keywords and sums against what they should be."""
    ran = {run.job for run in world.runs if run.at >= since}
    assert ran == set(NAMES)
    for word in range(3):
        fired = await peer.fire_job(f"word-{word}", {})
        assert {one.job_id for one in fired} == set(NAMES[word::3])
    for name in NAMES:
        adds_up(await peer.get_job(name))


@pytest.mark.parametrize("damage", DAMAGE)
async def test_peers_that_live_mend_within_a_minute(damage: Damage) -> None:
    vandal, store = model()
    async with World(store) as world:
        await jobs_and_peers(world)
        damage(vandal)
        await asyncio.sleep(MINUTE)
        assert {member.decode() for _, member in vandal.entries()} == set(NAMES)
        assert not await wrong(store)
        # What runs now was looked for in the agendas, not in anybody's memory.
        await world.peers["p0"].shutdown()
        since = now()
        await asyncio.sleep(14)
        await as_before(world, world.peers["p1"], since)


@pytest.mark.parametrize("damage", [agendas_gone, all_of_the_index, at_random])
async def test_newcomers_mend_within_a_minute(damage: Damage) -> None:
    """They hold nothing in mind that would hide what the index has lost."""
    vandal, store = model()
    async with World(store) as world:
        await jobs_and_peers(world)
        for name in list(world.peers):
            await world.peers[name].shutdown()
        damage(vandal)
        newcomer = await world.peer("p9")
        since = now()
        await asyncio.sleep(MINUTE)
        await as_before(world, newcomer, since)
        assert {member.decode() for _, member in vandal.entries()} == set(NAMES)
        assert not await wrong(store)
