"""Entries kept in order, for the agendas of the memory store."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["Entry", "OrderedEntries"]

Entry = tuple[int, str]
"""(instant, job id)."""

_HALF = 512


class OrderedEntries:
    """A sorted set of entries, cheap to read from the front.

    Chunks of at most 1,023 entries, each sorted, in order: adding or removing
    one moves a few kB at most, however many entries there are.
    """

    __slots__ = ("_chunks", "_lasts")

    def __init__(self) -> None:
        """Start empty."""
        self._chunks: list[list[Entry]] = []
        self._lasts: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Put an entry in; it must not be in yet."""
        lasts = self._lasts
        if not lasts:
            self._chunks.append([entry])
            lasts.append(entry)
            return
        place = bisect_left(lasts, entry)
        if place == len(lasts):
            place -= 1
            chunk = self._chunks[place]
            chunk.append(entry)
            lasts[place] = entry
        else:
            chunk = self._chunks[place]
            chunk.insert(bisect_left(chunk, entry), entry)
        if len(chunk) >= 2 * _HALF:
            self._split(place)

    def _split(self, place: int) -> None:
        chunk = self._chunks[place]
        self._chunks.insert(place + 1, chunk[_HALF:])
        del chunk[_HALF:]
        self._lasts.insert(place, chunk[-1])

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is in."""
        # A chunk's last may stay in ``_lasts`` after it has gone: it is a bound
        # below which entries belong here, and as good as the present last.
        place = bisect_left(self._lasts, entry)
        chunk = self._chunks[place]
        del chunk[bisect_left(chunk, entry)]
        if not chunk:
            del self._chunks[place], self._lasts[place]

    def first(self, limit: int) -> tuple[list[Entry], bool]:
        """Return the first ``limit`` entries, and whether that is all."""
        found: list[Entry] = []
        for chunk in self._chunks:
            room = limit - len(found)
            found += chunk[:room]
            if len(chunk) > room:
                return found, False
        return found, True
