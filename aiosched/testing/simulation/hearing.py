"""What is published of a transaction, held against what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from aiosched.abc import Signal
from aiosched.records import Record
from aiosched.testing.simulation.commits import Commit

__all__ = ["misheard"]


Stands = Callable[[str], tuple[Record | None, int | None]]


def misheard(
    commits: Sequence[Commit],
    signals: Sequence[Signal],
    stands: Stands,
    *,
    announced: bool,
) -> Iterator[tuple[str, str]]:
    """Yield which jobs peers were told wrong of, and how.

    Args:
        commits: What one transaction committed.
        signals: What was published in that transaction.
        stands: Returns a job's record, and its instant in the agenda, as they are
            after the transaction.
        announced: Whether it has raised the change counter of its shard, so that
            everybody is to hear of all that it wrote.
    """
    written = {commit.job_id: commit for commit in commits}
    if not announced:
        stands = _unknown
    changed: set[str] = set()
    done: set[str] = set()
    for signal in signals:
        for job_id, queue, at, seq in signal.entries:
            changed.add(job_id)
            text = _wrong(written.get(job_id), stands(job_id), queue, at, seq)
            if text is not None:
                yield job_id, text
        for job_id in signal.ids:
            done.add(job_id)
            if not _ended(written.get(job_id)):
                yield job_id, "the end of a firing is told, and none was written"
    for job_id, commit in written.items():
        if _ended(commit) and job_id not in done:
            yield job_id, "a firing has ended, and nobody is told"
        there = commit.before is not None or commit.after is not None
        if announced and there and job_id not in changed:
            yield job_id, "it has changed, and nobody is told"


def _ended(commit: Commit | None) -> bool:
    return commit is not None and any(row.final for row in commit.rows)


def _unknown(_: str) -> tuple[Record | None, int | None]:
    return None, None


def _wrong(
    commit: Commit | None,
    stands: tuple[Record | None, int | None],
    queue: str,
    at: int | None,
    seq: int,
) -> str | None:
    after, due = stands if commit is None else (commit.after, commit.due)
    record = after if after is not None or commit is None else commit.before
    if record is None:
        return f"its number {seq} is told, and nothing was written with it"
    if record.state.seq != seq:
        return f"its number {seq} is told, and it is {record.state.seq}"
    if after is None or record.definition.spec.queue != queue:
        due = None
    if at != due:
        return f"it is told to stand at {at}, and stands at {due}"
    return None
