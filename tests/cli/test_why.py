"""``aiosched preview``, ``aiosched next`` and ``aiosched why``."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import Context, CronTrigger, Job, Scheduler
from aiosched.cli.app import main
from tests.cli.commands import aiosched

PARIS = "Europe/Paris"


# --- expressions need no store ---


def test_days_of_a_clock_change_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["preview", "30 2 * * *", "-n", "3", "--tz", PARIS]
    assert main([*words, "--after", "2030-03-29T12:00+00:00"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "at 02:30 every day, Europe/Paris",
        "Sat 2030-03-30 02:30:00+01:00  Europe/Paris  2030-03-30 01:30:00 UTC",
        "Sun 2030-03-31 03:00:00+02:00  Europe/Paris  2030-03-31 01:00:00 UTC  clock "
        "change +1:00:00, in place of a time that is left out",
        "Mon 2030-04-01 02:30:00+02:00  Europe/Paris  2030-04-01 00:30:00 UTC",
    ]
    words = ["next", "30 * * * *", "--n", "3", "--tz", PARIS]
    assert main([*words, "--after", "2030-10-27T00:00+00:00"]) == 0
    marks = [
        line.split("UTC  ")[1] for line in capsys.readouterr().out.splitlines()[1:]
    ]
    change = "clock change -1:00:00"
    assert marks == [f"{change}, first pass", f"{change}, second pass", change]


@pytest.mark.seed("S2-A04")
def test_next_prints_what_the_trigger_says(capsys: pytest.CaptureFixture[str]) -> None:
    zone = "Europe/Helsinki"
    words = ["0 9 last fri * *", "--n", "5", "--tz", zone, "--json"]
    begin = datetime(2030, 1, 1, tzinfo=UTC)
    assert main(["next", *words, "--after", begin.isoformat()]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["local"] for row in rows] == [
        "2030-01-25T09:00:00+02:00",
        "2030-02-22T09:00:00+02:00",
        "2030-03-29T09:00:00+02:00",
        "2030-04-26T09:00:00+03:00",
        "2030-05-31T09:00:00+03:00",
    ]
    trigger = CronTrigger("0 9 last fri * *", tz=zone)
    assert [datetime.fromisoformat(row["due"]) for row in rows] == trigger.upcoming(
        5, begin
    )
    assert main(["preview", *words, "--after", begin.isoformat()]) == 0
    assert json.loads(capsys.readouterr().out) == rows


def test_seconds_and_ids_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    six = ["next", "*/20 0 12 * * *", "--seconds", "first", "--n", "3", "--json"]
    assert main(six) == 0
    seconds = [row["due"][11:19] for row in json.loads(capsys.readouterr().out)]
    assert sorted(seconds) == ["12:00:00", "12:00:20", "12:00:40"]
    hashed = ["next", "H H * * *", "--n", "1", "--json"]
    assert main(hashed) == 2
    assert "depends on the id of its job" in capsys.readouterr().err
    assert main([*hashed, "--id", "nightly"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    trigger = CronTrigger("H H * * *").for_job("nightly")
    soon = trigger.next_fire_time(datetime.now(UTC) - timedelta(minutes=1))
    assert soon is not None
    assert row["due"][11:] == soon.isoformat()[11:]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["next", "0 0 30 2 *"], "no date ever matches"),
        (["next", "61 * * * *"], "61"),
        (["next", "* * * * *", "--tz", "Mars/Base"], "Mars/Base"),
        (["next", "* * * * *", "--n", "10001"], "out of range"),
        (
            ["why", "a", "2030-01-01", "--store", "redis://127.0.0.1:1"],
            "say whose wall time it is: --tz",
        ),
        (
            ["why", "a", "0001-01-01T00:00+14:00", "--store", "redis://127.0.0.1:1"],
            "'0001-01-01T00:00+14:00'",
        ),
        (["next", "* * * * * *"], "say --seconds first or --seconds last"),
        (["next", "H H * * *"], "say which: --id nightly"),
        (["why", "a", "soon", "--store", "redis://127.0.0.1:1"], "ISO 8601"),
        (
            [
                "why",
                "a",
                "2030-03-31 02:30",
                "--tz",
                PARIS,
                "--store",
                "redis://127.0.0.1:1",
            ],
            "the clock is put forward over it",
        ),
        (["why", "a", "2030-01-01T00:00Z", "--store", "nonsense://"], "nonsense"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("words", [["next"], ["preview", "a", "--n", "0"], ["why"]])
def test_what_is_missing_is_a_mistake_of_use(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2


def test_nothing_is_known_of_a_job_that_never_was(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--store", redis_url]
    assert main(["why", "ghost", "2030-01-01T00:00Z", *place]) == 1
    assert "is not known" in capsys.readouterr().out
    assert main(["preview", "ghost", *place]) == 3
    assert "ghost" in capsys.readouterr().err


# --- jobs of a store ---


def test_a_stored_job_is_previewed_and_explained(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> datetime:
        async def work(context: Context) -> None:
            raise LookupError("no such invoice")

        async with Scheduler(redis_url, name="worker") as scheduler:
            scheduler.register(work, name="work")
            trigger = CronTrigger("30 2 * * *", tz=PARIS).excluding("sat-sun")
            await scheduler.schedule(Job("work", id="nightly", trigger=trigger))
            firing = await scheduler.start_job("nightly", by="alice", note="to see")
            await scheduler.wait(firing, timeout=20)
            return firing.fire_time

    asked = asyncio.run(run())
    place = ["--store", redis_url]
    assert main(["preview", "nightly", "-n", "8", "--json", *place]) == 0
    rows = json.loads(capsys.readouterr().out)
    locals_ = [datetime.fromisoformat(row["local"]) for row in rows]
    assert len(locals_) == 8
    assert {one.isoweekday() for one in locals_} == {1, 2, 3, 4, 5}
    assert {row["tz"] for row in rows} == {PARIS}
    assert main(["preview", "nightly", "-n", "1", "--tz", "Asia/Tokyo", *place]) == 0
    title, line = capsys.readouterr().out.splitlines()
    assert title == "job 'nightly'"
    assert "+09:00  Asia/Tokyo" in line

    assert main(["why", "nightly", asked.isoformat(), *place]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Job 'nightly' ran as asked by hand at ")
    assert "by alice (to see) on time, on peer " in said
    assert said.endswith("(LookupError: no such invoice).\n")
    assert said.count("\n") == 1
    local = locals_[0].replace(tzinfo=None).isoformat(" ")
    assert main(["why", "nightly", local, "--tz", PARIS, *place]) == 0
    assert capsys.readouterr().out.startswith("Job 'nightly' will run its slot of ")


def test_it_is_a_command_of_its_own(redis_url: str) -> None:
    done = aiosched("why", "ghost", "2030-01-01T00:00Z", "--store", redis_url)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("Job 'ghost' is not known")
