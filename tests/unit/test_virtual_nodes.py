"""Nodes on the virtual-time loop: stall, crash, burial, order between nodes."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aiosched.testing
from aiosched.testing import NODE, Stuck, VirtualLoop, run_virtual


def running() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


async def ticker(log: list[Any], every: float = 1.0) -> None:
    while True:
        await asyncio.sleep(every)
        log.append(running().time())


# Who belongs to whom


def test_everything_a_node_makes_is_the_nodes() -> None:
    async def main() -> dict[str, str | None]:
        seen: dict[str, str | None] = {}
        done = asyncio.Event()

        def note(what: str) -> None:
            seen[what] = NODE.get()

        async def inner() -> None:
            note("task")
            running().call_soon(note, "callback")
            running().call_later(5, note, "timer")
            await asyncio.to_thread(note, "thread")
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1)).add_done_callback(
                    lambda _: note("done callback")
                )
            done.set()

        async def outer() -> None:
            note("spawned")
            await asyncio.create_task(inner())

        task = running().spawn("p1", outer(), name="outer of p1")
        assert task.get_name() == "outer of p1"
        await done.wait()
        await asyncio.sleep(10)
        note("main")
        return seen

    seen = run_virtual(main)
    assert seen.pop("main") is None
    expected = ("task", "callback", "timer", "thread", "done callback", "spawned")
    assert seen == dict.fromkeys(expected, "p1")


def test_the_loop_holds_what_it_spawned() -> None:
    async def alone(log: list[str]) -> None:
        waiting_for_nobody = asyncio.get_running_loop().create_future()
        try:
            await waiting_for_nobody
        finally:
            log.append("collected")

    async def main() -> list[str]:
        log: list[str] = []
        running().spawn("p0", alone(log))
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(1)
        return list(log)

    assert run_virtual(main) == []


# Stall


def test_a_stalled_nodes_timers_run_late_at_once_and_in_order() -> None:
    async def main() -> None:
        loop = running()
        stalled: list[float] = []
        other: list[float] = []
        loop.spawn("p0", ticker(stalled))
        loop.spawn("p1", ticker(other))
        order: list[int] = []
        context = loop.node_context("p0")
        for due in (6, 4, 5):
            loop.call_at(due, order.append, due, context=context)
        await asyncio.sleep(2.5)
        loop.stall("p0", 7)
        await asyncio.sleep(8.7)
        assert other == list(range(1, 12))
        assert stalled == [1, 2, 9.5, 10.5]
        assert order == [4, 5, 6]

    run_virtual(main)


def test_a_node_stalls_itself_at_its_next_await() -> None:
    async def main() -> list[float]:
        loop, log = running(), []

        async def blocking() -> None:
            loop.stall("p0", 10)
            log.append(loop.time())
            await asyncio.sleep(0)
            log.append(loop.time())

        await loop.spawn("p0", blocking())
        return log

    assert run_virtual(main) == [0, 10]


def test_overlapping_stalls_end_at_the_later_end() -> None:
    async def main() -> list[float]:
        loop, log = running(), []
        loop.spawn("p0", ticker(log))
        loop.stall("p0", 3)
        await asyncio.sleep(1)
        loop.stall("p0", 5)
        loop.stall("p0", 1)
        await asyncio.sleep(6.5)
        loop.stall("p0", 2)
        await asyncio.sleep(3.5)
        return log

    assert run_virtual(main) == [7, 9.5, 10.5]


def test_what_arrives_for_a_stalled_node_waits_for_it() -> None:
    async def main() -> float:
        loop = running()
        event = asyncio.Event()

        async def waiting() -> float:
            await event.wait()
            return loop.time()

        task = loop.spawn("p0", waiting())
        await asyncio.sleep(1)
        loop.stall("p0", 30)
        event.set()
        return await task

    assert run_virtual(main) == 31


def test_a_parked_timer_can_still_be_cancelled() -> None:
    async def main() -> list[int]:
        loop, log = running(), []
        timer = loop.call_at(1, log.append, 1, context=loop.node_context("p0"))
        loop.stall("p0", 10)
        await asyncio.sleep(5)
        timer.cancel()
        await asyncio.sleep(10)
        return log

    assert run_virtual(main) == []


# Crash


def test_a_crashed_node_runs_no_more_not_even_its_finally() -> None:
    log: list[str] = []

    async def working() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner())
                group.create_task(inner())
        finally:
            log.append("outer finally")

    async def inner() -> None:
        try:
            async with asyncio.timeout(50):
                await asyncio.sleep(100)
        finally:
            log.append("inner finally")

    async def main() -> None:
        loop = running()
        loop.spawn("p0", working())
        loop.call_later(20, log.append, "timer of main")
        loop.call_later(20, log.append, "timer of p0", context=loop.node_context("p0"))
        await asyncio.sleep(10)
        loop.crash("p0")
        loop.crash("p0")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(1000)
        log.append("end of the simulation")

    run_virtual(main)
    assert log[:2] == ["timer of main", "end of the simulation"]
    assert sorted(log[2:]) == ["inner finally", "inner finally", "outer finally"]


def test_the_timers_of_the_dead_do_not_move_time() -> None:
    async def main() -> None:
        loop = running()
        loop.spawn("p0", ticker([]))
        await asyncio.sleep(10.5)
        loop.crash("p0")
        await asyncio.Event().wait()

    with pytest.raises(Stuck) as caught:
        run_virtual(main)
    assert "virtual second 10.5" in caught.value.reason
    assert "node 'p0' has crashed" in str(caught.value)
    assert caught.value.tasks == ("Task-1",)


def test_waiting_for_the_dead_is_reported_as_such() -> None:
    async def main() -> None:
        loop = running()
        task = loop.spawn("p0", ticker([]), name="ticker of p0")
        loop.call_later(3, loop.crash, "p0")
        await task

    with pytest.raises(Stuck, match="task 'ticker of p0' of crashed node 'p0'"):
        run_virtual(main)


def test_waiting_for_the_dead_can_be_timed_out_and_cancelled() -> None:
    log: list[str] = []

    async def working() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            log.append("finally")

    async def main() -> float:
        loop = running()
        task = loop.spawn("p0", working())
        await asyncio.sleep(1)
        loop.crash("p0")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await task
        assert task.cancelled()
        assert log == []
        return loop.time()

    assert run_virtual(main) == 6
    assert log == ["finally"]


def test_a_node_crashes_itself_at_its_next_await() -> None:
    async def main() -> list[str]:
        loop, log = running(), []

        async def suicide() -> None:
            try:
                loop.crash("p0")
                log.append("last words")
                asyncio.create_task(ticker(log))  # noqa: RUF006
                loop.call_later(1, log.append, "timer")
                await asyncio.sleep(0)
                log.append("afterlife")
            finally:
                log.append("finally")

        loop.spawn("p0", suicide())
        await asyncio.sleep(100)
        return list(log)

    assert run_virtual(main) == ["last words"]


def test_what_was_parked_dies_with_its_node() -> None:
    async def main() -> list[float]:
        loop, log = running(), []
        loop.spawn("p0", ticker(log))
        await asyncio.sleep(1.5)
        loop.stall("p0", 10)
        await asyncio.sleep(5)
        loop.crash("p0")
        loop.stall("p0", 10)
        await asyncio.sleep(50)
        return log

    assert run_virtual(main) == [1]


def test_a_restarted_node_is_not_woken_by_its_former_life() -> None:
    async def main() -> None:
        loop = running()
        log: list[str] = []
        event = asyncio.Event()

        async def live(life: str) -> None:
            await event.wait()
            log.append(life)

        loop.spawn("p0", live("first"))
        await asyncio.sleep(1)
        with pytest.raises(ValueError, match="has not crashed"):
            loop.restart("p0")
        loop.crash("p0")
        with pytest.raises(RuntimeError, match=r"restart\('p0'\)"):
            loop.spawn("p0", live("too early"))
        loop.restart("p0")
        loop.spawn("p0", live("second"))
        await asyncio.sleep(1)
        event.set()
        await asyncio.sleep(1)
        assert log == ["second"]

    run_virtual(main)


def test_unknown_nodes_are_refused_by_name() -> None:
    async def main() -> None:
        loop = running()
        await loop.spawn("p0", asyncio.sleep(0))
        for act in (loop.crash, loop.restart, lambda node: loop.stall(node, 1)):
            with pytest.raises(ValueError, match="no node 'p7' \\(known: p0\\)"):
                act("p7")

    run_virtual(main)


def test_burial_is_silent_and_closes_everything(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Coroutines, generators and failed tasks of the dead leave no noise."""
    log: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
            await asyncio.sleep(1000)
            yield 2
        finally:
            log.append("generator")
            await asyncio.sleep(1)
            log.append("never")

    async def consuming() -> None:
        async for _ in forever():
            pass

    async def forever() -> Any:
        while True:
            yield await asyncio.sleep(1)

    async def holding() -> None:
        generator = numbers()
        await anext(generator)
        await asyncio.sleep(1000)

    async def failing() -> None:
        raise LookupError("nobody asked")

    async def stubborn() -> None:
        futures = [running().create_future() for _ in range(3)]
        try:
            await asyncio.sleep(1000)
        finally:
            log.append("stubborn")
            for future in futures:
                try:
                    await future
                except GeneratorExit:
                    log.append("again")
            asyncio.create_task(failing())  # noqa: RUF006
            raise ValueError("in finally")

    async def main() -> None:
        loop = running()
        tasks = []

        async def parent() -> None:
            tasks.append(asyncio.create_task(failing()))
            await asyncio.gather(consuming(), holding(), stubborn())

        loop.spawn("p0", parent())
        await asyncio.sleep(10)
        loop.crash("p0")
        await asyncio.sleep(10)

    with caplog.at_level(logging.WARNING):
        run_virtual(main)
        gc.collect()
    assert sorted(log) == ["again", "again", "again", "generator", "stubborn"]
    assert [record.getMessage() for record in caplog.records] == []
    assert [str(warning.message) for warning in recwarn] == []


def test_an_unheard_failure_of_the_living_is_still_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def failing() -> None:
        raise LookupError("somebody should hear")

    async def main() -> None:
        running().spawn("p0", failing())
        await asyncio.sleep(1)
        gc.collect()

    run_virtual(main)
    gc.collect()
    assert "exception was never retrieved" in caplog.text


# Order between nodes


async def _race() -> list[tuple[str | None, int]]:
    log: list[tuple[str | None, int]] = []

    async def racer() -> None:
        for _ in range(5):
            await asyncio.sleep(1)
            for number in range(3):
                running().call_soon(lambda n=number: log.append((NODE.get(), n)))

    loop = running()
    await asyncio.gather(*(loop.spawn(f"p{n}", racer()) for n in range(4)))
    return log


def test_without_a_seed_nodes_are_first_in_first_out() -> None:
    one_turn = [(f"p{node}", number) for node in range(4) for number in range(3)]
    assert run_virtual(_race)[:12] == one_turn


def test_a_seed_permutes_between_nodes_and_never_inside_one() -> None:
    runs = {seed: run_virtual(_race, seed=seed) for seed in range(10)}
    assert len({tuple(run) for run in runs.values()}) > 5
    for seed, run in runs.items():
        assert run_virtual(_race, seed=seed) == run
        for node in ("p0", "p1", "p2", "p3"):
            assert [n for name, n in run if name == node] == [0, 1, 2] * 5


_SCRIPT = """
import asyncio, json
from aiosched.testing import NODE, run_virtual

async def main():
    loop, log = asyncio.get_running_loop(), []

    async def child(name, seconds):
        try:
            await asyncio.sleep(seconds)
        finally:
            log.append([name, NODE.get(), loop.time()])

    async def node(number):
        async with asyncio.timeout(5 + number):
            async with asyncio.TaskGroup() as group:
                for name in {"alpha", "beta", "gamma"}:
                    pass
                for index in range(9):
                    group.create_task(child(index, 100 + index))

    tasks = [loop.spawn(f"p{n}", node(n % 2)) for n in range(4)]
    await asyncio.sleep(3)
    loop.stall("p2", 4)
    loop.crash("p3")
    await asyncio.wait(tasks[:3])
    return list(log)

print(json.dumps(run_virtual(main, seed=5)))
"""


def test_processes_with_other_hash_seeds_give_the_same_trace() -> None:
    root = str(Path(aiosched.testing.__file__).parents[2])
    traces = []
    for hash_seed in ("0", "1", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": root}
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        traces.append(json.loads(done.stdout))
    assert len(traces[0]) == 27
    assert traces[0] == traces[1] == traces[2]
