"""The watch: agendas of queues that no claiming peer serves.

Nobody looks at them, so that one of the peers that are left, a client if need
be, reads them.  It does so again when a shard's counter has moved, or when an
entry that it has seen comes due: an idle queue costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiosched._engine.heads import Due, Key
from aiosched._engine.membership import Membership, stands_first
from aiosched.abc import MAX_BATCH, Head, Member, Session
from aiosched.clock import Clock

__all__ = ["Watch"]

TURN = 20.0
"""Seconds between two looks."""

WHOLE = 600.0
"""Seconds after which everything is read again, moved or not: whoever takes
itself for the owner of an agenda commits without moving the counter."""

_AGENDAS = 256
_GROWTH = 8
_MOST = 10_000
"""Entries of one agenda that are read at most."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """An agenda as it was read: the counter, and when the next entry comes due."""

    rev: int
    upcoming: int | None


class Watch:
    """Reads what is due in the queues that this peer is to watch."""

    def __init__(self, clock: Clock, session: Session, membership: Membership) -> None:
        self.clock = clock
        self.session = session
        self.membership = membership
        self.queues: tuple[str, ...] = ()
        self._seen: dict[Key, _Seen] = {}
        self._looked_at: float | None = None
        self._whole_at = 0.0

    def unserved(self, members: Sequence[Member]) -> list[str]:
        """Return the queues that no claiming peer serves."""
        served: set[str] = set()
        for member in members:
            if member.claims:
                if member.queues is None:
                    return []
                served.update(member.queues)
        return [queue for queue in self.membership.queues if queue not in served]

    def choose(self, members: Sequence[Member]) -> None:
        """Take over the unserved queues that fall to this peer, and no other."""
        me = self.membership.describe().id
        peers = [m for m in members if m.claims] or members
        self.queues = tuple(
            queue for queue in self.unserved(members) if stands_first(me, peers, queue)
        )
        self._seen = {k: one for k, one in self._seen.items() if k[1] in self.queues}
        self.membership.watching = bool(self.queues)

    def pause(self) -> float | None:
        """Return after how many seconds it is to look; None: there is nothing."""
        if not self.queues:
            return None
        if self._looked_at is None:
            return 0.0
        return max(self._looked_at + TURN - self.clock.monotonic(), 0.0)

    def forget(self) -> None:
        """Read everything again at the next look."""
        self._seen.clear()

    async def look(self) -> dict[Key, list[Due]]:
        """Return what is due in each agenda that may have moved.

        Raises:
            StoreUnavailableError: Calling again is safe.
        """
        now = self.clock.monotonic()
        if now - self._whole_at >= WHOLE:
            self._whole_at = now
            self.forget()
        keys = self._moved()
        found: dict[Key, list[Due]] = {}
        for first in range(0, len(keys), _AGENDAS):
            await self._read(keys[first : first + _AGENDAS], found)
        self._looked_at = now
        return found

    def _moved(self) -> list[Key]:
        revs, now = self.membership.revs, self.session.estimate()
        moved: list[Key] = []
        for queue in self.queues:
            for shard in range(self.session.terms.shards):
                seen = self._seen.get((shard, queue))
                if (
                    seen is None
                    or revs.get(shard, seen.rev) != seen.rev
                    or (seen.upcoming is not None and seen.upcoming <= now)
                ):
                    moved.append((shard, queue))
        return moved

    async def _read(self, keys: list[Key], found: dict[Key, list[Due]]) -> None:
        limit = MAX_BATCH
        while keys:
            heads = await self.session.agenda(keys, limit=limit, partial=True)
            now = self.session.estimate()
            keys = []
            for head in heads:
                key = head.shard, head.queue
                due = [Due(key, job_id, at) for job_id, at in head.entries if at <= now]
                found[key] = due
                self._seen[key] = _Seen(head.rev, _upcoming(head, now))
                more = len(due) == len(head.entries) and not head.complete
                if more and limit < _MOST:
                    keys.append(key)
            limit = min(limit * _GROWTH, _MOST)


def _upcoming(head: Head, now: int) -> int | None:
    return next((at for _, at in head.entries if at > now), None)
