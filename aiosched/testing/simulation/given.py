"""What people give a simulation, checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import get_args

from aiosched.errors import ConfigurationError, InvalidInputError
from aiosched.jobs import checks
from aiosched.testing.simulation.incidents import (
    CLUSTER,
    STORE,
    Incident,
    parse_incidents,
)
from aiosched.testing.simulation.world import StoreKind

__all__ = [
    "MOST_PEERS",
    "executors_of",
    "incidents_of",
    "latency_of",
    "names_of",
    "passing",
    "seed_of",
    "seeds_of",
    "span_of",
    "store_of",
]

MOST_PEERS = 1_000
_MOST_SEED = 2**64
_SLOWEST = 3_600.0


def names_of(peers: object) -> tuple[str, ...]:
    """Return what so many peers are called.

    Raises:
        ConfigurationError: It is no number of peers.
    """
    number = checks.number("peers", peers, least=1, most=MOST_PEERS)
    assert number is not None
    return tuple(f"p{each}" for each in range(number))


def seed_of(seed: object, field: str = "seed") -> int:
    """Check a seed.

    Raises:
        ConfigurationError: It is no whole number.
    """
    number = checks.number(field, seed, least=-_MOST_SEED, most=_MOST_SEED)
    assert number is not None
    return number


def seeds_of(seeds: object) -> Sequence[int]:
    """Return the seeds that are meant by how many, or by which.

    Raises:
        ConfigurationError: They are none, or no seeds.
    """
    remedy = "give how many, such as 20, or which, such as [3, 17]"
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if seeds < 1:
            raise ConfigurationError("seeds", seeds, "nothing would be run", remedy)
        return range(seeds)
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
        raise ConfigurationError("seeds", seeds, "are no seeds", remedy)
    chosen = [seed_of(each, f"seeds[{n}]") for n, each in enumerate(seeds)]
    if not chosen:
        raise ConfigurationError("seeds", seeds, "nothing would be run", remedy)
    return chosen


def store_of(store: object) -> StoreKind:
    """Check which store the peers share.

    Raises:
        ConfigurationError: It is none that is simulated.
    """
    known = get_args(StoreKind)
    if store not in known:
        raise ConfigurationError(
            "store", store, "is not simulated", f"give one of {', '.join(known)}"
        )
    return store  # type: ignore[return-value]


def latency_of(latency: object) -> float:
    """Check the longest way of a message, in seconds.

    Raises:
        ConfigurationError: It is none.
    """
    return checks.share("latency", latency, least=0.0, most=_SLOWEST)


def span_of(span: object) -> float:
    """Return how long a run is to be, in seconds.

    Raises:
        ConfigurationError: It is no duration.
    """
    checked = checks.duration("span", span, zero=True, none=False)
    assert checked is not None
    return checked.total_seconds()


def executors_of(executors: object) -> tuple[object, ...]:
    """Return the executors as a tuple; whether each can be run the registry says.

    Raises:
        ConfigurationError: They are no list, or one of them can never be run.
    """
    remedy = "give a list of functions, classes or names, such as [report]"
    if isinstance(executors, str | bytes) or not isinstance(executors, Iterable):
        raise ConfigurationError("executors", executors, "are not a list", remedy)
    given = tuple(executors)
    for number, one in enumerate(given):
        if isinstance(one, str) or callable(one) or hasattr(one, "run"):
            continue
        field = f"executors[{number}]"
        raise ConfigurationError(field, one, "can never be run", remedy)
    return given


def incidents_of(incidents: object, names: Sequence[str]) -> tuple[Incident, ...]:
    """Return what is to befall the peers of these names.

    Raises:
        ConfigurationError: They are no incidents, or one of them is to befall
            somebody that is not there.
    """
    remedy = (
        "give a list of Incident, such as [Incident.crash('p1', 60, back=5)], or one "
        "text, such as 'crash:p1:60:5;stall:p2:90:10'"
    )
    if isinstance(incidents, str):
        chosen = parse_incidents(incidents)
    elif isinstance(incidents, bytes) or not isinstance(incidents, Iterable):
        raise ConfigurationError("incidents", incidents, "are no incidents", remedy)
    else:
        chosen = tuple(incidents)
    for number, one in enumerate(chosen):
        field = f"incidents[{number}]"
        if not isinstance(one, Incident):
            raise ConfigurationError(field, one, "is no Incident", remedy)
        if one.target not in (*names, STORE, CLUSTER):
            raise ConfigurationError(
                f"{field}.target",
                one.target,
                "is no peer of this cluster",
                f"name one of {', '.join(names)}",
            )
    return chosen


def passing(**parts: object) -> float:
    """Return how many seconds these days, hours, minutes and seconds are.

    Raises:
        InvalidInputError: One is no number, is negative, or they are too many.
    """
    remedy = "give numbers, none of them negative; time only goes forward"
    numbers: dict[str, float] = {}
    for field, value in parts.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInputError(field, value, "is not a number", remedy)
        if not (math.isfinite(value) and value >= 0):
            raise InvalidInputError(field, value, "is out of range", remedy)
        numbers[field] = value
    try:
        return timedelta(**numbers).total_seconds()
    except OverflowError:
        field, value = max(numbers.items(), key=lambda item: item[1])
        raise InvalidInputError(field, value, "is too long", remedy) from None
