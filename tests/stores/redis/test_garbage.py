"""garbage-stays: garbage under any key is reported and harms nothing else."""

from __future__ import annotations

import pytest

from aiosched.abc import Beat, ExecutorInfo, Member, Terms
from aiosched.errors import StoreDataError
from aiosched.rows import row_key, unpack_row
from aiosched.stores.redis.store import RedisJobStore
from aiosched.testing.contract_decisions import (
    claim,
    create,
    extend,
    ids_in,
    settle,
    touch,
)
from tests.stores.redis.garbage import HUGE, WRONG_MEMBERS, Client, another_type, entry
from tests.stores.redis.wire import IDS, KEYS, Said, opened

# --- session by session ---------------------------------------------------------------


def me(name: str = "me") -> Member:
    return Member(name, name, None, ("work",), claims=True)


@pytest.mark.parametrize("key", [KEYS.members, KEYS.queues, KEYS.meta])
async def test_a_beat_over_a_key_of_another_type(
    redis_url: str, raw: Client, key: str
) -> None:
    """The session goes on with what it knows, and the garbage stays."""
    said = Said()
    async with opened(redis_url, report=said) as one, opened(redis_url) as two:
        await one.transact(IDS, create(5, queue="q"))
        await two.beat(Beat(me("two"), "two"))
        before = await one.beat(Beat(me(), "me", (0, 1)))
        garbage = another_type(raw, key)
        for _ in range(7):  # an idle peer looks round with every sixth beat
            pulse = await one.beat(Beat(me(), "me", (0, 1)))
        assert [member.id for member in pulse.members] == ["me", "two"]
        assert pulse.members[0].beat == pulse.now
        assert pulse.queues == before.queues == ("q",)
        assert pulse.epoch == before.epoch
        assert pulse.revs == before.revs
        assert said.keys == {key}
        assert raw.dump(key) == garbage
        # The farewell gets through as far as it can.
        await one.beat(Beat(None, "me"))
        raw.delete(key)
        after = await one.beat(Beat(me(), "me"))
        assert after.queues == ("q",)
        assert (after.epoch == before.epoch) is (key != KEYS.meta)


@pytest.mark.parametrize("key", [KEYS.queues, KEYS.meta])
async def test_a_key_of_another_type_at_the_opening(
    redis_url: str, raw: Client, key: str
) -> None:
    garbage = another_type(raw, key)
    with pytest.raises(StoreDataError):
        await RedisJobStore(redis_url).open("t", {})
    assert raw.dump(key) == garbage


async def test_a_new_queue_cannot_be_entered_among_garbage(
    redis_url: str, raw: Client
) -> None:
    """Nobody would look after it: the caller is told, and nothing is written."""
    async with opened(redis_url) as one:
        another_type(raw, KEYS.queues)
        with pytest.raises(StoreDataError) as caught:
            await one.transact(IDS, create(5, queue="unheard-of"))
        assert caught.value.key == KEYS.queues
        assert await one.read(IDS) == {}


async def test_terms_that_were_spoiled(redis_url: str, raw: Client) -> None:
    """What is missing is put back, what is there is left, no loss is told of."""
    said = Said()
    async with opened(redis_url, report=said) as one:
        before = await one.beat(Beat(None, "me"))
        stored = raw.hgetall(KEYS.meta)
        raw.delete(KEYS.meta)
        raw.hset(KEYS.meta, mapping={"lease": "77", "stray": b"\xff"})
        assert (await one.beat(Beat(None, "me"))).epoch == before.epoch
        spoiled = {b"lease": b"77", b"stray": b"\xff"}
        assert raw.hgetall(KEYS.meta) == {**stored, **spoiled}
        raw.hset(KEYS.meta, "epoch", b"\xff")
        assert (await one.beat(Beat(None, "me"))).epoch == before.epoch
        raw.hset(KEYS.meta, mapping={"epoch": "other", "lease": "long"})
        assert (await one.beat(Beat(None, "me"))).epoch == before.epoch
        raw.hdel(KEYS.meta, "lease")
        assert (await one.beat(Beat(None, "me"))).epoch == before.epoch
        assert said.keys == {KEYS.meta}
        assert len(said) == 4
        assert one.terms == Terms(shards=4)


async def test_members_with_wrong_parts(redis_url: str, raw: Client) -> None:
    said = Said()
    async with opened(redis_url, report=said) as one:
        raw.hset(KEYS.members, mapping={**WRONG_MEMBERS, "long-dead": entry()})
        pulse = await one.beat(Beat(me(), "me"))
        assert [member.id for member in pulse.members] == ["me"]
        assert said.keys == {f"{KEYS.members} {name}" for name in WRONG_MEMBERS}
        assert set(raw.hkeys(KEYS.members)) == {
            b"me",
            *[name.encode() for name in WRONG_MEMBERS],
        }


async def test_an_entry_at_no_instant(redis_url: str, raw: Client) -> None:
    said = Said()
    key = KEYS.agenda(1, "default")
    async with opened(redis_url, report=said) as one:
        await one.transact(IDS, create(5))
        raw.zadd(key, {IDS[0]: float("-inf")})
        (head,) = await one.agenda([(1, "default")])
        assert {job_id for job_id, _ in head.entries} == set(IDS[1:])
        assert said.keys == {key}
        # A look at the job puts it right.
        await one.transact(IDS[:1], touch(6))
        (head,) = await one.agenda([(1, "default")])
        assert dict(head.entries)[IDS[0]] == 6


@pytest.mark.parametrize(
    "key",
    [
        KEYS.shared(1),
        KEYS.executors,
        KEYS.queues,
        KEYS.agenda(1, "default"),
        KEYS.ledger(1),
    ],
)
async def test_the_sweep_goes_round_garbage(
    redis_url: str, raw: Client, key: str
) -> None:
    """It deletes less rather than what somebody may use, and reports."""
    said = Said()
    other = ids_in(2, 1)
    async with opened(redis_url, report=said) as one:
        await one.transact(IDS, create(5, note="n" * 60))
        await one.transact(other, create(5, note="o" * 60))
        # Two names that nobody uses, in two shards.
        for shard in (1, 2):
            raw.sadd(KEYS.shared(shard), "x:unused")
            raw.set(KEYS.spec(shard, "unused"), "spec")
        garbage = another_type(raw, key)
        gone = await one.sweep()
        spoiled = {KEYS.shared(1), KEYS.agenda(1, "default")}
        assert gone == (0 if key == KEYS.queues else 1 if key in spoiled else 2)
        assert said.keys == (set() if key == KEYS.ledger(1) else {key})
        assert raw.dump(key) == garbage
        assert len(await one.read([*IDS, *other])) == 4


async def test_executors_of_another_type(redis_url: str, raw: Client) -> None:
    said = Said()
    async with opened(redis_url, report=said) as one:
        garbage = another_type(raw, KEYS.executors)
        await one.advertise([ExecutorInfo("work", (), "default")])
        assert await one.catalogue() == {}
        assert said.keys == {KEYS.executors}
        assert raw.dump(KEYS.executors) == garbage


@pytest.mark.parametrize("key", [KEYS.subscribers(1, "k"), KEYS.keyword_shards("k")])
async def test_a_keyword_of_another_type(redis_url: str, raw: Client, key: str) -> None:
    """It is told to whoever uses the keyword; other keywords go on."""
    async with opened(redis_url) as one:
        await one.transact(IDS[:1], create(5, keyword="k"))
        await one.transact(IDS[1:2], create(5, keyword="other"))
        garbage = another_type(raw, key)
        with pytest.raises(StoreDataError) as caught:
            await one.by_keyword("k")
        assert caught.value.key == key
        assert await one.by_keyword("other") == IDS[1:2]
    async with opened(redis_url) as two:
        with pytest.raises(StoreDataError) as caught:
            await two.transact(IDS[2:], create(5, keyword="k"))
        assert caught.value.key == key
        assert raw.dump(key) == garbage


async def test_upkeep_over_a_spoiled_agenda(redis_url: str, raw: Client) -> None:
    """Who asked for a job is told; the end of a run is written all the same."""
    said = Said()
    key = KEYS.agenda(1, "default")
    async with opened(redis_url, report=said) as one:
        await one.transact(IDS[:2], create(5))
        changes = await one.transact(IDS[:1], claim("me"), claim=True)
        fence = changes[IDS[0]].starts[0].run.fence
        garbage = another_type(raw, key)
        await one.transact(IDS[:1], extend("me", fence))
        await one.transact(IDS[:1], settle("me", fence))
        assert (await one.read(IDS[:1]))[IDS[0]].state.runs == ()
        assert said.keys == {key}
        with pytest.raises(StoreDataError) as caught:
            await one.transact(IDS[2:], create(5))
        assert caught.value.key == key
        assert raw.dump(key) == garbage


@pytest.mark.parametrize(
    ("at", "slot", "width", "took"),
    [(HUGE, 5, 0, 0), (5, HUGE, 0, 0), (5, 5, HUGE, 0), (5, 5, -9, 0), (5, 5, 0, HUGE)],
)
def test_rows_of_impossible_instants(at: int, slot: int, width: int, took: int) -> None:
    tail = f"1|=||1|1|7|own||{took or ''}|||null"
    good = unpack_row(f"job|S|5|0||{tail.replace(str(HUGE), '3')}")
    assert (good.at, good.slot, good.until) == (5, 5, 5)
    with pytest.raises(ValueError, match=r"impossible instant|digits"):
        unpack_row(f"job|S|{at}|{at - slot}|{width or ''}|{tail}")


def test_slots_that_passed_end_no_run() -> None:
    tail = "5|5||1|=|s||{}|||||||"
    assert not unpack_row(f"job|k|{tail.format('')}").final
    with pytest.raises(ValueError, match="of no run"):
        unpack_row(f"job|k|{tail.format('1')}")


def test_what_is_no_row_has_no_key() -> None:
    assert row_key("garbage row") == ""
