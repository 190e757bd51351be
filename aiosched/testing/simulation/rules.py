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

from collections.abc import Callable, Iterator
from typing import NamedTuple

from aiosched.enums import Cause, JobState, OnLost, Reason, RowKind
from aiosched.instants import SECOND
from aiosched.planning import conserved, due_at, instant
from aiosched.records import LiveRun, Record
from aiosched.testing.simulation.commits import Commit
from aiosched.testing.simulation.oracle import decision
from aiosched.testing.simulation.steps import Firing, Step, of_run, renewed

__all__ = ["RULES", "WRITES", "Rule"]


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


_PASSED = {
    RowKind.SKIPPED: "skipped",
    RowKind.MISSED: "missed",
    RowKind.EXCLUDED: "excluded",
    RowKind.PAUSED: "paused",
}


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
def _paused(step: Step) -> Iterator[str]:
    """A paused job starts nothing but what a person has started by hand."""
    record = step.commit.before
    if record is None or record.state.status is not JobState.PAUSED:
        return
    until = record.state.pause_until
    if until is not None and until <= step.commit.at:
        return
    for run in step.begun:
        if run.firing.cause is not Cause.MANUAL:
            yield f"{run.firing.key} is claimed while its job is paused"


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
def _tries(step: Step) -> Iterator[str]:
    """A failed firing is tried again only as often as its job allows."""
    before = step.commit.before
    if before is None:
        return
    rule = before.definition.spec.retry
    for row in step.commit.rows:
        if row.kind not in _FAILURES or row.final:
            continue
        told = (
            step.past.ends.get((row.job_id, fence))
            for fence in step.past.attempts.get(step.firing(row), ())
            if fence != row.fence
        )
        failed = 1 + sum(one is not None and one.kind in _FAILURES for one in told)
        most = 1 if rule is None else rule.attempts
        if failed >= most:
            yield f"{row.key} has failed {failed} times, {most} may be, and goes on"


_FAILURES = (RowKind.FAILED, RowKind.TIMED_OUT)


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
def _missed(step: Step) -> Iterator[str]:
    """A slot is missed only when its grace is over."""
    before = step.commit.before
    if before is None:
        return
    given = before.definition.spec.misfire_grace
    grace = _GRACE if given is None else given
    for row in step.commit.rows:
        late = step.commit.at - row.until
        if row.kind is RowKind.MISSED and late <= grace:
            yield f"the slot {row.until} is missed when it is {late / 1e6:.6f} s late"


_GRACE = 60 * SECOND
"""What a job has that asks for none, as users are told."""


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
    if after is None or before is None or renewed(commit):
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
