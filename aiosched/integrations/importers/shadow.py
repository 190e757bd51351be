"""A shadow: what aiosched would fire beside a scheduler that still runs.

It only looks.  Between two looks it lists the slots that its own triggers have, and
what the other's store says has been fired meanwhile; where both do not agree, it
says how.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aiosched.instants import micros, moment
from aiosched.integrations.importers.found import Found, Taken

__all__ = ["Shadow", "Sight", "Word"]

Word = Literal[
    "both", "ours", "theirs", "drift", "waiting", "new", "gone", "changed", "left"
]
"""What is seen of a schedule; see :class:`Sight`."""
_MOST = 1_000
"""Slots of one job that are listed between two looks."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One thing that a shadow has seen.

    Attributes:
        word: ``both``: we would have fired, and the other has; ``ours``: we would
            have, and the other did not, or does not say; ``theirs``: the other is
            due at an instant that is no slot here; ``drift``: so it is, by less
            than half a slot, because it counts from when it polled; ``waiting``: it
            is due, and the other has not fired it yet; ``new``, ``gone``,
            ``changed``: a schedule came, went or was changed; ``left``: it cannot
            be a job.
        job: Its id.
        at: The slot; of the other words the instant of the look.
        detail: What else there is to say.
    """

    word: Word
    job: str
    at: datetime
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "word": self.word,
            "job": self.job,
            "at": self.at.isoformat(),
            "detail": self.detail,
        }


class Shadow:
    """Compares what was found at a source with what is found there later.

    Pure: who uses it reads the source and says what time it is.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._jobs: dict[str, Taken] = {}
        self._left: dict[str, str] = {}
        self._seen: int | None = None
        self._waiting: dict[str, int] = {}

    def look(self, found: Found, now: datetime) -> list[Sight]:
        """Take note of what is found now.

        The first look tells only what cannot be a job.

        Args:
            found: What the source holds.
            now: The instant at which it was read, aware, not before the last one.

        Returns:
            What is seen since the last look, by instant.
        """
        first = self._seen is None
        since, self._seen = self._seen or micros(now), micros(now)
        sights = list(self._left_out(found, now))
        jobs = {one.job.id: one for one in found.jobs}
        if not first:
            for job_id in sorted({*jobs, *self._jobs}):
                sights += self._of_one(
                    job_id, self._jobs.get(job_id), jobs.get(job_id), since
                )
        self._jobs = jobs
        return sorted(sights, key=lambda one: (one.at, one.job))

    def _left_out(self, found: Found, now: datetime) -> Iterator[Sight]:
        left = {one.id: one.reason for one in found.left_out}
        for job_id, reason in left.items():
            if self._left.get(job_id) != reason:
                yield Sight("left", job_id, now, reason)
        self._left = left

    def _of_one(
        self, job_id: str, before: Taken | None, after: Taken | None, since: int
    ) -> Iterator[Sight]:
        now = self._seen
        assert now is not None  # noqa: S101 - a look has begun
        if before is None:
            assert after is not None  # noqa: S101 - it is in one of both
            yield Sight("new", job_id, moment(now), _words(after))
            return
        if before.job.paused:
            return
        if not before.told:
            for slot in _slots(before, since, now):
                yield Sight("ours", job_id, moment(slot), "the source keeps no state")
            return
        yield from self._beside(before, after, now)

    def _beside(self, before: Taken, after: Taken | None, now: int) -> Iterator[Sight]:
        """Hold our slots against the other's store, which has moved on or not."""
        job_id, due = before.job.id, micros(before.next)
        following = None if after is None else micros(after.next)
        if following == due:
            if due <= now and self._waiting.get(job_id) != due:
                self._waiting[job_id] = due
                yield Sight("waiting", job_id, moment(due))
            return
        self._waiting.pop(job_id, None)
        if due > now:
            word: Word = "gone" if after is None else "changed"
            yield Sight(word, job_id, moment(now), f"before it was due, {before.next}")
            return
        yield Sight("both", job_id, moment(due))
        until = now if following is None else min(now, following - 1)
        for slot in _slots(before, due, until):
            yield Sight("ours", job_id, moment(slot), "passed over by the other")
        if after is None:
            return
        expected = _next(before, max(due, until))
        if following is not None and following != expected:
            near = expected is not None and (
                abs(following - expected) * 2 < expected - due
            )
            said = "nothing" if expected is None else moment(expected).isoformat()
            detail = f"here {said} would be next"
            yield Sight("drift" if near else "theirs", job_id, after.next, detail)


def _slots(one: Taken, after: int, until: int) -> Iterator[int]:
    trigger = one.job.trigger
    slot = None if trigger is None else trigger.next(after)
    for _ in range(_MOST):
        if trigger is None or slot is None or slot > until:
            return
        yield slot
        slot = trigger.next(slot)


def _next(one: Taken, after: int) -> int | None:
    return None if one.job.trigger is None else one.job.trigger.next(after)


def _words(one: Taken) -> str:
    return "" if one.job.trigger is None else one.job.trigger.describe()
