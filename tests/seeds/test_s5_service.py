"""The periodic jobs of a service on rq-scheduler: S5-16."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest

from aiosched import IntervalTrigger, InvalidInputError, JobState, Scheduler
from aiosched.integrations.rq_service import schedule_periodic

pytestmark = pytest.mark.virtual(timeout=10_000)

ID = UUID("cc1dface-9213-4eed-8cb2-0edba6b2159c")


@pytest.mark.seed("S5-16")
async def test_a_positive_interval_runs_a_function() -> None:
    seen: list[tuple[Any, ...]] = []

    def work(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs))

    async with Scheduler(name="p0") as scheduler:
        job = await schedule_periodic(scheduler, ID, 10, work, ["a"], {"b": 1})
        assert job is not None
        assert job.id == str(ID)
        await asyncio.sleep(25)
        # The service starts again, and nothing is put off; then with another interval.
        again = await schedule_periodic(scheduler, ID, 10, work, ["a"], {"b": 1})
        assert again is not None
        assert again.version == job.version
        await asyncio.sleep(6)
        assert seen == [(("a",), {"b": 1})] * 3
        changed = await schedule_periodic(scheduler, ID, 100, work)
        assert changed is not None
        await asyncio.sleep(101)
        assert seen[3:] == [((), {})]


@pytest.mark.seed("S5-16")
@pytest.mark.parametrize("interval", [-1, -0.5, None])
async def test_a_negative_interval_means_off(
    interval: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="aiosched")
    seen: list[int] = []

    async def work() -> None:
        seen.append(1)

    async with Scheduler(name="p0") as scheduler:
        for exists in (False, True):
            if exists:
                await schedule_periodic(scheduler, ID, 10, work)
                await asyncio.sleep(10.5)
                assert seen == [1]
            caplog.clear()
            assert await schedule_periodic(scheduler, ID, interval, work) is None
            said = [record.getMessage() for record in caplog.records]
            assert said == [f"job '{ID}' is off: its interval is {interval}"]
            assert not await scheduler.job_exists(str(ID))
        await asyncio.sleep(100)
        assert seen == [1]


@pytest.mark.seed("S5-16")
@pytest.mark.parametrize("interval", [0, 0.0, float("nan"), float("inf"), "10", True])
async def test_no_interval_is_refused(interval: Any) -> None:
    async with Scheduler(name="p0", run_jobs=False) as scheduler:
        with pytest.raises(InvalidInputError) as caught:
            await schedule_periodic(scheduler, ID, interval, print)
        assert caught.value.field == "interval"
        assert await scheduler.state(str(ID)) is JobState.UNKNOWN


@pytest.mark.seed("S5-16")
@pytest.mark.parametrize("seconds", [0, -1])
async def test_the_core_knows_no_off(seconds: int) -> None:
    with pytest.raises(InvalidInputError):
        IntervalTrigger(seconds=seconds)
