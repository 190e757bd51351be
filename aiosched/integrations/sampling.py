"""The state of schedulers as gauges, looked at when somebody scrapes.

A scrape comes from another thread, and the state belongs to the scheduler's loop.
So the loop is asked; if it does not answer in time, because user code blocks it, the
last answer is shown, with its age.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from aiosched._engine.engine import Engine
from aiosched.instants import SECOND
from aiosched.scheduler import Scheduler

__all__ = ["PATIENCE", "Gauges"]

PATIENCE = 0.5
"""Seconds that a scrape waits for the loops of all schedulers together."""

_GAUGES = {
    "healthy": "1 if the scheduler does its duty: health().ok.",
    "store_up": "1 if the last beat reached the store.",
    "lapsed": "1 if the peer has missed its own deadline and claims nothing.",
    "held": "1 if the peer was asked to claim nothing.",
    "running": "Runs that the peer has.",
    "capacity": "Runs that the peer may have.",
    "due": "Entries of its own agendas that are due, of the first 100 of each.",
    "waiting_for_room": "Those of them that wait for a place among the runs.",
    "oldest_overdue_seconds": "How long the oldest of them has been due.",
    "settle_backlog": "Outcomes that are known and not yet recorded.",
    "peers": "Live peers of the namespace, as this one sees them.",
    "silent_peers": "Those of them that have left out a beat.",
    "unclaimable": "Due jobs that no live peer can run, as far as is known here.",
    "clock_offset_seconds": "The store's clock, less the wall clock of this host.",
    "sample_age_seconds": "Since the loop has answered; 0 unless it is blocked.",
}
_COUNTERS = {
    "transactions": "Transactions that were carried out.",
    "conflicts": "Tries of transactions that others were ahead of.",
    "unknown": "Transactions without a reply, which had to be looked up.",
    "commands": "Commands that were sent.",
    "round_trips": "Packets of commands that were waited for.",
}


@dataclass(slots=True)
class _Sample:
    loop: asyncio.AbstractEventLoop
    at: float
    gauges: dict[str, float]
    services: dict[str, str]
    counters: dict[str, int]


class Gauges(Collector):
    """Shows the state of schedulers."""

    def __init__(self) -> None:
        """Of none yet."""
        self._shown: dict[tuple[str, str], _Shown] = {}
        self._lock = threading.Lock()

    def add(self, scheduler: Scheduler, peer: str) -> str:
        """Show a scheduler, for as long as it exists.

        Returns:
            Its label ``peer``.
        """
        space = scheduler.namespace
        with self._lock:
            for key in [k for k, shown in self._shown.items() if shown.gone]:
                del self._shown[key]
            name, number = peer, 1
            while (space, name) in self._shown:
                number += 1
                name = f"{peer}-{number}"
            self._shown[space, name] = _Shown(scheduler)
        return name

    def describe(self) -> Iterable[Any]:
        """Name the families; nothing is asked for that."""
        return self._families().values()

    def collect(self) -> Iterator[Any]:
        """Ask the loops, and show what they answer."""
        families = self._families()
        with self._lock:
            shown = dict(self._shown)
        waiting = [(labels, one, one.ask()) for labels, one in shown.items()]
        patience = PATIENCE  # they were asked at once, so they are waited for as one
        for labels, one, answered in waiting:
            if answered is not None and not answered.wait(patience):
                patience = 0.0
            if one.last is not None:
                _show(families, labels, one.last)
        yield from families.values()

    @staticmethod
    def _families() -> dict[str, Any]:
        labels = ("namespace", "peer")
        families: dict[str, Any] = {
            name: GaugeMetricFamily(f"aiosched_{name}", text, labels=labels)
            for name, text in _GAUGES.items()
        }
        families["service_up"] = GaugeMetricFamily(
            "aiosched_service_up",
            "1 if a service of the scheduler does its duty.",
            labels=(*labels, "service"),
        )
        for name, text in _COUNTERS.items():
            families[name] = CounterMetricFamily(
                f"aiosched_{name}", text, labels=labels
            )
        return families


def _show(families: dict[str, Any], labels: tuple[str, str], sample: _Sample) -> None:
    for name, value in sample.gauges.items():
        families[name].add_metric(labels, value)
    age = max(sample.loop.time() - sample.at, 0.0)
    families["sample_age_seconds"].add_metric(labels, age)
    for service, word in sample.services.items():
        families["service_up"].add_metric((*labels, service), float(word == "ok"))
    for name, count in sample.counters.items():
        families[name].add_metric(labels, count)


class _Shown:
    """One scheduler, as the thread of a scrape sees it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = weakref.ref(scheduler)
        self.last: _Sample | None = None

    @property
    def gone(self) -> bool:
        """Whether nobody has the scheduler any more."""
        return self._scheduler() is None

    def ask(self) -> threading.Event | None:
        """Let the loop take a sample; None: it was taken here, or there is no loop."""
        scheduler = self._scheduler()
        engine = None if scheduler is None else scheduler._engine
        loop = None if engine is None else engine.loop()
        if scheduler is None or engine is None or loop is None or loop.is_closed():
            self.last = None
            return None
        if _running_loop() is loop:
            self._take(scheduler, engine, loop)
            return None
        answered = threading.Event()

        def take() -> None:
            try:
                self._take(scheduler, engine, loop)
            finally:
                answered.set()

        try:
            loop.call_soon_threadsafe(take)
        except RuntimeError:  # it is closed
            return None
        return answered

    def _take(
        self, scheduler: Scheduler, engine: Engine, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.last = None
        if scheduler.health().started:
            self.last = _sample(scheduler, engine, loop)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _sample(
    scheduler: Scheduler, engine: Engine, loop: asyncio.AbstractEventLoop
) -> _Sample:
    health, session = scheduler.health(), engine.session
    now = session.estimate()
    heads, attender = engine.heads, engine.attender
    due = [one for one in heads.overdue(now) if not heads.rank(one.key)]
    membership = engine.membership
    gauges = {
        "healthy": float(health.ok),
        "store_up": float(health.store),
        "lapsed": float(health.lapsed),
        "held": float(health.held),
        "running": float(health.running),
        "capacity": float(scheduler.max_concurrency if engine.claims else 0),
        "due": float(len(due)),
        "waiting_for_room": float(len(due) if attender.full() else 0),
        "oldest_overdue_seconds": max((now - one.at for one in due), default=0)
        / SECOND,
        "settle_backlog": float(engine.settler.backlog()),
        "peers": float(len(membership.members)),
        "silent_peers": float(len(health.silent)),
        "unclaimable": float(len(health.unclaimable)),
        "clock_offset_seconds": (now - engine.clock.wall()) / SECOND,
    }
    counts = session.counters
    counters = {
        "transactions": counts.transactions,
        "conflicts": counts.aborts,
        "unknown": counts.unknown,
        "commands": counts.commands,
        "round_trips": counts.round_trips,
    }
    return _Sample(loop, loop.time(), gauges, dict(health.services), counters)
