"""Intervals as arithmetic progressions, and where several of them coincide."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import NamedTuple

__all__ = ["Grid", "common_grid"]


class Grid(NamedTuple):
    """``start``, ``start + step`` and so on up to ``final``, in microseconds."""

    start: int
    step: int
    final: int

    def next(self, after: int) -> int | None:
        """Return the first of its instants that is later than ``after``."""
        at = self.start
        if after >= at:
            at = after + self.step - (after - at) % self.step
        return at if at <= self.final else None

    def last(self, until: int) -> int | None:
        """Return the latest of its instants that is not later than ``until``."""
        limit = min(until, self.final)
        return None if limit < self.start else limit - (limit - self.start) % self.step


def common_grid(grids: Iterable[Grid]) -> Grid | None:
    """Return the instants that all of the grids have; None: there are none."""
    found: Grid | None = None
    for number, grid in enumerate(grids):
        if number == 0:
            found = grid
        elif found is not None:
            found = _coincidence(found, grid)
    return found


def _coincidence(one: Grid, two: Grid) -> Grid | None:
    """Solve the two congruences (the Chinese remainder theorem)."""
    shared = gcd(one.step, two.step)
    apart, odd = divmod(two.start - one.start, shared)
    if odd:
        return None
    rest = two.step // shared
    number = apart * pow(one.step // shared, -1, rest) % rest
    step = one.step * rest
    latest = max(one.start, two.start)
    start = latest + (one.start + number * one.step - latest) % step
    final = min(one.final, two.final)
    return Grid(start, step, final) if start <= final else None
