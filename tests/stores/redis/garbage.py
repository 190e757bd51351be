"""Garbage to be planted, and what it needs."""

from __future__ import annotations

import json
from typing import Any

Client = Any
"""A synchronous client of redis-py, whose types ask for more than they help."""

HUGE = 10**25


def another_type(client: Client, key: str) -> bytes:
    """Put a list where something else was; return its serialized form."""
    client.delete(key)
    client.rpush(key, b"\xff")
    dump: bytes = client.dump(key)
    return dump


def entry(**parts: object) -> str:
    """Return a member's entry with some parts of it replaced."""
    good = {
        "seen": 1,
        "name": "n",
        "queues": None,
        "executors": ["a"],
        "claims": True,
        "running": 0,
        "started": 0,
        "host": "",
    }
    return json.dumps(list({**good, **parts}.values()))


WRONG_MEMBERS = {
    "seen": entry(seen="now"),
    "huge": entry(seen=HUGE),
    "float": entry(seen=float("nan")),
    "name": entry(name={}),
    "queues": entry(queues=[5]),
    "a-text": entry(queues="default"),
    "executors": entry(executors=[["a"]]),
    "none": entry(executors=[None]),
    "claims": entry(claims=[1]),
    "running": entry(running="2"),
    "started": entry(started=HUGE),
    "host": entry(host=["h"]),
    "short": "[1]",
    "no-list": "null",
    "deep": "[" * 100_000,
}
