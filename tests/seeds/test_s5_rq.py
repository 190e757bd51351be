"""What services did with rq-scheduler, on a scheduler of aiosched.

In virtual time: an instant is reached exactly, so lateness is what we add to it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from aiosched import (
    ConfigurationError,
    Event,
    Job,
    JobChangedError,
    JobNotFoundError,
    JobState,
    MemoryJobStore,
    Outcome,
    Run,
    Scheduler,
    SchedulerStateError,
    TriggerError,
)
from aiosched.integrations.rq_scheduler import RqScheduler
from aiosched.integrations.scheduler_service import SchedulerService

pytestmark = pytest.mark.virtual(timeout=10_000_000)

ID = UUID("cc1dface-9213-4eed-8cb2-0edba6b2159c")


class Seen(list[tuple[Any, ...]]):
    """Calls of a function, in their order."""

    def work(self, *args: Any, **kwargs: Any) -> None:
        self.append((*args, *sorted(kwargs.items())))


def recorder() -> tuple[Seen, Callable[..., int]]:
    seen = Seen()

    def work(*args: Any, **kwargs: Any) -> int:
        seen.work(*args, **kwargs)
        return len(seen)

    return seen, work


async def now(scheduler: Scheduler) -> datetime:
    """Return the store's instant, which the loop's time is."""
    job = await scheduler.schedule(Job("clock", keyword="never"), allow_unknown=True)
    await scheduler.remove_job(job)
    assert job.created_at is not None
    return job.created_at


# --- the calls of rq-scheduler --------------------------------------------------------


@pytest.mark.seed("S5-R01", "S5-05")
async def test_at_an_instant_and_in_a_while_with_arguments() -> None:
    seen, work = recorder()
    async with Scheduler() as scheduler:
        rq = RqScheduler(scheduler)
        soon = await now(scheduler) + timedelta(seconds=2)
        at = await rq.enqueue_at(soon, work, 1, a=2, timeout=60, meta={"by": "ann"})
        await rq.enqueue_in(timedelta(seconds=1), work, 3, a=4, job_id="mine")
        await asyncio.sleep(1.5)
        assert seen == [(3, ("a", 4))]
        await scheduler.wait(at)
        assert seen == [(3, ("a", 4)), (1, ("a", 2))]
        assert await scheduler.state("mine") is JobState.FINISHED


@pytest.mark.seed("S5-R02")
async def test_a_result_that_is_not_kept_does_not_end_the_job() -> None:
    seen, work = recorder()
    async with Scheduler() as scheduler:
        rq = RqScheduler(scheduler)
        first = await now(scheduler) + timedelta(seconds=5)
        job = await rq.schedule(
            first, work, ["x"], interval=5, result_ttl=1, meta={"a": 1}, id="five"
        )
        assert job.meta == {"a": 1}
        await asyncio.sleep(24)
        assert len(seen) == 4
        runs = [entry.run for entry in await scheduler.history("five", runs_only=True)]
        assert [run.faded for run in runs if run] == [True] * 4
        three = await rq.schedule(first, work, interval=5, repeat=3, id="three")
        assert three.max_runs == 3


@pytest.mark.seed("S5-R03")
async def test_cron_with_a_zone_and_a_number_of_runs() -> None:
    seen, work = recorder()
    zone = ZoneInfo("Asia/Ho_Chi_Minh")
    terms = {"beat": 86_400, "member_timeout": 200_000}  # three weeks have many beats
    async with Scheduler(lease=200_000, terms=terms) as scheduler:
        rq = RqScheduler(scheduler)
        await rq.cron(
            "0 0 * * 0",
            work,
            repeat=2,
            tz="Asia/Ho_Chi_Minh",
            queue_name="slow",
            ttl=3600,
            result_ttl=86_400,
            id="sundays",
        )
        runs: list[Run] = []
        scheduler.add_done_callback(runs.append, job="sundays")
        await asyncio.sleep(22 * 86_400)
        assert len(seen) == len(runs) == 2
        assert await scheduler.state("sundays") is not JobState.ACTIVE
        for run in runs:
            local = run.fire_time.astimezone(zone)
            assert (local.weekday(), local.hour, local.minute) == (6, 0, 0)


@pytest.mark.seed("S5-R04")
async def test_what_comes_until_then() -> None:
    _, work = recorder()
    async with Scheduler() as scheduler:
        rq = RqScheduler(scheduler)
        base = await now(scheduler)
        times = [base + timedelta(minutes=n) for n in range(1, 11)]
        for number in (3, 7, 0, 9, 1, 5, 2, 8, 4, 6):
            await rq.enqueue_at(times[number], work, job_id=f"j{number}")
        await scheduler.schedule(Job(work, id="word", keyword="k"))
        everything = await rq.get_jobs(with_times=True)
        assert everything == [
            (await scheduler.get_job(f"j{n}"), times[n]) for n in range(10)
        ]

        async def ids(*args: Any, **options: Any) -> list[str]:
            return [job.id for job in await rq.get_jobs(*args, **options)]  # type: ignore[union-attr]

        assert await ids(times[3]) == ["j0", "j1", "j2", "j3"]
        assert await ids(times[3], offset=1, length=2) == ["j1", "j2"]
        assert await ids(timedelta(minutes=2, seconds=1)) == ["j0", "j1"]
        assert await ids(offset=8) == ["j8", "j9"]
        assert await ids(length=0) == []
        assert (await rq.count(), await rq.count(until=times[3])) == (10, 4)
        assert (await rq.contains("j0"), await rq.contains("j10")) == (True, False)
        for wrong in ({"offset": -1}, {"length": "x"}):
            with pytest.raises(ConfigurationError):
                await rq.get_jobs(**wrong)
        with pytest.raises(TriggerError, match="no time zone"):
            await rq.count(until=datetime(2030, 1, 1))  # noqa: DTZ001 - that is it


@pytest.mark.seed("S5-R06")
async def test_a_cancellation_says_whether_there_was_a_job() -> None:
    _, work = recorder()
    async with Scheduler() as scheduler:
        rq = RqScheduler(scheduler)
        await rq.enqueue_in(timedelta(hours=1), work, job_id="a")
        assert await rq.cancel("a") is True
        assert await rq.cancel("a") is False
        with pytest.raises(JobNotFoundError):
            await rq.cancel("a", missing="raise")
        with pytest.raises(ConfigurationError):
            await rq.cancel("a", missing="maybe")


@pytest.mark.seed("S5-R07")
async def test_a_job_is_moved_or_refused_and_never_both() -> None:
    """A thousand changes about the instant at which the jobs are due."""
    ran: dict[str, int] = {}

    async def work(name: str) -> None:
        ran[name] = ran.get(name, 0) + 1

    races = 1000
    async with Scheduler(max_concurrency=races) as scheduler:
        rq = RqScheduler(scheduler)
        due = await now(scheduler) + timedelta(seconds=10)
        later = due + timedelta(hours=1)
        scheduler.register(work)
        names = [f"j{n}" for n in range(races)]
        for name in names:
            await rq.enqueue_at(due, work, name, job_id=name)
        left = (due - await now(scheduler)).total_seconds()
        moved: set[str] = set()

        async def change(number: int, name: str) -> None:
            # From a little before to a little after.
            await asyncio.sleep(left + (number - races / 2) * 2e-6)
            try:
                await rq.change_execution_time(name, later)
            except (JobNotFoundError, JobChangedError):
                return
            moved.add(name)

        await asyncio.gather(*[change(n, name) for n, name in enumerate(names)])
        await asyncio.sleep(60)
        assert 0 < len(moved) < races, "the race was one"
        assert ran == dict.fromkeys(set(names) - moved, 1)
        await asyncio.sleep(3600)
        assert ran == dict.fromkeys(names, 1)


async def test_a_job_that_repeats_has_no_one_time() -> None:
    _, work = recorder()
    async with Scheduler() as scheduler:
        rq = RqScheduler(scheduler)
        await rq.cron("0 0 * * *", work, id="daily")
        with pytest.raises(TriggerError, match="does not run once"):
            await rq.change_execution_time("daily", await now(scheduler))


async def test_options_have_their_place_or_say_what_there_is() -> None:
    _, work = recorder()
    async with Scheduler() as scheduler:
        rq = RqScheduler(scheduler)
        soon = timedelta(hours=1)
        job = await rq.enqueue_in(
            soon,
            work,
            job_id="a",
            timeout=30,
            job_ttl=90,
            job_result_ttl=60,
            job_description="what",
            meta={"m": 1},
            queue_name="q",
        )
        assert job.id == "a"
        assert job.timeout == timedelta(seconds=30)
        assert job.misfire_grace == timedelta(seconds=90)
        assert job.keep_results == timedelta(seconds=60)
        assert (job.note, job.meta, job.queue) == ("what", {"m": 1}, "q")
        forever = await rq.enqueue_in(soon, work, job_result_ttl=-1)
        assert forever.keep_results is None
        for name in ("depends_on", "at_front", "on_success", "on_failure"):
            with pytest.raises(ConfigurationError, match="is not supported") as caught:
                await rq.enqueue_in(soon, work, **{name: 1})
            assert caught.value.field == name
        with pytest.raises(ConfigurationError, match="is not known"):
            await rq.schedule(await now(scheduler), work, surprise=1)


@pytest.mark.seed("S5-R15")
async def test_a_thousand_ticks_do_not_drift() -> None:
    async def work() -> None:
        await asyncio.sleep(3)

    async with Scheduler() as scheduler:
        rq = RqScheduler(scheduler)
        start = await now(scheduler) + timedelta(seconds=10)
        await rq.schedule(start, work, interval=10, id="tick")
        await asyncio.sleep(10_005)
        rows = await scheduler.history("tick", runs_only=True, limit=2000)
        times = sorted(row.run.fire_time for row in rows if row.run)
        assert times == [start + timedelta(seconds=10 * n) for n in range(1000)]
        late = max(row.run.lateness or timedelta(0) for row in rows if row.run)
        assert late < timedelta(milliseconds=1)


# --- the wrapper of a service ---------------------------------------------------------


@pytest.mark.seed("S5-06")
async def test_functions_with_any_arguments() -> None:
    draw = random.Random(6)
    got: list[tuple[list[Any], dict[str, Any]]] = []

    def plainly(*args: Any, **kwargs: Any) -> None:
        got.append((list(args), kwargs))

    async def natively(*args: Any, **kwargs: Any) -> None:
        got.append((list(args), kwargs))

    def value(depth: int = 0) -> Any:
        kinds: list[Callable[[], Any]] = [
            lambda: None,
            lambda: draw.random() < 0.5,
            lambda: draw.randint(-(10**30), 10**30),
            lambda: draw.random() * 10 ** draw.randint(-9, 9),
            lambda: "".join(draw.choices("aä€😀 \n\0\"\\'", k=draw.randint(0, 9))),
        ]
        if depth < 3:
            kinds.append(lambda: [value(depth + 1) for _ in range(draw.randint(0, 3))])
            kinds.append(
                lambda: {f"k{n}": value(depth + 1) for n in range(draw.randint(0, 3))}
            )
        return draw.choice(kinds)()

    async with Scheduler() as scheduler:
        service = SchedulerService(scheduler)
        for number in range(100):
            args = [value() for _ in range(draw.randint(0, 4))]
            kwargs = {f"a{n}": value() for n in range(draw.randint(0, 3))}
            function = (plainly, natively)[number % 2]
            job = await service.schedule_job(function, args, kwargs)
            run = await scheduler.wait(job)
            assert run.outcome is Outcome.SUCCEEDED
            assert got.pop() == (args, kwargs)


@pytest.mark.seed("S5-11")
async def test_two_names_of_one_interval() -> None:
    _, work = recorder()
    async with Scheduler() as scheduler:
        service = SchedulerService(scheduler)
        one = await service.schedule_periodic("a", interval=60, func=work)
        two = await service.schedule_periodic("a", every_seconds=60, func=work)
        assert one is not None
        assert two is not None
        assert (one.trigger, one.version) == (two.trigger, two.version)
        with pytest.raises(TypeError, match="every_seconds"):
            await service.schedule_periodic("a", 60, work, every_seconds=60)


@pytest.mark.seed("S5-12")
async def test_an_instance_or_a_class_that_is_configured() -> None:
    seen, work = recorder()

    class Mine(SchedulerService):
        """A class of one's own has a scheduler of its own."""

    for kind in (SchedulerService, Mine):
        with pytest.raises(SchedulerStateError, match=rf"{kind.__name__}\.configure"):
            kind.schedule_job(work)
    async with Scheduler() as scheduler, Scheduler() as other:
        SchedulerService.configure(scheduler)
        try:
            await scheduler.wait(await SchedulerService.schedule_job(work, (1,)))
            Mine.configure(other)
            await other.wait(await Mine.schedule_job(work, (2,)))
            await scheduler.wait(await SchedulerService(scheduler).schedule_job(work))
        finally:
            SchedulerService.configure(None)
    assert seen == [(1,), (2,), ()]
    with pytest.raises(SchedulerStateError):
        SchedulerService.schedule_at(datetime(2030, 1, 1, tzinfo=UTC), work)


@pytest.mark.seed("S5-15")
async def test_a_restart_doubles_nothing_and_puts_nothing_off() -> None:
    seen, work = recorder()
    store = MemoryJobStore()
    first = None
    for _ in range(5):
        async with Scheduler(store) as scheduler:
            service = SchedulerService(scheduler)
            job = await service.schedule_periodic(ID, 60, work)
            assert job is not None
            first = first or job.next_fire_time
            assert job.next_fire_time == first
            assert [one.id for one in await scheduler.get_jobs()] == [str(ID)]
            await asyncio.sleep(10)
    async with Scheduler(store) as scheduler:
        await SchedulerService(scheduler).schedule_periodic(ID, 60, work)
        await asyncio.sleep(11)
    assert len(seen) == 1


@pytest.mark.seed("S5-18")
async def test_now_is_now() -> None:
    _, work = recorder()
    async with Scheduler() as scheduler:
        service = SchedulerService(scheduler)
        for _ in range(100):
            job = await service.schedule_job(work)
            run = await scheduler.wait(job)
            assert run.outcome is Outcome.SUCCEEDED
            assert run.lateness is not None
            assert run.lateness < timedelta(seconds=1)


@pytest.mark.seed("S5-19")
async def test_at_is_at() -> None:
    _, work = recorder()
    async with Scheduler() as scheduler:
        at = await now(scheduler) + timedelta(seconds=2)
        run = await scheduler.wait(
            await SchedulerService(scheduler).schedule_at(at, work)
        )
        assert run.started_at is not None
        assert timedelta(0) <= run.started_at - at < timedelta(milliseconds=50)


@pytest.mark.seed("S5-20")
async def test_a_naive_instant_is_refused_and_a_past_one_is_told() -> None:
    seen, work = recorder()
    missed: list[Event] = []
    async with Scheduler() as scheduler:
        service = SchedulerService(scheduler)
        scheduler.on_missed(missed.append)
        with pytest.raises(TriggerError, match="no time zone"):
            await service.schedule_at(datetime(2023, 10, 1, 12), work)  # noqa: DTZ001
        assert await scheduler.get_jobs() == []
        await service.schedule_at(datetime(2023, 10, 1, 12, tzinfo=UTC), work)
        await asyncio.sleep(10)
    assert seen == []
    assert [event.data["slot"] for event in missed] == [
        datetime(2023, 10, 1, 12, tzinfo=UTC)
    ]


@pytest.mark.seed("S5-21")
async def test_coroutine_functions_need_no_wrapper() -> None:
    async def fail(number: int) -> int:
        await asyncio.sleep(1)
        if number == 2:
            raise ValueError("two")
        return number

    async with Scheduler() as scheduler:
        service = SchedulerService(scheduler)
        good = await scheduler.wait(await service.schedule_job(fail, (1,)))
        assert (good.outcome, good.result) == (Outcome.SUCCEEDED, 1)
        bad = await scheduler.wait(await service.schedule_job(fail, (2,)))
        assert bad.outcome is Outcome.FAILED
        assert bad.error is not None
        assert (bad.error.type, bad.error.message) == ("ValueError", "two")
        assert "in fail" in bad.error.traceback
