"""Phrases as the users of the library `schedule` know them: S1-P01 to P07, 17, 18."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import aiosched
from aiosched import (
    AioschedError,
    CronTrigger,
    InvalidInputError,
    Job,
    JobExistsError,
    JobNotFoundError,
    JobState,
    Scheduler,
    TriggerError,
    every,
)
from tests.seeds.clocked import SLOW, instant, ran_at
from tests.seeds.stage import Stage

# A Friday.
NOW = datetime(2026, 5, 1, 10, 5, 7, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
WEEKDAYS = (
    *("monday", "tuesday", "wednesday", "thursday"),
    *("friday", "saturday", "sunday"),
)


# --- S1-P01: every(n) units ---


@pytest.mark.seed("S1-P01")
@pytest.mark.parametrize("unit", UNITS)
def test_every_so_many_units(unit: str) -> None:
    for number in (1, 2, 10):
        trigger = getattr(every(number), f"{unit}s")
        steps = [NOW + n * number * UNITS[unit] for n in (1, 2, 3)]
        assert trigger.upcoming(3, NOW) == steps
    assert getattr(every(), unit) == getattr(every(1), f"{unit}s")
    with pytest.raises(TriggerError) as caught:
        getattr(every(2), unit)
    assert f"every(2).{unit}s" in caught.value.remedy


@pytest.mark.seed("S1-P01")
def test_every_so_many_months() -> None:
    days = [f"{one:%m-%d %H:%M}" for one in every(2).months.upcoming(3, NOW)]
    assert days == ["07-01 00:00", "09-01 00:00", "11-01 00:00"]
    assert every().month == every(1).months
    with pytest.raises(TriggerError):
        _ = every(2).month


# --- S1-P02: weekdays ---


@pytest.mark.seed("S1-P02")
@pytest.mark.parametrize(("number", "name"), list(enumerate(WEEKDAYS)))
def test_weekdays(number: int, name: str) -> None:
    one, two = getattr(every(), name).upcoming(2, NOW)
    assert (one.weekday(), one.time()) == (number, time())
    assert NOW < one <= NOW + timedelta(weeks=1)
    assert two - one == timedelta(weeks=1)
    with pytest.raises(TriggerError) as caught:
        getattr(every(2), name)
    assert f'every(2).weeks.on("{name[:3]}")' in caught.value.remedy


@pytest.mark.seed("S1-P02")
@pytest.mark.virtual(start=NOW, timeout=10**8)
async def test_every_other_week() -> None:
    trigger = every(2).weeks.on("mon").at("10:00", "Europe/Berlin")
    began = await ran_at(trigger, timedelta(weeks=8))
    assert len(began) == 4
    began = trigger.upcoming(26, NOW)
    local = [one.astimezone(BERLIN) for one in began]
    assert {(one.weekday(), one.time()) for one in local} == {(0, time(10))}
    assert {b.date() - a.date() for a, b in pairwise(local)} == {timedelta(weeks=2)}
    assert local[0].date() == date(2026, 5, 4)


# --- S1-P03: at ---


@pytest.mark.seed("S1-P03")
@pytest.mark.parametrize(
    ("phrase", "first"),
    [
        (every().day.at("10:30"), "01 10:30:00"),
        (every().day.at("10:05:07"), "02 10:05:07"),
        (every(3).days.at("10:30:15"), "01 10:30:15"),
        (every().friday.at("12:00"), "01 12:00:00"),
        (every().friday.at("09:00:01"), "08 09:00:01"),
        (every().hour.at(":30"), "01 10:30:00"),
        (every().hour.at("04:59"), "01 11:04:59"),
        (every(5).hours.at("20:30"), "01 10:20:30"),
        (every().minute.at(":17"), "01 10:05:17"),
        (every(5).minutes.at(":05"), "01 10:10:05"),
    ],
)
def test_forms_of_at(phrase: Any, first: str) -> None:
    assert f"{phrase.upcoming(1, NOW)[0]:%d %H:%M:%S}" == first


@pytest.mark.seed("S1-P03")
@pytest.mark.parametrize(
    ("phrase", "wrong"),
    [
        *((every().day, text) for text in ("25:00", "10:60", "10", "2pm", ":30", "")),
        *((every().day, text) for text in ("10:30:60", "-1:00", "10.30", "١٠:٣٠")),
        *((every().friday, text) for text in ("25:00", ":30", "10:30:00:00")),
        *((every().hour, text) for text in ("10:30:00", ":60", "60:00", "30")),
        *((every().minute, text) for text in ("10:30", ":60", "10", ":5")),
        (every().second, ":10"),
    ],
)
def test_wrong_forms_of_at(phrase: Any, wrong: str) -> None:
    with pytest.raises(TriggerError) as caught:
        phrase.at(wrong)
    assert (caught.value.field, caught.value.value) == ("at", wrong)
    assert caught.value.remedy


# --- S1-P04: at, in a zone ---


@pytest.mark.seed("S1-P04")
@pytest.mark.parametrize("zone", ["Europe/Amsterdam", ZoneInfo("Europe/Amsterdam")])
def test_at_in_a_zone(zone: Any) -> None:
    summer, winter = NOW, datetime(2026, 12, 1, tzinfo=UTC)
    for phrase in (every().day, every().friday):
        trigger = phrase.at("12:42", zone)
        assert trigger.upcoming(1, summer)[0].time() == time(10, 42)
        assert trigger.upcoming(1, winter)[0].time() == time(11, 42)


@pytest.mark.seed("S1-P04")
@pytest.mark.parametrize("zone", ["Mars/X", "localtime", "", None, 1])
def test_at_in_no_zone(zone: Any) -> None:
    for build in (
        lambda: every().day.at("12:42", zone),
        lambda: every().friday.at("12:42", zone),
        lambda: every().hour.at(":42", zone),
        lambda: every().month.at("12:42", zone),
        lambda: every(2).weeks.on("mon").at("12:42", zone),
    ):
        with pytest.raises(TriggerError) as caught:
            build()
        assert caught.value.field == "tz"


# --- S1-P05: clock changes ---


@pytest.mark.seed("S1-P05")
@pytest.mark.virtual(start=datetime(2025, 3, 29, tzinfo=UTC), timeout=10**7)
async def test_a_time_that_is_left_out_comes_at_the_end_of_the_gap() -> None:
    """Where `schedule` is an hour late, it is at the first instant after the gap."""
    trigger = every().day.at("02:30", "Europe/Berlin")
    began = await ran_at(trigger, timedelta(days=3))
    local = [f"{one.astimezone(BERLIN):%d %H:%M}" for one in began]
    assert local == ["29 02:30", "30 03:00", "31 02:30"]


@pytest.mark.seed("S1-P05")
@pytest.mark.virtual(start=datetime(2025, 10, 25, tzinfo=UTC), timeout=10**7)
async def test_a_time_that_comes_twice_counts_once() -> None:
    trigger = every().day.at("02:30", "Europe/Berlin")
    began = await ran_at(trigger, timedelta(days=3))
    assert [f"{one:%d %H:%M}" for one in began] == ["25 00:30", "26 00:30", "27 01:30"]


@pytest.mark.seed("S1-P05")
def test_the_rule_has_named_options() -> None:
    """`gap=` and `fold=` are what the row calls `dst=`, one for each change."""
    spring = datetime(2025, 3, 29, 12, tzinfo=UTC)
    autumn = datetime(2025, 10, 25, 12, tzinfo=UTC)
    for phrase in (every().day, every().sunday, every(2).weeks.on("sun")):
        skipped = phrase.at("02:30", "Europe/Berlin", gap="skip")
        assert skipped.upcoming(1, spring)[0].date() > date(2025, 3, 30)
        last = phrase.at("02:30", "Europe/Berlin", fold="last")
        assert last.upcoming(1, autumn)[0].time() == time(1, 30)
        both = phrase.at("02:30", "Europe/Berlin", fold="both").upcoming(2, autumn)
        assert [one.time() for one in both] == [time(0, 30), time(1, 30)]


# --- S1-P06: every(a).to(b) ---


@pytest.mark.seed("S1-P06")
@pytest.mark.virtual(start=NOW, timeout=10**6)
async def test_random_intervals_are_within_both_ends() -> None:
    began = await ran_at(every(5).to(10).seconds, timedelta(seconds=7_700))
    assert len(began) > 1000
    gaps = {round((b - a).total_seconds(), 6) for a, b in pairwise(began)}
    assert (min(gaps), max(gaps)) == (5, 10)
    assert 5 <= (began[0] - NOW).total_seconds() <= 10


# --- S1-P07: until ---

ENDS: list[Any] = [
    datetime(2026, 5, 1, 18, 30, tzinfo=UTC),
    datetime(2026, 5, 1, 18, 30),  # noqa: DTZ001 - in the zone that is said
    timedelta(hours=8, minutes=24, seconds=53),
    time(18, 30),
    "2026-05-01 18:30:00",
    "2026-05-01 18:30",
    "18:30:00",
    "18:30",
]


@pytest.mark.seed("S1-P07")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.virtual(start=NOW, timeout=10**7)
async def test_forms_of_until(end: Any) -> None:
    trigger = every().hour.until(end, tz="UTC")
    began = await ran_at(trigger, timedelta(days=2))
    assert began == [NOW + timedelta(hours=n) for n in range(1, 9)]


@pytest.mark.seed("S1-P07")
@pytest.mark.parametrize("end", ["2026-05-03", date(2026, 5, 3)])
@pytest.mark.virtual(start=NOW, timeout=10**7)
async def test_a_date_ends_with_its_day(end: Any) -> None:
    """Where `schedule` ends with the first instant of the date, here it is included."""
    began = await ran_at(every(6).hours.until(end, tz="UTC"), timedelta(days=9))
    assert began[-1] == datetime(2026, 5, 3, 22, 5, 7, tzinfo=UTC)


@pytest.mark.seed("S1-P07")
@pytest.mark.virtual(start=NOW, timeout=10**7)
async def test_eight_runs_and_the_job_is_gone() -> None:
    began: list[datetime] = []

    async def note() -> None:
        began.append(instant())

    job = Job(note, id="job", trigger=every().hour.until(timedelta(hours=8)))
    async with Scheduler(name="p0", **SLOW) as scheduler:
        scheduler.register(note)
        await scheduler.schedule(job)
        await asyncio.sleep(3 * 3600)
        # At the next boot nothing has changed, and nothing is put off.
        again = await scheduler.schedule(job)
        assert again.version == 1
        nine = Job(note, id="job", trigger=every().hour.until(timedelta(hours=9)))
        with pytest.raises(JobExistsError):
            await scheduler.schedule(nine)
        await asyncio.sleep(4 * 3600)
        assert await scheduler.job_exists("job")
        await asyncio.sleep(2 * 3600)
        assert began == [NOW + timedelta(hours=n) for n in range(1, 9)]
        assert not await scheduler.job_exists("job")
        assert await scheduler.state("job") is JobState.FINISHED
        assert (await scheduler.schedule(job)).state is JobState.FINISHED
        await asyncio.sleep(86_400)
        assert len(began) == 8


@pytest.mark.seed("S1-P07")
async def test_an_end_is_kept_by_every_store(stage: Stage) -> None:
    async with stage:
        client = await stage.peer("client", run_jobs=False)
        phrases = [
            every().hour.until(timedelta(hours=8)),
            every(5).to(9).minutes.until(timedelta(hours=1)),
            every(2).weeks.on("mon", "thu").at("10:00", "Europe/Berlin"),
            every(2).weeks.on("mon").until(timedelta(days=30)),
            every().month.until(timedelta(days=90)),
        ]
        for number, phrase in enumerate(phrases):
            job = Job("note", id=f"job-{number}", trigger=phrase)
            first = await client.schedule(job, allow_unknown=True)
            again = await client.schedule(job, allow_unknown=True)
            assert (again.version, again.trigger) == (1, first.trigger)
            assert again.next_fire_time == first.next_fire_time
            stored = await client.get_job(f"job-{number}")
            assert stored.trigger == first.trigger
            changed = await client.modify(stored.id, note="kept")
            assert changed.next_fire_time == first.next_fire_time
            assert (await client.schedule(changed)).version == 2


@pytest.mark.seed("S1-P07")
@pytest.mark.parametrize(
    "build",
    [
        lambda: every().hour.until(NOW - timedelta(seconds=1)),
        lambda: every().hour.until("2026-05-01 10:00", tz="UTC"),
        lambda: every().hour.until("2026-04-30", tz="UTC"),
        lambda: every().hour.until("10:05", tz="UTC"),
        lambda: every().hour.until("12:05", tz="Europe/Berlin"),
        lambda: every().day.at("10:00").until("2026-05-01 10:05"),
        lambda: every().friday.at("10:00").until("10:05"),
        lambda: every().month.until("2026-04-30"),
        lambda: every(2).weeks.on("mon").until(timedelta(days=1)),
    ],
)
@pytest.mark.virtual(start=NOW, timeout=1000)
async def test_a_past_end_is_refused(build: Callable[[], Any]) -> None:
    async with Scheduler(name="p0", run_jobs=False) as scheduler:
        scheduler.register(print, name="work")
        with pytest.raises(TriggerError):
            await scheduler.schedule(Job("work", id="job", trigger=build()))
        assert not await scheduler.job_exists("job")


@pytest.mark.seed("S1-P07")
@pytest.mark.parametrize(
    "end",
    [
        *(timedelta(0), timedelta(hours=-1)),
        *("soon", "25:00", "18:30:60", 8, True, None),
        datetime(2026, 6, 1),  # noqa: DTZ001 - naive on purpose
        *(date(2026, 6, 1), "2026-06-01", "18:30", time(18)),
    ],
)
def test_wrong_ends(end: Any) -> None:
    with pytest.raises(TriggerError):
        every().hour.until(end)


# --- S1-P17: error classes ---


@pytest.mark.seed("S1-P17")
def test_all_errors_are_in_one_tree() -> None:
    names = [name for name in aiosched.__all__ if name.endswith("Error")]
    assert len(names) > 10
    assert all(issubclass(getattr(aiosched, name), AioschedError) for name in names)
    assert issubclass(TriggerError, (InvalidInputError))
    assert issubclass(InvalidInputError, AioschedError)
    assert issubclass(InvalidInputError, ValueError)


@pytest.mark.seed("S1-P17")
@pytest.mark.virtual(timeout=1000)
async def test_one_of_each_is_raised() -> None:
    async with Scheduler(name="p0", run_jobs=False) as scheduler:
        for error, refused in (
            (TriggerError, lambda: every(0)),
            (TriggerError, lambda: every(2).monday),
            (TriggerError, lambda: every().day.at("25:00")),
            (TriggerError, lambda: CronTrigger("0 0 30 2 *")),
            (InvalidInputError, lambda: Job("work", max_runs=0)),
        ):
            with pytest.raises(error) as caught:
                refused()
            assert isinstance(caught.value, ValueError)
            assert isinstance(caught.value, AioschedError)
        with pytest.raises(JobNotFoundError) as missing:
            await scheduler.get_job("nobody")
        assert isinstance(missing.value, AioschedError)
        assert isinstance(missing.value, LookupError)


# --- S1-P18: elapsed time ---


async def four_hours_apart() -> None:
    beginning = instant()
    began = await ran_at(every(4).hours, timedelta(days=4))
    assert len(began) == 24
    gaps = {two - one for one, two in pairwise([beginning, *began])}
    assert gaps == {timedelta(hours=4)}
    assert len({one.astimezone(BERLIN).utcoffset() for one in began}) == 2


@pytest.mark.seed("S1-P18")
@pytest.mark.virtual(start=datetime(2025, 3, 28, tzinfo=UTC), timeout=10**7)
async def test_four_hours_are_four_hours_in_spring() -> None:
    await four_hours_apart()


@pytest.mark.seed("S1-P18")
@pytest.mark.virtual(start=datetime(2025, 10, 24, tzinfo=UTC), timeout=10**7)
async def test_four_hours_are_four_hours_in_autumn() -> None:
    await four_hours_apart()
