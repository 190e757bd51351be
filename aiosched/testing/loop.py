"""An asyncio event loop in virtual time, for tests and simulations.

When nothing is ready, the loop does not wait: its clock jumps to the next
timer.  A day of one-second ticks takes about a second, ``asyncio.timeout``,
task groups and runners work as they are, and a program that can go no further
ends with a report (:class:`Stuck`) and not with a hang.  There is no selector
and no file descriptor, so nothing real can slip in.

Several nodes (simulated processes) may share the loop; see
:meth:`VirtualLoop.spawn`, :meth:`VirtualLoop.stall`, :meth:`VirtualLoop.crash`.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiosched.instants import SECOND, micros, moment
from aiosched.testing.nodes import LIFE, NODE, Life, process_of
from aiosched.testing.population import Population
from aiosched.testing.stuck import Stuck, stuck
from aiosched.testing.threads import REAL_THREADS, check_duration

__all__ = ["START", "VirtualLoop"]

START = 1_704_067_200_000_000
"""Where virtual wall time begins unless told: 2024-01-01T00:00Z, microseconds."""

_DAY = 86_400.0
_MANY_TIMERS = 100


class VirtualLoop(Population):
    """An event loop whose clock jumps from timer to timer.

    Attributes:
        livelock_limit: So many steps without a move of time raise Stuck.
        deadline: Virtual second after which the loop raises Stuck; None means
            never.  After it was passed once it is put off by a day, so that
            tasks can be cleaned up.
        thread_delay: Virtual seconds that a function in a "thread" takes, or a
            function that draws them; None means none.
    """

    def __init__(
        self,
        start: datetime | int = START,
        *,
        seed: int | None = None,
        deadline: float | None = None,
        thread_delay: float | Callable[[], float] | None = None,
    ) -> None:
        """Make a loop at virtual second 0.

        Args:
            start: The wall time of second 0: an aware datetime, or
                microseconds since 1970.
            seed: Draws the order in which *different* nodes that are ready at
                the same instant take their steps; inside one node it stays
                first in, first out, as asyncio documents.  None: first in,
                first out for all.
            deadline: Virtual second after which the loop raises Stuck.
            thread_delay: See the attribute.

        Raises:
            ValueError: ``start`` is a naive datetime.
        """
        self._start = micros(start) if isinstance(start, datetime) else start
        super().__init__()
        self._now = 0.0
        self._steps = 0
        self._wall_offsets: dict[str | None, int] = {}
        self.seed: int | None = seed
        self._order = None if seed is None else random.Random(seed)  # noqa: S311
        self.livelock_limit = 200_000
        self.deadline = deadline
        self.thread_delay = thread_delay

    def draw_order(self, seed: int) -> None:
        """Draw the order of steps between nodes from now on, as ``seed`` does.

        A loop that was made with a seed keeps to that.
        """
        if self._order is None:
            self._order = random.Random(seed)  # noqa: S311 - not for secrets

    # Time

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._now

    def wall(self) -> int:
        """Return the wall time in microseconds since 1970, as this node sees it."""
        offsets = self._wall_offsets
        # Rounded, not cut: a timer set for a whole microsecond must not find
        # itself one microsecond early by a float's last digit.
        instant = self._start + round(self._now * SECOND)
        if not offsets:
            return instant
        node = NODE.get()
        own = offsets.get(process_of(node), 0) if node is not None else 0
        return instant + offsets.get(None, 0) + own

    def wall_at(self, second: float) -> int:
        """Return the true wall time of a virtual second, in microseconds."""
        return self._start + round(second * SECOND)

    def set_wall_offset(self, seconds: float, *, node: str | None = None) -> None:
        """Let the wall clock differ by so many seconds; timers do not notice.

        Args:
            seconds: May be negative; replaces the offset set before.
            node: Whose clock; None means everybody's, on top of which each
                node's own offset counts.
        """
        self._wall_offsets[node] = round(seconds * SECOND)

    def step_wall(self, seconds: float, *, node: str | None = None) -> None:
        """Step the wall clock by so many seconds; timers do not notice.

        Args:
            seconds: May be negative; adds to the offset set before.
            node: Whose clock, as in :meth:`set_wall_offset`.
        """
        offset = self._wall_offsets.get(node, 0)
        self._wall_offsets[node] = offset + round(seconds * SECOND)

    def block(self, seconds: float) -> None:
        """Let time pass inside the running callback, as ``time.sleep`` would.

        The whole loop stands still: timers that become due meanwhile run late,
        after the callback.  Inside a function of :meth:`run_in_executor` only
        that function takes longer.  To block one node, use :meth:`stall`.

        Raises:
            ValueError: The duration is negative or not finite.
        """
        check_duration(seconds)
        if self._thread_time is not None:
            self._thread_time += seconds
        elif seconds:
            self._now += seconds
            self._steps = 0

    # The heart

    def _run_once(self) -> None:
        ready, heap = self._ready, self._scheduled
        self._prune()
        if self.deadline is not None and self._now > self.deadline:
            self._pass_deadline()
        if not ready and not self._stopping:
            self._jump()
        now = self._now
        while heap and heap[0]._when <= now:
            handle = heapq.heappop(heap)
            handle._scheduled = False
            if handle._cancelled:
                self._timer_cancelled_count -= 1
            else:
                ready.append(handle)
        count = len(ready)
        self._steps += count
        if self._steps > self.livelock_limit:
            self._steps = 0
            raise self._stuck(
                f"livelock: {self.livelock_limit} steps without a move of time"
            )
        if self._order is not None and count > 1:
            self._interleave(self._order)
        for _ in range(count):
            handle = ready.popleft()
            if handle._cancelled or (self._gated and self._held_back(handle)):
                continue
            if self._debug:
                self._current_handle = handle
                try:
                    handle._run()
                finally:
                    self._current_handle = None
            else:
                handle._run()

    def _prune(self) -> None:
        """Take cancelled and dead timers off the head: they must not move time."""
        heap = self._scheduled
        cancelled = self._timer_cancelled_count
        if len(heap) > _MANY_TIMERS and cancelled * 2 > len(heap):
            kept = []
            for handle in heap:
                if handle._cancelled:
                    handle._scheduled = False
                else:
                    kept.append(handle)
            heapq.heapify(kept)
            heap[:] = kept
            self._timer_cancelled_count = 0
        while heap and (heap[0]._cancelled or (self._gated and _of_dead(heap[0]))):
            handle = heapq.heappop(heap)
            handle._scheduled = False
            if handle._cancelled:
                self._timer_cancelled_count -= 1
            else:
                self._graveyard.append(handle)

    def _jump(self) -> None:
        """Move time to the next timer, by assignment: sums of floats would drift."""
        when = self._scheduled[0]._when if self._scheduled else math.inf
        if when == math.inf:
            raise self._stuck("nothing is ready and no timer is set")
        if when <= self._now:
            return
        if self.deadline is not None and when > self.deadline:
            self._now = max(self._now, self.deadline)
            self._pass_deadline()
        self._now = when
        self._steps = 0

    def _pass_deadline(self) -> None:
        error = self._stuck(f"the deadline of {self.deadline} virtual seconds passed")
        self.deadline = self._now + _DAY
        raise error

    def _interleave(self, order: random.Random) -> None:
        """Permute the ready handles between nodes, never inside a node."""
        lanes: dict[Life | None, deque[Any]] = {}
        turns = []
        for handle in self._ready:
            life = handle._context.get(LIFE)
            lanes.setdefault(life, deque()).append(handle)
            turns.append(life)
        if len(lanes) > 1:
            order.shuffle(turns)
            self._ready.clear()
            self._ready.extend(lanes[life].popleft() for life in turns)

    def _stuck(self, reason: str) -> Stuck:
        notes = [
            f"  node {life.name!r} "
            + ("has crashed" if life.dead else f"is stalled until {life.stalled_until}")
            for life in self._lives.values()
            if life.dead or life.stalled_until is not None
        ]
        notes += [
            f"  thread {name!r} was refused: {REAL_THREADS}" for name in self._foreign
        ]
        where = f"at virtual second {self._now!r}, {moment(self.wall()).isoformat()}"
        return stuck(f"{reason} ({where})", asyncio.all_tasks(self), notes)

    def _process_events(self, _event_list: object) -> None:
        """Do nothing: there are no events from outside."""


def _of_dead(handle: Any) -> bool:
    life = handle._context.get(LIFE)
    return life is not None and life.dead
