"""A change in the making: the working copy that decisions write on."""

from __future__ import annotations

from dataclasses import replace

from aiosched.enums import Cause, JobState, Outcome, Reason, RowKind
from aiosched.planning.moments import due_at, instant
from aiosched.records import (
    Change,
    Definition,
    LiveRun,
    Pending,
    Record,
    Row,
    Start,
    State,
)
from aiosched.rows import ELSEWHERE, pack_row

__all__ = ["Draft"]

_LARGEST_CARRIED = 1024
"""Bytes of a result that a record carries along; each write rewrites them."""

_LONGEST_NOTE = 200

_SUMS = {
    RowKind.SKIPPED: "skipped",
    RowKind.MISSED: "missed",
    RowKind.EXCLUDED: "excluded",
    RowKind.PAUSED: "paused",
}


class Draft:
    """One record being decided on.

    Collects the new state, ledger rows and starts, and renders them as a
    :class:`Change`, or as None if nothing was touched.
    """

    __slots__ = (
        "definition",
        "now",
        "owner",
        "rows",
        "start_seq",
        "starts",
        "state",
        "sums",
        "touched",
    )

    def __init__(
        self, definition: Definition, state: State, now: int, owner: str = ""
    ) -> None:
        self.definition: Definition = definition
        self.state: State = state.copy()
        self.now: int = now
        self.owner: str = owner
        self.rows: list[Row] = []
        self.starts: list[Start] = []
        self.sums: dict[str, int] = {}
        self.touched: bool = False
        # Ordered even after a failover that lost the last writes: a fence is
        # never below the instant at which it was drawn.
        self.start_seq: int = max(state.seq + 1, now)

    # -- capacity ----------------------------------------------------------

    def room(self) -> int:
        """Return how many further firings may be open."""
        state = self.state
        count = len(state.runs)
        for firing in state.waiting:
            if firing.open:
                count += 1
        return self.definition.spec.max_running - count

    def runs_left(self) -> int | None:
        """Return how many slots may still be fired; None: any number."""
        limit = self.definition.spec.max_runs
        if limit is None:
            return None
        return limit - self.state.counts.fired - self.sums.get("fired", 0)

    # -- slots -------------------------------------------------------------

    def next_slot(self, after: int) -> int | None:
        """Ask the trigger for the slot behind an instant."""
        trigger = self.definition.spec.trigger
        try:
            return trigger.next(after, self.definition.anchor) if trigger else None
        except Exception as error:
            self._broken(error)
            return None

    def reach(self, until: int) -> int | None:
        """Return the latest slot from ``next`` to ``until`` that a look gets to."""
        trigger, first = self.definition.spec.trigger, self.state.next
        if trigger is None or first is None or first > until:
            return None
        try:
            return trigger.reach(first, until, self.definition.anchor)
        except Exception as error:
            self._broken(error)
            return None

    def count(self, until: int) -> int:
        """Count the slots from ``next`` to ``until``, which ``reach`` has named."""
        trigger, first = self.definition.spec.trigger, self.state.next
        if trigger is None or first is None:
            return 0
        try:
            return trigger.count(first, until, self.definition.anchor)
        except Exception as error:
            self._broken(error)
            return 0

    def _broken(self, error: Exception) -> None:
        # A trigger of the user's own may fail like any code of his; the job is
        # held, with the reason beside it, and the peer goes on.
        if self.state.status is JobState.ACTIVE:
            self.state.status = JobState.PAUSED
            self.state.pause_note = f"its trigger failed: {error!r}"[:_LONGEST_NOTE]
        self.touched = True

    def passed(self, last: int) -> None:
        """Move on: every slot up to ``last`` is accounted for."""
        state = self.state
        state.latest = last
        state.next = self.next_slot(last)
        left = self.runs_left()
        if left is not None and left <= 0:
            state.next = None
        self.touched = True

    def pass_over(
        self, until: int, kind: RowKind, reason: Reason = Reason.NONE, fence: int = 0
    ) -> int:
        """Account for the slots from ``next`` to ``until`` without firing them.

        Returns:
            How many there were.
        """
        first, last = self.state.next, self.reach(until)
        count = 0 if last is None else self.count(last)
        if first is None or last is None or not count:
            return 0
        self.note_range(kind, first, last, count, reason, fence)
        self.passed(last)
        return count

    def note_range(
        self,
        kind: RowKind,
        first: int,
        last: int,
        count: int,
        reason: Reason,
        fence: int = 0,
    ) -> None:
        """Write a row for a range of slots and count it."""
        self.add(_SUMS[kind], count)
        self.rows.append(
            Row(
                self.definition.id,
                kind,
                self.now,
                first,
                last,
                count,
                reason=reason,
                fence=fence,
                owner=self.owner,
            )
        )

    def take_slot(self, slot: int, missed: int = 0) -> Pending:
        """Turn a slot into a firing; ``passed`` is the caller's duty."""
        self.add("fired", 1)
        return Pending(
            str(slot),
            Cause.SLOT,
            slot,
            due_at(self.definition, slot),
            missed=missed,
        )

    # -- firings -----------------------------------------------------------

    def start(self, firing: Pending, lease: int) -> None:
        """Claim a firing for the deciding peer."""
        fence = self.start_seq + 1 + len(self.starts)
        run = LiveRun(
            fence,
            self.owner,
            self.now + lease,
            self.now,
            replace(firing, attempt=firing.attempt + 1, open=True),
        )
        self.state.runs = (*self.state.runs, run)
        self.starts.append(Start(self.definition, run, self.state.version))
        self.touched = True

    def wait(self, firing: Pending, *, first: bool = False) -> None:
        """Put a firing into the waiting list."""
        waiting = self.state.waiting
        self.state.waiting = (firing, *waiting) if first else (*waiting, firing)
        self.touched = True

    def end(
        self,
        firing: Pending,
        outcome: Outcome,
        *,
        run: LiveRun | None = None,
        reason: Reason = Reason.NONE,
        value: bytes = b"",
    ) -> None:
        """Write a firing's one final outcome."""
        row = self._run_row(firing, RowKind.from_code(outcome.code), run, reason, value)
        row = replace(row, final=True)
        self.rows.append(row)
        self.add(outcome.value, 1)
        keep = self.definition.spec.keep_last
        if keep:
            recent = self.state.recent[: keep - 1]
            if len(row.value) > _LARGEST_CARRIED:
                row = replace(row, value=ELSEWHERE)
            self.state.recent = (pack_row(row), *recent)
        self.touched = True

    def note_attempt(
        self,
        run: LiveRun,
        kind: RowKind,
        *,
        reason: Reason = Reason.NONE,
        value: bytes = b"",
    ) -> None:
        """Write a row for an attempt after which the firing stays open."""
        self.rows.append(self._run_row(run.firing, kind, run, reason, value))
        self.touched = True

    def _run_row(
        self,
        firing: Pending,
        kind: RowKind,
        run: LiveRun | None,
        reason: Reason,
        value: bytes,
    ) -> Row:
        return Row(
            self.definition.id,
            kind,
            self.now,
            firing.slot,
            firing.slot,
            1 if firing.cause is Cause.SLOT else 0,
            firing.key,
            firing.cause,
            firing.attempt,
            False,
            run.fence if run else 0,
            run.owner if run else self.owner,
            reason,
            run.started if run else 0,
            firing.missed,
            value,
        )

    def drop_waiting(self, reason: Reason) -> None:
        """Cancel every firing that waits."""
        for firing in self.state.waiting:
            self.end(firing, Outcome.CANCELLED, reason=reason)
        self.state.waiting = ()

    def cancel_runs(self, reason: Reason, *, oldest_only: bool = False) -> None:
        """Ask the peers of live runs to stop them."""
        runs = list(self.state.runs)
        for index, run in enumerate(runs):
            if run.cancel is Reason.NONE:
                runs[index] = replace(run, cancel=reason)
                self.touched = True
                if oldest_only:
                    break
        self.state.runs = tuple(runs)

    # -- rendering ---------------------------------------------------------

    def add(self, name: str, count: int) -> None:
        """Add to one of the sums."""
        self.sums[name] = self.sums.get(name, 0) + count
        self.touched = True

    def note(self, kind: RowKind) -> None:
        """Write a row about the job itself."""
        self.rows.append(Row(self.definition.id, kind, self.now, owner=self.owner))
        self.touched = True

    def change(self) -> Change | None:
        """Return what is to be written; None if nothing was touched."""
        if not self.touched:
            return None
        state, definition = self.state, self.definition
        if self.sums:
            state.counts = state.counts.plus(**self.sums)
        rows, starts = tuple(self.rows), tuple(self.starts)
        state.seq = self.start_seq + len(starts)
        if not state.runs and not state.waiting:
            if state.status is JobState.REMOVED:
                return Change(None, None, starts, rows)
            if self._exhausted():
                if not definition.spec.keep:
                    return Change(None, None, starts, rows)
                state.status = JobState.FINISHED
                state.ends = self.now + definition.spec.keep
        return Change(
            Record(definition, state), instant(definition, state), starts, rows
        )

    def _exhausted(self) -> bool:
        return (
            self.state.status is JobState.ACTIVE
            and self.state.next is None
            and self.definition.spec.keyword is None
        )
