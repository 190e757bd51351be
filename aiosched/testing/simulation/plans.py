"""What befalls a cluster in a run of which only the seed is given."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiosched.testing.simulation.chance import stream_of
from aiosched.testing.simulation.incidents import (
    CLUSTER,
    STORE,
    Incident,
    IncidentKind,
    Point,
)

__all__ = ["plan"]

_CHANCES: Final[dict[IncidentKind, float]] = {
    "crash": 0.5,
    "stall": 0.35,
    "block": 0.3,
    "skew": 0.2,
    "partition": 0.25,
    "lose": 0.3,
    "delay": 0.2,
    "double": 0.2,
    "cut": 0.5,
    "refuse": 0.25,
    "silence": 0.2,
    "loading": 0.1,
    "readonly": 0.1,
    "oom": 0.1,
    "restart": 0.15,
    "rollback": 0.06,
    "empty": 0.05,
    "drift": 0.15,
    "deploy": 0.12,
}
"""How likely a kind is to happen at all in a run."""

_ONCE: Final = frozenset({"rollback", "empty", "drift", "deploy"})
_MOST = 4
_QUIET_END = 0.75
"""Part of a run in which incidents begin; the rest is for recovery."""

_WRITES: Final[tuple[Point, ...]] = (
    "before_claim",
    "after_claim",
    "before_settle",
    "after_settle",
    "before_write",
    "after_write",
)
_POINTS: Final[tuple[Point, ...]] = (*_WRITES, "mid_run")
_EARLIEST = 2.0
_FEW = 40
_SHORTEST = 0.05
_LEASES = 4.0
_FOR_GOOD = 0.15
_AT_POINT = 0.6
_HOURS = 7200.0
_RATE = 0.002
_DEAF = 0.3
"""How likely it is that for a while all signals for everybody are lost."""


def plan(
    seed: int,
    nodes: Sequence[str],
    until: float,
    *,
    lease: float = 15.0,
) -> tuple[Incident, ...]:
    """Draw incidents: first which kinds happen and how often, then each of them.

    What is drawn for one kind does not depend on the others.

    Args:
        seed: Decides.
        nodes: Names of the nodes that may be struck.
        until: Virtual second at which the run ends.
        lease: Seconds of a lease: what holds a node up lasts up to four of them.
    """
    found: list[Incident] = []
    for kind, chance in _CHANCES.items():
        draw = stream_of(seed, f"plan/{kind}")
        if draw.random() >= chance:
            continue
        count = 1 if kind in _ONCE else draw.randint(1, _MOST)
        found += [
            _MAKERS[kind](_Draw(draw, kind, nodes, until, lease)) for _ in range(count)
        ]
    found += _deaf(_Draw(stream_of(seed, "plan/deaf"), "lose", nodes, until, lease))
    return tuple(sorted(found, key=lambda one: (one.at, str(one))))


def _deaf(draw: _Draw) -> list[Incident]:
    """Draw a time in which no signal reaches anybody."""
    if draw.chance.random() >= _DEAF:
        return []
    seconds = round(draw.chance.uniform(1.0, 2.0 * draw.lease), 3)
    return [Incident("lose", STORE, draw.second(), seconds=seconds, amount=1.0)]


@dataclass(frozen=True, slots=True)
class _Draw:
    """What one incident is drawn from."""

    chance: random.Random
    kind: IncidentKind
    nodes: Sequence[str]
    until: float
    lease: float

    def second(self) -> float:
        latest = max(_EARLIEST, self.until * _QUIET_END)
        return round(self.chance.uniform(_EARLIEST, latest), 3)

    def node(self) -> str:
        return self.chance.choice(self.nodes)

    def length(self, longest: float) -> float:
        """Draw a duration whose order of magnitude is drawn first."""
        orders = math.log(longest / _SHORTEST)
        return round(_SHORTEST * math.exp(orders * self.chance.random()), 3)


_STORE_KINDS: Final[tuple[IncidentKind, ...]] = (
    *("refuse", "silence", "loading", "readonly", "oom"),
    *("restart", "rollback", "empty"),
)
_Maker = Callable[[_Draw], Incident]


def _of_process(draw: _Draw) -> Incident:
    chance, kind, node = draw.chance, draw.kind, draw.node()
    seconds: float | None = draw.length(_LEASES * draw.lease)
    if kind == "crash" and node != draw.nodes[0] and chance.random() < _FOR_GOOD:
        seconds = None  # never the first node, so that somebody lives
    if chance.random() < _AT_POINT:
        point, ordinal = chance.choice(_POINTS), chance.randint(1, _FEW)
        return Incident(kind, node, 0.0, point, ordinal, seconds)
    return Incident(kind, node, draw.second(), seconds=seconds)


def _cut(draw: _Draw) -> Incident:
    point, ordinal = draw.chance.choice(_WRITES), draw.chance.randint(1, 2 * _FEW)
    return Incident(draw.kind, draw.node(), 0.0, point, ordinal)


def _of_way(draw: _Draw) -> Incident:
    seconds = draw.length(_LEASES * draw.lease)
    return Incident(draw.kind, draw.node(), draw.second(), seconds=seconds)


def _of_signals(draw: _Draw) -> Incident:
    node, kind = draw.node(), draw.kind
    if draw.chance.random() < 0.3:
        return Incident(kind, node, 0.0, "signal", draw.chance.randint(1, 10 * _FEW))
    share = draw.chance.choice((0.1, 0.5, 1.0))
    seconds = draw.length(2 * _LEASES * draw.lease)
    return Incident(kind, node, draw.second(), seconds=seconds, amount=share)


def _skew(draw: _Draw) -> Incident:
    by = round(draw.chance.choice((-1, 1)) * draw.length(_HOURS), 3)
    return Incident(draw.kind, draw.node(), draw.second(), amount=by)


def _drift(draw: _Draw) -> Incident:
    rate = round(draw.chance.uniform(-_RATE, _RATE), 5)
    return Incident(draw.kind, STORE, draw.second(), amount=rate)


def _of_store(draw: _Draw) -> Incident:
    at, seconds = draw.second(), draw.length(2 * draw.lease)
    age = None
    if draw.kind == "rollback":
        age = round(draw.chance.uniform(0.1, 2 * draw.lease), 3)
    return Incident(draw.kind, STORE, at, seconds=seconds, amount=age)


def _deploy(draw: _Draw) -> Incident:
    return Incident(draw.kind, CLUSTER, draw.second(), seconds=draw.length(10.0))


_MAKERS: Final[dict[IncidentKind, _Maker]] = {
    **dict.fromkeys(("crash", "stall", "block"), _of_process),
    "cut": _cut,
    "partition": _of_way,
    **dict.fromkeys(("lose", "delay", "double"), _of_signals),
    "skew": _skew,
    "drift": _drift,
    **dict.fromkeys(
        _STORE_KINDS,
        _of_store,
    ),
    "deploy": _deploy,
}
