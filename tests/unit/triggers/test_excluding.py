"""Leaving out slots, and moving them, on chosen days."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import DAY, SECOND, micros, moment
from aiosched.triggers import (
    AndTrigger,
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    ExcludingTrigger,
    IntervalTrigger,
    OrTrigger,
    RandomIntervalTrigger,
    Trigger,
    every,
    trigger_from_data,
)
from aiosched.triggers.base import LAST_INSTANT, LOOK_LIMIT, STRETCH_LIMIT

PARIS = "Europe/Paris"
NIGHTLY = CronTrigger("0 2 * * *", tz=PARIS)
NINE = CronTrigger("0 9 * * *", tz=PARIS)
# Good Friday is 19 April, Easter Monday is 22 April.
EASTER = ("2030-04-19/2030-04-22", "sat-sun")
HOUR = timedelta(hours=1)


def at(text: str, tz: str = PARIS) -> int:
    """Return the instant of a wall time."""
    return micros(DateTrigger(text, tz=tz).at)


def days_of(trigger: Trigger, after: str, number: int) -> list[str]:
    """Return the local dates of the next fire times."""
    zone = getattr(trigger, "tz", "UTC")
    shown = [
        f"{DateTrigger(fire, tz=zone).describe()}"
        for fire in trigger.upcoming(number, moment(at(after, zone)))
    ]
    return [words.split()[2] for words in shown]


# --- what is left out, and what is moved ---


def test_days_of_every_kind_are_left_out() -> None:
    trigger = NINE.excluding(
        "sat-sun", "12-25", date(2030, 12, 24), "2030-12-27/2031-01-02"
    )
    assert days_of(trigger, "2030-12-20", 5) == [
        "2030-12-20",
        "2030-12-23",
        "2030-12-26",
        "2031-01-03",
        "2031-01-06",
    ]
    assert days_of(trigger, "2031-12-24", 2) == ["2031-12-24", "2031-12-26"]


def test_a_slot_that_is_left_out_is_a_slot_nevertheless() -> None:
    trigger = NINE.excluding("sat-sun")
    saturday = at("2030-01-05T09:00")
    assert trigger.next(saturday - 1) == trigger.last(saturday) == saturday
    assert trigger.count(at("2030-01-01"), at("2030-01-08") - 1) == 7
    assert trigger.due(saturday) is None
    assert trigger.due(saturday - DAY) == saturday - DAY
    week = trigger.stretch(saturday, at("2031-01-01"))
    assert week == (saturday + DAY, 2, "excluded")
    assert trigger.stretch(saturday, saturday) == (saturday, 1, "excluded")
    assert trigger.stretch(saturday + 2 * DAY, at("2031-01-01")) == (
        saturday + 6 * DAY,
        5,
        "kept",
    )


@pytest.mark.parametrize(
    ("shift", "runs"),
    [
        # Saturday's and Sunday's slots belong to the four days of Easter.
        ("skip", ["04-17", "04-18", "04-23", "04-24"]),
        ("next_business_day", ["04-17", "04-18", "04-23", "04-24"]),
        ("previous_business_day", ["04-17", "04-18", "04-23", "04-24"]),
    ],
)
def test_a_business_day_with_a_slot_of_its_own_takes_none(
    shift: str, runs: list[str]
) -> None:
    trigger = NINE.excluding(*EASTER, shift=shift)  # type: ignore[arg-type]
    assert days_of(trigger, "2030-04-17", 4) == [f"2030-{run}" for run in runs]


@pytest.mark.parametrize(
    ("days", "shift", "slot", "due"),
    [
        # A weekly backup on Saturday waits for the Tuesday after Easter.
        ("sat", "next_business_day", "04-20", "04-23"),
        ("sat", "previous_business_day", "04-20", "04-18"),
        # Of two, the nearest takes the place, and the other is left out.
        ("fri,sun", "next_business_day", "04-21", "04-23"),
        ("fri,sun", "next_business_day", "04-19", None),
        ("fri,sun", "previous_business_day", "04-19", "04-18"),
        ("fri,sun", "previous_business_day", "04-21", None),
        # The place is taken.
        ("sat,tue", "next_business_day", "04-20", None),
        ("thu,sat", "previous_business_day", "04-20", None),
        ("thu,sat", "next_business_day", "04-20", "04-23"),
    ],
)
def test_over_easter(days: str, shift: str, slot: str, due: str | None) -> None:
    weekly = CronTrigger(f"30 6 * * {days}", tz=PARIS)
    trigger = weekly.excluding(*EASTER, shift=shift)  # type: ignore[arg-type]
    expected = None if due is None else at(f"2030-{due}T06:30")
    assert trigger.due(at(f"2030-{slot}T06:30")) == expected


def test_all_slots_of_the_nearest_day_are_moved() -> None:
    trigger = CronTrigger("0 9-11 * * sat,sun", tz=PARIS).excluding(
        "sat", "sun", shift="next_business_day"
    )
    sunday, monday = at("2030-04-28T09:00"), at("2030-04-29T09:00")
    assert trigger.stretch(sunday - DAY, monday) == (
        sunday - DAY + 7200 * SECOND,
        3,
        "excluded",
    )
    assert trigger.stretch(sunday, monday) == (sunday + 7200 * SECOND, 3, "moved")
    fires = [monday + hour * 3600 * SECOND for hour in range(3)]
    assert [trigger.due(fire - DAY) for fire in fires] == fires
    assert trigger.upcoming(3, moment(sunday)) == [moment(fire) for fire in fires]
    assert trigger.next_fire_time(moment(fires[1] - 1)) == moment(fires[1])


def test_what_would_be_moved_beyond_the_bounds_is_left_out() -> None:
    sunday = at("2030-04-28T09:00")
    bounded = CronTrigger("0 9-11 * * sun", tz=PARIS, end=moment(sunday + DAY + 1))
    trigger = bounded.excluding("sun", shift="next_business_day")
    assert trigger.due(sunday) == sunday + DAY
    assert trigger.due(sunday + 3600 * SECOND) is None
    assert trigger.stretch(sunday, LAST_INSTANT) == (sunday, 1, "moved")
    assert trigger.upcoming(9, moment(sunday - 1)) == [moment(sunday + DAY)]
    started = CronTrigger(
        "0 9-11 * * sun", tz=PARIS, start=moment(sunday - DAY + 3600 * SECOND)
    ).excluding("sun", shift="previous_business_day")
    assert started.due(sunday) is None
    assert started.due(sunday + 3600 * SECOND) == sunday - DAY + 3600 * SECOND
    assert started.stretch(sunday, sunday + DAY) == (sunday, 1, "excluded")


def test_a_moved_wall_time_in_a_gap_comes_at_its_end_and_in_a_fold_first() -> None:
    # The clock is put forward on Sunday 31 March 2030, at 02:00.
    weekly = CronTrigger("30 2 * * sat", tz=PARIS)
    trigger = weekly.excluding("sat", shift="next_business_day")
    assert trigger.due(at("2030-03-30T02:30")) == at("2030-03-31T03:00")
    # It is put back on Sunday 27 October 2030, at 03:00.
    first = at("2030-10-27T02:30")
    assert trigger.due(at("2030-10-26T02:30")) == first
    assert first + 3600 * SECOND == at("2030-10-27T03:30") - 3600 * SECOND


def test_both_passes_of_an_excluded_day_keep_their_order() -> None:
    twice = CronTrigger("15,45 * * * sun", tz=PARIS, fold="both")
    trigger = twice.excluding("sun", shift="next_business_day")
    first = at("2030-10-27T02:15")
    slots = [first + minutes * 60 * SECOND for minutes in (0, 30, 60, 90, 120)]
    monday = [at(f"2030-10-28T{time}") for time in ("02:15", "02:45", "03:15")]
    dues = [trigger.due(slot) for slot in slots]
    assert dues == [monday[0], monday[1], monday[1], monday[1], monday[2]]
    # A wall time that is meant in the second pass only is that wall time.
    late = CronTrigger("15 2 * * sun", tz=PARIS, fold="last")
    moved = late.excluding("sun", shift="next_business_day")
    assert moved.due(first + 3600 * SECOND) == monday[0]


def test_a_day_that_the_zone_leaves_out_is_no_business_day() -> None:
    # Samoa had no 30 December 2011.
    trigger = CronTrigger("0 9 29 12 *", tz="Pacific/Apia").excluding(
        "2011-12-29", shift="next_business_day"
    )
    slot = at("2011-12-29T09:00", "Pacific/Apia")
    assert trigger.due(slot) == at("2011-12-31T09:00", "Pacific/Apia")


# --- triggers that are excluded ---


def test_the_instants_of_another_trigger_are_left_out() -> None:
    hourly = CronTrigger("0 * * * *")
    trigger = hourly - NIGHTLY
    assert trigger == hourly.excluding(NIGHTLY)
    start = moment(at("2030-01-01"))
    fires = trigger.upcoming(3 * 23 - 1, start)
    assert [two - one for one, two in pairwise(fires)].count(2 * HOUR) == 3
    assert not any(NIGHTLY.next(micros(fire) - 1) == micros(fire) for fire in fires)
    assert trigger.due(at("2030-01-02T02:00")) is None


def test_what_the_other_does_not_really_fire_is_kept() -> None:
    trigger = CronTrigger("0 * * * *", tz=PARIS) - NIGHTLY.excluding("sun")
    assert trigger.due(at("2030-01-05T02:00")) is None
    assert trigger.due(at("2030-01-06T02:00")) == at("2030-01-06T02:00")


def test_stretches_between_excluded_instants_are_leapt_over() -> None:
    every_second = IntervalTrigger(seconds=1, start=moment(at("2020-01-01")))
    trigger = every_second - NIGHTLY
    night = at("2030-01-02T02:00")
    assert trigger.stretch(night, LAST_INSTANT) == (night, 1, "excluded")
    assert trigger.stretch(night + SECOND, LAST_INSTANT) == (
        night + DAY - SECOND,
        86_399,
        "kept",
    )


def test_a_stretch_is_bounded() -> None:
    every_second = IntervalTrigger(seconds=1, start=moment(at("2020-01-01")))
    mostly = CronTrigger("* * 0-22 * * *", seconds="first")
    trigger = every_second - mostly
    first = at("2030-01-01T00:00", "UTC")
    stretch = trigger.stretch(first, LAST_INSTANT)
    assert stretch == (first + STRETCH_LIMIT * SECOND, STRETCH_LIMIT + 1, "excluded")
    long = every_second.excluding("2030-01-01/9999-12-31")
    assert long.stretch(first, LAST_INSTANT).last <= first + 3653 * DAY
    assert long.next_fire_time(moment(first)) is None


def test_asking_for_what_never_comes_ends() -> None:
    rare = CronTrigger("0 9 * * sat", tz=PARIS).excluding("2031-01-01/9999-12-31")
    assert days_of(rare, "2030-12-27", 3) == ["2030-12-28"]
    inner = IntervalTrigger(seconds=1, start=moment(at("2030-01-01")))
    other = IntervalTrigger(seconds=1, start=moment(at("2031-01-01")))
    assert (inner - other).next_due(at("2032-01-01")) is None
    assert LOOK_LIMIT < 86_400


# --- whose days ---


def test_the_zone_is_the_triggers_own() -> None:
    late = CronTrigger("30 23 * * *", tz="America/New_York")
    friday = at("2030-01-04T23:30", "America/New_York")
    assert late.excluding("sat").tz == "America/New_York"
    assert late.excluding("sat").due(friday) == friday
    assert late.excluding("sat", tz="UTC").due(friday) is None
    hourly = IntervalTrigger(hours=1, start=moment(friday))
    assert hourly.excluding("sat").tz == "UTC"
    daily = CalendarIntervalTrigger(days=1, tz=PARIS)
    assert daily.excluding("sat").tz == PARIS
    assert (NINE | hourly).excluding("sat").tz == PARIS


def test_parts_in_several_zones_leave_it_open() -> None:
    both = NINE | CronTrigger("0 9 * * *", tz="Asia/Tokyo")
    with pytest.raises(TriggerError, match="several zones") as caught:
        both.excluding("sat")
    assert caught.value.field == "tz"
    assert both.excluding("sat", tz=PARIS).tz == PARIS


# --- said twice, nested, combined ---


def test_a_range_of_each_year_may_pass_its_end() -> None:
    trigger = NINE.excluding("12-30/01-02", "02-28/03-01")
    assert trigger == NINE.excluding(
        "12-30", "12-31", "01-01", "01-02", "02-28", "02-29", "03-01"
    )
    assert days_of(trigger, "2030-12-28", 3) == [
        "2030-12-28",
        "2030-12-29",
        "2031-01-03",
    ]
    assert days_of(trigger, "2032-02-27", 2) == ["2032-02-27", "2032-03-02"]


def test_a_mapping_of_holidays_means_its_days() -> None:
    holidays = {date(2030, 12, 25): "Christmas", date(2030, 12, 26): "Boxing Day"}
    assert NINE.excluding(holidays) == NINE.excluding(list(holidays))


def test_said_again_it_adds_up() -> None:
    once = NINE.excluding("sat", "sun", "12-25", NIGHTLY)
    again = NINE.excluding("sat").excluding("12-25").excluding("sunday", NIGHTLY)
    assert once == again
    assert hash(once) == hash(again)
    assert NINE.excluding("sat", NIGHTLY) == (NINE - NIGHTLY).excluding("sat")
    assert isinstance(again.trigger, CronTrigger)


def test_days_of_another_zone_are_left_out_too() -> None:
    late = CronTrigger("30 23 * * *", tz="America/New_York")
    trigger = late.excluding("sun").excluding("sat", tz="UTC")
    assert isinstance(trigger.trigger, ExcludingTrigger)
    friday = at("2030-01-04T23:30", "America/New_York")
    dues = [trigger.due(friday + day * DAY) for day in range(-1, 4)]
    thursday, saturday, monday = (friday + day * DAY for day in (-1, 1, 3))
    assert dues == [thursday, None, saturday, None, monday]
    assert trigger.upcoming(3, moment(thursday - 1)) == [
        moment(one) for one in (thursday, saturday, monday)
    ]
    assert trigger.stretch(friday, monday) == (friday, 1, "excluded")


def test_an_or_excludes_what_all_its_parts_exclude() -> None:
    noon = CronTrigger("0 12 * * *")
    either = noon.excluding("sat") | CronTrigger("0 */6 * * *").excluding("sat", "sun")
    assert not either.plain
    saturday, sunday = at("2030-01-05T12:00", "UTC"), at("2030-01-06T12:00", "UTC")
    assert either.due(saturday) is None
    assert either.due(sunday) == sunday
    assert either.due(sunday - 6 * 3600 * SECOND) is None
    assert either.next_fire_time(moment(saturday)) == moment(sunday)
    assert either.stretch(saturday, LAST_INSTANT) == (
        sunday - 6 * 3600 * SECOND,
        4,
        "excluded",
    )
    assert (noon | NINE).plain


def test_an_and_excludes_what_any_of_its_parts_excludes() -> None:
    both = CronTrigger("0 12 * * *").excluding("sat") & CronTrigger(
        "0 */6 * * *"
    ).excluding("sun")
    fires = both.upcoming(6, moment(at("2030-01-03", "UTC")))
    assert [fire.day for fire in fires] == [3, 4, 7, 8, 9, 10]
    saturday = at("2030-01-05T12:00", "UTC")
    assert both.stretch(saturday, LAST_INSTANT) == (saturday + DAY, 2, "excluded")


# --- pinned, shared, as data ---


def test_it_is_pinned_and_shared_as_its_trigger_is() -> None:
    trigger = IntervalTrigger(hours=6).excluding("sat-sun", tz=PARIS)
    assert trigger.needs_pin()
    friday = moment(at("2030-01-04T20:00"))
    pinned = trigger.anchored(friday)
    assert pinned.own_instant() == micros(friday + 6 * HOUR)
    assert pinned.rule() == trigger
    assert pinned.rule().with_instant(pinned.own_instant()) == pinned
    assert trigger.with_instant(None) is trigger
    monday = moment(at("2030-01-07T02:00"))
    assert pinned.next_fire_time(friday) == trigger.next_fire_time(friday) == monday
    assert trigger.upcoming(1, friday) == [monday]
    saturday, own = at("2030-01-05T02:00"), pinned.own_instant()
    assert trigger.due(saturday, own) is None
    assert trigger.stretch(saturday, LAST_INSTANT, own).number == 8
    assert trigger.next_due(saturday, own) == micros(monday)


def test_an_excluded_interval_is_pinned_too() -> None:
    hourly = CronTrigger("0 * * * *")
    trigger = hourly - IntervalTrigger(hours=2)
    pinned = trigger.anchored(moment(at("2030-01-01", "UTC")))
    fires = pinned.upcoming(4, moment(at("2030-01-01", "UTC")))
    assert [fire.hour for fire in fires] == [1, 3, 5, 7]
    assert pinned.anchored(datetime(2031, 1, 1, tzinfo=UTC)) is pinned


def test_what_a_job_draws_is_settled_within() -> None:
    drawn = CronTrigger("H H * * *").excluding("sat-sun")
    settled = drawn.for_job("a")
    assert settled.trigger == CronTrigger("H H * * *").for_job("a")
    assert settled.for_job("b") is settled
    assert NINE.excluding("sat").for_job("a") == NINE.excluding("sat")
    with pytest.raises(TriggerError, match="for_job"):
        drawn.upcoming(1, datetime(2030, 1, 1, tzinfo=UTC))


def test_its_data_are_in_one_form() -> None:
    trigger = NINE.excluding(
        ["SUN", "saturday"],
        (date(2030, 1, 3), date(2030, 1, 5)),
        "2030-01-06",
        {"2030-01-02"},
        "12-25",
        "01-01",
        NIGHTLY,
    )
    assert trigger.to_data() == {
        "kind": "excluding",
        "trigger": {"kind": "cron", "expression": "0 9 * * *", "tz": PARIS},
        "days": ["2030-01-02/2030-01-06", "01-01", "12-25", "sat", "sun"],
        "without": [{"kind": "cron", "expression": "0 2 * * *", "tz": PARIS}],
        "tz": PARIS,
    }
    assert trigger_from_data(json.loads(json.dumps(trigger.to_data()))) == trigger


def test_bounds_are_those_of_the_trigger() -> None:
    start, end = datetime(2030, 1, 1, 9, tzinfo=UTC), datetime(2030, 2, 1, tzinfo=UTC)
    span = (micros(start), micros(end))
    bounded: list[Trigger] = [
        CronTrigger("0 9 * * *", start=start, end=end),
        IntervalTrigger(hours=24, start=start, end=end),
        RandomIntervalTrigger(low=20, high=28, unit="hours", start=start, end=end),
        every(2).hours.at("30:00").until(end).with_instant(micros(start)),
    ]
    for one in bounded:
        assert (one.opens(), one.closes()) == span
        trigger = one.excluding("sat")
        assert (trigger.opens(), trigger.closes()) == span
    endless = CronTrigger("30 9 * * *")
    assert (endless.opens(), endless.closes()) == (None, None)
    both, either = bounded[0] & bounded[1], bounded[0] | bounded[1]
    for combined in (both, either, bounded[0] & CronTrigger("0 * * * *")):
        assert (combined.opens(), combined.closes()) == span
    assert ((endless | bounded[0]).opens(), (endless | bounded[0]).closes()) == (
        None,
        None,
    )
    earlier = IntervalTrigger(
        hours=24, start=start - 24 * HOUR, end=end - timedelta(days=1)
    )
    assert (bounded[0] & earlier).opens() == span[0]
    assert (bounded[0] & earlier).closes() == span[1] - DAY
    assert (bounded[0] | earlier).opens() == span[0] - DAY
    assert (bounded[0] | earlier).closes() == span[1]
    dated = CalendarIntervalTrigger(
        days=1, at="09:00", tz=PARIS, start="2030-03-31", end="2030-10-27"
    )
    assert dated.opens() == at("2030-03-31")
    assert dated.closes() == at("2030-10-28") - 1
    assert IntervalTrigger(hours=1).opens(17) == 17
    assert DateTrigger(start).closes() is None


# --- words ---


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (
            NINE.excluding("sat-sun"),
            "at 09:00 every day, Europe/Paris, except Saturdays and Sundays",
        ),
        (
            NINE.excluding("12-25", "2030-04-19/2030-04-22", shift="next_business_day"),
            "at 09:00 every day, Europe/Paris, except 25 December and "
            "2030-04-19 to 2030-04-22, moved to the next business day",
        ),
        (
            IntervalTrigger(hours=1).excluding(date(2030, 1, 1)),
            "every hour, except 2030-01-01 (days of UTC)",
        ),
        (
            IntervalTrigger(hours=1).excluding(
                "mon", tz=PARIS, shift="previous_business_day"
            ),
            "every hour, except Mondays (days of Europe/Paris), "
            "moved to the previous business day",
        ),
        (
            NINE - DateTrigger("2030-01-01T09:00", tz=PARIS),
            "at 09:00 every day, Europe/Paris, except when another trigger fires "
            "(once at 2030-01-01 09:00:00 in Europe/Paris)",
        ),
        (
            NINE.excluding(*(f"2030-{month:02}-05" for month in range(1, 12)), "sat"),
            "at 09:00 every day, Europe/Paris, except Saturdays, 2030-01-05, "
            "2030-02-05, 2030-03-05, 2030-04-05, 2030-05-05 and 6 more",
        ),
        (
            (NINE | NIGHTLY).excluding("sat"),
            "(at 09:00 every day, Europe/Paris; or at 02:00 every day, Europe/Paris),"
            " except Saturdays (days of Europe/Paris)",
        ),
    ],
)
def test_it_says_what_it_leaves_out(trigger: Trigger, words: str) -> None:
    assert trigger.describe() == words


# --- refusals ---

WEEKLY = CronTrigger("0 9 * * sat", tz=PARIS)
SHIFTED = NINE.excluding("sat", shift="next_business_day")
REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "nothing": (lambda: NINE.excluding(), "excluding", "nothing is excluded"),
    "an empty list": (lambda: NINE.excluding([], ()), "excluding", "nothing"),
    "the whole week": (lambda: NINE.excluding("mon-sun"), "excluding", "every day"),
    "the whole year": (
        lambda: NINE.excluding(
            f"{(date(2028, 1, 1) + timedelta(days=day)):%m-%d}" for day in range(366)
        ),
        "excluding",
        "every day",
    ),
    "a range backwards": (
        lambda: NINE.excluding("2030-01-02/2030-01-01"),
        "excluding",
        "before it begins",
    ),
    "a pair backwards": (
        lambda: NINE.excluding((date(2030, 1, 2), date(2030, 1, 1))),
        "excluding",
        "before it begins",
    ),
    "weekdays backwards": (lambda: NINE.excluding("sat-mon"), "excluding", "backwards"),
    "a word": (lambda: NINE.excluding("holidays"), "excluding", "is no day"),
    "a day of no year": (lambda: NINE.excluding("02-30"), "excluding", "of any year"),
    "a date of no year": (lambda: NINE.excluding("2030-02-29"), "excluding", "no day"),
    "half a range": (lambda: NINE.excluding("2030-01-01/"), "excluding", "no day"),
    "a datetime": (
        lambda: NINE.excluding(datetime(2030, 12, 25)),  # noqa: DTZ001
        "excluding",
        "give its date, '2030-12-25'",
    ),
    "an aware datetime": (
        lambda: NINE.excluding(datetime(2030, 12, 25, tzinfo=UTC)),
        "excluding",
        "is an instant",
    ),
    "a number": (lambda: NINE.excluding(5), "excluding", "neither day nor trigger"),  # type: ignore[arg-type]
    "too many": (
        lambda: NINE.excluding(["2030-01-01"] * 10_001),
        "excluding",
        "more than 10,000",
    ),
    "a zone": (lambda: NINE.excluding("sat", tz="Mars"), "tz", "is not a time zone"),
    "a shift": (
        lambda: NINE.excluding("sat", shift="next"),  # type: ignore[arg-type]
        "shift",
        "previous_business_day",
    ),
    "all its days": (lambda: WEEKLY.excluding("sat"), "excluding", "nothing is left"),
    "its only day": (
        lambda: DateTrigger("2030-12-25", tz=PARIS).excluding("12-25"),
        "excluding",
        "nothing is left",
    ),
    "three days a week": (
        lambda: CronTrigger("0 9 * * 1,3,5").excluding("mon", "wed", "fri"),
        "excluding",
        "nothing is left",
    ),
    "all that is to come": (
        lambda: NINE.excluding("2019-01-01/9999-12-31"),
        "excluding",
        "nothing is left",
    ),
    "itself": (lambda: NINE - NINE, "excluding", "excluded from itself"),
    "more than itself": (
        lambda: WEEKLY - CronTrigger("0 9 * * sat,sun", tz=PARIS),
        "excluding",
        "nothing is left",
    ),
    "all meetings": (
        lambda: WEEKLY & CronTrigger("0 * * * *", tz=PARIS).excluding("sat"),
        "triggers",
        "what meets is excluded",
    ),
    "all when it is pinned": (
        lambda: (
            IntervalTrigger(weeks=1)
            .excluding("sat")
            .anchored(datetime(2030, 1, 5, tzinfo=UTC))
        ),
        "excluding",
        "nothing is left",
    ),
    "a trigger with a shift": (
        lambda: NINE.excluding("sat", NIGHTLY, shift="next_business_day"),
        "shift",
        "only days can be shifted",
    ),
    "a shift around exclusions": (
        lambda: NINE.excluding("sat").excluding("sun", shift="next_business_day"),
        "shift",
        "excluded already",
    ),
    "exclusions around a shift": (
        lambda: SHIFTED.excluding("sun"),
        "shift",
        "cannot be excluded again",
    ),
    "a moving part": (lambda: SHIFTED | NIGHTLY, "triggers", "moved"),
    "a moving part in &": (lambda: SHIFTED & NINE, "triggers", "moved"),
    "a moving trigger": (lambda: NIGHTLY - SHIFTED, "shift", "moved"),
    "no trigger": (
        lambda: ExcludingTrigger("cron", days=["sat"]),  # type: ignore[arg-type]
        "trigger",
        "is not a trigger",
    ),
    "no excluded trigger": (
        lambda: ExcludingTrigger(NINE, without=["sat"]),  # type: ignore[list-item]
        "without",
        "is not a trigger",
    ),
}


@pytest.mark.parametrize(
    ("build", "field", "problem"), REFUSED.values(), ids=list(REFUSED)
)
def test_it_is_refused(build: Callable[[], object], field: str, problem: str) -> None:
    with pytest.raises(TriggerError) as caught:
        build()
    assert caught.value.field == field
    assert problem in str(caught.value)
    assert caught.value.remedy


def test_a_refusal_takes_no_time() -> None:
    # Of the processor's time, once the zone's tables are there.
    for build, _, _ in REFUSED.values():
        spent = []
        for _ in range(5):
            began = time.process_time()
            with pytest.raises(TriggerError):
                build()
            spent.append(time.process_time() - began)
        assert min(spent) < 0.1


@pytest.mark.parametrize(
    "build",
    [
        # What fires seldom is not refused.
        lambda: CronTrigger("0 0 29 2 *").excluding("sat", "sun", "thu"),
        lambda: NINE.excluding("2019-01-01/2200-01-01"),
        lambda: WEEKLY.excluding(
            *(date(2019, 12, 28) + timedelta(days=7 * week) for week in range(1500))
        ),
        lambda: WEEKLY - CronTrigger("0 9 * * sat", tz=PARIS, end="2060-01-01T00:00Z"),
        lambda: (
            CronTrigger("* * * * * *", seconds="first")
            - CronTrigger("* * 0-22 * * *", seconds="first")
        ),
        lambda: DateTrigger("1999-12-24", tz=PARIS).excluding("12-25"),
        lambda: CronTrigger("0 9 * * *", end="2019-01-01T00:00Z").excluding("sat"),
        lambda: SHIFTED.excluding("sun", shift="next_business_day"),
        lambda: WEEKLY.excluding("sat", shift="next_business_day"),
    ],
)
def test_it_is_not_refused(build: Callable[[], ExcludingTrigger]) -> None:
    trigger = build()
    assert trigger_from_data(trigger.to_data()) == trigger


def test_classes() -> None:
    assert isinstance(NINE & NINE.excluding("sat"), AndTrigger)
    assert isinstance(NINE | NINE.excluding("sat"), OrTrigger)
    assert NINE.excluding("sat").moves is False
    assert SHIFTED.moves is True
    assert SHIFTED.plain is NINE.excluding("sat").plain is False
