"""A user's test over many seeds: what ``@pytest.mark.simulate`` does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiosched.testing.loop import START
from aiosched.testing.runner import run_virtual
from aiosched.testing.simulation.cluster import Cluster, simulate
from aiosched.testing.simulation.incidents import (
    Incident,
    parse_incidents,
    show_incidents,
)
from aiosched.testing.simulation.plans import plan

__all__ = ["FailedSeed", "over_seeds"]

Test = Callable[[Cluster], Coroutine[Any, Any, object]]

_MOST_RUNS = 60
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class FailedSeed:
    """The first seed with which a test failed, made small.

    Attributes:
        seed: Which one.
        incidents: As few as make it fail.
        drawn: How many there had been.
        error: What it raised with these.
    """

    seed: int
    incidents: tuple[Incident, ...]
    drawn: int
    error: Exception = field(compare=False)

    def __str__(self) -> str:
        """Say how to make it fail again."""
        shown = show_incidents(self.incidents)
        fewer = (
            f" ({self.drawn} were drawn)" if self.drawn > len(self.incidents) else ""
        )
        return (
            f"fails with seed {self.seed} and {len(self.incidents)} incidents{fewer}; "
            f'again: @pytest.mark.simulate(seeds=[{self.seed}], incidents="{shown}")'
        )


def over_seeds(
    test: Test,
    seeds: int | Iterable[int],
    *,
    incidents: str | Sequence[Incident] | None = None,
    seconds: float = _SECONDS,
    start: Any = START,
    **options: Any,
) -> FailedSeed | None:
    """Run a test with one cluster a seed, each on a loop of its own.

    Must not be called where an event loop is running.

    Args:
        test: A coroutine function that is given the cluster.
        seeds: How many, or which.
        incidents: What befalls each cluster; None: drawn from its seed, without
            those after which the store has lost data.
        seconds: In which part of the virtual time drawn incidents begin.
        start: The wall time of virtual second 0, an aware datetime.
        options: As for :func:`simulate`.

    Returns:
        The first seed that fails, with as few incidents as make it fail in the
        same way; None: all is well.
    """
    chosen = range(seeds) if isinstance(seeds, int) else seeds
    given = parse_incidents(incidents) if isinstance(incidents, str) else incidents
    names = [f"p{number}" for number in range(options.get("peers", 3))]
    for seed in chosen:
        planned = _drawn(seed, names, seconds) if given is None else tuple(given)

        def fails(some: tuple[Incident, ...], seed: int = seed) -> Exception | None:
            return _once(test, seed, some, start, options)

        error = fails(planned)
        if error is not None:
            return _fewest(fails, seed, planned, error)
    return None


def _drawn(seed: int, names: Sequence[str], seconds: float) -> tuple[Incident, ...]:
    """Draw incidents after which whatever was scheduled is still there."""
    return tuple(one for one in plan(seed, names, seconds) if not one.losing)


def _once(
    test: Test,
    seed: int,
    incidents: tuple[Incident, ...],
    start: Any,
    options: dict[str, Any],
) -> Exception | None:
    async def whole() -> None:
        async with simulate(seed=seed, incidents=incidents, **options) as cluster:
            await test(cluster)

    try:
        run_virtual(whole, seed=seed, start=start)
    except Exception as error:
        return error
    return None


def _fewest(
    fails: Callable[[tuple[Incident, ...]], Exception | None],
    seed: int,
    planned: tuple[Incident, ...],
    error: Exception,
) -> FailedSeed:
    """Leave out one incident after the other, as long as the same error comes."""
    kept, runs, at = planned, 0, 0
    while at < len(kept) and runs < _MOST_RUNS:
        fewer = kept[:at] + kept[at + 1 :]
        other = fails(fewer)
        runs += 1
        if other is not None and type(other) is type(error):
            kept, error = fewer, other
        else:
            at += 1
    return FailedSeed(seed, kept, len(planned), error)
