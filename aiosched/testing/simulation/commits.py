"""What the judge is told of the store: commits and losses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiosched.enums import RowKind
from aiosched.records import Record, Row
from aiosched.testing.simulation.incidents import Point

__all__ = ["Commit", "Loss", "count_commit", "kind_of"]

_SETTLER = "aiosched._engine.settler"


@dataclass(frozen=True, slots=True)
class Commit:
    """One record's part in a committed transaction.

    Attributes:
        at: The store's instant with which it was decided, in microseconds; on
            Redis a round trip before it was committed.
        node: Whose session committed it; None: nobody's node.
        before: The record until then; None: there was none.
        after: The record since; None: it was deleted.
        rows: Ledger rows committed with it, in order.
        due: Where it stands in the agenda; None: nowhere, or at no instant.
    """

    at: int
    node: str | None
    job_id: str
    before: Record | None
    after: Record | None
    rows: tuple[Row, ...]
    due: int | None


@dataclass(frozen=True, slots=True)
class Loss:
    """The store has forgotten acknowledged writes.

    Attributes:
        at: The store's instant at which it had.
        since: The instant as of which it remembers; None: nothing at all.
        records: What it has now, by job id.
    """

    at: int
    since: int | None
    records: dict[str, Record]


def kind_of(
    decide: Callable[..., Any], *, claim: bool
) -> tuple[Point | None, Point | None]:
    """Return the points before and after a transaction, by what it is for.

    Every transaction also passes ``before_write`` and ``after_write``.
    """
    if claim:
        return "before_claim", "after_claim"
    if getattr(decide, "__module__", "") == _SETTLER:
        return "before_settle", "after_settle"
    return None, None


def count_commit(one: Commit, counts: Counter[str]) -> None:
    """Count the claims, takeovers and settles of a commit by name."""
    before = () if one.before is None else one.before.state.runs
    after = () if one.after is None else one.after.state.runs
    if before is after:
        return
    held = {run.fence for run in before}
    for run in after:
        if run.fence not in held:
            counts["claims"] += 1
            counts["reruns"] += run.firing.lost > 0
    left = held - {run.fence for run in after}
    for row in one.rows:
        if row.fence in left:
            counts["takeovers"] += row.kind is RowKind.LOST
            counts["settles"] += row.kind is not RowKind.LOST
