"""Why a firing began late; :mod:`aiosched.planning.reasons`.

Only what the evidence shows is named as a cause.  Causes follow each other: a
job is paused, and when it goes on a run is in the way; what is left of the time
behind the last of them has no cause that is recorded, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aiosched.enums import Cause, RowKind
from aiosched.instants import LATE
from aiosched.planning.wording import Case, Evidence, act_words, length, peer, when
from aiosched.records import Record, Row

__all__ = [
    "Begin",
    "Place",
    "case_name",
    "holder",
    "holder_words",
    "late_words",
    "pause_begun",
    "places",
]


class Begin(NamedTuple):
    """When a first attempt began, when it was due, and on which peer."""

    at: int
    due: int
    owner: str


class Place(NamedTuple):
    """What a firing occupies from its first attempt to its outcome.

    Attributes:
        begun: When its first attempt began.
        end: When it came to its outcome; None: it has not yet.
        owner: Where its first attempt ran.
        case: The firing.
    """

    begun: int
    end: int | None
    owner: str
    case: Case


class _Until(NamedTuple):
    """A cause, and up to when it kept the firing from starting."""

    at: int
    words: str


def late_words(
    evidence: Evidence, case: Case, begin: Begin, cases: Sequence[Case]
) -> str:
    """Say how late a firing began, and what kept it, as far as that is known."""
    late = begin.at - begin.due
    if late < LATE:
        return " on time"
    causes: list[str] = []
    known = begin.due
    for cause in sorted(_acts(evidence, case, begin)):
        causes.append(cause.words)
        known = max(known, cause.at)
    if begin.at - known >= LATE:
        last = _kept(evidence, case, begin, cases, known)
        if last is not None:
            causes.append(last.words)
            known = max(known, last.at)
    said = f" {length(late)} late"
    if not causes:
        return f"{said}, for which no cause is recorded"
    said += f", because {', and then '.join(causes)}"
    if begin.at - known >= LATE:
        said += f", and for the time after {when(known)} no cause is recorded"
    return said


def pause_begun(evidence: Evidence, end: Row, slot: int) -> Row | None:
    """Return the row of the act by which a job was paused over a slot.

    Args:
        evidence: What was read.
        end: The row with which that pause ended, or within which it was
            accounted for.
        slot: A slot of the pause, or one that was due before it.
    """
    before = [
        row.at
        for row in evidence.rows
        if row.kind is RowKind.RESUMED and row.at < end.at
    ]
    since = max(before, default=None)
    acts = sorted(
        (
            row
            for row in evidence.rows
            if row.kind in (RowKind.HELD, RowKind.STOPPED)
            and row.at <= end.at
            and (since is None or row.at >= since)
        ),
        key=lambda row: row.at,
    )
    earlier = [row for row in acts if row.at <= slot]
    return earlier[-1] if earlier else next(iter(acts), None)


def places(cases: Sequence[Case], case: Case | None = None) -> list[Place]:
    """Return what other firings occupy, as far as it is known."""
    found: list[Place] = []
    for other in cases:
        spans = other.spans
        if other is case or not spans:
            continue
        begun, _, owner = min(spans, key=lambda span: span[0])
        final = other.final
        end: int | None = None
        if final is not None:
            end = final.at
        elif other.live is None and other.waiting is None:
            end = max(ended or 0 for _, ended, _ in spans)
        found.append(Place(begun, end, owner, other))
    return found


def holder(found: Sequence[Place], record: Record | None, at: int) -> Place | None:
    """Return one of the firings that leave no room at an instant; None: there is."""
    holding = [
        place
        for place in found
        if place.begun <= at and (place.end is None or place.end > at)
    ]
    limit = 1 if record is None else record.definition.spec.max_running
    if len(holding) < limit:
        return None
    return min(holding, key=lambda place: place.begun)


def holder_words(evidence: Evidence, place: Place) -> str:
    """Name a firing that takes a place now."""
    waiting = place.case.waiting
    if waiting is not None and place.case.live is None:
        return (
            f"{case_name(place.case)}, whose next attempt is due at {when(waiting.at)},"
        )
    live = place.case.live
    begun, owner = place.begun, place.owner
    if live is not None:
        begun, owner = live.started, live.owner
    return f"the run that began at {when(begun)} on {peer(evidence, owner)}"


def case_name(case: Case) -> str:
    """Name a firing."""
    at = when(case.slot)
    if case.cause is Cause.KEYWORD:
        return f"its fire by keyword of {at}"
    if case.cause is Cause.MANUAL:
        return f"its run asked for by hand at {at}"
    return f"its slot of {at}"


def _acts(evidence: Evidence, case: Case, begin: Begin) -> Iterator[_Until]:
    """Yield what people did: create a job for the past, change it, pause it."""
    if case.cause is Cause.SLOT:
        known = begin.due
        created = _created(evidence, begin.at)
        if created is not None and created > known:
            at, by = created, ""
            row = evidence.latest(begin.at, RowKind.CREATED)
            if row is not None and row.at == created:
                by = act_words(row)
            words = by or f" at {when(at)}"
            yield _Until(at, f"it was due before the job was created{words}")
        changed = evidence.retimed(begin.at)
        if changed is not None and changed.at > max(known, created or known):
            words = act_words(changed)
            yield _Until(changed.at, f"it was due before its trigger was given{words}")
    if case.cause is Cause.MANUAL:
        return  # a pause does not hold it
    resumed = evidence.latest(begin.at, RowKind.RESUMED)
    if resumed is None:
        return
    end = resumed.due or resumed.at
    if not begin.due < end <= begin.at:
        return
    held = pause_begun(evidence, resumed, begin.due)
    words = "the job was paused"
    if held is not None:
        verb = "stopped" if held.kind is RowKind.STOPPED else "paused"
        words = f"the job was {verb}{act_words(held)}"
    if resumed.due:
        yield _Until(end, f"{words} until {when(end)}")
    else:
        yield _Until(end, f"{words} until it was resumed{act_words(resumed)}")


def _created(evidence: Evidence, until: int) -> int | None:
    """Return when the job was created that a run of that time belonged to."""
    known = [r.at for r in evidence.rows if r.kind is RowKind.CREATED]
    if evidence.record is not None:
        known.append(evidence.record.state.created)
    return max((at for at in known if at <= until), default=None)


def _kept(
    evidence: Evidence, case: Case, begin: Begin, cases: Sequence[Case], since: int
) -> _Until | None:
    """Return what kept a firing from starting though nobody had forbidden it."""
    way = _in_the_way(evidence, case, begin, cases, since)
    if way is not None:
        return way
    born = evidence.births.get(begin.owner)
    if born is None or not since < born <= begin.at:
        return None
    if min(evidence.births.values()) <= since:
        return None  # others were there, and might have taken it
    place = peer(evidence, begin.owner)
    words = f"{place}, which took it, was not there before {when(born)}"
    return _Until(born, words)


def _in_the_way(
    evidence: Evidence, case: Case, begin: Begin, cases: Sequence[Case], since: int
) -> _Until | None:
    """Return the firing whose end made room, if there was none before."""
    record = evidence.record
    limit = 1 if record is None else record.definition.spec.max_running
    if _limit_changed(evidence, begin.due):
        return None
    found = places(cases, case)
    ended = [p for p in found if p.end is not None and since < p.end <= begin.at]
    way = max(ended, key=lambda place: place.end or 0, default=None)
    if way is None or way.end is None:
        return None
    holding = [
        p for p in found if p.begun < way.end and (p.end is None or p.end >= way.end)
    ]
    if len(holding) < limit:
        return None
    end = way.end
    begun = f"began at {when(way.begun)} on {peer(evidence, way.owner)}"
    run = f"the run that {begun}"
    if len(way.case.attempts) > 1:
        run = f"{case_name(way.case)}, which {begun} and was tried again,"
    if limit > 1:
        words = f"its {limit:,} places were taken until {run} ended at {when(end)}"
    else:
        words = f"{run} was in its way until {when(end)}"
    return _Until(end, words)


def _limit_changed(evidence: Evidence, since: int) -> bool:
    return any(
        row.at >= since and "max_running" in evidence.fields_of(row)
        for row in evidence.rows
        if row.kind is RowKind.MODIFIED
    )
