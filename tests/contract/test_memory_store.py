"""What the memory store promises beyond the contract."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aiosched.abc import Beat, Session
from aiosched.enums import RowKind
from aiosched.errors import ConfigurationError
from aiosched.instants import DAY, SECOND
from aiosched.records import Change, Counts, Definition, Record, Row, Spec, State
from aiosched.stores import ordered
from aiosched.stores.memory import MemoryJobStore
from aiosched.stores.ordered import OrderedEntries
from aiosched.testing import run_virtual
from aiosched.testing.contract_decisions import create, ids_in, rewritten, touch
from aiosched.triggers.interval import IntervalTrigger
from tests.contract.handclock import HandClock


def noting(*ats: int) -> Any:
    """Append a row for each instant."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        rows = tuple(Row("job", RowKind.MISSED, at or now) for at in ats)
        record = records["job"]
        assert record is not None
        return {"job": Change(rewritten(record, now), rows=rows)}

    return decide


async def ledger_of(session: Session) -> int:
    return len(await session.ledger("job", limit=1_000))


# -- time ---------------------------------------------------------------------------


async def test_setting_the_wall_clock_has_no_effect() -> None:
    clock = HandClock()
    session = await MemoryJobStore(clock).open("n", {})
    begin = clock.wall()
    assert await session.now() == begin
    for wall in (begin - 365 * DAY, begin + 365 * DAY, 0):
        clock.wall_now = wall
        clock.seconds += 1.5
    assert await session.now() - begin == 4_500_000
    assert session.estimate() - begin == 4_500_000


async def test_a_second_namespace_shares_the_time() -> None:
    clock = HandClock()
    store = MemoryJobStore(clock)
    one = await store.open("one", {})
    clock.wall_now += DAY
    two = await store.open("two", {})
    assert await one.now() == await two.now()


def test_time_does_not_go_back_on_another_loop() -> None:
    clock = HandClock()
    store = MemoryJobStore(clock)

    async def visit() -> int:
        session = await store.open("n", {})
        clock.seconds += 60
        now = await session.now()
        await session.close()
        return now

    first = asyncio.run(visit())
    clock.seconds, clock.wall_now = 0.0, clock.wall_now - DAY
    assert asyncio.run(visit()) == first + 60 * SECOND


def test_virtual_time_is_obeyed() -> None:
    async def main() -> tuple[int, int]:
        session = await MemoryJobStore().open("n", {})
        before = await session.now()
        await asyncio.sleep(86_400)
        return before, await session.now()

    before, after = run_virtual(main)
    assert after - before == DAY


# -- one loop -----------------------------------------------------------------------


def test_a_second_loop_is_refused_while_a_session_is_open() -> None:
    store = MemoryJobStore(HandClock())

    async def begin() -> Session:
        return await store.open("n", {})

    first = asyncio.new_event_loop()
    try:
        session = first.run_until_complete(begin())
        with pytest.raises(ConfigurationError, match="another event loop") as caught:
            asyncio.run(begin())
        assert caught.value.field == "store"
        first.run_until_complete(session.transact(["job"], create(1)))
        first.run_until_complete(session.close())
    finally:
        first.close()

    async def again() -> set[str]:
        later = await store.open("n", {})
        found = set(await later.read(["job"]))
        await later.close()
        return found

    assert asyncio.run(again()) == {"job"}


async def test_two_stores_share_nothing() -> None:
    one = await MemoryJobStore().open("n", {})
    two = await MemoryJobStore().open("n", {})
    await one.transact(["job"], create(1))
    assert await two.read(["job"]) == {}


# -- bounds -------------------------------------------------------------------------


async def test_the_ledger_is_bounded_by_number() -> None:
    session = await MemoryJobStore(HandClock()).open("n", {"ledger_cap": 10})
    await session.transact(["job"], create(1))
    await session.transact(["other"], create(1))
    for _ in range(7):
        await session.transact(["job"], noting(0, 0))
    assert await ledger_of(session) == 10
    assert len(await session.ledger(limit=100)) == 10


async def test_the_ledger_is_bounded_by_age() -> None:
    clock = HandClock()
    session = await MemoryJobStore(clock).open("n", {"ledger_age": SECOND})
    await session.transact(["job"], create(1))
    await session.transact(["job"], noting(0, 0))
    clock.advance(1.0)
    assert await ledger_of(session) == 2
    await session.transact(["job"], noting(0))
    clock.advance(0.000001)
    assert await ledger_of(session) == 1
    clock.advance(1.0)
    assert await session.sweep() == 1


async def test_sweeping_counts_what_it_lets_go_of() -> None:
    clock = HandClock()
    session = await MemoryJobStore(clock).open("n", {})
    await session.transact(["job"], create(1))
    await session.transact(["job"], noting(0, 0, 0))
    assert await session.sweep() == 0
    clock.advance(8 * 86_400)
    assert await session.sweep() == 3
    assert set(await session.read(["job"])) == {"job"}


async def test_too_many_signals_become_one_resync() -> None:
    session = await MemoryJobStore(HandClock()).open("n", {"shards": 1})
    stream = session.signals()
    await stream.watch(frozenset({0}), frozenset())
    await session.transact(["job"], create(0))
    for at in range(2_500):
        await session.transact(["job"], touch(at))
    await session.beat(Beat(None, "end"))
    kinds: list[str] = []
    async for signal in stream:
        kinds.append(signal.kind)
        if signal.kind == "canary":
            break
    assert kinds[0] == "resync"
    assert kinds.count("resync") == 1
    assert len(kinds) <= 1_001
    await stream.aclose()


async def test_signals_come_after_the_commit_has_returned() -> None:
    session = await MemoryJobStore(HandClock()).open("n", {"shards": 1})
    stream = session.signals()
    await stream.watch(frozenset({0}), frozenset())

    async def listen() -> str:
        return (await anext(aiter(stream))).kind

    reader = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    await session.transact(["job"], create(1))
    assert not reader.done()
    async with asyncio.timeout(5):
        assert await reader == "changed"
    await stream.aclose()


async def test_closing_a_session_ends_its_subscriptions() -> None:
    session = await MemoryJobStore(HandClock()).open("n", {"shards": 1})
    stream = session.signals()
    await stream.watch(frozenset({0}), frozenset())

    async def listen() -> list[str]:
        return [signal.kind async for signal in stream]

    reader = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    await session.close()
    async with asyncio.timeout(5):
        assert await reader == []


async def test_others_get_their_turn() -> None:
    """A peer that never waits for anything does not hold up the loop."""
    clock = HandClock()
    session = await MemoryJobStore(clock).open("n", {"shards": 1})
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    ids = ids_in(0, 100, shards=1)
    await session.transact(ids, create(1))
    for _ in range(100):
        await session.transact(ids, touch(1))
    for _ in range(5_000):
        await session.now()
    task.cancel()
    assert len(turns) >= 10
    assert clock.pauses <= 100


async def test_equal_specs_are_kept_once() -> None:
    session = await MemoryJobStore(HandClock()).open("n", {"shards": 1})
    for job_id in ("one", "two"):
        await session.transact([job_id], create(1, tags=("a", "b")))
    found = await session.read(["one", "two"])
    one, two = found["one"].definition.spec, found["two"].definition.spec
    assert one == two
    assert one is two


async def test_many_specs_are_forgotten() -> None:
    store = MemoryJobStore(HandClock())
    session = await store.open("n", {"shards": 1})
    for n in range(10_050):
        await session.transact(["job"], create(1, note=str(n)))
        await session.transact(["job"], lambda _records, _now: {"job": Change(None)})
    space = store._spaces["n"]
    assert len(space._specs) <= 10_000


async def test_a_trigger_that_cannot_be_hashed() -> None:
    class Lists(IntervalTrigger, frozen=True):
        kind: Any = "contract-lists"
        days_off: list[int] = []  # noqa: RUF012 - a pydantic field

    session = await MemoryJobStore(HandClock()).open("n", {"shards": 1})
    await session.transact(["job"], create(1, trigger=Lists(seconds=1)))
    assert set(await session.read(["job"])) == {"job"}


async def test_a_pending_job_is_small() -> None:
    session = await MemoryJobStore(HandClock()).open("n", {"shards": 1})
    ids = [f"invoice-{n:012d}" for n in range(5_000)]
    none = Counts()

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for n, job_id in enumerate(records):
            slot = now + int(job_id[-12:]) * SECOND + n
            seq = now + n
            own_id = "".join(job_id)
            arguments = b'[[],{"invoice_id":%d}]' % n
            definition = Definition(own_id, Spec("mail.Send"), slot, arguments)
            state = State(seq, seq, next=slot, since=slot, counts=none)
            changes[job_id] = Change(Record(definition, state), slot)
        return changes

    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for start in range(0, len(ids), 100):
            await session.transact(ids[start : start + 100], decide)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(ids) <= 700


# -- refusals -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shards", 0),
        ("lease", -1),
        ("beat", 1.5),
        ("lease", "15"),
        ("shards", True),
        ("steal_delay", -1),
        ("colour", 3),
    ],
)
async def test_terms_that_cannot_be_are_refused(field: str, value: object) -> None:
    store = MemoryJobStore(HandClock())
    with pytest.raises(ConfigurationError) as caught:
        await store.open("n", {field: value})
    assert caught.value.field == field
    assert (await store.open("n", {"steal_delay": 0})).terms.steal_delay == 0


async def test_wrong_calls_are_refused() -> None:
    session = await MemoryJobStore(HandClock()).open("n", {"shards": 1})
    with pytest.raises(ValueError, match="more than 1000"):
        await session.read([str(n) for n in range(1_001)])
    with pytest.raises(ValueError, match="twice"):
        await session.transact(["job", "job"], create(1))
    with pytest.raises(ValueError, match="not given"):
        await session.transact(["job"], lambda _r, _n: {"other": Change(None)})
    with pytest.raises(ValueError, match="no cursor"):
        await session.list(cursor="garbage")
    with pytest.raises(ValueError, match="shows nothing"):
        await session.list(limit=0)
    assert await session.ledger(limit=0) == ()


# -- agendas ------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=400))
def test_ordered_entries_are_a_sorted_set(steps: list[tuple[bool, int]]) -> None:
    entries, expected = OrderedEntries(), set[tuple[int, str]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_HALF", 2)
        for number, (adding, at) in enumerate(steps):
            if adding or not expected:
                entries.add((at, str(number)))
                expected.add((at, str(number)))
            else:
                gone = sorted(expected)[at % len(expected)]
                entries.remove(gone)
                expected.remove(gone)
            for limit in (0, 1, 3, 1_000):
                first, complete = entries.first(limit)
                assert first == sorted(expected)[:limit]
                assert complete is (len(expected) <= limit)
