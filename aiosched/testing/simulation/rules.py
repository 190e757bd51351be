"""The invariants, by name: what must hold of every write, whoever made it.

Each rule is a function over one :class:`Step`, a committed change of one record
together with what was committed before it.  It yields what is wrong, in words; a
rule that yields nothing is kept.  What rules say of executions and of the end of
a simulation is in :mod:`aiosched.testing.simulation.judge`, and what they are
called in :data:`RULES`.

Rules know nothing of the program that wrote: instants are the store's, peers are
the nodes that sent the transaction.  Only ``decided`` asks planning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from aiosched.enums import Cause, JobState, OnLost, Reason, RowKind
from aiosched.planning import conserved, due_at, instant
from aiosched.records import LiveRun, Record, Row
from aiosched.testing.simulation.commits import Commit
from aiosched.testing.simulation.oracle import decision

__all__ = ["RULES", "WRITES", "Claim", "Firing", "Past", "Rule", "Step", "of_run"]


class Firing(NamedTuple):
    """Which firing is meant.

    Attributes:
        created: When its job was; the id of a removed job may be taken again.
    """

    job_id: str
    created: int
    key: str


class Claim(NamedTuple):
    """One attempt at a firing, as it was claimed.

    Attributes:
        node: Who sent the claim.
        run: The claim itself; its lease may have been prolonged since.
    """

    firing: Firing
    node: str | None
    at: int
    run: LiveRun


@dataclass(slots=True)
class Past:
    """What was committed so far, as far as rules ask.

    Attributes:
        records: The records as they were left, by id.
        fences: The highest fence of each job ever, whatever was lost since.
        finals: The instant of each firing's final outcome.
        ends: What the ledger says of the end of each attempt, by (job, fence).
        attempts: The fences of each firing's attempts, in order.
        claims: What was claimed, by (job, fence).
    """

    records: dict[str, Record] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    finals: dict[Firing, int] = field(default_factory=dict)
    ends: dict[tuple[str, int], Row] = field(default_factory=dict)
    attempts: dict[Firing, list[int]] = field(default_factory=dict)
    claims: dict[tuple[str, int], Claim] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        """Remember a step, after it was judged."""
        commit = step.commit
        if commit.after is None:
            self.records.pop(commit.job_id, None)
        else:
            self.records[commit.job_id] = commit.after
        for row in commit.rows:
            if row.fence and of_run(row):
                self.ends[row.job_id, row.fence] = row
            if row.final:
                self.finals[step.firing(row)] = commit.at
        for run in step.begun:
            self.fences[commit.job_id] = max(
                run.fence, self.fences.get(commit.job_id, 0)
            )
            firing = Firing(commit.job_id, step.created, run.firing.key)
            self.attempts.setdefault(firing, []).append(run.fence)
            claim = Claim(firing, commit.node, commit.at, run)
            self.claims[commit.job_id, run.fence] = claim


@dataclass(slots=True)
class Step:
    """One committed change, and what rules need to judge it.

    Attributes:
        past: What was committed before.
        lease: How long claims hold, in microseconds.
        owners: The node of each peer's incarnation id, as far as known.
        begun: Runs that the change begins.
        gone: Runs that it ends, one way or the other.
    """

    commit: Commit
    past: Past
    lease: int
    owners: Mapping[str, str]
    begun: tuple[LiveRun, ...] = ()
    gone: tuple[LiveRun, ...] = ()

    def __post_init__(self) -> None:
        """Compare the runs before and after."""
        before, after = self.commit.before, self.commit.after
        old = before.state.runs if before is not None else ()
        new = after.state.runs if after is not None else ()
        if old is new or old == new:
            return
        earlier = {run.fence for run in old}
        later = {run.fence for run in new}
        self.begun = tuple(run for run in new if run.fence not in earlier)
        self.gone = tuple(run for run in old if run.fence not in later)

    @property
    def created(self) -> int:
        """When the job was created that the change concerns."""
        record = self.commit.before
        if record is None or _renewed(self.commit):
            record = self.commit.after
        return 0 if record is None else record.state.created

    def firing(self, row: Row) -> Firing:
        """Return which firing a row speaks of.

        A run of a removed job may end under the record of the next of that id.
        """
        claim = self.past.claims.get((row.job_id, row.fence))
        if claim is not None:
            return claim.firing
        return Firing(row.job_id, self.created, row.key)


Check = Callable[[Step], Iterator[str]]


class Rule(NamedTuple):
    """An invariant.

    Attributes:
        text: What it says, in a sentence or two.
        check: Yields what is wrong; None: the judge sees to it.
    """

    name: str
    text: str
    check: Check | None = None


RULES: dict[str, Rule] = {}
"""Every invariant by its name, those of executions and of the end included."""

WRITES: list[Rule] = []
"""Those that are judged at each write, in the order in which they are."""


def _rule(check: Check) -> Check:
    name = check.__name__.strip("_").replace("_", "-")
    text = " ".join((check.__doc__ or "").split())
    rule = RULES[name] = Rule(name, text, check)
    WRITES.append(rule)
    return check


def of_run(row: Row) -> bool:
    """Tell whether a row says how an attempt ended."""
    return row.kind in _ENDINGS


_ENDINGS = frozenset(
    {
        RowKind.SUCCEEDED,
        RowKind.FAILED,
        RowKind.TIMED_OUT,
        RowKind.CANCELLED,
        RowKind.LOST,
        RowKind.EXPIRED,
        RowKind.HANDED_BACK,
    }
)
_PASSED = {
    RowKind.SKIPPED: "skipped",
    RowKind.MISSED: "missed",
    RowKind.EXCLUDED: "excluded",
    RowKind.PAUSED: "paused",
}


def _renewed(commit: Commit) -> bool:
    """Tell whether the id was given to a new job, with no gap between."""
    before, after = commit.before, commit.after
    return (
        before is not None
        and after is not None
        and before.state.status in (JobState.REMOVED, JobState.FINISHED)
        and before.state.created != after.state.created
    )


@_rule
def _chain(step: Step) -> Iterator[str]:
    """What a write replaces is what the write before it left."""
    commit = step.commit
    left = step.past.records.get(commit.job_id)
    if left is not commit.before and left != commit.before:
        yield f"it replaces {_brief(commit.before)}, and {_brief(left)} was there"


@_rule
def _order(step: Step) -> Iterator[str]:
    """Each write of a record has a higher number, not below the store's instant."""
    before, after = step.commit.before, step.commit.after
    if after is None or after is before or after == before:
        return
    seq = after.state.seq
    if before is not None and seq <= before.state.seq:
        yield f"its number {seq} follows {before.state.seq}"
    if seq < step.commit.at:
        yield f"its number {seq} is below the instant of the write"


@_rule
def _fence(step: Step) -> Iterator[str]:
    """The fences of a job rise, each is used once, also after data was lost."""
    highest = step.past.fences.get(step.commit.job_id, 0)
    for run in step.begun:
        if run.fence <= highest:
            yield f"fence {run.fence} follows {highest}"
        if run.fence < step.commit.at:
            yield f"fence {run.fence} is below the instant at which it was drawn"
        highest = max(highest, run.fence)


@_rule
def _lease(step: Step) -> Iterator[str]:
    """A live claim ends by its own peer, or not at all, before its lease has."""
    commit = step.commit
    for run in step.gone:
        if run.until <= commit.at:
            continue
        node = step.owners.get(run.owner)
        ended = any(
            row.fence == run.fence and row.owner == run.owner and of_run(row)
            for row in commit.rows
        )
        if node is None or node != commit.node or not ended:
            yield (
                f"the claim {run.fence} of {_who(step, run)} holds for another "
                f"{(run.until - commit.at) / 1e6:.6f} s, and {commit.node} ended it"
            )


@_rule
def _holder(step: Step) -> Iterator[str]:
    """Only the peer that holds a claim settles it or prolongs its lease."""
    commit = step.commit
    ours = {row.fence for row in commit.rows if of_run(row) and row.fence}
    for run in step.gone:
        # Given up for lost, by anybody, is not settled.
        if run.until <= commit.at or run.fence not in ours:
            continue
        if step.owners.get(run.owner, commit.node) != commit.node:
            yield f"{commit.node} settles claim {run.fence} of {_who(step, run)}"
    if commit.after is None or commit.before is None:
        return
    before = {run.fence: run for run in commit.before.state.runs}
    for run in commit.after.state.runs:
        old = before.get(run.fence)
        if old is None or old is run or old == run:
            continue
        if (old.owner, old.started, old.firing) != (run.owner, run.started, run.firing):
            yield f"claim {run.fence} has changed hands, or its firing"
        if run.until < old.until or run.until > max(commit.at + step.lease, old.until):
            yield f"the lease of {run.fence} moves from {old.until} to {run.until}"
        if (
            run.until != old.until
            and step.owners.get(run.owner, commit.node) != commit.node
        ):
            yield f"{commit.node} prolongs claim {run.fence} of {_who(step, run)}"
        if run.cancel is not old.cancel and old.cancel is not Reason.NONE:
            yield f"claim {run.fence} is to stop for another reason than before"


@_rule
def _settled(step: Step) -> Iterator[str]:
    """Every row of a run is of a claim that the record had until then."""
    before = step.commit.before
    held = {} if before is None else {r.fence: r for r in before.state.runs}
    for row in step.commit.rows:
        if not row.fence or not of_run(row):
            continue
        run = held.get(row.fence)
        if run is None:
            yield f"the end of claim {row.fence}, which the record does not have"
        elif (row.owner, row.key) != (run.owner, run.firing.key):
            yield f"the end of claim {row.fence}, told of another peer or firing"


@_rule
def _due(step: Step) -> Iterator[str]:
    """A run is claimed at its instant or later, by the store's clock."""
    commit = step.commit
    for run in step.begun:
        if (run.started, run.until) != (commit.at, commit.at + step.lease):
            yield f"claim {run.fence} says {run.started} to {run.until}"
        if run.firing.at > commit.at:
            early = (run.firing.at - commit.at) / 1e6
            yield f"claim {run.fence} comes {early:.6f} s early"
        elif run.firing.cause is Cause.SLOT and run.firing.attempt == 1:
            at = _slot_due(step, run)
            if at is not None and at > commit.at:
                yield f"the slot {run.firing.slot} is due only at {at}"


def _slot_due(step: Step, run: LiveRun) -> int | None:
    record = step.commit.before
    if record is None or record.state.version != _version(step.commit.after):
        return None
    if any(w.key == run.firing.key for w in record.state.waiting):
        return None  # taken under the definition of that time
    return due_at(record.definition, run.firing.slot)


@_rule
def _claimer(step: Step) -> Iterator[str]:
    """A run is claimed by the peer that sends the claim, for itself."""
    for run in step.begun:
        node = step.owners.get(run.owner)
        if node != step.commit.node:
            yield f"{step.commit.node} claims {run.fence} for {_who(step, run)}"


@_rule
def _room(step: Step) -> Iterator[str]:
    """No more firings of a job are open at a time than it allows."""
    before, after = step.commit.before, step.commit.after
    if after is None or not step.begun or before is None:
        return
    fresh = [
        run
        for run in step.begun
        if not any(w.open and w.key == run.firing.key for w in before.state.waiting)
        and not any(r.firing.key == run.firing.key for r in before.state.runs)
    ]
    held = len(after.state.runs) + sum(w.open for w in after.state.waiting)
    most = after.definition.spec.max_running
    if fresh and held > most:
        yield f"{held} firings are open, {most} may be"


@_rule
def _once(step: Step) -> Iterator[str]:
    """A firing has at most one final outcome, and one place in its record."""
    commit = step.commit
    told: set[Firing] = set()
    for row in commit.rows:
        if not row.final:
            continue
        firing = step.firing(row)
        at = step.past.finals.get(firing)
        if at is not None or firing in told:
            yield f"another outcome of {row.key}, which has one since {at}"
        told.add(firing)
    if commit.after is None or commit.after is commit.before:
        return
    state = commit.after.state
    # Runs of the removed job that had the id before are not firings of this one.
    former = state.status is not JobState.REMOVED
    runs = [r for r in state.runs if not (former and r.cancel is Reason.REMOVED)]
    keys = [r.firing.key for r in runs] + [w.key for w in state.waiting]
    if len(keys) > 1 and len(set(keys)) < len(keys):
        yield f"a firing stands twice in the record: {sorted(keys)}"
    for run in step.begun:
        if Firing(commit.job_id, step.created, run.firing.key) in step.past.finals:
            yield f"{run.firing.key} is claimed after its final outcome"


@_rule
def _attempts(step: Step) -> Iterator[str]:
    """Every further attempt follows one that failed, was lost or handed back."""
    commit = step.commit
    for run in step.begun:
        firing = Firing(commit.job_id, step.created, run.firing.key)
        for fence in step.past.attempts.get(firing, ()):
            row = step.past.ends.get((commit.job_id, fence))
            row = next((r for r in commit.rows if r.fence == fence), row)
            if row is None:
                yield f"{run.fence} follows {fence}, of whose end nothing is written"
            elif row.final:
                yield f"{run.fence} follows {fence}, which ended for good"


@_rule
def _lost(step: Step) -> Iterator[str]:
    """What may not run twice is not started again once it was lost.

    And nothing is started again more often than its job allows.
    """
    before = step.commit.before
    if before is None:
        return
    spec = before.definition.spec
    for row in step.commit.rows:
        if row.kind is not RowKind.LOST or row.final:
            continue
        run = next((r for r in before.state.runs if r.fence == row.fence), None)
        if spec.on_lost is OnLost.RECORD:
            yield f"claim {row.fence} was lost and is to run again"
        elif run is not None and run.firing.lost >= spec.max_lost:
            yield f"claim {row.fence} was lost {run.firing.lost + 1} times"


@_rule
def _slots(step: Step) -> Iterator[str]:
    """Each slot is accounted for once, in order; each firing has its outcome."""
    after = step.commit.after
    if after is None or (not step.commit.rows and not _moved(step.commit)):
        return
    said = conserved(after)
    if said is not None:
        yield said


@_rule
def _sums(step: Step) -> Iterator[str]:
    """The sums in a record grow by what the rows of the same write say."""
    commit = step.commit
    before, after = commit.before, commit.after
    if after is None or before is None or _renewed(commit):
        return
    old, new = before.state.counts, after.state.counts
    if old is new and not commit.rows:
        return
    told: dict[str, int] = {}
    for row in commit.rows:
        if row.kind in _PASSED:
            name = _PASSED[row.kind]
            told[name] = told.get(name, 0) + row.count
        elif row.final:
            told[row.kind.value] = told.get(row.kind.value, 0) + 1
    for name in (*_PASSED.values(), *_OUTCOMES):
        grown = getattr(new, name) - getattr(old, name)
        if grown != told.get(name, 0):
            yield f"{name} grows by {grown}, and the rows say {told.get(name, 0)}"
    if new.fired < old.fired or new.asked < old.asked:
        yield "the sums of what was fired or asked for have shrunk"


_OUTCOMES = ("succeeded", "failed", "timed_out", "cancelled", "lost", "expired")


@_rule
def _index(step: Step) -> Iterator[str]:
    """A job stands in its agenda at the instant that its record says."""
    after, due = step.commit.after, step.commit.due
    at = None if after is None else instant(after.definition, after.state)
    if due != at:
        yield f"it is entered for {due}, and its record says {at}"


@_rule
def _decided(step: Step) -> Iterator[str]:
    """Every write is what a decision of planning answers for the record before."""
    if decision(step.commit, step.lease) is None:
        commit = step.commit
        rows = ", ".join(row.kind.value for row in commit.rows) or "no rows"
        yield (
            f"no decision leads from {_brief(commit.before)} to "
            f"{_brief(commit.after)} with {rows}"
        )


def _moved(commit: Commit) -> bool:
    before, after = commit.before, commit.after
    if before is None or after is None:
        return True
    old, new = before.state, after.state
    return (
        old.next != new.next
        or old.latest != new.latest
        or old.counts != new.counts
        or len(old.runs) + len(old.waiting) != len(new.runs) + len(new.waiting)
    )


def _version(record: Record | None) -> int | None:
    return None if record is None else record.state.version


def _who(step: Step, run: LiveRun) -> str:
    return step.owners.get(run.owner, run.owner)


def _brief(record: Record | None) -> str:
    """Describe a record in a few words."""
    if record is None:
        return "nothing"
    state = record.state
    runs = " ".join(f"{run.fence}@{run.owner[:6]}" for run in state.runs)
    return (
        f"{state.status.value} seq {state.seq} next {state.next} "
        f"runs [{runs}] waiting {len(state.waiting)}"
    )
