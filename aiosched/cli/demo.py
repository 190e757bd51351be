"""``aiosched demo``: scheduled work, watched, and its books balanced at the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from aiosched.cli.balance import Balance, Fault, Problem, balance
from aiosched.cli.plan import (
    KEYWORD,
    WEB_JOB,
    Planned,
    WebServer,
    first_job,
    orders,
    planned_jobs,
    register_executors,
)
from aiosched.cli.progress import JobRow, Progress
from aiosched.cli.report import Report, print_json
from aiosched.cli.screen import Screen, open_screen
from aiosched.cli.witness import Sighting, Witness
from aiosched.clock import SystemClock
from aiosched.jobs import Job
from aiosched.scheduler import Scheduler

__all__ = ["WINDOW", "Options", "Show", "checked", "play", "run_demo"]

WINDOW = 10.0
REFRESH = 0.25
REST = 15.0
LEDGER_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for.

    Attributes:
        redis: None: in memory; empty: on a server of its own; else its URL.
        seconds: How long work comes in; None: the demo's own choice.
    """

    redis: str | None
    seconds: float | None
    plain: bool
    json: bool


def run_demo(options: Options) -> int:
    """Run the demo that was asked for.

    Returns:
        0 if each firing ran once and all adds up, else 1.

    Raises:
        CannotError: No server, or one that cannot be used.
    """
    # As Ctrl-C, so that nothing of ours is left behind: a server, peers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    silent = options.json
    screen = open_screen(sys.stdout, plain=options.plain, silent=silent)
    with screen, WebServer() as web:
        if options.redis is None:
            report = play(_embedded(options, screen, web))
        else:
            from aiosched.cli.cluster import on_redis

            report = on_redis(options, screen, web)
    if silent:
        print_json(report)
    else:
        screen.report(report)
    return 0 if report.ok else 1


def play(work: Coroutine[Any, Any, Report]) -> Report:
    """Run a performance on a loop of its own.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM ended it.
    """

    async def until_told() -> Report:
        task = asyncio.current_task()
        if task is not None:
            with contextlib.suppress(NotImplementedError):  # not on this platform
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _embedded(options: Options, screen: Screen, web: WebServer) -> Report:
    window = options.seconds or WINDOW
    witness = Witness("here")
    async with Scheduler(name="demo") as scheduler:
        register_executors(scheduler, witness)
        show = Show(scheduler, screen, Progress("memory", window), web)
        await show.perform()
        return checked(await show.balances(witness.seen), show, web)


class Show:
    """One performance: jobs are scheduled, fired and watched until they rest."""

    def __init__(
        self, scheduler: Scheduler, screen: Screen, progress: Progress, web: WebServer
    ) -> None:
        """Take a scheduler that has been started, a peer or a client."""
        self.scheduler = scheduler
        self.progress = progress
        self._screen = screen
        self._web = web
        self._clock = SystemClock()
        self._stored: dict[str, tuple[Planned, Job]] = {}
        self._begun = 0.0

    async def perform(
        self, chaos: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        """Go through the whole performance.

        Args:
            chaos: What is to happen meanwhile.
        """
        off = self.scheduler.add_done_callback(self.progress.ended)
        await self._begin()
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch())
                fires = group.create_task(self._fire())
                chaotic = group.create_task(chaos() if chaos else self.until(0))
                await self.until(self.progress.window)
                await asyncio.wait((fires, chaotic))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REST):
                        await self._at_rest()
                watching.cancel()
        except BaseExceptionGroup as errors:
            raise _first_cause(errors) from errors
        finally:
            off()

    def note(self, text: str) -> None:
        """Tell what has happened."""
        self.progress.notes.append((self.elapsed, text))
        self._screen.note(self.elapsed, text)

    @property
    def elapsed(self) -> float:
        """Seconds since the first job was created."""
        return self._clock.monotonic() - self._begun

    async def until(self, seconds: float) -> None:
        """Wait until so many seconds have elapsed."""
        await self._clock.sleep(max(seconds - self.elapsed, 0.0))

    async def _begin(self) -> None:
        """Schedule everything, on the time of the store."""
        window = self.progress.window
        first = first_job()
        self._add_row(first)
        stored = await self.scheduler.schedule(first.job)
        self._begun = self._clock.monotonic()
        origin = stored.created_at
        if origin is None:
            message = "a stored job has no instant of creation"
            raise RuntimeError(message)
        self.progress.origin = origin
        peers = len(self.progress.peers) or 1
        rest = planned_jobs(origin, window, self._web.port, peers)
        for planned in rest:
            self._add_row(planned)
        jobs = await self.scheduler.schedule_many(each.job for each in rest)
        for planned, job in zip([first, *rest], [stored, *jobs], strict=True):
            self._stored[job.id] = (planned, job)

    def _add_row(self, planned: Planned) -> None:
        job = planned.job
        row = JobRow(job.id, planned.kind, asked=job.keyword is not None)
        self.progress.jobs[job.id] = row

    async def _fire(self) -> None:
        for order in orders(self.progress.window):
            await self.until(order.after)
            await self.scheduler.fire_job(KEYWORD, order.payload, fire_id=order.fire_id)

    async def _watch(self) -> None:
        while True:
            await self._look()
            self._screen.show(self.progress)
            await self._clock.sleep(REFRESH)

    async def _look(self) -> None:
        self.progress.elapsed = self.elapsed
        for state in (None, "finished"):
            for job in await self.scheduler.get_jobs(state=state, limit=1000):
                if job.id in self.progress.jobs:
                    self.progress.jobs[job.id].take(job, over=state is not None)
        peers = {peer.id: peer for peer in await self.scheduler.peers()}
        for row in self.progress.peers.values():
            peer = peers.get(row.id)
            row.running = peer.running if peer and row.state == "live" else 0

    async def _at_rest(self) -> None:
        await self._look()
        while not self.progress.at_rest:
            await self._clock.sleep(REFRESH)
            await self._look()

    async def balances(
        self, sightings: Iterable[Sighting], killed: frozenset[str] = frozenset()
    ) -> list[Balance]:
        """Balance the books of all jobs."""
        await self._look()
        self._screen.show(self.progress)
        seen = list(sightings)
        fires = [order.fire_id for order in orders(self.progress.window)]
        books = []
        for planned, stored in self._stored.values():
            rows = await self.scheduler.history(stored, limit=LEDGER_ROWS)
            counts = self.progress.jobs[stored.id].counts
            expected = planned.expected(stored, fires)
            books.append(balance(expected, counts, rows, seen, killed=killed))
        return books


def _first_cause(errors: BaseException) -> BaseException:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors


def checked(books: list[Balance], show: Show, web: WebServer) -> Report:
    """Hold the books against one witness more: the HTTP server's own count."""
    for book in books:
        if book.expected.job_id == WEB_JOB:
            least, most = book.counts.succeeded, book.starts
            if not least <= web.served <= most:
                text = (
                    f"the HTTP server answered {web.served} requests; "
                    f"{least} runs succeeded, {most} were started"
                )
                fault = Fault.MISSING if web.served < least else Fault.DOUBLED
                book.problems.append(Problem(fault, WEB_JOB, text))
    return Report(show.progress, books, web.served)
