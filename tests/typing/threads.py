"""A program of threads that uses the verbs, for type checkers; see ``api.py``."""
# pyright: strict
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, assert_type

from aiosched import (
    BackgroundScheduler,
    BlockingScheduler,
    Event,
    Firing,
    Health,
    Job,
    JobPage,
    Run,
    Scheduler,
    every,
)


def mistakes() -> Iterator[Callable[[], object]]:
    """Yield calls that a checker refuses, and the program too when it runs."""
    yield lambda: BackgroundScheduler(5)  # type: ignore[arg-type]
    yield lambda: BackgroundScheduler(nmae="x")  # type: ignore[call-arg]
    yield lambda: BlockingScheduler(lease="15")  # type: ignore[arg-type]


def unnoticed(scheduler: BackgroundScheduler) -> None:
    """Make mistakes that a checker sees first; this is not run."""

    def deaf() -> None: ...

    scheduler.on("*", deaf)  # type: ignore[arg-type]
    scheduler.wait(5)  # type: ignore[arg-type]
    scheduler.schedule("full")  # type: ignore[arg-type]
    scheduler.modify("full", nte="x")  # type: ignore[call-arg]
    scheduler.job(every(1).hours, tgas=["x"])  # type: ignore[call-arg]


def program() -> str:
    """Use the verbs as threads do."""
    scheduler = BackgroundScheduler("memory://", namespace="types", lease=15)
    assert_type(scheduler, BackgroundScheduler)
    assert_type(scheduler.scheduler, Scheduler)

    @scheduler.job(every(1).hours, id="hourly", tags=["mail"])
    def hourly() -> int:
        return 1

    @scheduler.executor
    def plain(number: int) -> int:
        return number + hourly()

    @scheduler.executor(name="named")
    async def named(text: str) -> str:
        return text.upper()

    def heard(event: Event) -> None:
        assert_type(event.name, str)

    assert_type(plain(1), int)
    with scheduler as same:
        assert_type(same, BackgroundScheduler)
        assert_type(scheduler.on("*", heard), Callable[[], None])
        events = scheduler.events("run_ended")
        job = scheduler.schedule(Job(plain, [1], id="one"), on_conflict="replace")
        assert_type(job, Job)
        assert_type(scheduler.wait(job, timeout=timedelta(seconds=10)), Run)
        assert_type(next(events), Event)
        assert_type(scheduler.result(job, timeout=10), Any)
        assert_type(scheduler.start_job("hourly"), Firing)
        assert_type(scheduler.modify("hourly", note="new", max_running=2), Job)
        assert_type(scheduler.get_jobs(tag="mail"), JobPage)
        assert_type(scheduler.health(), Health)
        assert_type("hourly" in scheduler, bool)
        assert_type(scheduler.register(named, name="other"), str)
        text = scheduler.schedule(Job("other", ["ann"], id="text"))
        found: str = scheduler.result(text, timeout=10)
    assert_type(scheduler.shutdown(force=True, grace=None), None)
    return found
