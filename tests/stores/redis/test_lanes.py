"""Lanes are lent in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from aiosched.errors import StoreError
from aiosched.stores.redis.connection import Lane, Lanes, Wiring


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> Lanes:
    """One lane, which needs no connection."""

    async def ready(_: Lane) -> None:
        """Be connected."""

    monkeypatch.setattr(Lane, "ready", ready)
    return Lanes(cast(Wiring, None), 1)


async def lent(lanes: Lanes, name: str, said: list[str], *, last: bool = False) -> None:
    async with lanes.take(last=last):
        said.append(name)


async def test_who_waits_is_not_overtaken_by_who_has_just_had_it(lanes: Lanes) -> None:
    """It would wait for as long as the other takes it again without a pause."""
    said: list[str] = []
    waiting: list[asyncio.Task[None]] = []
    async with lanes.take():
        for name, last in (("patient", True), ("first", False), ("second", False)):
            waiting.append(asyncio.create_task(lent(lanes, name, said, last=last)))
            await asyncio.sleep(0)
    await lent(lanes, "again", said)
    await asyncio.gather(*waiting)
    assert said == ["first", "second", "again", "patient"]


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
