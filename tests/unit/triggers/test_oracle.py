"""Other libraries' opinions, where they and the rule of this house must agree.

Where they do not agree, each difference is named at the end, with its reason.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterError, croniter
from cronsim import CronSim, CronSimError

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers import CronTrigger
from tests.unit.triggers.reference import Reference

EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "*/7 */5 * * *",
    "0 * * * *",
    "15 */2 * * *",
    "0 0 * * *",
    "30 2 * * *",
    "0,30 2 * * *",
    "0 9 * * mon-fri",
    "0 0 1 * *",
    "0 0 31 * *",
    "0 12 13 * 5",
    "0 6 1-7 * 1",
    "59 23 L * *",
    "0 4 * * 5#2",
    "0 4 * * 5L",
    "*/10 8-18 * 1-6 sun",
    "0 0 29 2 *",
    "5 4 * * 0",
    "5 4 * * 7",
    "0 22 * * 1-5",
    "23 0-20/2 * * *",
    "0 9 * * 5/2",
    "0 9 * * 1/3",
    "0 9 * * 7/2",
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_agrees_with_cronsim(expression: str, zone: str) -> None:
    trigger = CronTrigger(expression, tz=zone)
    for year, month, day in ((2026, 1, 1), (2026, 3, 1), (2026, 10, 20)):
        begin = datetime(year, month, day, tzinfo=ZoneInfo(zone))
        other = CronSim(expression, begin)
        slot = trigger.next(micros(begin))
        for _ in range(120):
            expected = next(other)
            assert slot is not None
            assert moment(slot) == moment(micros(expected)), expected
            slot = trigger.next(slot)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "UTC"])
@pytest.mark.parametrize(
    "expression",
    ["*/15 * * * *", "7 * * * *", "30 2 * * *", "0,20 1-4 * * *", "*/40 */3 * * *"],
)
def test_a_whole_year_agrees_with_the_reference(expression: str, zone: str) -> None:
    trigger = CronTrigger(expression, tz=zone)
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))
    end = begin + timedelta(days=365)
    expected = [micros(one) for one in Reference(expression, zone).fires(begin, end)]
    found: list[int] = []
    slot = trigger.next(micros(begin) - 1)
    while slot is not None and slot < micros(end):
        found.append(slot)
        slot = trigger.next(slot)
    assert found == expected
    assert trigger.count(micros(begin), micros(end) - 1) == len(expected)


# --- random expressions -----------------------------------------------------------

MINUTES = ("*", "*/5", "*/7", "0", "30", "15,45", "10-50/20", "59")
HOURS = ("*", "*/2", "0", "1", "2", "3", "9-17", "0,2,3", "22-23", "1-23/4")
DAYS = ("*", "*", "*", "1", "31", "1-7", "13", "L", "10-20/5")
MONTHS = ("*", "*", "*", "2", "mar", "10-11", "1-12/5", "jun,dec")
WEEKDAYS = ("*", "*", "*", "mon-fri", "sun", "7", "0,6", "5#2", "1-5/2")
# Zones of whole hours; the fold of half an hour is among the differences.
TURNING = ("Europe/Berlin", "America/New_York", "America/Havana", "Africa/Cairo")
STEADY = ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/Phoenix")
STARTS = ("2026-03-05", "2026-04-20", "2026-10-20", "2027-12-30")


def drawn(random: Random) -> str:
    """Draw an expression of what all three understand alike."""
    choices = (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)
    while " 31 2 " in (text := " ".join(random.choice(words) for words in choices)):
        pass  # no such date: all three refuse it, at different times
    return text


def ours(expression: str, zone: str, begin: datetime, number: int) -> list[datetime]:
    return CronTrigger(expression, tz=zone).upcoming(number, begin)


def by_cronsim(
    expression: str, zone: str, begin: datetime, number: int
) -> list[datetime]:
    found = CronSim(expression, begin.astimezone(ZoneInfo(zone)))
    return [one.astimezone(UTC) for one in islice(found, number)]


def by_croniter(
    expression: str, zone: str, begin: datetime, number: int
) -> list[datetime]:
    found = croniter(expression, begin.astimezone(ZoneInfo(zone)))
    return [found.get_next(datetime).astimezone(UTC) for _ in range(number)]


@pytest.mark.parametrize("zone", [*TURNING, *STEADY])
def test_random_expressions_agree_with_cronsim(zone: str) -> None:
    random = Random(f"cronsim {zone}")
    for _ in range(60):
        expression = drawn(random)
        begin = datetime.fromisoformat(random.choice(STARTS)).replace(tzinfo=UTC)
        found = ours(expression, zone, begin, 40)
        assert found == by_cronsim(expression, zone, begin, 40), expression


@pytest.mark.parametrize("zone", STEADY)
def test_random_expressions_agree_with_croniter_where_no_clock_changes(
    zone: str,
) -> None:
    random = Random(f"croniter {zone}")
    for _ in range(60):
        # What it does with an nth weekday beside a day is among the differences.
        expression = drawn(random).replace("5#2", "5")
        begin = datetime.fromisoformat(random.choice(STARTS)).replace(tzinfo=UTC)
        found = ours(expression, zone, begin, 20)
        assert found == by_croniter(expression, zone, begin, 20), expression


# --- where they differ --------------------------------------------------------------

ASKED = {"croniter": by_croniter, "cronsim": by_cronsim}


@pytest.mark.parametrize(
    ("who", "expression", "zone", "begin", "here", "there"),
    [
        pytest.param(
            *("croniter", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00"),
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
            ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"],
            id="croniter runs a fixed time twice in a fold",
        ),
        pytest.param(
            *("croniter", "15 */2 * * *", "Europe/Berlin", "2026-03-28T23:30"),
            ["2026-03-29T04:15+02:00", "2026-03-29T06:15+02:00"],
            ["2026-03-29T03:00+02:00", "2026-03-29T04:15+02:00"],
            id="croniter adds a run that nobody asked for after a gap",
        ),
        pytest.param(
            *("croniter", "0 12 * * *", "Pacific/Apia", "2011-12-29T23:00"),
            ["2011-12-31T12:00+14:00", "2012-01-01T12:00+14:00"],
            ["2011-12-31T00:00+14:00", "2011-12-31T12:00+14:00"],
            id="croniter makes up for a date that never was",
        ),
        pytest.param(
            *("cronsim", "0 12 * * *", "Pacific/Apia", "2011-12-29T23:00"),
            ["2011-12-31T12:00+14:00", "2012-01-01T12:00+14:00"],
            ["2011-12-31T00:00+14:00", "2011-12-31T12:00+14:00"],
            id="cronsim makes up for a date that never was",
        ),
        pytest.param(
            *("cronsim", "15 */2 * * *", "Australia/Lord_Howe", "2026-04-04T14:00"),
            ["2026-04-05T02:15+10:30", "2026-04-05T04:15+10:30"],
            ["2026-04-05T04:15+10:30", "2026-04-05T06:15+10:30"],
            id="cronsim loses a run after a fold of half an hour",
        ),
        pytest.param(
            *("cronsim", "0 0 */2 * 1", "UTC", "2026-01-01T00:00"),
            ["2026-01-03T00:00+00:00", "2026-01-05T00:00+00:00"],
            ["2026-01-05T00:00+00:00", "2026-01-19T00:00+00:00"],
            id="cronsim takes a day field that starts with a star for unrestricted",
        ),
        pytest.param(
            *("croniter", "0 0 * * sun-sun", "UTC", "2026-01-01T00:00"),
            ["2026-01-04T00:00+00:00", "2026-01-11T00:00+00:00"],
            ["2026-01-02T00:00+00:00", "2026-01-03T00:00+00:00"],
            id="croniter takes a range of one day for the whole week",
        ),
        pytest.param(
            *("croniter", "0 0 * * 5/2", "UTC", "2026-01-01T00:00"),
            ["2026-01-02T00:00+00:00", "2026-01-04T00:00+00:00"],
            ["2026-01-02T00:00+00:00", "2026-01-09T00:00+00:00"],
            id="croniter ends the steps of weekdays on Saturday",
        ),
        pytest.param(
            *("croniter", "0 0 13 * fri#2", "UTC", "2026-01-01T00:00"),
            ["2026-01-09T00:00+00:00", "2026-01-13T00:00+00:00"],
            ["2026-01-09T00:00+00:00", "2026-02-13T00:00+00:00"],
            id="croniter forgets the day of month beside an nth weekday",
        ),
    ],
)
def test_a_difference_and_its_name(
    who: str, expression: str, zone: str, begin: str, here: list[str], there: list[str]
) -> None:
    after = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    for ask, expected in ((ours, here), (ASKED[who], there)):
        shown = [
            one.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")
            for one in ask(expression, zone, after, len(expected))
        ]
        assert shown == expected


@pytest.mark.parametrize(
    ("who", "expression"),
    [
        ("croniter", "0 0 L-3 * *"),
        ("croniter", "0 0 LW * *"),
        ("croniter", "0 0 * * 5L"),
        ("cronsim", "0 0 L-3 * *"),
        ("cronsim", "0 0 15W * *"),
        ("cronsim", "0 0 * * L5"),
        ("cronsim", "0 0 ? * 1"),
        ("cronsim", "@daily"),
    ],
)
def test_a_word_that_the_other_does_not_know(who: str, expression: str) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert len(ours(expression, "UTC", begin, 3)) == 3
    with pytest.raises((CroniterError, CronSimError)):
        ASKED[who](expression, "UTC", begin, 1)


@pytest.mark.parametrize(
    ("who", "expression"),
    [
        # Backwards, croniter goes around the end of the field, or fills it.
        ("croniter", "0 22-2 * * *"),
        ("croniter", "0 0 10-5 * *"),
        ("croniter", "0 0 * 11-2 *"),
        # Random: no two peers, and no two starts, would agree.
        ("croniter", "0 0 R * *"),
        # A step beyond the field is surely not what was meant.
        ("croniter", "*/90 * * * *"),
        ("cronsim", "*/90 * * * *"),
        ("cronsim", "0 */24 * * *"),
    ],
)
def test_what_the_other_lets_pass_is_refused(who: str, expression: str) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert ASKED[who](expression, "UTC", begin, 1)
    with pytest.raises(TriggerError):
        CronTrigger(expression)


def test_what_never_fires_is_refused_at_once_and_not_when_it_is_asked() -> None:
    late = croniter("0 0 30,31 2 *", datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(CroniterError):
        late.get_next(datetime)
    with pytest.raises(TriggerError, match="no date ever matches"):
        CronTrigger("0 0 30,31 2 *")
