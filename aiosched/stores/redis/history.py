"""What a session was told is written, so that a store that forgot it is found out.

A store that comes back from an older snapshot, or a replica that had not got
the last writes, has the epoch that it always had.  What gives it away is that
something is missing which had been confirmed: the last beat of this peer, the
entry of a commit in the ledger, the sequence number of a record, the counter of
a shard.  A record that is met again as it was before is told of at once: by the
next beat it may have been written anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from aiosched.errors import StoreError
from aiosched.instants import SECOND
from aiosched.records import Change, Record, Spec, State
from aiosched.stores.redis.codec import decode, split
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.routing import AWAY
from aiosched.stores.redis.specs import UnreadableError

if TYPE_CHECKING:
    from aiosched.stores.redis.link import Link

__all__ = ["History", "Said", "checked"]

_ANY_SPEC = Spec("")
_SLACK = 60 * SECOND
"""How much younger than the ledger's age an entry must be to be missed."""

_DOUBTFUL = 8
"""Beats without an answer of which it is known that they may yet be written."""


class Said(NamedTuple):
    """What a beat writes, and what was known when it was sent.

    Attributes:
        over: What may have stood there, and was confirmed by then.
        before: The latest that was confirmed by then; None: nothing.
    """

    text: bytes
    over: frozenset[bytes]
    before: bytes | None


class History:
    """What one session knows to be written in the data set that it is on."""

    def __init__(self) -> None:
        """Know nothing."""
        self._member = ""
        self._beat: bytes | None = None
        # What may stand in its place, and whether that was confirmed; beats of
        # one peer may overlap, and are carried out in either order.
        self._could: dict[bytes, bool] = {}
        self._revs: dict[int, int] = {}
        self._entries: dict[int, bytes] = {}
        self._records: dict[int, tuple[str, State]] = {}
        # The entry with the highest counter: where the data went back, those that
        # are written from then on count lower.
        self._highest: dict[int, tuple[int, bytes]] = {}
        self._unchecked: set[int] = set()
        # What was found and not judged yet; a beat finds it once.
        self._beat_lost: bool | None = False
        self._lower: set[int] = set()
        self._missing: set[int] = set()
        self._met_older: bool = False

    # -- what was confirmed --------------------------------------------------------

    def committed(
        self,
        shard: int,
        commands: Sequence[Command],
        results: Sequence[Any],
        changes: Mapping[str, Change],
    ) -> None:
        """Note a transaction that was executed.

        Args:
            shard: Where.
            commands: What stood in it.
            results: The reply to each of them.
            changes: What it wrote; looked at where it left no ledger entry.
        """
        entry: bytes | None = None
        rev = 0
        for command, result in zip(commands, results, strict=True):
            if command[0] == "XADD" and isinstance(result, bytes):
                entry = result
            elif command[0] == "INCR" and isinstance(result, int):
                rev = result
        self.written(shard, entry, rev, changes)

    def written(
        self, shard: int, entry: bytes | None, rev: int, changes: Mapping[str, Change]
    ) -> None:
        """Note what is known of a transaction that was executed.

        Args:
            shard: Where.
            entry: Its ledger entry; None: it left none.
            rev: What it raised the counter to; 0: that is not known.
            changes: What it wrote; looked at where it left no ledger entry.
        """
        self._revs[shard] = max(rev, self._revs.get(shard, 0))
        if entry is not None:
            self._entries[shard] = entry
            self._records.pop(shard, None)
            self._unchecked.add(shard)
            if rev > self._highest.get(shard, (0, b""))[0]:
                self._highest[shard] = rev, entry
            return
        for job_id, change in changes.items():
            if change.record is not None and not change.index_only:
                self._records[shard] = (job_id, change.record.state)
                self._unchecked.add(shard)
                return

    def beating(self, said: bytes) -> Said:
        """Note what a beat is about to write."""
        over = frozenset(one for one, confirmed in self._could.items() if confirmed)
        self._could.setdefault(said, False)
        doubtful = [one for one, confirmed in self._could.items() if not confirmed]
        for one in doubtful[:-_DOUBTFUL]:
            del self._could[one]
        return Said(said, over, self._beat)

    def beaten(self, member_id: str, said: Said) -> None:
        """Note that it was written, over all that had been confirmed before."""
        self._member = member_id
        for one in said.over - {said.text}:
            self._could.pop(one, None)
        self._could[said.text] = True
        if self._beat is None or not _older(said.text, self._beat):
            self._beat = said.text

    def left(self, member_id: str) -> None:
        """Note that a member was taken out."""
        if member_id == self._member:
            self._beat = None
            self._could.clear()

    def counters(self) -> dict[int, int]:
        """Return the counter of each shard, as far as it is known to have come."""
        return dict(self._revs)

    # -- what is missing -----------------------------------------------------------

    def beat_lost(self, found: bytes | None, said: Said) -> bool | None:
        """Judge what stood in the place of this peer's last beat.

        Args:
            found: What stood there.
            said: The beat that came upon it.

        Returns:
            True: it was forgotten. None: there is nothing, which deleting it
            would explain, too. False: there is nothing to be said.
        """
        if said.before is None or self._beat is None:
            return False
        if found is None:
            return None
        # What was confirmed only after this beat was sent is no reason to miss it.
        if found in said.over or found in self._could:
            return False
        return _older(found, said.before)

    def fallen(
        self,
        shards: Iterable[int],
        values: Sequence[bytes | None],
        before: Mapping[int, int],
    ) -> tuple[set[int], set[int]]:
        """Return the shards whose counter stands lower than before, and which lack it.

        Args:
            shards: Those that were asked for.
            values: What stands in the store for each.
            before: What :meth:`counters` said before it was asked.
        """
        lower: set[int] = set()
        missing: set[int] = set()
        for shard, value in zip(shards, values, strict=False):
            known = before.get(shard, 0)
            if value is None:
                if known:
                    missing.add(shard)
                    self._revs.pop(shard, None)
                continue
            if not value.isdigit() or len(value) > 20:
                continue
            if int(value) < known:
                lower.add(shard)
                self._revs[shard] = int(value)
            else:
                self._revs[shard] = max(int(value), self._revs.get(shard, 0))
        return lower, missing

    def found(
        self,
        own: bytes | None,
        said: Said,
        shards: Sequence[int],
        values: Sequence[bytes | None],
        before: Mapping[int, int],
    ) -> None:
        """Note what a beat came upon, until it is judged; see :func:`checked`.

        Args:
            own: What stood in the place of this peer's last beat.
            said: The beat.
            shards: Whose counters were asked for.
            values: The counters as they stand in the store.
            before: What :meth:`counters` said before it was asked.
        """
        lost = self.beat_lost(own, said)
        if self._beat_lost is not True and lost is not False:
            self._beat_lost = lost
        lower, missing = self.fallen(shards, values, before)
        self._lower |= lower
        self._missing |= missing

    def looked(
        self, known: Mapping[str, State], found: Mapping[str, Record | None]
    ) -> None:
        """Note records that were read, until the next beat judges them.

        Args:
            known: As they were confirmed before they were asked for, by id.
            found: What was read.
        """
        for job_id, state in known.items():
            record = found.get(job_id)
            if record is not None and _before(record.state, state):
                self._met_older = True

    def suspects(self) -> bool:
        """Return whether something was found that :meth:`judged` has to look at."""
        found = self._lower or self._missing or self._met_older
        return self._beat_lost is not False or bool(found)

    async def judged(self, link: Link, now: int) -> bool:
        """Tell whether the data set has forgotten what it confirmed.

        Raises:
            StoreUnavailableError: Calling again is safe.
        """
        if self._met_older:
            return True
        lost, lower, missing = self._beat_lost, set(self._lower), set(self._missing)
        suspected = lower | missing
        if lost is None:
            suspected |= self._entries.keys()
        absent, away = await self.absent(link, now, suspected)
        # Where nothing else is known of a shard, its counter has to do.
        fallen = lower | missing if lost is None else lower
        if absent or lost or not fallen <= self._entries.keys():
            return True
        # Those of a master that is away are suspected until it is back.
        self._lower -= lower - away
        self._missing -= missing - away
        for shard in (lower | missing) - away:
            self._highest.pop(shard, None)  # the counter alone was spoiled
        if lost is None:
            self._unchecked |= away & suspected
        if self._beat_lost is lost:
            self._beat_lost = False
        return False

    async def absent(
        self, link: Link, now: int, suspected: Iterable[int]
    ) -> tuple[set[int], set[int]]:
        """Look for commits that were confirmed.

        Those shards are looked at in which something was committed since the
        last time, and those that are suspected.

        Returns:
            The shards that lack one, and those whose master is away.

        Raises:
            StoreUnavailableError: Calling again is safe.
        """
        shards = sorted(self._unchecked | set(suspected))
        entries = [
            (one, entry) for one in shards for entry in sorted(self._known_entries(one))
        ]
        records = {one: self._records[one] for one in shards if one in self._records}
        keys = link.keys
        commands: list[Command] = [
            ("XRANGE", keys.ledger(shard), entry, entry) for shard, entry in entries
        ]
        commands += [
            ("MGET", keys.job(shard, job_id)) for shard, (job_id, _) in records.items()
        ]
        if not commands:
            return set(), set()
        replies = await link.try_typed(commands, spare=range(len(commands)))
        oldest = now - link.terms.ledger_age + _SLACK
        lost = {
            shard
            for (shard, entry), reply in zip(entries, replies, strict=False)
            if reply == [] and _instant(entry) > oldest
        }
        lost = await _not_trimmed(link, lost)
        founds = replies[len(entries) :]
        for (shard, (job_id, state)), reply in zip(
            records.items(), founds, strict=True
        ):
            found = _state(job_id, reply)
            if found is not None and _before(found, state):
                lost.add(shard)
        places = zip((*[one for one, _ in entries], *records), replies, strict=True)
        away = {shard for shard, reply in places if reply in (AWAY, [AWAY])}
        looked = set(entries)
        for shard in shards:
            if shard in away or shard in lost:
                continue  # looked at when it is back, or until it was told
            # What was committed meanwhile is looked at next time.
            same = {(shard, one) for one in self._known_entries(shard)} <= looked
            if same and self._records.get(shard) == records.get(shard):
                self._unchecked.discard(shard)
        return lost, away

    def _known_entries(self, shard: int) -> set[bytes]:
        """Return the last entry of a shard, and the one that counted highest."""
        known = {self._entries[shard]} if shard in self._entries else set()
        if shard in self._highest:
            known.add(self._highest[shard][1])
        return known


def _older(one: bytes, other: bytes) -> bool:
    """Tell whether a beat was before another; garbage is told of elsewhere."""
    try:
        return bool(json.loads(one)[0] < json.loads(other)[0])
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


def _before(found: State, known: State) -> bool:
    """Tell whether a record went back; made anew, it counts from the clock."""
    return found.created == known.created and found.seq < known.seq


def _instant(entry: bytes) -> int:
    return int(entry.partition(b"-")[0]) * (SECOND // 1000)


def _state(job_id: str, reply: Any) -> State | None:
    """Return the state in a record's bytes, if it can be read."""
    data = reply[0] if isinstance(reply, list) and reply else None
    if not isinstance(data, bytes):
        return None
    try:
        return decode(split(data), job_id, _ANY_SPEC).state
    except UnreadableError:
        return None


async def _not_trimmed(link: Link, shards: set[int]) -> set[int]:
    """Leave out shards whose ledger is at its cap, so that entries go early."""
    ordered = sorted(shards)
    if not ordered:
        return shards
    replies = await link.try_typed([("XLEN", link.keys.ledger(n)) for n in ordered])
    return {
        shard
        for shard, length in zip(ordered, replies, strict=True)
        if length is not None and length < link.terms.ledger_cap
    }


async def checked(link: Link, now: int) -> None:
    """Give the data set a new identity if it has forgotten what it confirmed.

    Every peer that finds out writes the same one, so that the loss is told of
    once by each.

    Args:
        link: The session's; its history was told what the beat came upon.
        now: The store's instant.

    Raises:
        StoreUnavailableError: Calling again is safe.
    """
    history = link.history
    if not await history.judged(link, now) or link.history is not history:
        return
    text = f"{link.epoch} rolled back"
    epoch = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    # Whoever sees a counter move looks round, and finds the new identity.
    await link.try_typed([("HSET", link.keys.meta, "epoch", epoch)])
    link.new_data(epoch)
    # If nobody can count there, they find it when they look round by themselves.
    with suppress(StoreError):
        await link.ask([("INCR", link.keys.rev(0))], lenient=True)
