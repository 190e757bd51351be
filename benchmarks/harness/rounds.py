"""Interleaved rounds: everybody once in each, and every figure is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.contenders import Variant, absent
from benchmarks.harness.environments import InstallError
from benchmarks.harness.figures import (
    load,
    machine,
    processor_share,
    revision,
    today,
)
from benchmarks.harness.processes import AdapterError

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Something that one contender does once a round."""

    variant: Variant
    name: str
    run: Callable[[], Metrics]


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    rounds: int = 5
    scale: float = 1.0
    peers: tuple[str, ...] = ()
    seconds: float | None = None
    full: bool = False

    def scaled(self, number: int) -> int:
        """Return a size, or the part of it that is asked for."""
        return number if self.scale == 1 else max(100, round(number * self.scale))


def measure(
    row: str, title: str, cases: Sequence[Case], rounds: int, options: Options
) -> Iterator[Metrics]:
    """Run all cases in each round; yield what is written to the file after each."""
    begun = time.monotonic()
    samples: list[Metrics] = []
    variants = {case.variant.key: case.variant for case in cases}
    for number in range(rounds):
        # Who goes first pays for nothing that the others do not pay for, in turn.
        shift = number % max(1, len(cases))
        for case in [*cases[shift:], *cases[:shift]]:
            if _hopeless(samples, case):
                continue
            sample = _sample(case, number)
            samples.append(sample)
            _tell(row, case, sample)
        yield {
            "row": row,
            "title": title,
            "date": today(),
            "revision": revision(),
            "machine": machine(),
            "rounds": number + 1,
            "scale": options.scale,
            "asked": list(options.peers),
            "seconds": round(time.monotonic() - begun),
            "absent": absent(row),
            "contenders": {key: _told(one) for key, one in variants.items()},
            "samples": samples,
        }


def _sample(case: Case, number: int) -> Metrics:
    before = load()
    sample: Metrics = {
        "who": case.variant.key,
        "case": case.name,
        "round": number,
        "load": before,
        "share": processor_share(),
    }
    try:
        sample["metrics"] = case.run()
    except (AdapterError, InstallError) as error:
        sample["failed"] = str(error)
    return sample


def _hopeless(samples: Sequence[Metrics], case: Case) -> bool:
    """Tell whether a case has failed twice and never worked."""
    mine = [
        one
        for one in samples
        if one["who"] == case.variant.key and one["case"] == case.name
    ]
    return len(mine) >= 2 and all("failed" in one for one in mine)


def _told(variant: Variant) -> Metrics:
    return {
        "who": variant.who,
        "note": variant.note,
        "outcomes": variant.outcomes,
        "settings": variant.settings,
        "defaults": variant.defaults,
        "ours": variant.ours,
        "floor": variant.floor,
        "asynchronous": variant.asynchronous,
        "versions": dict(variant.packages),
    }


def _tell(row: str, case: Case, sample: Metrics) -> None:
    if "failed" in sample:
        said = f"failed: {sample['failed']}"
    else:
        found = sample["metrics"]
        said = " ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in found.items()
            if not isinstance(value, list | dict)
        )
    place = f"{row} {sample['round'] + 1}, {case.variant.who}, {case.name}"
    print(
        f"{place}: {said} (load {sample['load']}, share {sample['share']})", flush=True
    )


def write(folder: Path, found: Metrics) -> Path:
    """Write the figures of a row."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['row']}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return path
