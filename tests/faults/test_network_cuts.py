"""The connection is cut at each byte of a claim and of a settlement."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aiosched import Job, Scheduler, planning
from aiosched.abc import Decide, shard_of
from aiosched.enums import JobState, Outcome, RowKind
from aiosched.instants import SECOND
from aiosched.records import Change, Ended, Record, Start
from aiosched.stores.redis.store import RedisJobStore, RedisSession
from tests.faults.proxies import Cut, Direction, Wire
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

NAMESPACE = "cuts"
BATCH = 2
BIG = "x" * 1_500
"""Kept apart by the store, so that a claim fetches it and an end deletes it."""
EVERY = {"short": 11, "long": 1}
ENDED = Ended(Outcome.SUCCEEDED, value=b"null")


def claiming(owner: str) -> Decide:
    """What a peer decides over what is due."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            assert record is not None
            change = planning.attend(
                record.definition, record.state, now, 1, owner, 15 * SECOND
            )
            if change is not None:
                changes[job_id] = change
        return changes

    return decide


def settling(owner: str, fences: Mapping[str, int]) -> Decide:
    """What a peer decides over runs that have ended."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            ends = [(fences[job_id], ENDED)]
            change, _ = planning.settle_all(record, owner, ends, now)
            if change is not None:
                changes[job_id] = change
        return changes

    return decide


@dataclass
class Bench:
    """One session behind a wire, one rival before it, and a client that schedules."""

    wire: Wire
    session: RedisSession
    rival: RedisSession
    client: Scheduler
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    ready: list[list[str]] = field(default_factory=list)

    async def due(self) -> list[str]:
        """Return jobs of one shard that are due, and that nobody has seen yet."""
        if not self.ready:
            await self._schedule()
        return self.ready.pop()

    async def _schedule(self) -> None:
        shards = self.session.terms.shards
        jobs: list[Job] = []
        for _ in range(50):
            found: dict[int, list[str]] = {}
            while True:
                job_id = f"job-{next(self.numbers)}"
                group = found.setdefault(shard_of(job_id, shards), [])
                group.append(job_id)
                if len(group) == BATCH:
                    break
            self.ready.append(group)
            # A spec of each one's own: none is known, all must be fetched.
            jobs += [
                Job("tick", args=(one, BIG), note=f"of {one}", id=one, keep=3_600)
                for one in group
            ]
        await self.client.schedule_many(jobs, allow_unknown=True)

    async def starts(
        self, session: RedisSession, owner: str, ids: list[str]
    ) -> dict[str, Start]:
        """Claim."""
        changes = await session.transact(ids, claiming(owner), claim=True, signal=False)
        return {one: c.starts[0] for one, c in changes.items() if c.starts}


@asynccontextmanager
async def bench(server: Server) -> AsyncIterator[Bench]:
    options: dict[str, Any] = {"namespace": NAMESPACE, "run_jobs": False}
    async with (
        Wire(server.address) as wire,
        Scheduler(server.url, terms={"shards": 4}, **options) as client,
    ):
        stores = RedisJobStore(wire.url, lanes=1), RedisJobStore(server.url)
        session, rival = [await one.open(NAMESPACE, {}) for one in stores]
        try:
            yield Bench(wire, session, rival, client)
        finally:
            await session.close()
            await rival.close()


def places(cut: Cut, every: int) -> list[tuple[Direction, int]]:
    """Return where an exchange is cut: each n-th byte, and around each word."""
    chosen: set[tuple[Direction, int]] = set()
    found: list[tuple[Direction, bytes]] = [("up", cut.sent), ("down", cut.received)]
    for direction, seen in found:
        chosen.update((direction, at) for at in range(0, len(seen), every))
        marks = [len(seen)]
        for word in (b"*", b"MULTI", b"EXEC"):
            at = seen.find(word)
            while at >= 0:
                marks.append(at)
                at = seen.find(word, at + 1)
        if every == 1:
            break_at = range(len(seen))
            chosen.update((direction, at) for at in break_at)
        else:
            last = seen.rfind(b"EXEC")
            marks = marks[-8:] + ([last] if last >= 0 else [])
        for mark in marks:
            around = (mark - 1, mark, mark + 1)
            chosen.update((direction, at) for at in around if 0 <= at < len(seen))
    return sorted(chosen)


async def whole(at: Bench, *, settle: bool) -> Cut:
    """Let one exchange pass, and return its bytes."""
    for _ in range(2):  # the first one connects
        ids = await at.due()
        cut = at.wire.cut = Cut(f":j:{ids[0]}".encode())
        starts = await at.starts(at.session, "me", ids)
        if settle:
            cut = at.wire.cut = Cut(f":j:{ids[0]}".encode())
            fences = {one: start.run.fence for one, start in starts.items()}
            await at.session.transact(ids, settling("me", fences), signal=False)
        at.wire.cut = None
    assert b"EXEC" in cut.sent
    assert cut.received
    return cut


@pytest.mark.parametrize("rival", [False, True], ids=["alone", "with a rival"])
async def test_a_claim_is_made_once_wherever_it_is_cut(
    launch: Any, *, rival: bool, long_run: bool
) -> None:
    async with bench(launch()) as at:
        every = EVERY["long" if long_run else "short"]
        chosen = places(await whole(at, settle=False), every)
        made = unknown = 0
        winners: Counter[str] = Counter()
        for number, (direction, offset) in enumerate(chosen):
            ids = await at.due()
            late = direction == "up" and number % 2 == 0
            mark = f":j:{ids[0]}".encode()
            cut = at.wire.cut = Cut(mark, direction, offset, late=late)
            before = at.session.counters.unknown
            mine = asyncio.ensure_future(at.starts(at.session, "me", ids))
            got: dict[str, Mapping[str, Start]] = {}
            if rival:
                # It comes just when nobody knows what has become of the other.
                await wait_until(
                    lambda cut=cut, mine=mine: cut.made or mine.done(),  # type: ignore[misc]
                    "a cut",
                    poll=0.0,
                )
                got["rival"] = await at.starts(at.rival, "rival", ids)
            got["me"] = await mine
            winners.update(who for who, starts in got.items() if starts)
            if cut.made and late:
                await at.wire.deliver()
            made += cut.made
            unknown += at.session.counters.unknown - before
            await _claimed(at, ids, got)
    assert made > 0.9 * len(chosen), (made, len(chosen))
    if rival:
        assert min(winners["me"], winners["rival"]) > 10, winners
    assert unknown > 10


async def _claimed(
    at: Bench, ids: list[str], got: Mapping[str, Mapping[str, Start]]
) -> None:
    """Each firing has one claim, which is in the record, and its peer knows."""
    stored = await at.rival.read(ids)
    for job_id in ids:
        won = {who: starts[job_id] for who, starts in got.items() if job_id in starts}
        assert len(won) == 1, f"{job_id} was claimed by {sorted(won)}"
        ((owner, start),) = won.items()
        state = stored[job_id].state
        assert [(run.owner, run.fence) for run in state.runs] == [
            (owner, start.run.fence)
        ]
        assert state.counts.slots == state.counts.fired == 1
        assert start.run.firing.attempt == 1
        assert BIG.encode() in bytes(start.definition.arguments)  # type: ignore[arg-type]


async def test_a_settlement_is_made_once_wherever_it_is_cut(
    launch: Any, *, long_run: bool
) -> None:
    server = launch()
    async with bench(server) as at:
        every = EVERY["long" if long_run else "short"]
        chosen = places(await whole(at, settle=True), every)
        made = unknown = 0
        for number, (direction, offset) in enumerate(chosen):
            ids = await at.due()
            starts = await at.starts(at.session, "me", ids)
            fences = {one: start.run.fence for one, start in starts.items()}
            late = direction == "up" and number % 2 == 0
            mark = f":j:{ids[0]}".encode()
            cut = at.wire.cut = Cut(mark, direction, offset, late=late)
            before = at.session.counters.unknown
            changes = await at.session.transact(
                ids, settling("me", fences), signal=False
            )
            if cut.made and late:
                await at.wire.deliver()
            made += cut.made
            unknown += at.session.counters.unknown - before
            assert set(changes) == set(ids)
            await _settled(at, ids, fences)
        # What is kept apart goes with its record, and each of these has one.
        assert _count(server, "*:b:*") == _count(server, "*:j:*") >= BATCH
    assert made > 0.9 * len(chosen), (made, len(chosen))
    assert unknown > 10


def _count(server: Server, pattern: str) -> int:
    found = server.command("KEYS", pattern)
    assert isinstance(found, list)
    return len(found)


async def _settled(at: Bench, ids: list[str], fences: Mapping[str, int]) -> None:
    """Each run has one end, in the record and in the ledger."""
    stored = await at.rival.read(ids)
    for job_id in ids:
        state = stored[job_id].state
        assert state.runs == ()
        assert state.status is JobState.FINISHED
        assert state.counts.succeeded == state.counts.outcomes == 1
        rows = await at.rival.ledger(job_id)
        ends = [row for row in rows if row.kind is RowKind.SUCCEEDED]
        assert [row.fence for row in ends] == [fences[job_id]]
        assert sum(row.final for row in rows) == 1
