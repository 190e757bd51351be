"""Who runs what: capable peers, queues, clients, places."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import ConfigurationError, Context, Event, IntervalTrigger, Job, JobState
from tests.engine.kit import World, after, now

pytestmark = pytest.mark.virtual(timeout=100_000)


async def test_only_peers_that_have_an_executor_run_its_jobs() -> None:
    async with World() as world:
        for n in range(4):
            await world.peer(f"lame{n}", work=False)
        client = await world.peer("client", run_jobs=False)
        await world.peer("able")
        await asyncio.sleep(6)
        jobs = [Job("work", id=f"j{n}", when=after(n / 10)) for n in range(1, 40)]
        await client.schedule_many(jobs)
        await asyncio.sleep(20)
        assert {ran.peer for ran in world.runs} == {"able"}
        assert len(world.runs) == 39
        # At most a steal delay for each peer before it in the order.
        assert max(ran.at - ran.fire_time for ran in world.runs) <= 4 * 0.25 + 0.01


async def test_peers_of_two_kinds_share_one_store() -> None:
    async with World() as world:
        seen: list[tuple[str, str]] = []
        for kind in ("cpu", "net"):
            for n in range(2):
                peer = world.build(f"{kind}{n}", work=False)

                async def run(context: Context, name: str = peer.name) -> None:
                    seen.append((name, context.job_id))

                peer.register(run, name=kind)
                await world.start(peer)
        await asyncio.sleep(6)
        trigger = IntervalTrigger(seconds=1)
        p = world.peers["cpu0"]
        for kind in ("cpu", "net"):
            for n in range(10):
                await p.schedule(Job(kind, id=f"{kind}-{n}", trigger=trigger))
        await asyncio.sleep(10.9)
        assert all(peer[:3] == job[:3] for peer, job in seen)
        assert len(seen) == 200


async def test_a_job_that_nobody_can_run_raises_an_alarm_and_waits() -> None:
    async with World() as world:
        p0 = await world.peer("p0", work=False)
        alarms: list[Event] = []
        p0.on("unclaimable", alarms.append)
        await p0.schedule(Job("work", id="a"), allow_unknown=True)
        await asyncio.sleep(3600)
        assert 1 <= len(alarms) <= 3
        assert (alarms[0].job_id, alarms[0].data["executor"]) == ("a", "work")
        assert await p0.state("a") is JobState.ACTIVE
        await world.peer("p1")
        await asyncio.sleep(2)
        assert [ran.peer for ran in world.of("a")] == ["p1"]


async def test_many_jobs_that_nobody_can_run_do_not_hide_one_that_can() -> None:
    async with World(terms={"shards": 1}) as world:
        p0 = await world.peer("p0")
        jobs = [Job("nobody", id=f"n{n:03}") for n in range(350)]
        await p0.schedule_many(jobs, allow_unknown=True)
        await asyncio.sleep(10)
        job = await p0.schedule(Job("work"))
        await p0.wait(job, timeout=6)
        late = await p0.schedule(Job("work", when=after(30)))
        await p0.wait(late, timeout=36)


async def test_queues_keep_jobs_apart() -> None:
    async with World() as world:
        await world.peer("fast", queues=["fast"])
        await world.peer("slow", queues=["slow", "default"])
        client = await world.peer("client", run_jobs=False)
        for n in range(5):
            for queue in ("fast", "slow", None):
                await client.schedule(Job("work", id=f"{queue}{n}", queue=queue))
        await client.schedule(Job("work", id="nowhere", queue="unserved"))
        await asyncio.sleep(10)
        assert {(ran.job[:4], ran.peer) for ran in world.runs} == {
            ("fast", "fast"),
            ("slow", "slow"),
            ("None", "slow"),
        }
        assert not world.of("nowhere")
        await world.peer("all")
        await asyncio.sleep(1)
        assert [ran.peer for ran in world.of("nowhere")] == ["all"]


async def test_an_executor_may_bring_its_queue() -> None:
    async with World() as world:
        special = world.build("special", queues=["special"], work=False)
        special.register(world.worker("special"), name="heavy", queue="special")
        await world.start(special)
        client = await world.peer("client", run_jobs=False)
        job = await client.schedule(Job("heavy", id="a"))
        assert job.queue == "special"
        await client.wait(job, timeout=1)


async def test_a_job_that_moves_to_another_queue_runs_there() -> None:
    async with World() as world:
        await world.peer("one", queues=["one"])
        await world.peer("two", queues=["two"])
        client = await world.peer("client", run_jobs=False)
        trigger = IntervalTrigger(seconds=1)
        await client.schedule(Job("work", id="a", trigger=trigger, queue="one"))
        await asyncio.sleep(3.5)
        await client.modify("a", queue="two")
        await asyncio.sleep(3)
        assert [ran.peer for ran in world.runs] == ["one"] * 3 + ["two"] * 3


async def test_a_peer_of_both_queues_takes_a_job_that_moves_once() -> None:
    async with World(terms={"shards": 1}) as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=1)
        await p0.schedule(Job("work", id="a", trigger=trigger, queue="one"))
        for queue in ("two", "one", "three"):
            await asyncio.sleep(1.7)
            await p0.modify("a", queue=queue)
        await asyncio.sleep(3)
        assert world.begun("a") == [float(n) for n in range(1, 9)]
        assert p0.health().ok


async def test_a_client_claims_nothing() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("work", id="a"))
        await client.schedule(Job("work", id="b", keyword="k"))
        await client.fire_job("k")
        await asyncio.sleep(1000)
        assert not world.runs
        await world.peer("p0")
        await asyncio.sleep(1)
        assert len(world.runs) == 2


@pytest.mark.parametrize("peers", [1, 3])
async def test_max_concurrency_is_never_exceeded_and_nothing_starves(
    peers: int,
) -> None:
    async with World(max_concurrency=4) as world:
        for n in range(peers):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        p0 = world.peers["p0"]
        jobs = [Job("work", id=f"j{n}", kwargs={"seconds": 1}) for n in range(60)]
        await p0.schedule_many(jobs)
        began = now()
        most = 0
        while len([ran for ran in world.runs if ran.until is not None]) < 60:
            await asyncio.sleep(0.05)
            for name in world.peers:
                running = [r for r in world.runs if r.peer == name and r.until is None]
                most = max(most, len(running))
            assert now() - began < 60
        assert most == 4
        assert len({ran.job for ran in world.runs}) == 60
        if peers == 1:
            assert now() - began <= 16
        assert p0.health().ok


async def test_what_contradicts_the_namespace_is_refused() -> None:
    async with World() as world:
        await world.peer("p0", lease=20.0)
        with pytest.raises(ConfigurationError, match="lease"):
            await world.build("p1", lease=10.0).start()
        await world.peer("p2")


async def test_namespaces_know_nothing_of_each_other() -> None:
    async with World() as world:
        one = await world.peer("one", namespace="one")
        two = await world.peer("two", namespace="two")
        for peer in (one, two):
            await peer.schedule(Job("work", id="a", keyword="k"))
        await one.fire_job("k")
        await asyncio.sleep(1)
        assert [ran.peer for ran in world.runs] == ["one"]
        assert [peer.name for peer in await two.peers()] == ["two"]


async def test_a_job_whose_queue_changes_while_it_runs_goes_on_at_once() -> None:
    """Who runs it still has it by its former queue, which others may own."""
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        for n in range(3):
            await world.peer(f"p{n}")
        names = [f"j{n:02}" for n in range(12)]
        await client.schedule_many(
            Job(
                "work",
                id=name,
                keyword="k",
                queue="first",
                overlap="queue",
                kwargs={"seconds": 2},
            )
            for name in names
        )
        for _ in range(2):
            await client.fire_job("k")
        await asyncio.sleep(1)
        for name in names:
            await client.modify(name, queue="second")
        await asyncio.sleep(4)
        for name in names:
            first, second = world.begun(name)
            assert first + 2 <= second <= first + 2.25, name
