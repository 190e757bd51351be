"""The verbs on jobs: called on one peer, they take effect on all."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest

from aiosched import (
    ConfigurationError,
    DateTrigger,
    IntervalTrigger,
    Job,
    JobChangedError,
    JobExistsError,
    JobNotFoundError,
    JobState,
    Outcome,
    Reason,
    SchedulerStateError,
)
from tests.engine.kit import World, adds_up, after, at, now

pytestmark = pytest.mark.virtual(timeout=100_000)

EVERY_SECOND = IntervalTrigger(seconds=1)


async def test_a_job_without_trigger_runs_once_now() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", kwargs={"value": 7}))
        assert (job.version, job.state) == (1, JobState.ACTIVE)
        assert await p0.result(job) == 7
        assert world.begun(job) == [0.0]


async def test_a_date_is_kept_to_the_instant() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", trigger=DateTrigger(at(90.5)), id="later"))
        assert job.next_fire_time == at(90.5)
        run = await p0.wait(job)
        assert world.begun(job) == [90.5]
        assert run.outcome is Outcome.SUCCEEDED


async def test_a_job_scheduled_on_a_client_runs_on_a_peer() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        job = await client.schedule(Job("work", kwargs={"value": "here"}))
        assert await client.result(job) == "here"
        assert [ran.peer for ran in world.of(job)] == ["p1"]


async def test_many_jobs_are_stored_in_the_order_given() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        jobs = [Job("work", id=f"j{n}", when=after(5)) for n in range(250)]
        stored = await p0.schedule_many(jobs)
        assert [job.id for job in stored] == [job.id for job in jobs]
        await asyncio.sleep(10)
        assert len(world.runs) == len({ran.job for ran in world.runs}) == 250
        assert {ran.at for ran in world.runs} == {5.0}
        assert not await p1.get_jobs()


async def test_many_jobs_are_refused_as_one() -> None:
    async with World() as world:
        p0 = await world.peer()
        twice = [Job("work", id="a", when=after(5)), Job("work", id="a", when=after(5))]
        with pytest.raises(ConfigurationError, match="twice"):
            await p0.schedule_many(twice)
        wrong = [Job("work", id="b", when=after(5)), Job("work", kwargs={"nope": 1})]
        with pytest.raises(Exception, match="nope"):
            await p0.schedule_many(wrong)
        assert not await p0.get_jobs()


async def test_the_same_definition_again_keeps_the_due_slot() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        first = await p0.schedule(
            Job("work", id="tick", trigger=IntervalTrigger(seconds=10))
        )
        await asyncio.sleep(4)
        again = await p1.schedule(
            Job("work", id="tick", trigger=IntervalTrigger(seconds=10))
        )
        assert again.version == 1
        assert again.next_fire_time == first.next_fire_time or again.running
        await asyncio.sleep(20)
        grid = world.begun("tick")
        assert all(later - one == 10 for one, later in itertools.pairwise(grid))


async def test_another_definition_obeys_on_conflict() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a", when=after(50), note="old"))
        new = Job("work", id="a", when=after(50), note="new")
        with pytest.raises(JobExistsError) as caught:
            await p1.schedule(new)
        assert "note" in caught.value.differing
        kept = await p1.schedule(new, on_conflict="keep")
        assert (kept.note, kept.version) == ("old", 1)
        replaced = await p1.schedule(new, on_conflict="replace")
        assert (replaced.note, replaced.version) == ("new", 2)
        with pytest.raises(ConfigurationError, match="on_conflict"):
            await p1.schedule(new, on_conflict="maybe")


async def test_modify_changes_fields_and_keeps_the_slot() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        job = await p0.schedule(Job("work", id="a", trigger=DateTrigger(at(30))))
        changed = await p1.modify("a", kwargs={"value": 2}, note="two")
        assert (changed.version, changed.note) == (2, "two")
        assert changed.next_fire_time == job.next_fire_time
        assert await p0.result("a") == 2
        assert world.begun("a") == [30.0]


async def test_modify_moves_a_job_to_another_trigger_everywhere() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a", trigger=DateTrigger(at(3000))))
        await asyncio.sleep(1)
        await p1.modify("a", trigger=DateTrigger(at(2)))
        await p0.wait("a")
        assert world.begun("a") == [2.0]


async def test_modify_with_a_job_takes_its_whole_definition() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", when=after(50), note="old", tags=("x",)))
        changed = await p0.modify(Job("work", id="a", when=after(60), note="new"))
        assert (changed.note, changed.tags) == ("new", ())


async def test_modify_with_if_version_compares_and_sets() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a", when=after(50)))
        await p0.modify("a", if_version=1, note="first")
        with pytest.raises(JobChangedError) as caught:
            await p1.modify("a", if_version=1, note="second")
        assert (caught.value.expected, caught.value.actual) == (1, 2)
        assert (await p1.get_job("a")).note == "first"


async def test_two_modifies_that_race_both_hold() -> None:
    async with World() as world:
        peers = [await world.peer(f"p{n}") for n in range(5)]
        await peers[0].schedule(Job("work", id="a", when=after(50)))
        fields = [
            {"note": "n"},
            {"tags": ("t",)},
            {"timeout": 5},
            {"kwargs": {"value": 1}},
            {"max_lost": 7},
        ]
        await asyncio.gather(
            *(p.modify("a", **f) for p, f in zip(peers, fields, strict=True))
        )
        job = await peers[0].get_job("a")
        assert (job.note, job.tags, job.kwargs) == ("n", ("t",), {"value": 1})
        assert (job.timeout, job.max_lost) == (timedelta(seconds=5), 7)
        assert job.version == 6


async def test_of_two_modifies_of_one_version_one_is_told() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a", when=after(50)))
        answers = await asyncio.gather(
            p0.modify("a", if_version=1, note="0"),
            p1.modify("a", if_version=1, note="1"),
            return_exceptions=True,
        )
        lost = [answer for answer in answers if isinstance(answer, JobChangedError)]
        assert len(lost) == 1
        assert (await p0.get_job("a")).version == 2


async def test_a_live_run_ends_under_the_definition_it_began_with() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = Job("work", id="a", kwargs={"seconds": 5, "value": "old"}, keyword="k")
        await p0.schedule(job)
        firing = await p0.start_job("a")
        await asyncio.sleep(1)
        await p0.modify("a", kwargs={"value": "new"})
        assert await p0.result(firing) == "old"
        assert await p0.result(await p0.start_job("a")) == "new"


async def test_pause_holds_on_every_peer_and_resume_keeps_the_grid() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="tick", trigger=EVERY_SECOND))
        await asyncio.sleep(3.5)
        held = await p1.pause("tick", note="lunch")
        assert (held.state, held.pause_note) == (JobState.PAUSED, "lunch")
        assert held.next_fire_time is None
        before = len(world.runs)
        await asyncio.sleep(10)
        assert len(world.runs) == before
        await p0.resume("tick")
        await asyncio.sleep(3)
        job = await p0.get_job("tick")
        assert (job.state, job.pause_note) == (JobState.ACTIVE, "")
        assert job.counts.paused == 10
        adds_up(job)
        assert all(moment == int(moment) for moment in world.begun("tick"))


async def test_a_pause_until_an_instant_ends_by_itself() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="tick", trigger=EVERY_SECOND))
        await p1.pause("tick", until=at(5.5))
        world.runs.clear()
        await asyncio.sleep(8.2)
        assert world.begun("tick") == [6.0, 7.0, 8.0]


@pytest.mark.parametrize("until", [timedelta(seconds=5), 5.0])
async def test_a_pause_takes_a_duration(until: timedelta | float) -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="tick", trigger=EVERY_SECOND, paused=True))
        await asyncio.sleep(0.5)
        job = await p0.pause("tick", until=until)
        assert job.pause_until == at(5.5)
        await asyncio.sleep(6)
        assert world.begun("tick") == [6.0]


async def test_a_job_may_begin_paused() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", id="a", paused=True))
        assert job.state is JobState.PAUSED
        await asyncio.sleep(100)
        assert not world.runs
        await p0.resume("a")
        await p0.wait("a", timeout=1)
        assert world.begun("a") == [100.0]


async def test_stop_job_cancels_on_another_peer_at_once() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        job = await client.schedule(Job("work", kwargs={"seconds": 100}, id="long"))
        await asyncio.sleep(10)
        stopped = await client.stop_job(job)
        assert stopped.state is JobState.PAUSED
        run = await client.wait(job, timeout=1)
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.USER)
        (ran,) = world.of("long")
        assert (ran.until, ran.reason) == (10.0, Reason.USER)


async def test_stop_job_cancels_what_waits() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(
            Job("work", id="a", keyword="k", kwargs={"seconds": 5}, overlap="queue")
        )
        firings = [(await p0.fire_job("k"))[0] for _ in range(3)]
        await asyncio.sleep(1)
        await p0.stop_job("a")
        runs = [await p0.wait(firing, timeout=1) for firing in firings]
        assert {run.outcome for run in runs} == {Outcome.CANCELLED}
        assert len(world.runs) == 1


async def test_a_stopped_job_goes_on_with_resume_on_its_old_grid() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="tick", trigger=EVERY_SECOND))
        await asyncio.sleep(2.5)
        await p0.stop_job("tick")
        await asyncio.sleep(2)
        world.runs.clear()
        await p0.resume("tick")
        await asyncio.sleep(1)
        assert world.begun("tick") == [5.0]


async def test_stop_jobs_and_remove_jobs_go_by_tag() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        for n in range(150):
            tags = ("even",) if n % 2 == 0 else ("odd",)
            await p0.schedule(Job("work", id=f"j{n:03}", when=after(50), tags=tags))
        stopped = await p1.stop_jobs(tag="even")
        assert stopped == sorted(stopped)
        assert len(stopped) == 75
        assert len(await p0.get_jobs(state="paused")) == 75
        assert len(await p0.remove_jobs(tag="odd")) == 75
        assert await p0.remove_jobs(tag="odd") == []
        assert len(await p1.stop_jobs()) == 75
        assert len(await p1.remove_jobs()) == 75
        assert not await p1.get_jobs()


async def test_a_removed_job_is_gone_and_its_run_is_cancelled() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        job = await p0.schedule(Job("work", id="a", kwargs={"seconds": 100}))
        await asyncio.sleep(5)
        await p1.remove_job(job)
        assert not await p0.job_exists(job)
        with pytest.raises(JobNotFoundError):
            await p0.get_job(job)
        await asyncio.sleep(1)
        assert [(ran.until, ran.reason) for ran in world.runs] == [
            (5.0, Reason.REMOVED)
        ]
        (run,) = [entry.run for entry in await p0.history("a") if entry.run]
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.REMOVED)
        assert await p0.state("a") is JobState.REMOVED


async def test_nothing_starts_after_a_removal() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="tick", trigger=EVERY_SECOND))
        await asyncio.sleep(3.5)
        await p1.remove_job("tick")
        before = len(world.runs)
        await asyncio.sleep(50)
        assert len(world.runs) == before
        with pytest.raises(JobNotFoundError):
            await p0.start_job("tick")


@pytest.mark.parametrize(
    "verb",
    ["modify", "pause", "resume", "start_job", "stop_job", "remove_job", "get_job"],
)
async def test_a_verb_on_no_job_names_it(verb: str) -> None:
    async with World() as world:
        p0 = await world.peer()
        with pytest.raises(JobNotFoundError, match="nobody"):
            await getattr(p0, verb)("nobody")


async def test_verbs_need_a_started_scheduler_that_is_not_closed() -> None:
    async with World() as world:
        p0 = world.build("p0")
        with pytest.raises(SchedulerStateError, match="not started"):
            await p0.schedule(Job("work"))
        await p0.start()
        with pytest.raises(SchedulerStateError, match="started already"):
            await p0.start()
        await p0.shutdown()
        with pytest.raises(SchedulerStateError, match="closed"):
            await p0.fire_job("k")
        with pytest.raises(SchedulerStateError, match="closed"):
            await p0.start()
        await p0.shutdown()
        assert now() == 0.0
