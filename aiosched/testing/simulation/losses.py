"""What a store that lost acknowledged writes has forgotten, slot by slot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from aiosched.enums import Cause
from aiosched.instants import SECOND
from aiosched.records import Record, Row
from aiosched.testing.simulation.commits import Loss

__all__ = ["Absences", "Forgotten", "NamedSlot", "Side", "named_slots", "outside"]

_HEARING = 3 * SECOND
"""How long a peer may take beside its beat: to find that a connection is gone, and
to open another."""

Side = Literal["before", "forgotten", "again", "after"]


class NamedSlot(NamedTuple):
    """A slot, or a range of them, and on which side of a loss it was accounted for.

    Attributes:
        slot: Its instant, in microseconds; of a range, the first.
        until: The last of a range; equals ``slot`` for one.
        side: ``before``: and the store remembers; ``forgotten``: before, and the
            store does not remember; ``again``: before, which was forgotten, and
            once more afterwards; ``after``: only afterwards.
    """

    job_id: str
    slot: int
    until: int
    side: Side


@dataclass(frozen=True, slots=True)
class Forgotten:
    """One loss, and what went with it.

    Attributes:
        loss: What the world told of it.
        records: The records that there were.
        rows: The ledger that there was.
        kept: The ledger that was left.
    """

    loss: Loss
    records: Mapping[str, Record]
    rows: Sequence[Row]
    kept: Sequence[Row]

    @property
    def real(self) -> bool:
        """Whether anything that had been acknowledged was gone."""
        return dict(self.records) != self.loss.records or (
            Counter(self.rows) != Counter(self.kept)
        )


def named_slots(one: Forgotten, rows: Sequence[Row]) -> tuple[NamedSlot, ...]:
    """Name each slot as accounted for before or after a loss, by job and time.

    Args:
        one: The loss.
        rows: The ledger at the end, or at the next loss.
    """
    kept = set(_slots(one.kept))
    gone = set(_slots(one.rows)) - kept
    later = set(_slots(rows)) - kept
    sides: dict[tuple[str, int, int], Side] = dict.fromkeys(kept, "before")
    sides |= dict.fromkeys(gone, "forgotten")
    sides |= dict.fromkeys(later, "after")
    sides |= dict.fromkeys(_overlapping(gone, later), "again")
    return tuple(NamedSlot(*slot, side) for slot, side in sorted(sides.items()))


def _slots(rows: Sequence[Row]) -> Iterator[tuple[str, int, int]]:
    for row in rows:
        if row.count or (row.final and row.cause is Cause.SLOT):
            yield row.job_id, row.slot, row.until or row.slot


def _overlapping(
    gone: set[tuple[str, int, int]], later: set[tuple[str, int, int]]
) -> Iterator[tuple[str, int, int]]:
    """Yield what was accounted for twice; a range may have been cut otherwise."""
    for job_id, begin, end in gone | later:
        others = later if (job_id, begin, end) in gone else gone
        if any(j == job_id and b <= end and begin <= e for j, b, e in others):
            yield job_id, begin, end


def outside(spells: Iterable[tuple[int, int]], begin: int, end: int) -> int:
    """Return how much of a time lies in none of some spells."""
    outside, at = 0, begin
    for start, stop in sorted(spells):
        if stop <= at:
            continue
        if start >= end:
            break
        outside += max(0, start - at)
        at = max(at, stop)
    return outside + max(0, end - at)


class Absences:
    """Who could hear of nothing, and when."""

    def __init__(self, beat: int) -> None:
        """Begin with everybody there.

        Args:
            beat: Of the namespace, in microseconds.
        """
        self._beat = beat
        self._away: list[tuple[str, int, int]] = []

    def away(self, node: str, begin: int, end: int) -> None:
        """Learn of a time in which a node, or everybody, could hear of nothing.

        Args:
            node: Its name; empty for everybody.
            begin: In microseconds.
            end: Likewise.
        """
        self._away.append((node, begin, end))

    def silent(self, node: str, loss: Loss, told: int | None, now: int) -> str | None:
        """Say what is wrong about when a node told of a loss; None: nothing.

        It is asked to within a beat of being able to: what goes on when it has
        lost the store itself is given a beat more once that is over.

        Args:
            node: A peer that was up when the store lost data.
            loss: Of which it had to tell.
            told: The instant at which it did; None: it never has.
            now: The present instant.
        """
        beat = self._beat
        spells = [
            (begin, end + beat)
            for name, begin, end in self._away
            if name in ("", node) and end > loss.at
        ]
        end = now if told is None else told
        late = outside(spells, loss.at, end)
        if late <= beat + _HEARING:
            return None
        if told is None:
            return f"{node} says nothing of the loss"
        return f"{node} tells of the loss {late / SECOND:.3f} s after it could have"
