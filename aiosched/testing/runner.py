"""Run one coroutine to its end in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from aiosched.testing.loop import START, VirtualLoop
from aiosched.testing.stuck import Stuck

__all__ = ["run_virtual"]

_T = TypeVar("_T")
_CLEANUP = 86_400.0


def run_virtual(
    main: Coroutine[Any, Any, _T] | Callable[[], Coroutine[Any, Any, _T]],
    *,
    start: datetime | int = START,
    seed: int | None = None,
    timeout_virtual: float | None = None,
    debug: bool | None = None,
) -> _T:
    """Run a coroutine on a fresh virtual-time loop and return its result.

    What is still running when it ends is cancelled, as by ``asyncio.run``, and
    has a virtual day to comply.

    Args:
        main: A coroutine, or a function that makes one.
        start: Wall time of the beginning: an aware datetime, or microseconds
            since 1970.
        seed: Draws the order of steps between nodes; see ``VirtualLoop``.
        timeout_virtual: Virtual seconds after which Stuck is raised; None means
            no limit.
        debug: Asyncio's debug mode; None leaves it to the environment.

    Raises:
        Stuck: The coroutine waits for something that cannot come, turns in
            place, or takes longer than ``timeout_virtual``.
    """
    loop = VirtualLoop(start, seed=seed, deadline=timeout_virtual)
    runner = asyncio.Runner(loop_factory=lambda: loop, debug=debug)
    try:
        runner.get_loop()
        result = runner.run(main if asyncio.iscoroutine(main) else main())
    except BaseException as error:
        loop.deadline = loop.time() + _CLEANUP
        # The first report is the one that explains; what the clean-up runs
        # into is its consequence.
        try:
            runner.close()
        except Stuck as second:
            error.add_note(f"and the clean-up was stuck too: {second.reason}")
        raise
    loop.deadline = loop.time() + _CLEANUP
    runner.close()
    return result
