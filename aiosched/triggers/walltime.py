"""Wall time in a zone: one rule for gaps and folds, for every trigger that has one.

A schedule in wall time is a *table*: it knows which local seconds match, as if
the zone had no clock changes.  This module lays it over a real zone.  The line of
UTC is cut into *pieces* of constant offset, on which the table holds as it is;
what a clock change means is said once, where the pieces are made:

* a **gap** (the clock is put forward) either skips the local times that do not
  exist, or makes up for them once, at its first instant; one of more than three
  hours is never made up;
* a **fold** (the clock is put back) uses the first pass of the local times that
  occur twice, the last, or both.

Local seconds are counted from 1970-01-01T00:00 on the wall, UTC seconds from the
same in UTC.  The cost of a count depends on the number of clock changes in its
range, not on the number of slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate, compress, islice, pairwise, repeat
from operator import add, ne
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar
from zoneinfo import ZoneInfo

from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT
from aiosched.triggers.inputs import load_zone

__all__ = ["Fold", "Gap", "WallSchedule", "WallTable"]

Gap = Literal["next", "skip"]
Fold = Literal["first", "last", "both"]

LONGEST_GAP = 3 * 3600
_FIRST = FIRST_INSTANT // 1_000_000
_LAST = LAST_INSTANT // 1_000_000
_DAY = 86_400
_BLOCK_DAYS = 64
_BLOCK = _BLOCK_DAYS * _DAY
# No zone changes its clock by more; offsets differ by less than two days.
_MARGIN = 2 * _DAY
# Days around a block whose changes may have a part in it: a fold is a day long at
# most, and midnights on the wall are less than a day away from those of UTC.
_AROUND = 2
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of no zone: asked of any
_DAYS_APART = 2
_STRIDE = timedelta(days=_DAYS_APART)


class WallTable(Protocol):
    """A schedule on the wall clock, ignorant of zones; all in local seconds."""

    def next_at(self, local: int) -> int | None:
        """Return the first match at or after ``local``."""
        ...

    def last_at(self, local: int) -> int | None:
        """Return the latest match at or before ``local``."""
        ...

    def matches(self, low: int, high: int) -> int:
        """Count the matches of ``low <= local < high``."""
        ...


Table = TypeVar("Table", bound=WallTable)


class Piece(NamedTuple):
    """A stretch of UTC on which the offset is constant and slots may lie.

    Attributes:
        low: Its first UTC second.
        high: The UTC second behind it.
        offset: Local minus UTC seconds.
        gap: The first local second of the gap that ends at ``low`` and is made up
            there; None if there is none.
    """

    low: int
    high: int
    offset: int
    gap: int | None


_NOWHERE = Piece(0, 0, 0, None)
_EVERYWHERE = Piece(_FIRST, _LAST + 1, 0, None)
_STEADY = frozenset({"UTC", "Etc/UTC"})


class _Change(NamedTuple):
    """A change of the clock: its first UTC second, and the offsets around it."""

    at: int
    before: int
    after: int


def _halving(seconds: int) -> Iterator[timedelta]:
    """Halve a stretch, what is left of it, and so on, down to a second."""
    while seconds > 1:
        yield timedelta(seconds=seconds // 2)
        seconds -= seconds // 2


_HALVES = tuple(_halving(_DAYS_APART * _DAY))
_ONE_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=256)
def _midnights(block: int) -> tuple[datetime, ...]:
    """Return every other midnight of a block, of no zone, and of days around it."""
    first = max(block * _BLOCK_DAYS - _AROUND, _FIRST // _DAY)
    final = min((block + 1) * _BLOCK_DAYS + _AROUND, _LAST // _DAY)
    strides = repeat(_STRIDE, (final - first) // _DAYS_APART)
    return tuple(accumulate(strides, add, initial=_EPOCH + timedelta(days=first)))


@lru_cache(maxsize=4096)
def _changes(name: str, block: int) -> tuple[int, tuple[_Change, ...]]:
    """Find the clock changes of a block and of two days around it.

    The wall is looked at every other midnight, which is the cheapest question that
    a zone answers.  Two changes within two days would be taken for one: of all
    that the tz database lists, the closest two are four days apart.

    Returns:
        The offset before the first change, and the changes in their order.
    """
    zone = load_zone(name)
    days = _midnights(block)
    offsets = list(map(zone.utcoffset, days))
    if offsets.count(offsets[0]) == len(offsets):
        return _seconds(offsets[0]), ()
    places = range(len(offsets))
    differ = map(ne, offsets, islice(offsets, 1, None))
    changes = tuple(
        _Change(
            _turn(zone, days[place], offsets[place]),
            _seconds(offsets[place]),
            _seconds(offsets[place + 1]),
        )
        for place in compress(places, differ)
    )
    return changes[0].before, changes


def _turn(zone: ZoneInfo, midnight: datetime, before: timedelta | None) -> int:
    """Return the first second of UTC at which an offset is no more, soon after.

    What the wall shows twice is taken for its first pass, and what it never shows
    for the time before; so the wall is that of the greater offset where the
    answer of the zone turns.
    """
    for step in _HALVES:
        probe = midnight + step
        if zone.utcoffset(probe) == before:
            midnight = probe
    shown = midnight + _ONE_SECOND
    greater = max(_seconds(before), _seconds(zone.utcoffset(shown)))
    return _seconds(shown - _EPOCH) - greater


def _seconds(delta: timedelta | None) -> int:
    return 0 if delta is None else delta.days * _DAY + delta.seconds


@lru_cache(maxsize=8192)
def _pieces(name: str, gap: Gap, fold: Fold, block: int) -> tuple[Piece, ...]:
    """Cut a block into pieces, leaving out the pass of a fold that is not used."""
    low, high = block * _BLOCK, (block + 1) * _BLOCK
    offset, changes = _changes(name, block)
    if not changes:
        return (Piece(low, high, offset, None),)
    unused: list[tuple[int, int]] = []
    made_up: dict[int, int] = {}
    offsets: dict[int, int] = {}
    cuts = {low, high}
    for at, before, after in changes:
        if at <= low:
            offset = after
        elif at < high:
            offsets[at] = after
            cuts.add(at)
        if before > after and fold != "both":
            begin = at if fold == "first" else at - (before - after)
            unused.append((begin, begin + before - after))
        elif gap == "next" and 0 < after - before <= LONGEST_GAP:
            made_up[at] = at + before
    for begin, end in unused:
        cuts |= {edge for edge in (begin, end) if low < edge < high}
    pieces: list[Piece] = []
    for begin, end in pairwise(sorted(cuts)):
        offset = offsets.get(begin, offset)
        if unused and any(first <= begin < behind for first, behind in unused):
            continue
        pieces.append(Piece(begin, end, offset, made_up.get(begin)))
    return tuple(pieces)


class WallSchedule(Generic[Table]):
    """A table laid over a zone; all in UTC seconds.

    It keeps nothing but a memory of the piece that was used last, so one may be
    shared by everyone.

    Attributes:
        table: The schedule on the wall clock.
    """

    __slots__ = ("_fold", "_gap", "_piece", "_whole", "_zone", "table")

    def __init__(self, table: Table, zone: str, gap: Gap, fold: Fold) -> None:
        """Lay ``table`` over the zone of that name."""
        self.table: Table = table
        self._zone = zone
        self._gap = gap
        self._fold = fold
        self._whole = zone in _STEADY
        self._piece = _EVERYWHERE if self._whole else _NOWHERE

    def next(self, after: int) -> int | None:
        """Return the first slot later than ``after``."""
        at, limit = max(after + 1, _FIRST), _LAST
        while at <= limit:
            piece = self._piece
            if not piece.low <= at < piece.high:
                piece = self._piece_from(at)
                at = max(at, piece.low)
            if piece.gap is not None and at == piece.low and self._makes_up(piece):
                return at
            local = self.table.next_at(at + piece.offset)
            if local is None:
                # The second pass of a fold may still repeat earlier matches.
                limit = min(limit, at + _MARGIN)
                at = piece.high
            elif local < piece.high + piece.offset:
                slot = local - piece.offset
                return slot if slot <= limit else None
            elif piece.high - at > _MARGIN:
                at = max(piece.high, local - piece.offset - _MARGIN)
            else:
                at = piece.high
        return None

    def last(self, until: int) -> int | None:
        """Return the latest slot at or before ``until``."""
        at, limit = min(until, _LAST), _FIRST
        while at >= limit:
            piece = self._piece
            if not piece.low <= at < piece.high:
                piece = self._piece_until(at)
                at = min(at, piece.high - 1)
            local = self.table.last_at(at + piece.offset)
            if local is not None and local >= piece.low + piece.offset:
                slot = local - piece.offset
                return slot if slot >= limit else None
            if piece.gap is not None and self._makes_up(piece):
                return piece.low
            if local is None:
                # The first pass of a fold may have had later local times.
                limit = max(limit, at - _MARGIN)
                at = piece.low - 1
            elif at - piece.low > _MARGIN:
                at = min(piece.low - 1, local - piece.offset + _MARGIN)
            else:
                at = piece.low - 1
        return None

    def count(self, first: int, until: int) -> int:
        """Count the slots of ``first … until``."""
        first, until = max(first, _FIRST), min(until, _LAST)
        if until < first:
            return 0
        if self._whole:
            return self.table.matches(first, until + 1)
        # One count over the whole wall, put right where the wall has jumped.
        total, opening, closing = 0, None, 0
        for block in range(first // _BLOCK, until // _BLOCK + 1):
            for piece in _pieces(self._zone, self._gap, self._fold, block):
                begin, end = max(piece.low, first), min(piece.high, until + 1)
                if end <= begin:
                    continue
                local = begin + piece.offset
                if opening is None:
                    opening = local
                elif local != closing:
                    total -= self._between(closing, local)
                closing = end + piece.offset
                if piece.gap is not None and begin == piece.low:
                    total += self._extra(piece)
        return total if opening is None else total + self._between(opening, closing)

    def _between(self, low: int, high: int) -> int:
        """Count the matches of the table; those of a range backwards are negative."""
        if low <= high:
            return self.table.matches(low, high)
        return -self.table.matches(high, low)

    def _extra(self, piece: Piece) -> int:
        """Return 1 if a gap adds a slot that the table does not have anyway."""
        opening = piece.low + piece.offset
        if self.table.matches(opening, opening + 1) or not self._makes_up(piece):
            return 0
        return 1

    def _makes_up(self, piece: Piece) -> bool:
        """Tell whether a match fell into the gap that ends where ``piece`` begins."""
        if piece.gap is None:
            return False
        missed = self.table.next_at(piece.gap)
        return missed is not None and missed < piece.low + piece.offset

    def _piece_from(self, at: int) -> Piece:
        """Find the piece that has ``at``, or else the first one behind it."""
        block = at // _BLOCK
        while True:
            for piece in _pieces(self._zone, self._gap, self._fold, block):
                if at < piece.high:
                    self._piece = piece
                    return piece
            block += 1

    def _piece_until(self, at: int) -> Piece:
        """Find the piece that has ``at``, or else the last one before it."""
        block = at // _BLOCK
        while True:
            for piece in reversed(_pieces(self._zone, self._gap, self._fold, block)):
                if piece.low <= at:
                    self._piece = piece
                    return piece
            block -= 1
