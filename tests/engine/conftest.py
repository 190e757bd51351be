"""Fixtures of the engine's tests: schedulers on either store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aiosched import MemoryJobStore, RedisJobStore, Scheduler
from aiosched.abc import JobStore
from tests import servers

MakeScheduler = Callable[..., Scheduler]

_MEMORY = pytest.param("memory", marks=pytest.mark.virtual(timeout=10_000), id="memory")
_REDIS = [
    pytest.param(one, id=one.name.replace(" ", "-")) for one in servers.binaries()
]


def _refuse() -> None:
    pytest.fail("no Redis or Valkey server on this machine", pytrace=False)


@pytest.fixture(params=[_MEMORY, *(_REDIS or [pytest.param(None, id="no-server")])])
async def make_scheduler(
    request: pytest.FixtureRequest,
) -> AsyncIterator[MakeScheduler]:
    """Build peers that share one store: in virtual time, or on a real server.

    What the test does not shut down is shut down with it.
    """
    which = request.param
    if which is None:
        _refuse()
    server: servers.Server | None = None
    store: JobStore
    if which == "memory":
        store = MemoryJobStore()
    else:
        fleet = request.getfixturevalue("_fleet")
        if which.name not in fleet:
            fleet[which.name] = servers.Server(which).start()
        server = fleet[which.name]

    def make(name: str = "peer", **options: Any) -> Scheduler:
        given: Any = store if server is None else RedisJobStore(server.url)
        # Short terms, so that real time stays short.
        terms = {"beat": 0.3, "member_timeout": 1.0, "shards": 4}
        chosen = {"lease": 1.0, "terms": terms, "namespace": "engine", **options}
        return Scheduler(given, name=name, **chosen)

    try:
        yield make
    finally:
        if server is not None:
            server.heal()
