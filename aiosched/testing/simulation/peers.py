"""The peers of a simulated cluster: schedulers that are born, crash, come back."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar, cast

from aiosched._engine.engine import Engine
from aiosched._engine.listener import SUBSCRIBED_RANKS
from aiosched.abc import Beat, Executor, JobStore, Pulse, Session, shard_of
from aiosched.errors import AioschedError
from aiosched.ids import ids_from
from aiosched.instants import SECOND
from aiosched.jobs import Job
from aiosched.records import Record
from aiosched.scheduler import Scheduler
from aiosched.testing.simulation.judge import Judge
from aiosched.testing.simulation.verdicts import ANSWERED
from aiosched.testing.simulation.world import NAMESPACE, World

__all__ = ["Peer", "PeerDownError", "Prepare", "register_all", "room"]

T = TypeVar("T")
Prepare = Callable[["Peer", Scheduler, int], None]
"""Readies a scheduler before it starts, as the program of its node does; given
the peer, the scheduler, and the revision of the code."""

TOLD = (
    *("data_lost", "service_failed", "callback_failed", "unreadable"),
    *("lapsed", "fenced"),
)


VERBS = frozenset(
    ("schedule", "fire_job", "start_job", "pause", "resume", "stop_job", "remove_job")
)
"""What is answered by what stands in the store afterwards."""


class PeerDownError(AioschedError):
    """The peer that was asked is dead, or died before it had answered."""

    def __init__(self, name: str) -> None:
        """Name the peer."""
        super().__init__(f"the simulated peer {name} is down")
        self.name: str = name


class Peer:
    """One node of the cluster, and the scheduler that it runs.

    Attributes:
        name: Of the node.
        events: What its schedulers have told of losses and failures:
            (event, instant, incarnation).
        since: The instant at which its present scheduler had started; None: it
            has not.
    """

    def __init__(
        self,
        world: World,
        judge: Judge,
        name: str,
        options: Mapping[str, Any],
        prepare: Prepare,
    ) -> None:
        """Make a node of the world; it is not up yet."""
        self.name = name
        self.world = world
        self.judge = judge
        self.options = options
        self.prepare = prepare
        self.events: list[tuple[str, int, int]] = []
        self.since: int | None = None
        self.declared: tuple[str, ...] = ()
        self._scheduler: Scheduler | None = None
        self._death: asyncio.Future[None] | None = None
        self._ids = world.ids("jobs", name)
        world.add_node(name, self._boot, self._halt)
        world.crashes.append(self._crashed)

    @property
    def up(self) -> bool:
        """Whether its scheduler has started and its node lives."""
        return self.since is not None

    @property
    def scheduler(self) -> Scheduler:
        """Its scheduler, each of whose calls is made on the node.

        A call on a peer that is down, or that dies meanwhile, raises
        :class:`PeerDownError`.  After a crash it is another scheduler.
        """
        return cast("Scheduler", _Facade(self))

    @property
    def closed(self) -> bool:
        """Whether its scheduler was shut down while the node lives."""
        return self._scheduler is not None and self._scheduler._closed

    def running(self) -> Scheduler:
        """Return the scheduler itself.

        Raises:
            PeerDownError: It is not up.
        """
        if self._scheduler is None or self.since is None:
            raise PeerDownError(self.name)
        return self._scheduler

    async def call(
        self, method: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> T:
        """Await a coroutine function on the node.

        Raises:
            PeerDownError: The node is down, or dies before there is an answer.
        """
        death = self._death
        if death is None or self.world.nodes[self.name].down:
            raise PeerDownError(self.name)
        task = self.world.loop.spawn(self.name, method(*args, **kwargs))
        try:
            both: list[asyncio.Future[Any]] = [task, death]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            raise PeerDownError(self.name)
        return task.result()

    def inside(self, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function as the node's own code would.

        Raises:
            PeerDownError: The node is down.
        """
        if self.world.nodes[self.name].down:
            raise PeerDownError(self.name)
        context = self.world.loop.node_context(self.name)
        return context.run(functools.partial(method, *args, **kwargs))

    # -- life -----------------------------------------------------------------------

    async def _boot(self, revision: int) -> None:
        incarnation = self.world.nodes[self.name].incarnation
        with ids_from(self._ids):
            scheduler = Scheduler(
                self._overheard(self.world.store_for(self.name)),
                namespace=NAMESPACE,
                name=self.name,
                ids=self.world.ids("peer", self.name, incarnation),
                revision=revision,
                **self.options,
            )
            self.judge.peer(self.name, scheduler.id)
            for name in TOLD:
                scheduler.on(name, functools.partial(self._told, incarnation))
            self.prepare(self, scheduler, revision)
            self._death = self.world.loop.create_future()
            self._scheduler = scheduler
            await scheduler.start()
            self.since = self.world.now()

    def _overheard(self, store: JobStore) -> JobStore:
        """Let the judge hear of each beat that is answered."""
        opening = store.open

        async def opened(*args: Any, **kwargs: Any) -> Session:
            session = await opening(*args, **kwargs)
            beating = session.beat

            async def beat(one: Beat) -> Pulse:
                sent = self.world.loop.time()
                pulse = await beating(one)
                if one.member is not None:
                    self.judge.conduct.beaten(self.name, sent)
                return pulse

            session.beat = beat  # type: ignore[method-assign,assignment]
            return session

        store.open = opened  # type: ignore[method-assign]
        return store

    def _told(self, incarnation: int, event: Any) -> None:
        self.events.append((event.name, self.world.now(), incarnation))
        if event.name == "fenced":
            self.world.counts["fenced settles"] += 1

    async def _halt(self) -> None:
        scheduler, self.since = self._scheduler, None
        if scheduler is not None:
            self.judge.conduct.left(self.name)
            await scheduler.shutdown(grace=5)

    def _crashed(self, name: str) -> None:
        if name != self.name:
            return
        self.since = None
        if self._death is not None and not self._death.done():
            self._death.set_result(None)


class _Facade:
    """A scheduler as others than its own node's code may use it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._peer.running(), name)
        if not callable(attribute):
            return attribute
        if not inspect.iscoroutinefunction(attribute):
            return functools.partial(self._peer.inside, attribute)
        if name in VERBS:
            return functools.partial(_asked, self._peer, name, attribute)
        return functools.partial(self._peer.call, attribute)


async def _asked(
    peer: Peer,
    verb: str,
    method: Callable[..., Coroutine[Any, Any, Any]],
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call a verb on the node, and have the judge compare what it answers."""
    judge = peer.judge
    about = next(iter((*args, *kwargs.values())), None)
    job_id = about.id if isinstance(about, Job) else str(about)
    called, known = peer.world.now(), judge.past.records.get(job_id)
    answer = await peer.call(method, *args, **kwargs)
    problem = judge.answers(verb, job_id, answer, called, known)
    if problem is not None:
        judge.violate(ANSWERED, job_id, f"{verb} by {peer.name}: {problem}")
    return answer


def register_all(scheduler: Scheduler, executors: Iterable[object]) -> None:
    """Register executors; a text is the name of one that succeeds at once."""
    for one in executors:
        if isinstance(one, str):
            scheduler.register(_stand_in(one), name=one)
        else:
            scheduler.register(one)


def _stand_in(name: str) -> type[Executor]:
    """Return an executor that takes whatever it is given, and succeeds."""

    async def run(self: object, context: object, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    return type(name, (Executor,), {"run": run})


def _hears(engine: Engine, record: Record, now: int) -> bool:
    """Tell whether a peer knows by now how a job stands.

    Those that are far back in the order do not listen: they read with each beat.
    """
    shard = shard_of(record.definition.id, engine.session.terms.shards)
    rank = engine.heads.rank((shard, record.definition.spec.queue))
    membership = engine.membership
    if rank is None or rank <= SUBSCRIBED_RANKS or membership.mixed:
        return True
    ago = engine.clock.monotonic() - membership.beat_at
    return record.state.seq <= now - round(min(ago * SECOND, now))


def room(peers: Iterable[Peer], record: Record, now: int, *, able: bool) -> int | None:
    """Return the instant since which one of some peers has had room for a job.

    One that is full looks when a place becomes free.

    Args:
        peers: Of whom those count that are up and serve the job's queue.
        record: The job's.
        now: The present instant.
        able: Only those that have its executor.

    Returns:
        None: nobody has room just now.
    """
    spec = record.definition.spec
    found: list[int] = []
    for peer in peers:
        if not peer.up:
            continue
        scheduler = peer.running()
        engine = scheduler._engine
        if (
            engine is not None
            and scheduler.run_jobs
            and (scheduler.queues is None or spec.queue in scheduler.queues)
            and engine.attender.free() > 0
            and (not able or scheduler._resolve(spec.executor) is not None)
            and _hears(engine, record, now)
        ):
            free = engine.clock.monotonic() - engine.attender.free_since
            found.append(now - round(min(free * SECOND, now)))
    return min(found, default=None)
