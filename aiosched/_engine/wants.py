"""The wants: what no live peer has, which jobs wait for it, and what was told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from aiosched._engine.events import EventBus
from aiosched._engine.heads import Due
from aiosched._engine.needs import Gap, Need
from aiosched.instants import SECOND, moment
from aiosched.logs import log
from aiosched.planning import Owed

__all__ = ["Idle", "Wants"]

LINGER = 60.0
"""Seconds for which a want is remembered of which no job is left: jobs that come
and go are one line in the log, not one each."""


@dataclass(slots=True)
class Idle:
    """A job that is due and that this peer cannot run.

    Attributes:
        due: Its entry.
        need: What it needs of a peer.
        owed: What is to be started; None: nobody here can read it.
        created: When the job was, which tells it from another of its id.
        watched: Whether the watch has found it.
        told: The reason of which was told; empty: none yet.
        missed: Whether it was told that it is overdue.
        read_at: Monotonic second at which its record was last looked at.
    """

    due: Due
    need: Need
    owed: Owed | None
    created: int
    watched: bool
    read_at: float
    told: str = ""
    missed: bool = False


@dataclass(slots=True)
class Want:
    """A need that no live peer meets.

    Attributes:
        gap: Why.
        since: Monotonic second since when.
        used: Monotonic second at which jobs last had it.
        logged: The reason that the log told; empty: none.
    """

    gap: Gap
    since: float
    used: float
    logged: str = ""


class Wants:
    """Needs that no live peer meets, and what was told of them.

    Args:
        bus: Whom it tells.
        estimate: The store's instant.
        idle: The jobs that wait, by id; what was told is noted there.
    """

    def __init__(
        self, bus: EventBus, estimate: Callable[[], int], idle: dict[str, Idle]
    ) -> None:
        self.bus = bus
        self.estimate = estimate
        self._idle = idle
        self._wants: dict[Need, Want] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._wants)

    def needs(self) -> Iterable[Need]:
        """Return what is wanted."""
        return tuple(self._wants)

    def begun(self) -> list[float]:
        """Return the monotonic seconds since when."""
        return [want.since for want in self._wants.values()]

    def note(self, need: Need, why: Gap, now: float, *, used: bool) -> float:
        """Note that no live peer meets a need.

        Args:
            need: The need.
            why: Why none does.
            now: Monotonic second.
            used: Whether there are jobs that have it.

        Returns:
            For how many seconds that has been so.
        """
        want = self._wants.setdefault(need, Want(why, now, now))
        want.gap = why
        if used:
            want.used = now
        elif now - want.used >= LINGER:
            del self._wants[need]
        return now - want.since

    def end(self, need: Need) -> bool:
        """Note that somebody meets a need; return whether nobody had until now."""
        want = self._wants.pop(need, None)
        if want is None:
            return False
        if want.logged and not any(self._likewise(need)):
            log.warning(
                "jobs of %s in queue %s can be run again",
                need.executor or "a later version",
                need.queue,
                extra={
                    "action": "claimable",
                    "executor": need.executor,
                    "queue": need.queue,
                },
            )
        return True

    def untold(self, need: Need) -> list[str]:
        """Return the jobs of which there is something to tell."""
        want = self._wants.get(need)
        if want is None:
            return []
        now = self.estimate()
        return [
            job_id
            for job_id, one in self._idle.items()
            if one.need == need
            and (one.told != want.gap.reason or (_late(one, now) and not one.missed))
        ]

    def _likewise(self, need: Need) -> Iterator[Want]:
        """Yield the wants of jobs that differ in their triggers alone."""
        for other, want in self._wants.items():
            if (other.executor, other.queue) == (need.executor, need.queue):
                yield want

    def tell(self, need: Need) -> None:
        """Tell of the jobs that have a need, as far as there is something to tell."""
        ids = self.untold(need)
        if not ids:
            return
        want = self._wants[need]
        reason, why = want.gap.reason, want.gap.why
        known = any(other.logged == reason for other in self._likewise(need))
        want.logged = reason
        if not known:
            first = min(ids, key=lambda job_id: (self._idle[job_id].due.at, job_id))
            log.warning(
                "%s: %d of its jobs are due and wait, the first is %s",
                why,
                len(ids),
                first,
                extra={
                    "action": "unclaimable",
                    "job_id": first,
                    "executor": need.executor,
                    "queue": need.queue,
                },
            )
        for job_id in ids:
            one = self._idle[job_id]
            if one.told != reason:
                one.told = reason
                self.bus.emit(
                    "unclaimable",
                    job_id,
                    executor=need.executor,
                    queue=need.queue,
                    reason=reason,
                    why=why,
                )
            self._tell_overdue(one, reason)

    def _tell_overdue(self, one: Idle, reason: str) -> None:
        now = self.estimate()
        if one.owed is None or one.missed or not _late(one, now):
            return
        one.missed = True
        self.bus.emit(
            "missed",
            one.due.job_id,
            slot=moment(one.owed.slot),
            overdue=(now - one.owed.due) / SECOND,
            recorded=False,
            reason=reason,
            cause=one.owed.cause.value,
        )


def _late(one: Idle, now: int) -> bool:
    return one.owed is not None and now - one.owed.due > one.owed.grace
