"""What stands under a key: strings are ``bytes``, everything else a class here.

Iteration never follows a hash, so that two runs of one program see one order.
A copy is cheap where it can be, since every write keeps the value before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import TypeAlias

__all__ = [
    "Entry",
    "Hash",
    "Listing",
    "Members",
    "Sorted",
    "Stream",
    "StreamId",
    "Value",
    "copied",
    "kind",
]

StreamId: TypeAlias = tuple[int, int]
Entry: TypeAlias = tuple[StreamId, tuple[bytes, ...], int]
"""Id, fields and values in turn, number of the node that holds it."""

_NODE_ENTRIES = 100
_NODE_BYTES = 4096
_NODE_HEAD = 7
_ENTRY_BYTES = 11


class Hash(dict[bytes, bytes]):
    """Fields with values, in the order of their first writing."""

    __slots__ = ()


class Members(dict[bytes, None]):
    """A set."""

    __slots__ = ()


class Listing(list[bytes]):
    """A list."""

    __slots__ = ()


class Sorted:
    """A sorted set.

    Attributes:
        scores: Score of each member.
    """

    __slots__ = ("_order", "scores")

    def __init__(self, scores: dict[bytes, float] | None = None) -> None:
        """Hold these members."""
        self.scores: dict[bytes, float] = {} if scores is None else scores
        self._order: list[tuple[float, bytes]] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return f"Sorted({self.scores!r})"

    def put(self, member: bytes, score: float) -> None:
        """Add a member or give it another score."""
        old = self.scores.get(member)
        self.scores[member] = score
        order = self._order
        if order is not None:
            if old is not None:
                del order[bisect_left(order, (old, member))]
            insort(order, (score, member))

    def remove(self, member: bytes) -> bool:
        """Take a member out; say whether it was there."""
        old = self.scores.pop(member, None)
        if old is None:
            return False
        if self._order is not None:
            del self._order[bisect_left(self._order, (old, member))]
        return True

    def ordered(self) -> list[tuple[float, bytes]]:
        """Return (score, member), lowest first; not to be changed."""
        if self._order is None:
            self._order = sorted([(s, m) for m, s in self.scores.items()])
        return self._order

    def copy(self) -> Sorted:
        """Return a copy that later writes leave alone."""
        return Sorted(dict(self.scores))


class Stream:
    """A stream: entries in order, in nodes as a server keeps them.

    Copies share the list of entries: it only grows at its end, and everything
    else makes a new one.

    Attributes:
        last: The highest id ever given.
        added: Entries ever added.
        deleted: The highest id ever deleted one by one.
    """

    __slots__ = (
        "_bytes",
        "_entries",
        "_filled",
        "_from",
        "_node",
        "_to",
        "added",
        "deleted",
        "last",
    )

    def __init__(self) -> None:
        """Be empty."""
        self._entries: list[Entry] = []
        self._from = 0
        self._to = 0
        self._node = 0
        self._filled = 0
        self._bytes = 0
        self.last: StreamId = (0, 0)
        self.added: int = 0
        self.deleted: StreamId = (0, 0)

    def __len__(self) -> int:
        return self._to - self._from

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries[self._from : self._to])

    def copy(self) -> Stream:
        """Return a copy that later writes leave alone."""
        twin = Stream.__new__(Stream)
        for name in Stream.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def append(self, place: StreamId, fields: tuple[bytes, ...]) -> None:
        """Add an entry; its id is above ``last``."""
        size = sum(map(len, fields))
        if (
            not self._filled
            or self._filled >= _NODE_ENTRIES
            or self._bytes + size >= _NODE_BYTES
        ):
            self._node += 1
            self._filled = 0
            # The first entry of a node leaves its field names at the head.
            self._bytes = _NODE_HEAD + _ENTRY_BYTES + size
        self._filled += 1
        self._bytes += size + _ENTRY_BYTES
        if len(self._entries) != self._to:
            self._entries = self._entries[self._from : self._to]
            self._from, self._to = 0, len(self._entries)
        self._entries.append((place, fields, self._node))
        self._to += 1
        self.last = place
        self.added += 1

    def between(self, first: StreamId, last: StreamId) -> list[Entry]:
        """Return the entries from ``first`` to ``last``, both inclusive."""
        low = bisect_left(self._entries, first, self._from, self._to, key=_id_of)
        high = bisect_right(self._entries, last, self._from, self._to, key=_id_of)
        return self._entries[low:high]

    def remove(self, places: set[StreamId]) -> int:
        """Delete entries by id; return how many were there."""
        kept = [entry for entry in self if entry[0] not in places]
        gone = len(self) - len(kept)
        if gone:
            found = [entry[0] for entry in self if entry[0] in places]
            self.deleted = max(self.deleted, *found)
            tail_lives = kept and kept[-1][2] == self._node
            if not tail_lives:
                self._filled = 0  # an emptied node is thrown away
            self._entries, self._from, self._to = kept, 0, len(kept)
        return gone

    def cut(self, count: int) -> None:
        """Forget the first entries."""
        self._from += count
        if self._from == self._to:
            self._filled = 0
        if self._from > 1000 and self._from * 2 > self._to:
            self._entries = self._entries[self._from : self._to]
            self._from, self._to = 0, len(self._entries)


def _id_of(entry: Entry) -> StreamId:
    return entry[0]


Value: TypeAlias = bytes | Hash | Members | Listing | Sorted | Stream

_KINDS: dict[type, str] = {
    bytes: "string",
    Hash: "hash",
    Members: "set",
    Listing: "list",
    Sorted: "zset",
    Stream: "stream",
}


def kind(value: Value | None) -> str:
    """Return the name that TYPE answers."""
    return "none" if value is None else _KINDS[type(value)]


def copied(value: Value | None) -> Value | None:
    """Return a copy that later writes leave alone."""
    if value is None or type(value) is bytes:
        return value
    if isinstance(value, Hash):
        return Hash(value)
    if isinstance(value, Members):
        return Members(value)
    if isinstance(value, Listing):
        return Listing(value)
    assert isinstance(value, (Sorted, Stream))
    return value.copy()
