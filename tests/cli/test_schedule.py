"""``aiosched schedule``: words for every field of a job, and how values are read."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiosched import (
    ConfigurationError,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Job,
    Retry,
    Scheduler,
)
from aiosched.cli.app import main, parser
from aiosched.cli.codes import CannotError
from aiosched.cli.schedule import job_of_words
from aiosched.cli.words import duration, json_value, loose_value

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def job(*words: str) -> Job:
    return job_of_words(parser().parse_args(("schedule", *words)))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            "--arg 7 --arg text --arg 'a b' --arg '\"7\"' --arg null",
            {"args": (7, "text", "a b", "7", None)},
        ),
        ("""--kwargs '{"to": [1]}'""", {"kwargs": {"to": [1]}}),
        ("--every '10 minutes'", {"trigger": IntervalTrigger(minutes=10)}),
        (
            "--every 1h --start 2030-01-31T12:00Z --end 2030-02-01T12:00+00:00",
            {"trigger": IntervalTrigger(hours=1, start=NOON, end=NOON + timedelta(1))},
        ),
        (
            "--cron '0 3 * * *' --tz Europe/Paris",
            {"trigger": CronTrigger("0 3 * * *", tz="Europe/Paris")},
        ),
        ("--cron @daily", {"trigger": CronTrigger("@daily")}),
        ("--at 2030-01-31T13:00+01:00", {"trigger": DateTrigger(NOON)}),
        ("--at '2030-01-31 13:00' --tz Europe/Paris", {"trigger": DateTrigger(NOON)}),
        ("--in 90s", {"when": timedelta(seconds=90)}),
        (
            """--trigger '{"kind": "interval", "minutes": 10}'""",
            {"trigger": IntervalTrigger(minutes=10)},
        ),
        ("--keyword k", {"keyword": "k"}),
        ("--queue q", {"queue": "q"}),
        ("--paused", {"paused": True}),
        ("--max-runs 3", {"max_runs": 3}),
        ("--misfire-grace 5m", {"misfire_grace": timedelta(minutes=5)}),
        ("--coalesce all", {"coalesce": "all"}),
        ("--coalesce all --coalesce-limit 3", {"coalesce_limit": 3, "coalesce": "all"}),
        ("--overlap allow", {"overlap": "allow"}),
        ("--max-running 4", {"max_running": 4}),
        ("--jitter 2s", {"jitter": timedelta(seconds=2)}),
        ("--timeout PT5M", {"timeout": timedelta(minutes=5)}),
        ("""--retry '{"attempts": 4, "delay": 2}'""", {"retry": Retry(4, delay=2)}),
        ("--retries 3", {"retry": Retry(4)}),
        ("--on-lost record", {"on_lost": "record"}),
        ("--max-lost 0", {"max_lost": 0}),
        ("--keep 0", {"keep": timedelta(0)}),
        ("--keep-last 2", {"keep_last": 2}),
        ("--keep-results 1d", {"keep_results": timedelta(days=1)}),
        ("--tag a --tag b", {"tags": ["a", "b"]}),
        ("--note 'to do'", {"note": "to do"}),
        ("""--meta '{"a": 1}'""", {"meta": {"a": 1}}),
    ],
)
def test_each_word_is_a_field(words: str, wanted: dict[str, Any]) -> None:
    import shlex

    args = wanted.pop("args", ())
    kwargs = wanted.pop("kwargs", {})
    assert job("work", "--id", "a", *shlex.split(words)) == Job(
        "work", args, kwargs, id="a", **wanted
    )


def test_every_field_has_a_word() -> None:
    known = set(vars(parser().parse_args(("schedule", "work"))))
    assert set(Job.model_fields) <= known | {"args", "kwargs"}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--tz", "Europe/Paris"), CannotError),
        (("--start", "2030-01-01T00:00Z", "--cron", "* * * * *"), CannotError),
        (("--retry", "{}", "--retries", "2"), CannotError),
        (("--at", "2030-01-31T13:00"), CannotError),
        (("--at", "soon"), CannotError),
        (("--at", "2030-03-31T02:30", "--tz", "Europe/Paris"), CannotError),
        (("--overlap", "never"), ConfigurationError),
        (("--max-lost", "-1"), ConfigurationError),
        (("--retry", '{"surprise": 1}'), ConfigurationError),
        (("--queue", "two words"), ConfigurationError),
    ],
)
def test_what_is_refused(words: tuple[str, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        job("work", *words)


@pytest.mark.parametrize(
    "words",
    [
        ("--every", "1h", "--cron", "* * * * *"),
        ("--every", "often"),
        ("--kwargs", "[1]"),
        ("--max-runs", "0"),
        ("--retries", "x"),
        ("--on-conflict", "merge"),
    ],
)
def test_what_is_a_mistake_of_use(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        job("work", *words)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("250ms", 0.25),
        ("10 minutes", 600),
        ("1 Hour", 3600),
        ("1h30m", 5400),
        ("1h 30 min", 5400),
        ("1 hour and 30 minutes", 5400),
        ("2 days, 1 hour", 176_400),
        ("1w", 604_800),
        ("PT5M", 300),
        ("P1D", 86_400),
    ],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "-5m", "m", "5 parsecs", "1h30", "h1", "P", "1e3", "inf", "9" * 40],
)
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)


def test_values_that_are_json_and_values_that_are_not() -> None:
    assert loose_value("[1") == "[1"
    assert loose_value("true") is True
    for text in ("", "{", "@/nowhere/at/all", "[" * 100_000):
        with pytest.raises(argparse.ArgumentTypeError):
            json_value(text)


def test_a_job_is_stored_as_it_is_said(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--store", redis_url, "--namespace", "shop")
    words = ("schedule", "report", "--id", "n", "--cron", "0 3 * * *", *place)
    assert main(words) == 2
    assert "or add --allow-unknown" in capsys.readouterr().err
    assert main((*words, "--allow-unknown", "--json", "--by", "ann")) == 0
    stored = json.loads(capsys.readouterr().out)
    assert (stored["id"], stored["state"], stored["version"]) == ("n", "active", 1)
    assert main((*words, "--allow-unknown")) == 0
    capsys.readouterr()
    assert main((*words, "--allow-unknown", "--tag", "t")) == 4
    assert "add --on-conflict replace, or keep" in capsys.readouterr().err
    assert main((*words, "--allow-unknown", "--tag", "t", "--on-conflict", "keep")) == 0
    changed = (*words, "--allow-unknown", "--tag", "t", "--on-conflict", "replace")
    assert main((*changed, "--json", "--by", "bob")) == 0

    async def look() -> tuple[Job, list[str]]:
        async with Scheduler(redis_url, namespace="shop", run_jobs=False) as client:
            rows = await client.history("n")
            return await client.get_job("n"), [row.by for row in rows]

    found, by = asyncio.run(look())
    assert (found.tags, found.version, by) == (("t",), 2, ["bob", "ann"])
