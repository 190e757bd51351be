"""Guards: one holder at a time, extended while held, and told when lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import (
    ConfigurationError,
    Context,
    Guard,
    GuardHeldError,
    GuardLostError,
    Job,
    MemoryJobStore,
    Outcome,
    Reason,
    Retry,
    Scheduler,
    SchedulerStateError,
    StoreUnavailableError,
)
from aiosched.context import Context as RunContext
from aiosched.testing.faults import Fault, FaultyStore
from tests.engine.kit import World, after, loop, now
from tests.waiting import wait_until

pytestmark = pytest.mark.virtual(timeout=100_000)


async def free(peer: Scheduler, name: str) -> bool:
    """Say whether a name can be taken, and leave it free."""
    guard = peer.guard(name)
    taken = await guard.acquire()
    await guard.release()
    return taken


# --- holding ---


async def test_only_one_is_inside_and_the_next_may_enter_behind_it() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        async with p0.guard("a", ttl=30) as first:
            assert first.held
            assert not first.lost
            with pytest.raises(GuardHeldError) as caught:
                async with p1.guard("a"):
                    raise AssertionError("two are inside")
            assert (caught.value.name, caught.value.holder) == ("a", p0.id)
            assert caught.value.seconds == 30.0
            assert not await p1.guard("a").acquire()
            assert await p1.guard("b").acquire()
        async with p1.guard("a") as second:
            assert second.fence > first.fence
        assert not first.held


async def test_it_is_extended_for_as_long_as_the_body_takes() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        async with p0.guard("a", ttl=3) as held:
            for _ in range(20):
                await asyncio.sleep(1)
                assert held.held
                assert not await p1.guard("a").acquire()
        assert await free(p1, "a")


async def test_it_outlives_its_holder_by_its_time() -> None:
    async with World() as world:
        p1 = await world.peer("p1")
        p0 = await world.peer("p0")
        guard = p0.guard("a", ttl=9)

        async def hold() -> None:
            async with guard:
                await asyncio.sleep(10_000)

        loop().spawn("p0", hold())
        await asyncio.sleep(100)
        world.crash("p0")
        crashed = now()
        await wait_until(lambda: free(p1, "a"), "the end of the claim", timeout=60)
        assert 6.0 <= now() - crashed <= 9.1


async def test_a_body_that_raises_releases_it() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        with pytest.raises(LookupError):
            async with p0.guard("a"):
                raise LookupError
        assert await free(p0, "a")


async def test_a_body_that_is_cancelled_releases_it() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        inside = asyncio.Event()

        async def hold() -> None:
            async with p0.guard("a"):
                inside.set()
                await asyncio.sleep(10_000)

        task = asyncio.create_task(hold())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await free(p0, "a")


async def test_who_is_cancelled_while_taking_it_leaves_nothing_behind() -> None:
    """The store has taken it, and nobody is left who could release it."""
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        store.plan(Fault("guard", kind="hang"))
        task = asyncio.create_task(p0.guard("a", ttl=1_000).acquire())
        await store.hung()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.release()
        # And where the reply was lost.
        store.plan(Fault("guard", kind="lost_reply"))
        with pytest.raises(StoreUnavailableError):
            await p0.guard("b", ttl=1_000).acquire()
        await asyncio.sleep(1)
        assert await free(p0, "a")
        assert await free(p0, "b")


# --- lingering ---


async def test_a_lingering_name_stays_taken_for_its_time() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        begun = now()
        async with p0.guard("a", ttl=5, linger=True):
            pass
        assert await p1.guard("b", ttl=after(5), linger=True).acquire()
        await asyncio.sleep(4.9)
        assert not await p1.guard("a").acquire()
        assert not await p1.guard("b").acquire()
        await asyncio.sleep(begun + 5.1 - now())
        assert await free(p1, "a")
        assert await free(p1, "b")


async def test_a_lingering_name_is_extended_under_its_body() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        async with p0.guard("a", ttl=3, linger=True) as held:
            await asyncio.sleep(20)
            assert held.held
        assert not await free(p0, "a")
        await asyncio.sleep(3)
        assert await free(p0, "a")


async def test_a_lingering_name_can_be_released_all_the_same() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        guard = p0.guard("a", ttl=100, linger=True)
        assert await guard.acquire()
        await guard.release()
        await guard.release()
        assert await free(p0, "a")


async def test_the_same_guard_may_be_taken_again_when_it_is_over() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        guard = p0.guard("a", ttl=5, linger=True)
        fences = []
        for _ in range(3):
            assert await guard.acquire()
            assert (guard.held, guard.lost) == (True, False)
            fences.append(guard.fence)
            await asyncio.sleep(5.1)
            assert (guard.held, guard.lost) == (False, False)
        assert fences == sorted(set(fences))


# --- losing ---


async def lost_by_an_outage(world: World, store: FaultyStore, guard: Guard) -> float:
    """Hold a guard through an outage; return how long the body went on."""
    begun = now()

    async def hold() -> None:
        async with guard:
            store.plan(Fault("guard", times=None))
            try:
                await asyncio.sleep(10_000)
            except asyncio.CancelledError:
                assert guard.lost
                assert not guard.held
                raise

    with pytest.raises(GuardLostError) as caught:
        await hold()
    assert caught.value.name == guard.name
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    return now() - begun


async def test_the_body_ends_when_it_is_lost() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        told = p0.events("guard_lost")
        guard = p0.guard("a", ttl=30)
        took = await lost_by_an_outage(world, store, guard)
        # Its deadline, and not before: an outage that is shorter costs nothing.
        assert took == pytest.approx(30.0, abs=0.1)
        event = await anext(told)
        assert event.data["guard"] == "a"
        assert event.data["fence"] == guard.fence
        store.heal()
        async with guard:
            assert guard.held


async def test_an_outage_shorter_than_its_time_costs_nothing() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        async with p0.guard("a", ttl=30) as held:
            store.plan(Fault("guard", times=None))
            await asyncio.sleep(19)
            store.heal()
            await asyncio.sleep(100)
            assert held.held


async def test_a_store_that_hangs_does_not_keep_a_lost_body_going() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        begun = now()

        async def hold() -> None:
            async with p0.guard("a", ttl=30):
                store.plan(Fault("guard", kind="hang", times=None))
                await asyncio.sleep(10_000)

        with pytest.raises(GuardLostError):
            await hold()
        assert now() - begun == pytest.approx(30.0, abs=0.1)
        store.heal()


async def test_who_was_stopped_for_longer_knows_that_it_has_lost_it() -> None:
    """Both bodies never run at a time, and the fences are in order."""
    inside: list[str] = []
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        guards: dict[str, Guard] = {}

        async def hold(peer: Scheduler) -> str:
            guard = guards[peer.name] = peer.guard("a", ttl=6)
            try:
                async with guard:
                    inside.append(peer.name)
                    await asyncio.sleep(50)
            except GuardLostError:
                return "lost"
            return "held"

        first = loop().spawn("p0", hold(p0))
        await asyncio.sleep(1)
        loop().stall("p0", 20)
        await asyncio.sleep(10)
        second = loop().spawn("p1", hold(p1))
        assert await first == "lost"
        assert await second == "held"
        assert inside == ["p0", "p1"]
        assert guards["p1"].fence > guards["p0"].fence


async def test_a_cancellation_from_outside_wins_over_the_loss() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        told = p0.events("guard_lost")

        async def hold() -> None:
            async with p0.guard("a", ttl=10):
                store.plan(Fault("guard", times=None))
                try:
                    await asyncio.sleep(10_000)
                finally:
                    await asyncio.sleep(5)

        task = asyncio.create_task(hold())
        await anext(told)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.heal()


async def test_what_was_lost_may_be_taken_again() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        guard = p0.guard("a", ttl=10)
        assert await guard.acquire()
        store.plan(Fault("guard", times=None))
        await asyncio.sleep(11)
        assert guard.lost
        store.heal()
        assert await guard.acquire()
        assert guard.held
        assert not guard.lost


async def test_a_body_that_blocks_the_loop_for_too_long_is_told() -> None:
    """Nobody could extend it, and nobody could stop the body."""
    async with World() as world:
        p0 = await world.peer("p0")

        async def hold() -> None:
            async with p0.guard("a", ttl=6):
                loop().block(20)

        with pytest.raises(GuardLostError):
            await loop().spawn("p0", hold())


async def test_a_body_that_ends_in_the_step_of_the_loss_is_told() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        guard = p0.guard("a", ttl=10)
        with pytest.raises(GuardLostError):
            async with guard:
                guard._lose(p0._engine.guards, "as the test wants")  # type: ignore[union-attr]
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        await asyncio.sleep(1)  # nothing is left on its way


async def test_an_error_of_the_body_is_not_hidden_by_the_loss() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        guard = p0.guard("a", ttl=10)

        async def hold() -> None:
            async with guard:
                guard._lose(p0._engine.guards, "as the test wants")  # type: ignore[union-attr]
                raise LookupError

        with pytest.raises(LookupError):
            await hold()
        await asyncio.sleep(1)


# --- within runs ---


async def test_what_a_run_holds_is_free_when_it_ends_however_it_ends() -> None:
    async with World() as world:
        p0 = world.build("p0", work=False)

        @p0.executor
        async def work(context: Context, how: str) -> int:
            guards = [context.guard(f"{how}-{n}", ttl=1_000) for n in range(3)]
            for guard in guards:
                assert await guard.acquire()
            if how == "raises":
                raise LookupError
            if how == "waits":
                await asyncio.sleep(10_000)
            return guards[0].fence

        await world.start(p0)
        ends = {}
        for how in ("returns", "raises", "waits"):
            timeout = 60 if how == "waits" else None
            job = Job("work", kwargs={"how": how}, timeout=timeout)
            run = await p0.wait(await p0.schedule(job))
            ends[how] = run.outcome
            for n in range(3):
                assert await free(p0, f"{how}-{n}")
        assert list(ends.values()) == [
            Outcome.SUCCEEDED,
            Outcome.FAILED,
            Outcome.TIMED_OUT,
        ]


async def test_what_a_run_holds_is_free_when_it_is_stopped_or_shut_down() -> None:
    async with World() as world:
        other = await world.peer("other", run_jobs=False)
        p0 = world.build("p0", work=False)
        inside = asyncio.Event()

        @p0.executor
        async def work(context: Context) -> None:
            await context.guard("a", ttl=1_000).acquire()
            inside.set()
            await asyncio.sleep(10_000)

        await world.start(p0)
        job = await p0.schedule(Job("work", id="w", keyword="k", on_lost="record"))
        [firing] = await p0.fire_job("k")
        await inside.wait()
        await p0.stop_job(job)
        assert (await p0.wait(firing)).outcome is Outcome.CANCELLED
        assert await free(other, "a")
        await p0.resume(job)
        inside.clear()
        await p0.fire_job("k")
        await inside.wait()
        await p0.shutdown(force=True)
        assert await free(other, "a")


async def test_a_run_that_loses_its_guard_fails_and_is_tried_again() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = world.build("p0", work=False)

        @p0.executor
        async def work(context: Context) -> int:
            async with context.guard("a", ttl=10):
                if context.attempt == 1:
                    store.plan(Fault("guard", times=None))
                    await asyncio.sleep(10_000)
            return context.attempt

        await world.start(p0)
        lost = p0.events("guard_lost")
        job = await p0.schedule(Job("work", retry=Retry(attempts=3, delay=60)))
        await anext(lost)
        store.heal()
        run = await p0.wait(job)
        assert (run.outcome, run.attempt) == (Outcome.SUCCEEDED, 2)


async def test_a_lingering_guard_outlives_its_run() -> None:
    async with World() as world:
        p0 = world.build("p0", work=False)

        @p0.executor
        async def work(context: Context) -> bool:
            return await context.guard("a", ttl=60, linger=True).acquire()

        await world.start(p0)
        assert await p0.result(await p0.schedule(Job("work"))) is True
        assert await p0.result(await p0.schedule(Job("work"))) is False
        await asyncio.sleep(60)
        assert await p0.result(await p0.schedule(Job("work"))) is True


# --- where it cannot be ---


async def test_a_guard_of_a_scheduler_that_ends_is_lost() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        inside = asyncio.Event()

        async def hold() -> None:
            async with p0.guard("a", ttl=20):
                inside.set()
                await asyncio.sleep(10_000)

        task = asyncio.create_task(hold())
        await inside.wait()
        await p0.shutdown()
        with pytest.raises(GuardLostError, match="its scheduler has ended"):
            await task
        # Its body has ended, so it may be let go; at the latest its time is over.
        await asyncio.sleep(20)
        assert await free(p1, "a")


async def test_it_needs_a_scheduler_that_is_started() -> None:
    scheduler = Scheduler()
    guard = scheduler.guard("a")
    with pytest.raises(SchedulerStateError):
        await guard.acquire()
    async with scheduler:
        assert await guard.acquire()
        with pytest.raises(SchedulerStateError, match="taken already"):
            await guard.acquire()
        with pytest.raises(SchedulerStateError, match="async with"):
            scheduler.guard("b").__enter__()
    with pytest.raises(SchedulerStateError):
        await scheduler.guard("b").acquire()


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "a\n"}),
        ("name", {"name": 5}),
        ("ttl", {"ttl": 0}),
        ("ttl", {"ttl": 0.09}),
        ("ttl", {"ttl": float("nan")}),
        ("ttl", {"ttl": float("inf")}),
        ("ttl", {"ttl": after(86_400 * 31)}),
        ("ttl", {"ttl": True}),
        ("ttl", {"ttl": None}),
        ("ttl", {"ttl": "5"}),
        ("linger", {"linger": 1}),
    ],
)
def test_what_cannot_be_guarded_is_refused(field: str, options: dict[str, Any]) -> None:
    given = {"name": "a", **options}
    with pytest.raises(ConfigurationError) as caught:
        Scheduler().guard(given.pop("name"), **given)
    assert caught.value.field == field


async def test_a_context_of_no_scheduler_has_no_guards() -> None:
    seen: list[RunContext] = []
    async with World() as world:
        p0 = world.build("p0", work=False)

        @p0.executor
        async def work(context: Context) -> None:
            seen.append(context)

        await world.start(p0)
        run = await p0.wait(await p0.schedule(Job("work")))
        assert run.reason is Reason.NONE
    with pytest.raises(SchedulerStateError):
        await RunContext(seen[0]._start).guard("a").acquire()
