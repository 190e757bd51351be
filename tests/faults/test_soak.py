"""Nothing grows with the number of runs; ``tests/faults/soak.py`` is the long form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.faults.soak import PEERS, Checkpoint, soak, verdict

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]


async def test_ten_thousand_runs_leave_nothing_behind(
    binary: servers.Binary, tmp_path: Path, *, long_run: bool
) -> None:
    runs = 100_000 if long_run else 10_000
    points = await soak(binary, tmp_path, runs=runs, age=3.0, step=runs // 18, least=15)
    assert points[-1].runs >= runs
    assert points[-1].tasks_failed == 0
    assert points[-1].changes > 5
    # So short a soak is a third of it warming up.
    found = verdict(points[len(points) // 3 :])
    assert [name for name, one in found.items() if one["grew"]] == [], found


def points(**grows: Any) -> list[Checkpoint]:
    """Return twenty checkpoints of which some numbers grow by the run."""
    found = []
    for number in range(20):
        more = {name: int(by * number) for name, by in grows.items()}
        found.append(
            Checkpoint(
                seconds=number,
                runs=number * 50_000,
                jobs=1_000,
                keys=1_500 + more.get("keys", 0),
                used_memory=10_000_000 + more.get("used_memory", 0),
                resident=[50_000 + more.get("resident", 0)] * PEERS,
                changes=0,
                descriptors=[18 + more.get("descriptors", 0)] * PEERS,
                threads=[2] * PEERS,
                tasks_failed=0,
            )
        )
    return found


def test_what_is_flat_is_called_flat() -> None:
    assert not any(one["grew"] for one in verdict(points()).values())


@pytest.mark.parametrize(
    ("name", "by"),
    # Over a million runs: a key for every thousand, one byte a run in the
    # server, four bytes a run in each peer, a descriptor a hundred thousand.
    [("keys", 50), ("used_memory", 50_000), ("resident", 200), ("descriptors", 0.5)],
)
def test_what_grows_is_called_so(name: str, by: float) -> None:
    found = verdict(points(**{name: by}))
    assert {other for other, one in found.items() if one["grew"]} == {name}


def test_too_few_checkpoints_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        verdict(points()[:7])
