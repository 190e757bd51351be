"""``aiosched states``: how jobs and firings move, as one table.

The words are those of :mod:`aiosched.enums`; a test walks planning at random
and holds every step that it takes against this table, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiosched.enums import JobState, Outcome

__all__ = ["FIRING_MOVES", "JOB_MOVES", "Move", "as_dot", "as_lines"]

WAITING, RUNNING = "waiting", "running"
_NEW = "new"


@dataclass(frozen=True, slots=True)
class Move:
    """A step from one state to another, and what makes it."""

    before: str
    after: str
    by: str


_S = JobState
JOB_MOVES = (
    Move(_S.UNKNOWN, _S.ACTIVE, "schedule"),
    Move(_S.UNKNOWN, _S.PAUSED, "schedule, paused"),
    Move(_S.ACTIVE, _S.PAUSED, "pause, stop_job"),
    Move(_S.PAUSED, _S.ACTIVE, "resume, end of the pause"),
    Move(_S.ACTIVE, _S.FINISHED, "last outcome"),
    Move(_S.PAUSED, _S.FINISHED, "resume with nothing left"),
    Move(_S.FINISHED, _S.ACTIVE, "start_job, schedule again"),
    Move(_S.FINISHED, _S.PAUSED, "schedule again, paused"),
    Move(_S.ACTIVE, _S.REMOVED, "remove_job while it runs"),
    Move(_S.PAUSED, _S.REMOVED, "remove_job while it runs"),
    Move(_S.REMOVED, _S.ACTIVE, "schedule while a run ends"),
    Move(_S.REMOVED, _S.PAUSED, "schedule, paused, while a run ends"),
    Move(_S.ACTIVE, _S.UNKNOWN, "remove_job, last outcome without keep"),
    Move(_S.PAUSED, _S.UNKNOWN, "remove_job, nothing left without keep"),
    Move(_S.REMOVED, _S.UNKNOWN, "the last run has ended"),
    Move(_S.FINISHED, _S.UNKNOWN, "end of keep"),
)
"""What a job can do; ``unknown`` stands for no job at all."""

_O = Outcome
FIRING_MOVES = (
    Move(_NEW, WAITING, "fire_job, start_job, overlap queue"),
    Move(_NEW, RUNNING, "a due slot is claimed"),
    Move(WAITING, RUNNING, "claimed"),
    Move(RUNNING, WAITING, "retry, lost with its peer, handed back"),
    Move(RUNNING, _O.SUCCEEDED, "returned"),
    Move(RUNNING, _O.FAILED, "raised, no attempt left"),
    Move(RUNNING, _O.TIMED_OUT, "timeout, no attempt left"),
    Move(RUNNING, _O.CANCELLED, "stop_job, remove_job, replaced, shutdown"),
    Move(RUNNING, _O.LOST, "lost with its peer, not run again"),
    Move(WAITING, _O.CANCELLED, "stop_job, remove_job"),
    Move(WAITING, _O.EXPIRED, "end of its time to live"),
)
"""What a firing can do, from the instant at which it exists."""


def as_lines() -> str:
    """Return both tables as lines of text."""
    lines: list[str] = []
    for title, moves in (("job", JOB_MOVES), ("firing", FIRING_MOVES)):
        width = max(len(f"{move.before} -> {move.after}") for move in moves)
        lines += [f"{title}:"]
        for move in moves:
            step = f"{move.before} -> {move.after}"
            lines.append(f"  {step:{width}}  {move.by}")
    return "\n".join(lines)


def as_dot() -> str:
    """Return both tables as one Graphviz graph."""
    lines = [
        "digraph states {",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    jobs = [state.value for state in JobState]
    firings = [_NEW, WAITING, RUNNING, *(outcome.value for outcome in Outcome)]
    lines += _cluster("job", jobs, JOB_MOVES)
    lines += _cluster("firing", firings, FIRING_MOVES)
    return "\n".join([*lines, "}"])


def _cluster(name: str, states: list[str], moves: tuple[Move, ...]) -> list[str]:
    lines = [f"  subgraph cluster_{name} {{", f'    label="{name}";']
    lines += [f'    {name}_{state} [label="{state}"];' for state in states]
    lines += [
        f'    {name}_{move.before} -> {name}_{move.after} [label="{move.by}"];'
        for move in moves
    ]
    return [*lines, "  }"]
