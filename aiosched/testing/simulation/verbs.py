"""What people asked for, and whether what they were answered is in the store."""

from __future__ import annotations

from typing import Any

from aiosched.enums import JobState, RowKind
from aiosched.records import Record
from aiosched.testing.simulation.commits import Commit

__all__ = ["Verbs"]

_SAYS = {
    "schedule": RowKind.CREATED,
    "pause": RowKind.HELD,
    "resume": RowKind.RESUMED,
    "stop_job": RowKind.STOPPED,
    "remove_job": RowKind.REMOVED,
}
_PAUSES = (RowKind.HELD, RowKind.STOPPED)
_OF_VERBS = frozenset(_SAYS.values())


class Verbs:
    """Remembers which verbs have written something, and when."""

    def __init__(self) -> None:
        """Know of none."""
        self._asked: set[tuple[str, str]] = set()
        self._said: dict[tuple[str, RowKind], int] = {}

    def take(self, commit: Commit) -> None:
        """Remember what one commit says of verbs."""
        for row in commit.rows:
            if row.kind in _OF_VERBS:
                self._said[commit.job_id, row.kind] = commit.at
        before, after = commit.before, commit.after
        if before is None or after is None:
            return
        if after.state.counts.asked > before.state.counts.asked:
            self._asked |= {(commit.job_id, w.key) for w in after.state.waiting}

    def answers(
        self,
        verb: str,
        job_id: str,
        answer: object,
        called: int,
        known: Record | None,
        record: Record | None,
    ) -> str | None:
        """Say what is wrong about the answer to a verb; None: nothing.

        Args:
            verb: Name of the method of a scheduler.
            job_id: Of the job.
            answer: What was returned.
            called: The instant of the call.
            known: The record at that instant.
            record: As it is now.
        """
        if verb in ("fire_job", "start_job"):
            firings: list[Any] = answer if isinstance(answer, list) else [answer]
            for firing in firings:
                if (firing.job_id, firing.key) not in self._asked:
                    return f"the firing {firing.key} was never written"
            return None
        kind = _SAYS.get(verb)
        if kind is None:
            return None
        # A job that somebody else has stopped meanwhile is paused, and the reverse.
        same = _PAUSES if kind in _PAUSES else (kind,)
        if any(self._said.get((job_id, one), 0) >= called for one in same):
            return None
        # Another may have done the same before, in which case nothing is written.
        status = None if known is None else known.state.status
        now = None if record is None else record.state.status
        if verb in ("pause", "stop_job") and JobState.PAUSED in (status, now):
            return None
        if verb == "resume" and not (status is now is JobState.PAUSED):
            return None
        if verb == "remove_job" and now in (None, JobState.REMOVED):
            return None
        if verb == "schedule" and (status is not None or now is not None):
            return None
        return f"nothing was written; it was {status} and is {now}"
