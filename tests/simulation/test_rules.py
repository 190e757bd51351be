"""The rules and the planted bugs are what the explanation says they are."""

from __future__ import annotations

from pathlib import Path

from aiosched.testing.simulation import verdicts
from aiosched.testing.simulation.planted import PLANTED
from aiosched.testing.simulation.rules import RULES, WRITES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "simulation.md"


def rows(chapter: str) -> set[str]:
    text = PAGE.read_text(encoding="utf-8").split(f"## {chapter}\n")[1]
    lines = text.split("\n## ")[0].splitlines()
    return {line for line in lines if line.startswith("| `")}


def test_the_explanation_has_every_rule() -> None:
    assert verdicts.PROMPT in RULES
    assert rows("The rules") == {f"| `{r.name}` | {r.text} |" for r in RULES.values()}


def test_the_explanation_has_every_planted_bug() -> None:
    assert rows("Planted bugs") == {
        f"| `{b.name}` | {b.kind} | {b.text} |" for b in PLANTED.values()
    }


def test_rules_of_writes_have_a_check() -> None:
    assert WRITES
    assert all(rule.check is not None for rule in WRITES)
