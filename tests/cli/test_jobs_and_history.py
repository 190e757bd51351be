"""``aiosched jobs`` and ``aiosched history`` over a real store."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, LedgerEntry, Scheduler
from aiosched.cli import tables
from aiosched.cli.app import main
from aiosched.cli.results import _line, entry_data, run_data
from aiosched.enums import Cause, Outcome, Reason, RowKind
from aiosched.instants import moment
from aiosched.jobs import Run

LATER = IntervalTrigger(hours=1)


@pytest.fixture
def shop(redis_url: str) -> tuple[str, ...]:
    """A namespace with two jobs and 1,205 rows about one of them."""

    async def fill() -> None:
        async with Scheduler(redis_url, namespace="shop", name="till") as scheduler:

            @scheduler.executor
            async def total(value: int) -> int:
                return value

            await scheduler.schedule(
                Job("total", [7], id="sum", trigger=LATER, tags=["[bold]"])
            )
            await scheduler.schedule(Job("total", [8], id="other", keyword="k"))
            fired = await scheduler.start_job("sum", by="ann", note="once more")
            await scheduler.wait(fired, timeout=5)
            await scheduler.modify("sum", tags=["[bold]", "t"], by="bob")
            for number in range(600):
                await scheduler.pause("sum", note=f"n{number}")
                await scheduler.resume("sum")
            await scheduler.pause("sum", note="month end", by="carl")

    asyncio.run(fill())
    return ("--store", redis_url, "--namespace", "shop")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_history_to_the_end(
    shop: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "history", "sum", *shop, "--all").splitlines()
    assert len(lines) == 1205
    assert lines[0].endswith('held  by carl  "month end"')
    assert lines[-1].endswith("created  by till")
    assert lines[-2].endswith('asked  by ann  "once more"')
    assert lines[-4].endswith("modified  tags  by bob")
    run = lines[-3]
    assert " succeeded  due " in run
    assert run.endswith("  7")
    rows = json.loads(said(capsys, "history", "sum", *shop, "--all", "--json"))
    assert len(rows) == 1205
    assert [_line(row) for row in rows] == lines
    assert len(said(capsys, "history", "sum", *shop).splitlines()) == 20
    assert (
        len(said(capsys, "history", "sum", *shop, "--limit", "777").splitlines()) == 777
    )
    held = said(capsys, "history", "sum", *shop, "--all", "--kind", "held", "--json")
    assert {row["kind"] for row in json.loads(held)} == {"held"}
    assert len(json.loads(held)) == 601
    some = said(
        capsys, "history", "sum", *shop, "--kind", "created", "--kind", "asked"
    ).splitlines()
    assert [line.split("  ")[1] for line in some] == ["asked", "created"]
    [result] = json.loads(said(capsys, "results", "sum", *shop, "--all", "--json"))
    assert (result["value"], result["late"], result["faded"]) == (7, False, False)
    assert 0 <= result["lateness"] < result["duration"] + 5


def test_history_of_a_span(
    shop: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads(said(capsys, "history", "sum", *shop, "--all", "--json"))
    first, last = rows[900]["at"], rows[300]["at"]
    words = ("--since", first, "--until", last, "--all", "--json")
    found = json.loads(said(capsys, "history", "sum", *shop, *words))
    assert found == [row for row in rows if first <= row["at"] <= last]
    later = datetime.fromisoformat(rows[0]["at"]) + timedelta(days=1)
    none = ("--since", later.isoformat())
    assert said(capsys, "history", "sum", *shop, *none) == ""
    assert said(capsys, "history", "sum", *shop, *none, "--json") == "[]\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"),
        ("--since", "2030-01-01"),
        ("--until", "2030-01-01T09:00"),
        ("--limit", "0"),
        ("--limit", "5", "--all"),
    ],
)
def test_words_that_are_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(("history", "a", "--store", "redis://nowhere", *words))
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_a_kind_that_there_is_not(
    shop: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("history", "sum", *shop, "--kind", "vanished")) == 2
    assert "kind='vanished'" in capsys.readouterr().err
    assert main(("history", "nobody", *shop)) == 3
    assert "no job 'nobody'" in capsys.readouterr().err


def test_a_table_for_a_terminal(
    shop: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With rich, where there is a terminal; what looks like markup is text."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "250")
    table = said(capsys, "jobs", *shop)
    for word in ("ID", "sum", "other", "paused", "[bold],t", "keyword k", "total"):
        assert word in table
    assert "─" in table
    monkeypatch.setattr(tables.importlib.util, "find_spec", lambda _: None)
    plain = said(capsys, "jobs", *shop)
    assert "─" not in plain
    assert plain.splitlines()[2].split()[:2] == ["sum", "paused"]


# --- lines ---------------------------------------------------------------------


def run(**changes: Any) -> Run:
    given: dict[str, Any] = {
        "job_id": "a",
        "key": "k",
        "cause": Cause.SLOT,
        "fire_time": moment(10_000_000),
        "due": moment(11_000_000),
        "attempt": 2,
        "outcome": Outcome.SUCCEEDED,
        "reason": Reason.NONE,
        "final": True,
        "peer": "p",
        "fence": 9,
        "started_at": moment(13_500_000),
        "ended_at": moment(14_000_000),
        "value": b'"x"',
    }
    return Run(**{**given, **changes})


def test_lines_of_runs() -> None:
    begin = "1970-01-01T00:00:14+00:00  "
    due = "due 1970-01-01T00:00:11+00:00"
    assert _line(run_data(run())) == (
        f'{begin}succeeded  {due}  2.500 s late  attempt 2 on p  "x"'
    )
    faded = run(value=b"", faded=True, started_at=moment(11_000_000))
    assert _line(run_data(faded)) == (
        f"{begin}succeeded  {due}  attempt 2 on p  no longer kept"
    )
    never = run(outcome=Outcome.EXPIRED, attempt=0, started_at=None, value=b"")
    assert _line(run_data(never)) == f"{begin}expired  {due}"


def test_lines_of_slots() -> None:
    entry = LedgerEntry(
        "a",
        RowKind.SKIPPED,
        moment(9_000_000),
        moment(1_000_000),
        moment(8_000_000),
        8,
        Reason.OVERLAP,
        "p",
    )
    assert _line(entry_data(entry)) == (
        "1970-01-01T00:00:09+00:00  skipped  8 slots 1970-01-01T00:00:01+00:00 … "
        "1970-01-01T00:00:08+00:00  (overlap)"
    )


def test_what_others_wrote_does_not_reach_the_terminal_as_it_is(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fill() -> datetime:
        async with Scheduler(redis_url, namespace="odd", name="p") as scheduler:

            @scheduler.executor
            async def fail() -> None:
                raise ValueError("two\nlines \x1b[31mred")

            @scheduler.executor
            async def slow() -> None:
                await asyncio.Event().wait()

            await scheduler.schedule(Job("fail", id="a", keep=60))
            await scheduler.wait("a", timeout=5)
            note = "note\x1b[0m\nof two"
            await scheduler.schedule(
                Job("slow", id="late", trigger=LATER, timeout=0.05)
            )
            fired = await scheduler.start_job("late", by="olga", note=note)
            await scheduler.wait(fired, timeout=5)
            return fired.fire_time

    asked = asyncio.run(fill())
    place = ("--store", redis_url, "--namespace", "odd")
    failed = said(capsys, "results", "a", *place)
    assert failed.endswith(r"  ValueError: two\nlines \x1b[31mred" + "\n")
    # A run that was cut short has no result to show.
    [timed_out] = said(capsys, "results", "late", *place).splitlines()
    assert " timed_out" in timed_out
    assert "null" not in timed_out
    texts = [
        said(capsys, "history", "late", *place),
        said(capsys, "why", "late", asked.isoformat(), *place),
        failed,
    ]
    assert r"note\u001b[0m\nof two" in texts[0]
    assert not any("\x1b" in text for text in texts)
