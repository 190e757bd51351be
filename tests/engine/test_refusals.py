"""What the verbs refuse, on every store: before anything is written, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from aiosched import (
    Firing,
    IntervalTrigger,
    InvalidInputError,
    Job,
    JobState,
    Scheduler,
    StoreDataError,
)
from aiosched.abc import Session
from aiosched.enums import Cause
from aiosched.records import Change, Record
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World

Call = Callable[[Scheduler], Awaitable[object]]
LATE = datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))
LENGTHS = (
    10**15,
    10**400,
    1e300,
    float("inf"),
    float("nan"),
    timedelta.max,
    timedelta(days=40_000),
    0,
    -1,
    True,
    "soon",
)
HALF = "\ud800"
HUGE = 10**4_500


def refusals() -> list[tuple[str, Call]]:
    """Return (field named, call) of all that is refused."""
    bad: Any
    cases: list[tuple[str, Call]] = []

    def add(field: str, call: Any) -> None:
        cases.append((field, call))

    for bad in (*LENGTHS, LATE, datetime(2030, 1, 1)):  # noqa: DTZ001 - refused
        add("until", lambda s, v=bad: s.pause("hourly", until=v))
    for bad in LENGTHS:
        add("ttl", lambda s, v=bad: s.fire_job("word", ttl=v))
    for bad in (5, None, "x" * 1_001, HALF):
        add("note", lambda s, v=bad: s.pause("hourly", note=v))
    for bad in ("", " ", 0, False, [], HALF, "x" * 201):
        add("fire_id", lambda s, v=bad: s.fire_job("word", fire_id=v))
    for bad in (None, "", 5, "a b"):
        add("keyword", lambda s, v=bad: s.fire_job(v))
    for bad in ("other", None, 5):
        add("id", lambda s, v=bad: s.modify("hourly", id=v, note="new"))
    for bad in ("1", True, -1, 1.0):
        add("if_version", lambda s, v=bad: s.modify("hourly", if_version=v, note="n"))
    for bad in (None, "hourly", {"executor": "work"}, 5):
        add("job", lambda s, v=bad: s.schedule(v))
        add("jobs[0]", lambda s, v=bad: s.schedule_many([v]))
    for bad in (None, "hourly", {"executor": "work"}, 5, Job("work")):
        add("jobs", lambda s, v=bad: s.schedule_many(v))
    for bad in (None, 0, "yes"):
        add("again", lambda s, v=bad: s.schedule(Job("work"), again=v))
        add("allow_unknown", lambda s, v=bad: s.schedule(Job("?"), allow_unknown=v))
        add("allow_unknown", lambda s, v=bad: s.modify("hourly", allow_unknown=v))
        add("force", lambda s, v=bad: s.shutdown(force=v))
    for bad in ("replaced", None, []):
        add("on_conflict", lambda s, v=bad: s.schedule(Job("work"), on_conflict=v))
    for bad in ("5", float("nan"), float("inf"), -1, True, 10**400):
        add("grace", lambda s, v=bad: s.shutdown(grace=v))
    for bad in (float("nan"), 1j, -1, True, 10**6 + 1, None, "5", 1.5):
        add("limit", lambda s, v=bad: s.history(limit=v))
        add("limit", lambda s, v=bad: s.get_jobs(limit=v))
    for bad in ("x", 5, False, LATE, datetime(2030, 1, 1)):  # noqa: DTZ001 - refused
        add("since", lambda s, v=bad: s.history(since=v))
        add("until", lambda s, v=bad: s.history(until=v))
    for bad in ("bogus", "", 5, b"0"):
        add("cursor", lambda s, v=bad: s.get_jobs(cursor=v))
    for bad in ("Paused", "", 5, []):
        add("state", lambda s, v=bad: s.get_jobs(state=v))
    for name in ("tag", "keyword", "executor", "queue"):
        add(name, lambda s, n=name: s.get_jobs(**{n: 5}))
    add("tag", lambda s: s.stop_jobs(tag=5))
    add("tag", lambda s: s.remove_jobs(tag=False))
    for bad in (None, 5, HALF, ["hourly"], Firing(HALF, "1", Cause.SLOT, LATE)):
        for verb in ("pause", "resume", "start_job", "stop_job", "remove_job"):
            add("job", lambda s, v=bad, n=verb: getattr(s, n)(v))
        for verb in ("get_job", "state", "job_exists", "modify"):
            add("job", lambda s, v=bad, n=verb: getattr(s, n)(v))
    for bad in (HUGE, -HUGE, {"deep": [1, HUGE]}):
        add("payload.n", lambda s, v=bad: s.fire_job("word", {"n": v}))
        add("kwargs.n", lambda s, v=bad: s.schedule(Job("work", kwargs={"n": v})))
    add("interval", lambda s: s.schedule(Job("work", trigger=_endless())))
    add("interval", lambda s: s.modify("hourly", trigger=_endless()))
    return cases


def _endless() -> IntervalTrigger:
    return IntervalTrigger(days=365 * 8000)


async def test_what_is_refused_is_named_and_leaves_no_trace(
    make_scheduler: MakeScheduler,
) -> None:
    async with make_scheduler() as scheduler:

        @scheduler.executor
        async def work(**_: Any) -> None: ...

        await scheduler.schedule_many(
            [
                Job("work", id="hourly", trigger=IntervalTrigger(hours=1)),
                Job("work", id="called", keyword="word", paused=True),
            ]
        )
        before = [job.to_dict(snapshot=True) for job in await _all(scheduler)]
        rows = await scheduler.history()
        for number, (field, call) in enumerate(refusals()):
            said = await _refusal(call(scheduler))
            where = f"case {number} ({field}): {said!r}"
            assert said is not None, where
            assert said.field == field or said.field.startswith(f"{field}."), where
            assert said.problem, where
            assert said.remedy, where
        after = [job.to_dict(snapshot=True) for job in await _all(scheduler)]
        assert after == before
        assert await scheduler.history() == rows
        assert scheduler.health().ok


async def _refusal(answer: Awaitable[object]) -> InvalidInputError | None:
    try:
        await answer
    except InvalidInputError as error:
        return error
    return None


async def _all(scheduler: Scheduler) -> list[Job]:
    return sorted(await scheduler.get_jobs(), key=lambda job: job.id)


async def test_the_longest_that_is_allowed_is_stored_and_read(
    make_scheduler: MakeScheduler,
) -> None:
    async with make_scheduler(run_jobs=False) as scheduler:
        trigger = IntervalTrigger(hours=1)
        job = Job("work", id="a", trigger=trigger, keyword="w", meta={"n": 10**4_299})
        await scheduler.schedule(job, allow_unknown=True)
        end = datetime(9999, 12, 30, tzinfo=UTC)
        paused = await scheduler.pause("a", until=end, note="x" * 1_000)
        assert paused.pause_until == end
        await scheduler.fire_job("w", ttl=timedelta(days=36_525))
        found = await scheduler.get_job("a")
        assert (found.pause_until, found.waiting) == (end, 1)
        assert found.meta == {"n": 10**4_299}
        assert (await scheduler.modify("a", id="a", allow_unknown=True)).id == "a"


@pytest.mark.virtual
async def test_a_bad_grace_ends_nothing() -> None:
    async with World() as world:
        peer = await world.peer()
        with pytest.raises(InvalidInputError, match="grace"):
            await peer.shutdown(grace="5")  # type: ignore[arg-type]
        run = await peer.result(await peer.schedule(Job("work", kwargs={"value": 1})))
        assert run == 1
        with pytest.raises(InvalidInputError, match="is not a Job"):
            world.build("p1").declare("x")  # type: ignore[arg-type]


async def test_a_store_refuses_a_record_of_another_id(
    make_scheduler: MakeScheduler,
) -> None:
    async with make_scheduler(terms={"shards": 1}, lease=15) as scheduler:
        job = Job("work", id="a", trigger=IntervalTrigger(hours=1))
        await scheduler.schedule(job, allow_unknown=True)

        def renamed(records: Any, _: int) -> dict[str, Change]:
            record = records["a"]
            other = Record(replace(record.definition, id="b"), record.state)
            return {"a": Change(other, None)}

        with pytest.raises(ValueError, match=r"another id|'b'"):
            await _session(scheduler).transact(["a"], renamed)
        assert (await scheduler.get_job("a")).version == 1
        assert await scheduler.state("b") is JobState.UNKNOWN


def _session(scheduler: Scheduler) -> Session:
    session = scheduler._session
    assert session is not None
    return session


async def test_a_record_that_nobody_can_show_hides_no_other(
    make_scheduler: MakeScheduler,
) -> None:
    async with make_scheduler(run_jobs=False) as scheduler:
        told: list[str] = []
        scheduler.on("unreadable", lambda event: told.append(event.data["key"]))
        trigger = IntervalTrigger(hours=1)
        jobs = [Job("work", id=name, trigger=trigger, paused=True) for name in "abc"]
        await scheduler.schedule_many(jobs, allow_unknown=True)

        def poisoned(records: Any, _: int) -> dict[str, Change]:
            definition, state = records["b"].definition, records["b"].state
            spec = replace(definition.spec, meta=f'{{"n": {"9" * 4_500}}}')
            return {"b": Change(Record(replace(definition, spec=spec), state), None)}

        await _session(scheduler).transact(["b"], poisoned)
        assert [job.id for job in await _all(scheduler)] == ["a", "c"]
        # Redis tells of it as it reads the spec; the façade tells else.
        assert any("b" in key for key in told)
        with pytest.raises((StoreDataError, LookupError)):
            await scheduler.get_job("b")


@pytest.mark.virtual
@pytest.mark.parametrize("stored", ["2026.1", 1.5, -3, [1], {"a": 1}])
async def test_a_revision_that_cannot_be_compared_stops_no_start(stored: Any) -> None:
    async with World() as world:
        first = world.build("p0", revision=3)
        trigger = IntervalTrigger(hours=1)
        first.declare(Job("work", id="n", trigger=trigger, note="old"))
        await world.start(first)

        def odd(records: Any, _: int) -> dict[str, Change]:
            definition, state = records["n"].definition, records["n"].state
            spec = replace(definition.spec, declared=stored)
            return {"n": Change(Record(replace(definition, spec=spec), state), None)}

        await _session(first).transact(["n"], odd)
        second = world.build("p1", revision=4)
        second.declare(Job("work", id="n", trigger=trigger, note="new"))
        await world.start(second)
        assert (await second.get_job("n")).note == "new"
