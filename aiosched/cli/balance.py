"""Balancing the books: the ledger against the trigger and against a witness.

Pure.  The scheduler says what it did (counts, ledger); the trigger says which
slots there were; the witness says which executors were entered.  All three
must tell the same story, or there is a :class:`Problem`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from aiosched.cli.witness import Sighting
from aiosched.enums import Cause, Outcome, RowKind
from aiosched.instants import micros
from aiosched.jobs import LedgerEntry, Run
from aiosched.records import Counts
from aiosched.triggers.base import Trigger

__all__ = [
    "Balance",
    "Expected",
    "Fault",
    "Problem",
    "balance",
    "percentile",
]

_RANGES = {
    RowKind.SKIPPED: "skipped",
    RowKind.MISSED: "missed",
    RowKind.EXCLUDED: "excluded",
    RowKind.PAUSED: "paused",
}
_ENTERED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT)


class Fault(StrEnum):
    """What may be wrong with the books."""

    MISSING = "missing"
    DOUBLED = "doubled"
    SUM = "sum"
    """A sum that does not come out, or a number other than was asked for."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not add up."""

    fault: Fault
    job_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What must have happened to one job.

    Attributes:
        job_id: The job.
        kind: How people call its kind.
        trigger: Its pinned trigger, which has an end unless ``max_runs`` ends it.
        max_runs: How many slots had to fire; None: as many as the ledger says.
        fires: Keys of the fires that were asked for.
    """

    job_id: str
    kind: str
    trigger: Trigger | None = None
    max_runs: int | None = None
    fires: frozenset[str] = frozenset()


@dataclass(slots=True)
class Balance:
    """The books of one job.

    Attributes:
        slots: How many slots its trigger counts.
        starts: How often the witness saw its executor entered.
        again: How many of them were further attempts.
        lost: Attempts that ended with their peer.
        lateness: Seconds from each fire time to the first start, sorted.
        peers: Peer's name to how many entries the witness saw there.
    """

    expected: Expected
    counts: Counts
    slots: int = 0
    starts: int = 0
    again: int = 0
    lost: int = 0
    lateness: list[float] = field(default_factory=list)
    peers: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def open(self) -> int:
        """Firings without a final outcome."""
        return self.counts.fired + self.counts.asked - self.counts.outcomes

    def wrong(self, fault: Fault, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(fault, self.expected.job_id, text))


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of sorted values; None for none."""
    if not values:
        return None
    return values[max(math.ceil(share * len(values)), 1) - 1]


def balance(
    expected: Expected,
    counts: Counts,
    entries: Iterable[LedgerEntry],
    sightings: Iterable[Sighting],
    *,
    killed: Collection[str] = (),
) -> Balance:
    """Balance the books of one job that has come to rest.

    Args:
        expected: What must have happened.
        counts: What its record says.
        entries: All its rows of the ledger, in any order.
        sightings: All that the witness saw of it.
        killed: Incarnation ids of the peers that were killed: only their runs
            may have been started again by others.
    """
    books = Balance(expected, counts)
    rows = [entry for entry in entries if entry.job_id == expected.job_id]
    seen = [one for one in sightings if one.job_id == expected.job_id]
    _check_slots(books, rows)
    _check_fires(books, rows)
    _check_counts(books, rows)
    _check_attempts(books, rows, seen, killed)
    books.starts = len(seen)
    books.again = sum(1 for one in seen if one.attempt > 1)
    books.peers = Counter(one.name for one in seen)
    books.lateness = sorted(_lateness(entry.run for entry in rows if entry.run))
    return books


def _lateness(runs: Iterable[Run]) -> Iterable[float]:
    for run in runs:
        if run.attempt == 1 and run.started_at is not None:
            yield (run.started_at - run.fire_time).total_seconds()


# -- slots ------------------------------------------------------------------------


def _check_slots(books: Balance, rows: Sequence[LedgerEntry]) -> None:
    """Each slot of the trigger stands in the ledger once, and no other does."""
    trigger = books.expected.trigger
    if trigger is None:
        return
    slots = _slots(trigger, books.expected.max_runs, rows)
    books.slots = trigger.count(slots[0], slots[-1]) if slots else 0
    if books.slots != len(slots):
        walked = f"counts {books.slots} slots but walks through {len(slots)}"
        books.wrong(Fault.SUM, f"the trigger {walked}")
    told: Counter[int] = Counter()
    for entry in rows:
        told.update(_covered(books, entry, slots))
    for slot in slots:
        if told[slot] == 0:
            books.wrong(Fault.MISSING, f"slot {slot} is not in the ledger")
        elif told[slot] > 1:
            books.wrong(Fault.DOUBLED, f"slot {slot} is {told[slot]} times in it")
    for slot in sorted(told.keys() - set(slots)):
        books.wrong(Fault.SUM, f"{slot} is in the ledger but no slot of the trigger")
    if books.counts.slots != books.slots:
        books.wrong(
            Fault.SUM, f"{books.counts.slots} slots are counted, not {books.slots}"
        )


def _slots(
    trigger: Trigger, max_runs: int | None, rows: Sequence[LedgerEntry]
) -> list[int]:
    """Walk through the slots, up to the last one fired where ``max_runs`` ends it."""
    until: int | None = None
    if max_runs is not None:
        fired = sorted(
            micros(row.run.fire_time)
            for row in rows
            if row.run and row.run.final and row.run.cause is Cause.SLOT
        )
        until = fired[-1] if fired else -1
    slots: list[int] = []
    slot = trigger.next(-1)
    while slot is not None and (until is None or slot <= until):
        slots.append(slot)
        slot = trigger.next(slot)
    return slots


def _covered(books: Balance, entry: LedgerEntry, slots: Sequence[int]) -> list[int]:
    """Return the slots for which a row of the ledger answers."""
    if entry.run is not None:
        final_slot = entry.run.final and entry.run.cause is Cause.SLOT
        return [micros(entry.run.fire_time)] if final_slot else []
    if entry.kind not in _RANGES or entry.first is None or entry.last is None:
        return []
    first, last = micros(entry.first), micros(entry.last)
    covered = [slot for slot in slots if first <= slot <= last]
    if len(covered) != entry.count:
        books.wrong(
            Fault.SUM,
            f"a row of {entry.count} {entry.kind} slots covers {len(covered)}",
        )
    return covered


# -- sums -------------------------------------------------------------------------


def _check_fires(books: Balance, rows: Sequence[LedgerEntry]) -> None:
    """Each fire that was asked for has its outcome, and no other does."""
    expected = books.expected
    told = Counter(
        row.run.key
        for row in rows
        if row.run and row.run.final and row.run.cause is not Cause.SLOT
    )
    for key in sorted(expected.fires):
        if told[key] == 0:
            books.wrong(Fault.MISSING, f"fire {key} is not in the ledger")
    for key, times in sorted(told.items()):
        if times > 1:
            books.wrong(Fault.DOUBLED, f"fire {key} has {times} final outcomes")
        if key not in expected.fires:
            books.wrong(Fault.SUM, f"nobody asked for the fire {key}")
    if books.counts.asked != len(expected.fires):
        asked = f"{books.counts.asked} fires are counted, not {len(expected.fires)}"
        books.wrong(Fault.SUM, asked)


def _check_counts(books: Balance, rows: Sequence[LedgerEntry]) -> None:
    """The record's sums are those of the ledger's rows, and nothing is open."""
    said: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.kind in _RANGES:
            said[_RANGES[row.kind]] += row.count
        elif row.run is not None and row.run.final:
            said["fired" if row.run.cause is Cause.SLOT else "asked"] += 1
            if row.run.outcome is not None:
                said[row.run.outcome.value] += 1
    names = [*_RANGES.values(), "fired", "asked", *(o.value for o in Outcome)]
    for name in names:
        counted = getattr(books.counts, name)
        if counted != said[name]:
            text = f"{counted} {name} are counted, the rows say {said[name]}"
            books.wrong(Fault.SUM, text)
    if books.open:
        books.wrong(Fault.MISSING, f"{books.open} firings have no outcome")
    limit = books.expected.max_runs
    if limit is not None and books.counts.fired != limit:
        fault = Fault.MISSING if books.counts.fired < limit else Fault.DOUBLED
        books.wrong(fault, f"{books.counts.fired} slots fired, not {limit}")


# -- attempts ---------------------------------------------------------------------


def _check_attempts(
    books: Balance,
    rows: Sequence[LedgerEntry],
    seen: Sequence[Sighting],
    killed: Collection[str],
) -> None:
    """Who was seen to run is in the ledger, and who is in the ledger was seen."""
    told: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for row in rows:
        if row.run is not None:
            told[row.run.key, row.run.attempt].append(row.run)
    entries = Counter((one.key, one.attempt) for one in seen)
    for (key, attempt), times in sorted(entries.items()):
        runs = told.get((key, attempt), [])
        what = f"attempt {attempt} at {key}"
        if not runs:
            books.wrong(Fault.DOUBLED, f"{what} was run but is not in the ledger")
        elif times > len(runs):
            books.wrong(Fault.DOUBLED, f"{what} was entered {times} times")
    for (key, attempt), runs in sorted(told.items()):
        entered = sum(1 for run in runs if run.outcome in _ENTERED)
        if entered > entries[key, attempt]:
            text = f"attempt {attempt} at {key} is in the ledger but nobody ran it"
            books.wrong(Fault.MISSING, text)
        books.lost += sum(1 for run in runs if run.outcome is Outcome.LOST)
        if attempt > 1:
            _check_again(books, key, attempt, told, killed)


def _check_again(
    books: Balance,
    key: str,
    attempt: int,
    told: Mapping[tuple[str, int], Sequence[Run]],
    killed: Collection[str],
) -> None:
    """A further attempt follows a failure, or the death of a peer."""
    before = told.get((key, attempt - 1), [])
    for run in before:
        if run.final:
            break
        if run.outcome is not Outcome.LOST or run.peer in killed:
            return
    text = f"attempt {attempt} at {key} was made though the one before did not fail"
    books.wrong(Fault.DOUBLED, f"{text} and its peer lives")
