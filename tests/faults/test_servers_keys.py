"""Each key that a namespace has is deleted in turn, while its jobs run.

``docs/explanation/deleted-keys.md`` says what comes of it; its table names the
kinds as this module does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.abc import shard_of
from aiosched.errors import AioschedError, StoreDataError
from tests.faults.crew import BEAT, TERMS, Crew
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

EVERY = 0.2
SHARDS: int = TERMS["shards"]
BIG = "x" * 1_500
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "deleted-keys.md"


@dataclass(frozen=True)
class Fate:
    """What is to come of the deletion of one kind of key.

    Attributes:
        keys: A pattern for the key, or keys.
        victim: What becomes of the job whose key it is: it ``runs``, is
            ``gone``, ``fails``, or runs only where it is ``remembered``.
        told: What may be told of it.
        back: Whether the key is there again afterwards, by itself.
    """

    keys: str
    victim: str = "runs"
    told: frozenset[str] = frozenset()
    back: bool = True


HERE = "{{crew:{shard}}}"
GIVEN_UP = frozenset({"run_lost", "fenced"})
LOST = frozenset({"data_lost"})
UNREAD = frozenset({"unreadable"})
FATES = {
    "record": Fate(HERE + ":j:{job}", "gone", GIVEN_UP, back=False),
    "agenda": Fate(HERE + ":a:default"),
    "spec": Fate(HERE + ":x:*", "remembered", UNREAD, back=False),
    "arguments": Fate(HERE + ":b:*", "fails", UNREAD, back=False),
    "shared names": Fate(HERE + ":xs", back=False),
    "subscribers": Fate(HERE + ":k:word"),
    "ledger": Fate(HERE + ":l", told=LOST),
    "counter": Fate(HERE + ":rev", told=LOST),
    "terms": Fate("{{crew}}:meta", told=LOST),
    "members": Fate("{{crew}}:members", told=LOST),
    "queues": Fate("{{crew}}:queues"),
    "keyword": Fate("{{crew}}:kw:word"),
    "executors": Fate("{{crew}}:executors", back=False),
}


def job(job_id: str, start: datetime, **options: Any) -> Job:
    # Long enough for a spec and arguments that are kept apart.
    trigger = IntervalTrigger(seconds=EVERY, start=start)
    note = f"the note of {job_id}, which makes its spec one of its own"
    return Job("tick", trigger=trigger, id=job_id, note=note, **options)


@asynccontextmanager
async def scene(server: Server) -> AsyncIterator[tuple[Crew, Scheduler, int]]:
    """A job to be hurt, one beside it in its shard, and one in each other shard."""
    start = datetime.now(UTC) + timedelta(seconds=0.2)
    async with Crew(server.url) as crew:
        for _ in range(2):
            await crew.peer()
        client = await crew.client()
        shard = shard_of("victim", SHARDS)
        names = _others(shard)
        victim = job("victim", start, keyword="word", kwargs={"pad": BIG})
        await client.schedule(victim)
        for name in names:
            await client.schedule(job(name, start))
        await crew.until_ran("victim", *names, times=2)
        yield crew, client, shard


def _others(shard: int) -> list[str]:
    """Return ids of other shards: one each, so that all of them are at work."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < SHARDS - 1:
        number += 1
        there = shard_of(f"safe-{number}", SHARDS)
        if there != shard:
            found.setdefault(there, f"safe-{number}")
    return list(found.values())


def _keys(server: Server, pattern: str) -> list[str]:
    literal = re.escape(pattern).replace(r"\*", ".*")
    found = server.command("KEYS", "*")
    assert isinstance(found, list)
    return [key for key in found if re.fullmatch(literal, key)]


@pytest.mark.parametrize("kind", FATES)
async def test_a_key_is_deleted(launch: Any, kind: str) -> None:
    server, fate = launch(), FATES[kind]
    async with scene(server) as (crew, client, shard):
        pattern = fate.keys.format(shard=shard, job="victim")
        keys = _keys(server, pattern)
        assert keys, pattern
        began = monotonic()
        assert server.command("DEL", *keys) == len(keys)
        await _others_go_on(crew, client, shard, began)
        await _victim(crew, client, fate)
        if fate.back:
            await wait_until(lambda: bool(_keys(server, pattern)), "the key", poll=0.1)
        told = {x.event.name for x in crew.told if x.at >= began}
        assert told <= fate.told, told
        assert all(one.health().ok for one in crew.peers.values())
        await _in_use(crew, client)


async def _others_go_on(
    crew: Crew, client: Scheduler, shard: int, began: float
) -> None:
    """All other jobs run on, and nothing that is asked for hangs."""
    names = _others(shard)
    await crew.until_ran(*names, times=3, since=began)
    wake_menders(crew)
    for verb in (
        client.get_jobs(limit=100),
        client.history(limit=100),
        client.peers(),
        client.fire_job("word"),
        client.get_job("victim"),
    ):
        async with asyncio.timeout(5):
            error = (await asyncio.gather(verb, return_exceptions=True))[0]
        assert not isinstance(error, BaseException) or isinstance(error, AioschedError)
    listed = {x.id for x in await client.get_jobs(limit=100)}
    assert set(names) <= listed


def wake_menders(crew: Crew) -> None:
    """Let peers compare index and records now and not within a minute."""
    for peer in crew.peers.values():
        assert peer._engine is not None
        for service in peer._engine.services():
            if service.name == "mender":
                service.wake()


async def _victim(crew: Crew, client: Scheduler, fate: Fate) -> None:
    since = monotonic()
    if fate.victim == "runs":
        await crew.until_ran("victim", times=3, since=since)
        assert (await client.get_job("victim")).id == "victim"
    elif fate.victim == "gone":
        await asyncio.sleep(2 * BEAT)
        assert not await client.job_exists("victim")
    elif fate.victim == "fails":
        await wait_until(
            lambda: _ended(client, "failed"), "runs that fail", timeout=20, poll=0.1
        )
        with pytest.raises(StoreDataError, match="arguments are missing"):
            await client.get_job("victim")
    else:
        # Whoever has read the spec before goes on; one that comes cannot read it.
        await crew.until_ran("victim", times=3, since=since)
        stranger = await crew.client()
        with pytest.raises(StoreDataError):
            await stranger.get_job("victim")


async def _ended(client: Scheduler, outcome: str) -> bool:
    rows = await client.history("victim", limit=20)
    return any(x.run is not None and x.run.outcome == outcome for x in rows)


async def _in_use(crew: Crew, client: Scheduler) -> None:
    """The namespace takes new jobs, and fires them, whatever was deleted."""
    since = monotonic()
    await client.schedule(Job("tick", id="new", keyword="news", keep=3_600))
    (firing,) = await client.fire_job("news")
    assert (await client.wait(firing, timeout=10)).outcome == "succeeded"
    await crew.until_ran("new", since=since)


def test_the_page_names_every_kind() -> None:
    """The table of the documentation says the same as this module."""
    row = re.compile(r"^\| ([a-z ]+) \| `([^`]+)` \| (\w+)", re.MULTILINE)
    rows = row.findall(PAGE.read_text())
    assert [kind for kind, *_ in rows] == list(FATES)
    assert {kind: victim for kind, _, victim in rows} == {
        kind: fate.victim for kind, fate in FATES.items()
    }
