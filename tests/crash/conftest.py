"""Which server a scenario runs on, its seed, and how a failure is repeated.

In short mode each scenario runs on one server, and they take turns with them;
with ``--long`` all run on all.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest

from tests import servers

_NONE = "no server found"
_HERE = Path(__file__).parent


def _long(config: pytest.Config) -> bool:
    return bool(config.getoption("--long") or os.environ.get("AIOSCHED_LONG"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the servers of a scenario."""
    if "binary" not in metafunc.fixturenames:
        return
    found: list[object] = [*servers.binaries()]
    if found and not _long(metafunc.config):
        turn = zlib.crc32(metafunc.function.__name__.encode()) % len(found)
        found = [found[turn]]
    names = [str(getattr(one, "name", "none")) for one in found] or ["none"]
    metafunc.parametrize("binary", found or [_NONE], indirect=True, ids=names)


@pytest.fixture
def binary(request: pytest.FixtureRequest) -> servers.Binary:
    """The server program of this scenario; having none is a failure."""
    if request.param == _NONE:
        pytest.fail("no Redis or Valkey server on this machine", pytrace=False)
    found: servers.Binary = request.param
    return found


@pytest.fixture
def seed(crash_seed: int | None) -> int:
    """What the scenario's chance is drawn from."""
    return random.randrange(1_000_000) if crash_seed is None else crash_seed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say how a failing scenario is repeated."""
    report = yield
    if report.failed and _HERE in item.path.parents:
        report.sections.append(("run this again with", repeated(item)))
    return report


def repeated(item: pytest.Item) -> str:
    """Return the command that runs a scenario again as it was."""
    seed = getattr(item, "funcargs", {}).get("seed")
    words = ["python -m pytest", f'"{item.nodeid}"']
    if seed is not None:
        words.append(f"--crash-seed {seed}")
    if _long(item.config):
        words.append("--long")
    return " ".join(words)
