"""The runs of this peer, from claim to settlement."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from aiosched.context import Context
from aiosched.enums import Reason
from aiosched.jobs import Run
from aiosched.records import Reported, Start

__all__ = ["Live", "LiveRuns"]


class Live:
    """One claimed run on this peer.

    Attributes:
        job_id: The job.
        fence: The token of the claim.
        reason: Why it is to stop; ``Reason.NONE`` while it is not.
        entered: Whether the executor has been entered.
        ended: Whether its outcome is known and only has to be settled.
        error: What its executor raised, where somebody watches; else None.
        until: The end of its lease, as far as it is known to have been extended.
        task: The task that runs it, once there is one.
        told: What of its progress the store has heard of last.
    """

    __slots__ = (
        "cancelled_at",
        "confirmed",
        "context",
        "ended",
        "entered",
        "error",
        "fence",
        "job_id",
        "on_cancel",
        "queue",
        "reason",
        "reported",
        "settlement",
        "shard",
        "start",
        "task",
        "threaded",
        "told",
        "until",
    )

    def __init__(self, start: Start, shard: int, context: Context) -> None:
        definition = start.definition
        self.start = start
        self.job_id: str = definition.id
        self.fence: int = start.run.fence
        self.until: int = start.run.until
        self.shard = shard
        self.queue: str = definition.spec.queue
        self.context = context
        self.reason = Reason.NONE
        self.entered = False
        self.ended = False
        self.threaded = False
        self.reported = False
        self.told: Reported | None = None
        self.cancelled_at = 0.0
        self.task: asyncio.Task[None] | None = None
        self.on_cancel: Callable[[], object] | None = None
        self.error: BaseException | None = None
        self.settlement: asyncio.Future[Run | None] | None = None
        self.confirmed: asyncio.Future[None] | None = None

    def said(self, action: str, **more: object) -> dict[str, object]:
        """Return what a line of the log about it carries."""
        context = self.context
        return {
            "action": action,
            "job_id": self.job_id,
            "run_id": context.run_id,
            "fence": self.fence,
            "attempt": context.attempt,
            **more,
        }

    def settled(self) -> asyncio.Future[Run | None]:
        """Return what will hold the run as recorded; None: it came too late."""
        if self.settlement is None:
            self.settlement = asyncio.get_running_loop().create_future()
        return self.settlement

    def held(self, until: int) -> None:
        """Note that the store has extended its lease."""
        self.until = until
        if self.confirmed is not None and not self.confirmed.done():
            self.confirmed.set_result(None)

    def cancel(self, reason: Reason, now: float) -> bool:
        """Ask the run to stop; return whether it had not been asked before."""
        if self.ended or self.reason is not Reason.NONE:
            return False
        self.reason = reason
        self.cancelled_at = now
        self.context._cancel(reason)
        if self.on_cancel is not None:
            self.on_cancel()
        return True


class LiveRuns:
    """All claimed runs of this peer, by job and fence."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[Live, ...]] = {}
        self._shards: Counter[int] = Counter()
        self._count = 0

    def add(self, live: Live) -> None:
        """Enter a run."""
        others = self._runs.get(live.job_id)
        self._runs[live.job_id] = (*others, live) if others else (live,)
        self._shards[live.shard] += 1
        self._count += 1

    def discard(self, live: Live) -> None:
        """Take a run out; safe to call twice."""
        runs = self._runs.get(live.job_id, ())
        left = tuple([one for one in runs if one.fence != live.fence])
        if len(left) == len(runs):
            return
        self._count -= 1
        self._shards[live.shard] -= 1
        if not self._shards[live.shard]:
            del self._shards[live.shard]
        if left:
            self._runs[live.job_id] = left
        else:
            del self._runs[live.job_id]

    def of(self, job_id: str) -> tuple[Live, ...]:
        """Return the runs of one job."""
        return self._runs.get(job_id, ())

    def __contains__(self, job_id: object) -> bool:
        """Return whether a job runs here."""
        return job_id in self._runs

    def __len__(self) -> int:
        """Return how many runs there are."""
        return self._count

    def __iter__(self) -> Iterator[Live]:
        """Iterate over a copy, in the order of their claims per job."""
        return iter([live for runs in self._runs.values() for live in runs])

    def shards(self) -> frozenset[int]:
        """Return the shards in which something runs."""
        return frozenset(self._shards)
