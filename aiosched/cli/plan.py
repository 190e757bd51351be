"""The demo's work: its executors, its jobs, and what must come of them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any, Self

from aiosched.abc import Executor
from aiosched.cli.balance import Expected
from aiosched.cli.witness import Witness
from aiosched.clock import SystemClock
from aiosched.context import Context
from aiosched.jobs import Job, Retry
from aiosched.scheduler import Scheduler
from aiosched.triggers import CronTrigger, DateTrigger, IntervalTrigger

__all__ = [
    "FIRST_JOB",
    "KEYWORD",
    "LONG_JOB",
    "WEB_JOB",
    "Order",
    "Planned",
    "WebServer",
    "first_job",
    "orders",
    "planned_jobs",
    "register_executors",
]

FIRST_JOB = "hello"
WEB_JOB = "fetch"
KEYWORD = "order-paid"
LONG_JOB = "long"
LONG = 1.0
_LEAD = timedelta(seconds=1)


# -- executors --------------------------------------------------------------------


class SendReceipt(Executor):
    """An executor with a life: set up once a peer, then asked for each receipt."""

    def __init__(self, witness: Witness) -> None:
        """Take what it needs, as executors of applications do."""
        self._witness = witness
        self._numbers: Iterable[int] | None = None

    async def setup(self) -> None:
        """Open what is shared by all runs."""
        self._numbers = count(1)

    async def run(self, context: Context, order: int, total: float) -> str:
        """Number a receipt."""
        self._witness.saw(context)
        number = next(iter(self._numbers or ()))
        return f"receipt {number} of {context.peer[:6]}: order {order}, {total:.2f}"


def register_executors(scheduler: Scheduler, witness: Witness) -> None:
    """Register all that the demo's jobs name."""
    clock = SystemClock()

    async def greet(context: Context, name: str) -> str:
        witness.saw(context)
        return f"hello {name}"

    async def tick(context: Context) -> None:
        witness.saw(context)

    async def work(context: Context, seconds: float) -> float:
        witness.saw(context)
        await clock.sleep(seconds)
        return seconds

    async def flaky(context: Context) -> str:
        witness.saw(context)
        if context.attempt == 1:
            message = "the line is busy"
            raise ConnectionError(message)
        return f"got through at attempt {context.attempt}"

    def fetch(context: Context, port: int) -> dict[str, Any]:
        witness.saw(context)
        return _get(port)

    for executor in (greet, tick, work, flaky, fetch):
        scheduler.register(executor)
    scheduler.register(SendReceipt(witness), name="send_receipt")


def _get(port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/price")
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            message = f"the server answered {answer.status}"
            raise ConnectionError(message)
        data: dict[str, Any] = json.load(answer)
        return data
    finally:
        connection.close()


class WebServer:
    """A real HTTP server on a free port, for one block."""

    def __init__(self) -> None:
        """Take a port; nobody is served yet."""
        numbers = count(1)
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.served = next(numbers)
                body = json.dumps({"request": web.served}).encode()
                self.send_response(http.HTTPStatus.OK)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay silent: the demo's screen is not a log."""

        self.served = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        """Serve from a thread."""
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


# -- jobs -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """A job and how people call its kind."""

    job: Job
    kind: str

    def expected(self, stored: Job, fires: Iterable[str] = ()) -> Expected:
        """Say what must come of it, by the trigger as it was pinned."""
        own = fires if self.job.keyword is not None else ()
        limit = self.job.max_runs
        return Expected(self.job.id, self.kind, stored.trigger, limit, frozenset(own))


@dataclass(frozen=True, slots=True)
class Order:
    """A fire of the keyword: when, counted from the start, and with what."""

    after: float
    fire_id: str
    payload: dict[str, Any]


def first_job() -> Planned:
    """Return the job that runs once, now; its creation begins the demo's time."""
    return Planned(Job("greet", kwargs={"name": "world"}, id=FIRST_JOB), "once, now")


def orders(window: float) -> list[Order]:
    """Return the keyword's fires: one a second, each with a payload of its own."""
    return [
        Order(n + 0.4, f"order-{n}", {"order": n, "total": n * 9.9})
        for n in range(1, int(window))
    ]


def planned_jobs(
    origin: datetime, window: float, port: int, peers: int
) -> list[Planned]:
    """Return all jobs but the first; their slots lie within the window.

    Args:
        origin: The store's instant at which the demo began.
        window: Seconds in which work comes in.
        port: Of the HTTP server.
        peers: How many share the store; with several there is work that takes
            long, so that there is something to be killed in.
    """
    start = origin + _LEAD
    end = origin + timedelta(seconds=window)
    return [
        *_dated_jobs(origin, window),
        *_repeating_jobs(start, end, port),
        *_busy_jobs(start, end, peers),
        *_subscribers(),
    ]


def _dated_jobs(origin: datetime, window: float) -> list[Planned]:
    middle = DateTrigger(origin + timedelta(seconds=window / 2))
    early = DateTrigger(origin + 2 * _LEAD)
    again = Retry(3, delay=0.5)
    return [
        Planned(Job("greet", ("noon",), id="reminder", trigger=middle), "once, at"),
        Planned(Job("flaky", id="flaky", trigger=early, retry=again), "once, retry"),
    ]


def _repeating_jobs(start: datetime, end: datetime, port: int) -> list[Planned]:
    ticks = int((end - start).total_seconds() * 2)
    often = IntervalTrigger(milliseconds=500, start=start)
    even = CronTrigger("*/2 * * * * *", seconds="first", start=start, end=end)
    between = start + timedelta(seconds=0.5)
    calls = IntervalTrigger(seconds=1, start=between, end=end)
    return [
        Planned(
            Job("tick", id="tick", trigger=often, max_runs=ticks),
            f"every 0.5 s, {ticks}x",
        ),
        Planned(Job("tick", id="clock", trigger=even), "cron */2 * * * * *"),
        Planned(Job("fetch", (port,), id=WEB_JOB, trigger=calls), "every 1 s, HTTP"),
    ]


def _subscribers() -> list[Planned]:
    kind = f"keyword {KEYWORD}"
    return [
        Planned(Job("send_receipt", id=name, keyword=KEYWORD), kind)
        for name in ("receipt", "books")
    ]


def _busy_jobs(start: datetime, end: datetime, peers: int) -> list[Planned]:
    """Jobs that take longer than their interval, or long enough to be killed in."""
    often = IntervalTrigger(milliseconds=500, start=start, end=end)
    refresh = Job("work", (0.7,), id="refresh", trigger=often)
    jobs = [Planned(refresh, "every 0.5 s, takes 0.7")]
    for n in range(peers if peers > 1 else 0):
        own = start + timedelta(seconds=0.25 * n)
        trigger = IntervalTrigger(milliseconds=750, start=own, end=end)
        name = f"{LONG_JOB}-{n + 1}"
        job = Job("work", (LONG,), id=name, trigger=trigger, overlap="allow")
        jobs.append(Planned(job, f"every 0.75 s, takes {LONG:g}"))
    return jobs
