"""The listener: signals of the store into wake-ups.

Signals are hints.  Every one may be lost, doubled or late, and nothing but
lateness comes of it: a re-subscription reads everything again, the beat
compares change counters, leases end by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiosched._engine.completions import Completions
from aiosched._engine.heads import Heads
from aiosched._engine.heartbeat import Heartbeat
from aiosched._engine.membership import Membership
from aiosched._engine.runner import Runner
from aiosched._engine.service import Service
from aiosched.abc import Session, Signal, SignalStream
from aiosched.clock import Clock
from aiosched.errors import StoreDataError, StoreUnavailableError

__all__ = ["Listener"]

SUBSCRIBED_RANKS = 1
"""Owners and first backups hear of changes; later ones compare counters, unless
peers can do different things and the last may be the first that can."""


class Listener(Service):
    """One subscription, to the shards that matter to this peer."""

    name = "listener"

    def __init__(
        self,
        clock: Clock,
        session: Session,
        heads: Heads,
        membership: Membership,
        runner: Runner,
        heartbeat: Heartbeat,
        completions: Completions,
        wake_timer: Callable[[], None],
    ) -> None:
        super().__init__(clock)
        self.session = session
        self.heads = heads
        self.membership = membership
        self.runner = runner
        self.heartbeat = heartbeat
        self.completions = completions
        self.wake_timer = wake_timer
        self._stream: SignalStream | None = None
        self._wanted: tuple[frozenset[int], frozenset[int]] | None = None
        self._near: frozenset[int] = frozenset()

    # -- what to listen to -------------------------------------------------

    def targets(self) -> tuple[frozenset[int], frozenset[int]]:
        """Return the shards whose changes and completions matter now."""
        return self._near | self.runner.live.shards(), self.completions.shards()

    def assigned(self) -> None:
        """Take over which agendas this peer looks after."""
        self._near = frozenset(
            shard
            for (shard, _), rank in self.heads.ranks().items()
            if rank <= SUBSCRIBED_RANKS or self.membership.mixed
        )
        self.retarget()

    def runs_in(self, shard: int) -> None:
        """Take over that a run has begun or ended in a shard."""
        if shard not in self._near:
            self.retarget()

    def retarget(self) -> None:
        """Listen to what matters now."""
        if self.targets() != self._wanted:
            self.wake()

    def overdue(self) -> float:
        """Return for how many seconds a step, or an own beat, has been overdue."""
        sent, own = self.membership.unheard_since, super().overdue()
        if sent is None or self._wanted is None:
            return own
        return max(own, self.clock.monotonic() - sent - self.patience)

    def deaf(self) -> None:
        """Make the subscription anew: own beats have not been heard."""
        if self._stream is not None:
            self._stream.reset()

    # -- the loop ----------------------------------------------------------

    async def run(self) -> None:
        """Listen for ever."""
        away: Exception = RuntimeError("the reader of signals ended by itself")
        try:
            async with self._subscription() as stream, asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(stream), name="aiosched signals")
                reading.add_done_callback(lambda _: self.wake())
                try:
                    await self._aim(stream, reading)
                finally:
                    reading.cancel()
        except* (StoreUnavailableError, StoreDataError) as errors:
            away = _first_of(errors)
        raise away

    @asynccontextmanager
    async def _subscription(self) -> AsyncIterator[SignalStream]:
        self._stream = stream = self.session.signals()
        self._wanted = None
        try:
            yield stream
        finally:
            self._stream = None
            await stream.aclose()

    async def _aim(self, stream: SignalStream, reading: asyncio.Task[None]) -> None:
        while not reading.done():  # whatever ended it: nobody hears anything
            changed, done = wanted = self.targets()
            if wanted != self._wanted:
                before = self._wanted
                await stream.watch(changed, done)
                self._wanted = wanted
                self._after_watch(before, wanted)
                if before is None:
                    self.membership.listening()
                self.alive()
            await self.doze(self.membership.interval)

    def _after_watch(
        self,
        before: tuple[frozenset[int], frozenset[int]] | None,
        now: tuple[frozenset[int], frozenset[int]],
    ) -> None:
        # Read after the subscription is confirmed, or what was committed in
        # between is neither read nor heard.
        old = before or (frozenset(), frozenset())
        new = now[0] - old[0]
        if new:
            self.heads.invalidate([k for k in self.heads.ranks() if k[0] in new])
            self.heartbeat.check(
                live.job_id for live in self.runner.live if live.shard in new
            )
            self.wake_timer()
        self.completions.confirmed(now[1])

    async def _read(self, stream: SignalStream) -> None:
        async for signal in stream:
            self.take(signal)

    def take(self, signal: Signal) -> None:
        """Act on one signal."""
        match signal.kind:
            case "changed":
                for job_id, queue, at, seq in signal.entries:
                    self.membership.learn_queue(queue)
                    self.heads.update((signal.shard, queue), job_id, at, seq)
                self.heartbeat.check(entry[0] for entry in signal.entries)
                self.wake_timer()
            case "done":
                self.completions.hear(signal.ids)
            case "canary":
                for member_id in signal.ids:
                    self.membership.heard(member_id)
            case _:
                self.heads.invalidate()
                self.heartbeat.check_all()
                self.completions.resync()
                self.wake_timer()


def _first_of(
    group: ExceptionGroup[StoreUnavailableError | StoreDataError],
) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
