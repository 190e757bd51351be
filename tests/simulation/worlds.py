"""A small cluster in virtual time for the tests of the world, without a judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from aiosched import Context, IntervalTrigger, Job, Scheduler
from aiosched.ids import ids_from
from aiosched.testing import VirtualLoop
from aiosched.testing.simulation.commits import Commit, Loss
from aiosched.testing.simulation.incidents import Incident, parse_incidents
from aiosched.testing.simulation.world import StoreKind, World

__all__ = ["Ran", "Small", "cluster", "in_world"]

LEASE = 6.0
TERMS = {"shards": 16, "beat": 2, "lease": LEASE, "member_timeout": 6}


@dataclass(frozen=True, slots=True)
class Ran:
    """One run, as its executor saw it begin."""

    at: float
    node: str
    job: str
    fence: int
    attempt: int


@dataclass
class Small:
    """Three peers that run ``jobs`` jobs, each of which takes ``seconds``."""

    world: World
    jobs: int = 15
    every: float = 3.0
    seconds: float = 0.2
    runs: list[Ran] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    boots: list[tuple[float, str, int]] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    told: list[tuple[float, str, str]] = field(default_factory=list)
    peers: dict[str, Scheduler] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Make a node that runs everything."""

        async def boot(revision: int) -> None:
            self.boots.append((self.world.loop.time(), name, revision))
            number = self.world.nodes[name].incarnation
            with ids_from(self.world.ids("jobs", name, number)):
                scheduler = Scheduler(
                    self.world.store_for(name),
                    name=name,
                    ids=self.world.ids("peer", name, number),
                    terms=TERMS,
                    revision=revision,
                )
                self.peers[name] = scheduler
                scheduler.register(self._work(name), name="work")
                for event in ("data_lost", "fenced", "run_lost", "store_down"):
                    scheduler.on(event, lambda told: self._tell(name, told.name))
                for number in range(self.jobs):
                    trigger = IntervalTrigger(seconds=self.every + number % 3)
                    job = Job(executor="work", id=f"job-{number}", trigger=trigger)
                    scheduler.declare(job)
                await scheduler.start()

        async def halt() -> None:
            await self.peers[name].shutdown(grace=5)

        self.world.add_node(name, boot, halt)

    def _tell(self, name: str, event: str) -> None:
        self.told.append((self.world.loop.time(), name, event))

    def _work(self, name: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def work(context: Context) -> None:
            now = self.world.loop.time()
            self.runs.append(
                Ran(now, name, context.job_id, context.fence, context.attempt)
            )
            await self.world.reach("mid_run")
            await asyncio.sleep(self.seconds)
            self.ended.append(context.fence)

        return work

    def claims(self) -> list[Commit]:
        """Return the commits that began a run."""
        found = []
        for one in self.commits:
            before = () if one.before is None else one.before.state.runs
            after = () if one.after is None else one.after.state.runs
            if {run.fence for run in after} - {run.fence for run in before}:
                found.append(one)
        return found

    def between(self, begin: float, end: float, node: str | None = None) -> list[Ran]:
        """Return what began in that time, on one node or on all."""
        return [
            run
            for run in self.runs
            if begin <= run.at < end and (node is None or run.node == node)
        ]


def cluster(
    seed: int = 1,
    incidents: str = "",
    *,
    kind: StoreKind = "memory",
    until: float = 48.0,
    keep_trace: bool = False,
    **options: Any,
) -> Small:
    """Run three peers p0, p1, p2 with incidents, and tell what happened."""

    async def main(world: World) -> Small:
        small = Small(world, **options)
        world.commits.append(small.commits.extend)
        world.lost.append(small.losses.append)
        for name in ("p0", "p1", "p2"):
            small.add(name)
            world.boot(name)
        await world.run(until, parse_incidents(incidents))
        return small

    return in_world(main, seed, kind=kind, keep_trace=keep_trace)


def in_world(
    main: Callable[[World], Coroutine[Any, Any, Any]],
    seed: int = 1,
    *,
    kind: StoreKind = "memory",
    keep_trace: bool = False,
) -> Any:
    """Run a coroutine in a world of its own."""
    loop = VirtualLoop(seed=seed, deadline=10_000)

    async def whole() -> Any:
        world = World(seed, kind=kind, keep_trace=keep_trace)
        with ids_from(world.ids("caller")):
            try:
                return await main(world)
            finally:
                await world.end()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(whole())


def one(text: str) -> Incident:
    """Return the incident that a text spells."""
    (found,) = parse_incidents(text)
    return found
