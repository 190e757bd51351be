"""Random programmes over one job's record, and the judge of its invariants.

Shared by the property tests of planning; plain Python, no event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal
from unittest import mock

from aiosched import planning
from aiosched.enums import (
    Cause,
    Coalesce,
    JobState,
    Outcome,
    Overlap,
    Reason,
    RowKind,
)
from aiosched.errors import JobError, JobExistsError
from aiosched.planning import slots
from aiosched.records import MAX_WAITING, Change, Definition, Ended, Record, Row
from aiosched.rows import Act, unpack_act, unpack_row
from aiosched.triggers.backfill import BackfillTrigger
from aiosched.triggers.base import Trigger
from tests.model.spotty import SpottyTrigger

OWNERS = ("peer-a", "peer-b")
LEASE = 15_000_000
FINAL = {outcome.value for outcome in Outcome}
FAR = 200
"""Slots behind a pause that are looked through for one that is not excluded."""
MOVED = 60_000_000
"""No slot is due so long before its own instant."""
PASSED = (RowKind.SKIPPED, RowKind.MISSED, RowKind.PAUSED)
FATES = (*PASSED, RowKind.EXCLUDED)
MOST_SLOTS = 3_000
"""Slots of an era that are told one by one; more are left to the arithmetic."""
ACTED = {
    "start": RowKind.ASKED,
    "modify": RowKind.MODIFIED,
    "more": RowKind.MODIFIED,
    "retime": RowKind.MODIFIED,
    "exclude": RowKind.MODIFIED,
    "pause": RowKind.HELD,
    "hold": RowKind.HELD,
    "resume": RowKind.RESUMED,
    "stop": RowKind.STOPPED,
    "remove": RowKind.REMOVED,
}


@dataclass
class Era:
    """What became of the slots of one trigger of a job."""

    definition: Definition
    since: int | None
    fired_before: int
    rows: list[Row] = field(default_factory=list)

    def judge(self, latest: int | None, fired: int) -> None:
        """Tell the fate of each slot, and compare it with the rows and sums."""
        trigger, anchor = self.definition.spec.trigger, self.definition.anchor
        frontier = max([row.until for row in self.rows], default=0)
        slots = listed(trigger, anchor, self.since, max(frontier, latest or 0))
        if trigger is None or slots is None:
            return
        excluded = {slot for slot in slots if trigger.due(slot, anchor) is None}
        kept = set(slots) - excluded
        for row in self.rows:
            left = excluded if row.kind is RowKind.EXCLUDED else kept
            covered = {slot for slot in left if row.slot <= slot <= row.until}
            assert {row.slot, row.until} <= covered, "a row ends at slots of its kind"
            assert len(covered) == row.count, "a row counts its slots"
            left -= covered
        assert not excluded, "excluded slots are in one row each"
        assert len(kept) == fired - self.fired_before, "the others were fired"


def listed(
    trigger: Trigger | None, anchor: int | None, first: int | None, last: int
) -> list[int] | None:
    """List the slots of a range one by one; None where they are too many."""
    slots: list[int] = []
    slot = first
    while trigger is not None and slot is not None and slot <= last:
        slots.append(slot)
        if len(slots) > MOST_SLOTS:
            return None
        slot = trigger.next(slot, anchor)
    return slots


@dataclass
class World:
    """One record, everything that was ever written about it, and a clock."""

    definition: Definition
    now: int
    record: Record | None = None
    rows: list[Row] = field(default_factory=list)
    claims: list[tuple[str, int]] = field(default_factory=list)
    fences: set[int] = field(default_factory=set)
    started: int = 0
    former: set[int] = field(default_factory=set)
    """Fences of runs that belong to an earlier job with the same id."""
    era: Era | None = None

    def commit(self, change: Change | None) -> None:
        """Write a change as a store would, judging it."""
        if change is None:
            return
        before = self.record
        self.record = change.record
        self.rows.extend(change.rows)
        if before is not None:
            judge_pause(before, change, self.now)
            judge_closing(before, change, self.now)
        self._turn(before, change)
        for start in change.starts:
            assert start.run.fence not in self.fences, "fences never repeat"
            assert all(f < start.run.fence for f in self.fences), "fences rise"
            self.fences.add(start.run.fence)
            self.claims.append((start.run.owner, start.run.fence))
        if change.record is None:
            return
        state = change.record.state
        if before is not None:
            assert state.seq > before.state.seq, "every write raises seq"
        assert change.at == planning.instant(change.record.definition, state)
        untried = [firing for firing in state.waiting if not firing.open]
        assert len(untried) <= MAX_WAITING, "bounded waiting"
        self.judge()

    def _turn(self, before: Record | None, change: Change) -> None:
        """Add rows to the era, and judge it where it ends."""
        era, record = self.era, change.record
        if era is not None and before is not None:
            passed = [r for r in change.rows if r.kind in (*PASSED, RowKind.EXCLUDED)]
            era.rows += passed
            if record is None or _of_another(before, change):
                era.judge(before.state.latest, before.state.counts.fired)
                self.era = None
        if self.era is None and record is not None:
            state = record.state
            self.era = Era(record.definition, state.since, state.counts.fired)

    def judge(self) -> None:
        """Check conservation for the record as it stands."""
        record = self.record
        assert record is not None
        state = record.state
        assert planning.conserved(record) is None
        self._judge_due(record)
        self._judge_values(record)
        finals = [r for r in self.rows if r.final and r.fence not in self.former]
        assert len({row.key for row in finals}) == len(finals), "one outcome a firing"
        tried = len(state.runs) + sum(firing.open for firing in state.waiting)
        if not self.former:
            most = record.definition.spec.max_running
            assert tried <= most, "max_running bounds what is open"
        keys = [r.firing.key for r in state.runs if r.fence not in self.former]
        keys += [f.key for f in state.waiting]
        assert len(set(keys)) == len(keys), "a firing is open once"
        assert not set(keys) & {row.key for row in finals}, "ended is ended"
        for line in state.recent:
            assert unpack_row(line).final

    def judge_fates(self) -> None:
        """Compare the rows of the present era with its slots, one by one."""
        if self.era is not None and self.record is not None:
            state = self.record.state
            self.era.judge(state.latest, state.counts.fired)

    def _judge_due(self, record: Record) -> None:
        """Check when the next slot is due: moved, jittered, not past the end."""
        trigger, slot = record.definition.spec.trigger, record.state.next
        if trigger is None or slot is None:
            return
        due = trigger.due(slot, record.definition.anchor)
        at = planning.due_at(record.definition, slot)
        assert (due is None) == (at is None)
        if due is not None and at is not None:
            end = trigger.closes()
            assert due <= at <= due + record.definition.spec.jitter
            assert end is None or at <= max(due, end), "jitter stays before the end"

    def _judge_values(self, record: Record) -> None:
        """Check that values fade in time, and when runs were due."""
        kept = record.definition.spec.keep_results
        for row in self.rows:
            if row.started and row.cause is Cause.SLOT:
                assert (row.due or row.slot) <= row.started, "nothing starts early"
            if row.started:
                fades = 0 if kept is None else row.at + kept
                assert row.value_until in (fades, 0)
                assert not (row.value and kept == 0), "no value is stored"
        if kept is not None:
            for line in record.state.recent:
                row = unpack_row(line)
                faded = row.value_until and row.value_until <= self.now
                assert not (faded and row.value), "values over their time are gone"

    def attend(self, owner: str, capacity: int) -> None:
        """Look at the record as a peer would."""
        if self.record is None:
            return
        definition, state = self.record.definition, self.record.state
        due = planning.instant(definition, state)
        change = planning.attend(definition, state, self.now, capacity, owner, LEASE)
        with mock.patch.object(slots, "_take_lone", return_value=False):
            long = planning.attend(definition, state, self.now, capacity, owner, LEASE)
        assert change == long, "the short way ends where the long one does"
        if change is not None and change.starts:
            assert due is not None
            assert due <= self.now, "nothing starts before the instant"
            assert len(change.starts) <= capacity
            early = planning.attend(definition, state, due - 1, capacity, owner, LEASE)
            assert early is None or not early.starts, "instant is sound"
        if change is not None and capacity:
            judge_all(self.record, change, self.now)
        self.commit(change)

    def settle(self, index: int, ended: Ended) -> None:
        """End a claim, however old it is."""
        if self.record is None or not self.claims:
            return
        owner, fence = self.claims[index % len(self.claims)]
        definition, state = self.record.definition, self.record.state
        wrong = OWNERS[OWNERS.index(owner) - 1]
        assert (
            planning.settle(definition, state, wrong, fence, ended, self.now) is None
        ), "a fence belongs to its owner"
        held = any((r.owner, r.fence) == (owner, fence) for r in state.runs)
        change = planning.settle(definition, state, owner, fence, ended, self.now)
        assert (change is not None) == held, "a stale fence changes nothing"
        live = state.status is not JobState.REMOVED and fence not in self.former
        if change is not None and ended.finish and live:
            last = change.record
            assert last is None or last.state.status is JobState.REMOVED
            (row,) = [r for r in change.rows if r.kind is RowKind.REMOVED]
            assert row.reason is Reason.ITSELF
        elif change is not None and fence in self.former:
            assert not any(r.kind is RowKind.REMOVED for r in change.rows)
        self.commit(change)

    def extend(self, index: int) -> None:
        """Renew a claim's lease."""
        if self.record is None or not self.claims:
            return
        owner, fence = self.claims[index % len(self.claims)]
        definition, state = self.record.definition, self.record.state
        self.commit(planning.extend(definition, state, owner, {fence}, self.now, LEASE))

    def verb(self, name: str, key: str) -> None:
        """Call one of the users' verbs."""
        if name == "schedule":
            self._schedule()
            return
        try:
            record = planning.living(self.record, self.definition.id)
            change = self._verb(name, key, record)
            self.commit(change)
            if change is not None and name in ACTED:
                (row,) = [r for r in change.rows if r.kind is ACTED[name]]
                act = unpack_act(row.value)
                assert (act.by, act.note) == ("somebody", key), "who did it is known"
        except JobError:
            return

    def _schedule(self) -> None:
        created = self.record is None
        try:
            change = planning.schedule(self.definition, self.record, self.now)
        except JobExistsError:
            return
        if created:
            # An id that is removed and made again is another job.
            self.rows.clear()
        elif change is not None and self.record is not None:
            self.rows = [r for r in self.rows if not r.final]
            self.former |= {run.fence for run in self.record.state.runs}
        self.commit(change)

    def _verb(self, name: str, key: str, record: Record) -> Change | None:
        now, act = self.now, Act("somebody", key)
        match name:
            case "fire":
                return planning.fire(record, now, key, b"{}")
            case "fire_ttl":
                return planning.fire(record, now, key, expires=now + 1_000_000)
            case "start":
                return planning.start(record, now, key, act=act)
            case "modify":
                spec = replace(record.definition.spec, note=key)
                changed = replace(record.definition, spec=spec)
                return planning.modify(changed, record, now, act=act)
            case "more":
                runs = record.definition.spec.max_runs
                spec = replace(record.definition.spec, max_runs=(runs or 0) + 2)
                changed = replace(record.definition, spec=spec)
                return planning.modify(changed, record, now, act=act)
            case "retime":
                changed = retimed(record.definition)
                return planning.modify(changed, record, now, act=act)
            case "exclude":
                changed = excluding(record.definition)
                return planning.modify(changed, record, now, act=act)
            case "pause":
                return planning.pause(record, now, note=key, act=act)
            case "hold":
                until = now + 5_000_000
                return planning.pause(record, now, note=key, until=until, act=act)
            case "resume":
                return planning.resume(record, now, act=act)
            case "stop":
                return planning.stop(record, now, act=act)
        return planning.remove(record, now, act=act)

    def progress(self) -> None:
        """Looking with capacity always gets past the present instant."""
        for _ in range(3 * MAX_WAITING):
            if self.record is None:
                return
            at = planning.instant(self.record.definition, self.record.state)
            if at is None or at > self.now:
                return
            before = self.record.state.seq
            self.attend("peer-a", 100)
            if self.record is not None:
                assert self.record.state.seq > before, "looking makes progress"
        raise AssertionError("looking never ended")

    def open_keyword_or_manual(self) -> int:
        """Return how many asked firings are open."""
        if self.record is None:
            return 0
        state = self.record.state
        firings = [r.firing for r in state.runs] + list(state.waiting)
        return sum(1 for f in firings if f.cause is not Cause.SLOT)


def retimed(definition: Definition) -> Definition:
    """Give a job another trigger, if it has one that can be put off."""
    trigger = definition.spec.trigger
    if isinstance(trigger, SpottyTrigger):
        later = trigger.model_copy(update={"begin": trigger.begin + 1_500_000})
        spec = replace(definition.spec, trigger=later)
        return replace(definition, spec=spec)
    if definition.anchor is None:
        return definition
    return replace(definition, anchor=definition.anchor + 1_500_000)


def excluding(definition: Definition) -> Definition:
    """Give a job another trigger with the same slots, if it has such a one."""
    trigger = definition.spec.trigger
    if not isinstance(trigger, SpottyTrigger):
        return definition
    shift: Literal["skip", "next"] = "skip" if trigger.shift == "next" else "next"
    other = trigger.model_copy(update={"shift": shift})
    return replace(definition, spec=replace(definition.spec, trigger=other))


def judge_pause(before: Record, change: Change, now: int) -> None:
    """Tell slot by slot what a pause has held up, and compare it with the rows.

    It is over at its ``pause_until``, whenever somebody finds out, and before if
    somebody ends it.
    """
    definition, state = before.definition, before.state
    rows = [row for row in change.rows if row.kind is RowKind.PAUSED]
    if state.status is not JobState.PAUSED:
        assert not rows, "nothing is paused but by a pause"
        return
    end, over = now, 0
    if state.pause_until is not None and state.pause_until <= now:
        end = over = state.pause_until
    resumed = [row for row in change.rows if row.kind is RowKind.RESUMED]
    assert [row.due for row in resumed] in ([], [over]), "a row says when it was over"
    if over:
        assert resumed or not (rows or change.starts), "what is over is ended first"
    if not resumed or state.next is None:
        return
    held = _held_up(definition, state.next, end)
    if held is None:
        return
    if isinstance(definition.spec.trigger, BackfillTrigger):
        assert not rows, "no pause passes over what is backfilled"
        return
    counted = {slot for row in rows for slot in held if row.slot <= slot <= row.until}
    assert sum(row.count for row in rows) == len(counted), "only its own slots"
    left = set(held) - counted
    assert not left or (left == {held[-1]} and not _comes_after(definition, held[-1]))
    if held and not _comes_after(definition, held[-1]):
        assert left, "the last slot of all is not lost to a pause"


def judge_all(before: Record, change: Change, now: int) -> None:
    """Tell slot by slot what ``coalesce="all"`` takes under ``skip``.

    It is every slot that is due and not too late, whatever the capacity: what
    cannot start waits.
    """
    definition, state, after = before.definition, before.state, change.record
    spec, first = definition.spec, state.next
    in_the_way = state.runs or state.waiting or state.status is not JobState.ACTIVE
    if (spec.overlap, spec.coalesce) != (Overlap.SKIP, Coalesce.ALL) or in_the_way:
        return
    held = None if first is None else _held_up(definition, first, now)
    if not held or isinstance(spec.trigger, BackfillTrigger):
        return
    due = {slot: planning.due_at(definition, slot) or 0 for slot in held}
    grace = spec.misfire_grace
    oldest = now - (60_000_000 if grace is None else grace)
    while held and due[held[0]] < oldest and (grace is not None or len(held) > 1):
        held.pop(0)
    most = min(spec.coalesce_limit or MAX_WAITING, MAX_WAITING)
    held = held[-most:]
    if spec.max_runs is not None:
        held = held[: spec.max_runs - state.counts.fired]
    taken = [start.run.firing.slot for start in change.starts]
    if after is not None:
        taken += [firing.slot for firing in after.state.waiting]
    assert taken == held, "each slot that is not too late is run"


def judge_closing(before: Record, change: Change, now: int) -> None:
    """Tell what becomes of the slots whose trigger is given up; none is dropped.

    Those up to now, be they put off beyond it, are in one row each, or those of
    the new trigger.
    """
    definition, first, after = before.definition, before.state.next, change.record
    kinds = {row.kind for row in change.rows}
    trigger, anchor = definition.spec.trigger, definition.anchor
    removed, modified = RowKind.REMOVED in kinds, RowKind.MODIFIED in kinds
    if not (removed or (modified and _of_another(before, change))):
        return
    slots = listed(trigger, anchor, first, now)
    if trigger is None or slots is None:
        return
    left: list[int] = []
    for slot in slots:
        excluded = trigger.due(slot, anchor) is None
        told = [
            row
            for row in change.rows
            if row.count and row.slot <= slot <= row.until and row.kind in FATES
            if (row.kind is RowKind.EXCLUDED) is excluded
        ]
        assert len(told) <= 1, "a slot is given up once"
        left += [] if told else [slot]
    following = None if after is None or removed else after.definition
    again = None
    if following is not None and after is not None:
        again = listed(following.spec.trigger, following.anchor, after.state.since, now)
    assert not left or again is None or again == left, "or the new trigger has it"
    assert not (left and following is None), "or is given up"


def _held_up(definition: Definition, first: int, end: int) -> list[int] | None:
    """List the slots that came due up to the end of a pause, excluded ones apart."""
    trigger, anchor = definition.spec.trigger, definition.anchor
    slots = listed(trigger, anchor, first, end + MOVED)
    if trigger is None or slots is None:
        return None
    held: list[int] = []
    for slot in slots:
        due = planning.due_at(definition, slot)
        if due is not None and due > end:
            break
        if due is not None:
            held.append(slot)
    return held


def _comes_after(definition: Definition, slot: int) -> bool:
    trigger, anchor = definition.spec.trigger, definition.anchor
    following = None if trigger is None else trigger.next(slot, anchor)
    for _ in range(FAR):
        if trigger is None or following is None:
            return False
        if trigger.due(following, anchor) is not None:
            return True
        following = trigger.next(following, anchor)
    return False


def _of_another(before: Record, change: Change) -> bool:
    """Tell whether a change gives a job another trigger, or makes it anew."""
    record = change.record
    if record is None or any(r.kind is RowKind.CREATED for r in change.rows):
        return True
    old, new = before.definition, record.definition
    if before.state.since != record.state.since:
        return True  # runs that were used up have been added to
    return (old.spec.trigger, old.anchor) != (new.spec.trigger, new.anchor)


def ended(outcome: Outcome, *, shutdown: bool, entered: bool, finish: bool) -> Ended:
    """Build the end of a run."""
    if shutdown:
        return Ended(Outcome.CANCELLED, Reason.SHUTDOWN, entered=entered)
    finish = finish and outcome is Outcome.SUCCEEDED
    errors = ("ValueError", "Exception")
    return Ended(outcome, value=b'"x"', error=errors, finish=finish)


__all__ = ["FINAL", "LEASE", "OWNERS", "Era", "JobState", "World", "ended", "retimed"]
