"""A master that is watched dies, and its replica had not got the last writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job
from aiosched.abc import Beat, Member
from aiosched.errors import ConfigurationError
from aiosched.testing.contract_decisions import claim, create, ids_in, settle
from tests.faults.crew import BEAT, Crew
from tests.sentinels import Watched
from tests.servers import Binary
from tests.stores.redis.wire import Cut, opened

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

IDS = ids_in(1, 4)
MEMBER = Member("me", "name", None, (), True)
EVERY = 0.25
ROOM = 2.0
"""Seconds for a busy machine, beyond what is promised."""

Watch = Callable[..., Watched]


@pytest.fixture
def watch(binary: Binary) -> Iterator[Watch]:
    """Start what a test may kill."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Watched(binary, **options))


@pytest.mark.parametrize("step", ["before", "after"])
async def test_an_exec_whose_master_died(watch: Watch, step: str) -> None:
    """Sent or not, executed or not: the new master does not know of it."""
    watched = watch(sentinels=1)

    async def die() -> None:
        await asyncio.to_thread(watched.replace, dying)

    cut = Cut(die)
    async with opened(watched.url, connection_factory=cut) as session:
        await session.transact(IDS, create(at=1))
        await asyncio.to_thread(watched.wait_arrived)
        dying = watched.cut_off()
        cut.plan = [step]
        changes = await session.transact(IDS, claim("me"))
        assert cut.plan == []
        fences = {one: change.starts[0].run.fence for one, change in changes.items()}
        assert set(fences) == set(IDS)
        records = await session.read(IDS)
        live = {one: [run.fence for run in records[one].state.runs] for one in IDS}
        assert live == {one: [fence] for one, fence in fences.items()}
        assert session.counters.unknown == 1
        for one, fence in fences.items():
            assert set(await session.transact([one], settle("me", fence))) == {one}
        rows = await session.ledger(limit=100)
        assert sorted(row.job_id for row in rows if row.final) == sorted(IDS)


async def test_what_was_confirmed_and_lost(watch: Watch) -> None:
    """It runs twice with a higher fence, has one outcome, and the loss is noticed."""
    watched = watch(sentinels=1)
    async with opened(watched.url) as one, opened(watched.url) as two:
        await one.transact(IDS[:1], create(at=1))
        epoch = (await one.beat(Beat(MEMBER, "me", (1,)))).epoch
        await asyncio.to_thread(watched.wait_arrived)
        dying = watched.cut_off()
        first = await one.transact(IDS[:1], claim("me"))
        before = first[IDS[0]].starts[0].run.fence
        await one.transact(IDS[1:2], create(at=1))
        await asyncio.to_thread(watched.replace, dying)
        second = await two.transact(IDS[:1], claim("you"))
        after = second[IDS[0]].starts[0].run.fence
        assert after > before
        assert await one.transact(IDS[:1], settle("me", before)) == {}
        assert set(await two.transact(IDS[:1], settle("you", after))) == {IDS[0]}
        rows = [row for row in await two.ledger(limit=100) if row.final]
        assert [(row.owner, row.fence) for row in rows] == [("you", after)]
        assert set(await one.read(IDS)) == set(IDS[:1])
        assert (await one.beat(Beat(MEMBER, "me", (1,)))).epoch != epoch


def grid(job_id: str, start: datetime, **options: Any) -> Job:
    trigger = IntervalTrigger(seconds=EVERY, start=start)
    return Job("tick", trigger=trigger, id=job_id, **options)


async def test_peers_whose_master_is_replaced(watch: Watch) -> None:
    """First in good order, then by death with writes that no replica has."""
    watched = watch(replicas=2)
    start = datetime.now(UTC) + timedelta(seconds=0.5)
    declared = [grid("declared", start), grid("slow", start, kwargs={"secs": 0.1})]
    names = [job.id for job in declared]
    async with Crew(watched.url) as crew:
        for _ in range(2):
            await crew.peer(declare=declared)
        client = await crew.client()
        await crew.until_ran(*names, times=2)
        began = monotonic()
        await asyncio.to_thread(watched.fail_over)
        over = monotonic()
        await crew.until_ran(*names, times=4, since=over)
        await crew.until_well()
        await asyncio.to_thread(watched.settle)

        since = monotonic()
        dying = watched.cut_off()
        await client.schedule(grid("lost", start))
        await crew.until_ran(*names, "lost", times=3, since=since)
        dead = monotonic()
        await asyncio.to_thread(watched.replace, dying)
        back = monotonic()
        told = await crew.until_told("data_lost", since=dead, by=3)
        assert told - back < BEAT + ROOM, told - back
        await crew.until_ran(*names, times=4, since=back)
        await crew.until_well()
        assert not await client.job_exists("lost"), "the replica had got the writes"
        for name in names:
            await client.pause(name)
        await client.drain(timeout=20)

        rows = await client.history(limit=1_000_000)
        assert crew.fences_twice() == []
        for name in names:
            job = await client.get_job(name)
            counts = job.counts
            assert counts.slots == counts.fired + counts.skipped + counts.missed
            assert counts.fired + counts.asked == counts.outcomes
            runs = [x.run for x in rows if x.job_id == name and x.run is not None]
            ends = [run.key for run in runs if run.final]
            assert len(ends) == len(set(ends)) == counts.outcomes, "two outcomes"
            # A run that the former master granted may be entered after the first
            # of the new one: its fence is lower, so that it can be told apart.
            ran = crew.ran(name)
            highest = max(one.fence for one in ran if one.at < dead)
            later = [one.fence for one in ran if one.at > back + BEAT + ROOM]
            assert all(fence > highest for fence in later), "a fence fell"
            # A second execution is one whose first claim was lost with the master.
            keys = [(ran.key, ran.at) for ran in crew.ran(name)]
            first: dict[str, float] = {}
            for key, at in keys:
                before = first.setdefault(key, at)
                # Replication lags a little also before the servers are hurt.
                lost = began - BEAT < before < over or since - BEAT < before < back
                assert at == before or lost, (name, key)
        assert not crew.events("service_failed", "unreadable")


async def test_sentinels_and_servers_with_passwords(watch: Watch) -> None:
    secret, key = "of the servers", "of the sentinels"
    watched = watch(
        sentinels=1,
        options={"requirepass": secret, "masterauth": secret},
        watching=(
            f'sentinel auth-pass {{name}} "{secret}"',
            f'requirepass "{key}"',
        ),
        password=secret,
        sentinel_password=key,
    )
    bare = watched.url
    words = {one: one.replace(" ", "%20") for one in (secret, key)}
    inside = bare.replace("://", f"://:{words[secret]}@")
    for url, hint in (
        (inside, "sentinel_password"),
        (f"{bare}?sentinel_password={words[key]}", "denies access"),
        (f"{inside}?sentinel_password=wrong", "sentinel_password"),
    ):
        with pytest.raises(ConfigurationError, match=hint) as caught:
            async with opened(url):
                pass
        assert "of the" not in str(caught.value)
    async with opened(f"{inside}?sentinel_password={words[key]}") as session:
        await session.transact(IDS[:1], create(at=1))
