"""Jobs of the config.yaml scheduler: many, once or for ever, removed, as classes."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest

import aiosched as package
from aiosched import (
    ConfigurationError,
    Context,
    Job,
    JobNotFoundError,
    JobState,
    RunFailedError,
    Scheduler,
    config,
    every,
)
from aiosched.cli.app import main
from aiosched.integrations import goals
from aiosched.integrations.goals import Task, sequence_job, task_job
from tests.cli.commands import ROOT, environment
from tests.engine.kit import World, now


@pytest.mark.seed("S4-01")
def test_a_thousand_jobs(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [Job("work", id=f"job-{n}", trigger=every().day) for n in range(1000)]

    async def add() -> None:
        async with Scheduler(redis_url, run_jobs=False) as scheduler:
            await scheduler.schedule_many(jobs, allow_unknown=True)

    asyncio.run(add())
    assert main(["jobs", "--store", redis_url, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {job["id"] for job in listed} == {job.id for job in jobs}


@pytest.mark.seed("S4-04")
@pytest.mark.virtual
@pytest.mark.parametrize(("options", "runs"), [({"max_runs": 1}, 1), ({}, 10)])
async def test_continuous_or_once(options: dict[str, Any], runs: int) -> None:
    async with World() as world:
        peer = await world.peer()
        job = Job("work", id="minutely", trigger=every().minute, **options)
        await peer.schedule(job)
        await asyncio.sleep(600.5)
        assert world.begun("minutely") == [60 * n for n in range(1, runs + 1)]


@pytest.mark.seed("S4-06")
@pytest.mark.virtual
async def test_a_job_is_cancelled_by_its_identifier() -> None:
    async with World() as world:
        peer, other = await world.peer("p0"), await world.peer("p1")
        await peer.schedule(Job("work", id="a", trigger=every().minute))
        await asyncio.sleep(60.5)
        assert len(world.of("a")) == 1
        assert await other.job_exists("a")
        await other.remove_job("a")
        assert not await peer.job_exists("a")
        with pytest.raises(JobNotFoundError):
            await other.remove_job("a")
        await asyncio.sleep(600)
        assert len(world.of("a")) == 1


@pytest.mark.seed("S4-07")
@pytest.mark.virtual
async def test_the_next_run_is_told_or_why_there_is_none() -> None:
    async with World() as world:
        peer = await world.peer()
        minutely = await peer.schedule(Job("work", id="c", trigger=every().minute))
        await peer.schedule(Job("work", id="once", when=timedelta(seconds=5)))
        await peer.schedule(Job("work", id="k", keyword="word"))
        await peer.schedule(Job("work", id="p", trigger=every().minute, paused=True))
        await asyncio.sleep(30)
        expected = minutely.created_at
        assert expected is not None
        assert await peer.next_fire_time("c") == expected + timedelta(minutes=1)
        # It is over, it waits for its word, it is paused.
        with pytest.raises(JobNotFoundError, match="has finished"):
            await peer.next_fire_time("once")
        assert await peer.state("once") is JobState.FINISHED
        assert await peer.next_fire_time("k") is None
        assert (await peer.get_job("k")).keyword == "word"
        assert await peer.next_fire_time("p") is None
        assert await peer.state("p") is JobState.PAUSED


# --- S4-05: parallel, or one after another ---


class Step(Task):
    """A task that takes three seconds, and notes which of them run."""

    def __init__(self, name: str, running: list[str], seen: list[list[str]]) -> None:
        self._name, self.running, self.seen = name, running, seen

    def name(self) -> str:
        return self._name

    async def goal(self) -> str:
        self.running.append(self._name)
        self.seen.append([*self.running])
        await asyncio.sleep(3)
        self.running.remove(self._name)
        return self._name.upper()


def _steps() -> tuple[list[Step], list[list[str]]]:
    running: list[str] = []
    seen: list[list[str]] = []
    return [Step(name, running, seen) for name in ("a", "b", "c")], seen


@pytest.mark.seed("S4-05")
@pytest.mark.virtual
@pytest.mark.parametrize(("overlap", "rounds"), [("skip", 3), ("queue", 5)])
async def test_one_after_another_over_all_peers(overlap: Any, rounds: int) -> None:
    steps, seen = _steps()
    async with World() as world:
        for number in range(3):
            peer = world.build(f"p{number}")
            # A slot each five seconds, and nine seconds of work: they would overlap.
            job = sequence_job(peer, "g", steps, every(5).seconds, overlap=overlap)
            peer.declare(job)
            await world.start(peer)
        await asyncio.sleep(51)
        result = (await peer.history("g", outcome="succeeded"))[0].run
        assert result is not None
        assert result.result == {"a": "A", "b": "B", "c": "C"}
    # Never two at a time, and always in order, round after round.
    assert all(len(together) == 1 for together in seen)
    names = [name for (name,) in seen]
    assert names == (["a", "b", "c"] * len(names))[: len(names)]
    assert len(names) >= 3 * rounds


@pytest.mark.seed("S4-05")
@pytest.mark.virtual
async def test_in_parallel_they_overlap() -> None:
    steps, seen = _steps()
    async with World() as world:
        peer = world.build("p0")
        for step in steps:
            peer.declare(task_job(peer, step, every(5).seconds))
        await world.start(peer)
        await asyncio.sleep(6)
    assert sorted(seen[-1]) == ["a", "b", "c"]


class Fails(Step):
    async def goal(self) -> str:
        raise ValueError(self._name)


@pytest.mark.seed("S4-05")
@pytest.mark.virtual
async def test_what_comes_after_a_failure_does_not_run() -> None:
    (first, _, last), seen = _steps()
    steps = [first, Fails("b", first.running, first.seen), last]
    async with World() as world:
        peer = await world.peer()
        await peer.schedule(sequence_job(peer, "g", steps))
        with pytest.raises(RunFailedError, match="b"):
            await peer.result("g")
        assert seen == [["a"]]
        again = Step("a", [], [])
        for wrong in ([], [again, again], [again, Plain()], [object()]):
            with pytest.raises(ConfigurationError) as caught:
                sequence_job(peer, "h", wrong)  # type: ignore[arg-type]
            assert caught.value.field.startswith("tasks")
        for options in ({"overlap": "allow"}, {"max_running": 2}):
            with pytest.raises(ConfigurationError, match="two sequences"):
                sequence_job(peer, "h", [again], **options)  # type: ignore[arg-type]
        assert "h" not in peer.registry


# --- S4-12: every public name is documented ---


def _public(home: Any) -> dict[str, Any]:
    return {name: getattr(home, name) for name in home.__all__ if name[0] != "_"}


@pytest.mark.seed("S4-12")
def test_every_public_name_says_what_it_is() -> None:
    bare: list[str] = []
    for home in (package, config, goals):
        for name, thing in _public(home).items():
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            if not inspect.getdoc(thing):
                bare.append(name)
            for member, value in vars(thing).items():
                own = getattr(value, "__func__", getattr(value, "fget", value))
                written = inspect.isfunction(own) and own.__module__.startswith("aio")
                if written and member[0] != "_" and not inspect.getdoc(own):
                    bare.append(f"{name}.{member}")
    for name, verb in inspect.getmembers(Scheduler, inspect.isfunction):
        text = inspect.getdoc(verb) or ""
        if name[0] != "_" and len(text) < 20:
            bare.append(f"Scheduler.{name}")
    assert bare == []


# --- S4-14 to S4-16: a job as a class ---


class Sweep(Task):
    """A task whose helpers must not be called by anybody."""

    def __init__(self, name: str = "sweep") -> None:
        self.begun: list[float] = []
        self._name = name

    def name(self) -> str:
        return self._name

    async def goal(self, step: int = 1) -> int:
        self.begun.append(now())
        return step

    def helper(self) -> None:
        raise AssertionError("helpers are free")

    def run(self) -> None:
        raise AssertionError("only the goal is called")

    def setup(self) -> None:
        raise AssertionError("only the goal is called")

    teardown = _private = helper


@pytest.mark.seed("S4-14", "S4-16")
@pytest.mark.virtual
async def test_a_class_with_a_name_and_a_goal() -> None:
    sweep = Sweep()
    scheduler = Scheduler()
    job = task_job(scheduler, sweep, every().minute, kwargs={"step": 3})
    assert (job.id, job.executor) == ("sweep", "sweep")
    scheduler.declare(job)
    async with scheduler:
        await asyncio.sleep(180.5)
        assert sweep.begun == [60, 120, 180]
        (run, *_) = (await scheduler.get_job("sweep")).recent
        assert run.result == 3


class Plain(Task):
    """A goal that is no coroutine, and asks for its context."""

    def goal(self, context: Context) -> list[str]:
        return [context.job_id, threading.current_thread().name]


@pytest.mark.seed("S4-14")
async def test_a_plain_goal_runs_in_a_thread_and_has_its_class_for_a_name() -> None:
    async with Scheduler() as scheduler:
        job = await scheduler.schedule(task_job(scheduler, Plain()))
        name, thread = await scheduler.result(job, timeout=10)
    assert name == "Plain"
    assert thread != threading.main_thread().name


@pytest.mark.seed("S4-15")
def test_a_name_is_taken_once() -> None:
    scheduler = Scheduler()
    scheduler.declare(task_job(scheduler, Sweep(), every().minute))
    with pytest.raises(ConfigurationError, match="another task has it") as caught:
        task_job(scheduler, Sweep(), every().hour)
    assert (caught.value.field, caught.value.value) == ("name", "sweep")
    task_job(scheduler, Sweep("other"), every().hour)
    assert scheduler.registry.names == ("other", "sweep")


@pytest.mark.seed("S4-15")
@pytest.mark.parametrize(
    ("task", "field"), [(object(), "task"), (Sweep, "task"), (Sweep(""), "name")]
)
def test_what_is_no_task_is_refused(task: Any, field: str) -> None:
    scheduler = Scheduler()
    with pytest.raises(ConfigurationError) as caught:
        task_job(scheduler, task)
    assert caught.value.field == field
    with pytest.raises(ConfigurationError, match="leave the id out"):
        task_job(scheduler, Sweep(), id="other")
    assert len(scheduler.registry) == 0


@pytest.mark.seed("S4-14")
def test_the_example_prints_each_tick() -> None:
    done = subprocess.run(
        [sys.executable, "examples/class_task.py"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["tick 1", "tick 2", "tick 3"]
