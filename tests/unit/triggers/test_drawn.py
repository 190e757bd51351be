"""Whether a trigger with ``H`` is right must not depend on the job that gets it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from aiosched.errors import TriggerError
from aiosched.triggers import CronTrigger, IntervalTrigger, Trigger
from tests.unit.triggers.work import calls

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
TOKYO = "Asia/Tokyo"


def cron(expression: str, tz: str = "UTC") -> CronTrigger:
    return CronTrigger(expression, tz=tz)


RIGHT = {
    "a weekday that is left": lambda: cron("0 9 * * H(mon-fri)").excluding("sat-sun"),
    "no day is drawn": lambda: cron("H H * * *").excluding("sat-sun", "12-25"),
    "moved": lambda: cron("0 9 * * H").excluding("sat-sun", shift="next_business_day"),
    "a drawn day has many weekdays": lambda: cron("H H H * *").excluding("sat-sun"),
    "days of another zone": lambda: cron("H H * * *", TOKYO).excluding("sat", tz="UTC"),
    "what is left beside": lambda: (cron("0 9 * * H") | cron("0 9 * * *")).excluding(
        "sat-sun"
    ),
    "another hour": lambda: cron("H * * * *") - cron("0 9 * * *"),
    "meets all minutes": lambda: cron("H 9 * * *") & cron("* * * * mon-fri"),
    "meets all times": lambda: cron("H H * * *") & cron("* * * * mon-fri"),
    "nested": lambda: (cron("H 9 * * *") | cron("0 3 * * *")) & cron("* * * * mon"),
    "excluded, and met": lambda: (
        cron("H 9 * * mon").excluding("sat") & cron("* * * * *")
    ),
}
WRONG = {
    "a weekday of the week": lambda: cron("0 9 * * H").excluding("sat-sun"),
    "one weekday of the week": lambda: cron("0 9 * * H").excluding("wed"),
    "a day of one month": lambda: cron("0 9 H 12 *").excluding("12-25"),
    "a month": lambda: cron("0 9 25 H *").excluding("12-25"),
    "day and month": lambda: cron("0 9 H H *").excluding("12-25"),
    "late in another zone": lambda: cron("0 H * * sat", TOKYO).excluding(
        "sat", tz="UTC"
    ),
    "early in another zone": lambda: cron("0 H * * sat", TOKYO).excluding(
        "fri", tz="UTC"
    ),
    "a fixed minute": lambda: cron("H 3 * * *") & cron("0 3 * * *"),
    "some minutes": lambda: cron("H H * * *") & cron("*/5 * * * *"),
    "another hour": lambda: cron("H 5 * * *") & cron("* 6 * * *"),
    "the same minute of one day": lambda: cron("H 9 * * *") & cron("0-58 * * * mon"),
    "an interval": lambda: cron("H * * * *") & IntervalTrigger(hours=1, start=NOW),
    "no start": lambda: cron("H * * * *") & IntervalTrigger(minutes=1),
    "minus that minute": lambda: cron("H 3 * * *") - cron("30 3 * * *"),
    "minus a drawn one": lambda: cron("17 9 * * *") - cron("H 9 * * *"),
    "minus one of many": lambda: cron("H H * * *") - cron("30 5 * * *"),
    "nested &": lambda: (cron("0 9 * * H") & cron("* 9 * * *")).excluding("sat"),
    "nested |": lambda: (cron("H 3 * * *") | cron("H 4 * * *")) & cron("0 3,4 * * *"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_accepted_is_right_for_every_job(name: str) -> None:
    trigger: Trigger = RIGHT[name]()
    for number in range(300):
        settled = trigger.for_job(f"job {number}")
        assert settled.next_fire_time(NOW) is not None


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_for_some_job_is_refused_for_all(name: str) -> None:
    with pytest.raises(TriggerError) as caught:
        WRONG[name]()
    assert "H" in str(caught.value)
    assert "expression" in caught.value.remedy or "H" in caught.value.remedy


def test_the_remedy_of_the_refusal_works() -> None:
    with pytest.raises(TriggerError, match=r"H\(mon-fri\)"):
        cron("0 9 * * H").excluding("sat-sun")
    cron("0 9 * * H(mon-fri)").excluding("sat-sun")


@pytest.mark.parametrize("name", [*RIGHT, *WRONG])
def test_the_answer_is_cheap(name: str) -> None:
    def built() -> None:
        with suppress(TriggerError):
            (RIGHT | WRONG)[name]()

    built()  # what is read once a process is not counted
    assert calls(built) < 80_000
