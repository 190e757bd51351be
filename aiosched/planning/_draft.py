"""A change in the making: the working copy that decisions write on."""

from __future__ import annotations

from dataclasses import replace

from aiosched.enums import Cause, JobState, Outcome, Reason, RowKind
from aiosched.planning._walk import (
    Due,
    Tally,
    due_slots,
    excluded_to,
    fires_after,
    nth,
    tally,
)
from aiosched.planning.carried import carried
from aiosched.planning.moments import attempt_due, due_at, instant
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
from aiosched.rows import NO_ACT, Act, pack_act
from aiosched.triggers.base import LAST_INSTANT

__all__ = ["Draft"]

_LONGEST_NOTE = 200


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
        room = self.definition.spec.max_running - len(state.runs)
        for firing in state.waiting:
            if firing.open:
                room -= 1
        return room

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

    def due(self, until: int, *, whole: bool = True) -> Due | None:
        """Return the slots, from ``next`` on, that are due at ``until``.

        Args:
            until: An instant.
            whole: Leave out a stretch of excluded slots that is not over yet.
        """
        first = self.state.next
        if first is None:
            return None
        try:
            return due_slots(self.definition, first, until, whole=whole)
        except Exception as error:
            self._broken(error)
            return None

    def begun(self) -> int | None:
        """Return the last of the slots from ``next`` on whose own instant has come."""
        trigger, first = self.definition.spec.trigger, self.state.next
        if trigger is None or first is None or first > self.now:
            return None
        try:
            return trigger.reach(first, self.now, self.definition.anchor)
        except Exception as error:
            self._broken(error)
            return None

    def due_at(self, slot: int) -> int | None:
        """Return when a slot is acted on; None: it is excluded."""
        try:
            return due_at(self.definition, slot)
        except Exception as error:
            self._broken(error)
            return slot

    def fires_after(self, slot: int) -> bool:
        """Tell whether the trigger has a slot to be fired behind this one."""
        try:
            return fires_after(self.definition, slot)
        except Exception as error:
            self._broken(error)
            return False

    def tally(self, last: int) -> Tally:
        """Count the slots from ``next`` to ``last``, which ``due`` has named."""
        first = self.state.next
        if first is None:
            return Tally()
        try:
            return tally(self.definition, first, last)
        except Exception as error:
            self._broken(error)
            return Tally()

    def nth(self, last: int, number: int) -> int:
        """Return the slot up to which ``number`` of those due are to be fired."""
        first = self.state.next
        if first is None:
            return last
        try:
            return nth(self.definition, first, last, number)
        except Exception as error:
            self._broken(error)
            return last

    def _broken(self, error: Exception) -> None:
        # A trigger of the user's own may fail like any code of his; the job is
        # held, with the reason beside it, and the peer goes on.
        if self.state.status is JobState.ACTIVE:
            note = f"its trigger failed: {error!r}"[:_LONGEST_NOTE]
            self.state.status = JobState.PAUSED
            self.state.pause_note = note
            self.note(RowKind.HELD, Act(note=note))
        self.touched = True

    def passed(self, last: int) -> None:
        """Move on: every slot up to ``last`` is accounted for."""
        self.go_on(last, self.next_slot(last))

    def go_on(self, last: int, following: int | None) -> None:
        """Do so with the slot that the trigger has named as the following one."""
        state = self.state
        state.latest = last
        left = self.runs_left()
        state.next = None if left is not None and left <= 0 else following
        self.touched = True

    def pass_over(
        self, until: int, kind: RowKind, reason: Reason = Reason.NONE, fence: int = 0
    ) -> int:
        """Account for the slots from ``next`` to ``until`` without firing them.

        Those that are excluded are accounted for as that.

        Returns:
            How many others there were.
        """
        if self.state.next is None or until < self.state.next:
            return 0
        found = self.tally(until)
        if found.excluded:
            first, last = found.first_excluded, found.last_excluded
            self._note_excluded(first, last, found.excluded)
        if found.kept:
            first, last = found.first_kept, found.last_kept
            self.note_range(kind, first, last, found.kept, reason, fence)
        if found.kept or found.excluded:
            self.passed(max(found.last_kept, found.last_excluded))
        return found.kept

    def pass_excluded(self, until: int) -> bool:
        """Account for the excluded slots with which ``next`` begins.

        Returns:
            Whether there were any.
        """
        first = self.state.next
        if first is None:
            return False
        try:
            last = excluded_to(self.definition, first, until)
        except Exception as error:
            self._broken(error)
            return False
        self.pass_over(last, RowKind.SKIPPED)
        return self.state.next != first

    def _note_excluded(self, first: int, last: int, count: int) -> None:
        """Write one row for all that one look leaves out."""
        for index, row in enumerate(self.rows):
            if row.kind is RowKind.EXCLUDED:
                self.add("excluded", count)
                self.rows[index] = replace(row, until=last, count=row.count + count)
                return
        self.note_range(RowKind.EXCLUDED, first, last, count)

    def note_range(
        self,
        kind: RowKind,
        first: int,
        last: int,
        count: int,
        reason: Reason = Reason.NONE,
        fence: int = 0,
    ) -> None:
        """Write a row for a range of slots and count it."""
        self.add(kind.value, count)
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
        due = self.due_at(slot)
        at = slot if due is None else due
        trigger = self.definition.spec.trigger
        if trigger is not None and trigger.backfills:
            at = self.now
        return Pending(str(slot), Cause.SLOT, slot, at, missed=missed)

    # -- firings -----------------------------------------------------------

    def start(self, firing: Pending, lease: int, *, waited: bool = False) -> None:
        """Claim a firing for the deciding peer."""
        self.claim(firing.tried(), lease, waited=waited)

    def claim(self, tried: Pending, lease: int, *, waited: bool = False) -> None:
        """Do so with a firing that counts this attempt already."""
        fence = self.start_seq + 1 + len(self.starts)
        now = self.now
        run = LiveRun(fence, self.owner, now + lease, now, tried)
        self.state.runs = (*self.state.runs, run) if self.state.runs else (run,)
        state = self.state
        self.starts.append(
            Start(self.definition, run, state.version, waited, state.trace)
        )
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
        kind = RowKind.from_code(outcome.code)
        row = self._run_row(firing, kind, run, reason, value, final=True)
        self.rows.append(row)
        self.add(outcome._value_, 1)

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
        *,
        final: bool = False,
    ) -> Row:
        kept = self.definition.spec.keep_results
        fades = 0
        if kept is not None and value:
            fades = min(self.now + kept, LAST_INSTANT)
            value = value if kept else b""
        due = self._due(firing)
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
            final,
            run.fence if run else 0,
            run.owner if run else self.owner,
            reason,
            run.started if run else 0,
            firing.missed,
            value,
            due if due != firing.slot else 0,
            fades,
        )

    def _due(self, firing: Pending) -> int:
        try:
            return attempt_due(self.definition, firing)
        except Exception as error:
            self._broken(error)
            return firing.at

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

    def note(
        self,
        kind: RowKind,
        act: Act = NO_ACT,
        reason: Reason = Reason.NONE,
        *,
        key: str = "",
        cause: Cause = Cause.SLOT,
        due: int = 0,
    ) -> None:
        """Write a row about the job itself, and who did it."""
        self.rows.append(
            Row(
                self.definition.id,
                kind,
                self.now,
                key=key,
                cause=cause,
                owner=self.owner,
                reason=reason,
                value=pack_act(act),
                due=due,
            )
        )
        self.touched = True

    def change(self) -> Change | None:
        """Return what is to be written; None if nothing was touched."""
        if not self.touched:
            return None
        state, definition = self.state, self.definition
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
        # Only now: what is deleted needs neither.
        if self.sums:
            state.counts = state.counts.plus(**self.sums)
        if rows or definition.spec.keep_results is not None:
            state.recent = carried(state.recent, definition.spec, rows, self.now)
        return Change(
            Record(definition, state), instant(definition, state), starts, rows
        )

    def _exhausted(self) -> bool:
        return (
            self.state.status is JobState.ACTIVE
            and self.state.next is None
            and self.definition.spec.keyword is None
        )
