"""The stage of the seeds' tests: peers on memory, and on every server here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aiosched import MemoryJobStore
from aiosched.clock import random_id
from tests import servers
from tests.seeds.stage import Stage

_NO_SERVER = "no server found"


def _places() -> list[object]:
    outside = servers.external()
    found: list[object] = [] if outside is None else [outside]
    return ["memory", *([*found, *servers.binaries()] or [_NO_SERVER])]


def _name(place: object) -> str:
    return str(getattr(place, "name", place)).replace(" ", "-")


@pytest.fixture(params=_places(), ids=_name)
def stage(
    request: pytest.FixtureRequest, _fleet: dict[str, servers.Server]
) -> Iterator[Stage]:
    """Peers that share a store: in memory, and on each server of this machine."""
    place = request.param
    if place == "memory":
        yield Stage(MemoryJobStore())
        return
    if place == _NO_SERVER:
        pytest.fail("no Redis or Valkey server on this machine", pytrace=False)
    if isinstance(place, servers.ExternalServer):
        yield Stage(place.url, namespace=f"seeds-{random_id()}")
        return
    if place.name not in _fleet:
        _fleet[place.name] = servers.Server(place).start()
    server = _fleet[place.name]
    yield Stage(server.url)
    server.heal()
