"""Many want the same: S3-17, 27, 52.

``Racing`` forces every transaction of a peer to lose its first race: between its
read and its commit a rival writes the same job.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from aiosched import (
    AlreadyRunningError,
    Job,
    JobExistsError,
    JobNotFoundError,
    JobState,
    Outcome,
    Scheduler,
    open_store,
)
from aiosched.abc import JobStore, Session
from aiosched.testing.faults import FaultySession, FaultyStore
from tests.seeds.stage import FAST, Stage
from tests.waiting import wait_until

# --- forcing a race ---


class Racing(FaultyStore):
    """A store whose transactions are overtaken by ``rival``, once each."""

    def __init__(self, store: JobStore) -> None:
        super().__init__(store)
        self.rival: Callable[[], None] | None = None
        self.opened: list[Session] = []

    async def open(self, *args: Any, **options: Any) -> FaultySession:
        session = await super().open(*args, **options)
        self.opened.append(session)
        return _RacingSession(self, session.inner)


class _RacingSession(FaultySession):
    async def transact(self, ids: Any, decide: Any, **options: Any) -> Any:
        def overtaken(records: Any, now: int) -> Mapping[str, Any]:
            assert isinstance(self._store, Racing)
            rival, self._store.rival = self._store.rival, None
            if rival is not None:
                rival()
            answer: Mapping[str, Any] = decide(records, now)
            return answer

        return await super().transact(ids, overtaken, **options)


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to its end what never has to wait, as verbs on memory."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the rival had to wait")


class Rival:
    """A client in a thread of its own, which acts while the main one decides."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.client: Scheduler

    def act(self, verb: Callable[[Scheduler], Coroutine[Any, Any, Any]]) -> Any:
        """Do something, and return when it is done."""
        if not self._stage.url:
            return _at_once(verb(self.client))
        return asyncio.run_coroutine_threadsafe(verb(self.client), self._loop).result(9)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Live for a while."""
        options = {"namespace": self._stage.namespace, "run_jobs": False, **FAST}
        self.client = Scheduler(self._stage.store, name="rival", **options)
        self.client.register(_nothing, name="note")
        self._thread.start()
        try:
            if self._stage.url:
                self.act(lambda client: client.start())
                yield
                self.act(lambda client: client.shutdown())
            else:
                async with self.client:
                    yield
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join, 5)
            self._loop.close()


async def _nothing() -> None:
    pass


# --- S3-17: model-based ---


@dataclass
class _Model:
    """What one job must look like."""

    note: str = ""
    version: int = 1
    state: JobState = JobState.ACTIVE
    asked: int = 0
    waiting: int = 0


_NAMES = ("a", "b")
_VERBS = ("schedule", "modify", "pause", "resume", "start", "fire", "stop", "remove")


def _apply(models: dict[str, _Model], verb: str, name: str, note: str) -> object:
    """Do a verb to the model; return what it raises, or None."""
    if verb == "fire":
        for model in models.values():
            model.asked += 1
            model.waiting += 1
        return None
    model = models.get(name, _Model())
    if verb == "schedule":
        known = models.setdefault(name, model)
        return None if known.note == "" else JobExistsError
    if name not in models:
        return JobNotFoundError
    if verb == "modify":
        model.note, model.version = note, model.version + 1
    elif verb == "start":
        model.asked += 1
        model.waiting += 1
    elif verb == "remove":
        del models[name]
    else:
        model.state = JobState.ACTIVE if verb == "resume" else JobState.PAUSED
        model.waiting = 0 if verb == "stop" else model.waiting
    return None


async def _do(client: Scheduler, verb: str, name: str, note: str) -> object:
    """Do the verb; return the class of what it raises, or None."""
    verbs: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "schedule": lambda: client.schedule(
            Job("note", id=name, keyword="k", overlap="queue")
        ),
        "modify": lambda: client.modify(name, note=note),
        "pause": lambda: client.pause(name),
        "resume": lambda: client.resume(name),
        "start": lambda: client.start_job(name),
        "fire": lambda: client.fire_job("k"),
        "stop": lambda: client.stop_job(name),
        "remove": lambda: client.remove_job(name),
    }
    try:
        await verbs[verb]()
    except (JobNotFoundError, JobExistsError) as error:
        return type(error)
    return None


async def _seen(client: Scheduler) -> dict[str, _Model]:
    return {
        job.id: _Model(
            job.note,
            job.version,
            job.state or JobState.UNKNOWN,
            job.counts.asked,
            job.waiting,
        )
        for job in await client.get_jobs(limit=1000)
    }


@pytest.mark.seed("S3-17")
@pytest.mark.parametrize("seed", range(3))
async def test_verbs_that_are_overtaken_do_what_they_would_have_done_after(
    stage: Stage, seed: int
) -> None:
    source = random.Random(seed)
    racing = Racing(open_store(stage.store))
    rival = Rival(stage)
    models: dict[str, _Model] = {}
    overtaken = 0
    async with stage, rival.running():
        client = await stage.peer(run_jobs=False, store=racing)
        for step in range(70):
            mine = (source.choice(_VERBS), source.choice(_NAMES), f"mine {step}")
            theirs = (source.choice(_VERBS), source.choice(_NAMES), f"theirs {step}")
            answers: list[object] = []

            def act(theirs: Any = theirs, answers: list[object] = answers) -> None:
                answers.append(rival.act(lambda c: _do(c, *theirs)))

            racing.rival = act
            answer = await _do(client, *mine)
            racing.rival = None
            overtaken += len(answers)
            said = {mine: answer} | ({theirs: answers[0]} if answers else {})
            models = _in_one_order(models, said, await _seen(client))
        aborts = sum(session.counters.aborts for session in racing.opened)
    assert overtaken > 30
    assert aborts > 5


def _in_one_order(
    models: dict[str, _Model], said: dict[Any, object], seen: dict[str, _Model]
) -> dict[str, _Model]:
    """Find the order in which the verbs do what was seen; there has to be one."""
    for order in itertools.permutations(said):
        tried = {name: replace(model) for name, model in models.items()}
        answers = {verb: _apply(tried, *verb) for verb in order}
        if answers == said and tried == seen:
            return tried
    raise AssertionError(f"no order of {said} makes {seen} of {models}")


@pytest.mark.seed("S3-17")
async def test_a_claim_that_is_overtaken_starts_nothing_twice(stage: Stage) -> None:
    racing = Racing(open_store(stage.store))
    rival = Rival(stage)
    async with stage, rival.running():
        client = await stage.peer("client", run_jobs=False)
        await stage.peer("worker", store=racing)
        for number in range(30):
            job_id = f"j{number}"
            job = Job("note", id=job_id, keyword="k", overlap="allow")
            await client.schedule(job)

            def act(job_id: str = job_id) -> None:
                rival.act(lambda c: c.start_job(job_id))

            racing.rival = act
            await client.start_job(job_id)
            await stage.begun(job_id, 2)
        await client.drain(timeout=10)
        assert sum(session.counters.aborts for session in racing.opened) > 0
        assert len(stage.ran) == len({(ran.job, ran.key) for ran in stage.ran}) == 60


# --- S3-27: sixty-four contenders ---


@pytest.mark.seed("S3-27")
async def test_sixty_four_contenders_all_end(stage: Stage) -> None:
    async with stage:
        clients = [await stage.peer(run_jobs=False) for _ in range(16)]
        await clients[0].schedule(Job("note", id="a", keyword="k", max_running=1))
        notes = [f"by {n}" for n in range(64)]
        async with asyncio.timeout(30):
            versions = await asyncio.gather(
                *(clients[n % 16].modify("a", note=notes[n]) for n in range(64))
            )
        assert sorted(job.version for job in versions) == list(range(2, 66))
        job = await clients[5].get_job("a")
        assert job.version == 65
        last = max(versions, key=lambda one: one.version)
        assert job.note == last.note


# --- S3-52: a start looks at every peer ---


@pytest.mark.seed("S3-52")
async def test_a_job_that_runs_elsewhere_is_not_started_again(stage: Stage) -> None:
    async with stage:
        one, two = await stage.peer("one"), await stage.peer("two")
        job = await one.schedule(Job("hold", id="a", keyword="k"))
        firing = await one.start_job(job)
        await stage.begun("a")
        for peer in (one, two):
            with pytest.raises(AlreadyRunningError) as caught:
                await peer.start_job("a")
            assert caught.value.job_id == "a"
        stage.gate.set()
        assert await two.result(firing, timeout=5) == "held"
        again = await two.start_job("a")
        assert (await one.wait(again, timeout=5)).outcome is Outcome.SUCCEEDED
        assert len(stage.of("a")) == 2


@pytest.mark.seed("S3-52")
async def test_of_a_hundred_races_each_has_one_winner(stage: Stage) -> None:
    async with stage:
        peers = [await stage.peer() for _ in range(3)]
        for number in range(100):
            job_id = f"j{number}"
            await peers[0].schedule(Job("hold", id=job_id, keyword="k"))
            answers = await asyncio.gather(
                *(peer.start_job(job_id) for peer in peers), return_exceptions=True
            )
            refused = [a for a in answers if isinstance(a, AlreadyRunningError)]
            assert len(refused) == 2, answers
        await wait_until(lambda: len(stage.ran) == 100, "a hundred runs")
        assert len({ran.job for ran in stage.ran}) == 100
        stage.gate.set()
        await peers[0].drain(timeout=10)
        assert len(stage.ran) == 100
