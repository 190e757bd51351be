"""The schedulers for threads: every verb, from anywhere, and never a deadlock."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aiosched import (
    BackgroundScheduler,
    BlockingScheduler,
    ConfigurationError,
    Context,
    Event,
    Job,
    JobNotFoundError,
    MemoryJobStore,
    Outcome,
    Run,
    RunFailedError,
    Scheduler,
    SchedulerStateError,
    StoreUnavailableError,
    UnknownExecutorError,
    WaitTimeoutError,
    every,
)
from aiosched.abc import Report, Session
from aiosched.background import BlockingIterator
from aiosched.testing import Fault, FaultyStore

SOON = 10.0
KINDS = [BackgroundScheduler, BlockingScheduler]
OWN = {"start", "shutdown", "run_forever", "executor"}
"""Verbs whose parameters differ on purpose, or that have overloads."""

VERBS = {
    name: verb
    for name, verb in inspect.getmembers(Scheduler, inspect.isfunction)
    if not name.startswith("_")
}


def add(a: int, b: int = 1) -> int:
    return a + b


# --- the verbs --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_there_and_blocks(kind: type, name: str) -> None:
    ours, theirs = getattr(kind, name), VERBS[name]
    assert inspect.isfunction(ours)
    assert not inspect.iscoroutinefunction(ours)
    assert ours.__doc__
    if name in OWN:
        return
    assert list(inspect.signature(ours).parameters.values()) == list(
        inspect.signature(theirs).parameters.values()
    )
    answer = str(inspect.signature(theirs).return_annotation)
    if answer.startswith("AsyncIterator"):
        assert inspect.signature(ours).return_annotation.startswith("BlockingIterator")
    else:
        assert str(inspect.signature(ours).return_annotation) == answer


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_no_verb_beyond(kind: type) -> None:
    members = inspect.getmembers(kind, inspect.isfunction)
    assert {name for name, _ in members if not name.startswith("_")} == set(VERBS)


def test_the_options_are_those_of_the_scheduler() -> None:
    ours = inspect.signature(BackgroundScheduler)
    assert ours.parameters == inspect.signature(Scheduler).parameters
    with pytest.raises(ConfigurationError, match="namespace"):
        BackgroundScheduler(namespace="{")


def test_a_program_without_a_loop_schedules_and_gets_a_result() -> None:
    with BackgroundScheduler(name="bg") as scheduler:
        scheduler.register(add)
        job = scheduler.schedule(Job(add, [1], {"b": 2}, id="sum"))
        assert job.version == 1
        assert scheduler.result("sum", timeout=SOON) == 3
        run = scheduler.wait("sum", timeout=SOON)
        assert run.outcome is Outcome.SUCCEEDED
        assert [entry.job_id for entry in scheduler.history("sum", runs_only=True)]
        assert [peer.name for peer in scheduler.peers()] == ["bg"]
        assert scheduler.health().ok
        assert (scheduler.name, scheduler.namespace) == ("bg", "aiosched")
        assert scheduler.id == scheduler.scheduler.id
        assert "add" in scheduler.registry
        assert "started" in repr(scheduler)
    assert "closed" in repr(scheduler)


def test_decorators_and_declared_jobs_before_the_start() -> None:
    scheduler = BackgroundScheduler()
    ran = threading.Event()

    @scheduler.job(every(1).hours, id="hourly")
    def hourly() -> None:
        ran.set()

    @scheduler.executor(name="twice")
    def doubled(number: int) -> int:
        return number * 2

    @scheduler.executor
    async def halved(number: int) -> float:
        return number / 2

    with scheduler:
        scheduler.start_job("hourly")
        assert ran.wait(SOON)
        assert (
            scheduler.result(scheduler.schedule(Job("twice", [4])), timeout=SOON) == 8
        )
        assert scheduler.result(scheduler.schedule(Job(halved, [4])), timeout=SOON) == 2
        with pytest.raises(SchedulerStateError, match="before the start"):
            scheduler.declare(Job("twice", [1], id="late"))


def test_errors_are_those_of_the_verbs() -> None:
    def failing() -> None:
        raise LookupError("nothing there")

    with BackgroundScheduler() as scheduler:
        with pytest.raises(JobNotFoundError):
            scheduler.get_job("nobody")
        with pytest.raises(UnknownExecutorError):
            scheduler.schedule(Job("nobody"))
        with pytest.raises(TypeError, match="unexpected keyword"):
            scheduler.get_job("a", colour="red")  # type: ignore[call-arg]
        scheduler.register(failing)
        with pytest.raises(RunFailedError, match="nothing there"):
            scheduler.result(scheduler.schedule(Job(failing)), timeout=SOON)


def test_a_timeout_ends_the_waiting_and_not_the_run() -> None:
    go_on = threading.Event()

    def held() -> str:
        assert go_on.wait(SOON)
        return "ended"

    with BackgroundScheduler() as scheduler:
        scheduler.register(held)
        job = scheduler.schedule(Job(held, id="held"))
        with pytest.raises(WaitTimeoutError):
            scheduler.wait(job, timeout=0.01)
        go_on.set()
        assert scheduler.result(job, timeout=SOON) == "ended"


def test_the_in_operator() -> None:
    with BackgroundScheduler() as scheduler:
        scheduler.register(add)
        assert "id" not in scheduler
        job = scheduler.schedule(Job(add, [1], id="id", trigger=every(1).hours))
        assert "id" in scheduler
        assert job in scheduler
        scheduler.remove_job("id")
        assert "id" not in scheduler
        with pytest.raises(ConfigurationError, match="names no job"):
            5 in scheduler  # type: ignore[operator]  # noqa: B015


# --- threads ----------------------------------------------------------------------


def test_many_threads_call_at_once() -> None:
    with BackgroundScheduler() as scheduler, ThreadPoolExecutor(16) as pool:
        scheduler.register(add)

        def one(number: int) -> Any:
            job = scheduler.schedule(Job(add, [number], id=f"n{number}"))
            return scheduler.result(job, timeout=SOON)

        assert list(pool.map(one, range(100))) == list(range(1, 101))


def test_a_function_that_is_run_as_a_job_may_use_every_verb() -> None:
    with BackgroundScheduler() as scheduler:

        def outer() -> int:
            inner = scheduler.schedule(Job(add, [40], {"b": 2}))
            return scheduler.result(inner, timeout=SOON)  # type: ignore[no-any-return]

        scheduler.register(add)
        scheduler.register(outer)
        assert scheduler.result(scheduler.schedule(Job(outer)), timeout=SOON) == 42


def test_a_call_on_the_own_loop_says_so_and_waits_for_nobody() -> None:
    with BackgroundScheduler() as scheduler:

        async def deadlocking(verb: str) -> str:
            call = {
                "get_jobs": scheduler.get_jobs,
                "shutdown": scheduler.shutdown,
                "start": scheduler.start,
                "in": lambda: "a" in scheduler,
            }[verb]
            with pytest.raises(SchedulerStateError) as refused:
                call()
            return str(refused.value)

        async def rightly() -> list[str]:
            return [job.id for job in await scheduler.scheduler.get_jobs(limit=1)]

        scheduler.register(deadlocking)
        scheduler.register(rightly)
        for verb in ("get_jobs", "shutdown", "in"):
            job = scheduler.schedule(Job(deadlocking, [verb]))
            assert "own loop" in scheduler.result(job, timeout=SOON)
        job = scheduler.schedule(Job(deadlocking, ["start"]))
        assert "started already" in scheduler.result(job, timeout=SOON)
        job = scheduler.schedule(Job(rightly, id="rightly"))
        assert scheduler.result(job, timeout=SOON) == ["rightly"]
        # What does not wait may be called there, too.
        assert scheduler.result(
            scheduler.schedule(Job(_registering(scheduler))), timeout=SOON
        )


def _registering(scheduler: BackgroundScheduler) -> Callable[..., Any]:
    async def registering() -> bool:
        scheduler.register(add, name="late")
        return scheduler.health().ok

    scheduler.register(registering)
    return registering


def test_executors_that_are_registered_later_are_set_up() -> None:
    class Late:
        ready = False

        async def setup(self) -> None:
            self.ready = True

        async def run(self, context: Context) -> bool:
            return self.ready

    with BackgroundScheduler() as scheduler:
        scheduler.register(Late(), name="late")
        assert scheduler.result(scheduler.schedule(Job("late")), timeout=SOON) is True


def test_coroutines_run_in_the_thread_of_the_scheduler() -> None:
    with BackgroundScheduler(name="bg") as scheduler:

        async def where() -> str:
            return threading.current_thread().name

        scheduler.register(where)
        job = scheduler.schedule(Job(where))
        assert scheduler.result(job, timeout=SOON) == "aiosched bg"
        names = {thread.name: thread.daemon for thread in threading.enumerate()}
        assert names["aiosched bg"] is False
    assert "aiosched bg" not in {thread.name for thread in threading.enumerate()}


# --- listeners --------------------------------------------------------------------


def test_events_are_iterated_over_and_end_with_the_scheduler() -> None:
    with BackgroundScheduler() as scheduler:
        scheduler.register(add)
        events = scheduler.events("run_ended", job="sum")
        assert isinstance(events, BlockingIterator)
        scheduler.schedule(Job(add, [1], id="sum"))
        assert next(events).job_id == "sum"
        every_event = scheduler.events()
        scheduler.schedule(Job(add, [1], id="more", trigger=every(1).hours))
    assert "job_scheduled" in [event.name for event in every_event]
    assert list(events) == []
    assert list(events) == []
    with pytest.raises(SchedulerStateError, match="no more events"):
        scheduler.events()


def test_a_thread_that_waits_for_an_event_is_let_go_by_a_shutdown() -> None:
    with BackgroundScheduler() as scheduler, ThreadPoolExecutor(1) as pool:
        events = scheduler.events("job_removed")
        heard = pool.submit(list, events)
        scheduler.shutdown()
        assert heard.result(SOON) == []


def test_plain_listeners_are_called_in_order_where_every_verb_works() -> None:
    heard: list[tuple[str, bool]] = []
    threads: set[str] = set()
    all_heard = threading.Event()

    with BackgroundScheduler() as scheduler:

        def listener(event: Event) -> None:
            threads.add(threading.current_thread().name)
            heard.append((str(event.job_id), str(event.job_id) in scheduler))
            if len(heard) == 20:
                all_heard.set()

        end = scheduler.on("job_scheduled", listener)
        jobs = [Job("add", [1], id=f"n{n}", trigger=every(1).hours) for n in range(20)]
        scheduler.register(add)
        for job in jobs:
            scheduler.schedule(job)
        assert all_heard.wait(SOON)
        end()
        scheduler.schedule(Job("add", [1], id="unheard", trigger=every(1).hours))
    assert heard == [(job.id, True) for job in jobs]
    assert all("listeners" in name for name in threads)


def test_listeners_of_all_kinds() -> None:
    done: list[Outcome | None] = []
    seen: list[str] = []
    ended = threading.Event()

    def callback(run: Run) -> None:
        done.append(run.outcome)
        ended.set()

    async def on_the_loop(event: Event) -> None:
        seen.append(threading.current_thread().name)

    with BackgroundScheduler(name="bg") as scheduler:
        scheduler.register(add)
        scheduler.on("run_ended", on_the_loop)
        scheduler.on_missed(print)
        end = scheduler.add_done_callback(callback, "sum")
        failed = scheduler.events("callback_failed")
        scheduler.on("run_ended", lambda event: 1 / 0)
        scheduler.schedule(Job(add, [1], id="sum"))
        assert ended.wait(SOON)
        assert isinstance(next(failed).data["error"], ZeroDivisionError)
        end()
        end()
        with pytest.raises(ConfigurationError, match="no event is named"):
            scheduler.on("nothing", print)
        with pytest.raises(ConfigurationError, match="cannot be called"):
            scheduler.on("run_ended", 5)  # type: ignore[arg-type]
    assert done == [Outcome.SUCCEEDED]
    assert seen == ["aiosched bg"]


# --- start and end ----------------------------------------------------------------


def test_before_the_start_and_after_the_end() -> None:
    scheduler = BackgroundScheduler()
    for call in (scheduler.get_jobs, scheduler.hold, lambda: "a" in scheduler):
        with pytest.raises(SchedulerStateError, match="not started; call start"):
            call()
    with scheduler, pytest.raises(SchedulerStateError, match="started already"):
        scheduler.start()
    scheduler.shutdown()
    scheduler.shutdown(force=True)
    for call in (scheduler.get_jobs, scheduler.start, lambda: "a" in scheduler):
        with pytest.raises(SchedulerStateError, match="closed; build a new one"):
            call()
    never = BackgroundScheduler()
    never.shutdown()
    with pytest.raises(SchedulerStateError, match="closed"):
        never.start()
    with pytest.raises(ConfigurationError, match="grace"):
        never.shutdown(grace="soon")  # type: ignore[arg-type]


def test_many_start_and_many_end_it_once() -> None:
    scheduler = BackgroundScheduler()
    with ThreadPoolExecutor(8) as pool:
        starts = [pool.submit(scheduler.start) for _ in range(8)]
        failed = [start.exception(SOON) for start in starts]
        assert failed.count(None) == 1
        assert {type(error) for error in failed} == {type(None), SchedulerStateError}
        calls = [pool.submit(scheduler.get_jobs) for _ in range(50)]
        ends = [pool.submit(scheduler.shutdown) for _ in range(8)]
        assert [end.result(SOON) for end in ends] == [None] * 8
        # Every call has an outcome, whichever way it went.
        for call in calls:
            assert isinstance(call.exception(SOON), type(None) | SchedulerStateError)


def test_a_shutdown_lets_runs_end_or_cancels_them() -> None:
    begun, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def held() -> None:
        begun.set()
        assert go_on.wait(SOON)
        ended.append("held")

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        gentle = BackgroundScheduler()
        gentle.start()
        gentle.register(held)
        gentle.schedule(Job(held))
        assert begun.wait(SOON)
        ending = pool.submit(gentle.shutdown)
        go_on.set()
        ending.result(SOON)
        assert ended == ["held"]
    begun.clear()
    with BackgroundScheduler() as forced:
        forced.register(endless)
        forced.schedule(Job(endless))
        assert begun.wait(SOON)
        forced.shutdown(force=True)


def test_a_job_may_end_its_scheduler() -> None:
    scheduler = BackgroundScheduler()
    scheduler.start()

    def last() -> None:
        scheduler.shutdown(force=True)

    scheduler.register(last)
    scheduler.schedule(Job(last))
    scheduler.run_forever()
    assert "closed" in repr(scheduler)


class Stubborn(MemoryJobStore):
    """A store that is away at first."""

    away = 1

    async def open(
        self, namespace: str, terms: Mapping[str, Any], *, report: Report | None = None
    ) -> Session:
        self.away -= 1
        if self.away >= 0:
            raise StoreUnavailableError("nobody is at home")
        return await super().open(namespace, terms, report=report)


def test_a_start_that_fails_may_be_tried_again() -> None:
    scheduler = BackgroundScheduler(Stubborn())
    scheduler.register(add)
    heard = threading.Event()
    scheduler.on("job_scheduled", lambda _: heard.set())
    with pytest.raises(StoreUnavailableError, match="nobody is at home"):
        scheduler.start()
    assert [t for t in threading.enumerate() if not t.daemon] == [
        threading.main_thread()
    ]
    with scheduler:
        job = scheduler.schedule(Job(add, [1]))
        assert scheduler.result(job, timeout=SOON) == 2
        assert heard.wait(SOON)


def test_what_makes_the_scheduler_fail_is_told() -> None:
    store = FaultyStore(MemoryJobStore())
    scheduler = BackgroundScheduler(store)
    scheduler.start()

    async def broken(one: Scheduler) -> None:
        error = ZeroDivisionError("a bug of a service")
        store.plan(Fault("beat", kind="error", error=error))
        assert one._engine is not None
        one._engine.membership.wake()

    scheduler._call(broken)
    with pytest.raises(ZeroDivisionError, match="a bug of a service"):
        scheduler.run_forever()
    with pytest.raises(SchedulerStateError, match="has failed: ZeroDivisionError"):
        scheduler.get_jobs()
    scheduler.shutdown()
    assert "closed" in repr(scheduler)


def test_a_memory_store_belongs_to_one_loop() -> None:
    store = MemoryJobStore()
    with BackgroundScheduler(store), pytest.raises(ConfigurationError, match="loop"):
        BackgroundScheduler(store).start()
    with BackgroundScheduler(store) as again:
        assert again.get_jobs() == []


def test_it_may_be_held() -> None:
    scheduler = BackgroundScheduler()
    scheduler.start(paused=True)
    scheduler.register(add)
    scheduler.schedule(Job(add, [1], id="sum"))
    assert [run.result for run in scheduler.run_pending(timeout=SOON)] == [2]
    scheduler.release()
    scheduler.hold()
    scheduler.shutdown()


def test_a_blocking_scheduler_runs_where_it_is_started() -> None:
    scheduler = BlockingScheduler(name="front")
    where: list[str] = []

    async def noted() -> None:
        where.append(threading.current_thread().name)

    def last() -> None:
        scheduler.shutdown(force=True)

    scheduler.register(noted)
    scheduler.job(every(1).hours, id="noted")(noted)
    scheduler.register(last)
    ready = threading.Event()
    scheduler.on("run_ended", lambda event: ready.set())

    def other() -> None:
        scheduler.result(scheduler.start_job("noted"), timeout=SOON)
        assert ready.wait(SOON)
        scheduler.schedule(Job(last))

    caller = _when_started(scheduler, other)
    scheduler.start()
    caller.join(SOON)
    assert where == [threading.current_thread().name]
    with pytest.raises(SchedulerStateError, match="closed"):
        scheduler.start()


class Opening:
    """An executor that tells when its scheduler is about to be ready."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    async def setup(self) -> None:
        self.begun.set()

    async def run(self, context: Context) -> None:
        """Do nothing."""


def _when_started(scheduler: BlockingScheduler, then: Callable[[], object]) -> Any:
    """Have a thread call something when another has started the scheduler."""
    opening = Opening()
    scheduler.register(opening)

    def wait() -> None:
        assert opening.begun.wait(SOON)
        scheduler.get_jobs()  # waits for the rest of the start
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_blocking_scheduler_tells_why_it_did_not_start() -> None:
    scheduler = BlockingScheduler(Stubborn())
    with pytest.raises(StoreUnavailableError, match="nobody is at home"):
        scheduler.start()
    caller = _when_started(scheduler, scheduler.shutdown)
    scheduler.run_forever()
    caller.join(SOON)
