"""One server is enough here: what it is called on is not what is tested."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers


@pytest.fixture
def a_server() -> Iterator[str]:
    """Start a server of this test's own; the URL of it."""
    found = servers.binaries()
    if not found:
        pytest.fail("no Redis or Valkey server on this machine", pytrace=False)
    with servers.Server(found[-1]) as server:
        yield server.url
