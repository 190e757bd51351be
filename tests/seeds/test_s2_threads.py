"""Schedulers for programs without a loop: S2-10 to S2-14, S4-03 to S4-20, S5-R05."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections import Counter

import pytest

from aiosched import (
    BackgroundScheduler,
    Context,
    Job,
    Run,
    SchedulerStateError,
    every,
)
from aiosched.cli.app import main
from tests.background.scripts import ROOT, program, said
from tests.seeds.stage import FAST

SOON = 10.0
EXAMPLES = ROOT / "examples"


def example(name: str) -> str:
    """Return what an example holds."""
    return (EXAMPLES / name).read_text(encoding="utf-8")


@pytest.mark.seed("S2-10")
def test_one_object_is_enough() -> None:
    assert len(example("hello.py").splitlines()) <= 10
    assert said(example("hello.py")) == ["hello"]


@pytest.mark.seed("S2-11")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_blocking_scheduler_runs_until_a_signal(number: signal.Signals) -> None:
    with program(example("blocking.py")) as running:
        assert running.line() == "tick in MainThread"
        running.signal(number)
        status, out = running.end()
    assert status == 0
    assert out.splitlines()[-1] == "ended"


@pytest.mark.seed("S2-12")
def test_a_script_without_any_loop_schedules_and_gets_a_result() -> None:
    assert said(example("background.py")) == ["hello from aiosched beside"]


@pytest.mark.seed("S2-14")
def test_among_greenlets() -> None:
    with program(example("gevent_app.py")) as running:
        status, out = running.end()
    assert (status, out.splitlines()[-1]) == (0, "['done', 'done', 'done']")


@pytest.mark.seed("S4-03", "S4-18")
def test_a_thread_of_its_own_or_the_callers() -> None:
    with BackgroundScheduler(name="beside") as beside:

        async def here() -> str:
            return threading.current_thread().name

        beside.register(here)
        name = beside.result(beside.schedule(Job(here)), timeout=SOON)
    assert name == "aiosched beside"
    assert name != threading.main_thread().name
    with program(example("blocking.py")) as running:
        assert running.line() == "tick in MainThread"


@pytest.mark.seed("S4-19")
def test_scheduling_once_is_enough_and_another_process_sees_it(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with BackgroundScheduler(redis_url, **FAST) as scheduler:
        ran = threading.Semaphore(0)
        scheduler.register(ran.release, name="tick")
        ticks = every(1).seconds
        scheduler.schedule(Job("tick", id="tick", trigger=ticks))
        assert ran.acquire(timeout=SOON)
        assert ran.acquire(timeout=SOON)  # without being asked again
        assert main(["jobs", "--store", redis_url]) == 0
        assert "tick" in capsys.readouterr().out


@pytest.mark.seed("S4-20")
def test_what_one_job_says_is_its_own() -> None:
    with BackgroundScheduler() as scheduler:
        ran: Counter[str] = Counter()
        twice = threading.Event()

        def note(context: Context) -> None:
            ran[context.job_id] += 1
            if ran["again"] == 2:
                twice.set()

        scheduler.register(note)
        scheduler.schedule(Job(note, id="again", trigger=every(1).seconds, max_runs=2))
        once = scheduler.schedule(Job(note, id="once"))
        assert once.trigger is None or once.max_runs != 2
        assert twice.wait(SOON)
        scheduler.drain(timeout=SOON)
        assert ran == {"again": 2, "once": 1}


@pytest.mark.seed("S4-08")
def test_a_second_start_says_so_and_doubles_nothing() -> None:
    scheduler = BackgroundScheduler()
    keys: list[str] = []
    three = threading.Event()

    def note(context: Context) -> None:
        keys.append(context.run_id)
        if len(keys) == 3:
            three.set()

    scheduler.job(every(1).seconds, id="tick", max_runs=3)(note)
    with scheduler:
        for _ in range(2):
            with pytest.raises(SchedulerStateError, match="started already"):
                scheduler.start()
        names = [thread.name for thread in threading.enumerate()]
        assert names.count(f"aiosched {scheduler.name}") == 1
        assert three.wait(SOON)
        scheduler.drain(timeout=SOON)
    assert len(keys) == len(set(keys)) == 3


@pytest.mark.seed("S4-09")
def test_a_safe_stop_lets_all_that_was_begun_end_and_a_forced_one_does_not() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    ended: list[int] = []

    def work(number: int) -> None:
        begun.release()
        assert go_on.wait(SOON)
        ended.append(number)

    safe = BackgroundScheduler()
    safe.register(work)
    with safe:
        safe.schedule_many([Job(work, [number]) for number in range(10)])
        for _ in range(10):
            assert begun.acquire(timeout=SOON)
        stopping = threading.Thread(target=safe.shutdown)
        stopping.start()
        go_on.set()
        stopping.join(SOON)
        assert sorted(ended) == list(range(10))

    async def endless() -> None:
        begun.release()
        await asyncio.Event().wait()

    forced = BackgroundScheduler()
    forced.register(endless)
    with forced:
        forced.schedule_many([Job(endless) for _ in range(10)])
        for _ in range(10):
            assert begun.acquire(timeout=SOON)
        heard: list[Run] = []
        forced.on("run_ended", lambda event: heard.append(event.data["run"]))
        forced.shutdown(force=True)
        assert [run.reason.value for run in heard] == ["shutdown"] * 10


@pytest.mark.seed("S4-09")
def test_what_is_due_is_drained_before_a_safe_stop() -> None:
    done: list[int] = []
    with BackgroundScheduler(max_concurrency=2) as scheduler:
        scheduler.register(done.append, name="work")
        scheduler.schedule_many([Job("work", [number]) for number in range(10)])
        scheduler.drain(timeout=SOON)
        scheduler.shutdown()
    assert sorted(done) == list(range(10))


@pytest.mark.seed("S1-P16")
def test_in_the_background_in_parallel_with_a_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="aiosched")
    both = threading.Barrier(2, timeout=SOON)
    with BackgroundScheduler(name="beside") as scheduler:
        scheduler.register(both.wait, name="meet")
        jobs = [
            scheduler.schedule(Job("meet", id=i, trigger=every(1).hours)) for i in "ab"
        ]
        firings = [scheduler.start_job(job) for job in jobs]
        for firing in firings:  # neither could end without the other
            scheduler.result(firing, timeout=SOON)
        shown = repr(scheduler.get_job("a"))
        assert "next_fire_time=datetime" in shown or "next_fire_time='" in shown
        assert "last_fire_time" in shown
    assert "scheduler beside has started" in caplog.text
    assert "scheduler beside has ended" in caplog.text


@pytest.mark.seed("S5-R05")
def test_the_in_operator() -> None:
    with BackgroundScheduler() as scheduler:
        scheduler.register(print, name="print")
        assert "id" not in scheduler
        job = scheduler.schedule(Job("print", id="id", trigger=every(1).hours))
        assert "id" in scheduler
        assert job in scheduler
        scheduler.remove_job("id")
        assert "id" not in scheduler
