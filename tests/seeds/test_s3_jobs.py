"""What a job is: typed, dated, named; S3-05, 06, 11, 29, 30, 32, 41, 42, 56."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from aiosched import (
    CalendarIntervalTrigger,
    ConfigurationError,
    Context,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Job,
    JobExistsError,
    JobNotFoundError,
    JobState,
    OrTrigger,
    Outcome,
    Reason,
    Retry,
    Trigger,
    TriggerError,
    UnknownExecutorError,
    every,
)
from tests.engine.kit import World, at
from tests.seeds.stage import Stage

_HOUR = timedelta(hours=1)
_NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


# --- S3-05: now, or at a time ---


@pytest.mark.seed("S3-05")
async def test_a_job_runs_now_and_one_whose_time_has_passed_runs_too(
    stage: Stage,
) -> None:
    async with stage:
        client, _ = await stage.two()
        soon = await client.schedule(Job("note", kwargs={"value": "now"}))
        assert await client.result(soon, timeout=5) == "now"
        passed = datetime.now(UTC) - _HOUR
        late = await client.schedule(Job("note", kwargs={"value": 1}, when=passed))
        assert await client.result(late, timeout=5) == 1
        assert len(stage.of(soon)) == len(stage.of(late)) == 1


@pytest.mark.seed("S3-05")
async def test_a_time_that_has_passed_obeys_the_grace_of_its_job(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        passed = datetime.now(UTC) - _HOUR
        strict = Job("note", id="strict", when=passed, misfire_grace=60)
        await client.schedule(strict)
        await client.drain(timeout=5)
        [row] = [row for row in await client.history("strict") if row.count]
        assert (row.kind, row.reason, row.count) == ("missed", Reason.GRACE, 1)
        assert not stage.of("strict")


@pytest.mark.seed("S3-05")
@pytest.mark.virtual(timeout=100_000)
async def test_a_job_waits_for_its_time() -> None:
    async with World() as world:
        p0 = await world.peer()
        dated = await p0.schedule(Job("work", when=at(7200.25)))
        delayed = await p0.schedule(Job("work", when=_HOUR))
        await p0.wait(dated)
        assert world.begun(delayed) == [3600.0]
        assert world.begun(dated) == [7200.25]


# --- S3-06: again and again, from and until ---


@pytest.mark.seed("S3-06")
@pytest.mark.virtual(timeout=100_000)
async def test_an_interval_with_start_end_and_a_number_of_runs() -> None:
    async with World() as world:
        p0 = await world.peer()
        tick = IntervalTrigger(seconds=10, start=at(100), end=at(160))
        await p0.schedule(Job("work", id="three", trigger=tick, max_runs=3))
        await p0.schedule(Job("work", id="bounded", trigger=tick))
        await p0.schedule(
            Job("work", id="cron", trigger=CronTrigger("* * * * *", end=at(180)))
        )
        endless = IntervalTrigger(seconds=50)
        await p0.schedule(Job("work", id="endless", trigger=endless))
        await asyncio.sleep(1000)
        assert world.begun("three") == [100.0, 110.0, 120.0]
        assert world.begun("bounded") == [100.0 + 10 * n for n in range(7)]
        assert world.begun("cron") == [0.0, 60.0, 120.0, 180.0]
        for job_id in ("three", "bounded", "cron"):
            assert await p0.state(job_id) is JobState.FINISHED


# --- S3-11, S3-29, S3-41, S3-42: the constructor ---


@pytest.mark.seed("S3-11")
def test_a_job_is_typed_frozen_and_its_schema_is_published() -> None:
    job = Job("work", trigger=every(5).minutes, tags=["a"])
    with pytest.raises((TypeError, ValueError, AttributeError)):
        job.note = "changed"
    with pytest.raises(ConfigurationError) as caught:
        Job("work", overlap="sometimes")  # type: ignore[arg-type]
    assert caught.value.field == "overlap"
    with pytest.raises((ConfigurationError, TypeError), match="colour"):
        Job("work", colour="blue")  # type: ignore[call-arg]
    said = _aiosched("schema", "job")
    schema = json.loads(said)
    assert schema["type"] == "object"
    assert set(schema["properties"]) == set(job.to_dict())
    assert set(schema["required"]) <= set(job.to_dict())
    assert schema["properties"]["overlap"]["default"] == "skip"


@pytest.mark.seed("S3-11")
async def test_each_change_of_a_job_is_a_version(stage: Stage) -> None:
    async with stage:
        client = await stage.peer(run_jobs=False)
        job = await client.schedule(Job("note", id="a", keyword="k"))
        assert (Job("note").version, job.version) == (0, 1)
        assert (await client.modify("a", note="new")).version == 2
        assert (await client.get_job("a")).version == 2


@pytest.mark.seed("S3-29")
async def test_an_executor_that_nobody_has_is_refused_when_it_is_named(
    stage: Stage,
) -> None:
    async with stage:
        client, worker = await stage.two()
        for peer in (client, worker):
            with pytest.raises(UnknownExecutorError) as caught:
                await peer.schedule(Job("nope", id="a"))
            assert caught.value.name == "nope"
            assert "note" in caught.value.known
        assert not await client.job_exists("a")
        with pytest.raises(ConfigurationError, match="executor"):
            Job("")
        with pytest.raises(ConfigurationError, match="executor"):
            Job(7)


@pytest.mark.seed("S3-29")
async def test_a_function_needs_no_executor_id(stage: Stage) -> None:
    async with stage:
        peer = stage.build()

        @peer.executor
        async def double(context: Context, number: int) -> int:
            return 2 * number

        await peer.start()
        job = await peer.schedule(Job(double, kwargs={"number": 21}))
        assert (job.executor, await peer.result(job, timeout=5)) == ("double", 42)


def _some_job(source: random.Random) -> Job:
    """Draw a job with any of its fields filled."""
    start = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(
        minutes=source.randrange(10**6)
    )
    triggers: list[Trigger] = [
        DateTrigger(start),
        IntervalTrigger(seconds=source.randint(1, 10**6), start=start),
        IntervalTrigger(weeks=1, milliseconds=source.randint(1, 999)),
        CronTrigger(f"{source.randrange(60)} */2 * * mon-fri", tz="Europe/Paris"),
        CronTrigger("*/5 * * * * *", seconds="first", start=start),
        CalendarIntervalTrigger(months=source.randint(1, 40), at="04:30"),
    ]
    triggers.append(OrTrigger(source.sample(triggers, 2)))
    fields: dict[str, Any] = {
        "args": (source.randrange(9), "ä|%\n"),
        "kwargs": {"deep": {"list": [1, 2.5, None, True]}},
        "id": f"id-{source.getrandbits(40)}",
        "keyword": f"k.{source.randrange(9)}",
        "queue": "mail",
        "paused": True,
        "max_runs": source.randint(1, 9),
        "misfire_grace": source.choice([1, 2.5, timedelta(hours=3)]),
        "coalesce": source.choice(["latest", "earliest", "all"]),
        "overlap": source.choice(["skip", "queue", "allow", "cancel_previous"]),
        "max_running": source.randint(1, 9),
        "jitter": source.random(),
        "timeout": source.randint(1, 900),
        "retry": Retry(attempts=source.randint(2, 9), delay=source.random()),
        "on_lost": source.choice(["rerun", "record"]),
        "max_lost": source.randrange(9),
        "keep": timedelta(days=source.randrange(9)),
        "keep_last": source.randrange(20),
        "tags": [f"t{n}" for n in range(source.randrange(4))],
        "note": "ein Vermerk",
        "meta": {"owner": "ops"},
    }
    names = source.sample(sorted(fields), source.randrange(len(fields)))
    chosen = {name: fields[name] for name in names}
    when = source.choice(["trigger", "when", "neither"])
    if when == "trigger":
        chosen["trigger"] = source.choice(triggers)
    elif when == "when":
        chosen["when"] = source.choice([start, timedelta(seconds=source.randrange(99))])
    return Job(source.choice(["work", "mail.Send"]), **chosen)


@pytest.mark.seed("S3-41")
def test_a_job_is_the_same_after_a_journey_as_data() -> None:
    source = random.Random(41)
    for _ in range(500):
        job = _some_job(source)
        data = json.loads(json.dumps(job.to_dict()))
        back = Job.from_dict(data)
        assert back == job
        assert back.to_dict() == data
        other = Job.from_dict({**data, "note": "another"})
        assert other != job


@pytest.mark.seed("S3-41")
def test_data_without_an_executor_or_with_strange_fields_is_refused() -> None:
    for data in ({}, {"eid": 3}, {"executor": "x", "whem": "now"}, ["executor"]):
        with pytest.raises((ConfigurationError, TypeError)):
            Job.from_dict(data)  # type: ignore[arg-type]


@pytest.mark.seed("S3-42")
def test_when_takes_every_form_that_names_an_instant() -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    midnight = datetime(2030, 1, 1, tzinfo=UTC)
    before = datetime(2029, 1, 1, tzinfo=UTC)
    for when, first in (
        (noon, noon),
        (noon.astimezone(tz=None), noon),
        ("2030-01-01T12:00:00Z", noon),
        ("2030-01-01T13:00:00+01:00", noon),
        (date(2030, 1, 1), midnight),
        ("2030-01-01", midnight),
    ):
        trigger = Job("work", when=when).trigger
        assert trigger is not None
        assert trigger.next_fire_time(before) == first, when
        assert trigger.next_fire_time(first) is None
    assert Job("work", when=timedelta(minutes=5)).when == timedelta(minutes=5)
    assert Job("work", when="PT5M").when == timedelta(minutes=5)


@pytest.mark.seed("S3-42")
@pytest.mark.parametrize(
    "when", [_NOON.replace(tzinfo=None), "2030-01-01T12:00", "soon", 5, True], ids=repr
)
def test_a_when_that_names_no_instant_is_refused(when: Any) -> None:
    with pytest.raises((TriggerError, ConfigurationError)) as caught:
        Job("work", when=when)
    assert caught.value.field == "when"


@pytest.mark.seed("S3-42")
@pytest.mark.virtual(timeout=1000)
async def test_when_is_the_first_run() -> None:
    async with World() as world:
        p0 = await world.peer()
        forms = {"aware": at(20), "delay": timedelta(seconds=30)}
        forms["iso"] = at(40).isoformat()
        for name, when in forms.items():
            await p0.schedule(Job("work", id=name, when=when))
        await p0.wait("iso")
        assert [world.begun(name) for name in forms] == [[20.0], [30.0], [40.0]]


# --- S3-30: kinds, also combined ---


@pytest.mark.seed("S3-30")
@pytest.mark.virtual(timeout=1000)
async def test_one_job_runs_by_the_clock_and_by_a_word() -> None:
    async with World() as world:
        p0 = await world.peer()
        tick = IntervalTrigger(seconds=10, start=at(10))
        await p0.schedule(Job("work", id="both", trigger=tick, keyword="now.please"))
        await asyncio.sleep(15)
        [firing] = await p0.fire_job("now.please", {"value": 1})
        assert await p0.result(firing) == 1
        await asyncio.sleep(10)
        assert world.begun("both") == [10.0, 15.0, 20.0]
        counts = (await p0.get_job("both")).counts
        assert (counts.slots, counts.fired, counts.asked) == (2, 2, 1)


@pytest.mark.seed("S3-30")
async def test_the_three_kinds(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        once = await client.schedule(Job("note", id="once"))
        await client.wait(once, timeout=5)
        tick = IntervalTrigger(milliseconds=20)
        await client.schedule(Job("note", id="tick", trigger=tick, max_runs=3))
        await client.schedule(Job("note", id="word", keyword="word"))
        [firing] = await client.fire_job("word", {"value": 7})
        assert await client.result(firing, timeout=5) == 7
        await stage.begun("tick", 3)
        await client.drain(timeout=5)
        assert [len(stage.of(i)) for i in ("once", "tick", "word")] == [1, 3, 1]
        assert await client.job_exists("word")
        assert not await client.job_exists("once")


# --- S3-32, S3-56: ids, and getting a job ---


@pytest.mark.seed("S3-32")
async def test_an_id_names_one_job(stage: Stage) -> None:
    async with stage:
        one, two = await stage.peer(), await stage.peer()
        await one.schedule(Job("note", id="a", keyword="first"))
        with pytest.raises(JobExistsError) as caught:
            await two.schedule(Job("note", id="a", keyword="second"))
        assert caught.value.job_id == "a"
        assert caught.value.differing == ("keyword",)
        assert (await two.get_job("a")).keyword == "first"
        drawn = {Job("note").id for _ in range(1000)}
        assert len(drawn) == 1000


@pytest.mark.seed("S3-56")
async def test_a_job_that_was_given_is_the_job_that_is_got(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        given = Job(
            "note",
            kwargs={"value": {"deep": [1, None]}},
            id="given",
            trigger=CronTrigger("0 3 * * *", tz="Europe/Paris"),
            tags=("nightly",),
            retry=Retry(attempts=3, delay=2),
            meta={"owner": "ops"},
        )
        await client.schedule(given)
        found = await client.get_job("given")
        assert found == given == await client.get_job(given)
        assert (found.state, found.version) == (JobState.ACTIVE, 1)
        assert found.next_fire_time == given.trigger.next_fire_time(found.created_at)  # type: ignore[union-attr,arg-type]
        with pytest.raises(JobNotFoundError) as caught:
            await client.get_job("wrong")
        assert caught.value.job_id == "wrong"
        done = await client.schedule(Job("note", id="done"))
        run = await client.wait(done, timeout=5)
        assert run.outcome is Outcome.SUCCEEDED
        with pytest.raises(JobNotFoundError):
            await client.get_job("done")


def _aiosched(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aiosched", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
