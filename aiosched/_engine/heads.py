"""What a peer knows of the agendas it looks after: the first entries of each.

Kept in step by reading, by signals and by the peer's own commits; never the
truth, only the reason to look.  An entry is acted on at its instant plus the
peer's rank in the agenda's order times the steal delay, so that peers stand in
for each other without racing.

Each agenda has a heap of its own, and one more has the earliest of each: whoever
has too few places for all that is due takes many entries of few agendas, which are
few transactions, rather than a few of each.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from aiosched.abc import MAX_BATCH
from aiosched.abc import Head as Reading
from aiosched.records import Change
from aiosched.values import value

__all__ = ["Due", "Heads", "Key"]

_TURNS = 10_000
"""Jobs whose turns are remembered; a forgotten one is learned by a look again."""

_DEEP = 4 * MAX_BATCH
"""Entries that are read of an agenda in which work piles up."""

_REMEMBERED = 10_000
"""Jobs of which it is known how new the last news was; signals overtake each
other by milliseconds, so those that have just moved are enough."""

Key = tuple[int, str]
"""Shard and queue: the name of one agenda."""


@value(frozen=True, slots=True)
class Due:
    """An entry whose time has come for this peer."""

    key: Key
    job_id: str
    at: int


@dataclass(slots=True)
class _Head:
    rank: int
    entries: dict[str, int] = field(default_factory=dict)
    horizon: int | None = None
    """Entries beyond it may be missing; None: all are here."""
    passed: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    """id -> instant of entries that this peer cannot act on, and when there
    may be something that it can do all the same."""

    moved: dict[str, int | None] | None = None
    """What has moved since a reading was asked for that is not there yet."""
    rev: int = -1
    read_at: int = 0
    heap: list[tuple[int, str, int]] = field(default_factory=list)
    """When to look at which entry, and where it stood then."""

    lined_up: int | None = None
    """When the agenda as a whole is looked at."""

    def valid(self, when: int, job_id: str, at: int) -> bool:
        """Return whether the heap still says what is to be done."""
        if self.entries.get(job_id) != at:
            return False
        passed = self.passed.get(job_id) if self.passed else None
        if passed is None or passed[0] != at:
            return True
        return passed[1] is not None and when >= passed[1]

    def first(self) -> int | None:
        """Return when to look at the first entry; None: at none by itself."""
        heap = self.heap
        while heap:
            if self.valid(*heap[0]):
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def when(self, job_id: str, at: int, delay: int) -> int | None:
        """Return when to look at an entry; None: not as it stands."""
        passed = self.passed.get(job_id)
        if passed is not None and passed[0] == at:
            return None if passed[1] is None else passed[1] + delay
        return at + delay


class Heads:
    """The agendas of one peer."""

    def __init__(self, steal_delay: int) -> None:
        self._steal = steal_delay
        self._heads: dict[Key, _Head] = {}
        self._order: list[tuple[int, Key]] = []
        self._held: set[int] = set()
        self._turns: dict[str, int] = {}
        self._stale: set[Key] = set()
        self._seqs: OrderedDict[str, int] = OrderedDict()

    # -- which agendas -----------------------------------------------------

    def assign(self, ranks: Mapping[Key, int]) -> None:
        """Look after exactly these agendas, with these ranks."""
        for key in [key for key in self._heads if key not in ranks]:
            del self._heads[key]
            self._stale.discard(key)
        for key, rank in ranks.items():
            head = self._heads.get(key)
            if head is None:
                self._heads[key] = _Head(rank)
                self._stale.add(key)
            elif head.rank != rank:
                head.rank = rank
                # What it cannot act on may have been a matter of rank.
                head.passed.clear()
                self._stale.add(key)
                self._rebuild(key, head)

    def rank(self, key: Key) -> int | None:
        """Return the peer's rank in an agenda; None: it does not look at it."""
        head = self._heads.get(key)
        return None if head is None else head.rank

    def ranks(self) -> dict[Key, int]:
        """Return every agenda that is looked after, with its rank."""
        return {key: head.rank for key, head in self._heads.items()}

    def set_turn(self, key: Key, job_id: str, turn: int) -> None:
        """Note that this peer comes at another place for one job than by rank."""
        head = self._heads.get(key)
        if head is None or self._turn(head, job_id) == turn:
            return
        # Kept when the entry leaves: a job that waits for its keyword comes back.
        self._turns[job_id] = turn
        if len(self._turns) > _TURNS:
            del self._turns[next(iter(self._turns))]
        at = head.entries.get(job_id)
        if at is not None:
            self._push(key, head, job_id, at)

    def forget_turns(self) -> None:
        """Go by rank for every job."""
        if self._turns:
            self._turns.clear()
            for key, head in self._heads.items():
                self._rebuild(key, head)

    def _turn(self, head: _Head, job_id: str) -> int:
        return self._turns.get(job_id, head.rank) if self._turns else head.rank

    def _delay(self, head: _Head, job_id: str) -> int:
        return self._turn(head, job_id) * self._steal

    # -- reading -----------------------------------------------------------

    def invalidate(self, keys: Iterable[Key] | None = None) -> None:
        """Read these agendas again before acting on them; None: all."""
        for key in self._heads if keys is None else keys:
            if key in self._heads:
                self._stale.add(key)

    def revs(self, revs: Mapping[int, int]) -> None:
        """Compare change counters; agendas of a shard that moved are stale."""
        for key, head in self._heads.items():
            if key[0] in revs and revs[key[0]] != head.rev:
                self._stale.add(key)

    def unknown(self, revs: Mapping[int, int]) -> None:
        """Let agendas be read of shards whose counters were not told."""
        self._stale.update(key for key in self._heads if key[0] not in revs)

    def stale(self) -> list[Key]:
        """Return the agendas to be read, sorted."""
        return sorted(self._stale)

    def limit(self, keys: Iterable[Key]) -> int:
        """Return how many entries to read so as to see past the unactable.

        More of them where all that was read before is done: there is a backlog.
        """
        heads = [self._heads[key] for key in keys]
        blocked = max((len(head.passed) for head in heads), default=0)
        used_up = any(
            head.horizon is not None and len(head.entries) <= len(head.passed)
            for head in heads
        )
        return (_DEEP if used_up else MAX_BATCH) + blocked

    def asking(self, keys: Iterable[Key]) -> None:
        """Note that these agendas are about to be read.

        What moves before the answer is there may be newer than the answer.
        """
        for key in keys:
            self._stale.discard(key)
            head = self._heads.get(key)
            if head is not None:
                head.moved = {}

    def load(self, reading: Reading, asked: int) -> None:
        """Take over what was read; ``asked`` is when the reading began."""
        key = (reading.shard, reading.queue)
        head = self._heads.get(key)
        if head is None:
            return
        head.entries = dict(reading.entries)
        head.rev = reading.rev
        head.read_at = asked
        head.horizon = None
        if not reading.complete and reading.entries:
            head.horizon = reading.entries[-1][1]
        head.passed = {
            job_id: passed
            for job_id, passed in head.passed.items()
            if head.entries.get(job_id) == passed[0]
        }
        self._rebuild(key, head)
        moved, head.moved = head.moved, None
        for job_id, now in (moved or {}).items():
            self.update(key, job_id, now)
        self._look_beyond(key, head)

    def commit(self, key: Key, job_id: str, change: Change) -> None:
        """Take over a commit of this peer's own."""
        record = change.record
        seq = 0 if record is None else record.state.seq
        self.update(key, job_id, change.at, seq)

    def attended(self, due: Due, change: Change) -> None:
        """Take over what became of an entry that was handed out.

        It stands where it stood if it was left there, and also if what was
        committed later, and heard of earlier, has moved it back.  It is in no
        heap then.
        """
        self.commit(due.key, due.job_id, change)
        head = self._heads.get(due.key)
        if head is not None and head.entries.get(due.job_id) == due.at:
            # It has changed, so this peer may be able to do something about it.
            head.passed.pop(due.job_id, None)
            self.again(due, due.at)

    def update(self, key: Key, job_id: str, at: int | None, seq: int = 0) -> None:
        """Note that an entry has moved.

        Args:
            key: The agenda.
            job_id: Whose entry it is.
            at: Where it stands now; None: it left the agenda.
            seq: Sequence number of the record that says so; 0: not known.
                What an older record said comes too late and is passed over.
        """
        head = self._heads.get(key)
        if head is None:
            return
        known = self._seqs.get(job_id, 0)
        if seq:
            if seq < known:
                return
            self._heard(job_id, seq)
        if head.moved is not None:
            head.moved[job_id] = at
        entries, passed, horizon = head.entries, head.passed, head.horizon
        before = entries.get(job_id)
        if passed:
            if before != at:
                passed.pop(job_id, None)
            elif seq > known and job_id in passed:
                # It stands where it stood, and is another job, perhaps.
                del passed[job_id]
                before = None
        if at is None or (horizon is not None and at > horizon):
            if before is not None:
                del entries[job_id]
            if horizon is not None and len(entries) <= len(passed):
                self._look_beyond(key, head)
        elif before != at:
            entries[job_id] = at
            self._push(key, head, job_id, at)

    def _look_beyond(self, key: Key, head: _Head) -> None:
        """Read on if nothing is left to act on of what was read."""
        if head.horizon is not None and len(head.entries) <= len(head.passed):
            self._stale.add(key)

    def _heard(self, job_id: str, seq: int) -> None:
        """Remember how new the last news of a job was."""
        seqs = self._seqs
        seqs[job_id] = seq
        seqs.move_to_end(job_id)
        if len(seqs) > _REMEMBERED:
            seqs.popitem(last=False)

    def stands(self, key: Key, job_id: str) -> int | None:
        """Return where an entry stands; None: it is not known here."""
        head = self._heads.get(key)
        return None if head is None else head.entries.get(job_id)

    # -- acting ------------------------------------------------------------

    def ignore(self, key: Key, job_id: str, at: int, until: int | None = None) -> None:
        """Do not look at this entry again while it stands at this instant.

        Args:
            key: The agenda.
            job_id: Whose entry it is.
            at: Where it stands.
            until: When to look again nevertheless; None: never.
        """
        head = self._heads.get(key)
        if head is not None and head.entries.get(job_id) == at:
            head.passed[job_id] = (at, until)
            self._push(key, head, job_id, at)
            self._look_beyond(key, head)

    def again(self, due: Due, when: int) -> None:
        """Look at an entry again, at ``when`` rather than now."""
        head = self._heads.get(due.key)
        if head is not None and head.entries.get(due.job_id) == due.at:
            # What was passed over until then is not looked at before.
            _, until = head.passed.get(due.job_id, (due.at, None))
            when = when if until is None else max(when, until)
            self._enter(due.key, head, (when, due.job_id, due.at))

    def pop_due(self, now: int, limit: int) -> list[Due]:
        """Take out entries whose time has come, of few agendas if not all of them.

        The agenda with the earliest comes first, with all of its entries that are
        at least half as late: whoever waits is overtaken only by those that have
        waited for half as long.
        """
        due: dict[tuple[Key, str], Due] = {}
        while self._order and self._order[0][0] <= now and len(due) < limit:
            when, key = heapq.heappop(self._order)
            head = self._heads.get(key)
            if head is None or head.lined_up != when:
                continue
            head.lined_up = None
            if key[0] in self._held:
                continue
            heap, until = head.heap, now - (now - when) // 2
            while heap and heap[0][0] <= until and len(due) < limit:
                look, job_id, at = heapq.heappop(heap)
                if head.valid(look, job_id, at):
                    due[key, job_id] = Due(key, job_id, at)
            self._line_up(key, head)
        return list(due.values())

    def hold(self, shards: Collection[int]) -> None:
        """Hand out nothing of these shards, because they are being attended."""
        self._held.update(shards)

    def release(self, shards: Collection[int]) -> None:
        """Hand out what is due in them again."""
        self._held.difference_update(shards)
        for key, head in self._heads.items():
            if key[0] in shards:
                self._line_up(key, head)

    def confirmed(self, due: Due) -> bool:
        """Return whether the entry is known to be still there.

        An owner's commits send no signal, so a backup reads again before it
        acts on what seems overdue.
        """
        head = self._heads[due.key]
        if not head.rank and not self._turns:
            return True
        delay = self._delay(head, due.job_id)
        return not delay or head.read_at >= due.at + delay

    def overdue(self, since: int) -> list[Due]:
        """Return the entries that are due since an instant and may be acted on."""
        return [
            Due(key, job_id, at)
            for key, head in self._heads.items()
            for job_id, at in head.entries.items()
            if at <= since and job_id not in head.passed
        ]

    def next_instant(self) -> int | None:
        """Return when the earliest entry is to be acted on."""
        while self._order:
            when, key = self._order[0]
            head = self._heads.get(key)
            if (
                head is not None
                and head.lined_up == when == head.first()
                and key[0] not in self._held
            ):
                return when
            heapq.heappop(self._order)
            if head is not None and head.lined_up == when:
                head.lined_up = None
                self._line_up(key, head)
        return None

    def forget(self) -> None:
        """Let this peer try again what it could not act on."""
        for key, head in self._heads.items():
            if head.passed:
                head.passed.clear()
                self._stale.add(key)

    def __len__(self) -> int:
        """Return how many entries are known."""
        return sum(len(head.entries) for head in self._heads.values())

    def _push(self, key: Key, head: _Head, job_id: str, at: int) -> None:
        when = head.when(job_id, at, self._delay(head, job_id))
        if when is not None:
            self._enter(key, head, (when, job_id, at))
        if len(head.heap) > 64 and len(head.heap) > 4 * len(head.entries):
            self._rebuild(key, head)

    def _enter(self, key: Key, head: _Head, entry: tuple[int, str, int]) -> None:
        heapq.heappush(head.heap, entry)
        if head.heap[0] is entry:
            self._line_up(key, head)

    def _line_up(self, key: Key, head: _Head) -> None:
        """Have an agenda looked at when its first entry says so.

        What was said before stands in the order until its time, and is passed over.
        """
        first = None if key[0] in self._held else head.first()
        if first is None or (head.lined_up is not None and head.lined_up <= first):
            return
        head.lined_up = first
        heapq.heappush(self._order, (first, key))
        if len(self._order) > 64 and len(self._order) > 4 * len(self._heads):
            self._order = [
                (head.lined_up, key)
                for key, head in self._heads.items()
                if head.lined_up is not None
            ]
            heapq.heapify(self._order)

    def _rebuild(self, key: Key, head: _Head) -> None:
        if head.passed or self._turns:
            head.heap = [
                (when, job_id, at)
                for job_id, at in head.entries.items()
                if (when := head.when(job_id, at, self._delay(head, job_id)))
                is not None
            ]
        else:
            delay = head.rank * self._steal
            head.heap = [(at + delay, one, at) for one, at in head.entries.items()]
        heapq.heapify(head.heap)
        self._line_up(key, head)
