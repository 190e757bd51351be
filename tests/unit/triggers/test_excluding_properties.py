"""Exclusions against a reference that knows no arithmetic: slot by slot, day by day."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aiosched.errors import TriggerError
from aiosched.instants import DAY, micros, moment
from aiosched.triggers import (
    CalendarIntervalTrigger,
    CronTrigger,
    IntervalTrigger,
    Trigger,
    trigger_from_data,
)
from aiosched.triggers.excluding import ExcludingTrigger
from aiosched.triggers.exclusions import Exclusion, Shift
from aiosched.triggers.walltime import Fold

MARGIN = 45 * DAY
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
    "America/Nuuk",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Pacific/Apia",
    "Asia/Kathmandu",
)
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SHIFTS: tuple[Shift, ...] = ("skip", "next_business_day", "previous_business_day")
quick = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class Days(NamedTuple):
    """Excluded days, as a person would write them down."""

    weekdays: frozenset[int]
    yearly: frozenset[tuple[int, int]]
    ranges: tuple[tuple[date, date], ...]

    def __contains__(self, day: object) -> bool:
        assert isinstance(day, date)
        return (
            day.weekday() in self.weekdays
            or (day.month, day.day) in self.yearly
            or any(first <= day <= last for first, last in self.ranges)
        )

    def said(self) -> list[Exclusion]:
        return [
            *(WEEK[number] for number in self.weekdays),
            *(f"{month:02}-{day:02}" for month, day in self.yearly),
            *self.ranges,
        ]


class Case(NamedTuple):
    """A trigger, what is excluded from it, and where to look."""

    trigger: Trigger
    days: Days
    zone: str
    shift: Shift
    first: int
    until: int

    def build(self) -> ExcludingTrigger:
        return self.trigger.excluding(*self.days.said(), tz=self.zone, shift=self.shift)

    def slots(self, first: int, until: int) -> list[int]:
        found: list[int] = []
        slot = self.trigger.next(first - 1)
        while slot is not None and slot <= until:
            found.append(slot)
            slot = self.trigger.next(slot)
        return found


def wall(instant: int, zone: ZoneInfo) -> datetime:
    return moment(instant).astimezone(zone).replace(tzinfo=None)


def reached(local: datetime, zone: ZoneInfo) -> int:
    """Find the first instant at which the clock has come so far, minute by minute."""
    at = datetime.combine(local.date(), time(), UTC) - timedelta(hours=27)
    step = timedelta(minutes=1)
    first = local.replace(second=0, microsecond=0)
    while at.astimezone(zone).replace(tzinfo=None) < first:
        at += step
    shown = at.astimezone(zone).replace(tzinfo=None)
    return micros(at + max(local - shown, timedelta(0)))


def exists(day: date, zone: ZoneInfo) -> bool:
    noon = datetime.combine(day, time(12), zone)
    return noon.astimezone(UTC).astimezone(zone).date() == day


def reference(case: Case) -> dict[int, int | None]:
    """Say of each slot when it is due: None if it is excluded."""
    zone = ZoneInfo(case.zone)
    slots = case.slots(case.first - MARGIN, case.until + MARGIN)
    days: dict[date, list[int]] = {}
    for slot in slots:
        days.setdefault(wall(slot, zone).date(), []).append(slot)
    fates: dict[int, int | None] = {}
    for day, members in days.items():
        if day not in case.days:
            fates |= {slot: slot for slot in members}
            continue
        fates |= dict.fromkeys(members)
        if case.shift == "skip":
            continue
        step = timedelta(days=1 if case.shift == "next_business_day" else -1)
        target, nearest = day + step, True
        while target in case.days or not exists(target, zone):
            nearest = nearest and target not in days
            target += step
        if not nearest or target in days:
            continue
        latest = datetime.min  # noqa: DTZ901 - of a wall clock
        for slot in members:
            latest = max(latest, wall(slot, zone))
            at = reached(latest + (target - day), zone)
            fates[slot] = at if inside(at, case) else None
    return {slot: at for slot, at in fates.items() if case.first <= slot <= case.until}


def inside(at: int, case: Case) -> bool:
    """Tell whether a moved slot is not beyond the trigger's own bounds."""
    start = getattr(case.trigger, "start", None)
    end = getattr(case.trigger, "end", None)
    local = wall(at, ZoneInfo(case.zone)).date()
    if case.shift == "next_business_day":
        if isinstance(end, datetime):
            return at <= micros(end)
        return end is None or local <= end
    if isinstance(start, datetime):
        return at >= micros(start)
    return start is None or local >= start


instants = st.integers(
    micros(datetime(2021, 3, 1, tzinfo=UTC)), micros(datetime(2034, 1, 1, tzinfo=UTC))
)
listed = st.lists(st.integers(0, 23), min_size=1, max_size=3, unique=True).map(
    lambda hours: ",".join(map(str, sorted(hours)))
)


@st.composite
def triggers(draw: st.DrawFn, around: int, zone: str) -> Trigger:
    """Draw a trigger with at most some hundred slots a month."""
    end = None
    if draw(st.booleans()):
        end = moment(around + draw(st.integers(0, 20 * 24)) * DAY // 24)
    start = None
    if draw(st.booleans()):
        start = moment(around - draw(st.integers(0, 20 * 24)) * DAY // 24)
    kinds = ["cron", "hourly", "monthly", "interval", "calendar", "or"]
    match draw(st.sampled_from(kinds)):
        case "cron":
            hours, minute = draw(listed), draw(st.integers(0, 59))
            days = draw(st.sampled_from(["* * *", "1-20/3 * *", "* * sat,sun,wed"]))
            folds: list[Fold | None] = [None, "last", "both"]
            fold = draw(st.sampled_from(folds))
            return CronTrigger(
                f"{minute} {hours} {days}", tz=zone, start=start, end=end, fold=fold
            )
        case "hourly":
            minute = draw(st.sampled_from(["0", "15,45"]))
            return CronTrigger(f"{minute} */2 * * *", tz=zone, start=start, end=end)
        case "monthly":
            # Dense on a single day, which may be that of a clock change.
            on = moment(around).astimezone(ZoneInfo(zone)).date()
            day = (on + timedelta(days=draw(st.integers(-1, 1)))).day
            return CronTrigger(f"15,45 * {day} * *", tz=zone, start=start, end=end)
        case "interval":
            begin = start or moment(around - 20 * DAY + draw(st.integers(0, DAY)))
            minutes = draw(st.integers(40, 4000))
            return IntervalTrigger(minutes=minutes, start=begin, end=end)
        case "calendar":
            begun = (moment(around) - timedelta(days=draw(st.integers(0, 60)))).date()
            at = f"{draw(st.integers(0, 23)):02}:{draw(st.integers(0, 59)):02}"
            days = draw(st.integers(1, 5))
            over = None if end is None else max(end.date(), begun)
            return CalendarIntervalTrigger(
                days=days, at=at, tz=zone, start=begun, end=over
            )
        case _:
            return CronTrigger(f"0 {draw(listed)} * * *", tz=zone) | CronTrigger(
                f"30 {draw(listed)} * * mon,sat", tz=zone
            )


@st.composite
def day_sets(draw: st.DrawFn, around: int) -> Days:
    """Draw days of which some matter where we look."""
    near = moment(around).date()
    nearby = (st.integers(-15, 30) | st.integers(-1, 1)).map(
        lambda days: near + timedelta(days=days)
    )
    ranges = draw(st.lists(st.tuples(nearby, st.integers(0, 4)), max_size=4))
    yearly = draw(st.lists(nearby, max_size=3))
    weekdays = draw(st.sampled_from([(), (), (5, 6), (5, 6), (0, 3), (6,), range(6)]))
    days = Days(
        frozenset(weekdays),
        frozenset((day.month, day.day) for day in yearly),
        tuple((day, day + timedelta(days=more)) for day, more in ranges),
    )
    assume(any(days))
    return days


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a trigger with exclusions; half of them are close to a clock change."""
    zone = draw(st.sampled_from(ZONES))
    around = draw(instants | st.sampled_from(CHANGES[zone]))
    return Case(
        draw(triggers(around, zone)),
        draw(day_sets(around)),
        zone,
        draw(st.sampled_from(SHIFTS)),
        around - 12 * DAY,
        around + 24 * DAY,
    )


def changes(name: str) -> list[int]:
    """Return the days on which a zone changes its clock."""
    zone = ZoneInfo(name)
    days = [datetime(2021, 3, 1, tzinfo=UTC) + timedelta(days=n) for n in range(4500)]
    pairs = pairwise(days)
    found = [
        micros(one)
        for one, two in pairs
        if one.astimezone(zone).utcoffset() != two.astimezone(zone).utcoffset()
    ]
    if name == "Pacific/Apia":
        # It left out a day.
        found = [micros(datetime(2011, 12, 29, 20, tzinfo=UTC))]
    return found or [micros(days[0])]


CHANGES = {name: changes(name) for name in ZONES}


def chain(trigger: Trigger, first: int, until: int) -> Iterable[tuple[int, int, str]]:
    """Walk from stretch to stretch; yield first, last and fate, checking the sum."""
    slot = trigger.next(first - 1)
    total = 0
    while slot is not None and slot <= until:
        stretch = trigger.stretch(slot, until)
        assert slot <= stretch.last <= until
        assert stretch.number == trigger.count(slot, stretch.last) > 0
        total += stretch.number
        yield slot, stretch.last, stretch.fate
        slot = trigger.next(stretch.last)
    assert total == trigger.count(first, until)


def fate_of(slot: int, due: int | None) -> str:
    if due is None:
        return "excluded"
    return "kept" if due == slot else "moved"


def built(case: Case) -> ExcludingTrigger:
    """Build the trigger, or show that nothing of it is left."""
    trigger: ExcludingTrigger | None = None
    problem = ""
    try:
        trigger = case.build()
    except TriggerError as error:
        problem = str(error)
    if trigger is None:
        assert "nothing is left to fire" in problem
        assert set(reference(case).values()) <= {None}
    assume(trigger is not None)
    assert trigger is not None
    return trigger


@quick
@given(cases())
def test_each_slot_is_due_when_the_reference_says(case: Case) -> None:
    trigger = built(case)
    expected = reference(case)
    assert {slot: trigger.due(slot) for slot in expected} == expected
    dues = [at for at in expected.values() if at is not None]
    assert dues == sorted(dues)


@quick
@given(cases())
def test_stretches_are_a_partition_with_one_fate_each(case: Case) -> None:
    trigger = built(case)
    expected = reference(case)
    reasons = {"kept", "excluded", *(["moved"] if case.shift != "skip" else [])}
    for first, last, fate in chain(trigger, case.first, case.until):
        assert fate in reasons
        members = [slot for slot in expected if first <= slot <= last]
        told = {fate_of(slot, expected[slot]) for slot in members}
        assert told == {fate}


@quick
@given(cases(), st.integers(0, 20 * DAY))
def test_people_are_told_when_it_really_fires(case: Case, later: int) -> None:
    trigger = built(case)
    after = case.first + later
    # What is moved may come from long before.
    fates = reference(case._replace(first=case.first - MARGIN))
    dues = sorted({at for at in fates.values() if at is not None and at > after})
    assert [micros(at) for at in trigger.upcoming(5, moment(after))][: len(dues)] == (
        dues[:5]
    )


@quick
@given(cases())
def test_data_pickles_and_sharing_lose_nothing(case: Case) -> None:
    trigger = built(case)
    data = json.loads(json.dumps(trigger.to_data()))
    again = trigger_from_data(data)
    assert again == trigger
    assert again.to_data() == data
    assert pickle.loads(pickle.dumps(trigger)) == trigger
    own, rule = trigger.own_instant(), trigger.rule()
    assert rule.with_instant(own) == trigger
    assert rule.rule() == rule
    slots = case.slots(case.first, case.until)[:40]
    assert [rule.due(slot, own) for slot in slots] == [trigger.due(s) for s in slots]
    for slot in slots:
        told = rule.stretch(slot, case.until, own)
        assert told == trigger.stretch(slot, case.until)
    assert rule.next_due(case.first, own) == trigger.next_due(case.first)
