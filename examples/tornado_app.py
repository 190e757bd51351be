"""A report service with Tornado, whose loop is asyncio's.

::

    REDIS_URL=redis://localhost python tornado_app.py
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

from tornado.web import Application, RequestHandler

from aiosched import Job, Scheduler


async def write_report(title: str) -> str:
    """Write a report."""
    return f"{title}, written"


class Handler(RequestHandler):
    """A handler that knows the scheduler."""

    def initialize(self, scheduler: Scheduler) -> None:
        """Take what the application gives to each request."""
        self.scheduler = scheduler

    def say(self, answer: Any, status: int = 200) -> None:
        """Answer with JSON, be it a list."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(answer))


class Reports(Handler):
    """All reports."""

    async def post(self) -> None:
        """Schedule a report."""
        wanted = json.loads(self.request.body)
        job = await self.scheduler.schedule(
            Job("write_report", id=wanted["id"], kwargs={"title": wanted["title"]})
        )
        self.say({"id": job.id}, 202)


class Report(Handler):
    """One report."""

    async def get(self, report_id: str) -> None:
        """Return it, waiting for it a while."""
        result = await self.scheduler.result(report_id, timeout=10)
        self.say({"result": result})


class History(Handler):
    """What happened to one report."""

    async def get(self, report_id: str) -> None:
        """Return it, newest first."""
        entries = await self.scheduler.history(report_id)
        self.say([{"at": str(e.at), "kind": e.kind} for e in entries])


class Health(Handler):
    """Whether this process does its duty."""

    def get(self) -> None:
        """Return it, for who watches it."""
        found = self.scheduler.health()
        self.say({"ok": found.ok}, 200 if found.ok else 503)


async def main() -> None:
    """Serve until a signal comes."""
    store = os.environ.get("REDIS_URL", "memory://")
    scheduler = Scheduler(store, namespace="tornado")
    scheduler.register(write_report)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    given = {"scheduler": scheduler}
    app = Application(
        [
            (r"/reports", Reports, given),
            (r"/reports/([^/]+)", Report, given),
            (r"/reports/([^/]+)/history", History, given),
            (r"/health", Health, given),
        ]
    )
    async with scheduler:
        server = app.listen(int(os.environ.get("PORT", "8000")), address="127.0.0.1")
        await stop.wait()
        server.stop()
        await server.close_all_connections()


if __name__ == "__main__":
    asyncio.run(main())
