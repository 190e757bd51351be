"""A report service with Twisted, on its asyncio reactor.

::

    REDIS_URL=redis://localhost python twisted_app.py
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import asyncioreactor

asyncioreactor.install()  # before anything imports the reactor

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.python import log  # noqa: E402
from twisted.web.resource import Resource  # noqa: E402
from twisted.web.server import NOT_DONE_YET, Request, Site  # noqa: E402

from aiosched import Job, Scheduler  # noqa: E402
from aiosched.integrations.twisted import attach  # noqa: E402


async def write_report(title: str) -> str:
    """Write a report."""
    return f"{title}, written"


scheduler = Scheduler(os.environ.get("REDIS_URL", "memory://"), namespace="twisted")
scheduler.register(write_report)


class Page(Resource):
    """Answers with what a coroutine function returns, as JSON."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request], Awaitable[Any]]) -> None:
        """Hold the function."""
        super().__init__()
        self._answer = answer

    def render(self, request: Request) -> int:
        """Let the function answer."""
        task = asyncio.ensure_future(self._answer(request))
        answered = Deferred.fromFuture(task)
        answered.addCallback(_say, request)
        answered.addErrback(_fail, request)
        return NOT_DONE_YET


def _say(answer: Any, request: Request) -> None:
    request.setHeader(b"content-type", b"application/json")
    request.write(json.dumps(answer).encode())
    request.finish()


def _fail(failure: Any, request: Request) -> None:
    log.err(failure)
    request.setResponseCode(500)
    request.finish()


async def reports(request: Request) -> Any:
    """Schedule a report, return one, or show what happened to it."""
    if request.method == b"POST":
        wanted = json.loads(request.content.read())
        job = await scheduler.schedule(
            Job("write_report", id=wanted["id"], kwargs={"title": wanted["title"]})
        )
        request.setResponseCode(202)
        return {"id": job.id}
    report_id = request.postpath[0].decode()
    if request.postpath[1:] == [b"history"]:
        entries = await scheduler.history(report_id)
        return [{"at": str(e.at), "kind": e.kind} for e in entries]
    return {"result": await scheduler.result(report_id, timeout=10)}


async def health(request: Request) -> Any:
    """Say whether this process does its duty."""
    found = scheduler.health()
    request.setResponseCode(200 if found.ok else 503)
    return {"ok": found.ok}


if __name__ == "__main__":
    log.startLogging(sys.stdout)
    root = Resource()
    root.putChild(b"reports", Page(reports))
    root.putChild(b"health", Page(health))
    attach(scheduler)
    reactor.listenTCP(
        int(os.environ.get("PORT", "8000")), Site(root), interface="127.0.0.1"
    )
    reactor.run()
