"""A report service with FastAPI: jobs are scheduled, shown and explained by HTTP.

Each process of the server is a peer, and all of them share the jobs on Redis::

    REDIS_URL=redis://localhost uvicorn fastapi_app.app:app --workers 4

Web processes that only schedule, and a worker that does the work::

    REDIS_URL=redis://localhost RUN_JOBS=no uvicorn fastapi_app.app:app
    REDIS_URL=redis://localhost aiosched run fastapi_app.jobs:build
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field

from aiosched import Job, JobExistsError, JobState, RunError, WaitTimeoutError
from aiosched.integrations.fastapi import SchedulerDependency, lifespan
from fastapi_app.jobs import build


class Order(BaseModel):
    """What a client asks for; the same id twice is one order."""

    id: str = Field(min_length=1, max_length=100)
    title: str
    seconds: float = Field(default=0.0, ge=0, le=600)


@asynccontextmanager
async def own(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    """Open what the application needs beside; the jobs end before it does."""
    yield {"motto": "once"}


app = FastAPI(lifespan=lifespan(build, own))


@app.post("/reports", status_code=202)
async def order(wanted: Order, scheduler: SchedulerDependency) -> dict[str, str]:
    """Schedule a report; asking again is safe."""
    arguments = {"title": wanted.title, "seconds": wanted.seconds}
    try:
        job = await scheduler.schedule(
            Job("write_report", id=wanted.id, kwargs=arguments, timeout=900)
        )
    except JobExistsError as error:
        raise HTTPException(409, str(error)) from None
    return {"id": job.id, "asked": scheduler.id}


@app.get("/reports/{report_id}")
async def report(
    report_id: str,
    scheduler: SchedulerDependency,
    response: Response,
    wait: float = 0.0,
) -> dict[str, Any]:
    """Return a report, waiting for it up to so many seconds."""
    if await scheduler.state(report_id) is JobState.UNKNOWN:
        raise HTTPException(404, f"there is no report {report_id!r}")
    try:
        result = await scheduler.result(report_id, timeout=min(wait, 30.0))
    except WaitTimeoutError:
        response.status_code = 202
        return {"id": report_id, "state": "not written yet"}
    except RunError as error:
        raise HTTPException(500, str(error)) from None
    return {"id": report_id, "result": result, "told_by": scheduler.id}


@app.get("/reports/{job_id}/history")
async def history(job_id: str, scheduler: SchedulerDependency) -> list[dict[str, Any]]:
    """Show what happened to a job, newest first."""
    return [
        {
            "at": entry.at,
            "kind": entry.kind,
            "slot": entry.first,
            "attempt": entry.run.attempt if entry.run else None,
            "peer": entry.run.peer if entry.run else None,
        }
        for entry in await scheduler.history(job_id, limit=50)
    ]


@app.get("/running")
async def running(scheduler: SchedulerDependency) -> list[dict[str, Any]]:
    """Show what runs now, and in which process."""
    return [
        {"job": run.job_id, "peer": run.peer, "attempt": run.attempt}
        for run in await scheduler.running()
    ]


@app.get("/health")
async def health(scheduler: SchedulerDependency, response: Response) -> dict[str, Any]:
    """Say whether this process does its duty, for who watches it."""
    found = scheduler.health()
    response.status_code = 200 if found.ok else 503
    return {"ok": found.ok, "peer": scheduler.id, "problems": found.problems}
