"""Recurrence rules: against dateutil in UTC, and one by one over clock changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched.errors import TriggerError
from aiosched.instants import micros
from aiosched.triggers import RRuleTrigger, trigger_from_data

START = datetime(2026, 1, 30, 9, 15, tzinfo=UTC)
_HORIZON = timedelta(days=2000)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def listed(values: st.SearchStrategy[object], most: int = 3) -> st.SearchStrategy[str]:
    lists = st.lists(values, min_size=1, max_size=most, unique=True)
    return lists.map(lambda found: ",".join(map(str, found)))


def signed(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high) | st.integers(-high, -low)


_PLAIN = listed(st.sampled_from(WEEKDAYS))
_NUMBERED = listed(
    st.tuples(signed(1, 5), st.sampled_from(WEEKDAYS)).map(lambda p: f"{p[0]}{p[1]}")
)
_PARTS: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "YEARLY": {
        "BYDAY": _PLAIN | _NUMBERED,
        "BYMONTHDAY": listed(signed(1, 31)),
        "BYYEARDAY": listed(signed(1, 366)),
    },
    "MONTHLY": {"BYDAY": _PLAIN | _NUMBERED, "BYMONTHDAY": listed(signed(1, 31))},
    "WEEKLY": {"BYDAY": _PLAIN},
    "DAILY": {"BYDAY": _PLAIN, "BYMONTHDAY": listed(signed(1, 31))},
    "HOURLY": {"BYDAY": _PLAIN, "BYMONTHDAY": listed(signed(1, 31))},
}


@st.composite
def rules(draw: st.DrawFn) -> str:
    frequency = draw(st.sampled_from(sorted(_PARTS)))
    parts = {"FREQ": frequency, "INTERVAL": str(draw(st.integers(1, 4)))}
    optional = {
        **_PARTS[frequency],
        "BYMONTH": listed(st.integers(1, 12)),
        "BYHOUR": listed(st.integers(0, 23), 2),
        "BYMINUTE": listed(st.integers(0, 59), 2),
        "BYSECOND": listed(st.integers(0, 59), 2),
        "WKST": st.sampled_from(WEEKDAYS),
    }
    for key in draw(st.lists(st.sampled_from(sorted(optional)), max_size=3)):
        parts[key] = draw(optional[key])
    chosen = {key for key in parts if key.startswith("BY")}
    if frequency != "WEEKLY" and chosen and draw(st.booleans()):
        parts["BYSETPOS"] = draw(listed(signed(1, 4), 2))
    if draw(st.booleans()):
        parts["COUNT"] = str(draw(st.integers(1, 30)))
    # Without it dateutil asks the interpreter's calendar when weeks begin.
    parts.setdefault("WKST", "MO")
    return ";".join(f"{key}={value}" for key, value in parts.items())


def oracle(rule: str, start: datetime) -> Iterator[datetime]:
    """Yield what dateutil says, for as long as it is cheap to ask."""
    naive = start.replace(tzinfo=None)
    until = naive + _HORIZON
    bounded = rrulestr(rule, dtstart=naive)
    if "COUNT" not in rule:
        bounded = bounded.replace(until=until)
    for found in bounded:
        if found > until:
            return
        yield found.replace(tzinfo=UTC)


def long_empty(rule: str, start: datetime) -> bool:
    """Tell whether dateutil too finds nothing for a long time.

    It seeks until the year 9999, so it is asked in years close to that, whose
    calendar is the same.
    """
    naive = start.replace(tzinfo=None, year=start.year + 7600)
    try:
        found = next(iter(rrulestr(rule, dtstart=naive)), None)
    except ValueError:
        return True  # it has seen by itself that the rule is empty
    return found is None or found - naive > timedelta(days=400)


def built(rule: str, start: datetime) -> RRuleTrigger | None:
    """Build a trigger, or check that there is a reason not to."""
    try:
        return RRuleTrigger(rule, start=start)
    except TriggerError as error:
        problem = error.problem
    if "times a day" in problem:
        return None
    assert "no occurrence" in problem or "no such" in problem
    assert long_empty(rule, start)
    return None


@settings(deadline=None, max_examples=60)
@given(rule=rules(), minutes=st.integers(0, 4 * 525_600))
def test_it_agrees_with_dateutil(rule: str, minutes: int) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    limit = micros(start + _HORIZON)
    trigger = built(rule, start)
    if trigger is None:
        return
    expected = [micros(one) for one in islice(oracle(rule, start), 60)]
    found: list[int] = []
    at = micros(start) - 1
    while len(found) < len(expected) and (slot := trigger.next(at)) is not None:
        found.append(slot)
        at = slot
    assert found == expected
    if len(expected) < 60:
        further = trigger.next(at)
        assert further is None or further > limit
    if f"COUNT={len(expected)};" in f"{rule};":
        assert trigger.next(at) is None
    for one, two in pairwise(expected):
        assert trigger.last(two - 1) == one
        assert trigger.last(two) == two
    if expected:
        assert trigger.count(expected[0], expected[-1]) == len(expected)
        assert trigger.last(expected[0] - 1) is None


@settings(deadline=None, max_examples=40)
@given(rule=rules(), years=st.integers(1, 7000))
def test_it_is_the_same_far_from_the_start(rule: str, years: int) -> None:
    start = datetime(2024, 1, 1, 8, 30, tzinfo=UTC)
    rule = rule.split(";COUNT")[0] + ";WKST=MO" * (
        "WKST" not in rule.split(";COUNT")[0]
    )
    try:
        trigger = RRuleTrigger(rule, start=start)
    except TriggerError:
        return
    instant = start + timedelta(days=365 * years)
    forth = trigger.next(micros(instant))
    back = trigger.last(micros(instant))
    if forth is not None:
        assert trigger.last(forth - 1) == back
        assert trigger.last(forth) == forth
    if back is not None:
        assert trigger.next(back - 1) == back
        assert trigger.next(back) == forth


def week_number(day: date, week_start: int) -> tuple[int, bool]:
    """Return the number of a day's week, and whether it is its year's last."""
    opening = day - timedelta(days=(day.weekday() - week_start) % 7)
    # The year that has most of the week has its fourth day.
    middle = opening + timedelta(days=3)
    number = (middle.timetuple().tm_yday - 1) // 7 + 1
    return number, (middle + timedelta(days=7)).year > middle.year


@pytest.mark.parametrize("week_start", range(7))
@pytest.mark.parametrize("numbers", [{1}, {53}, {-1}, {20, 52}, {1, -1, 53}])
def test_weeks_are_numbered(week_start: int, numbers: set[int]) -> None:
    rule = (
        f"FREQ=YEARLY;BYWEEKNO={','.join(map(str, numbers))};BYDAY=MO,SU"
        f";WKST={WEEKDAYS[week_start]}"
    )
    trigger = RRuleTrigger(rule, start=datetime(2000, 1, 1, 9, tzinfo=UTC))
    expected: list[date] = []
    day = date(2000, 1, 1)
    while day.year < 2045:
        number, last = week_number(day, week_start)
        if week_start == 0:
            assert number == day.isocalendar().week
        if day.weekday() in (0, 6) and (number in numbers or (last and -1 in numbers)):
            expected.append(day)
        day += timedelta(days=1)
    assert expected
    before = datetime(2000, 1, 1, tzinfo=UTC)
    found = trigger.upcoming(len(expected) + 1, before)
    assert [one.date() for one in found[:-1]] == expected
    assert found[-1].year >= 2045


# --- clock changes ---------------------------------------------------------------


def by_hand(
    rule: str, start: datetime, zone: ZoneInfo, until: datetime, *, elapsed: bool
) -> list[datetime]:
    """Lay what dateutil says of the wall clock over a zone, minute by minute."""
    naive = start.astimezone(zone).replace(tzinfo=None)
    walls = set(
        rrulestr(rule, dtstart=naive).between(
            naive, naive + timedelta(days=9), inc=True
        )
    )
    slots: list[datetime] = []
    seen: set[datetime] = set()
    at = start
    while at <= until:
        wall = at.astimezone(zone).replace(tzinfo=None)
        earlier = (at - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None)
        left_out = {one for one in walls if earlier < one < wall}
        due = wall in walls and (elapsed or wall not in seen)
        if due or (left_out and not elapsed):
            slots.append(at)
        seen |= left_out | {wall}
        at += timedelta(minutes=1)
    return slots


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("Europe/Berlin", datetime(2025, 3, 28, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2025, 10, 24, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2025, 4, 3, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2025, 10, 2, tzinfo=UTC)),
        ("America/Santiago", datetime(2025, 9, 4, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYHOUR=2;BYMINUTE=15,30",
        "FREQ=DAILY;BYHOUR=0,1;BYMINUTE=0,45",
        "FREQ=HOURLY;BYMINUTE=0,20,40",
        "FREQ=HOURLY;BYHOUR=1,2;BYMINUTE=30",
        "FREQ=HOURLY;INTERVAL=3",
        "FREQ=WEEKLY;BYDAY=SU;BYHOUR=0,1,2,3",
    ],
)
def test_clock_changes(name: str, around: datetime, rule: str) -> None:
    zone = ZoneInfo(name)
    until = around + timedelta(days=5)
    trigger = RRuleTrigger(rule, start=around, tz=name)
    elapsed = rule.startswith("FREQ=HOURLY") and "BYHOUR" not in rule
    expected = by_hand(rule, around, zone, until, elapsed=elapsed)
    assert expected
    found = trigger.upcoming(len(expected), around - timedelta(seconds=1))
    assert found == expected


def test_the_clock_change_rule_can_be_overridden() -> None:
    def slots(**options: object) -> list[str]:
        trigger = RRuleTrigger(
            "FREQ=DAILY", start="2025-03-29 02:30", tz="Europe/Berlin", **options
        )
        after = datetime(2025, 3, 28, tzinfo=UTC)
        return [one.strftime("%d %H:%M") for one in trigger.upcoming(3, after)]

    assert slots() == ["29 01:30", "30 01:00", "31 00:30"]
    assert slots(gap="skip") == ["29 01:30", "31 00:30", "01 00:30"]


# --- bounds ----------------------------------------------------------------------


def test_what_the_rule_leaves_open_comes_from_the_start() -> None:
    trigger = RRuleTrigger(
        "rrule:freq=monthly;byday=-1fr", start="2030-01-01 17:00", tz="Europe/Paris"
    )
    times = trigger.upcoming(3, datetime(2030, 1, 1, tzinfo=UTC))
    assert [str(one) for one in times] == [
        "2030-01-25 16:00:00+00:00",
        "2030-02-22 16:00:00+00:00",
        "2030-03-29 16:00:00+00:00",
    ]
    assert trigger.expression == "FREQ=MONTHLY;BYDAY=-1FR"


@pytest.mark.parametrize(
    ("rule", "options", "number"),
    [
        ("FREQ=DAILY;COUNT=5", {}, 5),
        ("FREQ=DAILY;UNTIL=20260202", {}, 4),
        ("FREQ=DAILY;UNTIL=20260202T091500", {}, 4),
        ("FREQ=DAILY;UNTIL=20260202T091459", {}, 3),
        # In Paris it is an hour later than in UTC.
        ("FREQ=DAILY;UNTIL=20260202T081500Z", {}, 4),
        ("FREQ=DAILY;UNTIL=20260202T081459Z", {}, 3),
        ("FREQ=DAILY", {"end": "2026-02-02"}, 4),
        ("FREQ=DAILY", {"end": "2026-02-02 09:15"}, 4),
        ("FREQ=DAILY;COUNT=5", {"end": "2026-02-01T12:00Z"}, 3),
    ],
)
def test_it_ends(rule: str, options: dict[str, str], number: int) -> None:
    trigger = RRuleTrigger(rule, start="2026-01-30 09:15", tz="Europe/Paris", **options)
    before = datetime(2026, 1, 1, tzinfo=UTC)
    times = trigger.upcoming(99, before)
    assert len(times) == number
    last = micros(times[-1])
    assert trigger.next(last) is None
    assert trigger.last(micros(datetime(9000, 1, 1, tzinfo=UTC))) == last
    assert trigger.closes() is None or trigger.closes() >= last


def test_it_survives_as_data() -> None:
    trigger = RRuleTrigger(
        "FREQ=WEEKLY;BYDAY=MO;COUNT=9",
        start="2030-01-01 17:00",
        tz="Europe/Paris",
        end=datetime(2031, 1, 1, tzinfo=UTC),
        gap="skip",
        fold="last",
    )
    again = trigger_from_data(trigger.to_data())
    assert again == trigger
    assert hash(again) == hash(trigger)
    assert "FREQ=WEEKLY" in trigger.describe()
    assert trigger.opens() == micros(trigger.start)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "no part of a rule"),
        ("FREQ", "no part of a rule"),
        ("FREQ=DAILY;", "no part of a rule"),
        ("BYDAY=MO", "FREQ: is missing"),
        ("FREQ=FORTNIGHTLY", "not known"),
        ("FREQ=MINUTELY", "IntervalTrigger(minutes=…)"),
        ("FREQ=SECONDLY", "IntervalTrigger(seconds=…)"),
        ("FREQ=DAILY;FREQ=DAILY", "occurs twice"),
        ("FREQ=DAILY;INTERVAL=0", "out of range"),
        ("FREQ=DAILY;INTERVAL=-1", "out of range"),
        ("FREQ=DAILY;INTERVAL=1,2", "one number"),
        ("FREQ=DAILY;COUNT=0", "out of range"),
        ("FREQ=DAILY;COUNT=1e3", "out of range"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20300101", "exclude each other"),
        ("FREQ=DAILY;UNTIL=20301301", "not a date"),
        ("FREQ=DAILY;UNTIL=soon", "not a date"),
        ("FREQ=DAILY;UNTIL=20250101", "no occurrence"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR: '24'"),
        ("FREQ=DAILY;BYHOUR=+2", "BYHOUR: '+2'"),
        ("FREQ=DAILY;BYHOUR=٣", "BYHOUR"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "or -31 to -1"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "out of range"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "no such month"),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", "no occurrence"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "no occurrence"),
        ("FREQ=DAILY;BYSETPOS=1", "nothing to choose from"),
        ("FREQ=DAILY;BYDAY=1MO", "a number needs months"),
        ("FREQ=YEARLY;BYWEEKNO=3;BYDAY=1MO", "a number needs months"),
        ("FREQ=MONTHLY;BYDAY=54MO", "not a weekday"),
        ("FREQ=MONTHLY;BYDAY=XX", "not a weekday"),
        ("FREQ=WEEKLY;WKST=1", "not a weekday"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "does not go with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYWEEKNO=3", "does not go with FREQ=MONTHLY"),
        ("FREQ=DAILY;BYEASTER=1", "no part of a rule"),
        ("FREQ=HOURLY;BYMINUTE=0,5,10,15,20", "times a day"),
        ("DTSTART:20300101T090000\nRRULE:FREQ=DAILY", "start="),
        ("FREQ=DAILY\nEXDATE:20300101T090000", ".excluding()"),
        ("FREQ=DAILY\nFREQ=DAILY", "second line"),
    ],
)
def test_what_makes_no_sense_is_refused(rule: str, said: str) -> None:
    with pytest.raises(TriggerError) as caught:
        RRuleTrigger(rule, start=START)
    assert said in str(caught.value)
    assert caught.value.field == "expression"
    assert caught.value.remedy


@pytest.mark.parametrize(
    "options",
    [
        {"start": "2030-01-01 09:00", "tz": "Mars/X"},
        {"start": datetime(2030, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
        {"start": "soon"},
        {"start": "2025-03-30 02:30", "tz": "Europe/Berlin"},
        {"start": START, "end": START - timedelta(days=1)},
        {"start": START, "end": "18:30"},
        {"start": START, "end": timedelta(hours=8)},
        {"start": START, "gap": "both"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(TriggerError):
        RRuleTrigger("FREQ=DAILY", **options)  # type: ignore[arg-type]
