"""The kit for users: a cluster in a test, and a test over many seeds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aiosched import CronTrigger, IntervalTrigger, Job, Scheduler
from aiosched.testing import (
    BrokenRuleError,
    Cluster,
    Incident,
    PeerDownError,
    run_virtual,
    simulate,
)
from aiosched.testing.simulated import over_seeds
from aiosched.testing.simulation.peers import Peer
from aiosched.testing.simulation.planted import plant

pytest_plugins = ["pytester"]


@pytest.fixture
def cluster() -> None:
    """Stand for the plugin's fixture: the suite's own of that name is another."""


SPRING = datetime(2027, 3, 27, tzinfo=UTC)
NIGHTLY = CronTrigger("30 2 * * *", tz="Europe/Paris")


@pytest.mark.virtual(start=SPRING)
async def test_a_nightly_job_over_a_gap_and_a_crash() -> None:
    crash = Incident.crash("p1", 3_600, back=60)
    async with simulate(
        peers=3, seed=7, executors=["report"], incidents=[crash]
    ) as cluster:
        scheduler = cluster.peer("p0").scheduler
        await scheduler.schedule(Job("report", trigger=NIGHTLY, id="nightly"))
        await cluster.run(days=2)
    ledger = cluster.ledger("nightly")
    assert ledger.fired == ledger.succeeded == 2
    # In the night of the 28th half past two does not exist: the first instant after.
    assert [start.replace(microsecond=0) for start in ledger.starts] == [
        datetime(2027, 3, 27, 1, 30, tzinfo=UTC),
        datetime(2027, 3, 28, 1, 0, tzinfo=UTC),
    ]
    assert "crash:p1:3600:60" in cluster.replay


@pytest.mark.virtual
async def test_calls_are_made_on_the_node_and_die_with_it() -> None:
    async with simulate(peers=2, executors=["work"]) as cluster:
        peer = cluster.peer("p0")
        job = await peer.scheduler.schedule(
            Job("work", trigger=IntervalTrigger(hours=1), id="hourly")
        )
        assert job.version == 1
        cluster.world.prepare([Incident.crash("p0", cluster.world.loop.time() + 10)])
        with pytest.raises(PeerDownError, match="p0 is down"):
            await peer.scheduler.wait("hourly", timeout=3_000)
        with pytest.raises(PeerDownError):
            _ = peer.scheduler.name
        await cluster.run(hours=2)
        assert cluster.ledger("hourly").succeeded >= 2


@pytest.mark.virtual
async def test_what_prepare_declares_is_there_again_after_a_crash() -> None:
    booted: list[str] = []

    def prepare(peer: Peer, scheduler: Scheduler, revision: int) -> None:
        booted.append(f"{peer.name}/{revision}")
        scheduler.declare(Job("work", trigger=IntervalTrigger(minutes=5), id="five"))

    async with simulate(
        peers=2, executors=["work"], prepare=prepare, incidents="crash:p0:600:60"
    ) as cluster:
        await cluster.run(hours=1)
    assert sorted(booted) == ["p0/0", "p0/0", "p1/0"]
    assert cluster.ledger("five").succeeded == 12


async def skewed() -> None:
    skew = "skew:p0:5::3.5;skew:p1:5::3.5;skew:p2:5::3.5"
    async with simulate(executors=["work"], seed=3, incidents=skew) as cluster:
        job = Job("work", trigger=IntervalTrigger(seconds=5), id="job")
        await cluster.peer("p0").scheduler.schedule(job)
        await cluster.run(minutes=1)


def test_a_broken_rule_ends_the_block_with_a_replay() -> None:
    run_virtual(skewed)
    with plant("local-lease"), pytest.raises(BrokenRuleError, match="due") as caught:
        run_virtual(skewed)
    assert "simulate(seed=3" in caught.value.replay
    assert "skew:p0:5::3.5" in caught.value.replay


def test_the_same_seed_gives_the_same_trace() -> None:
    def trace(seed: int) -> str:
        async def whole() -> str:
            async with simulate(seed=seed, executors=["work"]) as cluster:
                await cluster.peer("p1").scheduler.schedule(
                    Job("work", trigger=IntervalTrigger(seconds=7), id="seven")
                )
                await cluster.run(minutes=3)
                return cluster.world.digest

        return run_virtual(whole, seed=seed)

    assert trace(5) == trace(5) != trace(6)


@pytest.mark.simulate(seeds=5, executors=["work"], seconds=120)
async def test_every_minute_is_accounted_for(cluster: Cluster) -> None:
    job = Job("work", trigger=IntervalTrigger(seconds=10), id="ten")
    await cluster.peer("p0").scheduler.schedule(job)
    await cluster.run(minutes=10)
    ledger = cluster.ledger("ten")
    assert ledger.fired + ledger.skipped + ledger.missed > 40


def test_a_failing_seed_is_made_small() -> None:
    async def fragile(cluster: Cluster) -> None:
        await cluster.run(minutes=1)
        assert cluster.world.counts["incident crash"] == 0

    failed = over_seeds(
        fragile,
        [3],
        incidents="stall:p0:5:1;crash:p1:10:1;lose:p2:1:20:0.5;crash:p2:30:1",
        executors=["work"],
    )
    assert failed is not None
    assert [str(one) for one in failed.incidents] == ["crash:p2:30:1"]
    assert 'seeds=[3], incidents="crash:p2:30:1"' in str(failed)


def test_the_mark_tells_how_to_make_it_fail_again(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest('pytest_plugins = ["aiosched.testing.plugin"]')
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.simulate(seeds=3, executors=["work"], incidents="crash:p1:5:1")
        async def test_fails(cluster):
            await cluster.run(seconds=20)
            assert cluster.world.counts["incident crash"] == 0

        @pytest.mark.simulate(seeds=2, executors=["work"])
        async def test_passes(cluster, tmp_path):
            await cluster.run(seconds=1)
            assert tmp_path.exists()
        """
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:valkey")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*seeds=[[]0], incidents=*crash:p1:5:1*"])


def test_a_year_over_both_changes_of_the_clock_and_two_kills() -> None:
    year = timedelta(days=365)

    async def whole() -> Cluster:
        kills = "crash:p1:7000000:3600;crash:p2:20000000:7200"
        async with simulate(
            executors=["report"], incidents=kills, span=year, latency=0
        ) as cluster:
            job = Job("report", trigger=NIGHTLY, id="nightly")
            await cluster.peer("p0").scheduler.schedule(job)
            await cluster.run(days=365)
        return cluster

    cluster = run_virtual(whole, start=datetime(2027, 1, 1, tzinfo=UTC))
    starts = [f"{at:%m-%d %H:%M}" for at in cluster.ledger("nightly").starts]
    assert len(starts) == 365
    # The gap of March, and of the two half past twos of October the first.
    assert {"03-27 01:30", "03-28 01:00", "03-29 00:30"} < set(starts)
    assert {"10-30 00:30", "10-31 00:30", "11-01 01:30"} < set(starts)
    # Beats are a day apart: what wakes up is counted, not the time that it takes.
    assert cluster.judge.terms.beat == 86_400_000_000


def test_terms_are_as_calm_as_the_span_is_long() -> None:
    async def beat(span: timedelta | float) -> int:
        async with simulate(peers=1, span=span) as cluster:
            return cluster.judge.terms.beat // 1_000_000

    assert run_virtual(lambda: beat(0)) == 60
    assert run_virtual(lambda: beat(timedelta(days=2))) == 473
    assert run_virtual(lambda: beat(timedelta(days=3_650))) == 86_400


def test_time_to_live_of_the_cluster_is_virtual() -> None:
    async def whole() -> timedelta:
        async with simulate(
            executors=["work"],
            latency=0,
            terms={"beat": 86_400, "lease": 86_400, "member_timeout": 259_200},
        ) as cluster:
            begun = cluster.now
            await cluster.run(days=10)
            return cluster.now - begun

    assert run_virtual(whole) == timedelta(days=10)
