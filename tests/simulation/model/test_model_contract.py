"""The Redis store keeps the contract over the model, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from aiosched.abc import JobStore
from aiosched.stores.redis.store import RedisJobStore
from aiosched.testing.contract import JobStoreContract
from aiosched.testing.loop import VirtualLoop
from aiosched.testing.redis_model import Server
from tests.simulation.model.wiring import factory


@pytest.mark.virtual
class TestRedisJobStoreOverTheModel(JobStoreContract):
    """Every promise of the port."""

    async def make_store(self) -> JobStore:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        server = Server(loop.wall)
        return RedisJobStore("redis://model", connection_factory=factory(server))
