"""What peers do, held against what they write: executions, leases, being told.

A record may be written by the book and still tell of something that never
happened.  These rules know what executors did, when each peer last beat, and
who was kept from working; none of them asks planning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from aiosched.abc import Terms
from aiosched.enums import Reason, RowKind
from aiosched.instants import SECOND
from aiosched.records import LiveRun, Row
from aiosched.testing.simulation.losses import outside
from aiosched.testing.simulation.steps import Step, of_run
from aiosched.testing.simulation.verdicts import (
    ABANDONED,
    LAPSED,
    OUTCOME,
    STOPPED,
    TIMEOUT,
)

__all__ = ["HINDERING", "Conduct", "Execution"]

Found = Iterator[tuple[str, str]]
"""Rules that were broken, and what was found."""


HINDERING = frozenset(
    {
        *("crash", "stall", "block", "partition", "cut", "refuse", "silence"),
        *("loading", "readonly", "oom", "restart", "rollback", "empty"),
    }
)
"""Incidents that keep a peer from working; one without a length is over at once."""

_SLACK = 1.0
"""Seconds for the way of a message, and for turns that others have first."""
_PATIENCE = 5.0
"""Seconds within which a peer has reached the store again, once it can be."""

_AGAIN = 2.5
"""Seconds within which an outcome is written, once it can be."""


@dataclass(slots=True)
class Execution:
    """One entry into an executor.

    Attributes:
        ended: When it was left; None: it goes on.
        by: How it was left: ``returned``, ``raised``, ``finished`` (it wants to be
            the last), ``cancelled``, ``crashed``.
        second: The virtual second at which it was entered.
        told: Asks whether it has been told to stop; None: nobody can say.
    """

    node: str
    job_id: str
    key: str
    attempt: int
    fence: int
    started: int
    ended: int | None = None
    by: str = ""
    second: float = 0.0
    told: Callable[[], bool] | None = None


class Conduct:
    """Judges what peers do.

    Attributes:
        witnessed: Whether executors tell of themselves; without it, nothing can be
            said of executions.
    """

    def __init__(
        self,
        terms: Terms,
        second: Callable[[], float],
        executions: Mapping[tuple[str, int], Execution],
        owners: Mapping[str, str],
    ) -> None:
        """Begin with everybody at work.

        Args:
            terms: Of the namespace.
            second: Tells the virtual second.
            executions: Every entry into an executor, by (job id, fence).
            owners: The node of each peer's incarnation id.
        """
        self.witnessed = False
        self._lease = terms.lease / SECOND
        self._timeout = terms.member_timeout / SECOND
        self._second = second
        self._executions = executions
        self._owners = owners
        self._left: set[str] = set()
        self._beats: dict[str, float] = {}
        self._hindered: dict[str, list[tuple[float, float]]] = {}
        self._limits: dict[tuple[str, int], float] = {}
        self._stops: dict[tuple[str, int], float] = {}
        self._lost_at = -1.0

    # -- what the cluster tells -----------------------------------------------------

    def hindered(self, node: str, seconds: float) -> None:
        """Learn that a node, or everybody, cannot work for so long from now on."""
        now = self._second()
        self._hindered.setdefault(node, []).append((now, now + seconds))

    def beaten(self, node: str, second: float) -> None:
        """Learn that a node's beat was answered, and when it was sent."""
        self._beats[node] = max(second, self._beats.get(node, second))

    def left(self, node: str) -> None:
        """Learn that all schedulers of a node so far have gone, or are going."""
        self._left |= {owner for owner, name in self._owners.items() if name == node}

    def lost(self) -> None:
        """Learn that the store has lost data."""
        self._lost_at = self._second()
        self._stops.clear()

    # -- what is written --------------------------------------------------------------

    def judge(self, step: Step) -> Found:
        """Judge one committed change."""
        commit = step.commit
        before, after = commit.before, commit.after
        if commit.rows and before is not None:
            runs = {run.fence: run for run in before.state.runs}
            for row in commit.rows:
                run = runs.get(row.fence)
                if run is None or not of_run(row):
                    continue
                own = self._owners.get(run.owner, commit.node) == commit.node
                # Of a run that was to stop it is written that it was cancelled, by
                # whoever comes first when its lease is over.
                over = row.kind is RowKind.CANCELLED and commit.at >= run.until
                if row.kind is RowKind.LOST or not own or over:
                    yield from self._given_up(step, run)
                elif self.witnessed:
                    yield from self._settled(row)
        if after is None:
            return
        second = self._second()
        for run in step.begun:
            yield from self._claimed(step, run)
            timeout = after.definition.spec.timeout
            if timeout is not None:
                self._limits[commit.job_id, run.fence] = timeout / SECOND
        for run in after.state.runs:
            if run.cancel is not Reason.NONE:
                self._stops.setdefault((commit.job_id, run.fence), second)

    def _settled(self, row: Row) -> Found:
        found = self._executions.get((row.job_id, row.fence))
        by = "" if found is None else found.by
        match row.kind:
            case RowKind.SUCCEEDED:
                right = by in ("returned", "finished")
            case RowKind.FAILED if row.reason is Reason.UNRESOLVABLE:
                right = found is None
            case RowKind.FAILED:
                right = by == "raised"
            case _:
                # Who shuts down gives up the threads that do not end; and an outcome
                # that the store has forgotten is not known to whoever ends the run.
                ended = found is None or (found.ended is not None and by != "raised")
                forgotten = found is not None and self._lost_at >= found.second
                right = ended or forgotten or row.owner in self._left
        if not right:
            how = "was never begun" if found is None else f"ended as {by or 'nothing'}"
            yield OUTCOME, f"claim {row.fence} is {row.kind.value}, and {how}"

    def _given_up(self, step: Step, run: LiveRun) -> Found:
        """Judge that a run is taken to be lost."""
        node = self._owners.get(run.owner)
        claim = step.past.claims.get((step.commit.job_id, run.fence))
        if node is None or claim is None or run.owner in self._left:
            return
        second = self._second()
        begun = second - (step.commit.at - claim.at) / SECOND
        if self._lost_at >= begun - _SLACK:
            return
        found = self._executions.get((step.commit.job_id, run.fence))
        if found is None:
            # The answer to its claim may have been lost.
            if self._latest(node, begun - _PATIENCE) is None:
                yield ABANDONED, f"{node} has claimed {run.fence}, and did not begin"
            return
        extended = second - (step.commit.at - run.until) / SECOND - self._lease
        latest = self._latest(node, extended - _SLACK)
        if latest is None:
            yield ABANDONED, f"{node} let the lease of {run.fence} run out"
            return
        over = found.ended is not None
        most = _AGAIN if over else _PATIENCE + self._lease / 3
        if second - latest > most:
            yield (
                ABANDONED,
                f"{node} let the lease of {run.fence} run out, though it could have "
                f"written for {second - latest:.3f} s",
            )

    def _claimed(self, step: Step, run: LiveRun) -> Found:
        node = step.commit.node
        beat = None if node is None else self._beats.get(node)
        if beat is None:
            return
        # Decided at the instant that it says, and perhaps long on its way.
        silent = (run.started - step.commit.at) / SECOND + self._second() - beat
        if silent > self._timeout + _SLACK:
            yield (
                LAPSED,
                f"{node} claims {run.fence}, {silent:.3f} s after its last beat",
            )

    def _latest(self, node: str, since: float) -> float | None:
        """Return when a node was last hindered since then; None: it was not."""
        now = self._second()
        ends = [
            min(end, now)
            for name in (node, "")
            for _, end in self._hindered.get(name, ())
            if end >= since
        ]
        return max(ends, default=None)

    # -- what executors do ------------------------------------------------------------

    def ended(self, found: Execution) -> Found:
        """Judge an execution that has been left, or that goes on at the end."""
        if found.told is None or found.by == "crashed":
            return
        # Who is left by being told has been told only now.
        told = found.by != "cancelled" and found.told()
        if told:
            return
        key = found.job_id, found.fence
        limit, stop = self._limits.get(key), self._stops.get(key)
        if limit is not None:
            late = self._calm(found.node, found.second) - limit
            if late > _SLACK:
                yield TIMEOUT, f"{found.fence} goes on {late:.3f} s after its timeout"
        if stop is not None:
            late = self._calm(found.node, max(stop, found.second))
            if late > self._lease / 3 + _SLACK:
                yield (
                    STOPPED,
                    f"{found.fence} goes on {late:.3f} s after it was to stop",
                )

    def _calm(self, node: str, since: float) -> float:
        """Return for how many seconds a node could work, up to now."""
        spells = [
            (round(begin * SECOND), round((end + _PATIENCE) * SECOND))
            for name in (node, "")
            for begin, end in self._hindered.get(name, ())
        ]
        begin, end = round(since * SECOND), round(self._second() * SECOND)
        return outside(spells, begin, end) / SECOND
