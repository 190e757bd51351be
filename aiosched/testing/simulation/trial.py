"""One trial: a cluster with everything drawn from one seed, to its very end.

The cluster does its drawn work while incidents befall it; then all is let be
well again, and when enough time has passed the judge looks at what is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiosched import ids
from aiosched.errors import AioschedError
from aiosched.instants import SECOND
from aiosched.testing.loop import START, VirtualLoop
from aiosched.testing.nodes import NODE
from aiosched.testing.runner import run_virtual
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.closing import judge_peer, judge_told
from aiosched.testing.simulation.cluster import Cluster
from aiosched.testing.simulation.incidents import Incident
from aiosched.testing.simulation.judge import Violation
from aiosched.testing.simulation.peers import Peer, PeerDownError
from aiosched.testing.simulation.verdicts import ANSWERED, HEALTH, LOSS
from aiosched.testing.simulation.workers import Worker
from aiosched.testing.simulation.workload import Act, Workload, draw_workload
from aiosched.testing.simulation.world import StoreKind, World

__all__ = ["Trial", "run_trial"]

_PATIENCE = 30.0
"""Seconds that somebody waits for the answer to a verb."""

_LONGEST = 20_000.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a trial.

    Attributes:
        incidents: What was to befall the cluster.
        violations: What the judge found; empty: every invariant held.
        counts: What has happened, by name.
        digest: Of the trace; equal for equal trials.
        lines: The trace, if it was to be kept.
    """

    seed: int
    kind: StoreKind
    incidents: tuple[Incident, ...]
    violations: tuple[Violation, ...]
    counts: Counter[str]
    digest: str
    seconds: float
    lines: tuple[str, ...] = ()


def run_trial(
    seed: int,
    *,
    kind: StoreKind = "memory",
    incidents: Iterable[Incident] | None = None,
    commits: int = 1_000,
    keep_trace: bool = False,
    workload: Workload | None = None,
) -> Trial:
    """Run one trial in virtual time.

    Args:
        seed: Decides everything.
        kind: Over which store.
        incidents: What befalls the cluster; None: drawn from the seed.
        commits: About how many transactions of records there are to be.
        keep_trace: Keep the lines of the trace.
        workload: What it has to do; None: drawn from the seed.

    Raises:
        Stuck: The cluster waits for something that cannot come.
    """
    work = draw_workload(seed, START, commits=commits) if workload is None else workload
    chosen = _drawn(seed, work) if incidents is None else tuple(incidents)
    trial = _Run(seed, kind, work, chosen, keep_trace=keep_trace)
    with _listening(trial.heard):
        return run_virtual(trial.whole, seed=seed, timeout_virtual=_LONGEST)


def _drawn(seed: int, work: Workload) -> tuple[Incident, ...]:
    from aiosched.testing.simulation.plans import plan

    names = [peer.name for peer in work.peers]
    return plan(seed, names, work.seconds, lease=work.terms["lease"])


@contextmanager
def _listening(heard: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Let the judge hear what is logged as an error, and nobody else."""
    handler = logging.Handler(logging.ERROR)
    handler.emit = heard  # type: ignore[assignment,method-assign]
    watched = [logging.getLogger("aiosched"), logging.getLogger("asyncio")]
    before = [(one.propagate, one.level) for one in watched]
    silenced = logging.root.manager.disable
    logging.disable(logging.WARNING)
    for one in watched:
        one.addHandler(handler)
        one.propagate = False
        one.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(silenced)
        for one, (propagate, level) in zip(watched, before, strict=True):
            one.removeHandler(handler)
            one.propagate = propagate
            one.setLevel(level)


class _Run:
    """One trial while it goes on."""

    def __init__(
        self,
        seed: int,
        kind: StoreKind,
        work: Workload,
        incidents: Sequence[Incident],
        *,
        keep_trace: bool,
    ) -> None:
        self.seed = seed
        self.kind: StoreKind = kind
        self.work = work
        self.incidents = tuple(incidents)
        self.keep_trace = keep_trace
        self.logged: list[str] = []
        self.lossy = any(one.losing for one in incidents)
        self.acting: set[asyncio.Task[None]] = set()
        self.healing = False
        self.cluster: Any = None

    def heard(self, record: logging.LogRecord) -> None:
        """Note an error that was logged."""
        action = getattr(record, "action", "")
        expected = action in _EXPECTED or (action == "data_lost" and self.lossy)
        if not expected:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += f" ({record.exc_info[1]!r})"
            self.logged.append(text)

    async def whole(self) -> Trial:
        """Begin, work, heal, and be judged."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.thread_delay = 0.0
        world = World(self.seed, kind=self.kind, keep_trace=self.keep_trace)
        cluster = self.cluster = Cluster(
            world, self.work.terms, incidents=self.incidents
        )
        with ids.ids_from(world.ids("caller")):
            try:
                await self._begin(cluster)
                world.prepare(self.incidents)
                begun = world.now()
                await self._act(cluster)
                calm = cluster.judge.calm(begun, world.now())
                world.counts["virtual ms at work"] += (world.now() - begun) // 1_000
                world.counts["of these calm"] += calm // 1_000
                await self._heal(cluster)
                await self._judge(cluster)
                await self._end(cluster)
            finally:
                await world.end()
        return Trial(
            self.seed,
            self.kind,
            self.incidents,
            tuple(cluster.judge.violations),
            cluster.judge.counts | world.counts,
            world.digest,
            loop.time(),
            tuple(world.lines or ()),
        )

    def blocks(self, node: str, seconds: float) -> None:
        """Note that user code holds a node's loop for so long."""
        cluster: Cluster = self.cluster
        world = cluster.world
        now = world.now()
        end = now + round(seconds * SECOND)
        # Nobody is well meanwhile, so the judge does not look before it is over.
        world.calm_at = max(world.calm_at, world.loop.time() + seconds)
        cluster.judge.trouble(now, end + cluster.recovery_from("block", seconds))
        cluster.judge.absences.away(node, now, end)
        cluster.judge.conduct.hindered(node, seconds)

    # -- beginning ----------------------------------------------------------------

    async def _begin(self, cluster: Cluster) -> None:
        cluster.judge.conduct.witnessed = True
        for plan in self.work.peers:
            cluster.add(
                plan.name,
                Worker(self, plan.executors).prepare,
                max_concurrency=plan.places,
                queues=plan.queues,
            )
        cluster.add("client", Worker(self, ()).prepare, run_jobs=False)
        await cluster.up(*cluster.peers)
        await cluster.peer("client").scheduler.schedule_many(
            self.work.jobs, allow_unknown=True
        )

    # -- people -------------------------------------------------------------------

    async def _act(self, cluster: Cluster) -> None:
        loop, counts = cluster.world.loop, cluster.world.counts
        for act in self.work.acts:
            await CLOCK.sleep(max(0.0, act.at - loop.time()))
            if counts["commits"] >= self.work.commits:
                return
            task = loop.create_task(self._one(cluster, act), name=f"act {act.verb}")
            self.acting.add(task)
            task.add_done_callback(self.acting.discard)
        await CLOCK.sleep(max(0.0, self.work.seconds - loop.time()))

    async def _one(self, cluster: Cluster, act: Act) -> None:
        world, judge = cluster.world, cluster.judge
        called = world.now()
        known = judge.past.records.get(act.job_id)
        listeners = judge.listeners(act.job_id)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await _use(cluster.peer(act.who), act)
        except TimeoutError:
            world.counts["verbs unanswered"] += 1
            return
        except PeerDownError:
            world.counts["verbs of the dead"] += 1
            return
        except AioschedError as error:
            world.counts[f"verbs refused {type(error).__name__}"] += 1
            return
        world.counts["verbs answered"] += 1
        if act.verb == "fire_job":
            judge.reached(act.job_id, listeners, answer, called)
        problem = judge.answers(act.verb, act.job_id, answer, called, known)
        if problem is not None:
            judge.violate(ANSWERED, act.job_id, f"{act.verb} by {act.who}: {problem}")

    # -- the end --------------------------------------------------------------------

    async def _heal(self, cluster: Cluster) -> None:
        """Wait until nothing is wrong any more, and a while longer."""
        world = cluster.world
        world.calm()
        self.healing = True
        await world.calmed()
        down = [n for n in sorted(world.nodes) if world.nodes[n].gone]
        up = [p for p in self.work.peers if p.name not in down]
        back = down if len(up) < 2 else [n for n in down if n == "client"]
        for name in back:
            world.nodes[name].gone = False
            world.boot(name)
        await CLOCK.sleep(cluster.recovery / SECOND + 10)

    async def _judge(self, cluster: Cluster) -> None:
        world, judge = cluster.world, cluster.judge
        if self.acting:
            await asyncio.wait(self.acting)
        read = world.now()
        records, rows = await cluster.stored()
        living = [p for p in cluster.peers.values() if p.up]
        judge.finish(records, rows, len(living), read)
        for name, node in sorted(world.nodes.items()):
            if not node.gone:
                judge_peer(cluster, name)
        self._losses(cluster)

    def _losses(self, cluster: Cluster) -> None:
        """Judge whether peers have told of losses, and put back what is declared."""
        judge = cluster.judge
        judge_told(cluster)
        if not cluster.losses:
            return
        newest = max(node.revision for node in cluster.world.nodes.values())
        for job in self.work.declared[min(newest, len(self.work.declared) - 1)]:
            if job.id not in judge.past.records and any(
                p.up and p.declared and job.id in p.declared
                for p in cluster.peers.values()
            ):
                judge.violate(LOSS, job.id, "it is declared, and was not put back")

    async def _end(self, cluster: Cluster) -> None:
        """Shut everything down politely; nothing may be left."""
        world, judge = cluster.world, cluster.judge
        for name in sorted(world.nodes):
            node = world.nodes[name]
            if node.down or node.halt is None:
                continue
            task = world.loop.spawn(name, node.halt())
            await asyncio.wait([task], timeout=120)
            if not task.done():
                judge.violate(HEALTH, "", f"the shutdown of {name} does not end")
            elif task.exception() is not None:
                judge.violate(
                    HEALTH, "", f"the shutdown of {name}: {task.exception()!r}"
                )
        await CLOCK.sleep(10)
        for task in sorted(asyncio.all_tasks(), key=hash):
            context = getattr(task, "context", None)
            owner = None if context is None else context.get(NODE)
            if owner is not None and not task.done():
                judge.violate(HEALTH, "", f"{task.get_name()} of {owner} is left")
        for peer in cluster.peers.values():
            for name, _, _ in peer.events:
                if name in ("service_failed", "callback_failed", "unreadable"):
                    judge.violate(HEALTH, "", f"{peer.name} tells of {name}")
        for text in dict.fromkeys(self.logged):
            judge.violate(HEALTH, "", f"logged: {text}")


_EXPECTED = frozenset({"unresolvable", "unclaimable"})


async def _use(peer: Peer, act: Act) -> Any:
    scheduler = peer.scheduler
    if act.verb == "schedule":
        return await scheduler.schedule(act.job, allow_unknown=True, **act.options)  # type: ignore[arg-type]
    method: Callable[..., Coroutine[Any, Any, Any]] = getattr(scheduler, act.verb)
    return await method(act.job_id, **act.options)
