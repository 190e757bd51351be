"""A user's test over many seeds: what ``@pytest.mark.simulate`` does."""

from __future__ import annotations

import asyncio
import traceback
import warnings
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aiosched.errors import ConfigurationError
from aiosched.jobs import checks
from aiosched.testing.loop import START
from aiosched.testing.runner import run_virtual
from aiosched.testing.simulation.cluster import (
    BrokenRuleError,
    Cluster,
    NeverCameWarning,
    simulate,
)
from aiosched.testing.simulation.given import (
    executors_of,
    incidents_of,
    latency_of,
    names_of,
    seeds_of,
    span_of,
    store_of,
)
from aiosched.testing.simulation.incidents import Incident, show_incidents
from aiosched.testing.simulation.plans import plan

__all__ = ["FAILURES", "FailedSeed", "over_seeds"]

Test = Callable[[Cluster], Coroutine[Any, Any, object]]

_MOST_RUNS = 60
_SECONDS = 600.0
_LONGEST = 1e9
_NOT_THEIRS = frozenset({"aiosched", "asyncio", "contextlib", "pytest", "_pytest"})
_KNOWN = frozenset(
    (
        *("peers", "executors", "prepare", "store", "incidents", "terms", "span"),
        *("latency", "run_jobs", "queues", "lease", "max_concurrency", "max_payload"),
    )
)
FAILURES: tuple[type[BaseException], ...] = (Exception, asyncio.CancelledError)
"""What ends a test that has failed, beside what a test runner adds."""


@dataclass(frozen=True, slots=True)
class FailedSeed:
    """The first seed with which a test failed, made small.

    Attributes:
        seed: Which one.
        incidents: As few as make it fail.
        drawn: How many there had been.
        error: What it raised with these.
        options: What else the mark was given.
    """

    seed: int
    incidents: tuple[Incident, ...]
    drawn: int
    error: BaseException = field(compare=False)
    options: Mapping[str, object] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        """Say how to make it fail again."""
        shown = show_incidents(self.incidents)
        fewer = (
            f" ({self.drawn} were drawn)" if self.drawn > len(self.incidents) else ""
        )
        rest = "".join(
            f", {name}={_written(value)}" for name, value in self.options.items()
        )
        return (
            f"fails with seed {self.seed} and {len(self.incidents)} incidents{fewer}; "
            f"again: @pytest.mark.simulate(seeds=[{self.seed}], "
            f'incidents="{shown}"{rest})'
        )


def _written(value: object) -> str:
    """Write an argument as it stands in the test: functions by their names."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return str(getattr(value, "__name__", None) or repr(value))


def over_seeds(
    test: Test,
    seeds: int | Iterable[int],
    *,
    incidents: str | Sequence[Incident] | None = None,
    seconds: float = _SECONDS,
    start: datetime | int = START,
    failures: tuple[type[BaseException], ...] = FAILURES,
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
        failures: What a test that fails may raise; anything else goes through.
        options: As for :func:`simulate`.

    Returns:
        The first seed that fails, with as few incidents as make it fail in the
        same way: from the same line, or by one of the same rules; None: all is
        well.

    Raises:
        ConfigurationError: An argument that cannot be used.

    Warns:
        NeverCameWarning: A given incident has happened with none of the seeds.
    """
    chosen, names = _checked(seeds, seconds, options)
    _check_start(start)
    given = None if incidents is None else incidents_of(incidents, names)
    left = set(given or ())
    shown = options if start == START else {**options, "start": start}
    for seed in chosen:
        planned = _drawn(seed, names, seconds) if given is None else given

        def fails(some: tuple[Incident, ...], seed: int = seed) -> BaseException | None:
            once = _Once(test, seed, some, start, options)
            error = once.run(failures)
            left.difference_update(once.struck)
            return error

        error = fails(planned)
        if error is not None:
            return _fewest(fails, FailedSeed(seed, planned, len(planned), error, shown))
    if left:
        _report([one for one in given or () if one in left])
    return None


def _checked(
    seeds: object, seconds: object, options: dict[str, Any]
) -> tuple[Sequence[int], tuple[str, ...]]:
    """Check what no seed can change, and return the seeds and names of peers."""
    if "seed" in options:
        raise ConfigurationError(
            "seed",
            options["seed"],
            "is no option of a test over seeds",
            f"write seeds=[{options['seed']!r}]",
        )
    for name in sorted(options.keys() - _KNOWN):
        known = ", ".join(sorted(_KNOWN))
        raise ConfigurationError(
            name, options[name], "is no option", f"use seeds, seconds, start, {known}"
        )
    names = names_of(options.get("peers", 3))
    store_of(options.get("store", "memory"))
    latency_of(options.get("latency", 0))
    span_of(options.get("span", 0))
    if "executors" in options:
        options["executors"] = executors_of(options["executors"])
    checks.share("seconds", seconds, least=0, most=_LONGEST)
    return seeds_of(seeds), names


def _check_start(start: object) -> None:
    aware = isinstance(start, datetime) and start.tzinfo is not None
    if not aware and type(start) is not int:
        raise ConfigurationError(
            "start",
            start,
            "is no instant",
            "give an aware datetime, such as datetime(2027, 3, 27, tzinfo=UTC)",
        )


def _report(never: Sequence[Incident]) -> None:
    message = (
        f"incidents={show_incidents(never)!r}: never happened with any seed; name an "
        "earlier second or a smaller ordinal of a peer that is up, or run longer"
    )
    warnings.warn(message, NeverCameWarning, stacklevel=3)


def _drawn(seed: int, names: Sequence[str], seconds: float) -> tuple[Incident, ...]:
    """Draw incidents after which whatever was scheduled is still there."""
    return tuple(one for one in plan(seed, names, seconds) if not one.losing)


class _Once:
    """One run of a test, with one seed."""

    def __init__(
        self,
        test: Test,
        seed: int,
        incidents: tuple[Incident, ...],
        start: datetime | int,
        options: dict[str, Any],
    ) -> None:
        self.struck: Sequence[Incident] = ()
        self._test = test
        self._given = {"seed": seed, "incidents": incidents, **options}
        self._start = start

    async def _whole(self) -> None:
        async with simulate(**self._given) as cluster:
            self.struck = cluster.world.struck
            await self._test(cluster)

    def run(self, failures: tuple[type[BaseException], ...]) -> BaseException | None:
        """Run it, and return what it failed with."""
        seed = self._given["seed"]
        with warnings.catch_warnings():
            # It may come with another seed.
            warnings.simplefilter("ignore", NeverCameWarning)
            try:
                run_virtual(self._whole, seed=seed, start=self._start)
            except failures as error:
                return error
        return None


def _fewest(
    fails: Callable[[tuple[Incident, ...]], BaseException | None], found: FailedSeed
) -> FailedSeed:
    """Leave out one incident after the other, as long as it fails in the same way."""
    kept, error, runs, at = found.incidents, found.error, 0, 0
    while at < len(kept) and runs < _MOST_RUNS:
        fewer = kept[:at] + kept[at + 1 :]
        other = fails(fewer)
        runs += 1
        if other is not None and _alike(other, found.error):
            kept, error = fewer, other
        else:
            at += 1
    return replace(found, incidents=kept, error=error)


def _alike(one: BaseException, other: BaseException) -> bool:
    """Tell whether two failures are of the same rule, or from the same line."""
    if isinstance(one, BrokenRuleError) and isinstance(other, BrokenRuleError):
        return bool(
            {each.rule for each in one.violations}
            & {each.rule for each in other.violations}
        )
    return type(one) is type(other) and _place(one) == _place(other)


def _place(error: BaseException) -> tuple[str, int] | None:
    """Return the last file and line of the user's own code that it came through."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _NOT_THEIRS:
            found = frame.f_code.co_filename, line
    return found
