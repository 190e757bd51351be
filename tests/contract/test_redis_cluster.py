"""The Redis store keeps the contract on a cluster, whose masters share the keys."""

from __future__ import annotations

import pytest

from aiosched.abc import JobStore
from aiosched.stores import open_store
from aiosched.testing.contract import JobStoreContract


class TestRedisClusterJobStore(JobStoreContract):
    """Every promise of the port."""

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster_url: str) -> None:
        self.url = cluster_url

    async def make_store(self) -> JobStore:
        return open_store(self.url)
