"""Connections that only read, to the servers of other schedulers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.stores import masked

__all__ = ["reading"]

_PATIENCE = 5.0
"""Seconds within which a server has answered, or is taken to be away."""


@contextmanager
def reading(url: str) -> Iterator[Any]:
    """Open a client of a Redis or Valkey server for a block.

    Raises:
        ConfigurationError: The URL cannot be used.
        StoreUnavailableError: The server does not answer, or refuses.
    """
    import redis

    try:
        client = redis.Redis.from_url(
            url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
        )
    except ValueError as error:
        raise ConfigurationError(
            "source", masked(url), str(error), "write redis://HOST:6379/0"
        ) from None
    try:
        yield client
    except redis.RedisError as error:
        message = f"{masked(url)} cannot be read: {error}"
        raise StoreUnavailableError(message) from None
    finally:
        client.close()
