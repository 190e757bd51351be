"""``start`` and ``end`` on every kind of trigger."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from aiosched.errors import TriggerError
from aiosched.instants import micros
from aiosched.triggers import (
    AndTrigger,
    CalendarIntervalTrigger,
    CronTrigger,
    IntervalTrigger,
    OrTrigger,
    RRuleTrigger,
    Trigger,
    every,
    trigger_class,
    trigger_from_data,
    trigger_kinds,
)

ZONE = "Europe/Paris"
NOW = datetime(2030, 3, 1, 12, tzinfo=UTC)
START = datetime(2030, 3, 10, 8, 30, tzinfo=UTC)
END = datetime(2030, 5, 20, 17, tzinfo=UTC)

Build = Callable[..., Trigger]


def parts() -> list[Trigger]:
    """Build the parts of a combination, of which one follows the wall."""
    grid = IntervalTrigger(minutes=30, start=NOW)
    return [grid, CronTrigger("0 9,17 * * *", tz=ZONE)]


def of_dates(start: datetime | None = None, end: datetime | None = None) -> Trigger:
    """A calendar interval is bounded by dates."""
    first = date(2030, 3, 1) if start is None else start.date() + timedelta(days=1)
    final = None if end is None else end.date()
    return CalendarIntervalTrigger(days=3, at="09:00", tz=ZONE, start=first, end=final)


def phrase(begun: Any) -> Build:
    """A phrase is bounded by words."""

    def build(start: datetime | None = None, end: datetime | None = None) -> Trigger:
        said = begun if start is None else begun.starting(start)
        return said if end is None else said.until(end)  # type: ignore[no-any-return]

    return build


KINDS: dict[str, Build] = {
    "cron": lambda **bounds: CronTrigger("0 9 * * *", tz=ZONE, **bounds),
    "interval": lambda **bounds: IntervalTrigger(hours=7, **bounds),
    "calendar": of_dates,
    "rrule": lambda start=NOW, end=None: RRuleTrigger(
        "FREQ=DAILY;BYHOUR=9,21;BYMINUTE=0", start=start, end=end, tz=ZONE
    ),
    "or": lambda **bounds: OrTrigger(parts(), **bounds),
    "and": lambda **bounds: AndTrigger(parts(), **bounds),
    "excluding": lambda **bounds: CronTrigger("0 9 * * *", tz=ZONE, **bounds).excluding(
        "sun"
    ),
    "every hours": phrase(every(5).hours),
    "every hours at": phrase(every(5).hours.at(":20")),
    "every hour at": phrase(every().hour.at(":20", ZONE)),
    "every to": phrase(every(5).to(9).hours),
    "every day at": phrase(every().day.at("08:15", ZONE)),
    "every monday": phrase(every().monday.at("08:15", ZONE)),
    "every weeks on": phrase(every(2).weeks.on("mon", "fri").at("09:15", ZONE)),
    "every month": phrase(every().month.at("09:15", ZONE)),
    "every month, bare": phrase(every().month),
}
# A date is one instant, and bounds would say whether there is one; the others are
# made of the kinds above, or are what phrases of them are until they are pinned.
WITHOUT = {"date", "backfill", "until", "random", "aligned", "months", "weekdays"}


def slots(trigger: Trigger) -> list[int]:
    """Return all slots of half a year."""
    found = []
    slot = trigger.next(micros(NOW) - 1)
    while slot is not None and slot < micros(NOW + timedelta(days=180)):
        found.append(slot)
        slot = trigger.next(slot)
    return found


def test_every_kind_has_bounds_or_a_reason() -> None:
    for kind in trigger_kinds():
        found = trigger_class(kind)
        assert found is not None
        if not found.__module__.startswith("aiosched.") or kind in WITHOUT:
            continue
        assert kind in KINDS
        # What is excluded from has the bounds.
        assert kind == "excluding" or {"start", "end"} <= found.model_fields.keys()


@pytest.mark.parametrize("name", KINDS)
def test_start_and_end_bound_every_answer(name: str) -> None:
    trigger = KINDS[name](start=START, end=END).anchored(NOW)
    found = slots(trigger)
    low, high = micros(START), micros(END)
    assert len(found) >= 2
    assert all(low <= slot <= high for slot in found)
    # Nothing is lost at the end: without it, the next one is later.
    endless = KINDS[name](start=START).anchored(NOW)
    assert [slot for slot in slots(endless) if slot <= high] == found
    beyond = endless.next(found[-1])
    assert beyond is not None
    assert beyond > high

    assert trigger.last(2**60) == found[-1]
    assert trigger.last(found[0] - 1) is None
    assert trigger.next(found[-1]) is None
    assert trigger.count(-(2**60), 2**60) == len(found)
    assert trigger.reach(found[0], 2**60) == found[-1]
    times = [micros(one) for one in trigger.upcoming(10_000, NOW)]
    assert times == [slot for slot in found if trigger.due(slot) is not None]
    opening, closing = trigger.opens(), trigger.closes()
    assert opening is None or low - 86_400_000_000 <= opening <= found[0]
    assert closing is not None
    assert found[-1] <= closing
    again = trigger_from_data(trigger.to_data())
    assert again == trigger
    assert slots(again) == found


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"calendar", "interval"}))
def test_a_start_that_fits_is_the_first_slot(name: str) -> None:
    trigger = KINDS[name](start=START).anchored(NOW)
    first = slots(trigger)[0]
    again = KINDS[name](start=datetime.fromtimestamp(first / 1e6, UTC)).anchored(NOW)
    assert slots(again)[0] == first


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"calendar"}))
def test_an_end_before_the_start_is_refused(name: str) -> None:
    with pytest.raises(TriggerError) as caught:
        KINDS[name](start=END, end=START).anchored(NOW)
    assert "start" in str(caught.value) or "first date" in str(caught.value)


# --- starting -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: every(5).hours.starting("2030-03-10 09:30", tz=ZONE), "03-10 08:30"),
        (
            lambda: every(5).hours.at(":20").starting("2030-03-10 09:30", tz=ZONE),
            "03-10 09:20",
        ),
        (
            lambda: every(5).minutes.at(":20").starting("2030-03-10 09:30", tz=ZONE),
            "03-10 08:30:20",
        ),
        (lambda: every().day.at("10:30", ZONE).starting("2030-03-10"), "03-10 09:30"),
        (
            lambda: every().day.at("10:30", ZONE).starting("2030-03-10 11:00"),
            "03-11 09:30",
        ),
        (lambda: every().day.starting(date(2030, 3, 10), tz=ZONE), "03-09 23:00"),
        (lambda: every().week.at("10:30").starting("2030-03-13T00:00Z"), "03-13 10:30"),
        (lambda: every().month.starting("2030-03-31T00:00Z"), "03-31 00:00"),
        (lambda: every().friday.at("10:30").starting(START), "03-15 10:30"),
        (
            lambda: every(3).weeks.on("fri", "mon").at("10:30").starting(START),
            "03-11 10:30",
        ),
        (lambda: every(5).to(9).days.starting(START), "03-10 08:30"),
        (lambda: every().hour.at(":20").starting(START), "03-10 09:20"),
    ],
)
def test_a_phrase_starts_where_it_says(
    build: Callable[[], Trigger], expected: str
) -> None:
    trigger = build()
    for scheduled in (NOW, NOW - timedelta(days=77)):
        [first] = trigger.anchored(scheduled).upcoming(1, NOW)
        assert first.isoformat(" ").startswith(f"2030-{expected}")
    assert "2030-03" in trigger.describe()
    assert trigger_from_data(trigger.to_data()) == trigger


def test_weeks_are_counted_from_the_start() -> None:
    phrase = every(2).weeks.on("mon", "thu").starting("2030-03-13T00:00Z")
    shown = [f"{one:%a %d}" for one in phrase.upcoming(5, NOW)]
    assert shown == ["Thu 14", "Mon 25", "Thu 28", "Mon 08", "Thu 11"]


def test_a_start_and_a_duration_go_together() -> None:
    phrase = every().hour.starting(START).until(timedelta(days=10))
    assert phrase.upcoming(99, NOW)[0] == START
    assert phrase.upcoming(999, NOW)[-1] <= NOW + timedelta(days=10)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: every().hour.starting("2030-03-10 09:30"),
        lambda: every().hour.starting("soon"),
        lambda: every().hour.starting(5),  # type: ignore[arg-type]
        lambda: every().day.at("10:30", ZONE).starting("2030-03-31 02:30"),
        lambda: every().day.starting(START).at("10:30"),
        lambda: every().weeks.starting(START).on("mon"),
        lambda: every(5).hours.starting(START).to(7),
        lambda: every().hour.until(START).starting(END),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(TriggerError):
        wrong()


# --- words in the wrong order ---------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: every().hour.until(timedelta(hours=3)).until(timedelta(hours=1)),
        lambda: every().day.until(timedelta(hours=30)).at("10:00"),
        lambda: every(2).weeks.on("mon").on("tue"),
        lambda: every().monday.on("tue"),
        lambda: every().day.at("10:30").at("11:30"),
        lambda: every().hour.at(":30").at(":15"),
        lambda: every(5).to(10).day,
        lambda: every(5).to(10).months,
        lambda: every(5).to(10).at("10:30"),
        lambda: every(5).to(10).seconds.to(20),
        lambda: every(5).at("10:30"),
        lambda: every().until("2030-01-01"),
        lambda: every().day.at("10:30").day,
        lambda: every().month.on("mon"),
        lambda: every(2).hours.at(":30").to(5),
        lambda: every().hour.until(timedelta(hours=3)).starting(START),
    ],
)
def test_words_in_the_wrong_order_are_refused_with_the_order(wrong: Any) -> None:
    with pytest.raises(TriggerError, match=r"cannot be said here") as caught:
        wrong()
    assert ".until()" in caught.value.remedy


def test_a_word_that_is_refused_is_not_there() -> None:
    said = every().day.at("10:30")
    assert pickle.loads(pickle.dumps(said)) == copy.deepcopy(said) == said
    assert said.to_data()["at"] == "10:30"
    for nothing in (said, every(2), every(2).to(3), every().month, every().hour):
        assert not hasattr(nothing, "nonsense")
        with pytest.raises(AttributeError):
            _ = nothing.nonsense  # type: ignore[attr-defined]
    assert not hasattr(said, "on")
    assert not hasattr(every().hour.until(timedelta(hours=1)), "at")
