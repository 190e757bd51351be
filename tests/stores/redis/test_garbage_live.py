"""garbage-stays, under a peer that works: the jobs of others go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched._engine.service import Service, supervise
from aiosched.clock import SystemClock
from aiosched.errors import StoreDataError, StoreError
from aiosched.testing.contract_decisions import (
    ids_in,
)
from tests.stores.redis.garbage import HUGE, WRONG_MEMBERS, Client, another_type, entry

Plant = Callable[[Client], None]

HERE = "{g:0}"
ALL = "{g}"
SHARED = (f"{ALL}:members", f"{ALL}:queues", f"{ALL}:executors", f"{ALL}:meta")
OF_A_SHARD = tuple(f"{HERE}:{name}" for name in ("a:default", "l", "rev", "xs"))
OF_A_KEYWORD = (f"{HERE}:k:word", f"{ALL}:kw:word")


# --- under a peer that works ----------------------------------------------------------


def _other_types() -> Iterator[tuple[str, Plant]]:
    for key in (*SHARED, *OF_A_SHARD, *OF_A_KEYWORD, f"{HERE}:j:job-none"):

        def plant(client: Client, key: str = key) -> None:
            another_type(client, key)

        yield key.replace("{", "").replace("}", ""), plant


def _members(client: Client) -> None:
    client.hset(f"{ALL}:members", mapping=WRONG_MEMBERS)
    client.hset(f"{ALL}:members", b"\xff", entry())


def _entries(client: Client) -> None:
    scores: dict[Any, float] = {
        b"\xff": 1,
        "": 1,
        "gone": 1,
        "less": float("-inf"),
        "a": -1e308,
    }
    client.zadd(f"{HERE}:a:default", scores)


def _outcomes(client: Client) -> None:
    """Spoil the outcome lines of a record, and nothing else of it."""
    job_id = ids_in(0, 1)[0]
    lines = client.get(f"{HERE}:j:{job_id}").split(b"\n")
    assert lines[2].startswith(job_id.encode())
    lines[2] = b"garbage"
    client.set(f"{HERE}:j:{job_id}", b"\n".join(lines))


def _instants(client: Client) -> None:
    job_id = ids_in(0, 1)[0]
    head, _, rest = client.get(f"{HERE}:j:{job_id}").partition(b"\n")
    fields = head.split(b"|")
    fields[2] = str(HUGE).encode()
    client.set(f"{HERE}:j:{job_id}", b"|".join(fields) + b"\n" + rest)


def _terms(client: Client) -> None:
    client.hdel(f"{ALL}:meta", "epoch")
    client.hset(f"{ALL}:meta", "lease", "77")


def _epoch(client: Client) -> None:
    client.hset(f"{ALL}:meta", mapping={"epoch": b"\xff", "lease": "long"})


def _stub(client: Client) -> None:
    client.delete(f"{ALL}:meta")
    client.hset(f"{ALL}:meta", "epoch", "another")


def _rows(client: Client) -> None:
    job_id = ids_in(0, 1)[0]
    for at, slot in ((HUGE, 5), (5, HUGE), (-HUGE, 5), ("x", 5)):
        row = f"{job_id}|S|{at}|{slot}||1|=|s|1|1|7|own||3|{{bad"
        client.xadd(f"{HERE}:l", {"t": "x", "r": row})
    # Of slots that were skipped, and yet the end of a run.
    row = f"{job_id}|k|{time.time_ns() // 1000}|5||1|=|s|1|1|7|own||3|"
    client.xadd(f"{HERE}:l", {"t": "x", "r": row})
    client.publish(f"{HERE}:d", job_id)
    client.xadd(f"{HERE}:l", {b"\xff": b"\xff", "r": b"\xff"})


def _adverts(client: Client) -> None:
    adverts = {"q": "[1]", "w": b"\xff", "e": '[1e999,[["a","b",1]],"d"]'}
    client.hset(f"{ALL}:executors", mapping=adverts)


def _messages(client: Client) -> None:
    for channel in (f"{HERE}:s", f"{HERE}:d", f"{ALL}:canary"):
        for message in (b"", b"\xff", b"a|b|c|d", f"a|default|{HUGE}|1", b"\n\n"):
            client.publish(channel, message)


PLANTS: dict[str, Plant] = {
    **dict(_other_types()),
    "members": _members,
    "agenda": _entries,
    "outcomes": _outcomes,
    "instants": _instants,
    "terms": _terms,
    "epoch": _epoch,
    "stub": _stub,
    "rows": _rows,
    "executors": _adverts,
    "messages": _messages,
}


def _peer(redis_url: str) -> Scheduler:
    """Return a peer with short terms, on a namespace of two shards."""
    terms = {"beat": 0.1, "member_timeout": 0.5, "shards": 2}
    return Scheduler(redis_url, namespace="g", lease=0.9, terms=terms)


async def _beats(peer: Scheduler, count: int) -> None:
    """Return when so many beats have been answered."""
    assert peer._engine is not None
    hooks, heard = peer._engine.membership.hooks, asyncio.Semaphore(0)
    beaten = hooks.beaten

    def count_too() -> None:
        heard.release()
        beaten()

    hooks.beaten = count_too
    try:
        for _ in range(count):
            await heard.acquire()
    finally:
        hooks.beaten = beaten


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
async def test_other_jobs_go_on(redis_url: str, raw: Client, plant: Plant) -> None:
    """Whatever is spoiled in one shard, the jobs of the other one run on."""
    async with _peer(redis_url) as peer:
        await _others_go_on(peer, raw, plant)


async def _others_go_on(peer: Scheduler, raw: Client, plant: Plant) -> None:
    ran: asyncio.Queue[str] = asyncio.Queue()
    lost: list[object] = []
    peer.on("data_lost", lost.append)
    peer.add_done_callback(lambda run: None)

    async def work(name: str) -> None:
        ran.put_nowait(name)

    peer.register(work)
    (spoiled,), (safe,) = ids_in(0, 1, shards=2), ids_in(1, 1, shards=2)
    often = IntervalTrigger(seconds=0.1)
    async with asyncio.timeout(30):
        for job_id in (spoiled, safe):
            await peer.schedule(
                Job(work, id=job_id, args=(job_id,), trigger=often, keyword="word")
            )
            await peer.wait(job_id)
        plant(raw)
        await _beats(peer, 2)
        news = Job(work, id=f"{spoiled}-new", args=("new",), keyword="word")
        for verb in (
            peer.fire_job("word", {"name": "fired"}),
            peer.schedule(news),
            peer.get_jobs(),
            peer.history(spoiled),
            peer.peers(),
        ):
            error = (await asyncio.gather(verb, return_exceptions=True))[0]
            # Who asks about the garbage itself is told where it lies.
            if isinstance(error, BaseException):
                assert isinstance(error, StoreDataError), error
                assert error.key.startswith(("{g:0}:", "{g}:"))
        while not ran.empty():
            ran.get_nowait()
        for _ in range(3):
            while await ran.get() != safe:
                pass
        assert not lost
        assert (await peer.wait(safe)).job_id == safe


@pytest.mark.virtual(timeout=60)
async def test_a_service_that_stumbles_is_run_again() -> None:
    """The net below all that: garbage that nobody thought of ends no engine."""
    told: list[str] = []
    standing = asyncio.Event()

    class Stumbling(Service):
        name = "stumbling"

        async def run(self) -> None:
            if len(told) < 2:
                raise StoreDataError(f"key-{len(told)}", "garbage")
            self.alive()
            standing.set()
            await asyncio.Event().wait()

    def on_outage(service: Service, error: StoreError) -> None:
        assert not service.healthy
        told.append(getattr(error, "key", ""))

    service = Stumbling(SystemClock())
    supervised = asyncio.ensure_future(supervise(service, on_outage))
    await standing.wait()
    assert told == ["key-0", "key-1"]
    assert service.healthy
    supervised.cancel()
    await asyncio.wait([supervised])
