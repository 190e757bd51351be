"""What is refused where it is built: schedulers, jobs, executors, triggers, URLs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from aiosched import (
    CalendarIntervalTrigger,
    ConfigurationError,
    IntervalTrigger,
    InvalidInputError,
    Job,
    RedisJobStore,
    Scheduler,
    Trigger,
    TriggerError,
    every,
)
from aiosched.jobs.plain import dump_json, load_json

EAST, WEST = (timezone(timedelta(hours=h)) for h in (14, -14))
LENGTHS: tuple[Any, ...] = (
    float("inf"),
    float("nan"),
    1e300,
    10**400,
    -1,
    True,
    "1",
    "x" * 100_000,
)

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *[("lease", {"lease": bad}) for bad in (*LENGTHS, 0, 0.05)],
    *[
        (name, {"terms": {name: bad}})
        for bad in (*LENGTHS, "abc", None, set())
        for name in ("lease", "beat", "member_timeout", "steal_delay", "ledger_age")
    ],
    *[("terms.shards", {"terms": {"shards": bad}}) for bad in (0, 4097, True, 1.0)],
    *[("terms", {"terms": bad}) for bad in (5, "x", ["lease"], True)],
    ("terms.lasts", {"terms": {"lasts": 5}}),
    ("terms.5", {"terms": {5: 5}}),
    ("lease", {"lease": 10, "terms": {"lease": 20}}),
    ("terms.member_timeout", {"terms": {"beat": 2, "member_timeout": 2}}),
    ("terms.member_timeout", {"terms": {"beat": 60}}),
    ("terms.member_timeout", {"terms": {"member_timeout": 3}}),
    ("terms.beat", {"lease": 1, "terms": {"beat": 2}}),
    *[("queues", {"queues": bad}) for bad in (5, True, "mail", [])],
    *[("queues[1]", {"queues": ["a", bad]}) for bad in (None, 5, "a b")],
    *[("ids", {"ids": bad}) for bad in (5, None, lambda: None, lambda: "")],
    *[("clock", {"clock": bad}) for bad in (5, "now", object())],
    *[("run_jobs", {"run_jobs": bad}) for bad in ("no", None, 0)],
    *[
        ("revision", {"revision": bad})
        for bad in ("2026.1", 1.5, True, -1, 2**31 + 1, None, float("nan"))
    ],
    *[("name", {"name": bad}) for bad in (5, "", "\ud800")],
]


@pytest.mark.parametrize(("field", "options"), OPTIONS)
def test_an_option_that_cannot_be_used_is_refused(
    field: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Scheduler(**options)
    assert refused.value.field == field
    assert refused.value.remedy


def test_options_at_their_bounds_are_taken() -> None:
    terms = {"shards": 4096, "steal_delay": 0, "lease": 10, "beat": 10}
    Scheduler(lease=timedelta(seconds=10), terms=terms, revision=2**31)
    Scheduler(terms={"beat": 60, "member_timeout": 180}, queues={"b", "a"})


@pytest.mark.parametrize("bad", [None, 5, 1.5, True, b"work", [], {}])
def test_a_job_is_given_a_name_or_something_to_run(bad: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Job(bad)
    assert refused.value.field == "executor"


@pytest.mark.parametrize("bad", [None, 5, "old", {"old": 1}, ["old", None]])
def test_aliases_are_a_list_of_names(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="aliases"):
        Scheduler().register(lambda: None, name="work", aliases=bad)


def test_the_decorator_refuses_another_executor() -> None:
    with pytest.raises(ConfigurationError, match="executor"):
        Scheduler().job(IntervalTrigger(hours=1), executor="other")


# Numbers


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_is_written_only_if_it_can_be_read(sign: int) -> None:
    longest = sign * (10**4_300 - 1)
    assert load_json(dump_json({"n": [longest]}, "kwargs")) == {"n": [longest]}
    digits = "9" * 9_000
    assert load_json(dump_json([digits, {digits: 1.5}], "args")) == [
        digits,
        {digits: 1.5},
    ]
    with pytest.raises(InvalidInputError) as refused:
        dump_json({"n": [1, longest * 10]}, "kwargs")
    assert refused.value.field == "kwargs.n[1]"
    assert "text" in refused.value.remedy


def test_many_digits_in_many_runs_are_searched_once() -> None:
    # Looked at from each digit anew, this would take minutes.
    text = "x".join(["1" * 4_000] * 250)
    assert load_json(dump_json(text, "args")) == text


def test_a_number_that_cannot_be_read_is_no_meta() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Job("work", meta={"n": 10**4_500})
    assert refused.value.field == "meta.n"


# Triggers at the ends of the calendar

TRIGGERS: list[Trigger] = [
    IntervalTrigger(hours=1),
    CalendarIntervalTrigger(days=1, at="09:00", tz="Asia/Tokyo"),
    every().day.at("09:00", "Pacific/Honolulu"),
    every(5).to(10).seconds,
    every(5).minutes,
    every(2).months,
    IntervalTrigger(hours=1) & IntervalTrigger(hours=2),
]
ENDS = [
    datetime.max.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=WEST),
    datetime.max.replace(tzinfo=EAST),
    datetime.min.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=WEST),
    datetime.min.replace(tzinfo=EAST),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_the_ends_of_the_calendar_overflow_nothing(
    trigger: Trigger, end: datetime
) -> None:
    with pytest.raises(TriggerError):
        trigger.anchored(end)
    times = trigger.upcoming(3, end)
    assert len(times) in {0, 3}
    assert bool(times) <= (end.year < 5000)
    assert trigger.next_fire_time(end) is None or end.year < 5000


@pytest.mark.parametrize(
    "build",
    [
        lambda: every().day.at("09:00").until(date.max),
        lambda: every(2).months.at("09:00").until(date.max),
        lambda: every().wednesday.at("09:00").until(date.max, tz="UTC"),
        lambda: IntervalTrigger(days=365 * 8000).anchored(ENDS[3].replace(year=2026)),
    ],
)
def test_what_lies_behind_the_calendar_is_refused(build: Callable[[], object]) -> None:
    with pytest.raises(TriggerError):
        build()


@pytest.mark.parametrize("bad", [None, "3", 1.5, True, -1])
def test_a_number_of_fire_times_is_whole(bad: Any) -> None:
    with pytest.raises(TriggerError) as refused:
        IntervalTrigger(hours=1).upcoming(bad, datetime(2030, 1, 1, tzinfo=UTC))
    assert refused.value.field == "n"


# URLs


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h:0", "port 0"),
        ("redis://h h", "blank"),
        ("redis://h%20h/1", "blank"),
        ("rediss://h?ssl_cert_reqs=maybe", "none, optional or required"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_without_looking(
    url: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        RedisJobStore(url)
