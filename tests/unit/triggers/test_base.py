"""What all triggers have in common, also those of users."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import pytest
from pydantic import BaseModel

from aiosched.errors import AioschedError, TriggerError
from aiosched.instants import SECOND, micros
from aiosched.triggers import (
    LOOK_LIMIT,
    AnyTrigger,
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Trigger,
    every,
    trigger_from_data,
    trigger_kinds,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
T0 = micros(NOON)


class Fibonacci(Trigger, frozen=True):
    """Fires so many seconds after its beginning as there are Fibonacci numbers."""

    kind: Literal["test-fibonacci"] = "test-fibonacci"
    begin: datetime = NOON

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Walk from the beginning."""
        one, two = 1, 2
        while two < 10_000_000:
            when = self.begin + timedelta(seconds=one)
            if when > after:
                return when
            one, two = two, one + two
        return None


class Seconds(Trigger, frozen=True):
    """Fires each second, and can only be asked for the next."""

    kind: Literal["test-seconds"] = "test-seconds"

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the next full second."""
        del anchor
        return after + SECOND - after % SECOND


SOME: list[Trigger] = [
    DateTrigger(NOON),
    DateTrigger("2026-05-01T14:00", tz="Europe/Paris"),
    IntervalTrigger(minutes=10),
    IntervalTrigger(seconds=1.5, start=NOON, end=NOON + timedelta(days=1)),
    CronTrigger("0 9 * * mon-fri", tz="Europe/Paris", start=NOON),
    CronTrigger("*/5 * * * * *", seconds="first", gap="next", fold="last"),
    CronTrigger("0 0 13 * 5", day_or=False),
    CalendarIntervalTrigger(months=1, at="09:30", month_end="clamp"),
    CalendarIntervalTrigger(weeks=2, start=date(2026, 1, 5), end=date(2026, 12, 31)),
    CronTrigger("0 9 * * *") & CronTrigger("* * * * 5"),
    CronTrigger("0 9 * * *") | IntervalTrigger(hours=1, start=NOON),
    every(5).to(10).seconds,
    every(5).hours.at("20:30"),
    every(2).months,
    every().day.at("10:30", tz="Europe/Paris"),
    Fibonacci(),
]


@pytest.mark.parametrize("trigger", SOME, ids=lambda one: str(one.kind))
def test_it_survives_being_data(trigger: Trigger) -> None:
    text = json.dumps(trigger.to_data())
    again = trigger_from_data(json.loads(text))
    assert again == trigger
    assert hash(again) == hash(trigger)
    assert again.to_data() == trigger.to_data()
    assert again.upcoming(3, NOON) == trigger.upcoming(3, NOON)
    pickled = pickle.dumps(trigger)
    assert len(pickled) < 1500
    assert pickle.loads(pickled) == trigger


@pytest.mark.parametrize("trigger", SOME, ids=lambda one: str(one.kind))
def test_pinned_it_is_shared_as_a_rule_and_given_back(trigger: Trigger) -> None:
    pinned = trigger.anchored(NOON - timedelta(seconds=7))
    assert pinned.anchored(NOON + timedelta(days=3)) is pinned
    assert not pinned.needs_pin()
    own = pinned.own_instant()
    rule = pinned.rule()
    assert rule.with_instant(own) == pinned
    slots = [micros(one) for one in pinned.upcoming(3, NOON)]
    assert rule.next(T0, own) == (slots[0] if slots else None)
    if slots:
        assert pinned.last(slots[-1]) == slots[-1]
        assert rule.last(slots[-1], own) == slots[-1]
        assert rule.count(slots[0], slots[-1], own) == len(slots)
        assert pinned.reach(slots[0], slots[-1]) == slots[-1]


def test_rules_are_equal_for_all_that_differ_in_the_instant_only() -> None:
    later = NOON + timedelta(days=9)
    assert DateTrigger(NOON).rule() == DateTrigger(later).rule()
    one, two = IntervalTrigger(days=1, start=NOON), IntervalTrigger(days=1, start=later)
    assert one.rule() == two.rule() != IntervalTrigger(days=2).rule()
    assert one.rule().to_data() == {"kind": "interval", "days": 1}
    cron = CronTrigger("* * * * *")
    assert cron.rule() is cron
    assert cron.own_instant() is None


@pytest.mark.parametrize("trigger", SOME, ids=lambda one: str(one.kind))
def test_it_is_frozen_and_described(trigger: Trigger) -> None:
    with pytest.raises(ValueError, match="frozen"):
        trigger.kind = "other"
    words = trigger.describe()
    assert words == words.strip()
    assert len(words) > 8


@pytest.mark.parametrize("trigger", SOME[:-1], ids=lambda one: str(one.kind))
def test_naive_datetimes_are_refused(trigger: Trigger) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    for ask in (
        trigger.next_fire_time,
        trigger.anchored,
        lambda at: trigger.upcoming(1, at),
    ):
        with pytest.raises(TriggerError, match="time zone"):
            ask(naive)
    with pytest.raises(TriggerError, match="negative"):
        trigger.upcoming(-1, NOON)


def test_a_users_trigger_needs_no_more_than_next_fire_time() -> None:
    trigger = Fibonacci()
    seconds = [(one - NOON).total_seconds() for one in trigger.upcoming(6, NOON)]
    assert seconds == [1, 2, 3, 5, 8, 13]
    assert trigger.last(T0 + 12 * SECOND) == T0 + 8 * SECOND
    assert trigger.last(T0 + 8 * SECOND) == T0 + 8 * SECOND
    assert trigger.last(T0) is None
    assert trigger.count(T0, T0 + 13 * SECOND) == 6
    assert trigger.count(T0 + SECOND + 1, T0 + 13 * SECOND - 1) == 4
    assert trigger.next(T0 + 10**14) is None
    assert trigger_from_data({"kind": "test-fibonacci"}) == trigger


def test_a_count_by_enumeration_is_bounded_and_continues() -> None:
    trigger = Seconds()
    until = T0 + 25_000 * SECOND
    assert trigger.count(T0, until) == LOOK_LIMIT
    total, first, looks = 0, T0, 0
    while (reached := trigger.reach(first, until)) is not None:
        total += trigger.count(first, reached)
        first = reached + 1
        looks += 1
    assert (total, looks) == (25_001, 3)
    assert trigger.last(until + 1) == until
    assert trigger.next_fire_time(NOON) == NOON + timedelta(seconds=1)


def test_a_users_trigger_that_does_not_advance_is_named() -> None:
    class Stuck(Trigger, frozen=True):
        kind: Literal["test-stuck"] = "test-stuck"
        naive: bool = False

        def next_fire_time(self, after: datetime) -> datetime | None:
            return after.replace(tzinfo=None) if self.naive else after

    with pytest.raises(TriggerError, match="not later"):
        Stuck().next(T0)
    with pytest.raises(TriggerError, match="time zone"):
        Stuck(naive=True).next(T0)


def test_a_class_must_answer_and_have_a_kind_of_its_own() -> None:
    with pytest.raises(TriggerError, match="neither next_fire_time nor next"):

        class Silent(Trigger, frozen=True):
            kind: Literal["test-silent"] = "test-silent"

    with pytest.raises(TriggerError, match="has taken it"):

        class Thief(Trigger, frozen=True):
            kind: Literal["cron"] = "cron"

            def next_fire_time(self, after: datetime) -> datetime | None:
                return None

    assert "test-silent" not in trigger_kinds()
    assert type(trigger_from_data({"kind": "cron", "expression": "* * * * *"})) is (
        CronTrigger
    )


class Holder(BaseModel):
    """A model of a user's that has a trigger in it."""

    trigger: AnyTrigger


def test_it_fits_into_a_pydantic_model() -> None:
    holder = Holder(trigger=every(10).minutes)
    again = Holder.model_validate_json(holder.model_dump_json())
    assert again.trigger == IntervalTrigger(minutes=10)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({}, "kind"),
        ({"kind": 3}, "kind"),
        ({"kind": "cron"}, "expression"),
        ({"kind": "cron", "expression": "* * * * *", "zone": "UTC"}, "zone"),
        ({"kind": "cron", "expression": 5}, "expression"),
        ({"kind": "cron", "expression": "* * * * *", "day_or": "maybe"}, "day_or"),
        ({"kind": "interval", "seconds": "x"}, "seconds"),
        ({"kind": "date", "at": 12}, "at"),
        ({"kind": "or", "triggers": [{"kind": "nonsense"}]}, "kind"),
        ({"kind": "or", "triggers": [7]}, "triggers"),
        ({"kind": "or", "triggers": []}, "triggers"),
    ],
)
def test_data_that_is_no_trigger_names_the_field(
    data: dict[str, object], field: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        trigger_from_data(data)
    assert caught.value.field.split(".")[0] == field
    assert caught.value.remedy
    assert isinstance(caught.value, AioschedError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "build",
    [
        lambda: CronTrigger("* * * * *", gap="never"),  # type: ignore[arg-type]
        lambda: CronTrigger("* * * * *", seconds="middle"),  # type: ignore[arg-type]
        lambda: CalendarIntervalTrigger(days=1, month_end="x"),  # type: ignore[arg-type]
        lambda: Fibonacci(nonsense=1),  # type: ignore[call-arg]
        lambda: Fibonacci(begin="soon"),  # type: ignore[arg-type]
    ],
)
def test_pydantic_never_speaks_to_the_user(build: Callable[[], Trigger]) -> None:
    with pytest.raises(TriggerError) as caught:
        build()
    assert caught.value.__cause__ is None
    assert "pydantic" not in str(caught.value)
