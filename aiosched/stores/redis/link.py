"""What all parts of a session share: lanes, key names, caches, counters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from aiosched.abc import Counters, Member, Report, Terms
from aiosched.clock import Clock, IdSource
from aiosched.errors import StoreUnavailableError
from aiosched.records import Record, State
from aiosched.stores.redis.cluster import Cluster, slot_of
from aiosched.stores.redis.connection import (
    Command,
    Lane,
    LostError,
    Wiring,
)
from aiosched.stores.redis.failures import refusal, wrong_type
from aiosched.stores.redis.history import History
from aiosched.stores.redis.keys import Keys
from aiosched.stores.redis.pools import QUICK, Pools
from aiosched.stores.redis.routing import ask_cluster, ask_everywhere
from aiosched.stores.redis.specs import SpecCache
from aiosched.stores.redis.timing import Timekeeper, instant_of
from aiosched.stores.redis.topology import Node

__all__ = ["Link", "Memo"]

_REMEMBERED = 16_384
_LONGEST = 4_096
_READ_LANES = 2
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.1


class Memo:
    """Bytes and decoded form of records with live runs, as last written here."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._known: dict[str, tuple[bytes, Record]] = {}

    def find(self, job_id: str, data: bytes) -> Record | None:
        """Return the record that these bytes are, if it is remembered."""
        known = self._known.get(job_id)
        return known[1] if known is not None and known[0] == data else None

    def states(self, ids: Iterable[str]) -> dict[str, State]:
        """Return what is remembered of these."""
        known = self._known
        return {one: known[one][1].state for one in ids if one in known}

    def put(self, job_id: str, data: bytes, record: Record) -> None:
        """Remember a record that was written, if it is likely to be read."""
        if not record.state.runs or len(data) > _LONGEST:
            self._known.pop(job_id, None)
            return
        if len(self._known) >= _REMEMBERED and job_id not in self._known:
            del self._known[next(iter(self._known))]
        self._known[job_id] = (data, record)

    def forget(self, job_id: str) -> None:
        """Let go of a record that was deleted."""
        self._known.pop(job_id, None)


class Link:
    """One session's side of the store.

    Attributes:
        queues: Queues that this session knows to stand in the store's set.
        written: Those of them that it has entered there itself.
        looked: Queues whose agendas were read or written here.
        keywords: (keyword, shard) that it knows to stand in the index.
        epoch: Identity of the data set as last seen.
        history: What is known to be written in that data set.
        stale: The data set is another one, so that what was entered in its
            indexes must be entered again.
        members: The peers that the last readable answer told of.
        home: Slot of the keys that belong to no shard.
        patience: Seconds for which an unknown EXEC is pursued.
    """

    def __init__(
        self,
        wiring: Wiring,
        namespace: str,
        *,
        lanes: int,
        clock: Clock,
        ids: IdSource,
        report: Report | None,
        patience: float,
    ) -> None:
        """Prepare; nothing is connected before it is needed."""
        self.wiring = wiring
        self.place: str = wiring.place
        self.counters: Counters = wiring.counters
        self.keys: Keys = Keys(namespace, database=wiring.database)
        self.terms: Terms = Terms()
        home = self.keys.meta
        self.home: int = slot_of(home)
        self.transactions: Pools = Pools(wiring, lanes, home, clock, strict=True)
        self.reads: Pools = Pools(wiring, _READ_LANES, home, clock)
        self.clock = clock
        self.ids = ids
        self.time: Timekeeper = Timekeeper()
        self._times: dict[Node, Timekeeper] = {}
        self.specs: SpecCache = SpecCache()
        self.memo: Memo = Memo()
        self.queues: set[str] = set()
        self.written: set[str] = set()
        self.stale: bool = False
        self.looked: set[str] = set()
        self.keywords: set[tuple[str, int]] = set()
        self.epoch: str = ""
        self.history: History = History()
        self.members: tuple[Member, ...] = ()
        self.patience = patience
        self._report = report
        self._session = ids()
        self._tokens = 0
        self._counters: list[Any] = []
        self._idle = 0

    def agree(self, terms: Terms) -> None:
        """Take over the namespace's terms."""
        self.terms = terms
        self.keys = self.keys.of(terms.shards)

    def new_data(self, epoch: str) -> None:
        """Note the identity of the data set; another one knows nothing of ours."""
        if self.epoch and epoch != self.epoch:
            self.stale = True
            self.history = History()
            self.memo = Memo()
            self.queues = set(self.written)
            self.wiring.topology.forgotten()
        self.epoch = epoch

    def stirred(self, counters: Sequence[Any], most: int) -> bool:
        """Return whether anything has changed since the last beat.

        Args:
            counters: The change counters, as the store has them.
            most: So many beats, and it is taken to have changed.
        """
        self._idle += 1
        return counters != self._counters or self._idle >= most

    def looked_round(self, counters: Sequence[Any]) -> None:
        """Note that whatever has changed until then was looked at."""
        self._counters, self._idle = list(counters), 0

    def token(self) -> str:
        """Return the name of one attempt at one transaction; never used again."""
        self._tokens += 1
        return f"{self._session}.{self._tokens}"

    def unreadable(self, key: str, problem: str) -> None:
        """Count and report what cannot be read."""
        self.counters.unreadable += 1
        self.tell(key, problem)

    def tell(self, key: str, problem: str) -> None:
        """Report something that is not as it should be."""
        if self._report is not None:
            self._report(key, problem)

    async def pause(self, attempt: int, longest: float = _LONGEST_PAUSE) -> None:
        """Wait a little, longer with each attempt, and not in step with others."""
        chance = int(self.ids()[:8], 16) / 0xFFFF_FFFF
        limit = min(longest, _FIRST_PAUSE * 2 ** min(attempt, 20))
        await self.clock.sleep(limit * (0.5 + chance / 2))

    async def ask(
        self,
        commands: Sequence[Command],
        *,
        lenient: bool = False,
        spare: Collection[int] = (),
    ) -> list[Any]:
        """Send reading commands and return their replies.

        They are sent once more if the connection turns out to be dead, which
        is how idle connections end; so they must bear being done twice.

        Args:
            commands: One packet.
            lenient: Return errors about what stands in the store among the
                replies; that it does not serve for now is raised all the same,
                for it says nothing of what stands there.
            spare: Places of commands that on a cluster may go without an
                answer: what a master has that cannot be reached is ``AWAY``.

        Raises:
            StoreError: The store cannot be reached, or refuses.
        """
        if self.wiring.topology.clustered:
            replies = await ask_cluster(self, commands, spare)
        else:
            replies = await self._ask_twice(commands)
        self.refuse(commands, replies, lenient=lenient)
        return replies

    async def try_typed(
        self, commands: Sequence[Command], *, spare: Collection[int] = ()
    ) -> list[Any]:
        """Do the same; where a key is of a wrong type the reply is None.

        Each such key is reported, once.

        Raises:
            StoreError: The store cannot be reached, or refuses.
        """
        replies = await self.ask(commands, lenient=True, spare=spare)
        wrong: dict[str, str] = {}
        for place, (command, reply) in enumerate(zip(commands, replies, strict=True)):
            if wrong_type(reply):
                wrong[str(command[1])] = str(reply)
                replies[place] = None
        self.refuse(commands, replies)
        for key, problem in wrong.items():
            self.unreadable(key, f"is of another type: {problem}")
        return replies

    def refuse(
        self,
        commands: Sequence[Command],
        replies: Sequence[Any],
        *,
        lenient: bool = False,
    ) -> None:
        """Raise what the server answered, naming the key.

        Args:
            commands: What it was asked.
            replies: What it answered.
            lenient: Only where it does not serve for now.

        Raises:
            StoreError: One of the replies is an error.
        """
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ResponseError):
                key = str(command[1]) if len(command) > 1 else ""
                error = refusal(reply, self.place, key)
                if not lenient or isinstance(error, StoreUnavailableError):
                    raise error from reply

    async def ask_each(self, command: Command) -> list[Any]:
        """Return what each server answers to a reading command without a key.

        One of them, or of a cluster all masters.  Errors stand among the replies.

        Raises:
            StoreError: One of them cannot be reached.
        """
        if self.wiring.topology.clustered:
            return await ask_everywhere(self, command)
        return await self._ask_twice([command])

    @property
    def spanning(self) -> bool:
        """Whether one server has all shards."""
        return not self.wiring.topology.clustered

    @property
    def publish(self) -> str:
        """Return the command that sends a signal."""
        return "SPUBLISH" if self.wiring.topology.sharded else "PUBLISH"

    async def _ask_twice(self, commands: Sequence[Command]) -> list[Any]:
        begun = self.clock.monotonic()
        try:
            return await self._ask(commands)
        except LostError:
            if self.clock.monotonic() - begun > QUICK:
                raise  # it hangs rather than being closed
            return await self._ask(commands)

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        async with self.reads.take() as lane:
            return await self.timed(lane, commands)

    def texts(self, key: str, values: Iterable[bytes]) -> list[str]:
        """Return the members of a key as text; garbage is reported, left out."""
        found: list[str] = []
        for value in values:
            try:
                found.append(value.decode())
            except UnicodeDecodeError:
                self.unreadable(key, f"has the member {value[:40]!r}, no text")
        return found

    async def watch(
        self, lane: Lane, keys: Sequence[str | bytes], *reads: Command
    ) -> list[Any]:
        """Watch keys, read, and open the transaction that is to follow.

        MULTI is sent here and not with the writes: a server that refuses it
        would carry these out one by one.  From here on the lane takes nothing
        but :meth:`Lane.commit`; whatever else is to be read goes over others.
        A transaction that is left open is given up by the next one.

        Args:
            lane: Of the server that has the keys.
            keys: To be watched.
            reads: What is read in the same packet, watched already.

        Returns:
            The replies to what is read.

        Raises:
            LostError: Nothing was written.
            StoreError: The server refuses one of these commands.
        """
        commands: list[Command] = [("DISCARD",)] if lane.opened else []
        commands += (("WATCH", *keys), *reads, ("MULTI",))
        lane.opened = True
        replies = await self.timed(lane, commands)
        if any(isinstance(reply, ResponseError) for reply in replies):
            await lane.drop()
            self.refuse(commands, replies)
        return replies[-1 - len(reads) : -1]

    async def timed(self, lane: Lane, commands: Sequence[Command]) -> list[Any]:
        """Do an exchange, and learn the time from it if it asks for it."""
        sent = self.clock.monotonic()
        replies = await lane.exchange(commands)
        received = self.clock.monotonic()
        for command, reply in zip(commands, replies, strict=True):
            if command[0] == "TIME" and isinstance(reply, list):
                self._keeper(lane.node).sample(sent, received, instant_of(reply))
        return replies

    def _keeper(self, node: Node | None) -> Timekeeper:
        """Return who follows the clock of a server."""
        topology = self.wiring.topology
        if node is None or not isinstance(topology, Cluster):
            return self.time
        if node == topology.expect(self.home):
            return self.time
        keeper = self._times.get(node)
        if keeper is None:
            keeper = self._times[node] = Timekeeper()
        return keeper

    def estimate(self) -> int:
        """Return the store's instant without asking.

        Of several masters the one that is behind: whoever is woken by this
        finds that it is due, whichever it asks.
        """
        monotonic = self.clock.monotonic()
        instant = self.time.estimate(monotonic)
        if not self._times:
            return instant
        topology = self.wiring.topology
        if isinstance(topology, Cluster):
            home, masters = topology.expect(self.home), topology.masters
            for node, keeper in self._times.items():
                if node in masters and node != home:
                    instant = min(instant, keeper.estimate(monotonic))
        return instant

    def estimate_home(self) -> int:
        """Return the instant of the server that has what peers say of themselves."""
        return self.time.estimate(self.clock.monotonic())

    async def close(self) -> None:
        """Close all lanes."""
        await self.transactions.close()
        await self.reads.close()
