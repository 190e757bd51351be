"""The virtual-time event loop: time, reports, threads, refusals, plugin."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import aiosched.testing
from aiosched.clock import SystemClock
from aiosched.testing import (
    START,
    NotSimulatedError,
    Stuck,
    VirtualLoop,
    run_virtual,
)

DAY = 86_400
SECOND = 1_000_000


def running() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


# Time


def test_a_day_of_one_second_ticks_is_counted_exactly() -> None:
    async def day() -> tuple[int, float]:
        ticks = 0
        async with asyncio.timeout(DAY + 0.5):
            while running().time() < DAY:
                await asyncio.sleep(1)
                ticks += 1
        return ticks, running().time()

    assert run_virtual(day) == (DAY, DAY)


@pytest.mark.parametrize("days", [98, 194, 195, 400, 40_000])
def test_far_time_does_not_spin(days: int) -> None:
    """Beyond 2**24 s a nanosecond of slack is less than a float's last digit."""

    async def main() -> float:
        await asyncio.sleep(days * DAY)
        before = running().time()
        for _ in range(10):
            await asyncio.sleep(0.1)
        await asyncio.sleep(1e-12)
        return running().time() - before

    assert run_virtual(main) == pytest.approx(1.0, abs=1e-4)


def test_timers_run_in_the_order_of_their_instants_never_early() -> None:
    async def main() -> list[tuple[float, float]]:
        seen: list[tuple[float, float]] = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((seconds, running().time()))

        async with asyncio.TaskGroup() as group:
            for seconds in (3, 0.1, 86_400, 0, 2.5, 0.1):
                group.create_task(sleeper(seconds))
        return seen

    assert run_virtual(main) == [(s, s) for s in (0, 0.1, 0.1, 2.5, 3, 86_400)]


def test_timers_of_one_instant_run_in_the_order_they_were_set_in() -> None:
    async def main() -> list[int]:
        order: list[int] = []
        for number in range(50):
            running().call_at(7 if number % 2 else 7.0, order.append, number)
            running().call_at(number % 10, int)
        await asyncio.sleep(8)
        return order

    assert run_virtual(main) == list(range(50))


def test_cancelled_timers_neither_move_time_nor_pile_up() -> None:
    async def main() -> tuple[float, int]:
        loop = running()
        for _ in range(1_000):
            loop.call_later(1_000_000, print).cancel()
        await asyncio.sleep(1)
        return loop.time(), len(loop._scheduled)

    time, left = run_virtual(main)
    assert time == 1
    assert left < 200


def test_timeouts_cost_nothing_and_fire_at_their_instant() -> None:
    async def main() -> float:
        async with asyncio.timeout(3600):
            await asyncio.sleep(3599)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(11), 10)
        return running().time()

    assert run_virtual(main) == 3599 + 3600 + 10


def test_block_lets_time_pass_for_everybody_and_makes_timers_late() -> None:
    async def main() -> list[float]:
        loop, late = running(), []
        for due in (1, 2, 9):
            loop.call_at(due, lambda: late.append(loop.time()))
        loop.block(5)
        assert late == []
        await asyncio.sleep(5)
        return late

    assert run_virtual(main) == [5, 5, 9]


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_impossible_durations_are_refused(seconds: float) -> None:
    async def main() -> None:
        running().spawn("p0", asyncio.sleep(0))
        with pytest.raises(ValueError, match="finite"):
            running().block(seconds)
        with pytest.raises(ValueError, match="finite"):
            running().stall("p0", seconds)

    run_virtual(main)


# The wall clock


def test_wall_time_is_start_plus_virtual_time() -> None:
    start = datetime(2027, 3, 27, 12, tzinfo=UTC)

    async def main() -> tuple[int, int]:
        before = SystemClock().wall()
        await asyncio.sleep(0.3)
        return before, SystemClock().wall()

    expected = int(start.timestamp()) * SECOND
    assert run_virtual(main, start=start) == (expected, expected + 300_000)
    assert run_virtual(main, start=expected) == (expected, expected + 300_000)
    assert run_virtual(main) == (START, START + 300_000)


def test_a_timer_for_a_whole_microsecond_finds_it_reached() -> None:
    async def main() -> None:
        loop = running()
        await asyncio.sleep(400 * DAY + 0.1)
        for step in range(1, 2_000):
            target = loop.wall() + step * 997
            await asyncio.sleep((target - loop.wall()) / SECOND)
            assert loop.wall() == target

    run_virtual(main)


def test_wall_steps_leave_timers_alone() -> None:
    async def main() -> None:
        loop = running()
        loop.step_wall(-3600)
        loop.step_wall(600)
        assert loop.wall() == START - 3000 * SECOND
        await asyncio.sleep(10)
        assert loop.time() == 10
        assert loop.wall() == START - 2990 * SECOND
        loop.set_wall_offset(5)
        assert loop.wall() == START + 15 * SECOND

    run_virtual(main)


def test_a_nodes_own_wall_clock_is_skewed_for_it_alone() -> None:
    async def main() -> tuple[int, int, int]:
        loop = running()
        loop.set_wall_offset(7, node="p1")
        loop.set_wall_offset(100)

        async def wall() -> int:
            return SystemClock().wall()

        return (
            await loop.spawn("p0", wall()),
            await loop.spawn("p1", wall()),
            await wall(),
        )

    here = START + 100 * SECOND
    assert run_virtual(main) == (here, here + 7 * SECOND, here)


def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        VirtualLoop(datetime(2024, 1, 1))  # noqa: DTZ001


# Reports instead of hangs


async def _never() -> None:
    never_set = asyncio.Event()
    await never_set.wait()


def test_a_deadlock_names_tasks_lines_and_what_they_wait_for() -> None:
    async def numbers() -> Any:
        yield 1
        await _never()

    async def consumer() -> None:
        async for _ in numbers():
            pass

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            inner = group.create_task(consumer(), name="the consumer")
            group.create_task(asyncio.wait_for(inner, None), name="the waiter")

    with pytest.raises(Stuck) as caught:
        run_virtual(main)
    report = str(caught.value)
    assert report.startswith(
        "nothing is ready and no timer is set (at virtual second 0"
    )
    assert "2024-01-01T00:00:00+00:00" in report
    assert caught.value.tasks == ("Task-1", "the consumer", "the waiter")
    assert "test_virtual_loop.py" in report
    assert "in consumer: async for _ in numbers():" in report
    assert "in _never: await never_set.wait()" in report
    assert "waits for <VirtualFuture pending" in report
    assert "waits for task 'the consumer'" in report


def test_a_sleep_for_ever_is_a_deadlock() -> None:
    with pytest.raises(Stuck, match="no timer is set"):
        run_virtual(asyncio.sleep(float("inf")))


@pytest.mark.parametrize("handles", [1, 7])
def test_turning_in_place_is_reported_as_a_livelock(handles: int) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.sleep(5)
        async with asyncio.TaskGroup() as group:
            for number in range(handles):
                group.create_task(spin(), name=f"spinner {number}")

    with pytest.raises(Stuck) as caught:
        run_virtual(main)
    assert caught.value.reason.startswith(
        "livelock: 200000 steps without a move of time (at virtual second 5"
    )
    assert "spinner 0" in caught.value.tasks
    assert "await asyncio.sleep(0)" in str(caught.value)
    assert "waits for nothing: it is ready to run" in str(caught.value)


def test_many_steps_are_no_livelock_while_time_moves() -> None:
    async def main() -> float:
        running().livelock_limit = 50
        for _ in range(1_000):
            await asyncio.sleep(0)
            await asyncio.sleep(1e-3)
        return running().time()

    assert run_virtual(main) == pytest.approx(1.0)


def test_a_time_limit_ends_what_would_tick_for_ever() -> None:
    async def tick() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(7)

    async def main() -> None:
        ticker = asyncio.create_task(tick(), name="ticker")
        try:
            await _never()
        finally:
            ticker.cancel()
            await asyncio.sleep(60)

    with pytest.raises(Stuck) as caught:
        run_virtual(main, timeout_virtual=1000)
    reason = "the deadline of 1000 virtual seconds passed (at virtual second 1000,"
    assert caught.value.reason.startswith(reason)
    assert "ticker" in caught.value.tasks
    assert not getattr(caught.value, "__notes__", [])


def test_a_task_that_ignores_its_cancellation_cannot_hang_the_end() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        asyncio.create_task(stubborn(), name="stubborn")  # noqa: RUF006
        await asyncio.sleep(1)

    with pytest.raises(Stuck, match="stubborn"):
        run_virtual(main)


def test_the_first_report_wins_over_a_stuck_clean_up() -> None:
    async def main() -> None:
        try:
            await _never()
        finally:
            await _never()

    with pytest.raises(Stuck, match="no timer is set") as caught:
        run_virtual(main)
    assert any("clean-up" in note for note in caught.value.__notes__)


def test_an_error_of_the_program_comes_out_as_it_is() -> None:
    async def main() -> None:
        await asyncio.sleep(10)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_virtual(main)


# Threads


def test_functions_of_executors_run_inline_and_take_no_time() -> None:
    async def main() -> None:
        seen = []

        def work(number: int) -> int:
            seen.append(threading.current_thread())
            return number * 2

        loop = running()
        assert await asyncio.to_thread(work, 21) == 42
        assert await loop.run_in_executor(None, work, 1) == 2
        assert seen == [threading.current_thread()] * 2
        assert loop.time() == 0

    run_virtual(main)


def test_a_thread_may_take_virtual_time() -> None:
    async def main() -> tuple[list[float], float]:
        loop = running()
        loop.thread_delay = 2.5
        ticks: list[float] = []
        loop.call_later(1, lambda: ticks.append(loop.time()))
        await asyncio.to_thread(loop.block, 4)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.to_thread(int)
        delays = iter([0.25, 0.5])
        loop.thread_delay = lambda: next(delays)
        await asyncio.to_thread(int)
        await asyncio.to_thread(int)
        return ticks, loop.time()

    assert run_virtual(main) == ([1], 2.5 + 4 + 1 + 0.75)


@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (KeyError("x"), KeyError),
        (StopIteration(), RuntimeError),
        (SystemExit(3), SystemExit),
    ],
)
def test_errors_of_threads_arrive(
    raised: BaseException, arrives: type[BaseException]
) -> None:
    def fail() -> None:
        raise raised

    async def main() -> BaseException | None:
        future = running().run_in_executor(None, fail)
        await asyncio.wait([future])
        return future.exception()

    assert isinstance(run_virtual(main), arrives)


def test_a_thread_cancelled_before_it_began_never_runs() -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        running().run_in_executor(None, seen.append, 1).cancel()
        await asyncio.sleep(1)
        return seen

    assert run_virtual(main) == []


def test_call_soon_threadsafe_from_a_real_thread_is_refused() -> None:
    async def main() -> BaseException:
        loop, caught = running(), []

        def stranger() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except NotSimulatedError as error:
                caught.append(error)

        thread = threading.Thread(target=stranger, name="stranger")
        thread.start()
        thread.join()
        with pytest.raises(Stuck, match="thread 'stranger' was refused"):
            raise loop._stuck("asked for")
        return caught[0]

    message = str(run_virtual(main))
    assert "call_soon_threadsafe from thread 'stranger'" in message
    assert "run_in_executor" in message


def test_call_soon_threadsafe_from_the_loops_own_thread_works() -> None:
    async def main() -> None:
        done = asyncio.Event()
        await asyncio.to_thread(running().call_soon_threadsafe, done.set)
        await done.wait()

    run_virtual(main)


def test_a_thread_that_would_wait_for_the_loop_is_refused() -> None:
    async def main() -> None:
        loop, coro = running(), asyncio.sleep(1)
        with pytest.raises(NotSimulatedError, match="coroutine function"):
            await asyncio.to_thread(asyncio.run_coroutine_threadsafe, coro, loop)
        await coro

    run_virtual(main)


# Real things


async def _add_reader() -> None:
    running().add_reader(0, print)


async def _signal() -> None:
    running().add_signal_handler(2, print)


async def _serve() -> None:
    await asyncio.start_server(print, "127.0.0.1", 0)


async def _udp() -> None:
    await running().create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))


async def _sock() -> None:
    await running().sock_recv(None, 1)


async def _eager() -> None:
    running().set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (lambda: asyncio.open_connection("127.0.0.1", 1), "loop.create_connection"),
        (_serve, "loop.create_server"),
        (lambda: running().getaddrinfo("localhost", 1), "loop.getaddrinfo"),
        (_add_reader, "loop.add_reader"),
        (_signal, "loop.add_signal_handler"),
        (_udp, "loop.create_datagram_endpoint"),
        (_sock, "loop.sock_recv"),
        (lambda: asyncio.create_subprocess_exec("true"), "loop.subprocess_exec"),
        (lambda: asyncio.create_subprocess_shell("true"), "loop.subprocess_shell"),
        (_eager, "loop.set_task_factory"),
    ],
)
def test_real_things_are_refused_with_a_remedy(
    act: Callable[[], Coroutine[Any, Any, object]], what: str
) -> None:
    async def main() -> None:
        await act()

    with pytest.raises(NotSimulatedError) as caught:
        run_virtual(main)
    assert caught.value.what == what
    assert str(caught.value).startswith(f"{what} is not available in virtual time: ")


def test_everything_a_selector_loop_adds_is_refused() -> None:
    """A new method of asyncio with a file descriptor must not slip through."""
    inherited = {"__init__", "__module__", "__doc__", "close"}
    real = {
        name
        for name in vars(asyncio.SelectorEventLoop.__mro__[1])
        if not name.startswith("_")
    } - inherited
    assert len(real) > 10
    missing = [
        name
        for name in sorted(real)
        if getattr(VirtualLoop, name).__doc__
        != "Refuse: a virtual-time loop has no real world."
    ]
    assert missing == []


# Order


def test_tasks_of_a_group_are_cancelled_in_the_order_of_their_birth() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def child(number: int) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                order.append(number)

        async def failing() -> None:
            await asyncio.sleep(1)
            raise ValueError

        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                for number in range(12):
                    group.create_task(child(number))
                group.create_task(failing())
        return order

    assert run_virtual(main) == list(range(12))


def test_sets_of_tasks_and_futures_iterate_alike_in_each_run() -> None:
    async def main() -> list[int]:
        loop = running()
        things: set[Any] = set()
        for number in range(300):
            if number % 3:
                things.add(loop.create_future())
            else:
                things.add(asyncio.create_task(asyncio.sleep(0)))
        await asyncio.sleep(1)
        return [hash(thing) for thing in things]

    runs = [run_virtual(main) for _ in range(3)]
    assert len(set(runs[0])) == 300
    assert runs[0] == sorted(runs[0])
    assert runs[0] == runs[1] == runs[2]


def test_names_of_tasks_do_not_depend_on_what_ran_before() -> None:
    async def main() -> str:
        return asyncio.create_task(asyncio.sleep(0)).get_name()

    first = run_virtual(main)
    assert run_virtual(main) == first


# Asyncio as it is


def test_runner_group_generators_and_debug_mode_work_unchanged() -> None:
    async def numbers(log: list[str]) -> Any:
        try:
            for number in range(10):
                yield number
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(0.5)
            log.append("closed")

    async def main() -> list[str]:
        log: list[str] = []
        async for number in numbers(log):
            if number == 3:
                break
        await asyncio.sleep(1)
        results = await asyncio.gather(asyncio.sleep(1, "a"), asyncio.sleep(2, "b"))
        assert results == ["a", "b"]
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.put(1))
            group.create_task(queue.put(2))
            assert await queue.get() + await queue.get() == 3
        assert running().get_debug()
        return log

    assert run_virtual(main, debug=True) == ["closed"]
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.sleep(DAY))
        runner.run(asyncio.sleep(DAY))
        assert runner.get_loop().time() == 2 * DAY


def test_what_is_left_running_is_cancelled_at_the_end() -> None:
    log: list[str] = []

    async def lasting() -> None:
        try:
            await _never()
        finally:
            await asyncio.sleep(3)
            log.append("cleaned up")

    async def main() -> None:
        log.append("begun")
        main.task = asyncio.create_task(lasting())  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    run_virtual(main)
    assert log == ["begun", "cleaned up"]


def test_the_package_needs_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; "
        "import aiosched.testing as t; print(t.VirtualLoop.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "VirtualLoop\n", done.stderr


# The pytest plugin


@pytest.mark.virtual
async def test_a_marked_test_sleeps_three_days_at_once() -> None:
    await asyncio.sleep(3 * DAY)
    assert running().time() == 3 * DAY


@pytest.fixture
async def an_hour_earlier() -> float:
    await asyncio.sleep(3600)
    return running().time()


@pytest.mark.virtual(start=datetime(2027, 10, 31, tzinfo=UTC), thread_delay=2)
async def test_the_mark_takes_options_and_fixtures_share_the_loop(
    an_hour_earlier: float,
) -> None:
    assert an_hour_earlier == running().time() == 3600
    await asyncio.to_thread(int)
    assert (
        running().wall()
        == int(datetime(2027, 10, 31, 1, 0, 2, tzinfo=UTC).timestamp()) * SECOND
    )


async def test_an_unmarked_test_keeps_its_ordinary_loop() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualLoop)


@pytest.mark.parametrize(
    "virtual", [False, pytest.param(True, marks=pytest.mark.virtual(timeout=100))]
)
async def test_a_parameter_may_bring_the_mark(*, virtual: bool) -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualLoop) is virtual


@pytest.fixture(params=[pytest.param(True, marks=pytest.mark.virtual), False])
async def of_a_fixture(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_a_fixtures_parameter_may_bring_it_too(*, of_a_fixture: bool) -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualLoop) is of_a_fixture


pytest_plugins = ["pytester"]


def test_the_plugin_reports_stuck_tests_and_wrong_options(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(aiosched.testing.__file__).parents[2]
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(root), path]).rstrip(os.pathsep)
    )
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    pytester.makeconftest('pytest_plugins = ["aiosched.testing.plugin"]')
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    pytester.makepyfile(
        test_stuck="""
        import asyncio, pytest

        @pytest.mark.virtual
        async def test_stuck():
            await asyncio.Event().wait()

        @pytest.mark.virtual(timeout=100)
        async def test_late():
            await asyncio.sleep(101)

        @pytest.mark.virtual
        async def test_fine():
            await asyncio.sleep(101)
        """,
        test_wrong="""
        import pytest

        @pytest.mark.virtual(begin=3)
        async def test_wrong():
            pass
        """,
    )
    result = pytester.runpytest_subprocess("test_stuck.py", "-p", "no:randomly")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["*Stuck: nothing is ready*", "*in test_stuck: await asyncio.Event().wait()*"]
    )
    result.stdout.fnmatch_lines(["*Stuck: the deadline of 100 virtual seconds passed*"])
    wrong = pytester.runpytest_subprocess("test_wrong.py")
    wrong.stdout.fnmatch_lines(["*test_wrong: mark.virtual got begin;*"])
