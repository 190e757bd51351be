"""Why a run is to end: told to the executor, to who waits, and to the history."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from aiosched import (
    Context,
    Event,
    Job,
    MemoryJobStore,
    Outcome,
    Reason,
    Scheduler,
    planning,
)
from aiosched.records import Change, Record
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, now
from tests.waiting import wait_until

virtual = pytest.mark.virtual(timeout=100_000)

TERMS: dict[str, Any] = {
    "lease": 1.0,
    "terms": {"beat": 0.3, "member_timeout": 1.0, "shards": 4},
}

Act = Callable[[Scheduler, Scheduler], Awaitable[object]]


async def _thief(peer: Scheduler, _: Scheduler) -> None:
    """Give the run up for lost, as a peer does that finds its lease at an end."""
    session = peer._session
    assert session is not None

    def decide(records: Mapping[str, Record | None], _: int) -> dict[str, Change]:
        record = records["a"]
        assert record is not None
        late = record.state.runs[0].until
        change = planning.attend(
            record.definition, record.state, late, 0, "thief", 1_000_000
        )
        return {} if change is None else {"a": change}

    await session.transact(["a"], decide, signal=True)


CASES: dict[Reason, tuple[dict[str, Any], Act, Outcome]] = {
    Reason.USER: ({}, lambda _, c: c.stop_job("a"), Outcome.CANCELLED),
    Reason.REMOVED: ({}, lambda _, c: c.remove_job("a"), Outcome.CANCELLED),
    Reason.TIMEOUT: (
        {"timeout": 0.2},
        lambda _p, _c: asyncio.sleep(0),
        Outcome.TIMED_OUT,
    ),
    Reason.SHUTDOWN: (
        {"on_lost": "record"},
        lambda p, _: p.shutdown(force=True),
        Outcome.CANCELLED,
    ),
    Reason.REPLACED: (
        {"overlap": "cancel_previous"},
        lambda _, c: c.start_job("a"),
        Outcome.CANCELLED,
    ),
    Reason.LEASE_LOST: ({"on_lost": "record"}, _thief, Outcome.LOST),
}


def test_every_reason_for_which_a_run_is_cancelled_is_in_the_table() -> None:
    others = {
        Reason.NONE,
        Reason.ITSELF,  # nobody asked for it
        Reason.UNRESOLVABLE,  # it never ran
        # Of slots that were never fired.
        Reason.OVERLAP,
        Reason.COALESCED,
        Reason.GRACE,
        Reason.LIMIT,
        Reason.MODIFIED,
    }
    assert set(CASES) == set(Reason) - others


@pytest.fixture
def make_threaded() -> MakeScheduler:
    """Build peers on one store in memory, in real time: threads need it."""
    store = MemoryJobStore()

    def make(name: str, **options: Any) -> Scheduler:
        return Scheduler(store, name=name, **{**TERMS, **options})

    return make


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.value)
async def test_a_coroutine_is_told_why(
    make_scheduler: MakeScheduler, reason: Reason
) -> None:
    seen: list[Reason] = []

    async def work(context: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(context.cancel_reason)

    await _cancelled(make_scheduler, work, seen, reason)


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.value)
async def test_a_function_in_a_thread_is_told_why(
    make_threaded: MakeScheduler, reason: Reason
) -> None:
    seen: list[Reason] = []
    pause = threading.Event()

    def work(context: Context) -> str:
        while not context.cancelled:
            pause.wait(0.005)
        seen.append(context.cancel_reason)
        return "half"

    run = await _cancelled(make_threaded, work, seen, reason)
    # What it had by then is kept, unless the record was somebody else's.
    assert run.result == (None if reason is Reason.LEASE_LOST else "half")


async def _cancelled(
    make: MakeScheduler, work: Any, seen: list[Reason], reason: Reason
) -> Any:
    options, act, outcome = CASES[reason]
    peer, client = make("p0"), make("client", run_jobs=False)
    peer.register(work, name="work")
    told: list[Event] = []
    peer.on("*", told.append)
    try:
        await peer.start()
        await client.start()
        await client.schedule(Job("work", id="a", keyword="k", **options))
        firing = await client.start_job("a")
        await wait_until(
            lambda: any(event.name == "run_started" for event in told), "the run"
        )
        await act(peer, client)
        run = await client.wait(firing, timeout=10)
        await wait_until(lambda: bool(seen), "the run to hear of it")
        assert seen[0] is reason
        assert (run.outcome, run.reason) == (outcome, reason)
        (row,) = [
            row
            for row in await client.history("a")
            if row.run and row.run.key == firing.key
        ]
        assert (row.reason, row.run and row.run.outcome) == (reason, outcome)
        ends = ("fenced",) if reason is Reason.LEASE_LOST else ("run_ended",)
        await wait_until(
            lambda: any(event.name in ends for event in told), "its end to be told"
        )
    finally:
        await asyncio.gather(*(each.shutdown(force=True) for each in (peer, client)))
    return run


# --- runs that do not end ----------------------------------------------------------


@virtual
@pytest.mark.parametrize("reason", [Reason.USER, Reason.TIMEOUT])
async def test_a_run_that_swallows_its_cancellation_is_reported(
    reason: Reason,
) -> None:
    async with World() as world:
        p0 = world.build("p0", work=False)
        client = await world.peer("client", run_jobs=False)
        told: list[Event] = []
        p0.on("*", told.append)

        @p0.executor
        async def stubborn() -> str:
            ends = now() + 40
            while now() < ends:
                try:
                    await asyncio.sleep(ends - now())
                except asyncio.CancelledError:
                    continue
            return "when it pleased"

        await world.start(p0)
        options = {"timeout": 10} if reason is Reason.TIMEOUT else {}
        await client.schedule(Job("stubborn", id="a", **options))
        await asyncio.sleep(10)
        (mine,) = await p0.running()
        assert (mine.cancelling, mine.uncooperative) == (
            reason is Reason.TIMEOUT,
            False,
        )
        if reason is Reason.USER:
            await client.stop_job("a")
        await asyncio.sleep(12)
        (event,) = [each for each in told if each.name == "uncooperative"]
        assert event.data == {"fence": mine.fence, "reason": reason.value}
        (mine,) = await p0.running()
        assert (mine.cancelling, mine.reason, mine.uncooperative) == (
            True,
            reason,
            True,
        )
        (seen,) = await client.running()
        # Of another peer's run the record alone is known.
        assert seen.uncooperative is None
        assert seen.cancelling is (reason is Reason.USER)
        run = await client.wait("a")
        assert (run.reason, run.result) == (reason, "when it pleased")
        assert now() == 40.0
        assert len([each for each in told if each.name == "uncooperative"]) == 1


@virtual
async def test_a_run_that_a_shutdown_cannot_end_is_reported_once() -> None:
    async with World() as world:
        p0 = world.build("p0", work=False)
        told: list[Event] = []
        p0.on("uncooperative", told.append)

        @p0.executor
        async def stubborn() -> None:
            for _ in range(3):
                try:
                    await asyncio.sleep(20)
                except asyncio.CancelledError:
                    continue

        await world.start(p0)
        await p0.schedule(Job("stubborn", id="a"))
        await asyncio.sleep(1)
        await p0.stop_job("a")
        await asyncio.sleep(11)
        assert len(told) == 1
        await p0.shutdown(force=True)
        assert [event.data["reason"] for event in told] == ["user"]
        assert now() < 30
        await asyncio.sleep(60)  # until it is over
