"""The timer: sleeps until the next entry is due, and has it attended.

It acts on the store's time as this peer estimates it, never early by the
store's own clock (``attend`` decides with the store's instant), and looks
again after ``LONGEST_SLEEP`` whatever its heap says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence

from aiosched._engine.attender import Attender
from aiosched._engine.heads import Due, Heads, Key
from aiosched._engine.membership import Membership
from aiosched._engine.service import Service
from aiosched.abc import MAX_BATCH, Session
from aiosched.clock import Clock, has_coarse_timers
from aiosched.errors import StoreUnavailableError
from aiosched.instants import SECOND

__all__ = ["Timer"]

LONGEST_SLEEP = 30.0
BEATS = 6
"""So many beats it may be instead, where beats are far apart."""

RETRY = 0.5
"""Seconds for which shards are left alone when the store did not answer."""

SHORTEST_SLEEP = 0.001
"""uvloop rounds timers down to whole milliseconds: shorter ones would spin."""

COARSE = 0.001
"""Seconds by which a timer of the loop may be late, and which it may not sleep less."""

AWAKE = 0.05
"""Share of its time that a peer may wait awake, and seconds of that at a time.

What is due within the next millisecond would be late by half of one otherwise.
"""

HEADS_AT_ONCE = 256

GATHERING = 0.005
"""Seconds for which a peer that was full lets places become free before it claims.

Unless half of them are free before: work that waits for places is claimed in
few transactions then, rather than in one for each run that ends.
"""


class Timer(Service):
    """One heap, one sleep, for all agendas of this peer."""

    name = "timer"

    def __init__(
        self,
        clock: Clock,
        session: Session,
        heads: Heads,
        membership: Membership,
        attender: Attender,
        spawn: Callable[..., asyncio.Task[None]],
        outage: Callable[[Service, StoreUnavailableError], None],
    ) -> None:
        super().__init__(clock)
        self.session = session
        self.heads = heads
        self.membership = membership
        self.attender = attender
        self.spawn = spawn
        self.outage = outage
        self._busy: dict[str, float] = {}
        self.claiming: set[asyncio.Task[None]] = set()
        self._awake, self._awake_at = AWAKE, 0.0
        self.wake_ups = 0

    async def run(self) -> None:
        """Attend for ever."""
        while True:
            if self.healthy:
                self.alive()
            self.wake_ups += 1
            if self.membership.lapsed():
                self.membership.wake()
                await self.doze(self.membership.interval / 5)
                continue
            away = await self.refresh()
            self.dispatch()
            pause = self.pause()
            if away:
                self._without(away)
                pause = min(pause, RETRY)
            else:
                self.alive()
            if not has_coarse_timers() or not await self._exactly(pause):
                await self.doze(pause)

    async def _exactly(self, pause: float) -> bool:
        """Wait for the next instant, the last of it awake.

        Not if something else comes before, or if this peer has done so too often
        of late.

        Args:
            pause: Seconds until something is to be done.

        Returns:
            Whether it has waited.
        """
        at = self.heads.next_instant()
        if at is None:
            return False
        begun = self.clock.monotonic()
        self._awake += (begun - self._awake_at) * AWAKE
        self._awake, self._awake_at = min(self._awake, AWAKE), begun
        left = (at - self.session.estimate()) / SECOND
        if not 0 < left <= pause or self._awake < COARSE:
            return False
        if left > COARSE and await self.doze(left - COARSE):
            return True
        begun = now = self.clock.monotonic()
        while now - begun < COARSE and self.session.estimate() < at:
            if self._woken.is_set():
                break
            await self.clock.sleep(0)
            now = self.clock.monotonic()
        self._awake -= now - begun
        return True

    def _without(self, away: Collection[Key]) -> None:
        """Go on without a part of the store; tell of it once."""
        self.step()
        if self.healthy:
            self.healthy = False
            shards = len({shard for shard, _ in away})
            self.outage(self, StoreUnavailableError(f"{shards} shards of it"))
        self.heads.invalidate(away)

    def pause(self) -> float:
        """Return how long there is nothing to do."""
        longest = max(LONGEST_SLEEP, BEATS * self.membership.interval)
        free = self.attender.free()
        if free <= 0:
            return longest  # a run that ends wakes the timer
        gathering = self._gathering(free)
        if gathering > 0:
            return max(gathering, SHORTEST_SLEEP)
        at = self.heads.next_instant()
        if at is None:
            return longest
        left = (at - self.session.estimate()) / SECOND
        return min(max(left, SHORTEST_SLEEP), longest)

    def _gathering(self, free: int) -> float:
        """Return for how many seconds more places are to become free."""
        attender = self.attender
        if free * 2 >= attender.limit:
            return 0.0
        return attender.free_since + GATHERING - self.clock.monotonic()

    def overdue(self) -> float:
        """Return for how many seconds a step, or a claim, has been overdue."""
        oldest = min(self._busy.values(), default=None)
        own = super().overdue()
        if oldest is None:
            return own
        return max(own, self.clock.monotonic() - oldest - self.patience)

    async def refresh(self) -> set[Key]:
        """Read the agendas that may have moved.

        Returns:
            Those that cannot be reached, where others can.
        """
        away: set[Key] = set()
        while keys := self.heads.stale()[:HEADS_AT_ONCE]:
            self.step()
            asked = self.session.estimate()
            limit = self.heads.limit(keys)
            self.heads.asking(keys)
            try:
                readings = await self.session.agenda(keys, limit=limit, partial=True)
            except BaseException:
                self.heads.invalidate(keys)
                raise
            away.update(keys)
            for reading in readings:
                self.heads.load(reading, asked)
                away.discard((reading.shard, reading.queue))
        return away

    def dispatch(self) -> None:
        """Hand what is due to the attender, a task a transaction."""
        free = self.attender.free()
        if free <= 0 or self._gathering(free) > 0:
            return
        now = self.session.estimate()
        found: dict[str, Due] = {}
        for due in self.heads.pop_due(now, free):
            if due.job_id in found:
                self.heads.again(due, now)  # in another queue, too
            elif self.attender.mine(due):
                continue
            elif not self.heads.confirmed(due):
                self.heads.invalidate([due.key])
                self.heads.again(due, now)
                self.wake()
            else:
                found[due.job_id] = due
        for batch in self._batches(found.values(), now):
            shards = frozenset(due.key[0] for due in batch)
            self._busy[batch[0].job_id] = self.clock.monotonic()
            self.heads.hold(shards)
            self.attender.reserve(len(batch))
            name = f"aiosched attend {batch[0].key[0]}"
            task = self.spawn(self._attend(shards, batch), name=name)
            self.claiming.add(task)
            task.add_done_callback(self.claiming.discard)

    def _batches(self, found: Iterable[Due], now: int) -> list[list[Due]]:
        """Part what is due into transactions, no shard in two of them."""
        shards: dict[int, list[Due]] = {}
        for due in found:
            shards.setdefault(due.key[0], []).append(due)
        parts = [part for _, part in sorted(shards.items())]
        for part in parts:
            for due in part[MAX_BATCH:]:
                self.heads.again(due, now)
            del part[MAX_BATCH:]
        if not self.session.spanning:
            return parts
        # An owner's commits are silent: what others have to hear of stands apart.
        open_ones: dict[bool, list[Due]] = {}
        batches: list[list[Due]] = []
        for part in parts:
            owned = all(self.heads.rank(due.key) == 0 for due in part)
            batch = open_ones.get(owned)
            if batch is None or len(batch) + len(part) > MAX_BATCH:
                batches.append(part)
                open_ones[owned] = part
            else:
                batch += part
        return batches

    async def _attend(self, shards: frozenset[int], batch: Sequence[Due]) -> None:
        name = batch[0].job_id
        try:
            if not await self.attender.attend(batch):
                self._busy[name] = self.clock.monotonic()
                await self.clock.sleep(RETRY)
        finally:
            self._busy.pop(name, None)
            self.attender.freeing(self.clock.monotonic)
            self.attender.release(len(batch))
            self.heads.release(shards)
            self.wake()
