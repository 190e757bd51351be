"""What the examples of deployment run: one executor, one job."""

from __future__ import annotations

import os
import socket

from aiosched import IntervalTrigger, Job, Scheduler

# In a container the host's name is the container's, and in Kubernetes the pod's.
scheduler = Scheduler(os.environ.get("AIOSCHED_STORE"), name=socket.gethostname())


@scheduler.executor
async def greet(name: str) -> str:
    """Do the work; here there is little of it."""
    return f"hello {name}"


scheduler.declare(
    Job(greet, ("world",), id="greet", trigger=IntervalTrigger(seconds=10))
)
