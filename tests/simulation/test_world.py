"""What each kind of incident does in virtual time, over both stores' doors."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from aiosched.clock import SystemClock
from aiosched.instants import SECOND
from aiosched.records import Record
from aiosched.testing import NODE
from aiosched.testing.simulation.incidents import parse_incidents
from aiosched.testing.simulation.world import StoreKind, World
from tests.simulation.worlds import LEASE, Ran, Small, cluster, in_world

both = pytest.mark.parametrize("kind", ["memory", "redis"])


def seen(small: Small, name: str) -> int:
    return small.world.counts[name]


@both
def test_without_incidents_each_run_is_claimed_once_and_settled(
    kind: StoreKind,
) -> None:
    small = cluster(kind=kind)
    fences = [run.fence for run in small.runs]
    assert len(fences) == len(set(fences)) > 50
    assert seen(small, "claims") >= len(fences)
    assert not seen(small, "takeovers")
    assert {run.node for run in small.runs} == {"p0", "p1", "p2"}


@both
def test_commits_tell_the_chain_of_each_record(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="crash:p1:20:5;cut:p2:after_write#9")
    last: dict[str, Record | None] = {}
    for commit in small.commits:
        assert commit.before == last.get(commit.job_id)
        last[commit.job_id] = commit.after
        if commit.after is not None and commit.before is not commit.after:
            assert commit.before is None or (
                commit.before.state.seq < commit.after.state.seq
            )
    rows = [row for commit in small.commits for row in commit.rows]
    ended = [row.fence for row in rows if row.final and row.fence]
    assert len(ended) == len(set(ended)) > 40


@both
def test_a_crashed_node_runs_nothing_until_it_is_back(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="crash:p1:20:15")
    assert small.between(0, 20, "p1")
    assert not small.between(20, 35, "p1")
    assert small.between(35, 60, "p1")
    assert [boot for boot in small.boots if boot[1] == "p1"][1][0] == 35.0
    assert small.world.nodes["p1"].incarnation == 2


def test_a_node_that_crashes_for_good_is_never_back() -> None:
    small = cluster(incidents="crash:p1:20")
    assert not small.between(20, 60, "p1")
    assert small.world.nodes["p1"].gone
    assert small.between(40, 60)


@both
def test_a_crash_after_the_claim_leaves_a_run_to_be_taken_over(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="crash:p1:after_claim#3:30", seconds=0.05)
    assert seen(small, "incident crash") == 1
    assert seen(small, "takeovers") >= 1
    claimed = {r.fence for c in small.claims() if c.after for r in c.after.state.runs}
    assert claimed - {run.fence for run in small.runs}


@both
def test_a_crash_before_the_claim_leaves_nothing(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="crash:p1:before_claim#3:30", seconds=0.05)
    assert seen(small, "incident crash") == 1
    assert not seen(small, "takeovers")


@both
def test_a_crash_mid_run_has_the_run_repeated_elsewhere(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="crash:p1:mid_run#4:30")
    (lost,) = [
        run
        for run in small.runs
        if run.node == "p1" and run.fence not in small.ended and run.at < 30
    ]
    again = [run for run in small.runs if run.job == lost.job and run.at > lost.at]
    assert again[0].attempt == lost.attempt + 1
    assert again[0].at - lost.at >= LEASE * 0.9


@both
def test_a_crash_after_the_settle_repeats_nothing(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="crash:p1:after_settle#4:30", seconds=0.05)
    assert seen(small, "incident crash") == 1
    assert not seen(small, "takeovers")


def test_a_stalled_process_does_nothing_and_its_runs_are_taken_over() -> None:
    small = cluster(incidents="stall:p1:mid_run#4:25")
    assert seen(small, "incident stall") == 1
    fourth = nth(small, "p1", 4)
    assert not small.between(fourth.at + 0.001, fourth.at + 24, "p1")
    assert seen(small, "takeovers") == 1
    again = [run for run in small.runs if run.job == fourth.job and run.at > fourth.at]
    assert again[0].attempt == 2
    assert again[0].node != "p1"
    assert small.between(fourth.at + 25, 60, "p1")


def nth(small: Small, node: str, number: int) -> Ran:
    """Return the n-th run of a node."""
    return [run for run in small.runs if run.node == node][number - 1]


def test_the_lifeline_keeps_the_lease_of_a_blocked_loop() -> None:
    small = cluster(incidents="block:p1:mid_run#4:25")
    assert seen(small, "incident block") == 1
    fourth = nth(small, "p1", 4)
    assert not small.between(fourth.at + 0.001, fourth.at + 24, "p1")
    # Nobody takes over what the lifeline holds, for all that it takes four leases.
    assert not seen(small, "takeovers")
    assert fourth.fence in small.ended


def test_a_node_that_is_cut_off_comes_back_by_itself() -> None:
    small = cluster(incidents="partition:p1:20:15")
    assert not small.between(26, 35, "p1")
    assert small.between(40, 60, "p1")
    assert small.between(26, 35, "p0") or small.between(26, 35, "p2")


@both
@pytest.mark.parametrize("what", ["refuse", "silence", "loading"])
def test_nothing_is_committed_while_the_store_is_away(
    kind: StoreKind, what: str
) -> None:
    small = cluster(kind=kind, incidents=f"{what}:store:20:10")
    start = small.world.loop.wall_at(20.02)
    end = small.world.loop.wall_at(29.99)
    assert not [c for c in small.commits if start < c.at < end]
    assert [c for c in small.commits if c.at > end]
    assert small.between(32, 60)


@both
@pytest.mark.parametrize("what", ["readonly", "oom"])
def test_a_store_that_refuses_writes_commits_nothing(
    kind: StoreKind, what: str
) -> None:
    small = cluster(kind=kind, incidents=f"{what}:store:20:10")
    start, end = small.world.loop.wall_at(20.02), small.world.loop.wall_at(29.99)
    assert not [c for c in small.commits if start < c.at < end]
    assert small.between(32, 60)


@both
def test_a_restart_without_losses_repeats_no_settled_run(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="restart:store:20:3")
    assert not small.losses
    assert not [event for _, _, event in small.told if event == "data_lost"]
    assert small.between(24, 60)


@both
def test_a_rolled_back_store_has_what_it_had(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="rollback:store:20:2:6")
    (loss,) = small.losses
    assert loss.since == small.world.loop.wall_at(14.0)
    kept: dict[str, Record] = {}
    at_most = loss.since
    for commit in small.commits:
        if commit.at <= at_most and commit.after is not None:
            kept[commit.job_id] = commit.after
    assert {i: r.state.seq for i, r in loss.records.items()} == {
        i: r.state.seq for i, r in kept.items()
    }
    assert small.between(24, 60)


@both
def test_an_emptied_store_is_told_of_and_filled_again(kind: StoreKind) -> None:
    small = cluster(kind=kind, incidents="empty:store:20:2")
    (loss,) = small.losses
    assert loss.since is None
    assert loss.records == {}
    told = {node for at, node, event in small.told if event == "data_lost" and at < 30}
    assert told == {"p0", "p1", "p2"}
    assert {run.job for run in small.between(26, 60)} == {
        f"job-{n}" for n in range(small.jobs)
    }


@both
def test_a_cut_after_the_settle_is_a_lost_answer_and_no_second_run(
    kind: StoreKind,
) -> None:
    small = cluster(kind=kind, incidents="cut:p1:after_settle#3")
    assert seen(small, "unknown: cut") == 1
    assert not seen(small, "takeovers")
    rows = [row for commit in small.commits for row in commit.rows if row.final]
    assert len({(row.job_id, row.key) for row in rows}) == len(rows)


def test_signals_are_lost_doubled_and_late() -> None:
    small = cluster(incidents="lose:p0:10:20:0.5;double:p1:10:20:1;delay:p2:10:20:1")
    assert seen(small, "signals lost") > 5
    assert seen(small, "signals doubled") > 5
    assert seen(small, "signals delayed") > 5
    small = cluster(incidents="lose:p0:signal#3")
    assert seen(small, "signals lost") == 1


def test_a_skewed_clock_is_that_nodes_alone() -> None:
    async def main(world: World) -> tuple[int, ...]:
        shown: dict[str, int] = {}

        async def look(_: int) -> None:
            await asyncio.sleep(5)
            shown[NODE.get() or ""] = SystemClock().wall()

        for name in ("p0", "p1"):
            world.add_node(name, look)
            world.boot(name)
        await world.run(10, parse_incidents("skew:p1:2::-90.5"))
        return shown["p0"], shown["p1"], world.loop.wall_at(5.0), world.now()

    right, skewed, true, store = in_world(main)
    assert (right, skewed) == (true, true - round(90.5 * SECOND))
    assert store == true + 5 * SECOND


def test_the_stores_clock_drifts_from_where_it_was() -> None:
    async def main(world: World) -> list[float]:
        seconds = []
        world.prepare(parse_incidents("drift:store:10::0.5;drift:store:20::-0.5"))
        for _ in range(4):
            seconds.append(world.store_second())
            await asyncio.sleep(10)
        return seconds

    assert in_world(main) == [0.0, 10.0, 25.0, 30.0]


@both
def test_a_deploy_restarts_one_node_after_the_other_with_the_next_revision(
    kind: StoreKind,
) -> None:
    small = cluster(
        kind=kind, incidents="crash:p2:19:60;deploy:cluster:20:4", until=120
    )
    later = [boot for boot in small.boots if boot[0] >= 20]
    assert [(name, revision) for _, name, revision in later] == [
        ("p0", 1),
        ("p1", 1),
        ("p2", 1),  # dead at its turn: it is back by itself, with the new code
    ]
    assert all(second[0] - first[0] >= 4 for first, second in pairwise(later))
    assert not seen(small, "takeovers")
    assert not seen(small, "bad halts")


def test_taking_one_incident_away_does_not_shift_what_the_others_draw() -> None:
    async def draws(world: World) -> list[float]:
        first = world.stream("lose", "p1", 40.0)
        return [first.random(), world.stream("latency", "p0").random()]

    async def other(world: World) -> list[float]:
        world.stream("delay", "p2", 10.0).random()
        world.stream("latency", "p0/lifeline").random()
        return await draws(world)

    assert in_world(draws) == in_world(other)
    assert in_world(draws) != in_world(draws, seed=2)


def test_what_ends_a_boot_that_is_not_the_stores_fault_is_raised() -> None:
    async def main(world: World) -> None:
        async def broken(_: int) -> None:
            raise ZeroDivisionError

        world.add_node("p0", broken)
        world.boot("p0")
        await world.run(1)

    with pytest.raises(ZeroDivisionError):
        in_world(main)


def test_names_that_would_not_fit_the_text_of_incidents_are_refused() -> None:
    async def main(world: World) -> None:
        async def idle(_: int) -> None:
            return

        world.add_node("p0", idle)
        for name in ("p0", "", "a/b", "a:b", "a;b", "a#1"):
            with pytest.raises(ValueError, match="name="):
                world.add_node(name, idle)

    in_world(main)
