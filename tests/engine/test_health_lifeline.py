"""The lifeline is watched, too: it fails, stalls, and goes on."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest

from aiosched import MemoryJobStore
from aiosched._engine.lifeline import Lifeline
from aiosched.clock import SystemClock
from aiosched.errors import StoreUnavailableError
from aiosched.instants import SECOND
from tests.engine.kit import now
from tests.waiting import wait_until

pytestmark = pytest.mark.virtual(timeout=10_000)


class Host:
    """A lifeline over a peer whose heartbeat is silent, and what goes wrong in it."""

    def __init__(self) -> None:
        self.store = MemoryJobStore()
        self.trouble: Exception | None = None
        self.hanging: asyncio.Event | None = None
        self.lifeline = Lifeline(
            SystemClock(),
            self.connect,
            "p0",
            15 * SECOND,
            lambda: -1000.0,
            self.snapshot,
            lambda: False,
        )

    async def connect(self) -> Any:
        if self.hanging is not None:
            await self.hanging.wait()
        if isinstance(self.trouble, StoreUnavailableError):
            raise self.trouble
        return await self.store.open("aiosched", {})

    def snapshot(self) -> tuple[tuple[int, str, int], ...]:
        if self.trouble is not None and not isinstance(
            self.trouble, StoreUnavailableError
        ):
            raise self.trouble
        return ((0, "a", 1),)


@pytest.mark.parametrize(
    "trouble", [ZeroDivisionError("bug"), StoreUnavailableError("away")]
)
async def test_one_that_fails_goes_on_and_says_so_once(
    trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host()
    host.trouble = trouble
    task = asyncio.create_task(host.lifeline.run())
    begun = now()
    while host.lifeline.healthy:
        await asyncio.sleep(0.1)
        assert now() - begun < 5
    await asyncio.sleep(600)
    assert not host.lifeline.healthy
    said = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(said) == 1
    host.trouble = None
    await asyncio.sleep(3)
    assert host.lifeline.healthy
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_that_stalls_is_overdue_within_5_s() -> None:
    host = Host()
    host.hanging = asyncio.Event()
    task = asyncio.create_task(host.lifeline.run())
    begun = now()
    while not host.lifeline.overdue():
        await asyncio.sleep(0.1)
        assert now() - begun <= 5
    host.hanging.set()
    await asyncio.sleep(3)
    assert host.lifeline.overdue() == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert host.lifeline.overdue() == 0


async def test_its_connection_is_used_before_it_is_needed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that died unnoticed is found out while there is time for it."""
    host = Host()
    host.lifeline.seen = now
    task = asyncio.create_task(host.lifeline.run())
    await asyncio.sleep(1.5)
    session = host.lifeline._session
    assert session is not None
    used: list[float] = []
    inner = session.transact

    async def transact(*args: Any, **options: Any) -> Any:
        used.append(now())
        if len(used) in (3, 4, 5):
            raise StoreUnavailableError("the connection was dead")
        return await inner(*args, **options)

    session.transact = transact  # type: ignore[method-assign]
    await wait_until(lambda: len(used) == 3, "it was tried", timeout=60)
    assert not host.lifeline.healthy
    await wait_until(lambda: len(used) == 7, "it was tried again", timeout=60)
    assert host.lifeline.healthy
    # Three times a lease, and with each look while it fails; nothing is written.
    gaps = [after - before for before, after in pairwise(used)]
    assert all(5 <= gap < 7 for gap in (*gaps[:2], gaps[5])), gaps
    assert all(gap < 2 for gap in gaps[2:5]), gaps
    said = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(said) == 1, "an outage is told of once"
    assert await session.read(["a"]) == {}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("silent", [False, True])
async def test_nothing_but_an_exchange_makes_it_well(
    caplog: pytest.LogCaptureFixture, *, silent: bool
) -> None:
    """Neither that it cannot look now nor that it stands in no longer."""
    host = Host()
    task = asyncio.create_task(host.lifeline.run())
    host.lifeline.seen = (lambda: -1_000.0) if silent else now
    await asyncio.sleep(3)
    session = host.lifeline._session
    assert session is not None

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("away")

    session.transact = away  # type: ignore[method-assign]
    looks = 0

    def snapshot() -> tuple[tuple[int, str, int], ...]:
        nonlocal looks
        looks += 1
        if looks % 3 == 0:
            raise RuntimeError("it changes just now")
        return ((0, "a", 1),)

    host.lifeline.snapshot = snapshot
    await asyncio.sleep(3_600)  # of it, the bound is ten minutes
    assert not host.lifeline.healthy
    said = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(said) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
