"""Stopping, starting, removing, ending: S3-16, 25, 48, 49, 50, 51, 53, 55, 58, 60."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import (
    IntervalTrigger,
    Job,
    JobNotFoundError,
    JobState,
    Outcome,
    Reason,
    RunCancelledError,
    SchedulerStateError,
)
from tests.engine.kit import World, adds_up, after, now
from tests.seeds.stage import Stage
from tests.waiting import wait_until

_SECOND = 1.0


# --- S3-16: an id or a job ---


@pytest.mark.seed("S3-16")
async def test_an_id_and_a_job_are_the_same_handle(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        by_id = await client.schedule(Job("hold", id="by-id", keyword="k"))
        by_job = await client.schedule(Job("hold", id="by-job", keyword="k"))
        await client.fire_job("k")
        await stage.begun(by_id)
        await stage.begun(by_job)
        stopped = [await client.stop_job("by-id"), await client.stop_job(by_job)]
        assert [job.state for job in stopped] == [JobState.PAUSED] * 2
        await wait_until(lambda: all(r.ended for r in stage.ran), "both to be stopped")
        await client.drain(timeout=5)
        found = [await client.get_job(by_id), await client.get_job("by-job")]
        assert found[0].counts == found[1].counts
        assert found[0].counts.cancelled == 1
        await client.remove_job(by_job)
        for handle in (by_job, found[1], "by-job"):
            with pytest.raises(JobNotFoundError) as caught:
                await client.stop_job(handle)
            assert caught.value.job_id == "by-job"


@pytest.mark.seed("S3-16")
async def test_a_handle_that_is_old_brings_nothing_old_back(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        old = await client.schedule(Job("note", id="a", keyword="k", note="old"))
        await client.modify("a", note="new")
        await client.pause(old)
        await client.resume(old)
        job = await client.get_job(old)
        assert (job.note, job.state) == ("new", JobState.ACTIVE)
        assert (old.note, old.version) == ("old", 1)


# --- S3-25: what runs ---


@pytest.mark.seed("S3-25")
async def test_every_peer_lists_what_runs_and_where(stage: Stage) -> None:
    async with stage:
        one, two = await stage.peer("one"), await stage.peer("two")
        assert await one.running() == []
        await one.schedule(Job("hold", id="long", keyword="k"))
        firing = await two.start_job("long")
        [ran] = await stage.begun("long")
        ids = {"one": one.id, "two": two.id}
        for peer in (one, two):
            [running] = await peer.running()
            assert (running.job_id, running.key) == ("long", firing.key)
            assert (running.peer, running.fence) == (ids[ran.peer], ran.fence)
            assert running.started_at < running.lease_until
            assert (await peer.get_job("long")).running == 1
        stage.gate.set()
        assert await one.result(firing, timeout=5) == "held"
        assert await one.running() == await two.running() == []


# --- S3-48, S3-49, S3-50: stopping ---


@pytest.mark.seed("S3-48", "S3-60")
async def test_stopping_one_those_with_a_tag_and_all(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        await stage.peer("second")
        tags = {"a": ["x"], "b": ["x", "y"], "c": ["y"], "d": []}
        for job_id, tag in tags.items():
            await client.schedule(Job("hold", id=job_id, tags=tag, keyword="k"))

        async def held() -> set[str]:
            jobs = await client.get_jobs(state="active")
            return {job.id for job in jobs}

        await client.stop_job("d")
        assert await held() == {"a", "b", "c"}
        assert await client.stop_jobs(tag="x") == ["a", "b"]
        assert await held() == {"c"}
        for job_id in tags:
            await client.resume(job_id)
        await client.fire_job("k")
        await wait_until(lambda: len(stage.ran) == 4, "four runs")
        assert await client.stop_jobs() == sorted(tags)
        await wait_until(lambda: all(ran.ended for ran in stage.ran), "four ends")
        assert await held() == set()
        assert {ran.reason for ran in stage.ran} == {Reason.USER}


@pytest.mark.seed("S3-49")
async def test_a_stop_reaches_the_peer_that_runs_the_job(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        job = await client.schedule(Job("hold", id="long", keyword="k"))
        [firing] = await client.fire_job("k")
        [ran] = await stage.begun(job)
        async with asyncio.timeout(_SECOND):
            await client.stop_job(job)
            with pytest.raises(RunCancelledError) as caught:
                await client.result(firing)
        assert caught.value.run.reason is Reason.USER
        assert ran.ended
        stopped = await client.get_job(job)
        assert (stopped.state, stopped.running) == (JobState.PAUSED, 0)
        await client.resume(job)
        [again] = await client.fire_job("k")
        await stage.begun(job, 2)
        stage.gate.set()
        assert await client.result(again, timeout=5) == "held"


@pytest.mark.seed("S3-50")
async def test_what_a_stopped_run_has_written_stays(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        job = await client.schedule(Job("hold", id="a", keyword="k"))
        stage.gate.set()
        [before] = await client.fire_job("k")
        assert await client.result(before, timeout=5) == "held"
        stage.gate.clear()
        [cut] = await client.fire_job("k", {"partial": {"rows": 500}})
        await stage.begun(job, 2)
        await client.stop_job(job)
        run = await client.wait(cut, timeout=5)
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.USER)
        assert run.result == {"rows": 500}
        rows = [entry.run for entry in await client.history(job) if entry.run]
        assert [row.outcome for row in rows] == [Outcome.CANCELLED, Outcome.SUCCEEDED]
        assert [row.key for row in rows] == [cut.key, before.key]
        assert rows[1].result == "held"
        await client.remove_job(job)
        assert [e.run for e in await client.history(job) if e.run] == rows


# --- S3-51: starting ---


@pytest.mark.seed("S3-51")
async def test_a_job_is_started_in_any_state_if_it_exists(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        with pytest.raises(JobNotFoundError) as caught:
            await client.start_job("missing")
        assert caught.value.job_id == "missing"
        tick = IntervalTrigger(hours=1, start=None)
        job = Job("note", kwargs={"value": 5}, id="a", trigger=tick, paused=True)
        await client.schedule(job)
        assert await client.result(await client.start_job("a"), timeout=5) == 5
        assert (await client.get_job("a")).state is JobState.PAUSED
        await client.remove_job("a")
        with pytest.raises(JobNotFoundError):
            await client.start_job("a")


# --- S3-53, S3-60: removing ---


@pytest.mark.seed("S3-53")
async def test_a_removal_stops_the_run_elsewhere_and_nothing_follows(
    stage: Stage,
) -> None:
    async with stage:
        client, _ = await stage.two()
        tick = IntervalTrigger(milliseconds=50)
        job = Job("hold", id="a", trigger=tick, overlap="queue")
        await client.schedule(job)
        [ran] = await stage.begun("a")
        await client.remove_job("a")
        await wait_until(lambda: ran.ended, "the run to be cancelled")
        assert ran.reason is Reason.REMOVED
        assert not await client.job_exists("a")

        async def gone() -> bool:
            return await client.running() == []

        await wait_until(gone, "nothing to run")
        done = await client.schedule(Job("note"))
        await client.wait(done, timeout=5)
        assert len(stage.of("a")) == 1
        assert await client.state("a") is JobState.REMOVED


@pytest.mark.seed("S3-53")
@pytest.mark.virtual(timeout=1_000_000)
async def test_of_a_thousand_removals_none_is_followed_by_a_run() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        tick = IntervalTrigger(seconds=1)
        removed: dict[str, float] = {}
        for number in range(1000):
            job_id = f"j{number}"
            peer, other = (p0, p1) if number % 2 else (p1, p0)
            kwargs = {"seconds": 0.2 + (number % 7) / 2}
            job = Job("work", kwargs=kwargs, id=job_id, trigger=tick, keyword="k")
            await peer.schedule(job)
            # At once, at the very instant of a slot, and in the middle of a run.
            await asyncio.sleep((0.0, 1.0, 1.25)[number % 3])
            removing = asyncio.ensure_future(other.remove_job(job_id))
            fired = asyncio.ensure_future(peer.fire_job("k"))
            await asyncio.gather(removing, fired)
            removed[job_id] = now()
        await asyncio.sleep(20)
        assert len({ran.job for ran in world.runs}) >= 333
        for ran in world.runs:
            assert ran.at <= removed[ran.job]
            assert ran.until is not None
            assert ran.until <= removed[ran.job] + 0.1
        assert await p0.get_jobs() == await p1.get_jobs() == []


@pytest.mark.seed("S3-53")
async def test_removals_that_race_with_starts_leave_nothing_running(
    stage: Stage,
) -> None:
    async with stage:
        one, two = await stage.peer("one"), await stage.peer("two")
        for number in range(25):
            job_id = f"j{number}"
            await one.schedule(Job("hold", id=job_id, keyword="k"))
            fired, _ = await asyncio.gather(
                one.start_job(job_id), two.remove_job(job_id), return_exceptions=True
            )
            started = not isinstance(fired, BaseException)
            assert started or isinstance(fired, JobNotFoundError)
            assert not await one.job_exists(job_id)

        async def quiet() -> bool:
            return not await one.running() and all(ran.ended for ran in stage.ran)

        await wait_until(quiet, "all runs to be cancelled")
        assert {ran.reason for ran in stage.ran} <= {Reason.REMOVED}


@pytest.mark.seed("S3-60")
async def test_removing_all_empties_one_namespace_on_every_peer(stage: Stage) -> None:
    async with stage:
        one, two = await stage.peer(), await stage.peer()
        stranger = await stage.peer(namespace=f"{stage.namespace}-other")
        jobs = [Job("hold", id=f"j{n}", keyword="k") for n in range(120)]
        for peer in (one, stranger):
            await peer.schedule_many(jobs)
        await one.start_job("j7")
        [ran] = await stage.begun("j7")
        assert len(await two.remove_jobs()) == 120
        await wait_until(lambda: ran.ended, "the run on the other peer to end")
        assert await one.get_jobs(limit=1000) == await two.get_jobs(limit=1000) == []
        assert len(await stranger.get_jobs(limit=1000)) == 120
        assert await two.remove_jobs() == []
        await stranger.start_job("j7")
        await stage.begun("j7", 2)


# --- S3-55: what became of a job ---


@pytest.mark.seed("S3-55")
async def test_done_removed_and_never_seen_are_told_apart(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        await client.wait(await client.schedule(Job("note", id="done")), timeout=5)
        await client.schedule(Job("note", id="removed", keyword="k"))
        await client.remove_job("removed")
        await client.schedule(Job("note", id="here", keyword="k"))
        await client.schedule(Job("note", id="held", keyword="k", paused=True))
        drawn = await client.schedule(Job("note"))
        await client.wait(drawn, timeout=5)
        found = {
            name: (await client.state(name), await client.job_exists(name))
            for name in ("done", "removed", "here", "held", "never", drawn.id)
        }
        assert found == {
            "done": (JobState.FINISHED, False),
            "removed": (JobState.REMOVED, False),
            "here": (JobState.ACTIVE, True),
            "held": (JobState.PAUSED, True),
            "never": (JobState.UNKNOWN, False),
            drawn.id: (JobState.FINISHED, False),
        }


# --- S3-58: ending ---


@pytest.mark.seed("S3-58")
@pytest.mark.virtual(timeout=100_000)
async def test_an_end_waits_for_runs_and_claims_nothing_more() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        client = await world.peer("client", run_jobs=False)
        job = Job("work", kwargs={"seconds": 4.0, "value": "whole"})
        await client.schedule(job)
        later = await client.schedule(Job("work", id="later", when=after(2)))
        await asyncio.sleep(1)
        await p0.shutdown(grace=10)
        assert now() == pytest.approx(4.0, abs=0.1)
        assert await client.result(job) == "whole"
        assert not world.of(later)
        with pytest.raises(SchedulerStateError):
            await p0.schedule(Job("work"))
        await world.peer("p1")
        await client.wait("later", timeout=5)
        assert [ran.peer for ran in world.of("later")] == ["p1"]


@pytest.mark.seed("S3-58")
@pytest.mark.virtual(timeout=100_000)
@pytest.mark.parametrize("options", [{"force": True}, {"grace": 0.5}])
async def test_what_an_end_cuts_short_is_run_by_another_peer(options: dict) -> None:  # type: ignore[type-arg]
    async with World() as world:
        p0 = await world.peer("p0")
        client = await world.peer("client", run_jobs=False)
        work = {"seconds": 4.0, "value": "whole"}
        await client.schedule(Job("work", kwargs=work, id="a", keyword="k"))
        firing = await client.start_job("a")
        await asyncio.sleep(1)
        await world.peer("p1")
        before = now()
        await p0.shutdown(**options)
        assert now() - before < 1
        assert await client.result(firing, timeout=60) == "whole"
        first, second = world.of("a")
        assert (first.peer, first.reason) == ("p0", Reason.SHUTDOWN)
        assert (second.peer, second.attempt) == ("p1", 1)
        assert second.at - before < 1
        adds_up(await client.get_job("a"))


@pytest.mark.seed("S3-58")
async def test_a_forced_end_hands_its_run_to_another_peer(stage: Stage) -> None:
    async with stage:
        client, worker = await stage.two()
        await client.schedule(Job("hold", id="a", keyword="k"))
        [firing] = await client.fire_job("k")
        await stage.begun("a")
        await stage.peer("second")
        async with asyncio.timeout(_SECOND):
            await worker.shutdown(force=True)
        first, second = await stage.begun("a", 2)
        assert (first.peer, second.peer) == ("worker", "second")
        assert second.attempt == first.attempt == 1
        stage.gate.set()
        assert await client.result(firing, timeout=5) == "held"
