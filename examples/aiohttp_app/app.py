"""A report service with aiohttp, whose ``cleanup_ctx`` is all that is needed.

::

    REDIS_URL=redis://localhost python -m aiohttp_app.app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from aiohttp import web

from aiosched import Job, Scheduler

SCHEDULER = web.AppKey("scheduler", Scheduler)


async def write_report(title: str) -> str:
    """Write a report."""
    return f"{title}, written"


async def scheduling(app: web.Application) -> AsyncIterator[None]:
    """Run a peer for as long as this process serves."""
    store = os.environ.get("REDIS_URL", "memory://")
    scheduler = Scheduler(store, namespace="aiohttp")
    scheduler.register(write_report)
    async with scheduler:
        app[SCHEDULER] = scheduler
        yield


async def order(request: web.Request) -> web.Response:
    """Schedule a report."""
    wanted = await request.json()
    job = await request.app[SCHEDULER].schedule(
        Job("write_report", id=wanted["id"], kwargs={"title": wanted["title"]})
    )
    return web.json_response({"id": job.id}, status=202)


async def report(request: web.Request) -> web.Response:
    """Return a report, waiting for it a while."""
    scheduler = request.app[SCHEDULER]
    result = await scheduler.result(request.match_info["id"], timeout=10)
    return web.json_response({"result": result})


async def history(request: web.Request) -> web.Response:
    """Show what happened to a report, newest first."""
    entries = await request.app[SCHEDULER].history(request.match_info["id"])
    return web.json_response([{"at": str(e.at), "kind": e.kind} for e in entries])


async def health(request: web.Request) -> web.Response:
    """Say whether this process does its duty."""
    found = request.app[SCHEDULER].health()
    return web.json_response({"ok": found.ok}, status=200 if found.ok else 503)


def build() -> web.Application:
    """Build the application; its tests build one each."""
    app = web.Application()
    app.cleanup_ctx.append(scheduling)
    app.add_routes(
        [
            web.post("/reports", order),
            web.get("/reports/{id}", report),
            web.get("/reports/{id}/history", history),
            web.get("/health", health),
        ]
    )
    return app


if __name__ == "__main__":
    web.run_app(build(), host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
