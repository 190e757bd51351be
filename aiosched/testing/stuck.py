"""What the virtual loop raises: a report instead of a hang, a refusal of real I/O."""

from __future__ import annotations

import asyncio
import gc
import linecache
import types
from collections.abc import Iterable
from typing import Any

from aiosched.testing.nodes import VirtualTask

__all__ = ["NotSimulatedError", "Stuck"]

_SHOWN_TASKS = 50
_SHOWN_FRAMES = 4
_SHOWN_REPR = 160
_HAS_FRAME = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)


class Stuck(RuntimeError):  # noqa: N818 - a state of the run, read in reports
    """The simulation cannot go on by itself.

    Raised out of ``run_until_complete`` when nothing is ready and no timer is
    set, when very many steps pass without a move of time, or when virtual time
    passes the loop's deadline.  The text names each task, the lines at which it
    awaits, and what it waits for.  Running the same again gives the same.

    Attributes:
        reason: The first line of the report.
        tasks: Names of the unfinished tasks, oldest first.
    """

    def __init__(self, reason: str, report: str, tasks: tuple[str, ...]) -> None:
        """Keep the reason and the names beside the whole report."""
        super().__init__(f"{reason}\n{report}")
        self.reason = reason
        self.tasks = tasks


class NotSimulatedError(RuntimeError):
    """Something real was asked of a virtual-time loop.

    Attributes:
        what: The method that was called.
    """

    def __init__(self, what: str, remedy: str) -> None:
        """Name what was refused and what to do instead."""
        super().__init__(f"{what} is not available in virtual time: {remedy}")
        self.what = what


def stuck(
    reason: str, tasks: Iterable[asyncio.Task[Any]], notes: Iterable[str]
) -> Stuck:
    """Build the report over the unfinished tasks, oldest first."""
    waiting = sorted(tasks, key=lambda task: getattr(task, "serial", -1))
    lines = [f"{len(waiting)} unfinished task(s)"]
    for task in waiting[:_SHOWN_TASKS]:
        lines += _task_lines(task)
    if len(waiting) > _SHOWN_TASKS:
        lines.append(f"... and {len(waiting) - _SHOWN_TASKS} more tasks")
    lines += notes
    return Stuck(reason, "\n".join(lines), tuple(task.get_name() for task in waiting))


def _task_lines(task: asyncio.Task[Any]) -> list[str]:
    life = task.life if isinstance(task, VirtualTask) else None
    node = f" on node {life.name!r}" if life is not None else ""
    lines = [f"  task {task.get_name()!r}{node}"]
    frames = _await_chain(task.get_coro())
    if len(frames) > _SHOWN_FRAMES:
        lines.append(f"    ({len(frames) - _SHOWN_FRAMES} outer lines left out)")
    for code, number in frames[-_SHOWN_FRAMES:]:
        source = linecache.getline(code.co_filename, number).strip()
        lines.append(f"    {code.co_filename}:{number} in {code.co_name}: {source}")
    lines.append(f"    waits for {_awaited(getattr(task, '_fut_waiter', None))}")
    return lines


def _awaited(future: object) -> str:
    if future is None:
        return "nothing: it is ready to run"
    if not isinstance(future, VirtualTask):
        text = repr(future)
        return text if len(text) <= _SHOWN_REPR else text[:_SHOWN_REPR] + "..."
    text = f"task {future.get_name()!r}"
    if future.life is None:
        return text
    state = "crashed node" if future.life.dead else "node"
    return f"{text} of {state} {future.life.name!r}"


def _await_chain(awaitable: object) -> list[tuple[types.CodeType, int]]:
    """Follow an awaitable inwards: the lines at which it stands, outermost first."""
    chain: list[tuple[types.CodeType, int]] = []
    current: Any = awaitable
    while current is not None:
        prefix = _prefix(current)
        if prefix is None:
            # Wrappers such as those of ``async for`` show what they drive to
            # the garbage collector only.
            inner = [x for x in gc.get_referents(current) if isinstance(x, _HAS_FRAME)]
            current = inner[0] if inner else None
            continue
        frame = getattr(current, f"{prefix}_frame")
        if frame is not None:
            chain.append((frame.f_code, frame.f_lineno))
        inward = "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await"
        current = getattr(current, inward)
    return chain


def _prefix(awaitable: object) -> str | None:
    for prefix in ("cr", "gi", "ag"):
        if hasattr(awaitable, f"{prefix}_frame"):
            return prefix
    return None
