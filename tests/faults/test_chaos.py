"""The long run in small: some of its faults, and that its report can say no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.faults import chaos

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]


async def test_faults_of_every_kind(
    binary: servers.Binary, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    seconds = 120.0 if long_run else 10.0
    found = await chaos.keeping(binary, tmp_path, seed, seconds)
    assert (found["wrong"], found["late"], found["trouble"]) == ([], [], [])
    assert len(found["faults"]) >= seconds / 4
    assert found["runs"] > 20 * seconds
    if long_run:
        kinds = {fault["kind"] for fault in found["faults"]}
        assert kinds == set(chaos.KINDS)


async def test_data_that_is_lost(
    binary: servers.Binary, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    found = await chaos.losing(binary, tmp_path, seed, 6 if long_run else 1)
    assert (found["wrong"], found["trouble"]) == ([], [])
    assert {fault["kind"] for fault in found["faults"]} == set(chaos.LOSSES)
    assert found["named"]["after"] > found["named"]["before"] > 0
    assert "lost" not in found["named"]


def report(**kept: Any) -> dict[str, Any]:
    faults = [
        {"kind": kind, "recovered": 0.5}
        for kind in (*chaos.KINDS, *chaos.LOSSES)
        if kind != kept.get("without")
    ]
    whole = {"faults": faults, "wrong": kept.get("wrong", []), "trouble": []}
    return {"kept": whole, "lost": {"faults": [], "wrong": [], "trouble": []}}


def test_a_report_without_a_fault_says_so() -> None:
    assert chaos.problems(report()) == []


def test_a_report_names_what_is_wrong_and_what_never_happened() -> None:
    assert chaos.problems(report(wrong=["slot lost"])) == ["slot lost"]
    found = chaos.problems(report(without="SIGTERM"))
    assert found == ["SIGTERM never happened"]
