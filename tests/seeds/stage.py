"""Peers on one store in real time, and what their executors have done.

Every peer has three executors: ``note`` returns its ``value`` at once, ``hold``
goes on until the stage's gate is opened (or it is cancelled), ``fail`` raises.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from aiosched import Context, Job, JobStore, Reason, Scheduler
from tests.waiting import wait_until

__all__ = ["FAST", "Ran", "Stage", "overhear"]

FAST: dict[str, Any] = {
    "lease": 2.0,
    "terms": {"beat": 0.3, "member_timeout": 2.0, "shards": 4},
}


@dataclass(eq=False)
class Ran:
    """One run, as its executor saw it."""

    peer: str
    job: str
    key: str
    attempt: int
    fence: int
    payload: Any
    ended: bool = False
    reason: Reason = Reason.NONE


class Stage:
    """Peers on one store in one process; all are shut down at the end."""

    def __init__(self, store: JobStore | str, *, namespace: str = "seeds") -> None:
        self.store = store
        self.namespace = namespace
        self.ran: list[Ran] = []
        self.peers: list[Scheduler] = []
        self._gate: asyncio.Event | None = None
        self._numbers = itertools.count()

    @property
    def url(self) -> str:
        """The server's URL; empty in memory."""
        return self.store if isinstance(self.store, str) else ""

    @property
    def gate(self) -> asyncio.Event:
        """What ``hold`` waits for."""
        if self._gate is None:
            self._gate = asyncio.Event()
        return self._gate

    def build(self, name: str | None = None, **options: Any) -> Scheduler:
        """Build a peer with the three executors, without starting it."""
        name = name or f"p{next(self._numbers)}"
        chosen = {"namespace": self.namespace, **FAST, **options}
        scheduler = Scheduler(chosen.pop("store", self.store), name=name, **chosen)
        for executor in (self._note, self._hold, self._fail):
            scheduler.register(executor(name), name=executor.__name__[1:])
        self.peers.append(scheduler)
        return scheduler

    async def peer(self, name: str | None = None, **options: Any) -> Scheduler:
        """Build a peer and start it."""
        scheduler = self.build(name, **options)
        await scheduler.start()
        return scheduler

    async def two(self) -> tuple[Scheduler, Scheduler]:
        """Start a client that runs nothing, and a peer that runs everything."""
        return await self.peer("client", run_jobs=False), await self.peer("worker")

    def of(self, job: Job | str) -> list[Ran]:
        """Return the runs of a job so far."""
        name = job if isinstance(job, str) else job.id
        return [ran for ran in self.ran if ran.job == name]

    async def begun(self, job: Job | str, count: int = 1) -> list[Ran]:
        """Wait until a job has begun to run so often."""
        await wait_until(lambda: len(self.of(job)) >= count, f"{count} runs of {job}")
        return self.of(job)

    def _enter(self, peer: str, context: Context) -> Ran:
        ran = Ran(
            peer,
            context.job_id,
            context.run_id.split("/")[1],
            context.attempt,
            context.fence,
            context.payload,
        )
        self.ran.append(ran)
        return ran

    def _note(self, peer: str) -> Any:
        async def note(context: Context, value: Any = None) -> Any:
            self._enter(peer, context).ended = True
            return value

        return note

    def _hold(self, peer: str) -> Any:
        async def hold(context: Context, partial: Any = None) -> Any:
            ran = self._enter(peer, context)
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                if partial is None:
                    raise
                return partial
            finally:
                ran.ended, ran.reason = True, context.cancel_reason
            return "held"

        return hold

    def _fail(self, peer: str) -> Any:
        async def fail(context: Context) -> None:
            self._enter(peer, context).ended = True
            raise LookupError(f"attempt {context.attempt}")

        return fail

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(peer.shutdown(force=True) for peer in self.peers))


@asynccontextmanager
async def overhear(url: str) -> AsyncIterator[Overheard]:
    """Listen to every message on a server."""
    async with Redis.from_url(url) as server, server.pubsub() as ear:
        await ear.psubscribe("*")
        yield Overheard(server, ear)


class Overheard:
    """What was published on a server, as (channel, data)."""

    def __init__(self, server: Redis, ear: PubSub) -> None:
        self.server = server
        self._ear = ear
        self.messages: list[tuple[str, str]] = []

    async def catch_up(self) -> None:
        """Read what has been published until now."""
        mark = "the end of what was overheard"
        await self.server.publish("mark", mark)
        async with asyncio.timeout(10):
            while True:
                message = await self._ear.get_message(timeout=1)
                if message is None or message["type"] != "pmessage":
                    continue
                text = message["data"].decode()
                if text == mark:
                    return
                self.messages.append((message["channel"].decode(), text))
