"""Random programmes over one job's record, and the judge of its invariants.

Shared by the property tests of planning; plain Python, no event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from aiosched import planning
from aiosched.enums import Cause, JobState, Outcome, Reason, RowKind
from aiosched.errors import JobError, JobExistsError
from aiosched.records import MAX_WAITING, Change, Definition, Ended, Record, Row
from aiosched.rows import Act, unpack_act, unpack_row
from aiosched.triggers.base import Trigger
from tests.model.spotty import SpottyTrigger

OWNERS = ("peer-a", "peer-b")
LEASE = 15_000_000
FINAL = {outcome.value for outcome in Outcome}
PASSED = (RowKind.SKIPPED, RowKind.MISSED, RowKind.PAUSED)
MOST_SLOTS = 3_000
"""Slots of an era that are told one by one; more are left to the arithmetic."""
ACTED = {
    "start": RowKind.ASKED,
    "modify": RowKind.MODIFIED,
    "retime": RowKind.MODIFIED,
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
        if change is not None and change.starts:
            assert due is not None
            assert due <= self.now, "nothing starts before the instant"
            assert len(change.starts) <= capacity
            early = planning.attend(definition, state, due - 1, capacity, owner, LEASE)
            assert early is None or not early.starts, "instant is sound"
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
            case "retime":
                changed = retimed(record.definition)
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


def _of_another(before: Record, change: Change) -> bool:
    """Tell whether a change gives a job another trigger, or makes it anew."""
    record = change.record
    if record is None or any(r.kind is RowKind.CREATED for r in change.rows):
        return True
    old, new = before.definition, record.definition
    return (old.spec.trigger, old.anchor) != (new.spec.trigger, new.anchor)


def ended(outcome: Outcome, *, shutdown: bool, entered: bool, finish: bool) -> Ended:
    """Build the end of a run."""
    if shutdown:
        return Ended(Outcome.CANCELLED, Reason.SHUTDOWN, entered=entered)
    finish = finish and outcome is Outcome.SUCCEEDED
    errors = ("ValueError", "Exception")
    return Ended(outcome, value=b'"x"', error=errors, finish=finish)


__all__ = ["FINAL", "LEASE", "OWNERS", "Era", "JobState", "World", "ended", "retimed"]
