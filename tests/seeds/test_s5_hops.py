"""From a client to a run in one hop, and who dies on the way: S5-22, S5-23, S5-24.

There is no scheduler in the middle and no ready queue: a peer takes what is due out
of the agenda of its queue, in one transaction that makes it a run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from aiosched import Job, RedisJobStore, RowKind
from aiosched.testing import redis_model
from aiosched.testing.nodes import NODE
from tests.engine.kit import World, after, loop
from tests.seeds.stage import Stage
from tests.simulation.model.wiring import factory
from tests.waiting import wait_until

# --- S5-22: components -------------------------------------------------------------


@pytest.mark.seed("S5-22")
async def test_clients_and_workers_of_two_queues_see_each_other(stage: Stage) -> None:
    """The seed's scheduler between them is part of each worker."""
    async with stage:
        client = await stage.peer("client", run_jobs=False)
        mail = await stage.peer("mail", queues=["mail"])
        films = await stage.peer("films", queues=["films"])
        jobs = [
            Job("note", id=f"{queue}{n}", queue=queue)
            for queue in ("mail", "films")
            for n in range(5)
        ]
        await client.schedule_many(jobs)
        for job in jobs:
            await client.result(job, timeout=10)
        assert Counter((ran.peer, ran.job[:-1]) for ran in stage.ran) == {
            ("mail", "mail"): 5,
            ("films", "films"): 5,
        }

        async def all_seen() -> bool:
            return len(await client.peers()) == 3

        await wait_until(all_seen, "three peers")
        seen = {peer.name: peer for peer in await client.peers()}
        assert {name: peer.claims for name, peer in seen.items()} == {
            "client": False,
            "mail": True,
            "films": True,
        }
        assert (seen["mail"].id, seen["films"].id) == (mail.id, films.id)
        assert seen["mail"].queues == ("mail",)


# --- S5-23: hops --------------------------------------------------------------------


@pytest.mark.seed("S5-23")
async def test_a_monitor_shows_one_hop(redis_url: str) -> None:
    async with Stage(redis_url) as stage, Redis.from_url(redis_url) as watcher:
        client, _ = await stage.two()
        async with watcher.monitor() as monitor:
            job = await client.schedule(Job("note", id="hop"))
            await client.result(job, timeout=10)
            await watcher.set("the-end", 1)
            wrote = await _transactions(monitor, "j:hop", "the-end")
        # The client writes it; the worker makes it a run, and records its outcome.
        [by, *others] = wrote
        assert len(others) == 2
        assert len(set(others)) == 1
        assert by != others[0]


async def _transactions(monitor: Any, key: str, end: str) -> list[str]:
    """Return who committed transactions in which a key was written, in order."""
    said: dict[str, str] = {}
    wrote: list[str] = []
    async for one in monitor.listen():
        command, who = one["command"], f"{one['client_address']}:{one['client_port']}"
        if end in command:
            return wrote
        word = command.split()[0].upper()
        if word in ("MULTI", "DISCARD", "UNWATCH"):
            said[who] = ""
        elif word == "EXEC" and key in said.pop(who, ""):
            wrote.append(who)
        else:
            said[who] = said.get(who, "") + command
    raise AssertionError("the monitor has ended")


@pytest.mark.seed("S5-23")
def test_the_way_is_drawn() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/explanation/frameworks.md").read_text(encoding="utf-8")
    drawn = page.partition("```mermaid")[2].partition("```")[0]
    for word in ("client", "mail", "films", "store"):
        assert word in drawn


# --- S5-24: nothing is lost in the move -----------------------------------------------


class Executioner:
    """Kills a node when it says something to the server, heard or unheard."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node = ""
        self.left = 0
        self.heard = False
        feed = redis_model.Connection.feed

        def watched(connection: redis_model.Connection, data: bytes) -> bytes:
            if NODE.get() != self.node or not self.node:
                return feed(connection, data)
            self.left -= 1
            if self.left:
                return feed(connection, data)
            if self.heard:
                feed(connection, data)
            node, self.node = self.node, ""
            loop().crash(node)
            return b""

        monkeypatch.setattr(redis_model.Connection, "feed", watched)

    def kill(self, node: str, said: int, *, heard: bool) -> None:
        """Have it killed at the so-manieth thing that it says from now on."""
        self.node, self.left, self.heard = node, said, heard


# Where the peer is killed: at which thing it says to the server in a claim, and
# whether that is heard.  The third carries EXEC.
_POINTS = [(said, heard) for said in (1, 2, 3) for heard in (False, True)]


@pytest.mark.seed("S5-24")
@pytest.mark.virtual(timeout=10_000_000)
async def test_who_is_killed_in_the_move_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch, *, long_run: bool
) -> None:
    """The seed's move from one list to another is one transaction here.

    Time is virtual, so that each round is at one of six points; ``--long`` goes
    through them as often as the seed asks for.
    """
    server = redis_model.Server(loop().wall)
    connect, opened = factory(server), []

    def noted(**options: Any) -> Any:
        connection = connect(**options)
        opened.append((NODE.get(), connection))
        return connection

    store = RedisJobStore("redis://model", connection_factory=noted)
    executioner = Executioner(monkeypatch)
    terms = {"shards": 1, "beat": 0.5, "member_timeout": 1.0}
    kills = 1000 if long_run else 20 * len(_POINTS)
    async with World(store, lease=1.0, terms=terms) as world:
        heir = await world.peer("heir")
        for number in range(kills):
            said, heard = _POINTS[number % len(_POINTS)]
            await heir.hold()
            victim = await world.peer(f"v{number}")
            await asyncio.sleep(1)
            job = await heir.schedule(Job("work", id=f"j{number}", when=after(0.5)))
            await asyncio.sleep(0.45)
            executioner.kill(victim.name, said, heard=heard)
            await asyncio.sleep(0.2)
            assert not executioner.node, "it was not killed"
            world.crash(victim.name)
            # The system closes what the dead had open.
            for node, connection in opened:
                if node and node.startswith(victim.name) and connection.is_connected:
                    connection._writer.transport.abort()
                    connection._reader = connection._writer = None
            await heir.release()
            await heir.result(job, timeout=30)
            rows = [row.kind for row in await heir.history(job)]
            assert [ran.peer for ran in world.of(job)] == ["heir"], "run once"
            claimed = [RowKind.LOST] if (said, heard) == (3, True) else []
            assert rows == [RowKind.SUCCEEDED, *claimed, RowKind.CREATED]
        assert len(world.runs) == kills
