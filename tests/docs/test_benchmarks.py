"""The suite of benchmarks says what it measured, and can say that we lose."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, shown
from benchmarks.comparisons import ROWS
from benchmarks.comparisons.drain import drain
from benchmarks.harness import contenders, marked, places, processes, recorded, rounds
from benchmarks.harness.contenders import Variant
from benchmarks.harness.environments import InstallError
from benchmarks.reporting.columns import SHOWN
from benchmarks.reporting.figures import lines
from benchmarks.reporting.targets import verdicts

ROOT = Path(__file__).parents[2]
LEAST_ROUNDS = 5

# --- the page ----------------------------------------------------------------------


def test_the_page_is_made_of_the_figures_that_were_measured() -> None:
    text = places.PAGE.read_text(encoding="utf-8")
    assert report.BEGIN in text
    assert report.written(text, report.results()) == text


def test_every_row_can_be_shown_and_measured() -> None:
    assert set(SHOWN) == set(ROWS)
    for name, row in ROWS.items():
        assert name == row.NAME
        assert SHOWN[name].main.metric


@pytest.mark.parametrize("path", sorted(places.RESULTS.glob("*.json")), ids=str)
def test_figures_are_of_enough_rounds_and_say_how_busy_it_was(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    if path.stem not in ROWS:
        return
    assert found["rounds"] >= getattr(ROWS[path.stem], "ROUNDS", LEAST_ROUNDS)
    for sample in found["samples"]:
        assert sample["load"] >= 0
        assert 0 < sample["share"] <= 1.5
        assert ("metrics" in sample) != ("failed" in sample)


def sample(who: str, number: int, **metrics: float) -> dict[str, Any]:
    """Return what one contender did in one round."""
    return {
        "who": who,
        "case": "1 worker",
        "round": number,
        "load": 1.0,
        "share": 1.0,
        "metrics": metrics,
    }


def told(who: str, **more: Any) -> dict[str, Any]:
    """Return what is known of a contender."""
    usual = {
        "who": who,
        "note": "",
        "outcomes": "kept",
        "settings": {},
        "defaults": False,
        "ours": False,
        "floor": False,
        "asynchronous": True,
        "versions": {},
    }
    return {**usual, **more}


def drained(ours: float, theirs: float) -> dict[str, Any]:
    """Return figures of a drain in which we and somebody else were so fast."""
    rates = {"aiosched/best": ours, "quick/best": theirs}
    return {
        "row": "drain",
        "title": "Drain",
        "date": "2026-11-21",
        "revision": "abc",
        "machine": {"processor": "p", "system": "s", "python": "3", "server": "r"},
        "rounds": 3,
        "scale": 1.0,
        "asked": [],
        "seconds": 3,
        "absent": [],
        "contenders": {
            "aiosched/best": told("aiosched, best", ours=True),
            "quick/best": told("quick, best"),
        },
        "samples": [
            sample(key, number, jobs=100, jobs_per_second=rate * (number + 1))
            for number in range(3)
            for key, rate in rates.items()
        ],
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "reached", "ahead"),
    [
        (900.0, 100.0, True, False),
        (700.0, 100.0, False, False),
        (1.0, 2.0, False, True),
    ],
)
def test_a_row_is_lost_where_somebody_else_is_ahead(
    ours: float, theirs: float, *, reached: bool, ahead: bool
) -> None:
    rows = {"drain": drained(ours, theirs)}
    [first, *_] = verdicts(rows)
    assert "≥ 8" in first.target
    assert first.reached is reached
    text = report.page(rows)
    assert ("Where others are ahead" in text) is ahead
    assert ("**missed**" in text) is not reached
    assert f"| quick, best | 100 | {2 * theirs:,.0f} " in text


def test_what_failed_is_told_with_its_reason() -> None:
    found = drained(2.0, 1.0)
    for one in found["samples"]:
        if one["who"] == "quick/best":
            del one["metrics"]
            one["failed"] = "cannot be installed: no such thing"
    found["absent"] = [("slow", "it cannot do this")]
    text = report.page({"drain": found})
    assert "quick, best (1 worker) has no figures: cannot be installed" in text
    assert "slow is not in this table: it cannot do this." in text
    assert [one.failure != "" for one in lines(found)] == [False, True]


def test_a_run_that_is_not_whole_says_so() -> None:
    found = {**drained(2.0, 1.0), "scale": 0.25, "asked": ["quick"]}
    text = report.page({"drain": found})
    assert "Only 25% of the jobs." in text
    assert "Only quick were asked." in text
    assert "Only" not in report.page({"drain": drained(2.0, 1.0)})


# --- who takes part ------------------------------------------------------------------


def test_everyone_who_was_named_takes_part_or_says_why_not() -> None:
    named = {
        "aiosched",
        "apscheduler3",
        "apscheduler4",
        "arq",
        "celery",
        "docket",
        "huey",
        "rq",
        "saq",
        "streaq",
        "taskiq",
    }
    folders = {path.parent.name for path in places.BENCHMARKS.glob("peers/*/peer.toml")}
    assert folders == named
    for name in named:
        folder = places.BENCHMARKS / "peers" / name
        assert (folder / "requirements.txt").read_text().strip()
        compile((folder / "adapter.py").read_text(), str(folder), "exec")
        peer = tomllib.loads((folder / "peer.toml").read_text())
        rows = {row for one in ROWS for row in [one]} | set(contenders.STANDARD)
        assert set(peer.get("absent", {})) <= rows
        taking = {one.peer for one in contenders.contenders("drain")}
        assert name in taking or "drain" in peer["absent"]


def test_a_choice_of_peers_leaves_aiosched_and_the_floors() -> None:
    some = contenders.contenders("drain", ["arq", "taskiq/list"])
    assert {one.peer for one in some} == {"aiosched", "arq", "taskiq", "writes"}
    assert {one.key for one in some if one.peer == "taskiq"} == {"taskiq/list"}


# --- measuring -----------------------------------------------------------------------


def ours(name: str = "defaults") -> Variant:
    """Return a variant of aiosched."""
    [one] = [
        one for one in contenders.contenders("drain") if one.key == f"aiosched/{name}"
    ]
    return one


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let adapters run in the environment of the tests."""
    monkeypatch.setattr(processes, "python_of", lambda _: sys.executable)


@pytest.mark.usefixtures("here")
def test_a_drain_runs_every_job_once_and_counts_what_it_took() -> None:
    found = drain(ours(), 300)
    assert (found["done"], found["doubles"]) == (300, 0)
    assert 0 < found["commands"] < 50
    assert found["cpu_us"] == pytest.approx(found["worker_us"] + found["server_us"])
    assert found["worker_us"] > 0


@pytest.mark.usefixtures("here")
def test_what_is_recorded_is_what_was_written() -> None:
    path = recorded.recording(ours(), 100)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["jobs"] == 100
    for phase in ("queued", "drained", "single"):
        verbs = {command[0].upper() for one in found[phase] for command in one}
        assert verbs
        assert not verbs & {"MULTI", "EXEC", "WATCH", "GET", "MGET"}
    assert len(found["single"]) >= 1


@pytest.mark.usefixtures("here")
def test_a_worker_that_fails_is_a_reason_and_not_a_figure() -> None:
    broken = replace(ours(), settings={"scheduler": {"max_concurrency": 0}})
    case = rounds.Case(broken, "1 worker", lambda: drain(broken, 10))
    [found] = list(rounds.measure("drain", "Drain", [case], 1, rounds.Options()))
    [one] = found["samples"]
    assert "max_concurrency" in one["failed"]


def test_who_cannot_be_installed_is_asked_twice_and_then_left() -> None:
    asked = []

    def fail() -> dict[str, Any]:
        asked.append(1)
        raise InstallError("no such thing")

    case = rounds.Case(ours(), "1 worker", fail)
    *_, found = rounds.measure("drain", "Drain", [case], 5, rounds.Options())
    assert len(asked) == 2
    assert [one["failed"] for one in found["samples"]] == ["no such thing"] * 2


MARKING = """
import marks
for index in {indices}:
    marks.mark(index)
"""


def test_marks_of_several_processes_are_added_up(tmp_path: Path) -> None:
    for indices in ([0, 1, 1], [1, 3]):
        subprocess.run(
            [sys.executable, "-c", MARKING.format(indices=indices)],
            check=True,
            env={
                "BENCH_MARKS": str(tmp_path),
                "BENCH_JOBS": "5",
                "PYTHONPATH": str(places.SHARED),
            },
        )
    found = marked.read(tmp_path, 5)
    assert list(found.runs) == [1, 3, 0, 1, 0]
    assert (found.done, found.doubles) == (3, 2)
    assert sorted(found.shares) == [2, 3]
    assert len(found.started()) == 3
    assert len(found.heads) == 2


# --- limits --------------------------------------------------------------------------


def showing(figures: Iterator[float], floor: float) -> shown.Showing:
    """Return something to be shown whose figures are known."""
    limit = shown.Limit("it", "ms", 10.0, "floor_ms")
    return shown.Showing(
        lambda: {"ms": next(figures)}, lambda: {"floor_ms": floor}, (limit,)
    )


@pytest.mark.parametrize(
    ("figures", "floor", "word"),
    [
        ([1, 99, 9, 10, 99], 1.0, "within:"),
        ([1, 99, 11, 11, 10], 4.0, "within three floors:"),
        ([1, 99, 11, 11, 11], 3.6, "over:"),
    ],
)
def test_a_limit_holds_by_its_median_or_by_its_floor(
    figures: list[float],
    floor: float,
    word: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = shown.show(showing(iter(figures), floor), len(figures))
    said = capsys.readouterr().out.splitlines()
    assert kept is (word != "over:")
    assert said[-1].startswith(word)
    assert sum("round" in line for line in said) == len(figures)


def test_a_limit_that_is_missed_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    always = {"slow": showing(iter([11.0] * 20), 1.0)}
    monkeypatch.setattr(shown, "showings", lambda _: always)
    monkeypatch.setattr(shown.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        shown.main(["slow"])
    assert ended.value.code == 1
