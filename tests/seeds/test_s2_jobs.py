"""Removing, holding, listing and changing jobs: S2-A07 to A10."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from aiosched import (
    CronTrigger,
    IntervalTrigger,
    Job,
    JobChangedError,
    JobError,
    JobNotFoundError,
    JobState,
    Scheduler,
)
from tests.cli.commands import aiosched
from tests.engine.kit import World, after, at, now
from tests.seeds.stage import Stage
from tests.waiting import wait_until

SOON = IntervalTrigger(milliseconds=100)
LATER = IntervalTrigger(hours=1)


# --- S2-A07: removing; gone at the end ---


@pytest.mark.seed("S2-A07")
async def test_a_finished_job_is_gone_and_its_result_is_not(stage: Stage) -> None:
    async with stage:
        client, worker = await stage.two()
        job = await client.schedule(Job("note", id="once", kwargs={"value": 7}))
        assert await client.result(job, timeout=5) == 7
        for peer in (client, worker):
            assert not await peer.job_exists("once")
            assert await peer.state("once") is JobState.FINISHED
            assert await peer.result("once", timeout=5) == 7
            assert await peer.get_jobs() == []


@pytest.mark.seed("S2-A07")
async def test_removing_by_id_by_handle_and_altogether(stage: Stage) -> None:
    """``remove_all_jobs`` of the original is ``remove_jobs()``."""
    async with stage:
        client, worker = await stage.two()
        jobs = [Job("note", id=f"j{n}", trigger=LATER) for n in range(5)]
        first, second, *rest = await client.schedule_many(jobs)
        await worker.remove_job(first.id)
        await client.remove_job(second)
        for job in (first, second):
            assert await client.state(job) is JobState.REMOVED
            with pytest.raises(JobNotFoundError):
                await worker.remove_job(job)
        assert await worker.remove_jobs() == [job.id for job in rest]
        assert await client.get_jobs() == []
        [newest] = await client.history("j0", limit=1)
        assert (newest.kind.value, newest.by) == ("removed", "worker")


# --- S2-A08: three levels of holding ---


@pytest.mark.seed("S2-A08")
async def test_a_pause_is_seen_and_obeyed_on_other_nodes(stage: Stage) -> None:
    """The original's ``paused_note`` is ``job.pause_note`` here."""
    async with stage:
        one, two = await stage.peer("one"), await stage.peer("two")
        await one.schedule(Job("note", id="a", trigger=SOON, tags=["t"]))
        await one.schedule(Job("note", id="b", trigger=SOON))
        await stage.begun("a")
        await one.pause("a", note="month end", by="ann", until=timedelta(hours=1))
        await two.drain(timeout=5)
        held = len(stage.of("a"))
        job = await two.get_job("a")
        assert (job.state, job.pause_note) == (JobState.PAUSED, "month end")
        assert (job.next_fire_time, job.pause_until is not None) == (None, True)
        await stage.begun("b", len(stage.of("b")) + 5)
        assert len(stage.of("a")) == held
        assert await two.resume_jobs(tag="t") == ["a"]
        await stage.begun("a", held + 1)
        # And everything, on every node at once.
        assert await two.pause_jobs(note="release") == ["a", "b"]
        await one.drain(timeout=5)
        seen = len(stage.ran)
        fired = await one.start_job("b")
        assert (await one.wait(fired, timeout=5)).key == fired.key
        assert len(stage.ran) == seen + 1
        acts = [
            (e.kind.value, e.by, e.note) for e in await one.history("a", kind="held")
        ]
        assert acts == [("held", "two", "release"), ("held", "ann", "month end")]


@pytest.mark.seed("S2-A08")
async def test_a_job_may_be_paused_from_the_start(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        await client.schedule(Job("note", id="a", trigger=SOON, paused=True))
        await client.schedule(Job("note", id="b", trigger=SOON))
        await stage.begun("b", 5)
        assert stage.of("a") == []
        await client.resume("a")
        await stage.begun("a")


@pytest.mark.seed("S2-A08")
async def test_a_node_may_start_held_and_be_held_again(stage: Stage) -> None:
    """``start(paused=True)`` and ``scheduler.pause()``, which is ``hold`` here."""
    async with stage:
        node = stage.build("one")
        await node.start(paused=True)
        await node.schedule(Job("note", id="a", trigger=SOON))
        fired = await node.start_job("a")
        await asyncio.sleep(0.3)
        assert node.health().held
        assert stage.ran == []
        await node.release()
        assert (await node.wait(fired, timeout=5)).key == fired.key
        await stage.begun("a", 3)
        await node.hold()
        await node.drain(timeout=5)
        seen = len(stage.ran)
        # It is the node that is held, not the job: another one takes the slots.
        assert (await node.get_job("a")).state is JobState.ACTIVE
        await stage.peer("two")
        await stage.begun("a", seen + 2)
        assert {ran.peer for ran in stage.ran[seen:]} == {"two"}


@pytest.mark.seed("S2-A08")
@pytest.mark.virtual(timeout=10_000)
async def test_a_pause_ends_by_itself() -> None:
    async with World() as world:
        p0, _ = await world.peer("p0"), await world.peer("p1")
        trigger = IntervalTrigger(seconds=10, start=at(10))
        await p0.schedule(Job("work", id="a", trigger=trigger))
        await asyncio.sleep(15)
        await p0.pause_jobs(until=after(30))
        await asyncio.sleep(100 - now())
        assert [t for t in world.begun("a") if t < 65] == [10, 50, 60]
        rows = await p0.history("a")
        [resumed] = [e for e in rows if e.kind.value == "resumed"]
        assert (resumed.at, resumed.by) == (at(45), "")
        [paused] = [e for e in rows if e.kind.value == "paused"]
        assert (paused.first, paused.last, paused.count) == (at(20), at(40), 3)


# --- S2-A09: listing ---


@pytest.mark.seed("S2-A09")
async def test_the_table_of_the_command_line_is_the_list_of_the_api(
    redis_url: str,
) -> None:
    """``aiosched ls`` of the row is ``aiosched jobs``."""
    stage = Stage(redis_url)
    async with stage:
        client, worker = await stage.two()
        jobs = [
            Job("note", id="a", trigger=LATER, tags=["t", "u"], queue="mail"),
            Job("note", id="b", keyword="k", kwargs={"value": "é"}),
            Job("fail", id="c", trigger=CronTrigger("0 9 * * mon", tz="Europe/Rome")),
            Job("note", id="d", trigger=LATER, tags=["t"], paused=True),
        ]
        await client.schedule_many(jobs)
        await client.wait((await client.fire_job("k"))[0], timeout=5)
        await client.schedule(Job("note", id="done"))
        await client.wait("done", timeout=5)
        place = ("--store", redis_url, "--namespace", stage.namespace)

        async def listed(*words: str) -> list[list[str]]:
            done = await asyncio.to_thread(aiosched, "jobs", *place, *words)
            assert (done.returncode, done.stderr) == (0, "")
            head, *lines = done.stdout.splitlines()
            assert head.split()[:4] == ["ID", "STATE", "UNCLAIMABLE", "NEXT"]
            return [re.split(r"  +", line) for line in lines]

        for words, filters in _FILTERS:
            stored = {job.id: job for job in await client.get_jobs(**filters)}
            table = await listed(*words)
            assert [row[0] for row in table] == sorted(stored), words
            for row in table:
                assert row == _row(stored[row[0]])
            done = await asyncio.to_thread(aiosched, "jobs", *place, *words, "--json")
            data = json.loads(done.stdout)
            assert {d["id"]: d for d in data} == {
                job_id: job.to_dict(snapshot=True) for job_id, job in stored.items()
            }
        assert len(await listed()) == 4
        wrong = await asyncio.to_thread(aiosched, "jobs", *place, "--state", "lost")
        assert (wrong.returncode, "use one of active" in wrong.stderr) == (2, True)
        await worker.shutdown()


_FILTERS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    ((), {}),
    (("--tag", "t"), {"tag": "t"}),
    (("--state", "paused"), {"state": "paused"}),
    (("--state", "finished"), {"state": "finished"}),
    (("--executor", "fail"), {"executor": "fail"}),
    (("--queue", "mail", "--tag", "u"), {"queue": "mail", "tag": "u"}),
    (("--keyword", "k"), {"keyword": "k"}),
    (("--tag", "nobody"), {"tag": "nobody"}),
)


def _row(job: Job) -> list[str]:
    """Say what a line of the table is to hold, in this test's own words."""

    def time(value: Any) -> str:
        return value.isoformat(timespec="seconds") if value else "-"

    when = job.trigger.describe() if job.trigger else f"keyword {job.keyword}"
    if job.keyword is None and job.trigger is None:
        when = "-"
    return [
        job.id,
        str(job.state),
        str(job.unclaimable or "-"),
        time(job.next_fire_time),
        time(job.last_fire_time),
        str(job.last_outcome or "-"),
        str(job.running),
        job.executor,
        str(job.queue),
        ",".join(job.tags) or "-",
        when,
    ]


@pytest.mark.seed("S2-A09")
async def test_listings_page_through_everything(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        ids = {f"j{n}" for n in range(230)}
        await client.schedule_many([Job("note", id=i, trigger=LATER) for i in ids])
        found: set[str] = set()
        cursor: str | None = None
        while True:
            page = await client.get_jobs(limit=50, cursor=cursor)
            found |= {job.id for job in page}
            cursor = page.cursor
            if cursor is None:
                break
        assert found == ids


# --- S2-A10: changing ---


@pytest.mark.seed("S2-A10")
async def test_of_two_writers_with_one_version_one_loses(stage: Stage) -> None:
    """The row's ``ConflictError`` is ``JobChangedError``."""
    async with stage:
        one, two = await stage.peer("one"), await stage.peer("two")
        job = await one.schedule(Job("note", id="a", trigger=LATER))

        async def write(peer: Scheduler) -> Job | JobChangedError:
            try:
                return await peer.modify("a", if_version=job.version, note=peer.name)
            except JobChangedError as error:
                return error

        answers = await asyncio.gather(write(one), write(two))
        [changed] = [answer for answer in answers if isinstance(answer, Job)]
        [error] = [answer for answer in answers if isinstance(answer, JobError)]
        assert (error.job_id, changed.version) == ("a", 2)
        stored = await two.get_job("a")
        assert (stored.note, stored.version) == (changed.note, 2)
        [row] = await one.history("a", kind="modified")
        assert (row.by, row.fields) == (changed.note, ("note",))


@pytest.mark.seed("S2-A10")
async def test_attributes_and_trigger_change_and_the_id_does_not(stage: Stage) -> None:
    """``reschedule_job`` of the original is ``modify(job, trigger=...)``."""
    async with stage:
        client, worker = await stage.two()
        job = await client.schedule(Job("note", id="a", trigger=LATER))
        same = await worker.modify("a", kwargs={"value": 1}, tags=["t"])
        assert same.next_fire_time == job.next_fire_time
        moved = await worker.modify(job, trigger=SOON)
        assert moved.next_fire_time is not None
        assert job.next_fire_time is not None
        assert moved.next_fire_time < job.next_fire_time
        await wait_until(lambda: bool(stage.of("a")), "the new trigger to fire")
        with pytest.raises(ValueError, match="keeps its id for life"):
            await client.modify("a", id="b")
        for field in ("executor", "queue", "max_runs", "overlap"):
            value: Any = {"executor": "fail", "max_runs": 10**6}.get(field, "allow")
            changed = await client.modify("a", **{field: value})
            assert getattr(changed, field) == value
