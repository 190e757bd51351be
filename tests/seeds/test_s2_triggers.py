"""Triggers that are combined: S2-25."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import (
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Job,
    RowKind,
    Trigger,
    every,
)
from tests.engine.kit import World, adds_up, at

_NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)
_SPAN = timedelta(days=40)


def _fires(trigger: Trigger) -> list[datetime]:
    """List the fire times of forty days, as people are told them."""
    found: list[datetime] = []
    after = _NEW_YEAR - timedelta(microseconds=1)
    while True:
        following = trigger.next_fire_time(after)
        if following is None or following > _NEW_YEAR + _SPAN:
            assert trigger.upcoming(len(found), _NEW_YEAR - timedelta(seconds=1)) == (
                found
            )
            return found
        found.append(following)
        after = following


_PAIRS: dict[str, tuple[Trigger, Trigger]] = {
    "two crons": (CronTrigger("0 */6 * * *"), CronTrigger("0 12 * * mon-fri")),
    "two zones": (
        CronTrigger("0 9 * * *", tz="Europe/Paris"),
        CronTrigger("0 8 * * tue", tz="UTC"),
    ),
    "intervals": (
        IntervalTrigger(hours=4, start=_NEW_YEAR),
        IntervalTrigger(hours=6, start=_NEW_YEAR),
    ),
    "cron and interval": (
        CronTrigger("0,30 9 * * *"),
        IntervalTrigger(minutes=90, start=_NEW_YEAR),
    ),
    "calendar and date": (
        CalendarIntervalTrigger(days=3, at="10:00", start="2030-01-01"),
        DateTrigger("2030-01-07T10:00+00:00"),
    ),
    "a phrase": (every().day.at("12:00"), every().wednesday.at("12:00")),
    "combined already": (
        CronTrigger("0 6 * * *") | CronTrigger("0 18 * * *"),
        CronTrigger("0 */3 * * *") - CronTrigger("0 6 * * sun"),
    ),
}


@pytest.mark.seed("S2-25")
@pytest.mark.parametrize(("one", "two"), _PAIRS.values(), ids=list(_PAIRS))
def test_combined_triggers_are_the_algebra_of_their_lists(
    one: Trigger, two: Trigger
) -> None:
    a, b = set(_fires(one)), set(_fires(two))
    assert a & b
    assert a - b
    assert _fires(one & two) == sorted(a & b)
    assert _fires(one | two) == sorted(a | b)
    assert _fires(one - two) == sorted(a - b)
    assert _fires(one.excluding(two)) == sorted(a - b)
    assert _fires((one | two) - (one & two)) == sorted(a ^ b)


@pytest.mark.seed("S2-25")
@pytest.mark.virtual
async def test_a_job_runs_as_the_algebra_says() -> None:
    start = at(0)
    one = IntervalTrigger(seconds=2, start=start)
    two = IntervalTrigger(seconds=3, start=start)
    triggers = {"and": one & two, "or": one | two, "less": one - two}
    lists = {
        "and": [n for n in range(31) if n % 6 == 0],
        "or": [n for n in range(31) if n % 2 == 0 or n % 3 == 0],
        "less": [n for n in range(31) if n % 2 == 0 and n % 3],
    }
    async with World() as world:
        peer = await world.peer()
        for name, trigger in triggers.items():
            await peer.schedule(Job("work", id=name, trigger=trigger))
        await asyncio.sleep(30.5)
        for name, times in lists.items():
            ran = [run.fire_time for run in world.runs if run.job == name]
            assert ran == times
            adds_up(await peer.get_job(name))
        rows = await peer.history("less")
        excluded = [row for row in rows if row.kind is RowKind.EXCLUDED]
        assert sum(row.count for row in excluded) == len(lists["and"])
        assert (await peer.get_job("less")).counts.excluded == len(lists["and"])
