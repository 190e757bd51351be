"""Triggers around an ``H``: whether they are right whatever a job draws."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain, product
from math import lcm, prod

from aiosched.errors import TriggerError
from aiosched.triggers.base import Trigger

__all__ = ["MOST_DRAWS", "check_every_draw", "has_draws"]

MOST_DRAWS = 100
"""Of how many draws it is tried whether they leave anything to fire."""


def has_draws(trigger: Trigger) -> bool:
    """Tell whether something in a trigger is left to the id of a job."""
    return next(iter(trigger._draws()), None) is not None


def check_every_draw(
    trigger: Trigger,
    *,
    whole: Collection[str] | None = None,
    ends: Collection[str] = (),
    together: bool = False,
    remedy: str,
) -> None:
    """Refuse a trigger that would be refused for the id of some job.

    Args:
        trigger: One with an ``H``, whose settled copies are checked when they are
            built.
        whole: Names of the fields of cron of which every number is tried.  None:
            of all.
        ends: Names of those of which the least and the greatest are tried.  Of
            others it is the least.
        together: Where there are more than 100 draws, try each number of each
            field, though not with each of another; else refuse.
        remedy: What to write instead.

    Raises:
        TriggerError: It would be, or there are too many draws to try.
    """
    sizes: dict[str, int] = {}
    for name, draw in trigger._draws():
        sizes[name] = lcm(sizes.get(name, 1), draw.choices)
    tried: list[Collection[int]] = []
    for name, size in sizes.items():
        if whole is None or name in whole:
            tried.append(range(size))
        else:
            tried.append({0, size - 1} if name in ends else (0,))
    number = prod(map(len, tried))
    draws: Iterable[tuple[int, ...]] = product(*tried)
    if number > MOST_DRAWS:
        if not together:
            raise TriggerError(
                "trigger",
                trigger.describe(),
                f"H may draw {number:,} different times here, too many to tell "
                "whether something is left to fire for each of them",
                remedy,
            )
        longest = min(max(sizes.values()), MOST_DRAWS)
        numbers = [(place,) * len(sizes) for place in range(longest)]
        draws = chain(product(*({0, size - 1} for size in sizes.values())), numbers)
    for drawn in draws:
        try:
            trigger._drawn(dict(zip(sizes, drawn, strict=True)))
        except TriggerError as error:
            raise TriggerError(
                error.field,
                trigger.describe(),
                "whether it ever fires depends on what a job draws for H",
                remedy,
            ) from error
