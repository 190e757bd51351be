"""The figures of the documentation are those that were measured."""

from __future__ import annotations

import importlib.util
import json
import types
from pathlib import Path

import pytest

from aiosched import CronTrigger

ROOT = Path(__file__).parents[2]


def benchmark() -> types.ModuleType:
    """Load the benchmark, which is no part of the package."""
    path = ROOT / "benchmarks" / "triggers.py"
    spec = importlib.util.spec_from_file_location("benchmarks_triggers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_figures_that_were_measured() -> None:
    module = benchmark()
    source = ROOT / "benchmarks" / "results" / "triggers.json"
    figures = json.loads(source.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    shown = page.partition(module.BEGIN)[2].partition(module.END)[0]
    assert shown.strip() == module.table(figures)
    for limit in module.LIMITS.values():
        assert f"{limit:.0f} µs" in page


def test_a_missed_limit_is_an_exit_code(tmp_path: Path) -> None:
    module = benchmark()
    source = ROOT / "benchmarks" / "results" / "triggers.json"
    figures = json.loads(source.read_text(encoding="utf-8"))
    lines, kept = module.verdicts(figures)
    assert kept
    assert sum(line.startswith("within: fresh") for line in lines) >= 6
    [floor] = [row for row in figures["rows"] if row["who"] == module.FLOOR]
    mine = [row for row in figures["rows"] if row["who"] == "aiosched"]
    for row in mine:
        if row["group"] not in module.LIMITS:
            continue
        before, row["median"] = row["median"], module.LIMITS[row["group"]] + 1
        lines, kept = module.verdicts(figures)
        assert not kept
        assert any(
            line.startswith(f"over: {row['group']}, {row['case']}") for line in lines
        )
        given = tmp_path / "missed.json"
        given.write_text(json.dumps(figures), encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            module.main(["--check", "--from", str(given)])
        assert ended.value.code == 1
        if row["group"] == "fresh":
            # A machine that is slow at everything.
            usual, floor["median"] = floor["median"], row["median"] / 2
            assert module.verdicts(figures)[1]
            floor["median"] = usual
        row["median"] = before
    module.main(["--check", "--from", str(source)])


@pytest.mark.parametrize("number", range(5))
def test_what_is_called_new_is_asked_once(number: int) -> None:
    module = benchmark()
    case, supply = module.FRESH[number]
    texts = list(supply())
    assert len(set(texts)) == len(texts) >= 600, case
    for text in texts[::97]:
        CronTrigger(text)


def test_the_benchmark_asks_everyone_in_each_round() -> None:
    module = benchmark()
    figures = module.measure(rounds=1)
    asked = [(row["group"], row["case"], row["who"]) for row in figures["rows"]]
    assert len(set(asked)) == len(asked)
    assert {group for group, _, _ in asked} == set(module.TITLES)
    for group, case in {(group, case) for group, case, _ in asked}:
        if group == "shared":
            others = {who for one, at, who in asked if (one, at) == (group, case)}
            assert any(who.startswith("croniter") for who in others)
            assert any(who.startswith("cronsim") for who in others)
    assert all(row["low"] > 0 for row in figures["rows"])
