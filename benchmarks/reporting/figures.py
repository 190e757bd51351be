"""Figures of a row, by contender and case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

Found = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """All samples of one contender in one case."""

    key: str
    case: str
    told: Found
    samples: tuple[Found, ...]

    @property
    def who(self) -> str:
        """Return its name, with the defaults marked."""
        mark = " *(defaults)*" if self.told["defaults"] else ""
        return str(self.told["who"]).removesuffix(", defaults") + mark

    @property
    def ours(self) -> bool:
        """Tell whether it is aiosched."""
        return bool(self.told["ours"])

    @property
    def floor(self) -> bool:
        """Tell whether it is a floor."""
        return bool(self.told["floor"])

    @property
    def peer(self) -> bool:
        """Tell whether it is somebody else."""
        return not self.ours and not self.floor

    @property
    def failure(self) -> str:
        """Return why it has no figures; empty: it has."""
        if any("metrics" in one for one in self.samples):
            return ""
        return str(self.samples[0]["failed"]) if self.samples else "it was not run"

    def values(self, metric: str) -> list[float]:
        """Return a figure of each round."""
        return [
            float(one["metrics"][metric])
            for one in self.samples
            if metric in one.get("metrics", {})
        ]

    def median(self, metric: str) -> float | None:
        """Return the median of a figure; None: it has none."""
        values = self.values(metric)
        return median(values) if values else None

    def by_round(self, metric: str) -> dict[int, float]:
        """Return a figure by the number of its round."""
        return {
            one["round"]: float(one["metrics"][metric])
            for one in self.samples
            if metric in one.get("metrics", {})
        }


def lines(found: Found) -> list[Line]:
    """Return the lines of a row: cases in order, aiosched first in each."""
    names = list(dict.fromkeys((one["case"], one["who"]) for one in found["samples"]))
    made = [
        Line(
            key,
            case,
            found["contenders"][key],
            tuple(
                one
                for one in found["samples"]
                if (one["case"], one["who"]) == (case, key)
            ),
        )
        for case, key in names
    ]
    cases = sorted({one.case for one in made}, key=_natural)
    return sorted(
        made, key=lambda one: (cases.index(one.case), not one.ours, one.floor)
    )


def _natural(case: str) -> list[tuple[int, int, str]]:
    words = case.replace(",", "").split()
    return [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in words]


def ratio(over: Line, under: Line, metric: str) -> tuple[float, float, float] | None:
    """Compare two lines round by round: median, least and greatest ratio."""
    above, below = over.by_round(metric), under.by_round(metric)
    found = [above[one] / below[one] for one in above if below.get(one)]
    return (median(found), min(found), max(found)) if found else None


def best(
    given: list[Line],
    metric: str,
    better: str,
    wanted: Callable[[Line], bool] = lambda line: line.peer,
) -> Line | None:
    """Return who is ahead in a figure."""
    ranked = [
        (value, one)
        for one in given
        if wanted(one) and (value := one.median(metric)) is not None
    ]
    if not ranked:
        return None
    choose = max if better == "more" else min
    return choose(ranked, key=lambda pair: pair[0])[1]


def number(value: float | None, digits: int) -> str:
    """Write a figure as it stands in a table."""
    if value is None:
        return "–"
    if abs(value) >= 100 or digits == 0:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}"
