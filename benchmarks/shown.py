"""Limits in milliseconds: ``python -m benchmarks.shown [NAME ...] [--rounds N]``.

Each is the median of at least five rounds, beside a floor that was taken in the same
round.  It holds if the median is within the limit or, for machines differ, within
three times the median of its floor.  All rounds are printed; the exit code is 1 if a
limit is missed.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from benchmarks.comparisons import lateness, ledger, periodic
from benchmarks.comparisons.memory import memory_lateness
from benchmarks.harness import server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.figures import load, percentile, processor_share
from benchmarks.harness.processes import Adapter
from tests.servers import Server

FLOORS = 3.0
OUTCOMES = 10_000

Figures = dict[str, float]


@dataclass(frozen=True)
class Limit:
    """A figure that has a limit.

    Attributes:
        name: Of the figure on the page.
        metric: What is looked at.
        most: Milliseconds.
        floor: Name of the floor that is looked at.
    """

    name: str
    metric: str
    most: float
    floor: str


@dataclass(frozen=True)
class Showing:
    """A measurement with its floor, and the limits of what comes of it."""

    run: Callable[[], Figures]
    floor: Callable[[], Figures]
    limits: tuple[Limit, ...]


def showings(outcomes: int) -> dict[str, Showing]:
    """Return everything that has a limit."""
    [ours] = [one for one in contenders("resync") if one.ours]
    [timer] = [one for one in contenders("memory_lateness") if one.key == _TIMER]
    late = partial(memory_lateness, timer, lateness.SECONDS)
    second = partial(_whole_seconds, timer)
    return {
        "lateness": Showing(
            partial(lateness.lateness, ours, 3, lateness.SECONDS),
            late,
            (
                Limit("start − due, 3 processes, p50", "p50_ms", 1.5, "p50_ms"),
                Limit("start − due, 3 processes, p99", "p99_ms", 10.0, "p99_ms"),
            ),
        ),
        "periodic": Showing(
            partial(periodic.periodic, ours, 3, periodic.SECONDS),
            second,
            (Limit("100 jobs a second, 3 processes, p99", "p99_ms", 15.0, "p99_ms"),),
        ),
        "ledger": Showing(
            partial(ledger.ledger, ours, outcomes),
            _round_trips,
            (
                Limit("history of one job", "history_ms", 50.0, "trip_ms"),
                Limit("why", "why_ms", 5.0, "trip_ms"),
            ),
        ),
    }


_TIMER = "call_at/uvloop"


def _whole_seconds(timer: Variant) -> Figures:
    """Have the loop call a hundred functions at each of some seconds."""
    offsets = [float(index % 4) for index in range(400)]
    with Adapter(timer, "memory", "", {}) as adapter:
        late = adapter.ask(do="memory_lateness", offsets=offsets)["late_ms"]
    return {"p50_ms": percentile(late, 0.5), "p99_ms": percentile(late, 0.99)}


def _round_trips() -> Figures:
    """Ask a server for a little, again and again."""
    with server.server() as running:
        return {"trip_ms": _trip(running)}


def _trip(running: Server) -> float:
    taken = []
    with socket.create_connection(running.address) as wire:
        for _ in range(200):
            begun = time.perf_counter()
            wire.sendall(b"PING\r\n")
            wire.recv(64)
            taken.append((time.perf_counter() - begun) * 1e3)
    return median(taken)


def show(showing: Showing, rounds: int) -> bool:
    """Measure, print every round, and tell whether all limits hold."""
    figures: list[Figures] = []
    floors: list[Figures] = []
    for number in range(rounds):
        before, share = load(), processor_share()
        floors.append(showing.floor())
        figures.append(showing.run())
        told = [
            f"{one.metric} {figures[-1][one.metric]:.2f} "
            f"(floor {floors[-1][one.floor]:.3f})"
            for one in showing.limits
        ]
        print(
            f"  round {number + 1}: {', '.join(told)}; load {before}, share {share}",
            flush=True,
        )
    words = [_judge(limit, figures, floors) for limit in showing.limits]
    return all(words)


def _judge(limit: Limit, figures: list[Figures], floors: list[Figures]) -> bool:
    found = median(one[limit.metric] for one in figures)
    floor = median(one[limit.floor] for one in floors)
    word = "over"
    if found <= limit.most:
        word = "within"
    elif found <= FLOORS * floor:
        word = "within three floors"
    print(
        f"{word}: {limit.name}: {found:.2f} ms, limit {limit.most:g} ms, "
        f"floor {floor:.3f} ms",
        flush=True,
    )
    return word != "over"


def main(words: list[str] | None = None) -> None:
    """Show that the limits hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="at least 5")
    parser.add_argument("--outcomes", type=int, default=OUTCOMES)
    chosen = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    known: dict[str, Any] = showings(chosen.outcomes)
    unknown = set(chosen.names) - set(known)
    if unknown:
        parser.error(f"no such limits: {', '.join(sorted(unknown))}")
    kept = True
    for name in chosen.names or list(known):
        print(f"{name}:", flush=True)
        kept = show(known[name], max(chosen.rounds, 5)) and kept
    if not kept:
        sys.exit(1)


if __name__ == "__main__":
    main()
