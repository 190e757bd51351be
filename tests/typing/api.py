"""A program that uses every verb, for type checkers: ``nox -s types`` reads it.

What a line promises its reader stands in ``assert_type``.  A line that users are
to be kept from carries an ignore comment, and both checkers complain about it
when it is no longer needed.  ``test_types.py`` runs the program too, so that it
is one that works.
"""
# pyright: strict
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, assert_type
from zoneinfo import ZoneInfo

from aiosched import (
    AndTrigger,
    CalendarIntervalTrigger,
    Cause,
    Context,
    CronTrigger,
    DateTrigger,
    Depends,
    Event,
    Executor,
    Firing,
    Guard,
    GuardHeldError,
    Health,
    HistoryPage,
    IntervalTrigger,
    Job,
    JobError,
    JobNotFoundError,
    JobPage,
    JobState,
    JobStore,
    LedgerEntry,
    MemoryJobStore,
    OnConflict,
    OnLost,
    OrTrigger,
    Outcome,
    Overlap,
    Peer,
    PlannedJob,
    Progress,
    Reason,
    RedisJobStore,
    Retry,
    RRuleTrigger,
    Run,
    RunError,
    RunFailedError,
    RunningRun,
    ScheduleConfig,
    Scheduler,
    Trigger,
    every,
    from_unit,
    open_store,
)
from aiosched.testing import Fault, FaultyStore, VirtualLoop, run_virtual

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Send(Executor):
    """An executor of the user's, with annotations of its own."""

    async def run(self, context: Context, to: str, *, copies: int = 1) -> int:
        """Use all that a context says."""
        assert_type(context.job, Job)
        assert_type(context.cause, Cause)
        assert_type(context.fire_time, datetime)
        assert_type(context.keyword, str | None)
        assert_type(context.cancel_reason, Reason)
        assert_type(context.cancelled, bool)
        assert_type(context.attempt, int)
        assert_type(context.fence, int)
        assert_type(context.missed, int)
        assert_type(context.run_id, str)
        return len(to) * copies

    async def setup(self) -> None:
        """Acquire nothing."""


class Halves(Trigger, frozen=True):
    """A trigger of the user's: each half hour."""

    kind: Literal["halves"] = "halves"

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Answer with aware datetimes."""
        past = after.replace(minute=after.minute // 30 * 30, second=0, microsecond=0)
        return past + timedelta(minutes=30)


def triggers() -> list[Trigger]:
    """Build every kind, and ask it what people ask."""
    cron = CronTrigger("*/5 9-17 * * mon-fri", tz="Europe/Rome", gap="skip")
    span = IntervalTrigger(minutes=5, start=NOON)
    months = CalendarIntervalTrigger(months=1, at="09:00", start=date(2030, 1, 31))
    once = DateTrigger(NOON)
    assert_type(cron | span, OrTrigger)
    assert_type(cron & span, AndTrigger)
    assert_type(span.next_fire_time(NOON), datetime | None)
    assert_type(cron.upcoming(3, NOON), list[datetime])
    assert_type(months.describe(), str)
    phrases: list[Trigger] = [
        every(10).minutes,
        every().day.at("09:30", "Europe/Rome"),
        every().wednesday.at("13:15"),
        every(5).to(10).seconds,
        every(2).months.until(date(2035, 1, 1)),
        every().hour.until(date(2035, 1, 1), tz=UTC).to(2),
        every().hour.until(timedelta(hours=8)),
        every().hour.until("18:30", tz=UTC),
        every(2).weeks.on("mon").at("10:00", ZoneInfo("Europe/Rome"), gap="skip"),
        from_unit("minutes", every=10),
        ScheduleConfig(every=10, unit="minutes").trigger(),
        RRuleTrigger("FREQ=DAILY", start=NOON),
    ]
    return [cron, span, months, once, cron | once, cron & months, Halves(), *phrases]


def jobs() -> list[Job]:
    """Build jobs with every way to write a field."""
    full = Job(
        "send",
        ["ann@example.com"],
        {"copies": 2},
        id="full",
        trigger=every(1).hours,
        queue="mail",
        max_runs=10,
        misfire_grace=timedelta(minutes=5),
        coalesce="all",
        overlap=Overlap.QUEUE,
        max_running=2,
        jitter=2.5,
        timeout="PT10M",
        retry=Retry(3, delay=1, factor=3.0, errors=[ValueError, "KeyError"]),
        on_lost=OnLost.RECORD,
        keep=timedelta(days=1),
        tags=("mail", "hourly"),
        note="sent by the hour",
        meta={"owner": "ann"},
    )
    assert_type(full.id, str)
    assert_type(full.state, JobState | None)
    assert_type(full.next_fire_time, datetime | None)
    assert_type(full.recent, tuple[Run, ...])
    assert_type(full.last_outcome, Outcome | None)
    assert_type(full.version, int)
    assert_type(full.counts.slots, int)
    assert_type(full.with_changes(note="", overlap="skip"), Job)
    assert_type(full.to_dict(snapshot=True), dict[str, Any])
    assert_type(Job.from_dict(full.to_dict()), Job)
    assert_type(Job.json_schema(), dict[str, Any])
    return [full, Job(Send, ["bob"], when=NOON), Job("send", ["eve"], keyword="mail")]


def mistakes() -> Iterator[Callable[[], object]]:
    """Yield calls that a checker refuses, and the program too when it runs."""
    job = Job("send")
    yield lambda: Job("send", tgas=["x"])  # type: ignore[call-arg]
    yield lambda: Job("send", overlap="sometimes")  # type: ignore[arg-type]
    yield lambda: Job("send", max_runs="three")  # type: ignore[arg-type]
    yield lambda: Retry(attempts="3")  # type: ignore[arg-type]
    yield lambda: job.with_changes(nte="x")  # type: ignore[call-arg]
    yield lambda: every("5")  # type: ignore[arg-type]
    yield lambda: every(5).fortnights  # type: ignore[attr-defined]
    yield lambda: DateTrigger(5)  # type: ignore[arg-type]
    yield lambda: CronTrigger("* * * * *", gap="guess")  # type: ignore[arg-type]
    yield lambda: Scheduler(5)  # type: ignore[arg-type]
    yield lambda: Scheduler(lease="15")  # type: ignore[arg-type]


async def unnoticed(scheduler: Scheduler) -> None:
    """Make mistakes that a checker sees first; this is not run."""

    def deaf() -> None: ...

    scheduler.on("*", deaf)  # type: ignore[arg-type]
    scheduler.add_done_callback(deaf)  # type: ignore[arg-type]
    await scheduler.wait(5)  # type: ignore[arg-type]
    await scheduler.schedule("full")  # type: ignore[arg-type]
    await scheduler.schedule(Job("send"), on_conflict="drop")  # type: ignore[arg-type]
    await scheduler.schedule_many([], on_conflict="drop")  # type: ignore[arg-type]
    await scheduler.get_jobs(state="Paused")  # type: ignore[arg-type]
    await scheduler.fire_job("mail", ttl="1 h")  # type: ignore[arg-type]
    await scheduler.get_jobs(limit="10")  # type: ignore[arg-type]
    await scheduler.pause("full", until="tomorrow")  # type: ignore[arg-type]


def declarations(scheduler: Scheduler) -> Callable[[Context], Awaitable[None]]:
    """Decorate and declare; what is decorated keeps its type."""

    @scheduler.executor
    async def plain(context: Context, number: int) -> int:
        return number + context.attempt

    @scheduler.executor(name="named", aliases=["old"], queue="mail")
    def threaded(text: str) -> str:
        return text.upper()

    @scheduler.job(every(1).hours, tags=["hourly"])
    async def hourly() -> str:
        return "done"

    @scheduler.job(every(2).hours, id="outer", kwargs={"to": "ann"})
    @scheduler.job(every(3).hours, kwargs={"to": "bob"}, note="the inner one")
    def stacked(to: str) -> str:
        return to

    async def called(context: Context) -> None:
        assert_type(stacked("carl"), str)
        assert_type(await plain(context, 1), int)
        assert_type(await hourly(), str)
        await plain(context, "1")  # type: ignore[arg-type]
        await hourly(1)  # type: ignore[call-arg]

    assert_type(threaded("a"), str)
    assert_type(scheduler.register(Send(), name="send"), str)
    assert_type(scheduler.declare(Job("send", ["a"], id="kept")), Job)
    scheduler.withdraw("gone")
    return called


async def defining(scheduler: Scheduler) -> None:
    """Schedule and change jobs."""
    first, *others = jobs()
    assert_type(await scheduler.schedule(first, on_conflict="replace"), Job)
    await scheduler.schedule(first, on_conflict=OnConflict.KEEP)
    assert_type(await scheduler.schedule_many(others, allow_unknown=True), list[Job])
    changed = await scheduler.modify(first, note="new", trigger=every(2).hours)
    assert_type(changed, Job)
    await scheduler.modify("full", if_version=changed.version, tags=["mail"])
    kept = scheduler.declared
    assert_type(kept, tuple[Job, ...])
    planned = await scheduler.plan(kept, withdrawn=["gone"], others=["other-*"])
    assert_type(planned, list[PlannedJob])
    assert_type(planned[0].fields, Mapping[str, tuple[Any, Any]])
    assert_type(planned[0].keeps_due, bool)
    assert_type(await scheduler.redeclare(kept, withdrawn=["gone"]), list[str])
    assert_type(changed.declared, int | None)


async def acting(scheduler: Scheduler) -> None:
    """Hold, start, fire and wait."""
    await scheduler.modify("full", queue=None)
    assert_type(await scheduler.pause("full", note="why", until=timedelta(1)), Job)
    assert_type(await scheduler.resume("full"), Job)
    firing = await scheduler.start_job("full")
    assert_type(firing, Firing)
    run = await scheduler.wait(firing, timeout=timedelta(minutes=1))
    assert_type(run, Run)
    assert_type(run.outcome, Outcome | None)
    assert_type(run.reason, Reason)
    assert_type(run.started_at, datetime | None)
    assert_type(run.ended_at, datetime)
    assert_type(run.firing, Firing)
    if run.error is not None:
        assert_type(run.error.message, str)
    fired = await scheduler.fire_job("mail", {"copies": 3}, ttl=60, fire_id="one")
    assert_type(fired, list[Firing])
    for each in fired:
        assert_type(await scheduler.result(each, timeout=5), Any)
    assert_type(await scheduler.stop_job("full"), Job)
    assert_type(run.lateness, timedelta | None)
    assert_type(await scheduler.stop_jobs(tag="mail", by="ann"), list[str])
    assert_type(await scheduler.pause_jobs(tag="none", until=60, note="why"), list[str])
    assert_type(await scheduler.resume_jobs(tag="none"), list[str])
    assert_type(await scheduler.start_jobs(tag="none", spacing=0.5), list[Firing])


async def looking(scheduler: Scheduler) -> None:
    """Ask about jobs, peers and the past."""
    await scheduler.get_jobs(state="paused")
    page = await scheduler.get_jobs(tag="mail", state=JobState.PAUSED, limit=10)
    assert_type(page, JobPage)
    assert_type(page.cursor, str | None)
    assert_type([job.id for job in page], list[str])
    assert_type(await scheduler.get_job("full"), Job)
    assert_type(await scheduler.job_exists("full"), bool)
    assert_type(await scheduler.state("full"), JobState)
    assert_type(await scheduler.running(), list[RunningRun])
    rows = await scheduler.history("full", since=NOON - timedelta(days=9999))
    assert_type(rows, HistoryPage)
    entries: list[LedgerEntry] = rows
    assert_type(entries[0].run, Run | None)
    assert_type(entries[0].by, str)
    failed = await scheduler.history("full", kind=["failed", "lost"], cursor=None)
    assert_type(failed.cursor, str | None)
    await scheduler.history(outcome=Outcome.FAILED, runs_only=True)
    peers = await scheduler.peers()
    assert_type(peers, list[Peer])
    assert_type(peers[0].queues, tuple[str, ...] | None)
    health = scheduler.health()
    assert_type(health, Health)
    assert_type(health.services, Mapping[str, str])


async def failing(scheduler: Scheduler) -> None:
    """Catch what can be caught, and read it."""
    try:
        await scheduler.get_job("nobody")
    except JobNotFoundError as error:
        assert_type(error.job_id, str)
        base: JobError = error
        assert_type(base.job_id, str)
    try:
        await scheduler.result(await scheduler.start_job("full"), timeout=5)
    except RunFailedError as error:
        failed: RunError = error
        raise AssertionError(failed.run) from error


async def ending(scheduler: Scheduler) -> None:
    """Take jobs out, and wait for quiet."""
    await scheduler.remove_job("full")
    assert_type(await scheduler.remove_jobs(tag="hourly"), list[str])
    await scheduler.drain(timeout=timedelta(minutes=5))


async def count(events: AsyncIterator[Event], names: set[str]) -> None:
    """Read events, as a task beside the program."""
    async for event in events:
        assert_type(event.job_id, str | None)
        assert_type(event.data, dict[str, Any])
        names.add(event.name)


async def main() -> set[str]:
    """Run the program and return the names of the events that it met."""
    store = FaultyStore(MemoryJobStore(), Fault("sweep", nth=10_000))
    names: set[str] = set()
    outcomes: list[Outcome | None] = []

    async def heard(event: Event) -> None:
        names.add(event.name)

    def done(run: Run) -> None:
        outcomes.append(run.outcome)

    scheduler = Scheduler(store, namespace="types", name="p1", lease=15)
    assert_type(scheduler.store, JobStore)
    assert_type(scheduler.id, str)
    assert_type(scheduler.queues, tuple[str, ...] | None)
    declarations(scheduler)
    assert_type(scheduler.on("*", heard), Callable[[], None])
    async with scheduler as same:
        assert_type(same, Scheduler)
        listener = asyncio.create_task(count(scheduler.events(), names))
        end = scheduler.add_done_callback(done)
        await defining(scheduler)
        await acting(scheduler)
        await looking(scheduler)
        await within(scheduler)
        await failing(scheduler)
        await ending(scheduler)
        end()
    await scheduler.shutdown(force=True, grace=None)
    await listener
    assert Outcome.SUCCEEDED in outcomes
    return names


async def within(scheduler: Scheduler) -> None:
    """Guard names, and take over what others have declared."""
    async with scheduler.guard("file:42", ttl=timedelta(seconds=9)) as held:
        assert_type(held, Guard)
        assert_type((held.held, held.lost, held.fence), tuple[bool, bool, int])
        try:
            async with scheduler.guard("file:42", linger=True):
                raise AssertionError
        except GuardHeldError as error:
            assert_type((error.name, error.holder), tuple[str, str])
    assert_type(await held.acquire(), bool)
    await held.release()

    def url() -> str:
        return "db"

    with scheduler.override(url, lambda: "memory"):
        assert_type(Depends(url), Depends)
    other = Scheduler()
    other.include(Scheduler())
    said = [job.progress for job in await scheduler.get_jobs()]
    assert_type(said, list[Progress | None])
    running = await scheduler.running()
    assert_type([run.progress for run in running], list[Progress | None])


def stores() -> tuple[JobStore, JobStore, JobStore]:
    """Build stores in each way; none of them does I/O."""
    redis = RedisJobStore("redis://localhost:6379/0", exchange_timeout=2.0, lanes=4)
    assert_type(open_store("memory://"), JobStore)
    return MemoryJobStore(), redis, open_store("redis://localhost")


def program() -> set[str]:
    """Run it in virtual time."""
    loop = VirtualLoop(NOON, seed=1)
    assert_type(loop.wall(), int)
    loop.close()
    names = run_virtual(main, start=NOON, timeout_virtual=3600)
    assert_type(names, set[str])
    return names
