"""Whether a scheduler does its duty, and what to do if it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiosched._engine.engine import Engine
from aiosched._engine.service import Watched
from aiosched.instants import SECOND

__all__ = ["NOT_STARTED", "Health", "health_of"]

OVERDUE = 5 * SECOND
"""Beyond its turn, an entry that was not attended makes health red."""

_AT_STAKE = {
    "membership": "others will take this peer for dead",
    "listener": "changes are heard a beat late",
    "completions": "waits and callbacks are late",
    "alarms": "nobody is told here of jobs that nobody can run",
    "timer": "nothing is started here",
    "heartbeat": "the leases of runs end, and others run them again",
    "settler": "outcomes of runs are not recorded",
    "sweeper": "data that nobody uses stays",
    "restorer": "what the code declares is not put back into a store that lost it",
    "mender": "an index that was damaged stays so",
    "lifeline": "a run that blocks the event loop loses its lease",
}


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a scheduler does its duty, and if not, which.

    Attributes:
        ok: True if every other thing is as it should be.  Jobs that nobody can
            run and peers that are silent do not make it False: to start this
            peer again would not help.
        started: Whether it has been started and not closed.
        store: Whether the last beat reached the store.
        lapsed: Whether it has missed its own deadline and claims nothing.
        services: Service name -> ``ok``, ``down`` or ``stalled``.
        overdue: Seconds by which the oldest due entry of its own is late, and
            there has been a place for its run.
        running: Runs that it has.
        failure: What ended it, or None.
        held: Whether it claims nothing because it was asked not to.
        problems: What is wrong, what is at stake and what to do, a sentence
            each; empty if it is ``ok``.
        unclaimable: Ids of due jobs that no live peer can run, as far as this
            peer has told of them, sorted.
        silent: Names of live peers that had left out a beat at this peer's
            last: blocked, stopped or cut off, or dead since a moment ago.
    """

    ok: bool
    started: bool
    store: bool
    lapsed: bool
    services: Mapping[str, str]
    overdue: float
    running: int
    failure: str | None = None
    held: bool = False
    problems: tuple[str, ...] = ()
    unclaimable: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


NOT_STARTED = Health(
    False,
    False,
    False,
    False,
    {},
    0.0,
    0,
    problems=("the scheduler is not started, or is closed: start one",),
)


def health_of(engine: Engine) -> Health:
    """Say whether an engine does its duty; does no I/O, never raises."""
    membership = engine.membership
    services: dict[str, str] = {}
    problems: list[str] = []
    failure = repr(engine.failure) if engine.failure is not None else None
    if failure is not None:
        problems.append(
            f"a service ended with {failure}: start the process again, and report it"
        )
    for service in engine.watched():
        services[service.name] = word = _word(service, failed=failure is not None)
        if word != "ok" and failure is None:
            problems.append(_problem(service, word))
    lapsed = membership.lapsed()
    if lapsed:
        problems.append(
            "the peer has missed its own deadline and claims nothing: it goes on by "
            "itself with its next beat, as soon as the store answers"
        )
    overdue = 0.0
    at = engine.heads.next_instant()
    if at is not None and engine.attender.free() > 0:
        # What waited for a place is overdue since there is one.
        free = engine.clock.monotonic() - engine.attender.free_since
        late = max(engine.session.estimate() - at, 0) / SECOND
        overdue = min(late, free)
    if overdue >= OVERDUE / SECOND:
        problems.append(
            f"an entry of its own is {overdue:.1f} s overdue: the event loop is busy, "
            "or the store slow"
        )
    return Health(
        not problems,
        True,
        membership.healthy,
        lapsed,
        services,
        overdue,
        len(engine.runner.live),
        failure,
        engine.held,
        tuple(problems),
        engine.alarms.unclaimable(),
        tuple(sorted({member.name for member in membership.silent()})),
    )


def _word(service: Watched, *, failed: bool) -> str:
    if failed or not service.healthy:
        return "down"
    return "stalled" if service.overdue() > 0 else "ok"


def _problem(service: Watched, word: str) -> str:
    name, stake = service.name, _AT_STAKE.get(service.name, "its duty is not done")
    if word == "down":
        return (
            f"{name} is down ({service.trouble or 'see the log'}), so that {stake}: "
            "it is tried again within half a minute; the log says more"
        )
    return (
        f"{name} has been overdue for {service.overdue():.1f} s, so that {stake}: if "
        "the store answers others and it does not go on, start the process again"
    )
