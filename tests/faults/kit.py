"""A cluster under load: peers as processes, each behind a wire of its own.

The load has every kind of job; what its client was promised is written down,
and so is each fault, for the judge.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from aiosched import CronTrigger, IntervalTrigger, Job, Retry, Scheduler
from aiosched.errors import AioschedError
from tests.crash.kit import Fleet, Line, Peer, told
from tests.faults.judge import (
    AWAY,
    BLOCKED,
    EVERYBODY,
    Evidence,
    Incident,
    gathered,
    grid,
)
from tests.faults.peer import LOOK, STALL, Lag
from tests.faults.proxies import Pipe, Wire
from tests.servers import Server
from tests.waiting import wait_until

__all__ = ["Cluster", "Load", "cluster", "too_soon"]

PAYLOAD = "x" * 2_000


@dataclass
class Load:
    """Jobs of every kind, and a client that goes on firing and scheduling.

    Attributes:
        seconds: How long their slots go on.
        jobs: What has slots, by id.
        asked: (job id, key) of each fire that was acknowledged.
        once: One-time jobs of which the creation was acknowledged.
        refused: What the client was told instead, by the error's name.
    """

    seconds: float
    chance: random.Random
    rate: float = 6.0
    jobs: dict[str, Job] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    once: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    number: int = 0
    long: set[str] = field(default_factory=set)
    """Jobs of which each run takes the better part of a second."""

    KINDS: ClassVar[tuple[tuple[str, int, float, Any, Any], ...]] = (
        # executor, how many, seconds between slots, arguments, options
        ("tick", 8, 0.5, {"secs": 0.1}, {"overlap": "queue", "coalesce": "all"}),
        ("tick", 6, 0.5, {"secs": 0.2}, {"overlap": "skip"}),
        ("tick", 3, 0.5, {"secs": 0.9}, {"overlap": "allow", "max_running": 3}),
        ("tick", 2, 1.0, {"secs": 1.4}, {"overlap": "cancel_previous"}),
        ("tick", 3, 0.7, {"secs": 0.3}, {"on_lost": "record"}),
        ("tick", 2, 1.0, {"secs": 5.0}, {"timeout": 0.3}),
        ("in_thread", 3, 0.7, {"secs": 0.2}, {}),
        ("flaky", 3, 1.0, {}, {"retry": Retry(attempts=3, delay=0.1)}),
        ("heavy", 3, 1.0, {"data": PAYLOAD, "secs": 0.1}, {"overlap": "queue"}),
    )
    WORDS = 4

    def build(self) -> list[Job]:
        """Return the jobs, their first slots a moment ahead."""
        begin = datetime.now(UTC) + timedelta(seconds=1)
        end = begin + timedelta(seconds=self.seconds)
        found: list[Job] = []
        for kind, (executor, number, every, kwargs, options) in enumerate(self.KINDS):
            for index in range(number):
                start = begin + timedelta(seconds=every * index / number)
                trigger = IntervalTrigger(
                    milliseconds=round(every * 1000), start=start, end=end
                )
                found.append(
                    Job(
                        executor,
                        kwargs=kwargs,
                        trigger=trigger,
                        id=f"{executor}-{kind}-{index}",
                        **options,
                    )
                )
        cron = CronTrigger("* * * * * *", seconds="first", start=begin, end=end)
        found.append(Job("tick", kwargs={"secs": 0.1}, trigger=cron, id="cron"))
        self.jobs = {job.id: job for job in found}
        self.long = {
            job.id
            for job in found
            if job.kwargs.get("secs", 0) > 0.5 and not job.timeout
        }
        return found

    async def schedule(self, client: Scheduler) -> None:
        """Bring them into the store."""
        words = [
            Job("heavy", keyword=f"word-{n}", id=f"word-{n}", overlap="queue")
            for n in range(self.WORDS)
        ]
        await client.schedule_many([*words, *self.build()])

    async def go_on(self, client: Scheduler, until: float) -> None:
        """Fire and schedule until a monotonic second; write down what was promised."""
        while monotonic() < until:
            self.number += 1
            word = f"word-{self.number % self.WORDS}"
            job_id = f"once-{self.number}"
            try:
                if self.number % 2:
                    payload = {"data": PAYLOAD, "secs": self.chance.uniform(0, 0.2)}
                    for firing in await client.fire_job(word, payload):
                        self.asked.append((firing.job_id, firing.key))
                else:
                    secs = {"secs": self.chance.uniform(0, 1)}
                    once = Job("tick", kwargs=secs, id=job_id, keep=3600)
                    await client.schedule(once)
                    self.once.append(job_id)
            except AioschedError as error:
                # Whether it has happened is not known: it was not promised.
                self.refused[type(error).__name__] += 1
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) / self.rate)


class Link:
    """A peer, the wire to its server, and what it did not hear."""

    def __init__(self, peer: Peer, wire: Wire, *, doomed: bool = False) -> None:
        self.peer = peer
        self.wire = wire
        self.doomed = doomed
        self.deaf = False
        self.swallowed = 0
        wire.tamper = self._heard

    def _heard(self, pipe: Pipe, data: bytes) -> None:
        if self.deaf:
            self.swallowed += 1
        elif not (pipe.near.is_closing() or pipe.dead or self.wire.silent):
            pipe.near.write(data)


@dataclass
class Cluster:
    """Peers on one server, and everything that was done to them."""

    server: Server
    fleet: Fleet
    client: Scheduler
    stack: AsyncExitStack
    lease: float
    chance: random.Random
    links: list[Link] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    stalls: list[Incident] = field(default_factory=list)
    blocks: int = 0
    # -- peers ---------------------------------------------------------------------

    async def spawn(self, number: int = 1, **config: Any) -> list[Link]:
        """Start peers, each behind a wire of its own, and wait until they are up."""
        fresh = []
        for _ in range(number):
            wire = await self.stack.enter_async_context(Wire(self.server.address))
            url = config.pop("url", wire.url)
            peer = self.fleet.spawn("tests.faults.peer", url=url, **config)
            fresh.append(Link(peer, wire, doomed="die" in config))
        if "die" not in config:
            await self.fleet.up(*(link.peer for link in fresh))
        self.links += fresh
        return fresh

    @property
    def living(self) -> list[Link]:
        """Return the peers whose process exists."""
        return [link for link in self.links if link.peer.alive]

    def note(
        self,
        kind: str,
        link: Link | None,
        begin: float,
        *,
        fatal: bool = False,
        lasts: float = 0.0,
    ) -> Incident:
        """Write a fault down that is over now, or in so many seconds."""
        peer = EVERYBODY if link is None else link.peer.id
        one = Incident(kind, peer, begin, time.time() + lasts, fatal)
        self.incidents.append(one)
        return one

    # -- what can be done to a process -----------------------------------------------

    async def kill(self, link: Link) -> None:
        """SIGKILL, and another in its place."""
        begin = time.time()
        link.peer.kill()
        self.note("killed", link, begin, fatal=True)
        await self.spawn()

    async def terminate(self, link: Link) -> None:
        """SIGTERM, and another in its place: its runs are handed back."""
        begin = time.time()
        link.peer.signal(signal.SIGTERM)
        await asyncio.to_thread(link.peer.process.wait, 60)
        self.note("terminated", link, begin, fatal=True)
        assert link.peer.process.returncode == 0, link.peer.log()[-2000:]
        await self.spawn()

    async def freeze(self, link: Link, leases: float = 3.0) -> float:
        """SIGSTOP, and SIGCONT after so many leases; return its monotonic second."""
        begin = time.time()
        link.peer.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(leases * self.lease)
        finally:
            # Before the signal: nothing that it starts must go unseen.
            resumed = monotonic()
            link.peer.signal(signal.SIGCONT)
        self.note("frozen", link, begin)
        return resumed

    async def block(self, leases: float = 3.0) -> tuple[str, Link]:
        """Let a job block the loop of whichever peer takes it.

        Returns:
            The job's id, and who ran it.
        """
        self.blocks += 1
        job_id = f"block-{self.blocks}"
        secs = {"secs": leases * self.lease}
        blocking = Job("block", kwargs=secs, id=job_id, keep=3600)
        await self.client.schedule(blocking)

        def holder() -> Link | None:
            for link in self.links:
                if any(x.words[0] == job_id for x in link.peer.lines("end")):
                    return link
            return None

        await wait_until(
            lambda: holder() is not None, "a blocking job", timeout=60, poll=0.1
        )
        found = holder()
        assert found is not None
        offset = time.time() - monotonic()
        lines = found.peer.lines("start", "end")
        begin, end = (x.at + offset for x in lines if x.words[0] == job_id)
        self.incidents.append(Incident(BLOCKED, found.peer.id, begin, end))
        return job_id, found

    async def doom(self, point: str, nth: int, load: Load) -> Link:
        """Start a peer that will kill itself at a point, the nth time it is there."""
        if point == "handing back":
            return await self._doomed_at_its_end(load)
        (link,) = await self.spawn(die=point, nth=nth)
        await wait_until(lambda: link.peer.wrote("born"), "a peer", timeout=60)
        return link

    async def _doomed_at_its_end(self, load: Load) -> Link:
        """Tell peers to end in the middle of a run until one has to hand it back."""
        for _ in range(10):
            (link,) = await self.spawn(die="handing back")
            peer = link.peer
            await self.fleet.up(peer)

            def in_a_long_run(peer: Peer = peer) -> bool:
                since = monotonic() - 0.2
                starts = peer.lines("start")
                return any(x.at > since and x.words[0] in load.long for x in starts)

            # It may be the owner of none of them; then another one is tried.
            with suppress(AssertionError):
                await wait_until(in_a_long_run, "a long run", timeout=10)
            begin = time.time()
            peer.signal(signal.SIGTERM)
            await asyncio.to_thread(peer.process.wait, 60)
            if peer.wrote("dies"):
                return link
            # Its run had just been replaced, or came to its end in time, or there
            # was none.
            self.note("terminated", link, begin, fatal=True)
        raise AssertionError("no peer had anything to hand back")

    async def died(self, *links: Link) -> None:
        """Wait until they have."""
        for link in links:
            await wait_until(
                lambda link=link: not link.peer.alive,  # type: ignore[misc]
                "a peer that kills itself",
                timeout=60,
                poll=0.05,
            )
            # It died at its last word, of which the second is known.
            words = link.peer.lines("dies")
            assert words, f"it ended before:\n{link.peer.log()[-1000:]}"
            word = words[-1]
            begin = word.at + time.time() - monotonic()
            self.note("killed", link, begin, fatal=True)

    # -- the end ----------------------------------------------------------------------

    async def evidence(self, load: Load, timeout: float = 90.0) -> Evidence:
        """Wait until all is quiet, and return what is left."""
        jobs = len(load.jobs)
        try:
            await told(self.client, jobs + len(load.once), timeout=timeout)
            await self.client.drain(timeout=timeout)
        except (AssertionError, TimeoutError) as error:
            # The judge says which: what is missing stands there.
            error.add_note("\n".join(x.peer.log()[-500:] for x in self.links))
            raise
        evidence = await gathered(
            self.client,
            self.fleet,
            slots={job_id: grid(job) for job_id, job in load.jobs.items()},
            asked=load.asked,
            once=load.once,
            incidents=[*self.incidents, *self._stood_still()],
            lease=self.lease,
        )
        for number, link in enumerate(self.links):
            if not link.peer.alive:
                fatal = [x for x in self.incidents if x.peer == link.peer.id]
                assert any(x.fatal for x in fatal), (
                    f"peer {number} died by itself:\n{link.peer.log()[-3000:]}"
                )
        return evidence

    def _stood_still(self) -> list[Incident]:
        """Return when a busy machine kept a peer, or all wires, from running.

        A peer that we stopped was away, too: that is no excuse of its own.
        """
        offset = time.time() - monotonic()
        found = list(self.stalls)
        for link in self.links:
            stops = [
                one
                for one in self.incidents
                if one.kind == "frozen" and one.peer == link.peer.id
            ]
            for line in link.peer.lines("stalled"):
                window, away = line.words
                at = line.at + offset
                one = Incident(AWAY, link.peer.id, at - window, at)
                if away - sum(map(one.shares, stops)) >= STALL:
                    found.append(one)
        return found

    async def watch(self) -> None:
        """Write down when this process, with all wires in it, did not get to run."""
        lag = Lag()
        while True:
            await asyncio.sleep(LOOK)
            window, away = lag.look()
            if away:
                at = time.time()
                self.stalls.append(Incident(AWAY, EVERYBODY, at - window, at))


@asynccontextmanager
async def cluster(
    server: Server,
    folder: Path,
    seed: int,
    *,
    peers: int = 3,
    lease: float = 2.0,
    beat: float = 0.7,
    **config: Any,
) -> AsyncIterator[Cluster]:
    """Bring up peers on a server; all are gone at the end."""
    options = {"lease": lease, "terms": {"beat": beat, "member_timeout": lease}}
    config.setdefault("grace", 0.1)
    with Fleet(server.url, folder, options=options, config=config) as fleet:
        async with AsyncExitStack() as stack, fleet.client() as client:
            chance = random.Random(seed)
            made = Cluster(server, fleet, client, stack, lease, chance)
            await made.spawn(peers)
            watch = asyncio.create_task(made.watch())
            try:
                yield made
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                # Before their wires, which are theirs alone.
                for link in made.links:
                    link.peer.close()


def too_soon(peer: Peer, resumed: float) -> list[Line]:
    """Return what a thawed peer started before its first beat."""
    after = [line for line in peer.lines("start", "back") if line.at >= resumed]
    kinds = [line.kind for line in after]
    assert "back" in kinds, "it has not noticed that it was away"
    return after[: kinds.index("back")]
