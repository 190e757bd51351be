"""A Redis server in the process, for simulations: bytes in, bytes out.

It is pure and synchronous, knows no socket and no clock but the one it is
given, and does the commands that the Redis store uses and their nearest kin,
as differential tests against real servers show.  Any other command is unknown
to it, so the store cannot quietly grow past what is proven.
"""

from __future__ import annotations

from aiosched.testing.redis_model.connection import Connection
from aiosched.testing.redis_model.server import Change, CommitHook, Server, Snapshot
from aiosched.testing.redis_model.values import (
    Hash,
    Listing,
    Members,
    Sorted,
    Stream,
    Value,
)

__all__ = [
    "Change",
    "CommitHook",
    "Connection",
    "Hash",
    "Listing",
    "Members",
    "Server",
    "Snapshot",
    "Sorted",
    "Stream",
    "Value",
]
