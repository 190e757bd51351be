"""loss-is-seen: a store that has forgotten what it confirmed, with its old epoch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiosched.abc import Beat, Member
from aiosched.errors import StoreUnavailableError
from aiosched.instants import SECOND as SECONDS
from aiosched.stores.redis import transact
from aiosched.stores.redis.history import History
from aiosched.stores.redis.routing import AWAY
from aiosched.stores.redis.store import RedisJobStore, RedisSession
from aiosched.testing.contract_decisions import claim, create, erase, extend, touch
from tests.stores.redis.garbage import Client
from tests.stores.redis.wire import IDS, KEYS, Proxy, opened

ALL = (0, 1, 2, 3)
SHARD = 1
"""Of ``IDS``."""
AGENDA, LEDGER, REV = KEYS.agenda(SHARD, "default"), KEYS.ledger(SHARD), KEYS.rev(SHARD)
RECORD = KEYS.job(SHARD, IDS[0])


async def beat(session: RedisSession, name: str = "me") -> str:
    """Beat as a peer, and return the epoch."""
    member = Member(name, name, None, (), claims=True)
    return (await session.beat(Beat(member, name, ALL))).epoch


@asynccontextmanager
async def at_work(redis_url: str) -> AsyncIterator[tuple[RedisSession, str]]:
    """A session that has beaten and committed, and its epoch."""
    async with opened(redis_url) as one:
        await beat(one)
        await one.transact(IDS, create(5))
        yield one, await beat(one)


Rollback = Callable[[Client], None]


def _older_beat(raw: Client) -> None:
    member = raw.hget(KEYS.members, "me")
    assert member is not None
    seen, _, rest = member.partition(b",")
    older = b"[%d," % (int(seen[1:]) - 1_000_000)
    raw.hset(KEYS.members, "me", older + rest)


def _entry_gone(raw: Client) -> None:
    ((last, _),) = raw.xrevrange(LEDGER, count=1)
    raw.xdel(LEDGER, last)


def _entry_replaced(raw: Client) -> None:
    """Others have written since the loss, which hides it from a look at the end."""
    _entry_gone(raw)
    raw.xadd(LEDGER, {"t": "another.1"})


@pytest.mark.parametrize("rollback", [_older_beat, _entry_gone, _entry_replaced])
async def test_what_was_confirmed_is_gone(
    redis_url: str, raw: Client, rollback: Rollback
) -> None:
    async with at_work(redis_url) as (one, epoch), opened(redis_url) as two:
        assert await beat(two, "other") == epoch
        await one.transact(IDS, touch(7))
        rollback(raw)
        found = await beat(one)
        assert found != epoch
        # The others hear of it, and all that is a loss once.
        assert await beat(two, "other") == found
        assert await beat(one) == await beat(two, "other") == found


async def test_who_finds_out_at_the_same_time_says_the_same(
    redis_url: str, raw: Client
) -> None:
    async with at_work(redis_url) as (one, epoch), opened(redis_url) as two:
        await two.transact(IDS, touch(8))
        await one.transact(IDS, touch(7))
        for last, _ in raw.xrevrange(LEDGER, count=2):
            raw.xdel(LEDGER, last)
        found = await beat(one)
        raw.hset(KEYS.meta, "epoch", epoch)  # as it was when the other one read it
        assert await beat(two, "other") == found != epoch


async def test_a_claim_that_is_gone(redis_url: str, raw: Client) -> None:
    """It leaves no entry in the ledger, so its record has to tell."""
    async with at_work(redis_url) as (one, epoch):
        before = {job_id: raw.get(KEYS.job(SHARD, job_id)) for job_id in IDS}
        won = await one.transact(IDS, claim("me"), claim=True, signal=False)
        assert len(won) == len(IDS)
        for job_id, data in before.items():
            assert data is not None
            raw.set(KEYS.job(SHARD, job_id), data)
        assert await beat(one) != epoch


async def test_a_claim_that_is_gone_and_was_written_anew(
    redis_url: str, raw: Client
) -> None:
    """By the next beat its record has a higher number than it had, so meeting it
    as it was is what tells; a session that was told of the loss says it once.
    """
    async with at_work(redis_url) as (one, epoch), opened(redis_url) as two:
        assert await beat(two, "other") == epoch
        won = await one.transact(IDS[:1], claim("me"), claim=True, signal=False)
        (start,) = won[IDS[0]].starts
        longer = extend("me", start.run.fence)
        before = raw.get(RECORD)
        assert before is not None
        assert await one.transact(IDS[:1], longer, signal=False)
        assert await beat(one) == epoch
        raw.set(RECORD, before)
        assert await one.transact(IDS[:1], longer, signal=False)
        found = await beat(one)
        assert found != epoch
        assert await one.transact(IDS[:1], longer, signal=False)
        assert await beat(one) == found == await beat(two, "other")


async def test_a_job_that_was_made_anew_is_no_loss(redis_url: str, raw: Client) -> None:
    async with at_work(redis_url) as (one, epoch), opened(redis_url) as two:
        await one.transact(IDS, claim("me"), claim=True, signal=False)
        await two.transact(IDS, erase())
        await two.transact(IDS, create(5))
        await one.transact(IDS, claim("me"), claim=True, signal=False)
        assert await beat(one) == epoch


async def test_a_counter_that_fell(redis_url: str, raw: Client) -> None:
    """What others wrote is missed by its counter alone."""
    async with opened(redis_url) as one, opened(redis_url) as two:
        for at in range(5):
            await two.transact(IDS, create(5) if not at else touch(7))
        epoch = await beat(one)
        raw.set(REV, 2)
        assert await beat(one) != epoch


async def test_a_snapshot_from_before_this_peer(redis_url: str, raw: Client) -> None:
    """Nothing is left but the terms: not even an older beat."""
    async with at_work(redis_url) as (one, epoch):
        terms = raw.hgetall(KEYS.meta)
        raw.flushall()
        raw.hset(KEYS.meta, mapping=terms)
        assert await beat(one) != epoch


@pytest.mark.parametrize("failing", ["XRANGE", "HSET", "HGETALL"])
async def test_a_loss_is_told_of_though_the_beat_that_found_it_failed(
    redis_url: str, raw: Client, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has written over what gave the loss away."""
    async with at_work(redis_url) as (one, epoch):
        await one.transact(IDS, touch(7))
        link = one._link
        real, failed = link.try_typed, 0

        async def fail(commands: Any, **options: Any) -> list[Any]:
            nonlocal failed
            if commands[0][0] == failing:
                failed += 1
                raise StoreUnavailableError("the line was cut")
            return await real(commands, **options)

        _older_beat(raw)
        raw.set(REV, 1)
        if failing == "HGETALL":
            raw.hset(KEYS.meta, "epoch", "garbage\xff")
        with monkeypatch.context() as patch:
            patch.setattr(link, "try_typed", fail)
            with pytest.raises(StoreUnavailableError, match="was cut"):
                await beat(one)
            assert failed == 1
        raw.hset(KEYS.meta, "epoch", epoch)
        assert await beat(one) != epoch


async def test_commits_after_the_loss_hide_nothing(redis_url: str, raw: Client) -> None:
    """Its own, which come before its next beat."""
    async with at_work(redis_url) as (one, epoch):
        await one.transact(IDS, touch(7))
        await one.transact(IDS, touch(8))
        assert await beat(one) == epoch
        for last, _ in raw.xrevrange(LEDGER, count=2):
            raw.xdel(LEDGER, last)
        raw.decr(REV, 2)
        await one.transact(IDS, touch(9))
        assert await beat(one) != epoch


async def test_a_beat_that_overlaps_the_one_that_found_out(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it came upon says nothing about the new data set."""
    async with at_work(redis_url) as (one, epoch):
        await one.transact(IDS, touch(7))
        _entry_gone(raw)
        raw.set(REV, 1)
        real, held, told = one._link.try_typed, asyncio.Event(), asyncio.Event()
        packets = 0

        async def hold(commands: Any, **options: Any) -> list[Any]:
            nonlocal packets
            replies = await real(commands, **options)
            if commands[0] == ("TIME",):
                packets += 1
                if packets == 1:
                    held.set()
                    await told.wait()
            return replies

        monkeypatch.setattr(one._link, "try_typed", hold)
        first = asyncio.create_task(beat(one))
        await held.wait()
        found = await beat(one)
        told.set()
        assert found != epoch
        assert await first == await beat(one) == found


def _members_gone(raw: Client) -> None:
    raw.delete(KEYS.members)


def _counter_gone(raw: Client) -> None:
    raw.delete(REV)


def _counter_fell(raw: Client) -> None:
    raw.set(REV, 1)


def _counter_garbage(raw: Client) -> None:
    raw.set(REV, "garbage")


def _other_type(raw: Client) -> None:
    raw.delete(LEDGER)
    raw.set(LEDGER, "garbage")


def _spoiled_beat(raw: Client) -> None:
    raw.hset(KEYS.members, "me", "garbage")


@pytest.mark.parametrize(
    "damage",
    [
        _members_gone,
        _counter_gone,
        _counter_fell,
        _counter_garbage,
        _other_type,
        _spoiled_beat,
    ],
)
async def test_damage_that_is_no_loss(
    redis_url: str, raw: Client, damage: Callable[[Client], None]
) -> None:
    """One key was spoiled, and the entry that was confirmed is where it was."""
    async with at_work(redis_url) as (one, epoch):
        damage(raw)
        for _ in range(3):
            assert await beat(one) == epoch


async def test_coming_and_going_is_no_loss(redis_url: str) -> None:
    async with at_work(redis_url) as (one, epoch):
        await one.beat(Beat(None, "-me"))
        assert await beat(one) == epoch
        await one.beat(Beat(None, "me"))
        assert await beat(one) == epoch


async def test_a_ledger_at_its_cap_forgets_rightly(redis_url: str, raw: Client) -> None:
    terms = {"shards": 4, "ledger_cap": 2}
    session = await RedisJobStore(redis_url).open("t", terms)
    try:
        epoch = await beat(session)
        for at in range(4):
            await session.transact(IDS, create(5) if not at else touch(7))
        _entry_gone(raw)
        assert await beat(session) == epoch
    finally:
        await session.close()


async def test_a_commit_of_others_hides_nothing(redis_url: str, raw: Client) -> None:
    """All is there, and others write between commit and beat."""
    async with at_work(redis_url) as (one, epoch), opened(redis_url) as two:
        for _ in range(5):
            await one.transact(IDS, touch(7))
            await two.transact(IDS, touch(8))
            assert await beat(one) == await beat(two, "other") == epoch
        assert raw.exists(RECORD, AGENDA) == 2


@pytest.mark.parametrize("step", ["pass", "after"])
@pytest.mark.parametrize("claimed", [False, True])
async def test_a_commit_that_was_resolved_is_missed_too(
    redis_url: str,
    raw: Client,
    step: str,
    claimed: bool,  # noqa: FBT001
) -> None:
    """It was confirmed like any other."""
    async with Proxy(redis_url) as proxy, opened(proxy.url) as one:
        if claimed:
            await one.transact(IDS, create(5))
        epoch = await beat(one)
        copies = {key: raw.dump(key) for key in raw.keys("*")}
        proxy.plan = [step]
        if claimed:
            got = await one.transact(IDS, claim("me"), claim=True, signal=False)
        else:
            got = await one.transact(IDS, create(5))
        assert set(got) == set(IDS)
        raw.flushall()
        for key, data in copies.items():
            assert data is not None
            raw.restore(key, 0, data)
        assert await beat(one) != epoch


async def test_a_counter_that_fell_where_the_ledger_is_away(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at when the master is back."""
    async with opened(redis_url) as one, opened(redis_url) as two:
        await one.transact(IDS, create(5))
        await beat(one)
        epoch = await beat(one)  # its own entry has been looked for by now
        for _ in range(3):
            await two.transact(IDS, touch(7))
        assert await beat(one) == epoch
        raw.delete(LEDGER)
        raw.set(REV, 0)
        link = one._link
        real, away = link.ask, 0

        async def ask(commands: Any, **options: Any) -> list[Any]:
            nonlocal away
            replies = await real(commands, **options)
            if commands[0][0] == "XRANGE" and away < 3:
                away += 1
                return [AWAY for _ in commands]
            return replies

        monkeypatch.setattr(link, "ask", ask)
        for _ in range(3):
            assert await beat(one) == epoch
        assert await beat(one) != epoch
        assert away == 3


async def test_a_job_made_anew_after_the_clock_was_set_back_is_no_loss(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_work(redis_url) as (one, epoch), opened(redis_url) as two:
        real = transact.instant_of
        monkeypatch.setattr(
            transact, "instant_of", lambda reply: real(reply) + 10 * SECONDS
        )
        await one.transact(IDS, claim("me"), claim=True, signal=False)
        monkeypatch.setattr(transact, "instant_of", real)
        before = (await two.read(IDS))[IDS[0]].state.seq
        await two.transact(IDS, erase())
        await two.transact(IDS, create(5))
        assert (await two.read(IDS))[IDS[0]].state.seq < before
        assert await beat(one) == epoch


def _told(second: int, claims: str) -> bytes:
    return b'[%d,"me",null,[],%s]' % (second * 1_000_000, claims.encode())


FIRST, SECOND, THIRD = _told(1, "true"), _told(2, "true"), _told(3, "false")


def test_beats_of_one_peer_that_overlap_are_no_loss_in_either_order() -> None:
    """A farewell is sent while the last usual beat is on its way."""
    history = History()
    history.beaten("me", history.beating(FIRST))
    usual, farewell = history.beating(SECOND), history.beating(THIRD)
    # The later is answered first, and was carried out first or last.
    assert history.beat_lost(FIRST, farewell) is False
    history.beaten("me", farewell)
    assert history.beat_lost(FIRST, usual) is False
    assert history.beat_lost(THIRD, usual) is False
    history.beaten("me", usual)
    for left in (SECOND, THIRD):
        assert history.beat_lost(left, history.beating(_told(4, "true"))) is False
    assert history.beat_lost(FIRST, history.beating(_told(4, "true"))) is True


def test_a_beat_without_an_answer_may_be_written_late() -> None:
    history = History()
    history.beaten("me", history.beating(FIRST))
    history.beating(SECOND)
    history.beaten("me", history.beating(THIRD))
    assert history.beat_lost(SECOND, history.beating(_told(4, "true"))) is False
    assert history.beat_lost(FIRST, history.beating(_told(4, "true"))) is True


def test_all_beats_before_the_last_are_lost_ones() -> None:
    history = History()
    for second in range(1, 20):
        history.beaten("me", history.beating(_told(second, "true")))
    for second in range(1, 19):
        said = history.beating(_told(30, "true"))
        assert history.beat_lost(_told(second, "true"), said) is True
    assert history.beat_lost(_told(19, "true"), history.beating(b"")) is False


async def test_a_loss_is_told_though_a_counter_is_garbage(
    redis_url: str, raw: Client
) -> None:
    """What is raised so that others hear of it sooner must not end who finds it."""
    async with at_work(redis_url) as (one, epoch), opened(redis_url) as two:
        await beat(two, "other")
        await one.transact(IDS, touch(7))
        raw.set(KEYS.rev(0), "garbage")
        _older_beat(raw)
        found = await beat(one)
        assert found != epoch
        for _ in range(7):
            heard = await beat(two, "other")
        assert heard == found
