"""Membership: this peer's beat, and which agendas it looks after.

Ownership decides who looks first, never whether a firing runs once.  Every
agenda has one rendezvous order over the live peers that serve its queue (each
peer ranks by the hash of its own id, so that a peer that comes or goes moves
only its own share).  The peers up to ``DEPTH`` stand in for those before them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from aiosched._engine.events import EventBus
from aiosched._engine.heads import Heads, Key
from aiosched._engine.needs import Need
from aiosched._engine.service import Service
from aiosched.abc import Beat, Member, Pulse, Session
from aiosched.clock import Clock
from aiosched.errors import StoreUnavailableError
from aiosched.instants import SECOND

__all__ = ["DEPTH", "Membership", "ranks_of", "stands_first"]

DEPTH = 4
"""Peers of rank 0 to so many keep an agenda's head; with more dead at once its
entries wait for the member timeout."""

CANARIES = 3
"""Own canaries that may go unheard before the subscription is made anew."""


def _weight(member_id: str, key: Key) -> bytes:
    text = f"{member_id}\n{key[0]}\n{key[1]}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def order(members: Sequence[Member], key: Key) -> list[Member]:
    """Return the members that serve an agenda, first the one that looks first."""
    queue = key[1]
    serving = [
        m for m in members if m.claims and (m.queues is None or queue in m.queues)
    ]
    return sorted(serving, key=lambda m: _weight(m.id, key), reverse=True)


def stands_first(member_id: str, members: Sequence[Member], queue: str) -> bool:
    """Return whether a member is the one of all that does something for a queue."""
    first = max(members, key=lambda m: _weight(m.id, (-1, queue)), default=None)
    return first is not None and first.id == member_id


def ranks_of(
    member_id: str, members: Sequence[Member], keys: Iterable[Key]
) -> dict[Key, int]:
    """Return the agendas that a member looks after, with its rank in each."""
    ranks: dict[Key, int] = {}
    for key in keys:
        for rank, member in enumerate(order(members, key)):
            if member.id == member_id:
                if rank <= DEPTH or _differ(members):
                    ranks[key] = rank
                break
    return ranks


def _differ(members: Sequence[Member]) -> bool:
    # Where peers can do different things, the one that can may be the last.
    return len({_can(m) for m in members if m.claims}) > 1


def _can(member: Member) -> tuple[object, ...]:
    return member.executors, member.schema, member.triggers


@dataclass(slots=True)
class Hooks:
    """Whom the membership tells what it has learned."""

    assigned: Callable[[], None]
    lost_data: Callable[[str], None]
    deaf: Callable[[], None]
    back: Callable[[], None]
    beaten: Callable[[], None]


class Membership(Service):
    """Beats, and knows the peers."""

    name = "membership"

    def __init__(
        self,
        clock: Clock,
        session: Session,
        heads: Heads,
        bus: EventBus,
        describe: Callable[[], Member],
        hooks: Hooks,
    ) -> None:
        super().__init__(clock)
        self.session = session
        self.heads = heads
        self.bus = bus
        self.describe = describe
        self.hooks = hooks
        self.members: tuple[Member, ...] = ()
        # The usual one from the start: its first job must be heard of at once.
        self.queues: tuple[str, ...] = ("default",)
        # A shard's change counter, as of the last beat that asked for it.
        self.revs: Mapping[int, int] = {}
        self.watching = False
        self.epoch = ""
        self.beat_at = clock.monotonic()
        self.hold_until = 0
        self.unheard = 0
        self.unheard_since: float | None = None
        self._canary = False
        self._suspects: dict[str, int] = {}
        self._asked_at = 0
        self._assigned: tuple[object, ...] = ()
        self._able: tuple[tuple[str, object], ...] = ()
        self.mixed = False
        self._down = False
        terms = session.terms
        self.interval = terms.beat / SECOND
        self.deadline = terms.member_timeout / SECOND

    # -- what others ask ---------------------------------------------------

    def lapsed(self) -> bool:
        """Return whether this peer has missed its own deadline.

        Others may have taken over what it held; until it has beaten again it
        claims nothing.
        """
        return self._down or self.clock.monotonic() - self.beat_at > self.deadline

    def heard(self, member_id: str) -> None:
        """Note a canary: the subscription is alive, or somebody came or goes."""
        if member_id == self.describe().id:
            self.listening()
        elif member_id.lstrip("-") != self.describe().id and all(
            member.id != member_id for member in self.members
        ):
            self.wake()

    def listening(self) -> None:
        """Note that the subscription is alive."""
        self.unheard = 0
        self.unheard_since = None

    def learn_queue(self, queue: str) -> None:
        """Look after a queue before the next beat tells of it."""
        if queue not in self.queues:
            self.queues = tuple(sorted({*self.queues, queue}))
            self._assign()

    def suspect(self, key: Key, need: Need) -> None:
        """Pass over the peers that should have acted on an agenda and did not.

        Until their next beat: a peer that died costs one steal delay, not one
        for each of its entries until the member timeout.
        """
        me = self.describe().id
        fresh = False
        for member in order(self._trusted(), key):
            if member.id == me:
                break
            if need.met_by(member):
                self._suspects[member.id] = member.beat
                fresh = True
        if fresh:
            self._assign()

    def turn(self, key: Key, need: Need) -> int:
        """Return this peer's place among those that can run a job.

        One that cannot comes after all that can, for what anybody may do:
        runs that were lost, fires that have expired, alarms.
        """
        able = [m for m in order(self._trusted(), key) if need.met_by(m)]
        me = self.describe().id
        for place, member in enumerate(able):
            if member.id == me:
                return place
        return len(able)

    def present(self) -> tuple[Member, ...]:
        """Return the live peers as of the last beat, and this one as it is now."""
        me = self.describe()
        others = [m for m in self.members if m.id != me.id]
        mine = replace(me, beat=self._asked_at)
        return tuple(sorted((*others, mine), key=lambda m: m.id))

    def silent(self) -> tuple[Member, ...]:
        """Return the live peers that had left out a beat at this peer's last."""
        return tuple(m for m in self.members if m.beat < self._silent_since())

    def _silent_since(self) -> int:
        """Return the instant before which a last beat makes a peer silent."""
        return self._asked_at - self.session.terms.beat * 3 // 2

    def _trusted(self) -> list[Member]:
        # Each of several dead in a row costs a steal delay: one that has left out
        # a beat is passed over long before it counts as gone.
        silent = self._silent_since()
        return [
            m
            for m in self.members
            if m.beat >= silent and self._suspects.get(m.id) != m.beat
        ]

    # -- the loop ----------------------------------------------------------

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await self.beat()
            await self.doze(self.interval)

    async def beat(self) -> None:
        """Beat once and act on the answer.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        member = self.describe()
        asks = member.claims or self.watching
        shards = tuple(range(self.session.terms.shards)) if asks else ()
        sent = self.clock.monotonic()
        lapsed = self.lapsed()
        # Every other beat, as long as each is heard.
        self._canary = not self._canary or lapsed or self.unheard > 0
        if self._canary and self.unheard_since is None:
            self.unheard_since = sent  # until it is heard
        beat = Beat(member, member.id, shards, canary=self._canary)
        try:
            pulse = await self.session.beat(beat)
        except StoreUnavailableError:
            self._down = True
            raise
        if lapsed:
            self._return(sent, pulse)
        self._down = False
        self.beat_at = sent
        self.alive()
        self._take(pulse, member)
        self.hooks.beaten()

    def _return(self, sent: float, pulse: Pulse) -> None:
        """Hold back takeovers for a beat, so that live holders extend first."""
        self.hold_until = pulse.now + self.session.terms.beat
        self.bus.emit("lapsed", seconds=round(sent - self.beat_at, 3))
        self.heads.invalidate()
        self.hooks.back()

    def _take(self, pulse: Pulse, me: Member) -> None:
        self._asked_at = pulse.now
        before = {m.id: m for m in self.members}
        now = {m.id: m for m in pulse.members}
        for member_id in sorted(now.keys() - before.keys() - {me.id}):
            self.bus.emit("peer_joined", peer=member_id, name=now[member_id].name)
        for member_id in sorted(before.keys() - now.keys() - {me.id}):
            self.bus.emit("peer_left", peer=member_id, name=before[member_id].name)
        if self.epoch and pulse.epoch != self.epoch:
            self.hooks.lost_data(pulse.epoch)
        self.epoch = pulse.epoch
        others = tuple(m for m in pulse.members if m.id != me.id)
        mine = replace(me, beat=pulse.now)
        claiming = {m.id for m in self.members if m.claims}
        if claiming != {m.id for m in (*others, mine) if m.claims}:
            # Owners tell nobody what they commit, and while peers come and go
            # two may think that they own an agenda.
            self.heads.invalidate()
        self.members = tuple(sorted((*others, mine), key=lambda m: m.id))
        self._suspects = {
            m.id: m.beat for m in self.members if self._suspects.get(m.id) == m.beat
        }
        self.queues = tuple(sorted({*pulse.queues, *self.queues, *(me.queues or ())}))
        self._assign()
        self.revs = pulse.revs
        self.heads.revs(pulse.revs)
        if me.claims:
            self.heads.unknown(pulse.revs)
        if self.heads.stale():
            self.hooks.assigned()
        self.unheard += self._canary
        if self.unheard > CANARIES:
            self.unheard = 0  # and the new one has as many beats to show itself
            self.hooks.deaf()

    def _assign(self) -> None:
        me = self.describe()
        trusted = self._trusted()
        peers = tuple((m.id, m.claims, m.queues, _can(m)) for m in trusted)
        if (peers, self.queues, me.claims) == self._assigned:
            return
        self._assigned = peers, self.queues, me.claims
        able = tuple((m.id, _can(m)) for m in trusted if m.claims)
        if able != self._able:
            self._able = able
            self.mixed = _differ(trusted)
            self.heads.forget_turns()
        if not me.claims:
            self.heads.assign({})
        else:
            shards = range(self.session.terms.shards)
            keys = [(shard, queue) for queue in self.queues for shard in shards]
            self.heads.assign(ranks_of(me.id, trusted, keys))
        self.hooks.assigned()

    async def announce(self) -> None:
        """Tell the others at once whether this peer claims.

        Raises:
            StoreUnavailableError: They hear of it with the next beat.
        """
        await self.beat()
        # A name that nobody knows makes whoever hears it beat.
        await self.session.beat(Beat(None, f"-{self.describe().id}"))

    async def leave(self) -> None:
        """Tell the others that this peer goes."""
        await self.session.beat(Beat(None, self.describe().id))
