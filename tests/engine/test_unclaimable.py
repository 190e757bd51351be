"""Jobs that nobody can run: told once, with the reason; parked, and revived."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from aiosched import Context, Event, IntervalTrigger, Job, Scheduler, planning
from aiosched.errors import ConfigurationError
from tests.engine.kit import World, adds_up, after, at, now

pytestmark = pytest.mark.virtual(timeout=400_000)

GRACE = 60.0
TICK = IntervalTrigger(seconds=10)


def heard(peer: Scheduler, *names: str) -> list[Event]:
    """Collect a peer's events of these names."""
    told: list[Event] = []
    for name in names:
        peer.on(name, told.append)
    return told


def warned(caplog: pytest.LogCaptureFixture, *actions: str) -> list[str]:
    said = [str(getattr(one, "action", "")) for one in caplog.records]
    return [one for one in said if one in actions]


async def test_without_the_executor_it_is_unresolvable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        alarms = [heard(one, "unclaimable") for one in (p0, p1)]
        due = now()
        for n in range(5):
            await p0.schedule(Job("ghost", id=f"a{n}"), allow_unknown=True)
        while not all(alarms):
            await asyncio.sleep(0.5)
            assert now() - due <= GRACE
        await asyncio.sleep(3600)
        for peer, told in zip((p0, p1), alarms, strict=True):
            assert sorted(str(one.job_id) for one in told) == [
                f"a{n}" for n in range(5)
            ], "once for each job, however long it lasts"
            assert {one.data["reason"] for one in told} == {"unresolvable"}
            assert "ghost" in told[0].data["why"]
            assert peer.health().unclaimable == tuple(f"a{n}" for n in range(5))
            assert peer.health().ok, "a restart of this peer would not help"
        # A line for each peer, not for each job, nor for each look.
        assert warned(caplog, "unclaimable") == ["unclaimable"] * 2


async def test_a_queue_that_nobody_serves() -> None:
    async with World() as world:
        p0 = await world.peer("p0", queues=["default"])
        p1 = await world.peer("p1", queues=["default", "other"])
        alarms = heard(p0, "unclaimable") + heard(p1, "unclaimable")
        told0, told1 = heard(p0, "unclaimable"), heard(p1, "unclaimable")
        await p0.schedule(Job("work", id="a", queue="lonely"))
        await asyncio.sleep(GRACE)
        told = told0 + told1
        assert len(told) == 1, "one peer watches such a queue"
        assert (told[0].job_id, told[0].data["reason"]) == ("a", "unserved")
        assert "lonely" in told[0].data["why"]
        await asyncio.sleep(3600)
        assert len(told0 + told1) == 1
        assert not alarms
        watcher = p0 if told0 else p1
        await world.peer("p2", queues=["lonely"])
        await asyncio.sleep(60)
        assert [ran.peer for ran in world.of("a")] == ["p2"]
        assert watcher.health().unclaimable == ()


async def test_the_only_capable_peer_is_held() -> None:
    async with World() as world:
        able = await world.peer("able")
        other = await world.peer("other", work=False)
        told = heard(other, "unclaimable")
        await able.hold()
        await other.schedule(Job("work", id="a"))
        await asyncio.sleep(GRACE)
        (alarm,) = told
        assert alarm.data["reason"] == "unclaimed"
        assert "able" in alarm.data["why"]
        await able.release()
        await asyncio.sleep(10)
        assert [ran.peer for ran in world.of("a")] == ["able"]
        assert other.health().unclaimable == ()
        # Another outage is another alarm.
        await able.hold()
        await other.schedule(Job("work", id="b"))
        await asyncio.sleep(GRACE)
        assert [one.job_id for one in told] == ["a", "b"]


async def test_a_reason_that_changes_is_told() -> None:
    async with World() as world:
        able = await world.peer("able")
        other = await world.peer("other", work=False)
        told = heard(other, "unclaimable")
        await able.hold()
        await other.schedule(Job("work", id="a"))
        await asyncio.sleep(GRACE)
        await able.shutdown()
        await asyncio.sleep(GRACE)
        assert [one.data["reason"] for one in told] == ["unclaimed", "unresolvable"]


async def test_all_workers_are_dead_and_a_client_tells() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        other = await world.peer("client2", run_jobs=False)
        for n in range(2):
            await world.peer(f"p{n}")
        told = [heard(one, "unclaimable", "missed") for one in (client, other)]
        await client.schedule(Job("work", id="tick", trigger=TICK))
        await asyncio.sleep(25)
        for n in range(2):
            world.crash(f"p{n}")
        died = now()
        while len(told[0] + told[1]) < 2:
            await asyncio.sleep(1)
            # Members are live for 15 s after their last beat; then a look
            # within 20 s, two beats, and the grace of the slot of second 30.
            assert now() - died <= 15 + GRACE + 25
        await asyncio.sleep(3600)
        (alarm, missed) = told[0] + told[1]
        assert (alarm.name, missed.name) == ("unclaimable", "missed")
        assert missed.data["slot"] == at(30)
        assert missed.data["recorded"] is False
        assert missed.data["overdue"] >= GRACE
        await world.peer("late")
        await asyncio.sleep(15)
        assert world.of("tick")[-1].peer == "late"
        adds_up(await client.get_job("tick"))


@pytest.mark.parametrize("grace", [None, 5.0, 200.0])
async def test_on_missed_is_called_once_a_peer_job_and_outage(
    grace: float | None,
) -> None:
    async with World() as world:
        able = await world.peer("able")
        others = [await world.peer(f"p{n}", work=False) for n in range(2)]
        missed: dict[str, list[Event]] = {}
        for one in others:
            off = one.on_missed(missed.setdefault(one.name, []).append)
            assert callable(off)
        job = Job("work", id="tick", trigger=TICK, misfire_grace=grace)
        await able.schedule(job)
        await asyncio.sleep(25)
        world.crash("able")
        limit = GRACE if grace is None else grace
        # It counts as live for 15 s; the alarm is settled two beats later.
        longest = max(limit, 15 + 10 + 5) + 5
        while not all(missed.values()):
            await asyncio.sleep(0.5)
            assert now() <= 30 + longest + 1
        assert now() >= 30 + limit
        await asyncio.sleep(3600)
        for told in missed.values():
            (one,) = told
            assert (one.job_id, one.data["slot"]) == ("tick", at(30))
            assert not one.data["recorded"]
        stored = await others[0].get_job("tick")
        assert stored.counts.missed == 0, "it is parked: nothing of it lapses"
        missed["p0"].clear()
        missed["p1"].clear()
        await world.peer("able2")
        await asyncio.sleep(31.3)
        stored = await others[0].get_job("tick")
        adds_up(stored)
        assert stored.counts.slots == int(now() // 10)
        assert not any(missed.values()), "the peer that records it tells"
        if grace is None:
            assert stored.counts.missed == 0


async def test_what_is_recorded_as_missed_is_told_by_whoever_records_it() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        missed: list[Event] = []
        p0.on_missed(missed.append)
        job = Job("work", id="tick", trigger=TICK, misfire_grace=2)
        await p0.schedule(job)
        await asyncio.sleep(5)
        await p0.hold()
        await asyncio.sleep(60)
        await p0.release()
        await asyncio.sleep(1)
        held, recorded = missed
        assert [one.data["recorded"] for one in missed] == [False, True]
        assert held.data["slot"] == recorded.data["slot"] == at(10)
        assert held.data["reason"] == "unclaimed"
        with pytest.raises(ConfigurationError):
            p0.on_missed("not a function")  # type: ignore[arg-type]


async def test_a_restart_of_the_only_capable_peer_is_no_alarm() -> None:
    async with World() as world:
        other = await world.peer("other", work=False)
        told = heard(other, "unclaimable", "missed")
        able = await world.peer("able0")
        await other.schedule(Job("work", id="tick", trigger=TICK))
        for n in range(1, 6):
            await asyncio.sleep(30)
            await able.shutdown()
            await asyncio.sleep(6)
            able = await world.peer(f"able{n}")
        assert told == []


async def test_a_client_that_knows_the_executor_runs_nothing() -> None:
    async with World() as world:
        await world.peer("client", run_jobs=False)  # work is registered there
        other = await world.peer("other", work=False)
        told = heard(other, "unclaimable")
        await other.schedule(Job("work", id="a"), allow_unknown=True)
        await asyncio.sleep(GRACE)
        assert [one.data["reason"] for one in told] == ["unclaimed"]


async def test_one_that_dies_with_the_entry_still_there() -> None:
    """The owner had passed the entry by, for the sake of one that then died."""
    async with World(terms={"shards": 1, "steal_delay": 2.0}) as world:
        others = [await world.peer(f"p{n}", work=False) for n in range(3)]
        await world.peer("able")
        await asyncio.sleep(6)
        told = [heard(one, "unclaimable") for one in others]
        await others[0].schedule(Job("work", id="a", when=after(10)))
        await asyncio.sleep(9.999)
        world.crash("able")
        await asyncio.sleep(GRACE)
        assert all(len(one) == 1 for one in told), told


# --- renamed executors ---------------------------------------------------------


def named(world: World, peer: str, name: str, aliases: list[str], **more: Any) -> Any:
    scheduler = world.build(peer, work=False, **more)
    scheduler.register(world.worker(peer), name=name, aliases=aliases)
    return scheduler


@pytest.mark.parametrize("grace", [None, 30.0])
@pytest.mark.parametrize("outage", [300, 7_200])
async def test_a_renamed_executor_parks_its_jobs_and_an_alias_revives_them(
    outage: int, grace: float | None
) -> None:
    async with World() as world:
        old = await world.start(named(world, "old", "send", []))
        await old.schedule(Job("send", id="tick", trigger=TICK, misfire_grace=grace))
        await old.schedule(Job("send", id="word", keyword="k"))
        await old.schedule(Job("send", id="once", when=after(40), misfire_grace=grace))
        await asyncio.sleep(25)
        await old.shutdown()
        new = await world.start(named(world, "new", "deliver", []))
        told = heard(new, "unclaimable")
        await new.fire_job("k", {"value": 1})
        await asyncio.sleep(outage)
        # Listed, alarmed, and nothing is deleted or decided.
        assert {one.job_id for one in told} == {"tick", "word", "once"}
        parked = await new.get_jobs(unclaimable=True)
        assert {job.id for job in parked} == {"tick", "word", "once"}
        assert {job.unclaimable for job in parked} == {"unresolvable"}
        assert await new.get_jobs(unclaimable=False) == []
        assert (await new.get_job("tick")).unclaimable == "unresolvable"
        for name in ("tick", "once"):
            counts = (await new.get_job(name)).counts
            assert counts.missed == counts.skipped == 0
        # Registered where it runs: nothing is started again.
        before, revived = len(world.runs), now()
        new.register(world.worker("new"), name="send")
        await asyncio.sleep(0.2)
        ran = [(one.job, one.at - revived <= 0.2) for one in world.runs[before:]]
        newest = revived // 10 * 10
        if grace is None or revived - newest <= grace:
            assert ("tick", True) in ran
            (tick,) = [one for one in world.runs[before:] if one.job == "tick"]
            assert tick.fire_time == newest, "the newest that was due"
        assert ("word", True) in ran
        assert (("once", True) in ran) is (grace is None)
        stored = await new.get_job("tick")
        adds_up(stored)
        assert stored.counts.slots == revived // 10
        assert stored.unclaimable == ""
        # A grace that was given is meant: what is older is missed, and told.
        late = max(int((revived - (grace or 1e9)) // 10) - 2, 0)
        assert abs(stored.counts.missed - late) <= 1
        assert await new.get_jobs(unclaimable=True) == []
        assert new.health().unclaimable == ()


async def test_old_and_new_names_side_by_side_run_each_slot_once() -> None:
    """Peers with the old name, and new ones with the new name and its alias."""
    async with World() as world:
        peers = [
            await world.start(named(world, f"old{n}", "send", [])) for n in range(2)
        ]
        told = heard(peers[0], "unclaimable", "missed")
        for n in range(10):
            await peers[0].schedule(Job("send", id=f"j{n}", trigger=TICK))
        await asyncio.sleep(35)
        for n in range(2):
            new = await world.start(named(world, f"new{n}", "deliver", ["send"]))
            told += heard(new, "unclaimable", "missed")
            for job in range(3):
                await new.schedule(Job("deliver", id=f"n{n}-{job}", trigger=TICK))
            await asyncio.sleep(33)
            await peers[n].shutdown()
            await asyncio.sleep(33)
        await asyncio.sleep(5)
        slots = [(ran.job, ran.key) for ran in world.runs]
        assert len(slots) == len(set(slots)), "each once"
        for n in range(10):
            assert [ran.fire_time for ran in world.of(f"j{n}")] == [
                10.0 * k for k in range(1, int(now() // 10) + 1)
            ]
        assert {ran.peer for ran in world.runs if ran.job[0] == "n"} <= {"new0", "new1"}
        assert told == []


async def test_what_waits_in_several_queues_of_dead_peers_is_all_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="aiosched")
    async with World(terms={"shards": 4}) as world:
        p0 = await world.peer("p0", queues=["default"])
        told = heard(p0, "unclaimable")
        for queue in ("a", "b", "c"):
            for n in range(120):
                await p0.schedule(Job("work", id=f"{queue}{n:03}", queue=queue))
        await asyncio.sleep(GRACE)
        assert len({one.job_id for one in told}) == len(told) == 360
        assert len(warned(caplog, "unclaimable")) == 3
        await world.peer("p1")
        await asyncio.sleep(30)
        assert len({ran.job for ran in world.runs}) == 360
        assert len(warned(caplog, "claimable")) == 3


async def test_a_context_is_all_that_a_run_needs_to_tell() -> None:
    """The event of a parked job names what a person has to look for."""
    async with World() as world:
        p0 = await world.peer("p0")
        told = heard(p0, "unclaimable")

        async def gone(context: Context) -> None:
            del context

        await p0.schedule(Job("gone", id="a", queue="default"), allow_unknown=True)
        await asyncio.sleep(GRACE)
        (one,) = told
        assert one.data == {
            "executor": "gone",
            "queue": "default",
            "reason": "unresolvable",
            "why": "no live peer has the executor gone",
        }
        p0.register(gone)
        await asyncio.sleep(1)
        assert await p0.job_exists("a") is False


# --- where nobody looks --------------------------------------------------------


async def test_a_full_peer_tells_of_what_it_could_not_run_either() -> None:
    async with World() as world:
        p0 = await world.peer("p0", max_concurrency=1)
        told = heard(p0, "unclaimable", "missed")
        await p0.schedule(Job("work", id="long", kwargs={"seconds": 1200.0}))
        await asyncio.sleep(1)
        await p0.schedule_many([Job("work", id=f"w{n}") for n in range(250)])
        await p0.schedule(Job("ghost", id="g"), allow_unknown=True)
        await asyncio.sleep(GRACE)
        assert [(one.name, one.job_id) for one in told] == [("unclaimable", "g")]
        await asyncio.sleep(600)
        assert [one.name for one in told] == ["unclaimable", "missed"]
        await asyncio.sleep(600)
        assert len(world.of("long")) == 1
        assert len(told) == 2
        assert p0.health().unclaimable == ("g",)


async def test_a_job_that_is_removed_and_scheduled_again_is_told_of_again() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        told = heard(p0, "unclaimable", "missed")
        alarms = p0._running_engine().alarms
        for turn in range(1, 4):
            await p0.schedule(Job("ghost", id="g"), allow_unknown=True)
            await asyncio.sleep(120)
            assert [one.name for one in told] == ["unclaimable", "missed"] * turn
            await p0.remove_job("g")
            # At once, the second time: another job with its id is another job.
            await asyncio.sleep(600 if turn == 1 else 0)
        await asyncio.sleep(120)
        assert p0.health().unclaimable == ()
        assert not len(alarms.wants), "a want without jobs ends"
        assert not alarms._idle


async def test_what_is_remembered_of_wants_does_not_grow() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        alarms = p0._running_engine().alarms
        for turn in range(5):
            ids = [f"j{turn}-{n}" for n in range(30)]
            for n, job_id in enumerate(ids):
                job = Job(f"e{turn}-{n}", id=job_id)
                await p0.schedule(job, allow_unknown=True)
            await asyncio.sleep(40)
            assert len(p0.health().unclaimable) == 30
            for job_id in ids:
                await p0.remove_job(job_id)
            await asyncio.sleep(90)
            assert len(alarms.wants) + len(alarms._idle) == 0


@pytest.mark.parametrize("way", ["gone", "held"])
async def test_the_end_of_a_retention_is_no_alarm(way: str) -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        p0 = await world.peer("p0")
        told = heard(client, "unclaimable", "missed") + heard(p0, "unclaimable")
        heard_by = [heard(one, "unclaimable", "missed") for one in (client, p0)]
        await client.schedule(Job("work", id="one", keep=60))
        await asyncio.sleep(5)
        assert len(world.runs) == 1
        if way == "gone":
            await p0.shutdown()
        else:
            await p0.hold()
        await asyncio.sleep(300)
        assert told == []
        assert heard_by == [[], []]


async def test_a_slot_that_is_told_of_is_due_and_never_one_to_come() -> None:
    """A run was lost, and its job's next slot is an hour away."""
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p0")
        told = heard(client, "missed")
        hourly = IntervalTrigger(hours=1)
        kwargs = {"seconds": 30.0}
        await client.schedule(Job("work", id="a", kwargs=kwargs, trigger=hourly))
        await client.schedule(Job("work", id="word", keyword="k"))
        await client.schedule(
            Job("work", id="lost", kwargs=kwargs, trigger=hourly, on_lost="record")
        )
        await asyncio.sleep(3610)
        world.crash("p0")
        await client.fire_job("k", {"value": 1})
        await asyncio.sleep(200)
        facts = {
            str(one.job_id): (one.data["slot"], one.data["cause"], one.data["recorded"])
            for one in told
        }
        assert facts == {
            "a": (at(3600), "slot", False),
            "word": (at(3610), "keyword", False),
        }, "a run that is not run again owes nothing"
        assert all(one.when >= one.data["slot"] for one in told)


async def test_what_no_live_peer_can_read_is_told_of_too() -> None:
    """Only peers of an earlier version work: they do not know what is asked."""
    async with World() as world:
        old = await world.peer("old")
        session: Any = old._running_engine().session
        transact, read = session.transact, session.read

        async def blind(ids: Any, decide: Any, **more: Any) -> Any:
            seen = [one for one in ids if one != "new"]
            return await transact(seen, decide, **more) if seen else decide({}, 0)

        session.transact = blind
        session.read = lambda ids: read([one for one in ids if one != "new"])
        told = heard(old, "unclaimable")
        await asyncio.sleep(6)
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("work", id="new", when=after(1)))
        await asyncio.sleep(GRACE)
        (one,) = told
        assert (one.job_id, one.data["reason"]) == ("new", "unreadable")
        assert old.health().unclaimable == ("new",)


async def test_a_job_that_has_run_meanwhile_is_not_told_of() -> None:
    for delay in range(0, 20, 2):
        async with World() as world:
            client = await world.peer("client", run_jobs=False)
            told = heard(client, "unclaimable", "missed")
            await asyncio.sleep(40 + delay)
            await client.schedule(Job("work", id="a"))
            await asyncio.sleep(7)
            p0 = await world.peer("p0")
            await asyncio.sleep(2)
            (ran,) = world.of("a")
            await p0.shutdown()
            await asyncio.sleep(60)
            assert all(one.at <= at(ran.at).timestamp() * 1e6 for one in told)


async def test_more_jobs_than_one_reading_holds_are_all_told_of() -> None:
    async with World(terms={"shards": 1}) as world:
        client = await world.peer("client", run_jobs=False)
        told = heard(client, "unclaimable")
        await client.schedule_many([Job("work", id=f"a{n:03}") for n in range(950)])
        await asyncio.sleep(GRACE)
        assert len({one.job_id for one in told}) == len(told) == 950


async def test_beyond_what_is_told_one_by_one_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aiosched._engine.alarms.REMEMBERED", 100)
    async with World() as world:
        p0 = await world.peer("p0")
        told = heard(p0, "unclaimable")
        ids = [f"g{n:03}" for n in range(150)]
        for job_id in ids:
            await p0.schedule(Job("ghost", id=job_id), allow_unknown=True)
        await asyncio.sleep(3600)
        first = {str(one.job_id) for one in told}
        assert len(first) == 100
        assert len([one for one in caplog.messages if "more than 100" in one]) == 1
        for job_id in first:
            await p0.remove_job(job_id)
        await asyncio.sleep(60)
        assert {str(one.job_id) for one in told} == set(ids), "and now the others"


async def test_an_idle_watch_asks_for_next_to_nothing() -> None:
    """Counted: agendas that have not moved are not read again."""
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        session: Any = client._running_engine().session
        agenda, asked = session.agenda, [0]

        async def counted(keys: Any, **more: Any) -> Any:
            asked[0] += len(keys)
            return await agenda(keys, **more)

        session.agenda = counted
        await client.schedule(Job("work", id="far", when=after(80_000)))
        await asyncio.sleep(60)
        asked[0] = 0
        await asyncio.sleep(3600)
        # Each of 64 agendas once in ten minutes, and nothing in between.
        assert asked[0] <= 64 * 6
        told = heard(client, "unclaimable")
        await client.schedule(Job("work", id="soon", when=after(100)))
        await asyncio.sleep(100 + GRACE)
        assert [one.job_id for one in told] == ["soon"]


async def test_each_fire_that_nobody_can_run_expires_in_its_turn() -> None:
    """The job's entry stands where it stood when the first of them has."""
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("ghost", keyword="k", id="g"), allow_unknown=True)
        fires = [(await p0.fire_job("k", ttl=ttl))[0] for ttl in (20, 40, 60)]
        runs = await asyncio.gather(*[p0.wait(one, timeout=600) for one in fires])
        assert [run.outcome for run in runs] == ["expired"] * 3


async def test_a_due_job_that_is_modified_so_that_it_can_run_does() -> None:
    """Its instant stays, so nothing but the news tells that it is another."""
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("ghost", id="g"), allow_unknown=True)
        await asyncio.sleep(10)
        await p0.modify("g", executor="work")
        await asyncio.sleep(5)
        assert [ran.job for ran in world.runs] == ["g"]


async def test_of_two_that_died_with_a_peer_each_is_given_up() -> None:
    """By one who cannot run them, when the lease of each is over."""
    async with World() as world:
        p0 = await world.peer("p0", terms={"shards": 1})
        forever = Job(
            "ghost",
            keyword="k",
            id="g",
            max_running=2,
            overlap="queue",
            on_lost="record",
        )
        await p0.schedule(forever, allow_unknown=True)
        session = p0._opened()

        def claim(records: Any, now: int) -> Any:
            record = records["g"]
            change = planning.attend(
                record.definition, record.state, now, 1, "dead", session.terms.lease
            )
            return {"g": change}

        for _ in range(2):
            await p0.fire_job("k")
            await session.transact(["g"], claim, claim=True)
            await asyncio.sleep(4)
        await p0.fire_job("k")
        await asyncio.sleep(600)
        job = await p0.get_job("g")
        assert (job.running, job.waiting, job.counts.lost) == (0, 1, 2)
