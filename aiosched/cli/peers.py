"""``aiosched peers``: who is alive, and what each can do."""

from __future__ import annotations

import argparse
import json
from typing import Any

from aiosched._api.queries import Peer
from aiosched.cli.place import place_of, work
from aiosched.cli.tables import moment_text, print_table
from aiosched.scheduler import Scheduler

__all__ = ["COLUMNS", "others", "peer_data", "print_peers"]

COLUMNS = ("NAME", "ID", "RUNS JOBS", "RUNNING", "QUEUES", "EXECUTORS", "LAST BEAT")
"""Heads of the table."""


def print_peers(words: argparse.Namespace) -> int:
    """Print the peers that are alive, this command's own client left out."""
    peers = work(place_of(words), others)
    if words.json:
        data = [peer_data(peer) for peer in peers]
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print_table(COLUMNS, [_cells(peer) for peer in peers])
    return 0


async def others(scheduler: Scheduler) -> list[Peer]:
    """Return the live peers, by name, without the one that asks."""
    peers = [peer for peer in await scheduler.peers() if not peer.me]
    return sorted(peers, key=lambda peer: (peer.name, peer.id))


def peer_data(peer: Peer) -> dict[str, Any]:
    """Return a peer as JSON values."""
    return {
        "id": peer.id,
        "name": peer.name,
        "queues": None if peer.queues is None else list(peer.queues),
        "executors": list(peer.executors),
        "claims": peer.claims,
        "running": peer.running,
        "beat": peer.beat.isoformat(),
        "silent": peer.silent,
    }


def _cells(peer: Peer) -> tuple[str, ...]:
    return (
        peer.name,
        peer.id,
        "yes" if peer.claims else "no",
        str(peer.running),
        "all" if peer.queues is None else ",".join(peer.queues),
        ",".join(peer.executors),
        moment_text(peer.beat) + (" (silent)" if peer.silent else ""),
    )
