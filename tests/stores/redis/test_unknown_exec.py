"""exec-once: an EXEC without a reply is resolved, never sent again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
import redis

from aiosched.errors import StoreUnavailableError
from aiosched.instants import SECOND
from aiosched.records import Change, Record
from aiosched.stores.redis import transact
from aiosched.stores.redis.store import RedisSession
from aiosched.testing.contract_decisions import (
    claim,
    create,
    erase,
    extend,
    ids_in,
    settle,
    touch,
)
from tests import servers
from tests.stores.redis.wire import KEYS, Proxy, opened

CUTS = ["before", "after", "late"]
IDS = ids_in(1, 3)
BIG = b"[[" + b"1," * 1_000 + b"1],{}]"


async def asked(session: RedisSession, job_id: str) -> int:
    """Return how often ``touch`` was applied."""
    return (await session.read([job_id]))[job_id].state.counts.asked


@pytest.mark.parametrize("cut", CUTS)
async def test_a_verb_is_applied_once(redis_url: str, cut: str) -> None:
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        proxy.plan = [cut]
        changes = await session.transact(IDS, touch(7))
        assert list(changes) == IDS
        assert [await asked(session, one) for one in IDS] == [1, 1, 1]
        assert session.counters.unknown == 1
        await proxy.deliver()
        assert [await asked(session, one) for one in IDS] == [1, 1, 1]
        # Sent twice only where it is known that the first can never happen.
        decisions = 1 if cut == "after" else 2
        assert proxy.execs == 1 + 1 + decisions + 1  # terms, create, verb, resolving


@pytest.mark.parametrize("cut", CUTS)
async def test_a_creation_is_applied_once(redis_url: str, cut: str) -> None:
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        proxy.plan = [cut]
        changes = await session.transact(IDS, create(5, keyword="word"))
        assert {change.answer for change in changes.values()} == {"created"}
        first = await session.read(IDS)
        await proxy.deliver()
        assert await session.read(IDS) == first
        assert await session.by_keyword("word") == sorted(IDS)
        assert [
            entry[0] for entry in (await session.agenda([(1, "default")]))[0].entries
        ]


@pytest.mark.parametrize("cut", CUTS)
async def test_a_deletion_is_applied_once(redis_url: str, cut: str) -> None:
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        proxy.plan = [cut]
        assert set(await session.transact(IDS, erase())) == set(IDS)
        await session.transact(IDS, create(6, note="made again"))
        await proxy.deliver()
        assert set(await session.read(IDS)) == set(IDS)


@pytest.mark.parametrize("cut", CUTS)
async def test_a_claim_is_won_once(redis_url: str, cut: str) -> None:
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        proxy.plan = [cut]
        changes = await session.transact(IDS, claim("me"), claim=True, signal=False)
        assert list(changes) == IDS
        await proxy.deliver()
        stored = await session.read(IDS)
        for job_id, change in changes.items():
            (start,) = change.starts
            assert stored[job_id].state.runs == (start.run,)


@pytest.mark.parametrize("cut", CUTS)
async def test_a_claim_brings_its_arguments(redis_url: str, cut: str) -> None:
    def with_arguments(
        records: Mapping[str, Record | None], now: int
    ) -> dict[str, Change]:
        changes = create(5)(records, now)
        for change in changes.values():
            record = change.record
            assert record is not None
            definition = record.definition
            object.__setattr__(definition, "arguments", BIG)
        return dict(changes)

    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, with_arguments)
        proxy.plan = [cut]
        changes = await session.transact(IDS, claim("me"), claim=True, signal=False)
        starts = [change.starts[0] for change in changes.values()]
        assert [start.definition.arguments for start in starts] == [BIG] * 3


@pytest.mark.parametrize("cut", CUTS)
async def test_a_settle_is_recorded_once(redis_url: str, cut: str) -> None:
    (job_id,) = ids_in(1, 1)
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact([job_id], create(5))
        claimed = await session.transact([job_id], claim("me"), claim=True)
        fence = claimed[job_id].starts[0].run.fence
        proxy.plan = [cut]
        settled = await session.transact([job_id], settle("me", fence), signal=False)
        assert settled[job_id].answer == "settled"
        await proxy.deliver()
        rows = await session.ledger(job_id)
        assert [row.fence for row in rows] == [fence]
        assert (await session.read([job_id]))[job_id].state.runs == ()


@pytest.mark.parametrize("cut", CUTS)
async def test_an_extension_holds(redis_url: str, cut: str) -> None:
    (job_id,) = ids_in(1, 1)
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact([job_id], create(5))
        claimed = await session.transact([job_id], claim("me", 1_000), claim=True)
        fence = claimed[job_id].starts[0].run.fence
        proxy.plan = [cut]
        changes = await session.transact([job_id], extend("me", fence), signal=False)
        assert changes[job_id].answer == "extended"
        stored = (await session.read([job_id]))[job_id]
        assert stored.state.runs[0].until > claimed[job_id].starts[0].run.until
        assert stored.state.runs[0].fence == fence


async def test_a_settled_claim_is_no_longer_ours(redis_url: str) -> None:
    """A claim that was applied, and ended by others before it was resolved."""
    (job_id,) = ids_in(1, 1)
    async with (
        Proxy(redis_url) as proxy,
        opened(redis_url) as other,
        opened(proxy.url) as session,
    ):
        await session.transact([job_id], create(5))
        seen: list[int] = []

        def once(
            records: Mapping[str, Record | None], now: int
        ) -> Mapping[str, Change]:
            changes = claim("me")(records, now)
            seen.append(len(changes))
            return changes if len(seen) == 1 else {}

        proxy.plan = ["after"]
        real = session._link.wiring.connect

        async def meanwhile() -> object:
            record = (await other.read([job_id]))[job_id]
            if record.state.runs:
                fence = record.state.runs[0].fence
                await other.transact([job_id], settle("me", fence))
            return await real()

        session._link.wiring.connect = meanwhile  # type: ignore[method-assign,assignment]
        assert await session.transact([job_id], once, claim=True) == {}
        rows = await session.ledger(job_id)
        assert len(rows) == 1


async def test_of_two_claims_the_lost_one_is_left_out(redis_url: str) -> None:
    pair = ids_in(1, 2)
    async with (
        Proxy(redis_url) as proxy,
        opened(redis_url) as other,
        opened(proxy.url) as session,
    ):
        await session.transact(pair, create(5))
        proxy.plan = ["after"]
        real = session._link.wiring.connect

        async def meanwhile() -> object:
            run = (await other.read(pair))[pair[0]].state.runs[0]
            await other.transact(pair[:1], settle("me", run.fence))
            return await real()

        session._link.wiring.connect = meanwhile  # type: ignore[method-assign,assignment]
        changes = await session.transact(pair, claim("me"), claim=True)
        assert list(changes) == pair[1:]


@pytest.mark.parametrize("there", [True, False])
async def test_what_was_given_up_never_happens(redis_url: str, there: bool) -> None:  # noqa: FBT001
    """Nothing is written the second time, and the first comes too late."""
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        if there:
            await session.transact(IDS, create(5))
        calls: list[int] = []

        def once(
            records: Mapping[str, Record | None], now: int
        ) -> Mapping[str, Change]:
            calls.append(now)
            if len(calls) > 1:
                return {}
            return (touch(7) if there else create(5))(records, now)

        before = await session.read(IDS)
        proxy.plan = ["late"]
        assert await session.transact(IDS, once) == {}
        await proxy.deliver()
        assert len(calls) == 2
        assert await session.read(IDS) == before


@pytest.mark.parametrize("cut", CUTS)
async def test_others_who_write_all_the_time_keep_nobody_waiting(
    redis_url: str, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the resolving abort has made the old EXEC abort, too."""
    async with (
        Proxy(redis_url) as proxy,
        opened(redis_url) as other,
        opened(proxy.url, resolve_timeout=0.3) as session,
    ):
        await session.transact(IDS, create(5))
        link = session._link
        real, meanwhile = link.watch, 0

        async def busy(*args: Any) -> list[Any]:
            nonlocal meanwhile
            found = await real(*args)
            if session.counters.unknown and (not meanwhile or cut == "after"):
                meanwhile += 1
                await other.transact(IDS[:1], touch(8))
            return found

        monkeypatch.setattr(link, "watch", busy)
        proxy.plan = [cut]
        assert set(await session.transact(IDS, touch(7))) == set(IDS)
        await proxy.deliver()
        assert meanwhile == 1
        assert [await asked(session, one) for one in IDS] == [2, 1, 1]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("since", [0, 700])
async def test_a_clock_that_is_set_back_hides_no_token(
    redis_url: str, cut: str, since: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and EXEC; and behind it there are others by the hundred."""
    real, looks = transact.instant_of, 0

    def ahead(reply: Any) -> int:
        nonlocal looks
        looks += 1
        return real(reply) + (60 * SECOND if looks == 1 else 0)

    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        link = session._link
        touched = link.transactions.take

        def others(*args: Any, **options: Any) -> Any:
            if session.counters.unknown == 1:
                with redis.Redis.from_url(redis_url) as raw, raw.pipeline() as pipe:
                    for _ in range(since):
                        pipe.xadd(KEYS.ledger(1), {"t": "another"})
                    pipe.execute()
            return touched(*args, **options)

        monkeypatch.setattr(link.transactions, "take", others)
        monkeypatch.setattr(transact, "instant_of", ahead)
        proxy.plan = [cut]
        await session.transact(IDS, touch(7))
        await proxy.deliver()
        assert [await asked(session, one) for one in IDS] == [1, 1, 1]


@pytest.mark.parametrize("cut", ["pass", *CUTS])
async def test_a_keyword_that_is_cleared_away_meanwhile_is_entered_again(
    redis_url: str, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also behind a transaction that was resolved."""
    real = transact._Attempt._execute

    async def late(self: Any, *args: Any) -> list[Any]:
        with redis.Redis.from_url(redis_url) as raw:
            raw.srem(KEYS.keyword_shards("word"), 1)
        return await real(self, *args)

    monkeypatch.setattr(transact._Attempt, "_execute", late)
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        proxy.plan = [cut]
        await session.transact(IDS, create(5, keyword="word"))
        assert await session.by_keyword("word") == sorted(IDS)


async def test_cut_again_and_again(redis_url: str) -> None:
    """Also the resolving may be cut."""
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        for plan in (["after", "before"], ["before", "after"], ["late", "late"]):
            before = await asked(session, IDS[0])
            proxy.plan = plan
            await session.transact(IDS, touch(7))
            await proxy.deliver()
            assert await asked(session, IDS[0]) == before + 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_cut_at_random(redis_url: str, seed: int) -> None:
    """Whatever is lost and when: each verb once, each run with one outcome."""
    draw = random.Random(seed)
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        for number in range(1, 11):
            proxy.plan = draw.choices(["pass", *CUTS], k=6)
            await session.transact(IDS, touch(7))
            claimed = await session.transact(IDS, claim("me"), claim=True, signal=False)
            fences = {i: change.starts[0].run.fence for i, change in claimed.items()}
            assert set(fences) == set(IDS)
            for job_id, fence in fences.items():
                changes = await session.transact([job_id], settle("me", fence))
                assert changes[job_id].answer == "settled"
            proxy.plan = []
            await proxy.deliver()
            stored = await session.read(IDS)
            for job_id, record in stored.items():
                assert record.state.counts.asked == number
                assert record.state.runs == ()
                rows = await session.ledger(job_id)
                assert len(rows) == number
                assert rows[0].fence == fences[job_id]
        assert session.counters.unknown > 7


async def test_lost_before_exec_is_started_over(redis_url: str) -> None:
    async with opened(redis_url) as session:
        await session.transact(IDS, create(5))
        servers.command(_address(redis_url), "CLIENT", "KILL", "TYPE", "normal")
        assert len(await session.transact(IDS, touch(7))) == 3
        servers.command(_address(redis_url), "CLIENT", "KILL", "TYPE", "normal")
        assert set(await session.read(IDS)) == set(IDS)
        assert await asked(session, IDS[0]) == 1
        assert session.counters.unknown == 0


async def test_a_store_that_is_gone(launch: object) -> None:
    server = launch()  # type: ignore[operator]
    async with opened(server.url, resolve_timeout=0.2) as session:
        await session.transact(IDS, create(5))
        server.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await session.transact(IDS, touch(7))
            with pytest.raises(StoreUnavailableError):
                await session.read(IDS)
        server.start()
        assert await session.transact(IDS, create(5)) != {}


async def test_a_store_that_hangs(launch: object) -> None:
    server = launch()  # type: ignore[operator]
    options = {"exchange_timeout": 0.2, "socket_connect_timeout": 0.2}
    async with opened(server.url, resolve_timeout=0.3, **options) as session:
        await session.transact(IDS, create(5))
        with server.paused(), pytest.raises(StoreUnavailableError):
            await session.transact(IDS, touch(7))
        assert len(await session.transact(IDS, touch(7))) == 3


async def test_a_cancelled_commit_is_whole(redis_url: str) -> None:
    """The caller may go; EXEC goes on, and its lane comes back."""
    async with opened(redis_url, lanes=1) as session:
        await session.transact(IDS, create(5))
        whole = 0
        for steps in range(40):
            before = [await asked(session, one) for one in IDS]
            task = asyncio.create_task(session.transact(IDS, touch(7)))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            # There is one lane: this waits until the exchange has ended.
            await session.transact(IDS, touch(7))
            after = [await asked(session, one) for one in IDS]
            gained = {new - old for new, old in zip(after, before, strict=True)}
            assert gained in ({1}, {2})
            whole += gained == {2}
        assert 0 < whole < 40


def _address(url: str) -> tuple[str, int]:
    return "127.0.0.1", int(url.rpartition(":")[2].partition("/")[0])
