"""The commands: one seed again, and many seeds."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from aiosched.testing.__main__ import main
from aiosched.testing.simulation.cases import Case, run_case


def test_the_printed_command_runs_the_same_again() -> None:
    report = run_case(Case(11, "memory", commits=120))
    words = shlex.split(report.case.replay)
    assert words[:3] == ["python", "-m", "aiosched.testing"]
    ran = subprocess.run(
        [sys.executable, *words[1:]], capture_output=True, text=True, check=False
    )
    assert f"trace {report.digest[:16]}" in ran.stdout, ran.stderr
    assert ran.returncode == bool(report.findings)


def test_a_trace_has_a_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    words = "replay --seed 3 --store memory --commits 60 --trace --twice --incidents"
    main([*words.split(), "crash:p0:2:2"])
    lines = capsys.readouterr().out.splitlines()
    assert "2.000000 incident crash:p0:2:2" in lines
    assert "2.000000 crash p0" in lines
    assert any(" commit p0 " in line for line in lines)
    assert "the second run is the same" in lines


@pytest.mark.parametrize(
    "words",
    [
        "replay",
        "replay --seed x",
        "replay --seed 1 --incidents explode:p1:3",
        "replay --seed 1 --store both",
        "search --seeds 1..x",
        "search --store none",
    ],
)
def test_misuse_is_told_and_ends_with_2(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_search_tells_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["search", "--seeds", "1..2", "--store", "memory", "--commits", "60", "--all"]
    )
    shown = capsys.readouterr().out
    assert "2 seeds (2 over memory)" in shown
    for name in ("claims", "settles", "commits", "boots"):
        assert f"\n{name} " in shown
    assert (code == 1) is ("again: " in shown)
