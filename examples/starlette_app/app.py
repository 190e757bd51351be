"""A report service with Starlette.

::

    REDIS_URL=redis://localhost uvicorn starlette_app.app:app --workers 4
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from aiosched import Job, Scheduler
from aiosched.integrations.asgi import lifespan, scheduler_of


async def write_report(title: str) -> str:
    """Write a report."""
    return f"{title}, written"


def build() -> Scheduler:
    """Build a peer."""
    store = os.environ.get("REDIS_URL", "memory://")
    scheduler = Scheduler(store, namespace="starlette")
    scheduler.register(write_report)
    return scheduler


async def order(request: Request) -> JSONResponse:
    """Schedule a report."""
    wanted = await request.json()
    job = await scheduler_of(request).schedule(
        Job("write_report", id=wanted["id"], kwargs={"title": wanted["title"]})
    )
    return JSONResponse({"id": job.id}, status_code=202)


async def report(request: Request) -> JSONResponse:
    """Return a report, waiting for it a while."""
    scheduler = scheduler_of(request)
    result = await scheduler.result(request.path_params["id"], timeout=10)
    return JSONResponse({"result": result})


async def history(request: Request) -> JSONResponse:
    """Show what happened to a report, newest first."""
    entries = await scheduler_of(request).history(request.path_params["id"])
    return JSONResponse([{"at": str(e.at), "kind": e.kind} for e in entries])


async def health(request: Request) -> JSONResponse:
    """Say whether this process does its duty."""
    found = scheduler_of(request).health()
    return JSONResponse({"ok": found.ok}, status_code=200 if found.ok else 503)


app = Starlette(
    lifespan=lifespan(build),
    routes=[
        Route("/reports", order, methods=["POST"]),
        Route("/reports/{id}", report),
        Route("/reports/{id}/history", history),
        Route("/health", health),
    ],
)
