"""``H``: numbers drawn from the id of a job."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.errors import TriggerError
from aiosched.instants import micros
from aiosched.triggers import (
    AndTrigger,
    CronTrigger,
    IntervalTrigger,
    OrTrigger,
    Trigger,
    trigger_from_data,
)
from tests.unit.triggers.work import calls

NOW = datetime(2030, 1, 1, tzinfo=UTC)
IDS = [f"job-{number}" for number in range(6000)]


def settled(expression: str, job_id: str, **more: str) -> str:
    """Return the expression that a job gets."""
    return CronTrigger(expression, **more).for_job(job_id).expression  # type: ignore[arg-type]


# --- which number ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "field", "low", "high"),
    [
        ("H * * * *", 0, 0, 59),
        ("* H * * *", 1, 0, 23),
        ("0 0 H * *", 2, 1, 28),
        ("0 0 1 H *", 3, 1, 12),
        ("0 0 * * H", 4, 0, 6),
        ("H(10-19) * * * *", 0, 10, 19),
        ("0 H(9-17) * * *", 1, 9, 17),
        ("0 0 H(5-5) * *", 2, 5, 5),
        ("0 0 1 H(jul-dec) *", 3, 7, 12),
        ("0 0 * * H(mon-fri)", 4, 1, 5),
        ("0 0 * * H(fri-sun)", 4, 5, 7),
        ("0 0 * * H(0-7)", 4, 0, 6),
    ],
)
def test_every_number_of_its_range_is_drawn_about_as_often(
    expression: str, field: int, low: int, high: int
) -> None:
    drawn = Counter(int(settled(expression, one).split()[field]) for one in IDS)
    assert set(drawn) == set(range(low, high + 1))
    expected = len(IDS) / (high - low + 1)
    # Pearson's sum is about as large as the number of choices; five deviations more
    # than that would be a wonder, and the ids are always the same.
    uneven = sum((n - expected) ** 2 / expected for n in drawn.values())
    freedom = high - low
    assert uneven <= freedom + 5 * (2 * freedom) ** 0.5


def test_fields_are_drawn_apart() -> None:
    drawn = Counter(settled("H H * * *", one) for one in IDS)
    minutes = {text.split()[0] for text in drawn}
    hours = {text.split()[1] for text in drawn}
    assert (len(minutes), len(hours)) == (60, 24)
    # 6,000 draws of 1,440 leave about 1,440 / e^4.2 = 22 of them out.
    assert len(drawn) > 1380
    six = Counter(
        tuple(settled("H H * * * *", one, seconds="first").split()[:2]) for one in IDS
    )
    assert len(six) > 2500


@pytest.mark.parametrize(
    ("expression", "forms"),
    [
        ("H/15 * * * *", {f"{n}-59/15 * * * *" for n in range(15)}),
        ("H(0-29)/10 * * * *", {f"{n}-29/10 * * * *" for n in range(10)}),
        ("0 H/12 * * *", {f"0 {n}-23/12 * * *" for n in range(12)}),
        ("0 0 H/9 * *", {f"0 0 {n}-28/9 * *" for n in range(1, 10)}),
        ("0 0 1 H/6 *", {f"0 0 1 {n}-12/6 *" for n in range(1, 7)}),
        ("0 0 * * H/3", {f"0 0 * * {n}-6/3" for n in range(3)}),
        # Where the step leads out at once, the number stands alone.
        (
            "0 0 * * H/5",
            {f"0 0 * * {n}" for n in (2, 3, 4)} | {f"0 0 * * {n}-6/5" for n in (0, 1)},
        ),
        ("H(3-4)/1 * * * *", {"3-4/1 * * * *"}),
    ],
)
def test_a_step_begins_at_a_drawn_number(expression: str, forms: set[str]) -> None:
    assert {settled(expression, one) for one in IDS[:600]} == forms


def test_a_list_may_mix_them() -> None:
    for one in IDS[:100]:
        text = settled("5,H(10-19),H(40-49) H,23 last fri,H * *", one)
        minutes, hours, *days = text.split()
        fixed, first, second = (int(part) for part in minutes.split(","))
        assert fixed == 5
        assert first - 10 == second - 40
        assert hours.endswith(",23")
        assert days[0] == "last"
        assert 1 <= int(days[1].split(",")[1]) <= 28


@given(st.text(max_size=200))
def test_any_id_settles_and_for_good(job_id: str) -> None:
    trigger = CronTrigger("H H(1-5) H * H/2", tz="Europe/Paris", end=NOW)
    one = trigger.for_job(job_id)
    assert one == trigger.for_job(job_id)
    assert not one.needs_pin()
    assert one.for_job("another") is one
    assert (one.tz, one.end) == (trigger.tz, trigger.end)
    assert one.last(micros(NOW)) is not None


def test_it_is_the_same_in_a_process_that_hashes_otherwise() -> None:
    program = (
        "from aiosched.triggers import CronTrigger\n"
        "t = CronTrigger('H H H H H H', seconds='last', day_or=True)\n"
        "print([t.for_job(f'job-{n}').expression for n in range(50)])\n"
    )
    root = Path(__file__).parents[3]
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = [settled("H H H H H H", one, seconds="last") for one in IDS[:50]]
    assert said == {f"{here}\n"}


def test_the_numbers_are_for_ever() -> None:
    """A later version that draws otherwise would move every such job."""
    assert settled("H H H H H", "invoices") == "40 6 22 11 5"
    assert settled("H/15 H(0-7) * * *", "Rechnungen für März") == "4-59/15 6 * * *"


# --- before it is settled ---------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda trigger: trigger.next(0),
        lambda trigger: trigger.last(2**55),
        lambda trigger: trigger.count(0, 2**55),
        lambda trigger: trigger.next_fire_time(NOW),
        lambda trigger: trigger.upcoming(3, NOW),
    ],
)
@pytest.mark.parametrize(
    "trigger",
    [
        CronTrigger("0 H * * *"),
        OrTrigger([CronTrigger("0 5 * * *"), CronTrigger("H * * * *")]),
        AndTrigger([CronTrigger("0 H * * *"), CronTrigger("* * * * *")]),
    ],
    ids=lambda trigger: trigger.kind,
)
def test_it_has_no_fire_times_before(ask: object, trigger: Trigger) -> None:
    with pytest.raises(TriggerError) as caught:
        ask(trigger)  # type: ignore[operator]
    assert "H is drawn from the id of a job" in caught.value.problem
    assert "scheduler.preview(job)" in caught.value.remedy
    assert "for_job(id)" in caught.value.remedy


def test_it_needs_a_pin_and_keeps_its_data() -> None:
    trigger = CronTrigger("H 3 * * *", tz="Asia/Tokyo", start=NOW)
    assert trigger.needs_pin()
    assert trigger.anchored(NOW) is trigger
    assert trigger_from_data(trigger.to_data()) == trigger
    assert trigger.expression == "H 3 * * *"
    plain = CronTrigger("5 3 * * *")
    assert not plain.needs_pin()
    assert plain.for_job("a") is plain


def test_combinations_settle_their_parts() -> None:
    hashed, plain = CronTrigger("H H * * *"), CronTrigger("0 0 * * *")
    one = hashed.for_job("a")
    assert (hashed | plain).for_job("a") == (one | plain)
    both = CronTrigger("H H * * *") & CronTrigger("* * * * *")
    assert both.for_job("a").upcoming(2, NOW) == one.upcoming(2, NOW)
    unhashed = plain | IntervalTrigger(hours=1, start=NOW)
    assert unhashed.for_job("a") is unhashed


@pytest.mark.parametrize(
    ("expression", "follows_elapsed_time"),
    [
        ("H * * * *", True),
        ("H/15 * * * *", True),
        ("*/10 H(2-2) * * *", True),
        ("H H(2-2) * * *", False),
        ("H/15 2 * * *", False),
    ],
)
def test_the_rule_for_clock_changes_is_that_of_what_it_becomes(
    expression: str, *, follows_elapsed_time: bool
) -> None:
    trigger = CronTrigger(expression, tz="Europe/Paris").for_job("a")
    fold = datetime(2030, 10, 27, tzinfo=UTC)
    times = trigger.upcoming(30, fold - timedelta(seconds=1))
    seconds = [
        one
        for one in times
        if fold + timedelta(hours=1) <= one < fold + timedelta(hours=2)
    ]
    assert bool(seconds) is follows_elapsed_time


# --- refusals ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "problem", "remedy"),
    [
        ("H(50-10) * * * *", "minute: the range 'h(50-10)' runs backwards", "H(10-50)"),
        ("H(0-99) * * * *", "minute: 99 in 'h(0-99)' is out of range", "0 to 59"),
        ("* H(0-24) * * *", "hour: 24", "0 to 23"),
        ("* * H(0-5) * *", "day of month: 0", "1 to 31"),
        ("* * H(1-31) * *", "day of month: 'h(1-31)' may draw a day", "1 to 28"),
        ("* * * H(0-3) *", "month: 0", "1 to 12"),
        ("* * * H(jan-foo) *", "month: 'foo' is not a name", "jan-dec"),
        ("* * * * H(0-8)", "day of week: 8", "0 to 7"),
        ("* * * * H(fri-mon)", "day of week: the range", "H(1-5)"),
        ("H/0 * * * *", "minute: the step in 'h/0' never moves", "1 to 59"),
        ("H/60 * * * *", "minute: the step in 'h/60' leaves", "1 to 59"),
        ("H(0-9)/10 * * * *", "minute: the step in 'h(0-9)/10' leaves", "1 to 9"),
        ("H(5-5)/2 * * * *", "minute: the step", "1 to 1"),
        ("* * H/28 * *", "day of month: the step", "1 to 27"),
        ("* * * * H/7", "day of week: the step", "1 to 6"),
        ("H5 * * * *", "minute: cannot read 'h5'", "H(a-b)/n"),
        ("H- * * * *", "minute: cannot read 'h-'", "H(a-b)/n"),
        ("H() * * * *", "minute: cannot read 'h()'", "H(a-b)/n"),
        ("H(5) * * * *", "minute: cannot read 'h(5)'", "H(a-b)/n"),
        ("H(0-5 * * * *", "minute: cannot read 'h(0-5'", "H(a-b)/n"),
        ("H(*-5) * * * *", "minute: cannot read 'h(*-5)'", "H(a-b)/n"),
        ("* * HW * *", "day of month: cannot read 'hw'", "H(a-b)/n"),
        ("* * * * H#2", "day of week: cannot read 'h#2'", "H(a-b)/n"),
        ("R * * * *", "minute: 'r' is random", "write H"),
        ("H 0 30 2 *", "no date ever matches", "day that the month has"),
        ("0 0 31 H(apr-jun) *", "months that H draws from (4, 6)", "every month"),
        ("0 0 30 H *", "months that H draws from (2)", "every month"),
        ("0 0 31 2,H(4-4) *", "months that H draws from (4)", "every month"),
        ("0 0 31 H/10 *", "months that H draws from", "every month"),
    ],
)
def test_what_could_go_wrong_for_some_job_is_refused_for_all(
    expression: str, problem: str, remedy: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        CronTrigger(expression)
    assert caught.value.field == "expression"
    assert caught.value.value == expression
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "expression",
    ["0 0 H * mon", "0 0 1-7 * H", "0 0 L * H(mon-tue)", "0 0 H * H", "0 0 1,H * 2"],
)
def test_a_drawn_day_is_not_joined_by_and(expression: str) -> None:
    with pytest.raises(TriggerError, match="never meet the other day field"):
        CronTrigger(expression, day_or=False)
    for one in IDS[:50]:
        assert CronTrigger(expression).for_job(one).next(0) is not None


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 29 H(2-2) *",
        "0 0 31 1,H *",
        "0 0 31 H(jul-aug) *",
        "0 0 31 H/2 *",
        "0 0 L-28 H *",
        "0 0 30 H mon",
        "0 0 H,31 H *",
        "0 0 5th mon,1st tue H *",
        "0 0 * H sun#5",
    ],
)
def test_what_every_job_can_keep_is_taken(expression: str) -> None:
    trigger = CronTrigger(expression)
    for one in IDS[:200]:
        assert trigger.for_job(one).next(0) is not None


def test_the_check_of_all_draws_is_little_work() -> None:
    def refused() -> None:
        with pytest.raises(TriggerError, match="every month"):
            CronTrigger("H H(0-22) 31 H/10,H(4-4),H(6-6) *")

    assert calls(refused) < 20_000
    assert calls(lambda: CronTrigger("H(1-9) H(1-9) L-27 H 5L")) < 20_000
