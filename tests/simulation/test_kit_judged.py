"""The judge looks at users' clusters, too: executions, answers, losses, health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aiosched import Context, IntervalTrigger, Job, Scheduler
from aiosched._engine.live import Live
from aiosched._engine.restorer import Restorer
from aiosched._engine.runner import Runner
from aiosched.testing import BrokenRuleError, Cluster, Incident, run_virtual, simulate
from aiosched.testing.simulation.peers import Peer


async def work(context: Context) -> str:
    await asyncio.sleep(1)
    return context.run_id


def thread(context: Context) -> str:
    return context.run_id


async def bare() -> str:
    return "no context"


def ten(executor: object) -> Job:
    return Job(executor, trigger=IntervalTrigger(seconds=10), id="ten")


async def ended(
    executor: object = work, *, minutes: float = 10.1, **given: Any
) -> Cluster:
    async with simulate(seed=1, executors=[executor], **given) as cluster:
        await cluster.peer("p0").scheduler.schedule(ten(executor))
        await cluster.run(minutes=minutes)
    return cluster


def rules(caught: pytest.ExceptionInfo[BrokenRuleError]) -> set[str]:
    return {one.rule for one in caught.value.violations}


# -- executions ---------------------------------------------------------------------


@pytest.mark.parametrize("executor", [work, thread, bare])
def test_every_run_of_a_users_executor_is_seen(executor: object) -> None:
    cluster = run_virtual(lambda: ended(executor))
    assert cluster.ledger("ten").succeeded == cluster.judge.counts["executions"] > 50
    assert {one.by for one in cluster.judge.executions.values()} == {"returned"}


@pytest.mark.parametrize("registered", ["given", "prepared"])
@pytest.mark.parametrize("executor", ["work", "thread"])
def test_a_crash_in_the_midst_of_a_users_run(executor: str, registered: str) -> None:
    entered: list[str] = []

    async def coroutine(context: Context) -> None:
        entered.append(context.run_id)
        await asyncio.sleep(1)

    def function(context: Context) -> None:
        entered.append(context.run_id)

    chosen = coroutine if executor == "work" else function

    def prepare(peer: Peer, scheduler: Scheduler, revision: int) -> None:
        if registered == "prepared":
            scheduler.register(chosen)

    async def whole() -> Cluster:
        crash = Incident.crash("p0", point="mid_run", ordinal=3, back=60)
        async with simulate(
            peers=1,
            executors=[chosen] if registered == "given" else [],
            prepare=prepare,
            incidents=[crash],
        ) as cluster:
            await cluster.peer("p0").scheduler.schedule(ten(chosen))
            await cluster.run(minutes=10.1)
        return cluster

    cluster = run_virtual(whole)
    assert cluster.never_came == ()
    crashed = [x for x in cluster.judge.executions.values() if x.by == "crashed"]
    assert len(crashed) == 1
    # It died before the first line of the executor, so that another had to do it.
    key = f"ten/{crashed[0].key}/"
    assert [run.endswith("/2") for run in entered if run.startswith(key)] == [True]


def test_an_executor_that_is_entered_twice_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = Runner._begin

    def twice(self: Runner, live: Live) -> None:
        begin(self, live)
        begin(self, live)

    monkeypatch.setattr(Runner, "_begin", twice)
    with pytest.raises(BrokenRuleError, match="is entered again on") as caught:
        run_virtual(ended)
    assert "entered" in rules(caught)


# -- answers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda scheduler: scheduler.pause("ten"),
        lambda scheduler: scheduler.remove_job(job="ten"),
    ],
)
def test_a_verb_that_answers_and_does_nothing_is_found(
    use: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def idle(self: Scheduler, *_args: object, **_named: object) -> None:
        """Answer without doing anything."""

    async def whole(*, broken: bool) -> None:
        async with simulate(peers=1, executors=[work]) as cluster:
            scheduler = cluster.peer("p0").scheduler
            await scheduler.schedule(ten(work))
            if broken:
                monkeypatch.setattr(Scheduler, "pause", idle)
                monkeypatch.setattr(Scheduler, "remove_job", idle)
            await use(scheduler)

    run_virtual(lambda: whole(broken=False))
    with pytest.raises(BrokenRuleError, match="nothing was written") as caught:
        run_virtual(lambda: whole(broken=True))
    assert rules(caught) == {"answered"}


# -- losses and health --------------------------------------------------------------


def declaring(peer: Peer, scheduler: Scheduler, revision: int) -> None:
    scheduler.declare(Job("work", trigger=IntervalTrigger(minutes=1), id="minute"))


async def emptied(minutes: float = 20) -> Cluster:
    async with simulate(
        executors=["work"], prepare=declaring, incidents="empty:store:300:5"
    ) as cluster:
        await cluster.run(minutes=minutes)
    return cluster


def test_the_ledger_has_what_the_store_has_forgotten() -> None:
    cluster = run_virtual(lambda: ended(minutes=20, incidents="empty:store:300:5"))
    ledger = cluster.ledger("ten")
    assert not [row for row in cluster.judge.rows if row.job_id == "ten"]
    assert ledger.fired == ledger.succeeded == len(ledger.starts) > 25
    assert sum(1 for row in ledger.rows if row.final) == ledger.succeeded


def test_peers_that_do_not_tell_of_a_loss_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_virtual(emptied)
    told = Peer._told

    def deaf(self: Peer, incarnation: int, event: Any) -> None:
        if event.name != "data_lost" or self.name != "p1":
            told(self, incarnation, event)

    monkeypatch.setattr(Peer, "_told", deaf)
    with pytest.raises(BrokenRuleError, match="p1 says nothing of the loss") as caught:
        run_virtual(emptied)
    assert rules(caught) == {"loss"}


def test_what_is_declared_and_not_put_back_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def idle(self: Restorer) -> None:
        await asyncio.Event().wait()

    cluster = run_virtual(emptied)
    assert cluster.ledger("minute").fired > 10
    monkeypatch.setattr(Restorer, "run", idle)
    with pytest.raises(BrokenRuleError, match="minute: it is declared") as caught:
        run_virtual(emptied)
    assert "loss" in rules(caught)


def test_a_program_that_does_not_come_up_again_is_found() -> None:
    boots: list[str] = []

    def prepare(peer: Peer, scheduler: Scheduler, revision: int) -> None:
        boots.append(peer.name)
        if boots.count("p0") > 1:
            raise KeyError("a setting")

    with pytest.raises(BrokenRuleError, match=r"not come up again: .*a setting"):
        run_virtual(lambda: ended(prepare=prepare, incidents="crash:p0:60:5"))


def test_a_peer_that_is_not_well_at_the_end_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from aiosched._engine.membership import Membership

    async def unwell(minutes: float) -> None:
        async with simulate(executors=[work], incidents="stall:p1:60:5") as cluster:
            await cluster.run(minutes=minutes)
            monkeypatch.setattr(Membership, "lapsed", lambda _: True)

    with pytest.raises(BrokenRuleError, match="p0 is not well") as caught:
        run_virtual(lambda: unwell(20))
    assert rules(caught) == {"health"}
    monkeypatch.undo()
    # An incident of a moment ago excuses it.
    run_virtual(lambda: unwell(2))


def test_a_scheduler_that_the_test_has_closed_need_not_be_well() -> None:
    async def whole() -> None:
        async with simulate(executors=[work]) as cluster:
            await cluster.run(minutes=1)
            await cluster.peer("p1").scheduler.shutdown()
            await cluster.run(minutes=20)

    run_virtual(whole)
