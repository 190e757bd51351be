"""Peers on hosts of different zones: the host's zone plays no part."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aiosched import (
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Job,
    Scheduler,
    Trigger,
    every,
)
from tests.unit.triggers.host_zone_peer import NUMBER

HOSTS = {"UTC": 0, "Asia/Tokyo": 9, "America/New_York": -4}
SLOTS = 5


def triggers() -> dict[str, Trigger]:
    """Write triggers of each kind, with and without a zone."""
    return {
        "no zone": CronTrigger("30 2 * * *"),
        "berlin": CronTrigger("30 2 * * *", tz="Europe/Berlin"),
        "new york": CronTrigger("30 1 * * mon-fri", tz="America/New_York"),
        "tokyo": CronTrigger("0 0 L * *", tz="Asia/Tokyo"),
        "every hour": CronTrigger("*/20 * * * *", tz="America/New_York"),
        "calendar": CalendarIntervalTrigger(
            days=3, at="02:30", tz="Europe/Berlin", start=date(2026, 1, 1)
        ),
        "interval": IntervalTrigger(hours=7, start=datetime(2026, 1, 1, tzinfo=UTC)),
        "phrase": every().day.at("10:30", tz="America/New_York"),
        "phrase, no zone": every().wednesday.at("13:15"),
        "date": DateTrigger("2100-03-28T02:15", tz="Asia/Tokyo"),
    }


@asynccontextmanager
async def peer(host: str, url: str) -> AsyncIterator[Process]:
    """Run a peer with that host zone; end it by ending its input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.triggers.host_zone_peer", url),
        env={**os.environ, "TZ": host},
        cwd=Path(__file__).parents[3],
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    try:
        yield process
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told(process: Process) -> str:
    """Read one line of a peer."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    assert line, "the peer ended"
    return line.decode()


async def reports(url: str) -> dict[str, Any]:
    """Let a peer of each host zone take part, and answer what each computes."""
    async with AsyncExitStack() as stack:
        peers = {
            host: await stack.enter_async_context(peer(host, url)) for host in HOSTS
        }
        for process in peers.values():
            assert await told(process) == "ready\n"
        # All jobs are there; those of a second's grid begin now.
        async with Scheduler(url, namespace="hosts", run_jobs=False) as client:
            begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
            end = begin + timedelta(seconds=SLOTS - 1)
            quick = {
                "cron": CronTrigger(
                    *("* * * * * *",),
                    seconds="first",
                    tz="Asia/Kolkata",
                    start=begin,
                    end=end,
                ),
                "interval": IntervalTrigger(seconds=1, start=begin, end=end),
            }
            for name, trigger in quick.items():
                await client.schedule(
                    Job("run", trigger=trigger, id=f"quick {name}", keep=60)
                )
            for process in peers.values():
                assert process.stdin is not None
                process.stdin.write(b"\n")
            found = {host: json.loads(await told(one)) for host, one in peers.items()}
            slots = [begin + timedelta(seconds=number) for number in range(SLOTS)]
            for name in quick:
                await ran(client, f"quick {name}", slots)
        return found


async def ran(client: Scheduler, job: str, slots: list[datetime]) -> None:
    """Wait for a job to be finished, and check that each slot ran once."""
    while await client.job_exists(job):
        await client.wait(job, timeout=20)
    page = await client.history(job, outcome="succeeded")
    results = sorted(str(row.run.result) for row in page if row.run is not None)
    assert results == [slot.isoformat() for slot in slots]


@pytest.mark.timeout(120)
async def test_the_zone_of_the_host_plays_no_part(redis_url: str) -> None:
    async with Scheduler(redis_url, namespace="hosts", run_jobs=False) as client:
        for name, trigger in triggers().items():
            await client.schedule(
                Job("run", trigger=trigger, id=name), allow_unknown=True
            )
    found = await reports(redis_url)
    # They really were in three zones, else this would show nothing.
    for host, hours in HOSTS.items():
        wall = datetime.fromisoformat(found[host]["wall"])
        assert wall.utcoffset() == timedelta(hours=hours)
    first = found["UTC"]["jobs"]
    assert found["Asia/Tokyo"]["jobs"] == found["America/New_York"]["jobs"] == first
    for name in triggers():
        assert first[name]["upcoming"] == first[name]["preview"], name
        assert len(first[name]["upcoming"]) == (1 if name == "date" else NUMBER)
    # Without a zone it is UTC, wherever it was scheduled and by whom.
    for host in HOSTS:
        for time in first[f"of {host}"]["upcoming"]:
            assert time.endswith("T12:00:00+00:00")
    assert {one[11:] for one in first["no zone"]["upcoming"]} == {"02:30:00+00:00"}
    assert {one[11:] for one in first["phrase, no zone"]["upcoming"]} == {
        "13:15:00+00:00"
    }
    shown = [
        datetime.fromisoformat(one).astimezone(ZoneInfo("Europe/Berlin"))
        for one in first["berlin"]["upcoming"]
    ]
    # The last of March is among them, when 02:30 is made up for at 03:00.
    assert {(one.hour, one.minute) for one in shown} == {(2, 30), (3, 0)}
