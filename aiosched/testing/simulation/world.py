"""The world of a simulation: nodes, one store, incidents, and who looks on.

One seed decides everything.  All chance comes from **named streams**, so that
taking one incident away does not shift what is drawn for the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from typing import Any, Literal

from aiosched.abc import JobStore, Signal
from aiosched.clock import IdSource
from aiosched.errors import StoreError
from aiosched.testing.loop import VirtualLoop
from aiosched.testing.nodes import NODE, process_of
from aiosched.testing.simulation.chance import CLOCK, stream_of
from aiosched.testing.simulation.commits import Commit, Loss, count_commit
from aiosched.testing.simulation.conditions import Conditions
from aiosched.testing.simulation.deploys import POLITE, deployed
from aiosched.testing.simulation.incidents import Incident, Point
from aiosched.testing.simulation.parts import Node, Premises

__all__ = ["Commit", "Loss", "Node", "Premises", "StoreKind", "World", "stream_of"]

log: logging.Logger = logging.getLogger("aiosched.testing")

StoreKind = Literal["memory", "redis"]
NAMESPACE = "simulated"
_NOTHING: tuple[int | None, object] = (None, None)
_AGAIN = 1.0


class World:
    """Nodes on a virtual-time loop, over one store, with incidents.

    Attributes:
        commits: Called with each committed transaction, inside the store's
            turn: they must not raise and must not wait.
        spanning: Whether its store has transactions over several shards.
        told: Called with what one transaction committed, the signals that were
            sent with it, and whether all its changes are told to peers.
        lost: Called when the store has lost data.
        befell: Called with each incident that happens, and how many seconds it
            lasts.
        crashes: Called with the name of each node that has died.
        counts: What has happened, by name; see the explanation's table.
        struck: The incidents that have happened so far.
        calm_at: Virtual second at which the last of them had ended.
        failures: What ended a node's ``boot`` that was not the store's fault.
        lines: The trace, if it is kept.
    """

    def __init__(
        self,
        seed: int,
        *,
        kind: StoreKind = "memory",
        loop: VirtualLoop | None = None,
        latency: float = 0.005,
        keep_trace: bool = False,
    ) -> None:
        """Make a world without nodes.

        Args:
            seed: Decides everything.
            kind: Over which store.
            loop: None: the running one, which must be a virtual one.
            latency: Longest way of one message between a node and the store, in
                seconds.
            keep_trace: Keep the lines of the trace, which costs memory.
        """
        running = asyncio.get_running_loop() if loop is None else loop
        if not isinstance(running, VirtualLoop):
            message = f"loop={running!r}: a world lives on a VirtualLoop"
            raise TypeError(message)
        self.seed = seed
        self.kind: StoreKind = kind
        self.loop = running
        self.nodes: dict[str, Node] = {}
        self.commits: list[Callable[[Sequence[Commit]], None]] = []
        self.told: list[Callable[[Sequence[Commit], Sequence[Signal], bool], None]] = []
        self.lost: list[Callable[[Loss], None]] = []
        self.befell: list[Callable[[Incident, float], None]] = []
        self.crashes: list[Callable[[str], None]] = []
        self.counts: Counter[str] = Counter()
        self.struck: list[Incident] = []
        self.calm_at: float = 0.0
        self._calmed = False
        self.failures: list[BaseException] = []
        self.lines: list[str] | None = [] if keep_trace else None
        self._hash = hashlib.sha256()
        self._streams: dict[str, random.Random] = {}
        self._passed: Counter[tuple[str, Point]] = Counter()
        self._awaited: dict[tuple[str, Point, int], Incident] = {}
        self._kept: dict[Incident, tuple[int | None, object]] = {}
        self._drifted = (0.0, 0.0, 0.0)  # loop second, seconds ahead then, rate
        self._hands: set[asyncio.Task[None]] = set()
        # Of both kinds there are stores in the world: one server, and a cluster.
        self.spanning: bool = self.stream("spanning").random() < 0.5
        self.conditions: Conditions = Conditions(self.loop, self.stream, latency)
        self.premises: Premises = self._build()

    def _build(self) -> Premises:
        # The doors import the world; it need not know them before it has one.
        if self.kind == "memory":
            from aiosched.testing.simulation.latent import MemoryPremises

            return MemoryPremises(self)
        from aiosched.testing.simulation.served import RedisPremises

        return RedisPremises(self)

    # -- chance -------------------------------------------------------------------

    def stream(self, *names: object) -> random.Random:
        """Return the stream of that name; the same one whenever it is asked for."""
        name = "/".join(map(str, names))
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = stream_of(self.seed, name)
        return found

    def ids(self, *names: object) -> IdSource:
        """Return a source of ids that draws from a named stream."""
        source = self.stream("ids", *names)
        return lambda: f"{source.getrandbits(64):016x}"

    # -- time ---------------------------------------------------------------------

    def now(self) -> int:
        """Return the store's instant, which may drift from the nodes' clocks."""
        return self.loop.wall_at(self.store_second())

    def store_second(self) -> float:
        """Return the seconds since the beginning, by the store's clock."""
        second = self.loop.time()
        since, ahead, rate = self._drifted
        return second + ahead + (second - since) * rate if rate or ahead else second

    def _drift(self, rate: float) -> None:
        ahead = self.store_second() - self.loop.time()
        self._drifted = (self.loop.time(), ahead, rate)

    # -- nodes --------------------------------------------------------------------

    def add_node(
        self,
        name: str,
        boot: Callable[[int], Coroutine[Any, Any, object]],
        halt: Callable[[], Coroutine[Any, Any, object]] | None = None,
        *,
        revision: int = 0,
    ) -> Node:
        """Make a node known; :meth:`boot` brings it up.

        Raises:
            ValueError: There is one of that name, or it is no name.
        """
        if name in self.nodes or not name or set(name) & set("/:;#"):
            message = f"name={name!r}: another node has it, or it is no name"
            raise ValueError(message)
        node = self.nodes[name] = Node(name, boot, halt, revision=revision)
        return node

    def boot(self, name: str) -> asyncio.Task[None]:
        """Bring a node up; the task ends when its ``boot`` has returned.

        A node whose boot fails because of the store tries again each second,
        as whoever watches over processes would have it.
        """
        node = self.nodes[name]
        if node.incarnation:
            self.loop.restart(name)
        node.incarnation += 1
        node.down = False
        self.trace("boot", name, node.incarnation, node.revision)
        self.counts["boots"] += 1
        task = self.loop.spawn(name, self._live(node), name=f"boot {name}")
        task.add_done_callback(self._booted, context=Context())
        return task

    def _booted(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self.failures.append(error)

    async def _live(self, node: Node) -> None:
        while True:
            try:
                await node.boot(node.revision)
            except StoreError as error:
                self.trace("no boot", node.name, type(error).__name__)
                await CLOCK.sleep(_AGAIN)
            else:
                return

    def crash(self, name: str) -> None:
        """Kill a node, and what runs beside it; calling again does nothing."""
        node = self.nodes[name]
        if node.down:
            return
        node.down = True
        self.trace("crash", name)
        self.loop.crash(name)
        self.premises.crashed(name)
        for told in self.crashes:
            told(name)

    def store_for(self, node: str) -> JobStore:
        """Return a store object for that node, over the one store of the world.

        Without a node of that name, it is somebody's who never crashes.
        """
        return self.premises.store_for(node)

    # -- incidents ----------------------------------------------------------------

    def prepare(self, incidents: Iterable[Incident]) -> None:
        """Have incidents happen at their seconds and points, from now on."""
        for one in incidents:
            if one.point is not None:
                self._awaited[one.target, one.point, one.ordinal] = one
                continue
            if one.kind == "rollback":
                begins = max(one.begins, self.loop.time())
                self.loop.call_at(begins, self._keep, one, context=Context())
            self.loop.call_at(one.at, self._strike, one, context=Context())

    async def run(self, until: float, incidents: Iterable[Incident] = ()) -> None:
        """Let time pass up to a virtual second.

        Raises:
            BaseException: The first of :attr:`failures`.
        """
        self.prepare(incidents)
        await CLOCK.sleep(max(0.0, until - self.loop.time()))
        if self.failures:
            raise self.failures[0]

    def calm(self) -> None:
        """Let nothing more happen: incidents that are still to come are dropped."""
        self._awaited.clear()
        self._calmed = True

    async def calmed(self) -> None:
        """Wait until all that happens has ended, deploys included."""
        while True:
            if self._hands:
                await asyncio.wait(self._hands)
            left = self.calm_at - self.loop.time()
            if left <= 0 and not self._hands:
                return
            await CLOCK.sleep(max(left, 0.0) + 0.001)

    async def reach(self, point: Point) -> None:
        """Say that the running node's code has come by a point.

        If it was to die there, this does not return.
        """
        node = NODE.get()
        if node is not None and self.passes(process_of(node), point):
            self.counts["cut_nowhere"] += 1
        if node is not None and self.dead(node):
            await self.loop.create_future()

    def dead(self, node: str) -> bool:
        """Return whether a node's process is dead at present."""
        known = self.nodes.get(process_of(node))
        return known is not None and known.down

    def passes(self, node: str, point: Point) -> bool:
        """Count that a node comes by a point; return whether to cut it off there.

        A crash or stall that was to happen there has happened on return, and
        takes effect when the node's code next waits.
        """
        self._passed[node, point] += 1
        if not self._awaited:
            return False
        one = self._awaited.pop((node, point, self._passed[node, point]), None)
        if one is None:
            return False
        if one.kind in {"lose", "double", "delay", "cut"}:
            self._note(one, 0.0)
            return True
        self._strike(one)
        return False

    def signal_fate(self, node: str) -> tuple[int, float]:
        """Return how often the next signal for a node arrives, and how late."""
        node = process_of(node)
        self._passed[node, "signal"] += 1
        copies, late = self.conditions.fate(node)
        if self._awaited:
            ordinal = self._passed[node, "signal"]
            one = self._awaited.pop((node, "signal", ordinal), None)
            if one is not None:
                self._note(one, 0.0)
                copies = {"lose": 0, "double": 2}.get(one.kind, copies)
                late = 1.0 if one.kind == "delay" else late
        if copies != 1:
            self.counts["signals doubled" if copies else "signals lost"] += 1
        if late:
            self.counts["signals delayed"] += 1
        return copies, late

    def unknown(self, node: str, kind: str | None = None) -> None:
        """Count a transaction that was carried out and whose answer was lost."""
        why = kind or self.conditions.present(process_of(node))
        self.counts[f"unknown: {why}"] += 1
        self.trace("unknown", node, why)

    def _keep(self, one: Incident) -> None:
        self._kept[one] = (self.now(), self.premises.snapshot())

    def _note(self, one: Incident, seconds: float) -> None:
        self.struck.append(one)
        self.conditions.note(one, seconds)
        self.counts[f"incident {one.kind}"] += 1
        self.calm_at = max(self.calm_at, self.loop.time() + seconds)
        self.trace("incident", one)
        for told in self.befell:
            told(one, seconds)

    def _strike(self, one: Incident) -> None:
        if self._calmed:
            self.trace("spared", one)
            return
        handler = getattr(self, f"_do_{one.kind}", None)
        if handler is not None:
            handler(one)
            return
        self._note(one, one.seconds or 0.0)
        self.conditions.begin(one)
        if one.kind in {"refuse", "loading"}:
            self.premises.disconnect()

    def _do_crash(self, one: Incident) -> None:
        node = self.nodes.get(one.target)
        if node is None or node.down:
            self.trace("nobody", one)
            return
        self._note(one, one.seconds or 0.0)
        self.crash(one.target)
        if one.seconds is None:
            node.gone = True
        else:
            self.loop.call_later(
                one.seconds, self._return, node, node.incarnation, context=Context()
            )

    def _return(self, node: Node, incarnation: int) -> None:
        if node.down and node.incarnation == incarnation:
            self.boot(node.name)

    def _do_stall(self, one: Incident) -> None:
        self._stop(one, threads=True)

    def _do_block(self, one: Incident) -> None:
        self._stop(one, threads=False)

    def _stop(self, one: Incident, *, threads: bool) -> None:
        node = self.nodes.get(one.target)
        if node is None or node.down or one.seconds is None:
            self.trace("nobody", one)
            return
        self._note(one, one.seconds)
        self.loop.stall(one.target, one.seconds, threads=threads)

    def _do_skew(self, one: Incident) -> None:
        self._note(one, 0.0)
        self.loop.step_wall(one.amount or 0.0, node=one.target)

    def _do_drift(self, one: Incident) -> None:
        self._note(one, 0.0)
        self._drift(one.amount or 0.0)

    def _do_restart(self, one: Incident) -> None:
        seconds = one.seconds or 0.0
        self._note(one, seconds)
        self.conditions.begin(one)
        self.premises.disconnect()
        if one.losing:
            # It comes back without them: nobody can reach it meanwhile.
            self.loop.call_later(seconds, self._lose, one, context=Context())

    _do_rollback = _do_empty = _do_restart

    def _lose(self, one: Incident) -> None:
        since, kept = self._kept.pop(one, _NOTHING)
        records = self.premises.restore(kept)
        self.trace("lost", one.kind, len(records))
        loss = Loss(self.now(), since, records)
        for told in self.lost:
            told(loss)

    # -- rolling restarts ---------------------------------------------------------

    def _do_deploy(self, one: Incident) -> None:
        gap = one.seconds or 0.0
        names = sorted(self.nodes)
        calm_at = max(self.calm_at, self.loop.time())
        self._note(one, (gap + POLITE) * len(names))
        self.calm_at = calm_at  # the deploy itself is waited for
        task = self.loop.create_task(
            deployed(self, names, gap), name="deploy", context=Context()
        )
        self._hands.add(task)
        task.add_done_callback(self._hands.discard)

    # -- who looks on -------------------------------------------------------------

    def committed(self, changes: Sequence[Commit]) -> None:
        """Take note of a committed transaction; the store's premises call this."""
        counts = self.counts
        counts["commits"] += 1
        for one in changes:
            count_commit(one, self.counts)
            state = None if one.after is None else one.after.state
            self.trace(
                "commit",
                one.node,
                one.job_id,
                "gone" if state is None else state.seq,
                one.due,
                *[f"{row.kind.code}{row.fence}" for row in one.rows],
            )
        for told in self.commits:
            told(changes)

    def published(
        self, changes: Sequence[Commit], signals: Sequence[Signal], *, announced: bool
    ) -> None:
        """Take note of the signals of one transaction, which may be none."""
        for told in self.told:
            told(changes, signals, announced)

    def trace(self, kind: str, *words: object) -> None:
        """Add a line to the trace: what happened, at which virtual second."""
        line = f"{self.loop.time():.6f} {kind} {' '.join(map(str, words))}"
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        """Hash of the whole trace so far: equal for equal runs."""
        return self._hash.hexdigest()

    async def end(self) -> None:
        """Let go of everything, without a word to anybody."""
        self.calm()
        for task in tuple(self._hands):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for name in sorted(self.nodes):
            self.crash(name)
