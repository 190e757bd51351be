"""Many tests on several servers: one of them each, or with ``--long`` all."""

from __future__ import annotations

import os
import zlib

import pytest

from aiosched.testing.contract import JobStoreContract
from tests import servers

__all__ = ["by_turns", "is_long"]


def is_long(config: pytest.Config) -> bool:
    """Say whether all is to run on all."""
    return bool(config.getoption("--long") or os.environ.get("AIOSCHED_LONG"))


def by_turns(metafunc: pytest.Metafunc, fixture: str) -> None:
    """Give a fixture of a module's scope the server programs as its parameters.

    The tests of the store's contract are many, and run on all programs in
    other modules; here each runs on one of them, which differs from test to
    test and from module to module.

    Args:
        metafunc: As pytest gives it to ``pytest_generate_tests``.
        fixture: Its name; tests that do not use it are left alone.
    """
    if fixture not in metafunc.fixturenames:
        return
    found = servers.binaries()
    contract = metafunc.cls is not None and issubclass(metafunc.cls, JobStoreContract)
    if found and contract and not is_long(metafunc.config):
        place = f"{metafunc.module.__name__} {metafunc.function.__name__}"
        found = [found[zlib.crc32(place.encode()) % len(found)]]
    names = [one.name for one in found]
    metafunc.parametrize(fixture, found, indirect=True, ids=names, scope="module")
