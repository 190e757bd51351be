"""What does the work, and who hears of it: S3-10, 12, 13, 15, 33, 34."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

import aiosched
from aiosched import (
    Context,
    Event,
    Executor,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Outcome,
    Run,
    Scheduler,
    Trigger,
)
from aiosched.clock import SystemClock
from tests.engine.kit import World, loop
from tests.seeds.stage import Stage
from tests.waiting import wait_until

_PACKAGE = Path(aiosched.__file__).parent


class Mail(Executor):
    """An executor with something in its hands."""

    def __init__(self, smtp: list[str]) -> None:
        self.smtp = smtp
        self.ready = False

    async def setup(self) -> None:
        self.ready = True

    async def run(self, context: Context, to: str) -> str:
        assert self.ready
        self.smtp.append(to)
        return f"sent to {to}"


class Count(Executor):
    """An executor that is given as a class, and does its work in a thread."""

    def __init__(self) -> None:
        self.count = 0

    def run(self, context: Context) -> int:
        self.count += 1
        return self.count


# --- S3-10, S3-33: anything may do the work, at any time ---


@pytest.mark.seed("S3-10", "S3-33")
async def test_executors_of_every_kind_are_registered_after_the_start(
    stage: Stage,
) -> None:
    async with stage:
        peer = await stage.peer()
        first: list[str] = []
        second: list[str] = []
        peer.register(Mail(first), name="mail")
        peer.register(Mail(second), name="mail.bulk")
        peer.register(Count)

        async def coroutine(context: Context) -> str:
            return "on the loop"

        def function() -> str:
            return "in a thread"

        peer.register(coroutine)
        peer.register(function, name="plain")
        to = {"to": "ada"}
        given: list[tuple[Any, dict[str, Any], Any]] = [
            ("mail", to, "sent to ada"),
            ("mail.bulk", to, "sent to ada"),
            (Count, {}, 1),
            ("Count", {}, 2),
            (coroutine, {}, "on the loop"),
            ("plain", {}, "in a thread"),
        ]
        for executor, kwargs, value in given:
            job = await peer.schedule(Job(executor, kwargs=kwargs))
            assert await peer.result(job, timeout=5) == value
        assert (first, second) == (["ada"], ["ada"])


@pytest.mark.seed("S3-10")
async def test_what_one_peer_registers_late_runs_what_another_has_stored(
    stage: Stage,
) -> None:
    async with stage:
        client, worker = await stage.two()
        job = await client.schedule(Job("later"), allow_unknown=True)
        worker.register(Mail([]), name="other")

        @worker.executor(name="later")
        async def anything() -> str:
            return "at last"

        assert await client.result(job, timeout=10) == "at last"


@pytest.mark.seed("S3-33")
def test_no_file_is_named_by_a_number() -> None:
    for path in _PACKAGE.rglob("*"):
        assert not re.search(r"executor[0-9]", path.name), path
        if path.suffix == ".py":
            assert not re.search(r"executor[0-9]", path.read_text("utf-8")), path
    assert not (_PACKAGE / "executors").exists()


# --- S3-12, S3-15, S3-34: events and callbacks in place of alert ---


@pytest.mark.seed("S3-12")
def test_nothing_public_is_called_alert() -> None:
    named = {name for name in dir(aiosched) if not name.startswith("_")}
    for name in aiosched.__all__:
        kind = getattr(aiosched, name)
        if inspect.isclass(kind):
            named |= {one for one in dir(kind) if not one.startswith("_")}
        if inspect.isclass(kind) and not issubclass(kind, Exception):
            named |= set(inspect.signature(kind).parameters)
    assert "on" in named
    assert "events" in named
    assert not [name for name in named if "alert" in name.lower()]


@pytest.mark.seed("S3-12")
async def test_events_tell_what_happened_without_being_needed(stage: Stage) -> None:
    async with stage:
        peer = await stage.peer()
        told: list[str] = []
        off = peer.on("*", lambda event: told.append(event.name))
        iterated = asyncio.ensure_future(_first(peer, "run_ended"))
        await asyncio.sleep(0)
        job = await peer.schedule(Job("note", kwargs={"value": 1}))
        await peer.result(job, timeout=5)
        assert (await iterated).job_id == job.id
        story = [name for name in told if name.startswith(("job_", "run_"))]
        assert story[:3] == ["job_scheduled", "run_started", "run_ended"]
        off()
        before = len(told)
        await peer.result(await peer.schedule(Job("note")), timeout=5)
        assert len(told) == before


async def _first(peer: Scheduler, name: str) -> Event:
    async for event in peer.events():
        if event.name == name:
            return event
    raise AssertionError("the events ended")


@pytest.mark.seed("S3-15")
async def test_callbacks_hear_of_runs_on_every_peer_and_harm_none(
    stage: Stage,
) -> None:
    async with stage:
        client, worker = await stage.two()
        plain: list[Run] = []
        awaited: list[Run] = []
        local: list[Run] = []

        def broken(run: Run) -> None:
            raise RuntimeError("a callback that fails")

        async def slowly(run: Run) -> None:
            await asyncio.sleep(0)
            awaited.append(run)

        await client.schedule(Job("note", id="good", keyword="go"))
        await client.schedule(Job("fail", id="bad", keyword="go"))
        client.add_done_callback(broken)
        client.add_done_callback(plain.append)
        off = client.add_done_callback(slowly, "good")
        worker.add_done_callback(local.append, "bad")
        firings = await client.fire_job("go")
        await wait_until(
            lambda: (len(plain), len(awaited), len(local)) == (2, 1, 1), "4 callbacks"
        )
        assert {run.outcome for run in plain} == {Outcome.SUCCEEDED, Outcome.FAILED}
        assert [run.job_id for run in awaited + local] == ["good", "bad"]
        good = (await client.get_job("good")).last_outcome
        assert good is Outcome.SUCCEEDED
        off()
        off()
        again = await client.fire_job("go")
        await wait_until(lambda: len(plain) == 4, "two more outcomes")
        assert len(awaited) == 1
        keys = {run.firing.id for run in plain}
        assert keys == {firing.id for firing in firings + again}


@pytest.mark.seed("S3-34")
async def test_peers_see_each_other_with_nothing_given_but_the_store(
    stage: Stage,
) -> None:
    async with stage:
        one, two = await stage.peer("one"), await stage.peer("two")

        async def seen() -> bool:
            known = [{peer.name for peer in await s.peers()} for s in (one, two)]
            return known == [{"one", "two"}] * 2

        await wait_until(seen, "the peers to know each other")
        await one.schedule(Job("note", id="a", keyword="k"))
        assert (await two.get_job("a")).keyword == "k"
        [firing] = await two.fire_job("k", {"value": 3})
        assert await one.result(firing, timeout=5) == 3


_OTHER_PROCESS = """
import asyncio, sys
from aiosched import Scheduler

async def main():
    peer = Scheduler(sys.argv[1], namespace=sys.argv[2], name="other process")

    @peer.executor
    async def there(word: str) -> str:
        return word.upper()

    async with peer:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@pytest.mark.seed("S3-34", "S3-57")
async def test_two_processes_work_together(redis_url: str) -> None:
    stage = Stage(redis_url)
    async with stage:
        client = await stage.peer("here", run_jobs=False)
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _OTHER_PROCESS, redis_url, "seeds"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert other.stdin
        assert other.stdout
        try:
            assert await asyncio.wait_for(other.stdout.readline(), 20) == b"ready\n"
            job = await client.schedule(Job("there", kwargs={"word": "heard"}))
            assert await client.result(job, timeout=5) == "HEARD"

            async def joined() -> bool:
                names = {peer.name for peer in await client.peers()}
                return names >= {"other process"}

            await wait_until(joined, "the other process among the peers")
        finally:
            other.stdin.close()
            assert await asyncio.wait_for(other.wait(), 20) == 0


# --- S3-13: one timer for any trigger, any clock ---


class Powers(Trigger, frozen=True):
    """A trigger of the user's own: 1, 2, 4, 8 … seconds after its start."""

    kind: Literal["test.powers"] = "test.powers"
    start: datetime

    def next_fire_time(self, after: datetime) -> datetime | None:
        step = timedelta(seconds=1)
        while self.start + step <= after:
            step *= 2
        return self.start + step


class WatchedClock(SystemClock):
    """A clock that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def monotonic(self) -> float:
        self.asked += 1
        return super().monotonic()


@pytest.mark.seed("S3-13")
@pytest.mark.virtual(timeout=100_000)
async def test_a_trigger_and_a_clock_of_ones_own() -> None:
    clock = WatchedClock()
    async with World(MemoryJobStore(clock), clock=clock) as world:
        p0 = await world.peer()
        start = datetime.fromtimestamp(loop().wall() / 1e6).astimezone()
        powers = Powers(start=start)
        await p0.schedule(Job("work", id="powers", trigger=powers, max_runs=13))
        tick = IntervalTrigger(seconds=1000, start=start)
        await p0.schedule(Job("work", id="tick", trigger=tick, max_runs=3))
        await asyncio.sleep(5000)
        assert world.begun("powers") == [float(2**n) for n in range(13)]
        assert world.begun("tick") == [0.0, 1000.0, 2000.0]
        assert clock.asked > 13
