"""Health is red within 5 s of any service dying or stalling: each in turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aiosched import Event, Health, IntervalTrigger, Job, MemoryJobStore, Scheduler
from aiosched._engine import engine as engine_module
from aiosched._engine.engine import Engine
from aiosched._engine.service import Service, supervise
from aiosched.errors import StoreDataError, StoreUnavailableError
from aiosched.testing import Fault, FaultyStore
from tests.engine.kit import World, now

pytestmark = pytest.mark.virtual(timeout=100_000)

SOON = 5.0
"""Seconds within which health must be red."""

SERVICES = (
    "membership",
    "listener",
    "completions",
    "alarms",
    "timer",
    "heartbeat",
    "restorer",
    "sweeper",
)


class Doom:
    """Strikes a service of one peer down at a chosen moment, in a chosen way."""

    def __init__(self) -> None:
        self.peer = ""
        self.service = ""
        self.how = ""
        self.strike = asyncio.Event()

    def rig(self, service: Service) -> Service:
        if service.name != self.service:
            return service
        real = service.run

        async def run() -> None:
            inner = asyncio.ensure_future(real())
            struck = asyncio.ensure_future(self.strike.wait())
            try:
                await asyncio.wait({inner, struck}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                struck.cancel()
                inner.cancel()
                await asyncio.gather(inner, struck, return_exceptions=True)
            if self.how == "raises":
                raise ZeroDivisionError(service.name)
            if self.how == "is cancelled":
                raise asyncio.CancelledError
            if self.how == "returns":
                return
            self.strike.clear()
            raise StoreUnavailableError("away, as planned")

        service.run = run  # type: ignore[method-assign]
        return service


@pytest.fixture
def doom(monkeypatch: pytest.MonkeyPatch) -> Doom:
    doom = Doom()

    def rigged(service: Service, on_outage: Any) -> Any:
        return supervise(doom.rig(service), on_outage)

    monkeypatch.setattr(engine_module, "supervise", rigged)
    return doom


def silenced(real: Any, let_go: asyncio.Event) -> Any:
    """Return a session, or a method, that does not answer before it is let go."""
    if asyncio.iscoroutinefunction(real):

        async def hang(*given: Any, **named: Any) -> Any:
            await let_go.wait()
            return await real(*given, **named)

        return hang

    class Silent:
        def __getattr__(self, name: str) -> Any:
            found = getattr(real, name)
            callable_ = asyncio.iscoroutinefunction(found)
            return silenced(found, let_go) if callable_ else found

    return Silent()


def engine_of(peer: Scheduler) -> Engine:
    return peer._running_engine()


def service_of(peer: Scheduler, name: str) -> Any:
    (found,) = [one for one in engine_of(peer).watched() if one.name == name]
    return found


async def red(peer: Scheduler, within: float) -> tuple[float, Health]:
    """Return how long health took to turn red, and what it said."""
    begun = now()
    while now() - begun <= within:
        health = peer.health()
        if not health.ok:
            return now() - begun, health
        await asyncio.sleep(0.1)
    pytest.fail(f"health was green for {within} s")


async def busy_peer(world: World) -> Scheduler:
    """Return a peer that has something to do for each of its services."""
    p0 = await world.peer("p0")
    tick = Job("work", id="tick", trigger=IntervalTrigger(seconds=1))
    await p0.schedule(tick)
    await p0.schedule(Job("work", id="long", kwargs={"seconds": 10_000}))
    p0.add_done_callback(lambda _: None)
    await asyncio.sleep(7)
    assert p0.health().ok, p0.health()
    assert set(p0.health().services) >= {*SERVICES, "settler"}
    return p0


@pytest.mark.parametrize("how", ["raises", "returns", "is cancelled"])
@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_that_dies_is_red_at_once(
    doom: Doom, name: str, how: str
) -> None:
    async with World() as world:
        doom.service, doom.how = name, how
        p0 = await busy_peer(world)
        doom.service = ""
        p1 = await world.peer("p1")
        told: list[Event] = []
        p0.on("service_failed", told.append)
        doom.strike.set()
        took, health = await red(p0, SOON)
        assert took <= 0.1
        assert health.failure is not None
        assert name in health.failure
        assert set(health.services.values()) == {"down"}
        assert "start the process again" in health.problems[0]
        assert len(told) == 1
        # It is loud, and others go on: nothing waits for what has failed.
        ran = len(world.of("tick"))
        await asyncio.sleep(60)
        assert len(world.of("tick")) > ran + 40
        assert p1.health().ok
        assert "p0" not in p1.health().silent


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_without_its_store_is_red_and_green_again(
    doom: Doom, name: str
) -> None:
    async with World() as world:
        doom.service, doom.how = name, "away"
        p0 = await busy_peer(world)
        doom.strike.set()
        took, health = await red(p0, SOON)
        assert took <= 0.1
        assert health.services[name] == "down"
        (problem,) = [one for one in health.problems if one.startswith(name)]
        assert "log" in problem
        await asyncio.sleep(10)
        assert p0.health().ok, p0.health()


def _membership(engine: Engine) -> None:
    engine.membership.wake()


def _listener(engine: Engine) -> None:
    engine.listener._wanted = frozenset(), frozenset()
    engine.listener.wake()


def _completions(engine: Engine) -> None:
    engine.completions.resync()


def _alarms(engine: Engine) -> None:
    engine.membership.queues = (*engine.membership.queues, "unserved")
    engine.alarms.wake()


def _timer(engine: Engine) -> None:
    engine.heads.invalidate()
    engine.timer.wake()


def _heartbeat(engine: Engine) -> None:
    engine.heartbeat.check_all()


def _sweeper(engine: Engine) -> None:
    engine.sweeper.wake()


def _restorer(engine: Engine) -> None:
    engine.restorer.lost()


def _settler(engine: Engine) -> None:
    """Outcomes come by themselves."""


PROVOKE: dict[str, Callable[[Engine], None]] = {
    "membership": _membership,
    "listener": _listener,
    "completions": _completions,
    "alarms": _alarms,
    "timer": _timer,
    "heartbeat": _heartbeat,
    "sweeper": _sweeper,
    "restorer": _restorer,
    "settler": _settler,
}


@pytest.mark.parametrize("name", PROVOKE)
async def test_a_service_that_stalls_is_red_within_5_s_and_green_again(
    name: str,
) -> None:
    async with World() as world:
        p0 = await world.peer("p0", queues=["default"])
        tick = Job("work", id="tick", trigger=IntervalTrigger(seconds=1))
        await p0.schedule(tick)
        await p0.schedule(Job("work", id="long", kwargs={"seconds": 10_000}))
        p0.add_done_callback(lambda _: None)
        await asyncio.sleep(7)
        engine, service = engine_of(p0), service_of(p0, name)
        place, part = service, "session"
        if name == "listener":
            place, part = service._stream, "watch"
        if name == "alarms":
            place = service.watch
        if name == "restorer":
            place, part = p0, "_session"
        real = getattr(place, part)
        let_go = asyncio.Event()
        setattr(place, part, silenced(real, let_go))
        PROVOKE[name](engine)
        # Nobody waits for these, and with a large store they take their time.
        slow = name in {"restorer", "sweeper"}
        took, health = await red(p0, 301.0 if slow else SOON)
        assert health.services[name] == "stalled"
        (problem,) = [one for one in health.problems if one.startswith(name)]
        assert "start the process again" in problem
        setattr(place, part, real)
        let_go.set()
        await asyncio.sleep(10)
        assert p0.health().ok, (took, p0.health())


async def test_a_claim_that_stalls_is_red() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await busy_peer(world)
        store.plan(
            Fault("transact", kind="hang", times=None, match=lambda **c: c["claim"])
        )
        _, health = await red(p0, 1 + SOON)
        assert health.services["timer"] == "stalled"
        store.heal()
        await asyncio.sleep(5)
        assert p0.health().ok


async def test_a_subscription_that_went_deaf_is_red_within_a_beat_and_4_s() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await busy_peer(world)
        store.plan(Fault("signals", kind="drop", times=None))
        took, health = await red(p0, 9.2)
        assert health.services == {**health.services, "listener": "stalled"}
        assert took <= 9.1
        store.heal()
        await asyncio.sleep(11)
        assert p0.health().ok


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], Any]:
    """Let the reader of signals end at a moment, as a function says."""

    def rig(end: Callable[[], None]) -> asyncio.Event:
        strike = asyncio.Event()
        start = Engine.start

        async def rigged(engine: Engine) -> None:
            real = engine.listener._read

            async def read(stream: Any) -> None:
                inner = asyncio.ensure_future(real(stream))
                struck = asyncio.ensure_future(strike.wait())
                try:
                    await asyncio.wait(
                        {inner, struck}, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    inner.cancel()
                    struck.cancel()
                strike.clear()
                end()

            monkeypatch.setattr(engine.listener, "_read", read)
            await start(engine)

        monkeypatch.setattr(Engine, "start", rigged)
        return strike

    return rig


def _raises() -> None:
    raise ZeroDivisionError("reader")


def _is_cancelled() -> None:
    raise asyncio.CancelledError


def _returns() -> None:
    """Nothing is wrong, and nobody reads any more."""


@pytest.mark.parametrize("end", [_raises, _is_cancelled, _returns])
async def test_a_reader_of_signals_that_ends_is_no_silence(
    end: Callable[[], None], reader: Callable[[Callable[[], None]], asyncio.Event]
) -> None:
    """Whoever reads signals and stops would leave the peer deaf."""
    async with World() as world:
        strike = reader(end)
        p0 = await busy_peer(world)
        strike.set()
        took, health = await red(p0, SOON)
        assert took <= 0.1
        assert "reader" in str(health.failure)


async def test_garbage_for_the_reader_of_signals_is_ridden_out(
    reader: Callable[[Callable[[], None]], asyncio.Event],
) -> None:
    def garbage() -> None:
        raise StoreDataError("s", "is no signal")

    async with World() as world:
        strike = reader(garbage)
        p0 = await busy_peer(world)
        strike.set()
        await asyncio.sleep(0.05)
        assert p0.health().services["listener"] == "down"
        await asyncio.sleep(10)
        assert not strike.is_set()
        assert p0.health().ok


async def test_a_store_that_falls_silent_is_red_within_a_beat_and_4_s() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        idle = await world.peer("idle")
        await asyncio.sleep(5.2)
        store.plan(Fault("*", kind="hang", times=None))
        took, health = await red(idle, 9.2)
        assert took <= 9.1
        assert health.services["membership"] == "stalled"
        store.heal()
        await asyncio.sleep(10)
        assert idle.health().ok, idle.health()


async def test_a_peer_whose_loop_is_blocked_is_seen_by_the_others() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await asyncio.sleep(7)
        assert p1.health().silent == ()
        begun = now()
        loop: Any = asyncio.get_running_loop()
        loop.stall("p0", 14.5)
        while not p1.health().silent:
            await asyncio.sleep(0.1)
            assert now() - begun < 14
        (peer,) = [peer for peer in await p1.peers() if peer.silent]
        assert (peer.name, peer.id) == ("p0", p0.id)
        assert p1.health().ok, "to start p1 again would not help"
        await asyncio.sleep(20)
        assert p1.health().silent == ()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, logger="aiosched")

    def said() -> list[str]:
        return [
            str(getattr(one, "action", one.getMessage()))
            for one in caplog.records
            if one.levelno >= logging.WARNING
        ]

    return said


@pytest.mark.parametrize("kind", ["refuse", "lost_reply"])
@pytest.mark.parametrize(
    "verb", ["*", "beat", "agenda", "watch", "transact", "read", "ledger", "sweep"]
)
async def test_an_outage_of_ten_minutes_is_two_lines(
    verb: str, kind: Any, lines: Callable[[], list[str]]
) -> None:
    """One line a change of state, not one a retry, whichever service it strikes."""
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await busy_peer(world)
        waiting = asyncio.create_task(p0.wait("long", timeout=5000))
        engine = engine_of(p0)
        assert lines() == []
        store.plan(Fault(verb, kind=kind, times=None))
        # Each service has something to ask.
        engine.listener._wanted = frozenset(), frozenset()
        for service in engine.services():
            service.wake()
        await asyncio.sleep(600)
        store.heal()
        await asyncio.sleep(30)
        waiting.cancel()
        changes = [one for one in lines() if one not in {"run_late", "run_lost"}]
        if verb == "sweep":  # the store answers all others
            assert changes == ["service_down", "service_up"], changes
        else:
            assert changes in (["store_down", "store_up"], []), changes
        assert len(lines()) <= 6, lines()
        if verb in {"*", "beat", "agenda", "sweep"}:
            assert changes, "the outage was told"
        assert p0.health().ok, p0.health()


@pytest.mark.parametrize(
    "error",
    [StoreDataError("a:key", "is garbage"), StoreUnavailableError("NOPERM: no scan")],
)
@pytest.mark.parametrize("name", ["mender", "sweeper"])
async def test_a_service_that_fails_at_each_turn_stays_red_and_is_one_line(
    name: str, error: Exception, lines: Callable[[], list[str]]
) -> None:
    """What is forbidden to one of them is no outage of the store, and no success."""
    async with World() as world:
        p0 = await world.peer("p0")
        engine = engine_of(p0)
        part = {"mender": "mend", "sweeper": "sweep"}[name]
        real = getattr(engine.session, part)

        async def refused() -> None:
            raise error

        setattr(engine.session, part, refused)
        service_of(p0, name).wake()
        await asyncio.sleep(8)
        for _ in range(360):
            await asyncio.sleep(10)
            health = p0.health()
            assert health.services[name] == "down"
            assert any(str(error) in one for one in health.problems)
        said = [one for one in lines() if one != "unreadable"]
        assert said == ["service_down"]
        assert lines().count("unreadable") <= 1
        setattr(engine.session, part, real)
        await asyncio.sleep(30)
        assert p0.health().ok, p0.health()
        assert [one for one in lines() if one != "unreadable"][1:] == ["service_up"]


async def test_a_full_peer_with_a_backlog_is_green_when_a_place_becomes_free() -> None:
    """What waited for a place is overdue only since there is one."""
    async with World() as world:
        p0 = await world.peer("p0", max_concurrency=1)
        seen: list[bool] = []
        engine = engine_of(p0)
        discard = engine.runner.live.discard

        def ended(live: Any) -> None:
            discard(live)
            seen.append(p0.health().ok)

        engine.runner.live.discard = ended  # type: ignore[method-assign]
        await p0.schedule_many(
            [Job("work", id=f"j{n}", kwargs={"seconds": 8.0}) for n in range(5)]
        )
        await asyncio.sleep(60)
        assert len(world.runs) == 5
        assert seen == [True] * 5
