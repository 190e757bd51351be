"""The work, on as many machines as it takes.

::

    REDIS_URL=redis://localhost aiosched run roles.worker:build
"""

from __future__ import annotations

import os

from aiosched import Context, Scheduler


async def resize(context: Context, picture: str, width: int) -> str:
    """Resize a picture."""
    return f"{picture} at {width}, by {context.peer}"


def build() -> Scheduler:
    """Build a peer that runs what is in the queue ``pictures``, and nothing else."""
    scheduler = Scheduler(
        os.environ["REDIS_URL"], namespace="roles", queues=["pictures"], name="worker"
    )
    scheduler.register(resize, queue="pictures")
    return scheduler
