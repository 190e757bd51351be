"""Work that must never run twice: a killed peer's run is recorded, and left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aiosched import Job, RunLostError
from aiosched.enums import Outcome, Reason
from tests.crash.kit import Fleet, Story
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

OPTIONS = {"lease": 1.5, "terms": {"beat": 0.5, "member_timeout": 1.5}}
JOBS = 20


async def test_what_a_killed_peer_ran_is_recorded_and_not_run_again(
    launch: Any, tmp_path: Path
) -> None:
    with Fleet(launch().url, tmp_path, options=OPTIONS) as fleet:
        killed, other = fleet.spawn(), fleet.spawn()
        await fleet.up()
        async with fleet.client() as client:
            jobs = [
                Job(
                    "tick",
                    id=f"j{n}",
                    kwargs={"secs": 6},
                    on_lost="record" if n % 2 else "rerun",
                    keep=600,
                )
                for n in range(JOBS)
            ]
            await client.schedule_many(jobs)
            await wait_until(
                lambda: len(list(fleet.lines("start"))) == JOBS, "all to be running"
            )
            killed.kill()
            died = {line.firing[0] for line in killed.lines("start")}
            assert died, "it ran nothing"
            runs = {job.id: await client.wait(job, timeout=40) for job in jobs}
            for job in jobs:
                if job.id in died and job.on_lost.value == "record":
                    with pytest.raises(RunLostError):
                        await client.result(job, timeout=1)
            story = await Story.read(client, fleet)
        assert other.alive, other.log()[-2000:]
    record = {job.id for job in jobs if job.on_lost.value == "record"}
    for job_id, run in runs.items():
        gone = job_id in died and job_id in record
        assert run.outcome is (Outcome.LOST if gone else Outcome.SUCCEEDED)
        assert run.reason is (Reason.LEASE_LOST if gone else Reason.NONE)
        starts = sum(len(s) for f, s in story.starts.items() if f[0] == job_id)
        again = job_id in died and job_id not in record
        assert starts == (2 if again else 1), job_id
    assert died & record, "nothing of what may not run twice was lost"
    assert story.conservation(1) == []
    assert story.second_starts({killed.id}) == []
