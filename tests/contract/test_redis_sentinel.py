"""The Redis store keeps the contract where sentinels say who the master is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aiosched.abc import JobStore
from aiosched.stores import open_store
from aiosched.testing.contract import JobStoreContract
from tests.sentinels import Watched
from tests.turns import by_turns


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the server programs."""
    by_turns(metafunc, "watched")


@pytest.fixture(scope="module")
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A master, one replica and one sentinel, shared by the tests of this worker."""
    with Watched(request.param, sentinels=1) as one:
        yield one


class TestRedisSentinelJobStore(JobStoreContract):
    """Every promise of the port."""

    @pytest.fixture(autouse=True)
    def _sentinel(self, watched: Watched) -> Iterator[None]:
        self.url = watched.url
        yield
        watched.named().flush()

    async def make_store(self) -> JobStore:
        return open_store(self.url)
