"""Random programmes over one job's record, and the judge of its invariants.

Shared by the property tests of planning; plain Python, no event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from aiosched import planning
from aiosched.enums import Cause, JobState, Outcome, Reason
from aiosched.errors import JobError, JobExistsError
from aiosched.records import MAX_WAITING, Change, Definition, Ended, Record, Row
from aiosched.rows import unpack_row

OWNERS = ("peer-a", "peer-b")
LEASE = 15_000_000
FINAL = {outcome.value for outcome in Outcome}


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

    def commit(self, change: Change | None) -> None:
        """Write a change as a store would, judging it."""
        if change is None:
            return
        before = self.record
        self.record = change.record
        self.rows.extend(change.rows)
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
        assert len(state.waiting) <= MAX_WAITING, "bounded waiting"
        self.judge()

    def judge(self) -> None:
        """Check conservation for the record as it stands."""
        record = self.record
        assert record is not None
        state, counts = record.state, record.state.counts
        open_firings = len(state.runs) + len(state.waiting)
        assert counts.fired + counts.asked == counts.outcomes + open_firings
        trigger, anchor = record.definition.spec.trigger, record.definition.anchor
        if trigger is not None and state.since is not None:
            until = state.latest if state.latest is not None else state.since - 1
            slots = trigger.count(state.since, until, anchor)
            assert counts.slots - state.former == slots, "slots are accounted for"
            if state.next is not None:
                assert trigger.count(until + 1, state.next, anchor) == 1
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
            self.commit(self._verb(name, key, record))
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
        if name == "fire":
            return planning.fire(record, self.now, key, b"{}")
        if name == "fire_ttl":
            expires = self.now + 1_000_000
            return planning.fire(record, self.now, key, expires=expires)
        if name == "start":
            return planning.start(record, self.now, key)
        if name == "modify":
            spec = replace(record.definition.spec, note=key)
            changed = replace(record.definition, spec=spec)
            return planning.modify(changed, record, self.now)
        if name == "retime":
            definition = record.definition
            if definition.anchor is None:
                return None
            changed = replace(definition, anchor=definition.anchor + 1_500_000)
            return planning.modify(changed, record, self.now)
        plain = {
            "pause": planning.pause,
            "resume": planning.resume,
            "stop": planning.stop,
            "remove": planning.remove,
        }
        return plain[name](record, self.now)

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


def ended(outcome: Outcome, *, shutdown: bool, entered: bool) -> Ended:
    """Build the end of a run."""
    if shutdown:
        return Ended(Outcome.CANCELLED, Reason.SHUTDOWN, entered=entered)
    return Ended(outcome, value=b'"x"', error=("ValueError", "Exception"))


__all__ = ["FINAL", "LEASE", "OWNERS", "JobState", "World", "ended"]
