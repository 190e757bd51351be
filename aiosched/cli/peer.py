"""``aiosched demo-peer``: one of the processes that the demo on Redis starts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from threading import Thread

from aiosched.background.serving import serve
from aiosched.cli.plan import register_executors
from aiosched.cli.witness import Witness
from aiosched.scheduler import Scheduler

__all__ = ["run_peer"]

GRACE = 5.0


def run_peer(store: str, namespace: str, name: str, witness: str) -> int:
    """Work on a store until SIGTERM, or until the demo is gone.

    Returns:
        0 after a clean end.
    """
    # The demo holds the other end of our input: it ends when the demo does,
    # however that came about.
    Thread(target=_end_with_input, daemon=True).start()
    asyncio.run(_work(store, namespace, name, Path(witness)))
    return 0


async def _work(store: str, namespace: str, name: str, path: Path) -> None:
    scheduler = Scheduler(store, namespace=namespace, name=name)
    register_executors(scheduler, Witness(name, path))
    await serve(scheduler, grace=GRACE)


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
