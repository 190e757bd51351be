"""A faulty store without a plan keeps the contract, and with one it breaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiosched.abc import Beat, ExecutorInfo, JobStore, Session
from aiosched.errors import StoreDataError, StoreUnavailableError
from aiosched.stores.memory import MemoryJobStore
from aiosched.testing.contract import JobStoreContract
from aiosched.testing.contract_decisions import create, touch
from aiosched.testing.faults import Fault, FaultyStore
from tests.contract.handclock import HandClock

SHARD = {"shards": 1}


class TestFaultyStoreWithoutFaults(JobStoreContract):
    """It only passes on."""

    async def make_store(self) -> JobStore:
        self.clock = HandClock()
        return FaultyStore(MemoryJobStore(self.clock), clock=self.clock)

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryJobStore(HandClock()), clock=HandClock())


async def asked(session: Session) -> int:
    """How often the job was written, or -1."""
    record = (await session.read(["job"])).get("job")
    return -1 if record is None else record.state.counts.asked


async def test_a_refused_call_was_not_made(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    store.plan(Fault("transact", nth=2))
    await session.transact(["job"], create(1))
    with pytest.raises(StoreUnavailableError, match="transact was refused"):
        await session.transact(["job"], touch(1))
    assert await asked(session) == 0
    await session.transact(["job"], touch(1))
    assert await asked(session) == 1
    assert [(strike.verb, strike.call) for strike in store.struck] == [("transact", 2)]
    assert store.unused == ()


async def test_a_lost_reply_is_of_a_call_that_was_made(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    store.plan(Fault("transact", kind="lost_reply"))
    with pytest.raises(StoreUnavailableError, match="reply to transact was lost"):
        await session.transact(["job"], create(1))
    assert await asked(session) == 0


async def test_a_row_of_calls(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    store.plan(Fault("read", nth=2, times=2))
    outcomes = []
    for _ in range(5):
        try:
            await session.read(["job"])
            outcomes.append("ok")
        except StoreUnavailableError:
            outcomes.append("refused")
    assert outcomes == ["ok", "refused", "refused", "ok", "ok"]
    assert len(store.struck) == 2


async def test_calls_that_match(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    store.plan(Fault("transact", nth=2, match=lambda claim, **_: claim))
    await session.transact(["job"], create(1), claim=True)
    for _ in range(3):
        await session.transact(["job"], touch(1))
    with pytest.raises(StoreUnavailableError):
        await session.transact(["job"], touch(1), claim=True)
    assert await asked(session) == 3


async def test_a_delay_follows_the_clock() -> None:
    slept: list[float] = []

    class Noting(HandClock):
        async def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    store = FaultyStore(MemoryJobStore(HandClock()), clock=Noting())
    session = await store.open("n", SHARD)
    store.plan(Fault("beat", kind="delay", seconds=2.5))
    assert (await session.beat(Beat(None, "x"))).members == ()
    assert slept == [2.5]


async def test_what_hangs_goes_on_when_released(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    store.plan(Fault("transact", kind="hang", times=None))
    calls = [
        asyncio.ensure_future(session.transact(["job"], create(1))) for _ in range(2)
    ]
    await store.hung(2)
    assert await asked(session) == -1
    store.release()
    made = await asyncio.gather(*calls)
    assert sorted(map(len, made)) == [0, 1]
    later = asyncio.ensure_future(session.transact(["job"], touch(1)))
    await store.hung()
    assert store.hanging == 1
    later.cancel()
    await asyncio.wait([later])
    assert store.hanging == 0
    store.heal()
    assert await session.transact(["job"], touch(1))
    assert await asked(session) == 1


async def test_signals_can_be_dropped(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    store.plan(
        Fault(
            "signals",
            kind="drop",
            times=None,
            match=lambda signal: signal.kind == "changed",
        )
    )
    stream = session.signals()
    await stream.watch(frozenset({0}), frozenset({0}))
    await session.transact(["job"], create(1))
    await session.beat(Beat(None, "canary"))
    async with asyncio.timeout(5):
        assert (await anext(aiter(stream))).kind == "canary"
    assert len(store.struck) == 1
    stream.reset()
    assert (await anext(aiter(stream))).kind == "resync"
    await stream.aclose()
    await session.close()


async def test_a_lost_open_leaves_no_session() -> None:
    inner = MemoryJobStore(HandClock())
    store = FaultyStore(inner, Fault("open", kind="lost_reply"))
    with pytest.raises(StoreUnavailableError):
        await store.open("n", SHARD)
    assert inner.sessions == 0
    await (await store.open("n", SHARD)).close()
    assert inner.sessions == 0


async def test_an_error_of_ones_own(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    store.plan(Fault("read", kind="error", error=StoreDataError("key", "garbage")))
    with pytest.raises(StoreDataError, match="garbage"):
        await session.read(["job"])


async def test_every_verb_can_fail(store: FaultyStore) -> None:
    session = await store.open("n", SHARD)
    stream = session.signals()
    verbs: dict[str, Callable[[], Awaitable[object]]] = {
        "open": lambda: store.open("n", SHARD),
        "transact": lambda: session.transact(["job"], create(1)),
        "read": lambda: session.read(["job"]),
        "list": lambda: session.list(),
        "agenda": lambda: session.agenda([(0, "default")]),
        "by_keyword": lambda: session.by_keyword("k"),
        "ledger": lambda: session.ledger("job"),
        "beat": lambda: session.beat(Beat(None, "x")),
        "advertise": lambda: session.advertise([ExecutorInfo("x", ())]),
        "catalogue": lambda: session.catalogue(),
        "now": lambda: session.now(),
        "sweep": lambda: session.sweep(),
        "watch": lambda: stream.watch(frozenset(), frozenset()),
    }
    store.plan(Fault("*", times=None))
    for name, call in verbs.items():
        with pytest.raises(StoreUnavailableError, match=f"^{name} was refused"):
            await call()
    assert [strike.verb for strike in store.struck] == list(verbs)
    store.heal()
    for call in verbs.values():
        await call()


@pytest.mark.parametrize(
    "wrong",
    [
        {"verb": "transakt"},
        {"verb": "read", "nth": 0},
        {"verb": "read", "times": 0},
        {"verb": "read", "kind": "drop"},
        {"verb": "signals"},
        {"verb": "read", "kind": "error"},
        {"verb": "read", "error": ValueError()},
    ],
    ids=str,
)
def test_a_fault_that_could_never_strike_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Fault(**wrong)


def test_what_did_not_strike_is_told() -> None:
    fault = Fault("read", nth=99)
    assert FaultyStore(MemoryJobStore(), fault).unused == (fault,)
