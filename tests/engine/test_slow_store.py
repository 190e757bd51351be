"""A peer far from its store: many leases at a time, each exchange a long one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import Job, Scheduler
from aiosched.abc import shard_of
from aiosched.enums import RowKind
from aiosched.errors import StoreConflictError, StoreUnavailableError
from tests.engine.kit import World

pytestmark = pytest.mark.virtual(timeout=1_000)

RUNS = 20
FAR = 0.4
"""Two round trips, of 200 ms each: what a transaction takes over a slow link."""


async def held_by_p0(world: World, lease: float) -> Scheduler:
    """Let p0 run all jobs; then another peer comes that would take them."""
    p0 = await world.peer("p0", lease=lease)
    seconds = {"seconds": 5 * lease}
    await p0.schedule_many(
        [Job("work", id=f"{n}", kwargs=seconds) for n in range(RUNS)]
    )
    await asyncio.sleep(0.1)
    assert [ran.peer for ran in world.runs] == ["p0"] * RUNS
    await world.peer("p1", lease=lease)
    return p0


async def lost(world: World) -> set[str]:
    rows = await world.peers["p1"].history(kind=RowKind.LOST, limit=1_000)
    return {row.job_id for row in rows}


async def test_leases_are_extended_side_by_side() -> None:
    async with World() as world:
        p0 = await held_by_p0(world, 2.0)
        session: Any = p0._session
        session.spanning = False  # many transactions, as on a cluster
        near = session.transact

        urgent: set[bool] = set()

        async def far(*args: Any, **options: Any) -> Any:
            urgent.add(options.get("urgent", False))
            await asyncio.sleep(FAR)
            return await near(*args, **options)

        session.transact = far
        await asyncio.sleep(8)  # nothing has ended: all that is written extends
        assert urgent == {True}, "they would wait behind others for a connection"
        await asyncio.sleep(7)
        assert await lost(world) == set()
        assert len(world.runs) == RUNS
        assert p0.health().ok


@pytest.mark.parametrize("seconds", [0.0, 5.0])
async def test_a_shard_that_is_away_takes_no_lease_of_others_with_it(
    seconds: float,
) -> None:
    """Its error comes at once, or late as from a server that hangs."""
    async with World() as world:
        p0 = await held_by_p0(world, 15.0)
        session: Any = p0._session
        session.spanning = False  # as stores of several servers are
        whole = session.transact
        away = {shard_of(f"{n}", 64) for n in range(RUNS // 4)}

        async def parted(ids: Any, *args: Any, **options: Any) -> Any:
            if shard_of(ids[0], 64) in away:
                await asyncio.sleep(seconds)
                raise StoreUnavailableError("a part of it")
            return await whole(ids, *args, **options)

        session.transact = parted
        await asyncio.sleep(60)
        beside = {f"{n}" for n in range(RUNS) if shard_of(f"{n}", 64) in away}
        assert await lost(world) == beside
        assert len(beside) < RUNS
        session.transact = whole


async def test_a_record_that_all_write_takes_no_lease_of_others_with_it() -> None:
    async with World() as world:
        p0 = await held_by_p0(world, 15.0)
        session: Any = p0._session
        assert session.spanning
        whole = session.transact

        async def contended(ids: Any, *args: Any, **options: Any) -> Any:
            if "7" in ids:
                raise StoreConflictError("a transaction", 16)
            return await whole(ids, *args, **options)

        session.transact = contended
        await asyncio.sleep(60)
        assert await lost(world) == {"7"}
        session.transact = whole


async def test_nobody_rests_after_an_outage_until_the_leases_are_over() -> None:
    async with World() as world:
        p0 = await held_by_p0(world, 2.0)
        session: Any = p0._session
        whole = session.transact

        async def away(*_: Any, **__: Any) -> Any:
            raise StoreUnavailableError("for less than a lease")

        await asyncio.sleep(0.45)  # the first extension has not been tried yet
        session.transact = away
        await asyncio.sleep(1.0)
        session.transact = whole
        await asyncio.sleep(10)
        assert await lost(world) == set()
        assert len(world.runs) == RUNS
        assert p0.health().ok
