"""What runs do at the peers of a trial: whatever user code does, at its worst."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiosched.context import Context
from aiosched.errors import CancelJob
from aiosched.instants import SECOND
from aiosched.scheduler import Scheduler
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.peers import Peer
from aiosched.testing.simulation.workload import Workload

__all__ = ["Worker", "Workplace"]


class Workplace(Protocol):
    """What runs need to know of their trial."""

    seed: int
    work: Workload
    healing: bool

    def blocks(self, node: str, seconds: float) -> None:
        """Note that user code holds a node's loop for so long."""
        ...


class Worker:
    """Registers the executors of a trial, and sees to what they do."""

    def __init__(self, run: Workplace, executors: Sequence[str]) -> None:
        """Have these executors at a peer of that trial."""
        self.run = run
        self.names = executors

    def prepare(self, peer: Peer, scheduler: Scheduler, revision: int) -> None:
        """Ready a scheduler as the code of that revision does."""
        for name in self.names:
            made = (
                _threaded(self.run, peer) if name == "thread" else _work(self.run, peer)
            )
            scheduler.register(made, name=name)
        if not self.names:
            return
        declared = self.run.work.declared
        chosen = [
            job
            for job in declared[min(revision, len(declared) - 1)]
            if job.executor in self.names  # a start refuses what nobody has yet
        ]
        for job in chosen:
            scheduler.declare(job)
        peer.declared = tuple(job.id for job in chosen)


def _key(context: Context) -> str:
    return context.run_id.rsplit("/", 2)[1]


def _work(run: Workplace, peer: Peer) -> Callable[..., Coroutine[Any, Any, Any]]:
    judge, world = peer.judge, peer.world

    async def work(
        context: Context,
        seconds: float = 0.0,
        mood: str = "well",
        n: int = 0,  # noqa: ARG001 - what a fire brings
        ballast: str = "",  # noqa: ARG001
    ) -> Any:
        key = _key(context)
        judge.started(
            peer.name,
            context.job_id,
            key,
            context.attempt,
            context.fence,
            lambda: context.cancelled,
        )
        by = "cancelled"
        try:
            await world.reach("mid_run")
            answer = await _do(run, peer, context, key, seconds, mood)
            by = "returned"
        except CancelJob:
            by = "finished"
            raise
        except Exception:
            by = "raised"
            raise
        else:
            return answer
        finally:
            judge.ended(peer.name, context.job_id, context.fence, by)

    return work


def _threaded(run: Workplace, peer: Peer) -> Callable[..., Any]:
    judge, loop = peer.judge, peer.world.loop

    def thread(
        context: Context,
        seconds: float = 0.0,
        mood: str = "well",
        n: int = 0,  # noqa: ARG001 - what a fire brings
        ballast: str = "",  # noqa: ARG001
    ) -> Any:
        key = _key(context)
        judge.started(peer.name, context.job_id, key, context.attempt, context.fence)
        by = "raised"
        try:
            chance = _chance(run.seed, context, key)
            loop.block(min(seconds, 3.0))
            if mood == "moody" and chance.random() < 0.3:
                raise ValueError("a bad mood")
            by = "returned"
        finally:
            judge.ended(peer.name, context.job_id, context.fence, by)

    return thread


def _chance(seed: int, context: Context, key: str) -> random.Random:
    name = f"{seed}/{context.job_id}/{key}/{context.attempt}"
    return random.Random(name)  # noqa: S311 - not for secrets


async def _do(
    run: Workplace, peer: Peer, context: Context, key: str, seconds: float, mood: str
) -> Any:
    """Do what a run of that mood does."""
    if mood == "well" or run.healing:
        if seconds:
            await CLOCK.sleep(seconds)
        return None
    chance = _chance(run.seed, context, key)
    lot = chance.random()
    await CLOCK.sleep(seconds * chance.uniform(0.5, 1.5))
    lease = peer.judge.terms.lease / SECOND
    if mood == "moody":
        if lot < 0.3:
            raise ValueError("a bad mood")
        if lot < 0.35:
            raise asyncio.CancelledError
        if lot < 0.45:
            await CLOCK.sleep(lease * 2.5)
    elif mood == "stubborn":
        try:
            await CLOCK.sleep(lease)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await CLOCK.sleep(lease)
            return "stubborn"
    elif mood == "blocking" and lot < 0.2 and not run.healing:
        held = lease * chance.uniform(0.1, 2.5)
        run.blocks(peer.name, held)
        peer.world.loop.stall(peer.name, held, threads=False)
        await CLOCK.sleep(0)
    elif mood == "last" and lot < 0.1:
        raise CancelJob("enough")
    return None
