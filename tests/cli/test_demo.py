"""``aiosched demo`` as people run it: a process, its words, its exit code."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest

from tests.cli.commands import ROOT, Running, aiosched
from tests.servers import command

JOBS = (
    "hello",
    "reminder",
    "flaky",
    "tick",
    "clock",
    "fetch",
    "refresh",
    "receipt",
    "books",
)
LEDGER = re.compile(
    r"^(?P<job>\S+) +(?P<slots>\d+) slots = (?P<fired>\d+) fired \+ (?P<skipped>\d+) "
    r"skipped \+ (?P<missed>\d+) missed \+ (?P<excluded>\d+) excluded \+ "
    r"(?P<paused>\d+) paused; \d+ fired \+ (?P<asked>\d+) asked = (?P<outcomes>\d+) "
    r"outcomes \+ (?P<open>\d+) open; (?P<starts>\d+) starts.*; adds up$",
    re.MULTILINE,
)


def test_the_embedded_demo_adds_up() -> None:
    done = aiosched("demo", "--seconds", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    rows = {m["job"]: m.groupdict() for m in LEDGER.finditer(done.stdout)}
    assert tuple(rows) == JOBS
    for row in rows.values():
        number = {key: int(value) for key, value in row.items() if key != "job"}
        passed = ("skipped", "missed", "excluded", "paused")
        assert number["slots"] == number["fired"] + sum(number[p] for p in passed)
        assert number["fired"] + number["asked"] == number["outcomes"] + number["open"]
        assert number["open"] == 0
    assert rows["tick"]["fired"] == "10"
    assert rows["flaky"]["starts"] == "2"
    assert rows["receipt"]["asked"] == rows["books"]["asked"] == "5"
    assert int(rows["refresh"]["skipped"]) > 0
    assert "lateness  p50" in done.stdout
    assert done.stdout.rstrip().endswith("none is missing, none doubled.")


@pytest.mark.crash
def test_the_demo_on_a_server_of_its_own_survives_a_kill() -> None:
    done = aiosched("demo", "--redis", "--seconds", "8", "--json", timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"]
    assert report["problems"] == []
    states = [peer["state"] for peer in report["peers"]]
    assert sorted(states) == ["ended", "ended", "ended", "killed"]
    assert sum(peer["starts"] for peer in report["peers"]) == sum(
        job["starts"] for job in report["jobs"]
    )
    assert sum(job["lost_attempts"] for job in report["jobs"]) > 0
    assert all(job["slots"] == job["trigger_slots"] for job in report["jobs"])
    assert report["lateness_ms"]["count"] > 0


@pytest.mark.crash
def test_the_demo_leaves_nothing_on_somebodys_server(redis_url: str) -> None:
    done = aiosched(
        "demo", "--redis", redis_url, "--seconds", "6", "--plain", timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"peer-\d killed by SIGKILL in the middle of .*long", done.stdout)
    assert re.search(r"peers     starts on .*peer-4", done.stdout)
    host, port = re.search(r"//([^:/]+):(\d+)", redis_url).groups()  # type: ignore[union-attr]
    keys = command((host, int(port)), "KEYS", "*aiosched-demo*")
    assert keys == []


def test_without_a_server_it_says_what_to_do() -> None:
    done = aiosched("demo", "--redis", "redis://127.0.0.1:1")
    assert done.returncode == 2
    assert "redis://127.0.0.1:1 cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_time_out_of_range_is_refused() -> None:
    done = aiosched("demo", "--seconds", "3600")
    assert done.returncode == 2
    assert "is not between 6 and 20" in done.stderr


def test_a_reader_that_has_seen_enough_changes_nothing() -> None:
    with Running("demo", "--plain", "--seconds", "6", folder=ROOT) as running:
        running.until("  0.")
        assert running.process.stdout is not None
        running.process.stdout.close()
        assert running.process.wait(timeout=60) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_says_so(number: signal.Signals) -> None:
    with Running("demo", "--plain", folder=ROOT) as running:
        running.until("  0.")
        running.signal(number)
        code, said = running.end()
    assert (code, said) == (130, "")
