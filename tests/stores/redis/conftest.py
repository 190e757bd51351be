"""Fixtures of the Redis store's own tests."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import pytest
import redis

from tests import servers
from tests.stores.redis.garbage import Client


@pytest.fixture
def raw(redis_url: str) -> Iterator[Client]:
    """Somebody who writes what is none of his business."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With ``--long``, run what takes turns on every server."""
    if "turn_url" not in metafunc.fixturenames:
        return
    names: list[str] = [one.name for one in servers.binaries()]
    config = metafunc.config
    if not (config.getoption("--long") or os.environ.get("AIOSCHED_LONG")):
        names = ["in-turn"]
    metafunc.parametrize("turn_url", names, indirect=True)


@pytest.fixture
def turn_url(
    request: pytest.FixtureRequest, _fleet: dict[str, servers.Server]
) -> Iterator[str]:
    """The URL of an own server; the tests take turns with the server programs."""
    found = {one.name: one for one in servers.binaries()}
    if not found:
        pytest.fail("no Redis or Valkey server on this machine", pytrace=False)
    name = request.param
    if name not in found:
        turn = zlib.crc32(request.node.name.encode()) % len(found)
        name = sorted(found)[turn]
        request.node.add_report_section("setup", "server", name)
    if name not in _fleet:
        _fleet[name] = servers.Server(found[name]).start()
    yield _fleet[name].url
    _fleet[name].heal()
