"""The memory store keeps the contract, in virtual time."""

from __future__ import annotations

from aiosched.abc import JobStore
from aiosched.stores.memory import MemoryJobStore
from aiosched.testing.contract import JobStoreContract
from tests.contract.handclock import HandClock


class TestMemoryJobStore(JobStoreContract):
    """Every promise of the port."""

    async def make_store(self) -> JobStore:
        self.clock = HandClock()
        return MemoryJobStore(self.clock)

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
