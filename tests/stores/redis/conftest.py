"""Fixtures of the Redis store's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.stores.redis.garbage import Client


@pytest.fixture
def raw(redis_url: str) -> Iterator[Client]:
    """Somebody who writes what is none of his business."""
    with redis.Redis.from_url(redis_url) as client:
        yield client
