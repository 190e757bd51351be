"""A report service in plain ASGI: no framework, and a wrapper that brings the jobs.

::

    REDIS_URL=redis://localhost hypercorn asgi_app:app
"""

from __future__ import annotations

import json
import os
from typing import Any

from aiosched import Job, Scheduler
from aiosched.integrations.asgi import SchedulerMiddleware, scheduler_of


async def write_report(title: str) -> str:
    """Write a report."""
    return f"{title}, written"


def build() -> Scheduler:
    """Build a peer."""
    store = os.environ.get("REDIS_URL", "memory://")
    scheduler = Scheduler(store, namespace="asgi")
    scheduler.register(write_report)
    return scheduler


async def reports(scope: Any, receive: Any, send: Any) -> None:
    """Serve requests; it knows nothing of lifespans."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    status, answer = await _answer(scope, receive)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def _answer(scope: Any, receive: Any) -> tuple[int, Any]:
    scheduler = scheduler_of(scope)
    match scope["method"], scope["path"].strip("/").split("/"):
        case "POST", ["reports"]:
            wanted = json.loads(await _body(receive))
            job = await scheduler.schedule(
                Job("write_report", id=wanted["id"], kwargs={"title": wanted["title"]})
            )
            return 202, {"id": job.id}
        case "GET", ["reports", report_id]:
            return 200, {"result": await scheduler.result(report_id, timeout=10)}
        case "GET", ["reports", report_id, "history"]:
            entries = await scheduler.history(report_id)
            return 200, [{"at": str(e.at), "kind": e.kind} for e in entries]
        case "GET", ["health"]:
            found = scheduler.health()
            return (200 if found.ok else 503), {"ok": found.ok}
    return 404, {"error": "there is no such page"}


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


app = SchedulerMiddleware(reports, build)
