"""The Redis store keeps the contract, on every server of this machine."""

from __future__ import annotations

import pytest

from aiosched.abc import JobStore
from aiosched.stores import open_store
from aiosched.testing.contract import JobStoreContract


class TestRedisJobStore(JobStoreContract):
    """Every promise of the port."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url

    async def make_store(self) -> JobStore:
        return open_store(self.url)
