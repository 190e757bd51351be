"""The examples of every command's help are run, as they stand, on a real store."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiosched import CronTrigger, Job, Scheduler
from aiosched.cli.app import main, parser

_PLACE = "redis://db.example.com"
_RUN = (
    "jobs",
    "show",
    "peers",
    "health",
    "schedule",
    "fire",
    "start",
    "stop",
    "pause",
    "resume",
    "remove",
    "results",
    "history",
    "why",
    "preview",
    "next",
    "export",
    "import",
    "doctor",
    "completion",
)
"""Those that look at a store, or need none, and end by themselves."""


def _commands() -> dict[str, argparse.ArgumentParser]:
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("there are no commands")


def examples(name: str) -> list[str]:
    """Return the examples of a command, as its help has them."""
    text = _commands()[name].epilog or ""
    return re.findall(r"^  aiosched (.*)$", text, re.MULTILINE)


@pytest.fixture
def shop(redis_url: str) -> Iterator[str]:
    """What the examples speak of: some jobs, and a peer that runs them."""
    begun, ended = threading.Event(), threading.Event()

    async def program() -> None:
        scheduler = Scheduler(redis_url, name="localhost")

        async def work(*args: int, **kwargs: object) -> None: ...

        for name in ("report", "mail", "sync", "invoice"):
            scheduler.register(work, name=name)
        daily = CronTrigger("0 9 * * *", tz="Europe/Paris")
        async with scheduler:
            jobs = [
                Job("report", id="nightly", trigger=daily, tags=["billing"]),
                Job("report", id="bills", trigger=daily, tags=["billing"]),
                Job("invoice", id="paid", keyword="order-paid"),
            ]
            await scheduler.schedule_many(jobs)
            begun.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(program(),))
    thread.start()
    assert begun.wait(30)
    yield redis_url
    ended.set()
    thread.join(30)


def test_every_command_has_examples() -> None:
    for name in _RUN:
        assert len(examples(name)) >= 2, f"{name}: one for each use"


@pytest.mark.parametrize("name", [n for n in _commands() if examples(n)])
def test_the_words_of_the_examples_are_known(name: str) -> None:
    for line in examples(name):
        words = [word for word in shlex.split(line) if word != ">"]
        if ">" in shlex.split(line):
            words.pop()
        parser().parse_args(words)


@pytest.mark.parametrize("name", _RUN)
def test_the_examples_do_what_they_say(
    name: str,
    shop: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for given in (("paid",), ()):
        assert main(("export", *given, "--store", shop, "-o", "jobs.json")) == 0
    for line in examples(name):
        words = shlex.split(line.replace(_PLACE, shop))
        words = [word.replace("$HOSTNAME", "localhost") for word in words]
        if ">" in words:
            words = words[: words.index(">")]
        if "/run/aiosched/health.json" in words:
            continue  # tests/cli/test_run_options.py has the file
        if name == "schedule":
            main(("remove", "--all", "--yes", "--store", shop))
        capsys.readouterr()
        if name in ("start", "stop", "pause", "resume", "remove"):
            main(("import", "jobs.json", "--store", shop))
            capsys.readouterr()
        code = main(words)
        told = capsys.readouterr()
        assert code == 0, (line, told.err)
        assert told.out or name in ("resume", "history", "results"), line
        if "--json" in words:
            json.loads(told.out)
