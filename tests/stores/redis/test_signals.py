"""Peers and signals, white-box."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiosched.abc import Beat, Member, Signal, SignalStream
from aiosched.errors import StoreUnavailableError
from aiosched.instants import DAY
from aiosched.stores.redis.store import RedisSession
from aiosched.testing.contract_decisions import (
    create,
    erase,
)
from tests.stores.redis.wire import (
    IDS,
    KEYS,
    Proxy,
    Said,
    command,
    opened,
)

# --- peers ------------------------------------------------------------------------


async def test_a_beat_is_one_round_trip(redis_url: str) -> None:
    async with opened(redis_url) as one:
        member = Member("me", "name", None, ("a",), True)
        await one.beat(Beat(member, "me", (0, 1, 2, 3)))
        counters = one.counters
        before = counters.commands, counters.round_trips
        await one.beat(Beat(member, "me", (0, 1, 2, 3)))
        assert counters.round_trips - before[1] == 1
        assert counters.commands - before[0] <= 8


async def test_a_beat_after_a_long_sleep_is_given_again(redis_url: str) -> None:
    async with opened(redis_url) as one, opened(redis_url) as two:
        member = Member("me", "name", None, (), True)
        keeper = one._link.time
        keeper.offset -= 3_600
        keeper._samples = [(trip, off - 3_600, at) for trip, off, at in keeper._samples]
        await one.beat(Beat(member, "me"))
        assert [m.id for m in (await two.beat(Beat(None, "you"))).members] == ["me"]


async def test_a_look_round_that_fails_is_taken_again(redis_url: str) -> None:
    """What has moved was not looked at yet."""
    member = Member("me", "name", None, (), True)
    async with opened(redis_url) as one:
        link = one._link
        for _ in range(3):
            await one.beat(Beat(member, "me", (0, 1, 2, 3)))
        command(redis_url, "SADD", KEYS.queues, "fresh")
        command(redis_url, "INCR", KEYS.rev(1))
        whole = link.try_typed

        async def cut(commands: Any, **options: Any) -> Any:
            if commands[0][0] != "HGET":
                return await whole(commands, **options)
            link.try_typed = whole  # type: ignore[method-assign]
            raise StoreUnavailableError("cut")

        link.try_typed = cut  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailableError):
            await one.beat(Beat(member, "me", (0, 1, 2, 3)))
        assert "fresh" in (await one.beat(Beat(member, "me", (0, 1, 2, 3)))).queues


async def test_the_long_dead_are_forgotten(redis_url: str) -> None:
    async with opened(redis_url) as one:
        old = await one.now() - DAY
        entry = f'[{old},"n",null,[],true,0,0,""]'
        command(redis_url, "HSET", KEYS.members, "dead", entry)
        assert (await one.beat(Beat(None, "me"))).members == ()
        assert command(redis_url, "HLEN", KEYS.members) == 0


# --- signals ----------------------------------------------------------------------


@asynccontextmanager
async def listening(session: RedisSession, *shards: int) -> AsyncIterator[SignalStream]:
    stream = session.signals()
    try:
        await stream.watch(frozenset(shards), frozenset(shards))
        yield stream
    finally:
        await stream.aclose()


async def following(stream: SignalStream, kind: str) -> Signal:
    async with asyncio.timeout(10):
        async for signal in stream:
            if signal.kind == kind:
                return signal
    raise AssertionError(f"the stream ended without {kind}")


@pytest.mark.parametrize("how", ["killed", "reset"])
async def test_each_gap_ends_with_a_resync(redis_url: str, how: str) -> None:
    async with opened(redis_url) as one, listening(one, 1) as stream:
        for _ in range(3):
            if how == "killed":
                command(redis_url, "CLIENT", "KILL", "TYPE", "pubsub")
            else:
                stream.reset()  # type: ignore[attr-defined]
            await following(stream, "resync")
            # From here on nothing is lost.
            await one.transact(IDS, create(5))
            heard = await following(stream, "changed")
            assert {entry[0] for entry in heard.entries} == set(IDS)
            await one.transact(IDS, erase())
            await following(stream, "changed")


async def test_a_half_open_link_is_told_by_the_canary(redis_url: str) -> None:
    async with opened(redis_url) as one, listening(one, 1) as stream:
        await one.beat(Beat(None, "me"))
        assert (await following(stream, "canary")).ids == ("me",)


async def test_garbage_on_a_channel(redis_url: str) -> None:
    said = Said()
    async with opened(redis_url, report=said) as one, listening(one, 1) as stream:
        for channel in (KEYS.changed(1), KEYS.done(1)):
            for text in ("", "garbage", "a|b|c|d", "a|b|1"):
                command(redis_url, "PUBLISH", channel, text)
        await one.beat(Beat(None, "me"))
        assert (await following(stream, "canary")).ids == ("me",)
        # On the channel of completions everything but nothing is an id.
        assert len(said) == 5
        assert said.keys == {KEYS.changed(1), KEYS.done(1)}


async def test_too_many_signals_become_one_resync(redis_url: str) -> None:
    async with opened(redis_url) as one, listening(one, 1) as stream:
        for number in range(1_500):
            stream._put(Signal("done", 1, ids=(str(number),)))  # type: ignore[attr-defined]
        kinds = []
        async with asyncio.timeout(10):
            async for signal in stream:
                kinds.append(signal.kind)
                if signal.ids == ("1499",):
                    break
        assert kinds == ["resync"] + ["done"] * 500


async def test_watching_a_store_that_is_gone(launch: Any) -> None:
    server = launch()
    async with opened(server.url) as one:
        stream = one.signals()
        server.kill()
        with pytest.raises(StoreUnavailableError):
            await stream.watch(frozenset({1}), frozenset())
        server.start()
        while True:
            try:
                await stream.watch(frozenset({1}), frozenset())
                break
            except StoreUnavailableError:
                continue
        await one.transact(IDS, create(5))
        assert await following(stream, "changed")
        await stream.aclose()
        await stream.aclose()


async def test_a_changed_mind_is_followed(redis_url: str) -> None:
    """Watching is cut short, and something else is watched: only that counts."""
    async with opened(redis_url) as one:
        stream = one.signals()
        await stream.watch(frozenset({0}), frozenset())
        for steps in range(4):
            task = asyncio.create_task(stream.watch(frozenset({2, 3}), frozenset({1})))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await stream.watch(frozenset({1}), frozenset())
            names = command(redis_url, "PUBSUB", "CHANNELS", "{t*")
            assert set(names) == {KEYS.canary, KEYS.changed(1)}
        await stream.aclose()


async def test_nothing_published_where_nothing_was_committed(redis_url: str) -> None:
    """heard-iff-committed: the EXEC that never arrived is not heard."""
    async with (
        Proxy(redis_url) as proxy,
        opened(proxy.url) as one,
        opened(redis_url) as two,
        listening(two, 1) as stream,
    ):
        proxy.plan = ["late"]
        await one.transact(IDS, create(5))
        await proxy.deliver()
        await two.beat(Beat(None, "me"))
        heard = []
        async with asyncio.timeout(10):
            async for signal in stream:
                heard.append(signal.kind)
                if signal.kind == "canary":
                    break
        assert heard == ["changed", "canary"]
