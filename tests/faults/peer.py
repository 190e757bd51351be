"""One peer as a process that does every kind of work, and may die at a named point.

``python -m tests.faults.peer '{...}'``: the peer of the crash tests with more
executors.  ``die`` names where it kills itself with SIGKILL, as no signal from
outside can hit: see ``POINTS``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from aiosched import Context, IntervalTrigger, Job, Scheduler
from aiosched.enums import RowKind
from aiosched.records import Change
from tests.crash import peer as crash
from tests.crash.peer import Witness, told_by

__all__ = ["LOOK", "POINTS", "STALL", "Lag", "build"]

POINTS = (
    "boot",  # before its first beat
    "claim decided",  # read and decided, nothing written
    "claim sent",  # between the sending of EXEC and its answer, about
    "claim committed",  # it holds the claim, and nothing has begun
    "running",
    "settle decided",
    "settle sent",
    "settle committed",
    "handing back",  # told to end, its runs are cancelled, nothing written
)
LOOK = 0.05
WINDOW = 2.0
STALL = 0.4
"""Seconds of a window for which a process that is well may be kept from running."""
_MOMENT = 0.0015
"""Seconds from a decision to about the middle of its EXEC's exchange."""

_ENDED = {
    RowKind.SUCCEEDED,
    RowKind.FAILED,
    RowKind.TIMED_OUT,
    RowKind.CANCELLED,
}


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """Kills this process at the ``nth`` passing of a point."""

    def __init__(self, point: str, nth: int, write: Witness) -> None:
        if point not in POINTS:
            raise ValueError(f"{point!r} is none of {POINTS}")
        self.what, _, self.stage = point.partition(" ")
        self.point = point
        self.nth = nth
        self.write = write

    def passes(self, point: str) -> bool:
        """Count a passing, and tell whether it is the one."""
        if point != self.point:
            return False
        self.nth -= 1
        if self.nth == 0:
            self.write("dies", point)
        return self.nth == 0

    def here(self, point: str) -> None:
        """Die, if it is here."""
        if self.passes(point):
            _dies()

    def infest(self, scheduler: Scheduler) -> None:
        """Stand between a scheduler and its store."""
        opens = scheduler.store.open

        async def opened(*args: Any, **kwargs: Any) -> Any:
            self.here("boot")
            session = await opens(*args, **kwargs)
            self._stand(session)
            return session

        scheduler.store.open = opened  # type: ignore[method-assign]

    def _stand(self, session: Any) -> None:
        transact = session.transact

        async def mortal(ids: Any, decide: Any, **options: Any) -> Any:
            def decided(records: Any, now: int) -> Any:
                changes = decide(records, now)
                what = _what(changes)
                self.here(f"{what} decided" if what != "handing" else "handing back")
                if self.passes(f"{what} sent"):
                    threading.Timer(_MOMENT, _dies).start()
                return changes

            changes = await transact(ids, decided, **options)
            self.here(f"{_what(changes)} committed")
            return changes

        session.transact = mortal


def _what(changes: dict[str, Change]) -> str:
    """Tell what a decision is about."""
    if any(change.starts for change in changes.values()):
        return "claim"
    kinds = {row.kind for change in changes.values() for row in change.rows}
    if RowKind.HANDED_BACK in kinds:
        return "handing"
    return "settle" if kinds & _ENDED else ""


class Lag:
    """Tells when a process was kept from running, at once or bit by bit."""

    def __init__(self) -> None:
        self._before = time.monotonic()
        self._late: deque[tuple[float, float]] = deque()

    def look(self) -> tuple[float, float]:
        """Say so each ``LOOK`` seconds.

        Returns:
            The length of the window in which it was away, and for how many
            seconds of it; zeros while it is well.
        """
        now = time.monotonic()
        self._late.append((now, max(0.0, now - self._before - LOOK)))
        begin = min(self._before, now - WINDOW)
        self._before = now
        while self._late[0][0] < now - WINDOW:
            self._late.popleft()
        away = sum(late for _, late in self._late)
        if away < STALL:
            return 0.0, 0.0
        self._late.clear()
        return now - begin, away


def _watch(write: Witness) -> None:
    """Write down when this process did not get to run, stopped or not.

    A loop that is blocked by a job's code is no such thing.
    """
    lag = Lag()
    while True:
        time.sleep(LOOK)
        window, away = lag.look()
        if away:
            write("stalled", window, away)


def build(config: dict[str, Any]) -> Scheduler:
    """Return the scheduler that a configuration describes."""
    scheduler = crash.build(config)
    write = Witness(config["witness"])
    threading.Thread(target=_watch, args=(write,), daemon=True).start()
    mortal = None
    if "die" in config:
        mortal = Mortal(config["die"], config.get("nth", 1), write)
        mortal.infest(scheduler)
    for name in ("data_lost", "store_down", "store_up", "blocked", "service_failed"):
        scheduler.on(name, lambda event: write(event.name, event.at))
    _register(scheduler, write, mortal)
    for number in range(config.get("grids", 0)):
        start = datetime.fromtimestamp(config["start"] + number / 10, UTC)
        trigger = IntervalTrigger(milliseconds=500, start=start)
        scheduler.declare(Job("tick", trigger=trigger, id=f"grid-{number}"))
    return scheduler


def _register(scheduler: Scheduler, write: Witness, mortal: Mortal | None) -> None:
    told = told_by(write)

    def in_thread(context: Context, secs: float = 0.0) -> None:
        told("start", context)
        time.sleep(secs)
        told("end", context)

    async def flaky(context: Context, failures: int = 1) -> None:
        """Fail so often before it succeeds."""
        told("start", context)
        if context.attempt <= failures:
            told("raised", context)
            raise RuntimeError("as it should")
        told("end", context)

    async def heavy(context: Context, data: str, secs: float = 0.0) -> int:
        """Carry what is too long to stand in the record."""
        told("start", context)
        if mortal is not None:
            mortal.here("running")
        await asyncio.sleep(secs)
        told("end", context)
        return len(data)

    for function in (in_thread, flaky, heavy):
        scheduler.register(function)


async def main(config: dict[str, Any]) -> None:
    """Be a peer until SIGTERM."""
    await crash.serve(build(config), config)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
