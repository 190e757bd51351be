"""A report service with Quart, whose ``while_serving`` is all that is needed.

::

    REDIS_URL=redis://localhost hypercorn quart_app.app:app --workers 4
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, current_app, request

from aiosched import Job, Scheduler

app = Quart(__name__)


async def write_report(title: str) -> str:
    """Write a report."""
    return f"{title}, written"


@app.while_serving
async def scheduling() -> AsyncIterator[None]:
    """Run a peer for as long as this process serves."""
    store = os.environ.get("REDIS_URL", "memory://")
    scheduler = Scheduler(store, namespace="quart")
    scheduler.register(write_report)
    async with scheduler:
        app.extensions["scheduler"] = scheduler
        yield


def the_scheduler() -> Scheduler:
    """Return the scheduler of this process."""
    scheduler: Scheduler = current_app.extensions["scheduler"]
    return scheduler


@app.post("/reports")
async def order() -> tuple[dict[str, Any], int]:
    """Schedule a report."""
    wanted = await request.get_json()
    job = await the_scheduler().schedule(
        Job("write_report", id=wanted["id"], kwargs={"title": wanted["title"]})
    )
    return {"id": job.id}, 202


@app.get("/reports/<report_id>")
async def report(report_id: str) -> dict[str, Any]:
    """Return a report, waiting for it a while."""
    return {"result": await the_scheduler().result(report_id, timeout=10)}


@app.get("/reports/<report_id>/history")
async def history(report_id: str) -> list[dict[str, Any]]:
    """Show what happened to a report, newest first."""
    entries = await the_scheduler().history(report_id)
    return [{"at": str(e.at), "kind": e.kind} for e in entries]


@app.get("/health")
async def health() -> tuple[dict[str, Any], int]:
    """Say whether this process does its duty."""
    found = the_scheduler().health()
    return {"ok": found.ok}, 200 if found.ok else 503
