"""Lanes are lent in the order in which they were asked for, and none is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import cast

import pytest

from aiosched.abc import Decide
from aiosched.errors import StoreError
from aiosched.records import Change, Record
from aiosched.stores.redis.connection import Lane, Lanes, LostError, Rank, Wiring
from aiosched.stores.redis.link import Link
from tests.stores.redis.wire import command, opened


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> Lanes:
    """One lane, which needs no connection."""

    async def ready(_: Lane) -> None:
        """Be connected."""

    monkeypatch.setattr(Lane, "ready", ready)
    return Lanes(cast(Wiring, None), 1)


async def lent(
    lanes: Lanes, name: str, said: list[str], rank: Rank = Rank.USUAL
) -> None:
    async with lanes.take(rank):
        said.append(name)


async def test_who_waits_is_not_overtaken_by_who_has_just_had_it(lanes: Lanes) -> None:
    """It would wait for as long as the other takes it again without a pause."""
    said: list[str] = []
    waiting: list[asyncio.Task[None]] = []
    async with lanes.take():
        for name, rank in (
            ("patient", Rank.PATIENT),
            ("first", Rank.USUAL),
            ("second", Rank.USUAL),
            ("urgent", Rank.URGENT),
        ):
            waiting.append(asyncio.create_task(lent(lanes, name, said, rank)))
            await asyncio.sleep(0)
    await lent(lanes, "again", said)
    await asyncio.gather(*waiting)
    assert said == ["urgent", "first", "second", "again", "patient"]


async def test_a_lane_that_was_handed_to_nobody_goes_on(lanes: Lanes) -> None:
    said: list[str] = []
    async with lanes.take():
        gone = asyncio.create_task(lent(lanes, "gone", said))
        next_one = asyncio.create_task(lent(lanes, "next", said))
        await asyncio.sleep(0)
    gone.cancel()  # it was handed the lane, and has not run yet
    await asyncio.gather(gone, next_one, return_exceptions=True)
    await lent(lanes, "free", said)
    assert said == ["next", "free"]


async def test_who_waits_when_the_session_is_closed_is_told(lanes: Lanes) -> None:
    said: list[str] = []
    async with lanes.take():
        waiting = asyncio.create_task(lent(lanes, "late", said))
        await asyncio.sleep(0)
        lanes.refuse()
    with pytest.raises(StoreError, match="closed"):
        await waiting
    assert said == []


async def taken(link: Link, key: str, number: int) -> list[object]:
    """What so many lanes of one server are answered, lent at the same time."""
    async with AsyncExitStack() as stack:
        lanes = [
            await stack.enter_async_context(pool.take(key))
            for pool in (link.transactions, link.reads)
            for _ in range(number)
        ]
        return [await lane.exchange([("PING",)]) for lane in lanes]


async def test_what_one_finds_closed_the_others_do_not_stumble_over(
    redis_url: str,
) -> None:
    """Connections that were idle when a server restarted are all closed."""
    async with opened(redis_url) as session:
        link = session._link
        alive = await taken(link, "", 2)
        command(redis_url, "CLIENT", "KILL", "TYPE", "normal")
        async with link.transactions.take() as lane:
            with pytest.raises(LostError):
                await lane.exchange([("PING",)])
        assert await taken(link, "", 2) == alive == [[b"PONG"]] * 4
        connects = session.counters.extra["connects"]
        await taken(link, "", 2)
        assert session.counters.extra["connects"] == connects


async def test_what_is_urgent_goes_first_and_new_work_last(redis_url: str) -> None:
    """Over a slow link, work must not keep leases from being extended."""
    said: list[str] = []

    def saying(name: str) -> Decide:
        def decide(_: Mapping[str, Record | None], now: int) -> dict[str, Change]:
            said.append(name)
            return {}

        return decide

    async with opened(redis_url, lanes=1) as session:
        async with session._link.transactions.take():
            waiting = []
            for name, options in (
                ("claim", {"claim": True}),
                ("settlement", {}),
                ("extension", {"urgent": True}),
            ):
                work = session.transact(["a"], saying(name), **options)
                waiting.append(asyncio.create_task(work))
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
    assert said == ["extension", "settlement", "claim"]
