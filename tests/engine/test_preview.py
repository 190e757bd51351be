"""Previews: exactly what later fires, on both sides of every clock change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
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
    JobNotFoundError,
    Preview,
    Retry,
    Scheduler,
    Trigger,
    TriggerError,
    every,
)
from aiosched._engine.timer import SHORTEST_SLEEP
from aiosched.instants import moment
from tests.engine.kit import World, after, at, loop
from tests.waiting import wait_until

LONG = 100_000_000
DAY = 86_400
SPRING = datetime(2030, 3, 28, 22, 30, 0, 250_000, tzinfo=UTC)
AUTUMN = datetime(2030, 10, 25, 22, 30, 0, 250_000, tzinfo=UTC)
SOUTH = datetime(2030, 4, 5, 12, 0, 0, 250_000, tzinfo=UTC)
RARE: dict[str, Any] = {
    "lease": 3_600,
    "terms": {"beat": 900, "member_timeout": 3_000},
}
Starts = list[tuple[datetime, datetime]]


def wall() -> datetime:
    return moment(loop().wall())


def cron(expression: str, tz: str = "Europe/Paris", **more: Any) -> CronTrigger:
    return CronTrigger(expression, tz=tz, **more)


JOBS: dict[str, dict[str, Any]] = {
    "second": {"trigger": IntervalTrigger(seconds=977)},
    "nightly": {"trigger": cron("30 2 * * *")},
    "two in the gap": {"trigger": cron("5,30 2,3 * * *")},
    "hourly": {"trigger": cron("0 * * * *")},
    "quarter": {"trigger": cron("*/15 * * * *", "America/New_York")},
    "lord howe": {"trigger": cron("45 1 * * *", "Australia/Lord_Howe")},
    "both passes": {"trigger": cron("30 2 * * *", fold="both", gap="skip")},
    "calendar": {
        "trigger": CalendarIntervalTrigger(days=1, at="02:15", tz="Europe/Paris")
    },
    "months": {"trigger": CalendarIntervalTrigger(days=2, at="13:00", tz="Asia/Tokyo")},
    "date": {"trigger": DateTrigger("2030-12-31T00:00:00Z")},
    "either": {"trigger": cron("0 2 * * *") | cron("30 2 * * *", "UTC")},
    "both": {"trigger": cron("0 * * * *") & cron("0 */3 * * *", "UTC")},
    "varied": {"trigger": every(300).to(3000).seconds},
    "jitter": {"trigger": IntervalTrigger(minutes=30), "jitter": 600},
    "much jitter": {"trigger": IntervalTrigger(minutes=5), "jitter": 3_600},
    "each jitter": {
        "trigger": IntervalTrigger(minutes=5),
        "jitter": 3_600,
        "coalesce": "all",
        "overlap": "allow",
    },
    "earliest jitter": {
        "trigger": IntervalTrigger(minutes=5),
        "jitter": 3_600,
        "coalesce": "earliest",
    },
    "nightly jitter": {"trigger": cron("30 2 * * *"), "jitter": 7_200},
    "seven": {"trigger": cron("*/20 * * * *"), "max_runs": 7},
    "seven jitter": {
        "trigger": IntervalTrigger(minutes=5),
        "jitter": 3_600,
        "max_runs": 7,
    },
    "ends": {"trigger": IntervalTrigger(hours=1, end=SPRING + timedelta(hours=9))},
    "ends jitter": {
        "trigger": IntervalTrigger(hours=1, end=AUTUMN + timedelta(hours=9)),
        "jitter": 7_000,
    },
    "delayed": {"when": timedelta(hours=5)},
    "once": {},
    "keyword": {"keyword": "k"},
    "keyword and trigger": {"keyword": "k", "trigger": cron("7 7 * * *")},
    "paused": {"trigger": cron("0 * * * *"), "paused": True},
    "no weekend": {"trigger": cron("0 */2 * * *").excluding("sat-sun")},
    "no weekend jitter": {
        "trigger": cron("*/30 * * * *").excluding("sat"),
        "jitter": 2_700,
    },
    "next day": {
        "trigger": cron("30 2 * * fri-sat").excluding("sat", shift="next_business_day"),
        "jitter": 60,
    },
    "day before": {
        "trigger": cron("30 2,13 * * sun").excluding(
            "sun", shift="previous_business_day"
        )
    },
    "without": {"trigger": cron("0 * * * *") - cron("0 */3 * * *")},
}


def pairs(previews: Sequence[Preview]) -> Starts:
    return [(preview.slot, preview.due) for preview in previews]


class Journal:
    """When each slot of each job was started."""

    def __init__(self) -> None:
        self.starts: dict[str, Starts] = {}

    def register(self, scheduler: Scheduler) -> None:
        async def work(context: Context) -> None:
            starts = self.starts.setdefault(context.job_id, [])
            starts.append((context.fire_time, wall()))

        scheduler.register(work, name="work")

    def since(self, job_id: str, instant: datetime) -> Starts:
        """Return the starts, in order; several at one instant by their slots."""
        starts = [one for one in self.starts.get(job_id, []) if one[1] > instant]
        return sorted(starts, key=lambda one: (one[1], one[0]))


async def follow(days: float, jobs: dict[str, dict[str, Any]], n: int = 150) -> None:
    """Preview jobs at odd moments of some days, and see what came."""
    journal = Journal()
    async with World(**RARE) as world:
        p0 = world.build("p0", work=False)
        journal.register(p0)
        await world.start(p0)
        seen: list[tuple[str, datetime, Starts]] = []
        for job_id, fields in jobs.items():
            job = Job("work", id=job_id, **fields)
            # Before it is stored, and after: the same.
            before = pairs(await p0.preview(job, n))
            await p0.schedule(job)
            stored = pairs(await p0.preview(job_id, n))
            assert stored == before, job_id
            if job_id != "once":  # that one runs at once
                assert pairs(await p0.preview(job, n)) == before, job_id
            seen.append((job_id, wall() - timedelta(seconds=1), stored))
        for number in range(8):
            await asyncio.sleep(days * 86_400 / 8 + number)
            for job_id in jobs:
                if await p0.job_exists(job_id):
                    found = pairs(await p0.preview(job_id, n))
                    seen.append((job_id, wall(), found))
        end = wall()
        for job_id, instant, foreseen in seen:
            came = journal.since(job_id, instant)
            expected = [one for one in foreseen if one[1] <= end]
            told = came[: len(expected)]
            assert [slot for slot, _ in told] == [slot for slot, _ in expected], job_id
            for (_, start), (_, due) in zip(told, expected, strict=True):
                # Two jobs that are due within its shortest sleep share a wake-up.
                late = (start - due).total_seconds()
                assert 0 <= late <= SHORTEST_SLEEP, (job_id, instant, due)
            if len(foreseen) < n:
                assert len(came) == len(expected), (job_id, instant)


# --- exactly what later fires ---


@pytest.mark.virtual(start=SPRING, timeout=LONG)
async def test_what_is_previewed_is_what_fires_in_spring() -> None:
    await follow(3.5, JOBS)


@pytest.mark.virtual(start=AUTUMN, timeout=LONG)
async def test_what_is_previewed_is_what_fires_in_autumn() -> None:
    await follow(2.5, {k: v for k, v in JOBS.items() if k != "ends"})


@pytest.mark.virtual(start=SOUTH, timeout=LONG)
async def test_what_is_previewed_is_what_fires_in_the_south() -> None:
    await follow(2.5, {k: v for k, v in JOBS.items() if k != "ends"})


@pytest.mark.virtual(timeout=LONG)
@pytest.mark.parametrize(
    ("coalesce", "overlap"),
    [
        (coalesce, overlap)
        for coalesce in ("latest", "earliest", "all")
        for overlap in ("skip", "queue", "allow", "cancel_previous")
    ],
)
async def test_what_is_late_is_previewed_as_it_will_be_caught_up_with(
    coalesce: Any, overlap: Any
) -> None:
    """A client looks while nobody is there to run anything."""
    journal = Journal()
    async with World() as world:
        client = world.build("client", work=False, run_jobs=False)
        journal.register(client)
        await world.start(client)
        rules = {"coalesce": coalesce, "overlap": overlap, "max_running": 1}
        for job_id, more in {
            "plain": {},
            "grace": {"misfire_grace": 95},
            "jitter": {"jitter": 25},
            "few": {"max_runs": 3},
        }.items():
            trigger = IntervalTrigger(seconds=20)
            await client.schedule(
                Job("work", id=job_id, trigger=trigger, **rules, **more)
            )
        await asyncio.sleep(205)
        foreseen = {
            job_id: [p.slot for p in await client.preview(job_id, 30)]
            for job_id in ("plain", "grace", "jitter", "few")
        }
        peer = world.build("peer", work=False)
        journal.register(peer)
        await world.start(peer)
        await asyncio.sleep(400)
        for job_id, slots in foreseen.items():
            came = [slot for slot, _ in journal.starts[job_id]]
            number = min(len(came), len(slots))
            assert came[:number] == slots[:number], job_id
            assert number >= (3 if job_id == "few" else 15)


@pytest.mark.virtual(timeout=LONG)
@pytest.mark.parametrize("jitter", [0, 9])
@pytest.mark.parametrize("max_running", [1, 2])
@pytest.mark.parametrize("coalesce", ["latest", "earliest", "all"])
@pytest.mark.parametrize("overlap", ["skip", "queue", "allow", "cancel_previous"])
async def test_what_waits_for_its_next_attempt_is_in_the_way_of_slots_to_come(
    overlap: Any, coalesce: Any, max_running: int, jitter: int
) -> None:
    """Foreseen in a back-off: exactly what comes, when the attempt works."""
    tried: list[datetime] = []
    journal = Journal()
    async with World() as world:
        p0 = world.build("p0", work=False)

        async def work(context: Context) -> None:
            if context.attempt == 1 and not tried:
                tried.append(context.fire_time)
                raise ValueError("no")
            if context.attempt == 1:
                starts = journal.starts.setdefault(context.job_id, [])
                starts.append((context.fire_time, wall()))

        p0.register(work, name="work")
        await world.start(p0)
        job = Job(
            "work",
            id="a",
            trigger=IntervalTrigger(seconds=10, start=at(10)),
            overlap=overlap,
            coalesce=coalesce,
            max_running=max_running,
            jitter=jitter,
            retry=Retry(3, delay=55, jitter=0),
        )
        await p0.schedule(job)
        await wait_until(lambda: bool(tried), "a failure", timeout=60)
        await asyncio.sleep(0.5)
        instant = wall()
        foreseen = await p0.preview("a", 12)
        assert await p0.next_fire_time("a") == foreseen[0].due
        later = foreseen[4].due
        after = await p0.preview("a", 7, after=later)
        assert pairs(after) == [one for one in pairs(foreseen) if one[1] > later][:7]
        for slot in tried[0] + timedelta(seconds=10), tried[0] + timedelta(seconds=70):
            said = await p0.why("a", slot)
            assert ("will run its slot" in said) is (slot in pairs_of(foreseen)), said
        await asyncio.sleep(200)
        came = journal.since("a", instant)[:12]
        assert [slot for slot, _ in came] == [p.slot for p in foreseen]
        for (_, started), preview in zip(came, foreseen, strict=True):
            assert abs(started - preview.due) < timedelta(seconds=1)


def pairs_of(previews: Sequence[Preview]) -> set[datetime]:
    return {preview.slot for preview in previews}


# --- what the store knows ---


@pytest.mark.virtual(timeout=LONG)
async def test_a_pause_that_ends_is_in_it_and_one_that_does_not() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=60)))
        await p0.pause("a", until=200)
        foreseen = [p.due for p in await p0.preview("a", 3)]
        assert foreseen == [at(240), at(300), at(360)]
        await asyncio.sleep(400)
        assert world.begun("a") == [240.0, 300.0, 360.0]
        await p0.pause("a")
        assert await p0.preview("a") == []
        await p0.resume("a")
        assert [p.due for p in await p0.preview("a", 1)] == [at(420)]


@pytest.mark.virtual(timeout=LONG)
async def test_runs_that_are_used_up_are_not_to_come() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=60)
        await p0.schedule(Job("work", id="a", trigger=trigger, max_runs=5))
        assert len(await p0.preview("a", 100)) == 5
        await asyncio.sleep(130)
        assert len(world.of("a")) == 2
        assert len(await p0.preview("a", 100)) == 3
        late = await p0.preview("a", 100, after=at(200))
        assert [p.due for p in late] == [at(240), at(300)]
        assert await p0.preview("a", 100, after=at(300)) == []


@pytest.mark.virtual(timeout=LONG)
async def test_slots_that_a_run_keeps_from_running_are_not_to_come() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(
            Job(
                "work",
                id="a",
                trigger=IntervalTrigger(seconds=60),
                kwargs={"seconds": 150},
            )
        )
        await asyncio.sleep(185)
        assert world.begun("a") == [60.0]
        assert [p.due for p in await p0.preview("a", 1)] == [at(240)]
        assert await p0.next_fire_time("a") == at(240)


@pytest.mark.virtual(timeout=LONG)
async def test_a_job_is_previewed_as_if_it_were_scheduled_now() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = Job("work", id="a", trigger=IntervalTrigger(seconds=60))
        await p0.schedule(job)
        await asyncio.sleep(90)
        assert [p.due for p in await p0.preview(job, 1)] == [at(120)]
        slower = job.with_changes(trigger=IntervalTrigger(seconds=100))
        assert [p.due for p in await p0.preview(slower, 1)] == [at(190)]
        few = job.with_changes(max_runs=2)
        assert [p.due for p in await p0.preview(few, 9)] == [at(120)]
        assert [p.due for p in await p0.preview("a", 2)] == [at(120), at(180)]
        assert (await p0.get_job("a")).version == 1
        done = Job("work", id="done")
        await p0.schedule(done)
        await asyncio.sleep(1)
        assert await p0.preview(done) == []  # a no-op: it has finished
        with pytest.raises(JobNotFoundError):
            await p0.preview("done")


# --- far ahead, and without a store ---


@pytest.mark.virtual(timeout=LONG)
@pytest.mark.parametrize("fields", [{}, {"jitter": 30}, {"max_runs": 300_000_000}])
async def test_looking_years_ahead_costs_no_walk_through_them(
    fields: dict[str, Any],
) -> None:
    far = at(0).replace(year=2031)
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=1)
        await p0.schedule(Job("work", id="a", trigger=trigger, **fields))
        found = await p0.preview("a", 3, after=far)
        assert len(found) == 3
        if not fields.get("jitter"):
            assert [p.due - far for p in found] == [after(n) for n in (1, 2, 3)]
        assert all(far < p.due <= far + after(40) for p in found)
        if "max_runs" in fields:
            beyond = at(300_000_000)
            assert await p0.preview("a", 3, after=beyond) == []


async def test_a_trigger_needs_no_store() -> None:
    trigger = cron("30 2 * * *")
    found = await Scheduler().preview(trigger, 3, after=SPRING)
    assert [p.slot for p in found] == trigger.upcoming(3, SPRING)
    now = datetime.now(UTC)
    [soon] = await Scheduler().preview(IntervalTrigger(hours=1), 1)
    assert now + timedelta(hours=1) <= soon.slot <= now + timedelta(hours=1, minutes=1)


# --- what is shown ---


async def test_days_of_a_clock_change_are_marked() -> None:
    night = await Scheduler().preview(cron("30 2 * * *"), 4, after=SPRING)
    assert [p.local.isoformat() for p in night] == [
        "2030-03-29T02:30:00+01:00",
        "2030-03-30T02:30:00+01:00",
        "2030-03-31T03:00:00+02:00",
        "2030-04-01T02:30:00+02:00",
    ]
    hour = timedelta(hours=1)
    none = timedelta(0)
    assert [p.clock_change for p in night] == [none, none, hour, none]
    assert [p.made_up for p in night] == [False, False, True, False]
    assert [p.repeated for p in night] == [None] * 4
    assert [p.offset for p in night] == [hour, hour, 2 * hour, 2 * hour]
    later = AUTUMN + timedelta(days=1)
    hours = await Scheduler().preview(cron("30 * * * *"), 5, after=later)
    assert [(p.local.hour, p.repeated) for p in hours] == [
        (1, None),
        (2, "first"),
        (2, "second"),
        (3, None),
        (4, None),
    ]
    assert {p.clock_change for p in hours} == {-hour}


async def test_a_slot_on_its_own_is_not_made_up_at_the_end_of_a_gap() -> None:
    own = cron("0 3 * * *")
    both = cron("30 2 * * *") | own
    calendar = CalendarIntervalTrigger(days=1, at="02:10", tz="Europe/Paris")
    for trigger, made_up in ((own, False), (both, False), (calendar, True)):
        found = await Scheduler().preview(trigger, 6, after=SPRING)
        [change] = [p for p in found if p.slot == datetime(2030, 3, 31, 1, tzinfo=UTC)]
        assert change.made_up is made_up, trigger


@pytest.mark.parametrize(
    ("tz", "day", "hours"),
    [
        ("Europe/Paris", "2030-03-31", 1.0),
        ("Europe/Paris", "2030-03-30", 0.0),
        ("Europe/Paris", "2030-10-27", -1.0),
        ("Australia/Lord_Howe", "2030-04-07", -0.5),
        ("America/Sao_Paulo", "2018-11-04", 1.0),  # there is no midnight
        ("America/Sao_Paulo", "2018-11-03", 0.0),
        ("America/Sao_Paulo", "2018-02-17", -1.0),  # midnight comes twice
        ("America/Havana", "2030-11-03", -1.0),
        ("Pacific/Apia", "2011-12-31", 24.0),  # the day before is left out
        ("Pacific/Apia", "2011-12-29", 0.0),
        ("UTC", "2030-03-31", 0.0),
    ],
)
async def test_a_change_of_the_clock_belongs_to_one_day(
    tz: str, day: str, hours: float
) -> None:
    noon = CronTrigger("0 12 * * *", tz=tz)
    begin = datetime.fromisoformat(f"{day}T00:00:00+00:00") - timedelta(days=2)
    found = await Scheduler().preview(noon, 5, after=begin)
    [one] = [p for p in found if p.local.date() == date.fromisoformat(day)]
    assert one.clock_change == timedelta(hours=hours)


async def test_the_zone_is_the_triggers_unless_another_is_asked_for() -> None:
    paris = cron("30 2 * * *")
    cases: list[tuple[Trigger, str]] = [
        (paris, "Europe/Paris"),
        (IntervalTrigger(hours=1), "UTC"),
        (paris | cron("0 5 * * *"), "Europe/Paris"),
        (paris | cron("0 5 * * *", "Asia/Tokyo"), "UTC"),
        (DateTrigger("2099-01-01 09:00", tz="Asia/Tokyo"), "Asia/Tokyo"),
    ]
    for trigger, tz in cases:
        [one] = await Scheduler().preview(trigger, 1)
        assert (one.tz, one.local.utcoffset()) == (tz, one.offset)
        [other] = await Scheduler().preview(trigger, 1, tz="Asia/Kathmandu")
        assert other.local.utcoffset() == timedelta(hours=5, minutes=45)
        assert other.due == one.due or trigger.needs_pin()


async def test_a_preview_as_data() -> None:
    [one] = await Scheduler().preview(
        cron("30 2 * * *"), 1, after=SPRING + timedelta(days=2)
    )
    assert one.to_dict() == {
        "slot": "2030-03-31T01:00:00+00:00",
        "due": "2030-03-31T01:00:00+00:00",
        "local": "2030-03-31T03:00:00+02:00",
        "tz": "Europe/Paris",
        "offset": 7200.0,
        "clock_change": 3600.0,
        "made_up": True,
        "repeated": None,
    }
    assert one.delay == timedelta(0)


# --- refusals ---


@pytest.mark.virtual(timeout=LONG)
async def test_what_cannot_be_previewed_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=1)
        for n in (0, -1, 10_001, True, 1.5, "3"):
            with pytest.raises(ConfigurationError) as caught:
                await p0.preview(trigger, n)  # type: ignore[arg-type]
            assert caught.value.field == "n"
        assert len(await p0.preview(trigger, 10_000)) == 10_000
        with pytest.raises(ConfigurationError) as caught:
            await p0.preview(trigger, after=at(0).replace(tzinfo=None))
        assert caught.value.field == "after"
        with pytest.raises(ConfigurationError):
            await p0.preview(42)  # type: ignore[arg-type]
        with pytest.raises(TriggerError):
            await p0.preview(trigger, tz="Mars/Base")
        with pytest.raises(JobNotFoundError):
            await p0.preview("nobody")
        with pytest.raises(ConfigurationError):
            await p0.next_fire_time("a", tag="b")
        with pytest.raises(ConfigurationError):
            await p0.idle_seconds(tag=3)  # type: ignore[arg-type]


# --- the next of all ---


@pytest.mark.virtual(timeout=LONG)
async def test_the_next_of_all_jobs_is_found_among_many() -> None:
    async with World() as world:
        p0 = await world.peer("p0", run_jobs=False)
        assert await p0.next_fire_time() is None
        assert await p0.idle_seconds() is None
        jobs = [
            Job(
                "work",
                id=f"j{n}",
                trigger=IntervalTrigger(seconds=1000 + n * 7919 % 5003),
                tags=["rare"] if n % 97 == 5 else ["often"],
                queue=f"q{n % 3}",
            )
            for n in range(800)
        ]
        await p0.schedule_many(jobs)
        await p0.schedule(Job("work", id="held", trigger=IntervalTrigger(seconds=1)))
        await p0.pause("held")
        await p0.schedule(Job("work", id="word", keyword="k"))
        for tag in (None, "rare", "often"):
            mine = [job for job in jobs if tag is None or tag in job.tags]
            firsts = [(await p0.preview(job.id, 1))[0].due for job in mine]
            assert await p0.next_fire_time(tag=tag) == min(firsts)
        assert await p0.next_fire_time(tag="none") is None
        first = await p0.next_fire_time()
        assert first is not None
        assert await p0.idle_seconds() == (first - wall()).total_seconds()


@pytest.mark.virtual(timeout=LONG)
async def test_a_snapshot_shows_when_a_job_really_fires_next() -> None:
    jobs: dict[str, dict[str, Any]] = {
        "left out": {"trigger": cron("0 9 * * *").excluding("sat-sun")},
        "moved": {
            "trigger": cron("0 9 1 * *").excluding("sat-sun", shift="next_business_day")
        },
        "jittered": {"trigger": cron("0 9 * * *"), "jitter": 3_600},
        "plain": {"trigger": cron("0 9 * * *")},
    }
    async with World(**RARE) as world:
        p0 = await world.peer()
        # On Friday, after its slot; the first of June is a Saturday.
        friday = datetime(2024, 5, 31, 12, tzinfo=UTC)
        await asyncio.sleep((friday - wall()).total_seconds())
        shown: dict[str, datetime | None] = {}
        for name, options in jobs.items():
            job = await p0.schedule(Job("work", id=name, **options))
            shown[name] = job.next_fire_time
            assert shown[name] == (await p0.get_job(name)).next_fire_time
            assert shown[name] == await p0.next_fire_time(name)
            [listed] = [one for one in await p0.get_jobs() if one.id == name]
            assert shown[name] == listed.next_fire_time
        monday = datetime(2024, 6, 3, 7, tzinfo=UTC)
        assert (shown["left out"], shown["moved"]) == (monday, monday)
        assert shown["plain"] == monday - timedelta(days=2)
        assert shown["jittered"] != shown["plain"]
        await asyncio.sleep(4 * DAY)
        for name, next_ in shown.items():
            assert next_ is not None
            first = world.begun(name)[0]
            assert first == pytest.approx((next_ - at(0)).total_seconds(), abs=0.01)
