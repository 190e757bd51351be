"""Cron, by expression and by keyword: S2-24, S2-A04."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aiosched import Context, CronTrigger, Job, Scheduler, TriggerError
from aiosched.cli.app import main
from tests.unit.triggers.cron_walk import TIMES, Row, read_rows

_START = datetime(2030, 1, 1, tzinfo=UTC)


def _times(row: Row) -> list[str]:
    options: dict[str, Any] = dict(row.options)
    job = options.pop("job", None)
    options["day_or"] = options.get("day_or") != "no"
    trigger = CronTrigger(row.expression, tz=row.zone, **options)
    if job is not None:
        trigger = trigger.for_job(job)
    after = datetime.fromisoformat(row.after)
    found = trigger.upcoming(TIMES, after)
    return [one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in found]


@pytest.mark.seed("S2-24", "S2-A04")
def test_a_reference_list_of_more_than_two_hundred_expressions() -> None:
    """The list stands in tests/unit/triggers, with the walk that has made it."""
    rows = read_rows()
    assert len({row.expression for row in rows}) > 200
    assert [row.line() for row in rows if _times(row) != list(row.times)] == []


@pytest.mark.seed("S2-24")
@pytest.mark.virtual(timeout=1_000_000)
async def test_a_job_runs_at_a_time_of_day() -> None:
    """Keywords are ``CronTrigger.of(...)`` here: the class takes an expression."""
    ran: list[datetime] = []
    async with Scheduler() as scheduler:

        @scheduler.executor
        async def report(context: Context) -> None:
            ran.append(context.fire_time)

        trigger = CronTrigger.of(hour="5,17,21", minute=30, tz="Europe/Helsinki")
        assert trigger == CronTrigger("30 5,17,21 * * *", tz="Europe/Helsinki")
        job = await scheduler.schedule(Job(report, trigger=trigger, max_runs=4))
        assert job.created_at is not None
        await asyncio.sleep(2 * 86_400)
    assert ran == trigger.upcoming(4, job.created_at)
    zone = ZoneInfo("Europe/Helsinki")
    shown = {f"{time.astimezone(zone):%H:%M}" for time in ran}
    assert shown == {"05:30", "17:30", "21:30"}


@pytest.mark.seed("S2-A04")
def test_the_last_friday_on_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["next", "0 9 last fri * *", "--n", "5", "--tz", "Europe/Helsinki"]
    assert main([*words, "--after", "2026-01-15T00:00:00+00:00", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    row = next(
        row
        for row in read_rows()
        if (row.expression, row.zone) == ("0 9 last fri * *", "Europe/Helsinki")
    )
    starts = [
        datetime.fromisoformat(one["due"]).strftime("%Y-%m-%dT%H:%M:%SZ")
        for one in said
    ]
    assert starts == list(row.times)


@pytest.mark.seed("S2-A04")
@pytest.mark.parametrize(
    ("fields", "expression"),
    [
        (
            {"month": "6-8,11-12", "day": "3rd fri", "hour": "0-3"},
            "0 0-3 3rd fri 6-8,11-12 *",
        ),
        ({"day_of_week": "mon-fri", "hour": 5, "minute": 30}, "30 5 * * mon-fri"),
        ({"day": 1, "minute": 20}, "20 * 1 * *"),
        ({"hour": "*"}, "0 * * * *"),
        ({"day": "last"}, "0 0 last * *"),
        ({"day": "last sun"}, "0 0 last sun * *"),
        ({"minute": "*/15"}, "*/15 * * * *"),
        ({"minute": "10-30/5"}, "10-30/5 * * * *"),
    ],
)
def test_fields_by_keyword_and_those_left_out(
    fields: dict[str, Any], expression: str
) -> None:
    """``CronTrigger.of``; a year is said by start and end."""
    assert CronTrigger.of(**fields) == CronTrigger(expression)
    with pytest.raises(TriggerError, match="start= and end="):
        CronTrigger.of(year=2030, **fields)


@pytest.mark.seed("S2-A04")
def test_seconds_start_and_end() -> None:
    trigger = CronTrigger.of(
        second="*/15", minute=0, hour=9, start=_START, end="2030-01-02T09:00:15Z"
    )
    found = trigger.upcoming(10, _START)
    assert [one.strftime("%d %H:%M:%S") for one in found] == [
        *(f"01 09:00:{second:02}" for second in (0, 15, 30, 45)),
        "02 09:00:00",
        "02 09:00:15",
    ]


@pytest.mark.seed("S2-A04")
@pytest.mark.virtual(timeout=1_000_000)
async def test_jitter_is_the_jobs() -> None:
    """APScheduler's trigger has the jitter; here the job has it, for any trigger."""
    behind: list[float] = []
    slots: list[datetime] = []
    async with Scheduler() as scheduler:

        @scheduler.executor
        async def report(context: Context) -> None:
            slots.append(context.fire_time)
            behind.append((context.due - context.fire_time).total_seconds())

        trigger = CronTrigger("0 * * * *")
        job = Job(report, id="a", trigger=trigger, jitter=60, max_runs=20)
        stored = await scheduler.schedule(job)
        assert stored.created_at is not None
        await asyncio.sleep(86_400)
    # What is scheduled on the hour runs in it as well.
    before = stored.created_at - timedelta(microseconds=1)
    assert slots == trigger.upcoming(20, before)
    assert all(0 <= seconds <= 60 for seconds in behind)
    assert len({round(seconds) for seconds in behind}) > 5


@pytest.mark.seed("S2-A04")
async def test_h_spreads_jobs_and_stays() -> None:
    """Beyond APScheduler: an H that each job's id settles."""
    async with Scheduler() as scheduler:

        @scheduler.executor
        async def report() -> None: ...

        nightly = CronTrigger("H H(0-5) * * *")
        minutes = set()
        for number in range(40):
            job = await scheduler.schedule(Job(report, id=f"{number}", trigger=nightly))
            assert job.trigger == nightly.for_job(f"{number}")
            assert job.next_fire_time is not None
            assert job.next_fire_time.hour < 6
            minutes.add((job.next_fire_time.hour, job.next_fire_time.minute))
        assert len(minutes) > 30
