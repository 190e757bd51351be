"""The oracle: which decision of planning leads from one record to another.

Whatever is written to a record is what ``attend``, ``settle``, ``extend`` or a
verb answers for the record before it, at the store's instant of the write.  The
decision and what it was given are guessed from what was written (rows name the
verb, fences the run), decided once more, and compared: record, instant and rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from aiosched.enums import Cause, JobState, OnConflict, Outcome, Reason, RowKind
from aiosched.errors import JobError
from aiosched.planning import (
    attend,
    due_at,
    extend,
    fire,
    modify,
    pause,
    remove,
    resume,
    schedule,
    settle,
    start,
    stop,
)
from aiosched.records import Change, Ended, LiveRun, Record, Row
from aiosched.rows import unpack_act
from aiosched.testing.simulation.commits import Commit

__all__ = ["decision"]

_ACTS = {
    RowKind.CREATED: "schedule",
    RowKind.MODIFIED: "modify",
    RowKind.HELD: "pause",
    RowKind.RESUMED: "resume",
    RowKind.STOPPED: "stop",
    RowKind.ASKED: "start",
    RowKind.REMOVED: "remove",
}
_ENDS = {RowKind.from_code(outcome.code): outcome for outcome in Outcome}
_ENDS[RowKind.HANDED_BACK] = Outcome.CANCELLED


def decision(commit: Commit, lease: int) -> str | None:
    """Name the decision that a commit carries out.

    Args:
        commit: One committed change.
        lease: How long claims hold in its namespace, in microseconds.

    Returns:
        ``attend``, ``settle``, ``extend``, ``index`` (only the agenda entry is
        written), or the name of a verb; None: no decision leads there.
    """
    before, after = commit.before, commit.after
    if (before is after or before == after) and not commit.rows:
        return "index"
    for name, change in _candidates(commit, lease):
        if _same(change, commit):
            return name
    return None


def _same(change: Change | None, commit: Commit) -> bool:
    if change is None or change.rows != commit.rows:
        return False
    made, after = change.record, commit.after
    if made is None or after is None:
        return made is after
    if made.state != after.state or change.at != commit.due:
        return False
    mine, theirs = made.definition, after.definition
    if mine is theirs or mine == theirs:
        return True
    # What a trigger was before it was pinned is kept beside it, and cannot be
    # told from the pinned one.
    return (
        replace(mine, spec=replace(mine.spec, unpinned=None)) == theirs
        or replace(mine, spec=replace(mine.spec, unpinned=theirs.spec.unpinned))
        == theirs
    )


def _candidates(commit: Commit, lease: int) -> Iterator[tuple[str, Change | None]]:
    """Yield what may have been decided, the likeliest first."""
    record = commit.before
    acts = {row.kind: row for row in commit.rows if row.kind in _ACTS}
    if acts:
        yield from _verbs(commit, acts)
    if record is None:
        return
    if commit.after is not None:
        if not commit.rows:
            yield from _extended(commit, record, commit.after, lease)
        key = _fired(record, commit.after)
        if key is not None:
            firing = next(f for f in commit.after.state.waiting if f.key == key)
            yield (
                "fire",
                fire(
                    record,
                    commit.at,
                    key,
                    firing.payload,
                    expires=firing.expires,
                ),
            )
    if any(row.fence and row.kind in _ENDS for row in commit.rows):
        for change in _settled(commit, record):
            yield "settle", change
    yield from _attended(commit, record, lease)


# -- verbs -------------------------------------------------------------------------


def _verbs(
    commit: Commit, acts: dict[RowKind, Row]
) -> Iterator[tuple[str, Change | None]]:
    for kind, row in acts.items():
        name = _ACTS[kind]
        if kind is RowKind.REMOVED and row.reason is Reason.ITSELF:
            continue  # the end of a run that was the job's last
        try:
            for change in _verb(name, commit, row):
                yield name, change
        except JobError:
            continue


def _verb(name: str, commit: Commit, row: Row) -> Iterator[Change | None]:
    before, after, at = commit.before, commit.after, commit.at
    act = unpack_act(row.value)
    if name == "schedule" and after is not None:
        yield schedule(
            after.definition,
            before,
            at,
            on_conflict=OnConflict.REPLACE,
            paused=after.state.status is JobState.PAUSED,
            again=True,
            act=act,
        )
    if before is None:
        return
    if name == "modify" and after is not None:
        yield modify(after.definition, before, at, act=act)
    elif name == "pause" and after is not None:
        state = after.state
        note, until = state.pause_note, state.pause_until
        yield pause(before, at, note=note, until=until, act=act)
    elif name == "resume":
        yield resume(before, at, act=act)
    elif name == "stop":
        yield stop(before, at, act=act)
    elif name == "start":
        yield start(before, at, row.key, act=act)
    elif name == "remove":
        yield remove(before, at, act=act)


def _fired(before: Record, after: Record) -> str | None:
    """Return the id of a firing that a keyword has added."""
    if after.state.counts.asked <= before.state.counts.asked:
        return None
    known = {firing.key for firing in before.state.waiting}
    for firing in reversed(after.state.waiting):
        if firing.cause is Cause.KEYWORD and firing.key not in known:
            return firing.key
    return None


# -- what peers decide ---------------------------------------------------------------


def _extended(
    commit: Commit, before: Record, after: Record, lease: int
) -> Iterator[tuple[str, Change | None]]:
    until = commit.at + lease
    renewed: dict[str, set[int]] = {}
    for run in after.state.runs:
        if run.until == until:
            renewed.setdefault(run.owner, set()).add(run.fence)
    for owner, fences in renewed.items():
        yield (
            "extend",
            extend(before.definition, before.state, owner, fences, commit.at, lease),
        )
    moved = {run.fence: run.until for run in after.state.runs}
    kept = [run for run in before.state.runs if moved.get(run.fence) == run.until]
    for run in kept:
        # A clock that stood still, or was set back: the lease stays as it was.
        yield (
            "extend",
            extend(
                before.definition,
                before.state,
                run.owner,
                {r.fence for r in before.state.runs if r.owner == run.owner},
                commit.at,
                lease,
            ),
        )


def _attended(
    commit: Commit, before: Record, lease: int
) -> Iterator[tuple[str, Change | None]]:
    after = commit.after
    known = {run.fence for run in before.state.runs}
    runs = after.state.runs if after is not None else ()
    begun = [run for run in runs if run.fence not in known]
    owners = {run.owner for run in begun} or {
        row.owner for row in commit.rows if not row.fence or row.kind not in _ENDS
    }
    for owner in sorted(owners) or [""]:
        # One place more than was used never binds; just as many may.  What nobody
        # can run is parked: its slots stay where they are.
        guesses = [(len(begun) + 1, True), (len(begun), True)]
        if not begun:
            guesses.append((0, False))
        for capacity, slots in guesses:
            yield (
                "attend",
                attend(
                    before.definition,
                    before.state,
                    commit.at,
                    capacity,
                    owner,
                    lease,
                    slots=slots,
                ),
            )


def _settled(commit: Commit, before: Record) -> Iterator[Change]:
    """Yield what comes of closing the runs that the rows say were closed."""
    held = {run.fence: run for run in before.state.runs}
    ends = [
        (held[row.fence], row)
        for row in commit.rows
        if row.fence in held and row.kind in _ENDS
    ]
    if ends:
        yield from _closed(commit, before, (), ends)


def _closed(
    commit: Commit,
    record: Record | None,
    rows: tuple[Row, ...],
    ends: list[tuple[LiveRun, Row]],
) -> Iterator[Change]:
    if record is None:
        return
    (run, row), rest = ends[0], ends[1:]
    tried: list[Change] = []
    for ended in _guesses(commit, record, run, row):
        change = settle(
            record.definition, record.state, run.owner, run.fence, ended, commit.at
        )
        if change is None or change in tried:
            continue
        tried.append(change)
        so_far = rows + change.rows
        if commit.rows[: len(so_far)] != so_far:
            continue
        if rest:
            yield from _closed(commit, change.record, so_far, rest)
        else:
            yield replace(change, rows=so_far)


def _guesses(commit: Commit, record: Record, run: LiveRun, row: Row) -> Iterator[Ended]:
    """Yield what its peer may have said of the end of a run."""
    rule = record.definition.spec.retry
    final, back = row.final, row.kind is RowKind.HANDED_BACK
    over = any(
        one.kind is RowKind.REMOVED and one.reason is Reason.ITSELF
        for one in commit.rows
    )
    # Of several runs that end at once, any may have asked for it.
    finishes = (True, False) if over else (False,)
    for at, finish in product(_instants(commit, record, run), finishes):
        yield Ended(
            _ENDS[row.kind],
            Reason.SHUTDOWN if back else row.reason,
            row.value or (b"0" if row.value_until else b""),
            rule.errors[:1] if rule is not None and not final else (),
            retryable=not final,
            entered=not back,
            at=at,
            finish=finish,
        )
        if back:
            yield Ended(_ENDS[row.kind], Reason.SHUTDOWN, entered=False, at=at)


def _instants(commit: Commit, record: Record, run: LiveRun) -> list[int]:
    """Return instants at which the run may have ended, as far as they differ."""
    found = [commit.at]
    for row in commit.rows:
        if row.kind in (RowKind.SKIPPED, RowKind.EXCLUDED) and row.count:
            due = due_at(record.definition, row.until)
            found.append(row.until if due is None else max(due, row.until))
    found.append(run.started)
    return list(dict.fromkeys(found))
