"""Why: every branch of the one sentence, told of what the engine really did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import (
    CalendarIntervalTrigger,
    ConfigurationError,
    Context,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Retry,
    Scheduler,
    Trigger,
)
from tests.engine.kit import World, at, loop

pytestmark = pytest.mark.virtual(timeout=100_000_000)

TEN = IntervalTrigger(seconds=10)
RARE: dict[str, Any] = {
    "lease": 3_600,
    "terms": {"beat": 900, "member_timeout": 3_000},
}
"""Terms for long spans of time, so that no beat is counted in vain."""


def t(seconds: float) -> str:
    """Write a virtual second as sentences do."""
    moment = at(seconds)
    text = f"{moment:%Y-%m-%d %H:%M:%S}"
    if moment.microsecond:
        text += f".{moment.microsecond:06}".rstrip("0")
    return f"{text} UTC"


async def why(scheduler: Scheduler, job: str, seconds: float) -> str:
    said = await scheduler.why(job, at(seconds))
    assert said.endswith(".")
    assert said.count(". ") == 0, "one sentence"
    assert said.known is True
    return str(said)


# --- it ran ---


async def test_it_ran_on_time() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=TEN, kwargs={"seconds": 0.5}))
        await asyncio.sleep(25)
        assert await why(p0, "a", 10) == (
            f"Job 'a' ran its slot of {t(10)} on time, on peer p0, and succeeded "
            "after 0.5 s."
        )


async def test_it_ran_late_because_no_peer_was_there() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("work", id="a", trigger=TEN))
        await asyncio.sleep(35)
        await world.peer("p1")
        await asyncio.sleep(4)
        said = await why(client, "a", 30)
        assert said == (
            f"Job 'a' ran its slot of {t(30)} 5 s late, because peer p1, which took "
            f"it, was not there before {t(35)}, on peer p1, and succeeded after 0 s; "
            "it stood for 2 other slots as well."
        )
        assert await why(client, "a", 20) == (
            f"Job 'a' skipped its slot of {t(20)}, because more than one slot was due "
            f"when a peer looked at {t(35)}, and the run of slot {t(30)} stands for "
            f"them all (one of 2 such slots from {t(10)} to {t(20)})."
        )


async def test_it_ran_late_because_its_peer_was_stalled() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=TEN))
        await asyncio.sleep(9)
        loop().stall("p0", 4)
        await asyncio.sleep(8)
        said = await why(p0, "a", 10)
        assert said == (
            f"Job 'a' ran its slot of {t(10)} 3 s late, for which no cause is "
            "recorded, on peer p0, and succeeded after 0 s."
        )


async def test_it_ran_late_because_a_run_was_in_its_way() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = Job("work", id="a", trigger=TEN, kwargs={"seconds": 14}, overlap="queue")
        await p0.schedule(job)
        await asyncio.sleep(40)
        said = await why(p0, "a", 20)
        assert said == (
            f"Job 'a' ran its slot of {t(20)} 4 s late, because the run that began at "
            f"{t(10)} on peer p0 was in its way until {t(24)}, on peer p0, and "
            "succeeded after 14 s."
        )


async def test_it_ran_late_because_it_was_paused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=DateTrigger(at(10))))
        await p0.pause("a", note="month end", by="alice")
        await asyncio.sleep(30)
        await p0.resume("a", by="bob")
        await asyncio.sleep(1)
        said = await why(p0, "a", 10)
        assert said == (
            f"Job 'a' ran its slot of {t(10)} 20 s late, because the job was paused "
            f"at {t(0)} by alice (month end) until it was resumed at {t(30)} by bob, "
            "on peer p0, and succeeded after 0 s."
        )


async def test_it_ran_again_after_failures_and_a_loss() -> None:
    async with World() as world:
        p0 = world.build("p0")

        async def flaky(context: Context) -> None:
            if context.attempt < 3:
                raise LookupError(f"attempt {context.attempt}")

        p0.register(flaky, name="flaky")
        await world.start(p0)
        retry = Retry(attempts=4, delay=5, jitter=0)
        await p0.schedule(Job("flaky", id="a", trigger=TEN, retry=retry))
        await asyncio.sleep(12)
        assert await why(p0, "a", 10) == (
            f"Job 'a' has not run its slot of {t(10)} yet: attempt 1 failed after 0 s "
            f"(LookupError: attempt 1), and the next is due at {t(15)}."
        )
        await asyncio.sleep(20)
        assert await why(p0, "a", 10) == (
            f"Job 'a' ran its slot of {t(10)} on time, at attempt 3, after attempt 1 "
            "on peer p0 failed after 0 s (LookupError: attempt 1) and attempt 2 on "
            "peer p0 failed after 0 s (LookupError: attempt 2), on peer p0, and "
            "succeeded after 0 s."
        )


async def test_it_ran_again_after_its_peer_was_lost() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        p1 = await world.peer("p1", run_jobs=False)
        job = Job("work", id="a", trigger=DateTrigger(at(10)), kwargs={"seconds": 40})
        await p0.schedule(job)
        await asyncio.sleep(15)
        assert p0.id
        world.crash("p0")
        await world.peer("p2")
        await asyncio.sleep(25)
        said = await why(p1, "a", 10)
        assert said.startswith(f"Job 'a' is running its slot of {t(10)} since ")
        assert "at attempt 2, after attempt 1 on peer " in said
        assert "was lost with its peer after" in said
        assert " on peer p2, at attempt 2, after " in said
        assert said.endswith("; its first attempt began on time.")


async def test_it_failed_timed_out_and_was_stopped() -> None:
    async with World() as world:
        p0 = world.build("p0")

        async def fail(context: Context) -> None:
            raise ValueError("no such invoice")

        p0.register(fail, name="fail")
        await world.start(p0)
        once = {"trigger": DateTrigger(at(10))}
        await p0.schedule(Job("fail", id="failed", **once))
        long: dict[str, Any] = {**once, "kwargs": {"seconds": 100}}
        await p0.schedule(Job("work", id="slow", timeout=3, **long))
        await p0.schedule(Job("work", id="stopped", **long))
        await p0.schedule(Job("work", id="removed", **long))
        await asyncio.sleep(12)
        await p0.stop_job("stopped", by="carol", note="wrong data")
        await p0.remove_job("removed", by="dave")
        await asyncio.sleep(20)
        ran = f"ran its slot of {t(10)} on time, on peer p0, and"
        assert await why(p0, "failed", 10) == (
            f"Job 'failed' {ran} failed after 0 s (ValueError: no such invoice)."
        )
        assert await why(p0, "slow", 10) == f"Job 'slow' {ran} timed out after 3 s."
        assert await why(p0, "stopped", 10) == (
            f"Job 'stopped' {ran} was cancelled after 2 s, because it was stopped at "
            f"{t(12)} by carol (wrong data)."
        )
        assert await why(p0, "removed", 10) == (
            f"Job 'removed' {ran} was cancelled after 2 s, because the job was removed "
            f"at {t(12)} by dave."
        )


async def test_what_people_and_keywords_asked_for() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keyword="k", kwargs={"seconds": 1}))
        await asyncio.sleep(5)
        await p0.fire_job("k")
        await asyncio.sleep(5)
        await p0.start_job("a", by="erin", note="to see")
        await asyncio.sleep(5)
        assert await why(p0, "a", 5) == (
            f"Job 'a' ran as fired by keyword at {t(5)} on time, on peer p0, and "
            "succeeded after 1 s."
        )
        assert await why(p0, "a", 10) == (
            f"Job 'a' ran as asked by hand at {t(10)} by erin (to see) on time, on "
            "peer p0, and succeeded after 1 s."
        )
        # While it ran, and between the two.
        assert await why(p0, "a", 5.5) == (
            f"Job 'a' had no slot at {t(5.5)}, but was running then: it ran as fired "
            f"by keyword at {t(5)} on time, on peer p0, and succeeded after 1 s."
        )
        said = await why(p0, "a", 9)
        assert said.startswith(f"Job 'a' has no trigger, so no slot at {t(9)}; it ran ")


async def test_what_waited_for_ever() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("work", id="a", keyword="k"), allow_unknown=True)
        await asyncio.sleep(5)
        await client.fire_job("k", ttl=20)
        assert await why(client, "a", 5) == (
            f"Job 'a' has not run as fired by keyword at {t(5)} yet: no peer has "
            "taken it."
        )
        await asyncio.sleep(20)
        await world.peer("p0")
        await asyncio.sleep(5)
        said = await why(client, "a", 5)
        assert said == (
            f"Job 'a' did not run as fired by keyword at {t(5)}, because its time to "
            f"live had ended by {t(25)}."
        )


# --- it runs, waits, will run ---


async def test_it_is_running_and_what_waits_for_it() -> None:
    async with World() as world:
        p0 = await world.peer()
        long = {"seconds": 100}
        await p0.schedule(
            Job("work", id="q", trigger=TEN, kwargs=long, overlap="queue")
        )
        await p0.schedule(Job("work", id="s", trigger=TEN, kwargs=long))
        await asyncio.sleep(25)
        assert await why(p0, "q", 10) == (
            f"Job 'q' is running its slot of {t(10)} since {t(10)} on peer p0, on time."
        )
        assert await why(p0, "q", 20) == (
            f"Job 'q' has not run its slot of {t(20)} yet: it waits for the run that "
            f"began at {t(10)} on peer p0."
        )
        assert await why(p0, "s", 20) == (
            f"Job 's' has not run its slot of {t(20)} yet, which was due at {t(20)}: "
            f"the run that began at {t(10)} on peer p0 is in its way, and with its "
            "end it is skipped."
        )
        await p0.stop_job("s")
        await asyncio.sleep(0.01)


async def test_it_will_run() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=TEN, max_runs=3))
        await p0.schedule(Job("work", id="j", trigger=TEN, jitter=5))
        assert await why(p0, "a", 30) == f"Job 'a' will run its slot of {t(30)}."
        assert await why(p0, "a", 40) == (
            f"Job 'a' will not run its slot of {t(40)}, because its max_runs of 3 are "
            "used up before."
        )
        [preview] = await p0.preview("j", 1)
        due = (preview.due - at(0)).total_seconds()
        assert await why(p0, "j", 10) == (
            f"Job 'j' will run its slot of {t(10)} at {t(due)}, with "
            f"{due - 10:.3g} s of jitter."
        )
        await asyncio.sleep(50)
        assert await why(p0, "a", 40) == (
            f"Job 'a' has no slot at {t(40)} any more, because its max_runs are used "
            f"up; it ran its slot of {t(30)} on time, on peer p0, and succeeded after "
            "0 s."
        )


async def test_it_is_overdue() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("work", id="a", trigger=TEN), allow_unknown=True)
        await asyncio.sleep(12)
        assert await why(client, "a", 10) == (
            f"Job 'a' has not run its slot of {t(10)} yet, which was due at {t(10)}: "
            "no peer has taken it."
        )


# --- it was passed over ---


async def test_it_was_skipped_for_a_run_in_its_way() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(
            Job("work", id="a", trigger=TEN, kwargs={"seconds": 25}, max_runs=2)
        )
        await asyncio.sleep(60)
        assert await why(p0, "a", 20) == (
            f"Job 'a' skipped its slot of {t(20)}, because the run that began at "
            f"{t(10)} on peer p0 went on until {t(35)} (one of 2 such slots from "
            f"{t(20)} to {t(30)})."
        )


async def test_it_was_missed() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await client.schedule(
            Job("work", id="a", trigger=TEN, misfire_grace=15), allow_unknown=True
        )
        await asyncio.sleep(55)
        await world.peer("p0")
        await asyncio.sleep(1)
        assert await why(client, "a", 20) == (
            f"Job 'a' missed its slot of {t(20)}, because nobody looked at it before "
            f"{t(55)}, 35 s late, which is more than its grace of 15 s (one of 3 such "
            f"slots from {t(10)} to {t(30)})."
        )


async def test_it_was_passed_over_while_paused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=TEN))
        await asyncio.sleep(15)
        await p0.pause("a", note="month end", until=30, by="alice")
        assert await why(p0, "a", 30) == (
            f"Job 'a' will pass over its slot of {t(30)}, because it was paused at "
            f"{t(15)} by alice (month end) until {t(45)}."
        )
        assert await why(p0, "a", 50) == f"Job 'a' will run its slot of {t(50)}."
        await asyncio.sleep(10)
        assert (await why(p0, "a", 20)).startswith(
            f"Job 'a' has passed over its slot of {t(20)}, because it was paused"
        )
        await asyncio.sleep(40)
        assert await why(p0, "a", 30) == (
            f"Job 'a' passed over its slot of {t(30)}, because the job was paused at "
            f"{t(15)} by alice (month end) until {t(45)} (one of 3 such slots from "
            f"{t(20)} to {t(40)})."
        )
        await p0.stop_job("a", by="bob")
        await asyncio.sleep(20)
        await p0.resume("a", by="carol")
        assert await why(p0, "a", 70) == (
            f"Job 'a' passed over its slot of {t(70)}, because the job was stopped at "
            f"{t(65)} by bob and resumed at {t(85)} by carol (one of 2 such slots from "
            f"{t(70)} to {t(80)})."
        )


async def test_it_was_skipped_by_a_change_and_a_removal() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        job = Job("work", id="a", trigger=TEN)
        await client.schedule(job, allow_unknown=True)
        await asyncio.sleep(12)
        await client.modify(
            "a",
            trigger=IntervalTrigger(seconds=7),
            allow_unknown=True,
            by="alice",
        )
        assert await why(client, "a", 10) == (
            f"Job 'a' skipped its slot of {t(10)}, because its trigger was changed at "
            f"{t(12)} by alice."
        )
        await asyncio.sleep(8)
        await client.remove_job("a", by="bob")
        assert await why(client, "a", 19) == (
            f"Job 'a' skipped its slot of {t(19)}, because the job was removed at "
            f"{t(20)} by bob."
        )
        assert await why(client, "a", 26) == (
            f"Job 'a' did not exist at {t(26)}: it was removed at {t(20)} by bob."
        )


async def test_it_was_left_out() -> None:
    async with World(**RARE) as world:
        p0 = await world.peer()
        trigger = CronTrigger("0 9 * * *", tz="Europe/Helsinki")
        hour = 3600
        business = CalendarIntervalTrigger(days=5, at="09:00", tz="Europe/Helsinki")
        jobs: dict[str, Trigger] = {
            "week": trigger.excluding("sat-sun"),
            "full": trigger.excluding("2024-01-06", shift="next_business_day"),
            "minus": trigger - CronTrigger("0 9 6 * *", tz="Europe/Helsinki"),
            "moved": business.excluding("2024-01-06", shift="next_business_day"),
            "inner": trigger.excluding("sat") | CronTrigger("30 9 * * *"),
        }
        for job_id, one in jobs.items():
            await p0.schedule(Job("work", id=job_id, trigger=one))
        saturday = (5 * 24 + 7) * hour
        slot = f"its slot of {t(saturday)}"
        day = "because 2024-01-06 in Europe/Helsinki is excluded by its rule"
        full = "and no business day beside it is free for it"
        assert await why(p0, "moved", saturday) == (
            f"Job 'moved' will run {slot} at {t(saturday + 24 * hour)}, moved to "
            f"{t(saturday + 24 * hour)} off an excluded day."
        )
        for tense in ("will leave out", "left out"):
            lead = f"{tense} {slot}"
            week = await why(p0, "week", saturday)
            assert week.startswith(f"Job 'week' {lead}, {day} Saturdays")
            inner = await why(p0, "inner", saturday)
            assert inner == f"Job 'inner' {lead}, {day} Saturdays."
            said = await why(p0, "full", saturday)
            assert said == f"Job 'full' {lead}, {day} 2024-01-06, {full}."
            minus = await why(p0, "minus", saturday)
            assert minus.startswith(
                f"Job 'minus' {lead}, because it excludes when another trigger fires ("
            )
            if tense == "will leave out":
                await asyncio.sleep(8 * 24 * hour)
        assert await why(p0, "moved", saturday) == (
            f"Job 'moved' ran {slot}, moved to {t(saturday + 24 * hour)} off an "
            "excluded day on time, on peer p0, and succeeded after 0 s."
        )


# --- there was no such slot, or job ---


async def test_there_is_no_slot_at_that_instant() -> None:
    async with World() as world:
        p0 = await world.peer()
        await asyncio.sleep(5)
        await p0.schedule(Job("work", id="a", trigger=TEN))
        await asyncio.sleep(45)
        assert await why(p0, "a", 26.5) == (
            f"Job 'a' had no slot at {t(26.5)} (the nearest are {t(25)} before and "
            f"{t(35)} after); it ran its slot of {t(25)} on time, on peer p0, and "
            "succeeded after 0 s."
        )
        assert await why(p0, "a", 62) == (
            f"Job 'a' had no slot at {t(62)} (the nearest are {t(55)} before and "
            f"{t(65)} after); it will run its slot of {t(65)}."
        )
        assert await why(p0, "a", 2) == (
            f"Job 'a' did not exist yet at {t(2)}: it was created at {t(5)}."
        )


async def test_there_is_no_such_job() -> None:
    async with World() as world:
        p0 = await world.peer()
        said = await p0.why("ghost", at(5))
        assert (str(said), said.known) == (
            "Job 'ghost' is not known: it is not stored, and the ledger has no trace "
            "of it.",
            False,
        )


async def test_it_has_ended() -> None:
    async with World() as world:
        p0 = await world.peer()
        end = IntervalTrigger(seconds=10, end=at(25))
        await p0.schedule(Job("work", id="a", trigger=end))
        await p0.schedule(Job("work", id="gone", trigger=end, keep=0))
        await asyncio.sleep(60)
        ran = f"it ran its slot of {t(20)} on time, on peer p0, and succeeded after 0 s"
        assert await why(p0, "a", 30) == (
            f"Job 'a' has no slot at {t(30)} any more, because its trigger has ended; "
            f"{ran}."
        )
        assert await why(p0, "gone", 30) == f"Job 'gone' had ended by {t(30)}; {ran}."


async def test_the_ledger_forgets() -> None:
    async with World(terms={"ledger_age": 600}) as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=TEN, keep_last=3))
        await asyncio.sleep(4_005)
        said = await p0.why("a", at(100))
        assert said == (
            f"Job 'a' has nothing left in the ledger about its slot of {t(100)}: rows "
            "are kept for 10 min, and not so long where there are too many."
        )
        assert said.known is False
        assert (await why(p0, "a", 4_000)).startswith("Job 'a' ran its slot of")


async def test_an_old_outcome_is_carried_by_the_job() -> None:
    async with World(terms={"ledger_age": 600}) as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(hours=1)))
        await asyncio.sleep(3 * 3600 + 5)
        assert await why(p0, "a", 3600) == (
            f"Job 'a' ran its slot of {t(3600)} on time, on peer p0, and succeeded "
            "after 0 s."
        )


# --- bounds and refusals ---


async def test_what_is_no_instant_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        for wrong in (at(0).replace(tzinfo=None), "2030-01-01T00:00:00Z", None, 5):
            with pytest.raises(ConfigurationError) as caught:
                await p0.why("a", wrong)  # type: ignore[arg-type]
            assert caught.value.field == "instant"


async def test_a_busy_job_costs_a_bounded_number_of_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with World(MemoryJobStore()) as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=1)
        await p0.schedule(Job("work", id="a", trigger=trigger))
        await asyncio.sleep(6_000)
        session = p0._session
        assert session is not None
        read = 0
        honest = type(session).ledger

        async def counted(self: Any, *args: Any, **options: Any) -> Any:
            nonlocal read
            rows = await honest(self, *args, **options)
            read += len(rows)
            return rows

        monkeypatch.setattr(type(session), "ledger", counted)
        assert (await why(p0, "a", 2_000)).startswith("Job 'a' ran its slot")
        assert 0 < read <= 400
        assert (await why(p0, "a", 2_000.4)).startswith("Job 'a' had no slot")
        assert read <= 800


# --- nothing that the ledger does not show ---


@pytest.mark.parametrize("keep_last", [0, 10])
@pytest.mark.parametrize("paused_for", [100, 121, 5_000, 400_000])
async def test_a_long_pause_is_told_however_long_it_was(
    keep_last: int, paused_for: int
) -> None:
    # The outcome is carried by the job: what lies between is read all the same.
    async with World(**RARE) as world:
        p0 = await world.peer()
        trigger = DateTrigger(at(60))
        await p0.schedule(Job("work", id="a", trigger=trigger, keep_last=keep_last))
        await p0.pause("a", by="ann", note="audit")
        await asyncio.sleep(60 + paused_for)
        await p0.resume("a", by="bob")
        await asyncio.sleep(5)
        said = await why(p0, "a", 60)
        assert said.endswith(
            f" late, because the job was paused at {t(0)} by ann (audit) until it was "
            f"resumed at {t(60 + paused_for)} by bob, on peer p0, and succeeded after "
            "0 s."
        )


async def test_attempts_and_stops_long_after_the_slot_are_told() -> None:
    async with World(**RARE) as world:
        p0 = world.build("p0")

        async def flaky(context: Context) -> None:
            if context.attempt < 3:
                raise LookupError(f"attempt {context.attempt}")

        p0.register(flaky, name="flaky")
        await world.start(p0)
        once: dict[str, Any] = {"trigger": DateTrigger(at(60)), "keep": 9_999}
        retry = Retry(attempts=3, delay=200, factor=1, jitter=0)
        await p0.schedule(Job("flaky", id="r", retry=retry, **once))
        await p0.schedule(Job("work", id="s", kwargs={"seconds": 900}, **once))
        await asyncio.sleep(400)
        await p0.stop_job("s", by="kim", note="runaway")
        await asyncio.sleep(600)
        said = await why(p0, "r", 60)
        assert "(LookupError: attempt 1) and attempt 2 on peer p0 failed" in said
        assert (await why(p0, "s", 60)).endswith(
            f"because it was stopped at {t(400)} by kim (runaway)."
        )


async def _passed_over(world: World) -> Scheduler:
    """Pass over the slots at 20, 30, 40 and 50 s."""
    p0 = await world.peer()
    await p0.schedule(Job("work", id="a", trigger=TEN))
    await asyncio.sleep(15)
    await p0.pause("a", by="alice")
    await asyncio.sleep(40)
    await p0.resume("a", by="bob")
    await asyncio.sleep(1)
    return p0


@pytest.mark.parametrize("end", ["modify", "remove", "reuse"])
async def test_a_range_answers_for_what_lies_in_it_under_any_trigger(end: str) -> None:
    async with World() as world:
        p0 = await _passed_over(world)
        if end == "modify":
            await p0.modify("a", trigger=IntervalTrigger(seconds=60))
        else:
            await p0.remove_job("a")
        if end == "reuse":
            await p0.schedule(Job("work", id="a", trigger=DateTrigger(at(5))))
        await asyncio.sleep(1)
        pause = (
            f"because the job was paused at {t(15)} by alice and resumed at {t(55)} by "
            "bob"
        )
        span = f"of 4 such slots from {t(20)} to {t(50)})"
        for known in (20, 50):
            assert await why(p0, "a", known) == (
                f"Job 'a' passed over its slot of {t(known)}, {pause} (one {span}."
            )
        for inside in (30, 40, 44.5):
            assert await why(p0, "a", inside) == (
                f"Job 'a' passed over its slot of {t(inside)}, if it had one then, "
                f"{pause} (it would be one {span}."
            )


async def test_the_pause_that_swallowed_a_slot_is_named() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("work", id="a", trigger=TEN), allow_unknown=True)
        await asyncio.sleep(1)
        await client.pause("a", by="alice", note="one")
        await asyncio.sleep(4)
        await client.resume("a", by="al")
        await asyncio.sleep(10)
        await client.pause("a", by="carol", note="two")
        await asyncio.sleep(25)
        await client.resume("a", by="bob")
        for slot in (10, 20, 40):
            assert (
                f"because the job was paused at {t(15)} by carol (two) and resumed at "
                f"{t(40)} by bob"
            ) in await why(client, "a", slot)


async def test_a_change_and_a_removal_during_a_pause_are_named() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=TEN))
        await asyncio.sleep(5)
        await p0.pause("a", by="alice")
        await asyncio.sleep(20)
        await p0.modify("a", trigger=IntervalTrigger(seconds=7), by="mo")
        paused = f"because the job was paused at {t(5)} by alice"
        assert (
            f"{paused}, and its trigger was changed at {t(25)} by mo before it went on"
        ) in await why(p0, "a", 10)
        await asyncio.sleep(10)
        await p0.remove_job("a", by="eve")
        assert f"{paused}, and was removed at {t(35)} by eve" in await why(p0, "a", 32)


async def test_a_job_that_began_paused_names_who_let_it_go() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=TEN, paused=True))
        await asyncio.sleep(25)
        await p0.resume("a", by="zoe")
        assert (
            f"because the job was paused until it was resumed at {t(25)} by zoe (one"
        ) in await why(p0, "a", 10)


async def test_a_slot_of_an_old_trigger_is_told_of_its_change() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=600)))
        await asyncio.sleep(60)
        await p0.modify(
            "a", trigger=IntervalTrigger(seconds=700), by="bob", act_note="slower"
        )
        for _ in range(2):
            assert (await why(p0, "a", 600)).startswith(
                f"Job 'a' had no slot at {t(600)} by the trigger that it was given at "
                f"{t(60)} by bob (slower) (the nearest is {t(760)} after)"
            )
            await asyncio.sleep(800)
        # Of an instant before the change nothing is denied that cannot be known.
        assert (await why(p0, "a", 30)).startswith(
            f"Job 'a' had no slot at {t(30)} that its ledger tells of"
        )


async def test_a_back_off_holds_a_place_and_is_named() -> None:
    async with World() as world:
        p0 = world.build("p0")

        async def flaky(context: Context) -> None:
            if context.fire_time == at(10) and context.attempt == 1:
                raise ValueError("x")

        p0.register(flaky, name="flaky")
        await world.start(p0)
        retry = Retry(3, delay=23, factor=1, jitter=0)
        for overlap in ("skip", "queue"):
            job = Job("flaky", id=overlap, trigger=TEN, overlap=overlap, retry=retry)
            await p0.schedule(job)
        await asyncio.sleep(25)
        waits = f"its slot of {t(10)}, whose next attempt is due at {t(33)}"
        assert f": {waits}, is in its way" in await why(p0, "skip", 20)
        assert f": it waits for {waits}." in await why(p0, "queue", 20)
        await asyncio.sleep(30)
        assert await why(p0, "skip", 20) == (
            f"Job 'skip' skipped its slot of {t(20)}, because its slot of {t(10)} was "
            f"to be tried again: attempt 1 failed after 0 s (ValueError: x) at "
            f"{t(10)}, and the next began at {t(33)} (one of 2 such slots from {t(20)} "
            f"to {t(30)})."
        )
        assert (
            f"13 s late, because its slot of {t(10)}, which began at {t(10)} on peer "
            f"p0 and was tried again, was in its way until {t(33)}, on peer p0"
        ) in await why(p0, "queue", 20)


async def test_places_that_were_taken_are_named_as_the_cause() -> None:
    async with World() as world:
        p0 = await world.peer()
        two: dict[str, Any] = {"overlap": "allow", "max_running": 2}
        await p0.schedule(
            Job("work", id="a", trigger=TEN, kwargs={"seconds": 25}, **two)
        )
        await asyncio.sleep(70)
        assert (
            f"5 s late, because its 2 places were taken until the run that began at "
            f"{t(10)} on peer p0 ended at {t(35)}, on peer p0"
        ) in await why(p0, "a", 30)


async def test_a_date_of_the_past_was_due_before_its_job_was_there() -> None:
    async with World() as world:
        p0 = await world.peer()
        await asyncio.sleep(100)
        await p0.schedule(Job("work", id="a", trigger=DateTrigger(at(-900))))
        await p0.schedule(Job("work", id="b", trigger=DateTrigger(at(900))))
        await asyncio.sleep(5)
        await p0.modify("b", trigger=DateTrigger(at(50)), by="bob")
        await asyncio.sleep(5)
        assert (
            f"16 min 40 s late, because it was due before the job was created at "
            f"{t(100)} by p0, on peer p0"
        ) in await why(p0, "a", -900)
        assert (
            "55 s late, because it was due before the job was created at "
            f"{t(100)} by p0, and then it was due before its trigger was given at "
            f"{t(105)} by bob, on peer p0"
        ) in await why(p0, "b", 50)


async def test_a_run_that_goes_on_does_not_reach_into_the_future() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=600)
        await p0.schedule(
            Job("work", id="a", trigger=trigger, kwargs={"seconds": 9_000})
        )
        await asyncio.sleep(700)
        assert (await why(p0, "a", 650)).startswith(
            f"Job 'a' had no slot at {t(650)}, but was running then: it is running"
        )
        far = await why(p0, "a", 10_000_100)
        assert far.startswith(f"Job 'a' had no slot at {t(10_000_100)} (the nearest")
        assert far.endswith(f"it will run its slot of {t(10_000_200)}.")


async def test_a_missed_slot_is_late_from_when_it_was_due() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        trigger = IntervalTrigger(seconds=100)
        job = Job("work", id="a", trigger=trigger, jitter=60, misfire_grace=5)
        await client.schedule(job, allow_unknown=True)
        [preview] = await client.preview("a", 1)
        due = (preview.due - at(0)).total_seconds()
        assert due > 110
        await asyncio.sleep(190)
        await world.peer("p0")
        await asyncio.sleep(3)
        assert await why(client, "a", 100) == (
            f"Job 'a' missed its slot of {t(100)}, because nobody looked at it before "
            f"{t(190)}, {190 - due:.3g} s late (with {due - 100:.3g} s of jitter), "
            "which is more than its grace of 5 s."
        )


async def test_two_runs_of_one_instant_are_both_told() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keyword="k", overlap="queue"))
        await asyncio.sleep(3)
        for by in ("zoe", "yan"):
            await p0.start_job("a", by=by)
        await asyncio.sleep(3)
        said = await why(p0, "a", 3)
        assert "as asked by hand" in said
        assert "by zoe on time" in said
        assert f"; and it ran as asked by hand at {t(3)} by yan on time" in said
        for number in range(5):
            await p0.fire_job("k", fire_id=str(number))
        await asyncio.sleep(3)
        said = await why(p0, "a", 6)
        assert said.count("as fired by keyword") == 3
        assert said.endswith("; and 2 more of its firings are of that instant.")
