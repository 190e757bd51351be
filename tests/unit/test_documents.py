"""Jobs as a document: what is refused, and what moving leaves of a job."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest

from aiosched import (
    ArgumentsError,
    ConfigurationError,
    CronTrigger,
    Imported,
    IntervalTrigger,
    InvalidInputError,
    Job,
    JobExistsError,
    JobNotFoundError,
    JobState,
    MemoryJobStore,
    Scheduler,
    TriggerError,
    UnknownExecutorError,
)
from aiosched.jobs.documents import read_document
from aiosched.planning import conserved
from aiosched.testing import VirtualLoop

HOURLY = IntervalTrigger(hours=1)


def peer(store: MemoryJobStore, **options: Any) -> Scheduler:
    scheduler = Scheduler(store, name="p", **options)

    @scheduler.executor
    async def note(value: int = 0) -> int:
        return value

    return scheduler


def in_virtual_time(program: Any) -> None:
    loop = VirtualLoop(deadline=30 * 86_400)
    try:
        loop.run_until_complete(program)
    finally:
        loop.close()


async def exported(*jobs: Job) -> dict[str, Any]:
    async with peer(MemoryJobStore()) as scheduler:
        for job in jobs:
            await scheduler.schedule(job)
        return await scheduler.export_jobs()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d.pop("format"), "format"),
        (lambda d: d.update(format="cron"), "format"),
        (lambda d: d.update(version=2), "version"),
        (lambda d: d.update(version=True), "version"),
        (lambda d: d.update(more=1), "more"),
        (lambda d: d.update(jobs={}), "jobs"),
        (lambda d: d["jobs"].append(3), "jobs[1]"),
        (lambda d: d["jobs"].append(copy.deepcopy(d["jobs"][0])), "jobs[1].job.id"),
        (lambda d: d["jobs"][0].pop("job"), "jobs[0].job"),
        (lambda d: d["jobs"][0].update(x=1), "jobs[0].x"),
        (lambda d: d["jobs"][0]["job"].pop("id"), "jobs[0].job.id"),
        (lambda d: d["jobs"][0]["job"].pop("executor"), "jobs[0].job.executor"),
        (lambda d: d["jobs"][0]["job"].update(max_runs=0), "jobs[0].job.max_runs"),
        (lambda d: d["jobs"][0]["job"].update(surprise=1), "jobs[0].job.surprise"),
        (lambda d: d["jobs"][0]["state"].update(x=1), "jobs[0].state.x"),
        (
            lambda d: d["jobs"][0]["state"].update(next_slot="soon"),
            "jobs[0].state.next_slot",
        ),
        (
            lambda d: d["jobs"][0]["state"].update(next_slot="2030-01-01T00:00"),
            "jobs[0].state.next_slot",
        ),
        (
            lambda d: d["jobs"][0]["state"].update(pause_note=3),
            "jobs[0].state.pause_note",
        ),
        (
            lambda d: d["jobs"][0]["state"].update(declared=-1),
            "jobs[0].state.declared",
        ),
        (
            lambda d: d["jobs"][0]["state"]["counts"].update(fired=-1),
            "jobs[0].state.counts.fired",
        ),
        (
            lambda d: d["jobs"][0]["state"]["counts"].update(fired=1),
            "jobs[0].state.counts",
        ),
        (
            lambda d: d["jobs"][0]["state"]["counts"].update(moved=1),
            "jobs[0].state.counts.moved",
        ),
        (
            lambda d: d["jobs"][0]["state"].update(trigger_given=1),
            "jobs[0].state.trigger_given",
        ),
    ],
)
async def test_a_document_that_is_not_right_says_where(change: Any, field: str) -> None:
    document = await exported(Job("note", id="a", trigger=HOURLY))
    read_document(document)
    change(document)
    async with peer(MemoryJobStore()) as scheduler:
        with pytest.raises(ConfigurationError) as caught:
            await scheduler.import_jobs(document)
        assert caught.value.field == field
        assert await scheduler.get_jobs() == []


@pytest.mark.parametrize("document", [None, [], "{}", 3])
async def test_what_is_no_document(document: Any) -> None:
    async with peer(MemoryJobStore()) as scheduler:
        with pytest.raises(ConfigurationError, match="is not an object"):
            await scheduler.import_jobs(document)


async def test_every_job_is_checked_before_the_first_is_written() -> None:
    document = await exported(
        *[Job("note", id=f"j{n}", trigger=HOURLY) for n in range(150)]
    )
    async with peer(MemoryJobStore()) as scheduler:
        bad = copy.deepcopy(document)
        bad["jobs"][-1]["job"]["kwargs"] = {"wrong": 1}
        with pytest.raises(ArgumentsError) as refused:
            await scheduler.import_jobs(bad)
        assert refused.value.field.startswith("jobs[149].job.")
        bad = copy.deepcopy(document)
        bad["jobs"][-1]["job"]["executor"] = "nobody"
        with pytest.raises(UnknownExecutorError):
            await scheduler.import_jobs(bad)
        bad = copy.deepcopy(document)
        bad["jobs"][-1]["state"]["next_slot"] = "2030-01-01T00:00:00.000001+00:00"
        with pytest.raises(TriggerError) as wrong:
            await scheduler.import_jobs(bad, keep_state=True)
        assert wrong.value.field == "jobs[149].state.next_slot"
        last = document["jobs"][-1]["job"]["id"]
        await scheduler.schedule(Job("note", (1,), id=last, trigger=HOURLY))
        with pytest.raises(JobExistsError) as taken:
            await scheduler.import_jobs(document)
        assert taken.value.job_id == last
        assert [job.id for job in await scheduler.get_jobs(limit=1000)] == [last]


async def test_conflicts_by_each_rule() -> None:
    document = await exported(
        Job("note", (1,), id="a", trigger=HOURLY), Job("note", id="b", keyword="k")
    )
    store = MemoryJobStore()
    async with peer(store) as scheduler:
        mine = await scheduler.schedule(Job("note", (2,), id="a", trigger=HOURLY))
        kept = await scheduler.import_jobs(document, on_conflict="keep")
        assert kept == Imported(("b",), (), ("a",), ())
        assert (await scheduler.get_job("a")).args == (2,)
        await scheduler.pause("a", note="mine")
        foreseen = await scheduler.import_jobs(
            document, on_conflict="replace", dry_run=True
        )
        assert foreseen == Imported((), ("a",), (), ("b",), dry_run=True)
        assert (await scheduler.get_job("a")).version == mine.version
        done = await scheduler.import_jobs(document, on_conflict="replace")
        assert done == Imported((), ("a",), (), ("b",))
        job = await scheduler.get_job("a")
        # What is there keeps its state: nobody's pause ends by an import.
        assert (job.args, job.state, job.pause_note) == ((1,), JobState.PAUSED, "mine")
        again = await scheduler.import_jobs(document)
        assert again == Imported((), (), (), ("a", "b"))


async def test_what_was_imported_says_by_whom() -> None:
    document = await exported(Job("note", id="a", trigger=HOURLY))
    async with peer(MemoryJobStore()) as scheduler:
        await scheduler.import_jobs(document, by="ann")
        (entry,) = await scheduler.history("a")
        assert (entry.kind.value, entry.by) == ("created", "ann")


def test_a_moved_job_goes_on_where_it_was() -> None:
    """Slots, sums and what is left of ``max_runs``; and its books add up."""

    async def program() -> None:
        first = MemoryJobStore()
        async with peer(first) as scheduler:
            await scheduler.schedule(
                Job("note", id="a", trigger=HOURLY, max_runs=5, misfire_grace=7200)
            )
            await asyncio.sleep(2.5 * 3600)
            before = await scheduler.get_job("a")
            document = await scheduler.export_jobs()
        state = document["jobs"][0]["state"]
        assert state["counts"]["fired"] == before.counts.fired == 2
        await asyncio.sleep(3600)  # one slot passes while nobody has the job

        second = MemoryJobStore()
        async with peer(second) as scheduler:
            await scheduler.import_jobs(document, keep_state=True)
            await scheduler.wait("a", timeout=5)
            job = await scheduler.get_job("a")
            assert job.counts.fired == 3, "the slot that was due is caught up with"
            record = (await scheduler._opened().read(["a"]))["a"]
            assert conserved(record) is None
            await asyncio.sleep(10 * 3600)
            assert await scheduler.state("a") is JobState.FINISHED
            rows = await scheduler.history("a", kind="succeeded")
            assert len(rows) == 3, "five in all, two of them elsewhere"

        third = MemoryJobStore()
        async with peer(third) as scheduler:
            await scheduler.import_jobs(document)
            job = await scheduler.get_job("a")
            assert job.counts.fired == 0
            assert job.next_fire_time is not None
            grid = (job.next_fire_time - before.next_fire_time).total_seconds()  # type: ignore[operator]
            assert grid > 0
            assert grid % 3600 == 0
            assert not await scheduler.history("a", runs_only=True)

    in_virtual_time(program())


def test_open_firings_stay_where_they_are() -> None:
    async def program() -> None:
        gate = asyncio.Event()
        scheduler = peer(MemoryJobStore())

        @scheduler.executor
        async def hold() -> None:
            await gate.wait()

        async with scheduler:
            await scheduler.schedule(Job("hold", id="again", trigger=HOURLY))
            await scheduler.schedule(Job("hold", id="once"))
            await asyncio.sleep(3601)
            assert (await scheduler.get_job("again")).running == 1
            document = await scheduler.export_jobs()
            assert document["left_out"] == [{"id": "once", "reason": "running"}]
            (entry,) = document["jobs"]
            assert entry["state"]["counts"]["fired"] == 0
            gate.set()
            await scheduler.drain()
        other = peer(MemoryJobStore())
        other.register(gate.wait, name="hold")
        async with other:
            await other.import_jobs(document, keep_state=True)
            record = (await other._opened().read(["again"]))["again"]
            assert conserved(record) is None
            assert not record.state.runs

    in_virtual_time(program())


async def test_the_same_registration_stays_a_no_op_behind_an_import() -> None:
    """Also where pinning made another trigger of the one that was given."""
    jobs = [
        Job("note", id="hashed", trigger=CronTrigger("H 3 * * *")),
        Job("note", id="interval", trigger=HOURLY),
        Job("note", id="later", when="PT10M"),
        Job("note", id="both", trigger=HOURLY | CronTrigger("7 * * * *")),
        Job("note", (10**30,), id="deep", meta={"a": [1, {}]}, trigger=HOURLY),
    ]
    document = json.loads(json.dumps(await exported(*jobs)))
    async with peer(MemoryJobStore()) as scheduler:
        await scheduler.import_jobs(document, keep_state=True)
        for job in jobs:
            stored = await scheduler.schedule(job)
            assert stored.version == 1, job.id
        assert (await scheduler.export_jobs())["jobs"] == document["jobs"]


async def test_one_or_some_are_exported_by_name_or_tag() -> None:
    async with peer(MemoryJobStore()) as scheduler:
        for name in "abc":
            await scheduler.schedule(
                Job("note", id=name, trigger=HOURLY, tags=["t"] if name > "a" else [])
            )

        def ids(document: dict[str, Any]) -> list[str]:
            return [entry["job"]["id"] for entry in document["jobs"]]

        assert ids(await scheduler.export_jobs("c", "a", "c")) == ["a", "c"]
        assert ids(await scheduler.export_jobs(tag="t")) == ["b", "c"]
        assert ids(await scheduler.export_jobs("a", "b", tag="t")) == ["b"]
        with pytest.raises(JobNotFoundError):
            await scheduler.export_jobs("a", "nobody")


async def test_a_tombstone_does_not_stand_in_the_way() -> None:
    document = await exported(Job("note", id="a", trigger=HOURLY))
    async with peer(MemoryJobStore()) as scheduler:
        await scheduler.schedule(Job("note", id="a"))
        await scheduler.wait("a", timeout=5)
        assert await scheduler.state("a") is JobState.FINISHED
        assert (await scheduler.import_jobs(document)).created == ("a",)
        assert await scheduler.state("a") is JobState.ACTIVE


@pytest.mark.parametrize(
    "options",
    [{"on_conflict": "merge"}, {"keep_state": 1}, {"dry_run": None}, {"by": ""}],
)
async def test_options_that_are_refused(options: Any) -> None:
    document = await exported()
    async with peer(MemoryJobStore()) as scheduler:
        with pytest.raises(InvalidInputError):
            await scheduler.import_jobs(document, **options)
