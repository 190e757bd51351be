"""Triggers as data, built in and of one's own: S2-22, S2-23, S2-A03."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest

from aiosched import DateTrigger, IntervalTrigger, Job, Scheduler, Trigger
from tests.cli.commands import ROOT
from tests.seeds.clocked import SLOW, instant, ran_at

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Fibonacci(Trigger, frozen=True):
    """Fires 1, 2, 3, 5, 8 … seconds after its start."""

    kind: Literal["fibonacci"] = "fibonacci"
    start: datetime

    def next_fire_time(self, after: datetime) -> datetime:
        small, large = 1, 2
        while self.start + timedelta(seconds=small) <= after:
            small, large = large, small + large
        return self.start + timedelta(seconds=small)


MODULE = f"""
from datetime import UTC, datetime, timedelta
from typing import Literal
from aiosched import Trigger

{inspect.getsource(Fibonacci)}
"""


@pytest.mark.seed("S2-22")
@pytest.mark.virtual(start=NOW, timeout=10**6)
async def test_a_date_runs_once() -> None:
    async with Scheduler(name="p0", **SLOW) as scheduler:
        began: list[datetime] = []
        scheduler.register(lambda: began.append(instant()), name="note")
        due = NOW + timedelta(seconds=5)
        await scheduler.schedule(Job("note", id="once", trigger=DateTrigger(due)))
        assert await scheduler.job_exists("once")
        await scheduler.drain(timeout=100)
        await scheduler.wait("once", timeout=100)
        assert began == [due]
        assert not await scheduler.job_exists("once")


@pytest.mark.seed("S2-23")
@pytest.mark.virtual(start=NOW, timeout=10**6)
async def test_an_interval_keeps_its_grid() -> None:
    began = await ran_at(IntervalTrigger(hours=3), timedelta(hours=24))
    assert began == [NOW + timedelta(hours=3 * n) for n in range(1, 9)]
    start, end = NOW + timedelta(days=2), NOW + timedelta(days=2, hours=7)
    bounded = IntervalTrigger(hours=3, start=start, end=end)
    began = await ran_at(bounded, timedelta(days=3))
    assert began == [start + timedelta(hours=3 * n) for n in range(3)]


@pytest.mark.seed("S2-A03")
@pytest.mark.virtual(start=NOW, timeout=10**6)
async def test_a_trigger_of_ones_own_fires_at_its_times() -> None:
    began = await ran_at(Fibonacci(start=NOW), timedelta(seconds=60))
    seconds = [round((one - NOW).total_seconds()) for one in began]
    assert seconds == [1, 2, 3, 5, 8, 13, 21, 34, 55]
    assert all(one < two for one, two in pairwise(seconds))


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Install a distribution with one plugin that works and one that does not."""
    (tmp_path / "fib_plugin.py").write_text(MODULE)
    (tmp_path / "bad_plugin.py").write_text("import a_module_that_is_nowhere\n")
    about = tmp_path / "fib_plugin-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fib-plugin\nVersion: 1.2\n"
    )
    (about / "entry_points.txt").write_text(
        "[aiosched.triggers]\n"
        "fib = fib_plugin:Fibonacci\n"
        "bad = bad_plugin:Bad\n"
        "odd = fib_plugin:UTC\n"
        "[aiosched.stores]\n"
        "memory2 = aiosched:MemoryJobStore\n"
    )
    return {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def python(words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.seed("S2-A03")
def test_triggers_and_plugins_are_listed(installed: dict[str, str]) -> None:
    plain = python(["-m", "aiosched", "plugins", "--json"], {**os.environ})
    assert plain.returncode == 0, plain.stderr
    listed = {one["kind"]: one for one in json.loads(plain.stdout)["triggers"]}
    built_in = {"date", "interval", "cron", "calendar", "and", "or", "rrule"}
    phrases = {"months", "weekdays", "random", "aligned", "until"}
    assert built_in | phrases <= set(listed)
    assert all(one["builtin"] and one["about"] for one in listed.values())

    more = python(["-m", "aiosched", "plugins", "--json"], installed)
    assert more.returncode == 1, "a plugin is broken"
    data = json.loads(more.stdout)
    listed = {one["kind"]: one for one in data["triggers"]}
    assert listed["fibonacci"] == {
        "kind": "fibonacci",
        "class": "fib_plugin.Fibonacci",
        "about": "Fires 1, 2, 3, 5, 8 … seconds after its start.",
        "builtin": False,
    }
    plugins = {one["name"]: one for one in data["plugins"]}
    assert plugins["fib"]["distribution"] == "fib-plugin 1.2"
    assert plugins["fib"]["problem"] is None
    assert "a_module_that_is_nowhere" in plugins["bad"]["problem"]
    assert "neither" in plugins["odd"]["problem"]
    assert plugins["memory2"]["group"] == "aiosched.stores"

    said = python(["-m", "aiosched", "plugins"], installed)
    assert said.returncode == 1
    assert "fib_plugin.Fibonacci: Fires 1, 2" in said.stdout
    assert "broken: ModuleNotFoundError" in said.stdout


@pytest.mark.seed("S2-A03")
def test_stored_data_finds_its_plugin(installed: dict[str, str]) -> None:
    code = """
        import sys
        from aiosched.errors import TriggerError
        from aiosched.triggers import trigger_from_data, trigger_kinds
        assert "fibonacci" not in trigger_kinds() and "fib_plugin" not in sys.modules
        trigger_from_data({"kind": "date", "at": "2030-01-01T00:00:00Z"})
        assert "fib_plugin" not in sys.modules, "nothing is loaded unasked"
        start = "2030-01-01T00:00:00Z"
        trigger = trigger_from_data({"kind": "fibonacci", "start": start})
        print(trigger.next_fire_time(trigger.start).second)
        try:
            trigger_from_data({"kind": "unheard"})
        except TriggerError as error:
            print(error)
    """
    done = python(["-c", textwrap.dedent(code)], installed)
    assert done.returncode == 0, done.stderr
    second, error = done.stdout.splitlines()
    assert second == "1"
    assert "fibonacci" in error
    assert "the plugin bad is broken: ModuleNotFoundError" in error
