"""Who is compared: each folder with a ``peer.toml``, and its variants."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.places import BENCHMARKS

STANDARD = ("drain", "enqueue", "scale", "idle")
"""Rows for which a variant stands unless it names its own."""

DEFAULTS = ("drain",)
"""The same, of a variant that is the library's defaults."""


@dataclass(frozen=True)
class Variant:
    """One way to set a library up."""

    peer: str
    name: str
    title: str
    note: str
    outcomes: str
    settings: dict[str, Any]
    jobs: int
    folder: Path
    defaults: bool = False
    ours: bool = False
    floor: bool = False
    tree: bool = False
    asynchronous: bool = True
    whole: bool = False
    """Claims all that is due before it runs the first."""
    rows: tuple[str, ...] = STANDARD
    processes: tuple[int, ...] = ()
    packages: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def who(self) -> str:
        """Return what tables call it."""
        plain = self.floor and self.name == "plain"
        return self.title if plain else f"{self.title}, {self.name}"

    @property
    def key(self) -> str:
        """Return what files call it."""
        return f"{self.peer}/{self.name}"


def contenders(
    row: str, chosen: Sequence[str] = (), *, floors: bool = True
) -> list[Variant]:
    """Return the variants that take part in a row.

    Args:
        row: The comparison.
        chosen: Only these peers, or variants such as ``taskiq/list``; aiosched
            and the floors always take part.
        floors: Whether floors are wanted.
    """
    found = [one for one in _all() if row in one.rows and (floors or not one.floor)]
    if not chosen:
        return found
    return [
        one
        for one in found
        if one.ours or one.floor or one.peer in chosen or one.key in chosen
    ]


def absent(row: str) -> list[tuple[str, str]]:
    """Return who does not take part in a row, and why."""
    reasons = []
    for path, told in _files():
        reason = told.get("absent", {}).get(row)
        if reason:
            reasons.append((str(told.get("title", path.parent.name)), str(reason)))
    return reasons


def _files() -> list[tuple[Path, dict[str, Any]]]:
    paths = [
        *sorted(BENCHMARKS.glob("peers/*/peer.toml")),
        *sorted(BENCHMARKS.glob("floors/*/peer.toml")),
    ]
    told = [(path, tomllib.loads(path.read_text(encoding="utf-8"))) for path in paths]
    return sorted(told, key=lambda one: not one[1].get("ours", False))


def _all() -> list[Variant]:
    found = []
    for path, told in _files():
        for name, given in told["variants"].items():
            usual = DEFAULTS if given.get("defaults") else STANDARD
            rows = (*given.get("rows", usual), *given.get("also", ()))
            found.append(
                Variant(
                    peer=path.parent.name,
                    name=name,
                    title=told["title"],
                    note=given.get("note", ""),
                    outcomes=given.get("outcomes", ""),
                    settings=given.get("settings", {}),
                    jobs=given.get("jobs", 0),
                    folder=path.parent,
                    defaults=given.get("defaults", False),
                    ours=told.get("ours", False),
                    floor=told.get("floor", False),
                    tree=told.get("tree", False),
                    asynchronous=told.get("asynchronous", True),
                    whole=told.get("whole", False),
                    rows=rows,
                    processes=tuple(given.get("processes", ())),
                )
            )
    return found
