"""Metrics of schedulers for Prometheus.

::

    metrics = Metrics()
    metrics.watch(scheduler)  # before it is started
    metrics.serve(9464)

Each fact is counted by one peer, the one that wrote it into the store, so that a
sum over peers is the truth of the namespace.  What is counted and what is measured
stands in ``docs/reference/metrics.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIServer

from aiosched._engine.observing import Observer, Wrote
from aiosched.context import Context
from aiosched.enums import RowKind
from aiosched.errors import ConfigurationError, StoreError
from aiosched.instants import SECOND
from aiosched.records import Change, Ended, Record, Row, Spec, Start
from aiosched.scheduler import Scheduler

try:
    from prometheus_client import (
        REGISTRY,
        CollectorRegistry,
        Counter,
        Histogram,
        make_asgi_app,
        make_wsgi_app,
        start_http_server,
    )

    from aiosched.integrations.sampling import Gauges
except ImportError as _error:
    raise ImportError(
        "prometheus-client is not installed: pip install 'aiosched[metrics]'",
        name="prometheus_client",
    ) from _error

__all__ = ["ALARMS", "Metrics", "MetricsServer"]

MOST_KINDS = 200
"""Pairs of executor and queue that have series of their own; others share one."""

OTHER = "other"
"""Executor and queue of what is beyond :data:`MOST_KINDS`."""

ALARMS = (
    "blocked",
    "callback_failed",
    "clock_stepped",
    "data_lost",
    "declared_failed",
    "fenced",
    "index_mended",
    "lapsed",
    "run_lost",
    "service_failed",
    "store_down",
    "unclaimable",
    "uncooperative",
    "unreadable",
)
"""Events of one peer that are counted: those worth an alarm."""

_PASSED = {
    RowKind.SKIPPED: "skipped",
    RowKind.MISSED: "missed",
    RowKind.EXCLUDED: "excluded",
    RowKind.PAUSED: "paused",
}
_ATTEMPTS = frozenset(
    (
        RowKind.SUCCEEDED,
        RowKind.FAILED,
        RowKind.TIMED_OUT,
        RowKind.CANCELLED,
        RowKind.LOST,
        RowKind.EXPIRED,
        RowKind.HANDED_BACK,
    )
)
_LATENESS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0),
)
_DURATION = (
    *(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0),
    *(30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0),
)
_TRANSACTION = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_BATCH = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_PEER = ("namespace", "peer")
_KIND = (*_PEER, "executor", "queue")


class Metrics:
    """Families of metrics in one registry, for any number of schedulers."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Enter the families into a registry.

        Args:
            registry: Where to; None: the one of ``prometheus_client`` that all
                share.  There may be one ``Metrics`` in a registry.

        Raises:
            ConfigurationError: There is one in this registry already.
        """
        self.registry: CollectorRegistry = REGISTRY if registry is None else registry
        try:
            self._enter_counters()
            self._enter_histograms()
            self._gauges = Gauges()
            self.registry.register(self._gauges)
        except ValueError as error:
            raise ConfigurationError(
                "registry",
                registry,
                f"has metrics of aiosched already ({error})",
                "share one Metrics, or give each a CollectorRegistry()",
            ) from None

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"aiosched_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"aiosched_{name}", text, labels, buckets=buckets, registry=self.registry
        )

    def _enter_counters(self) -> None:
        counter = self._counter
        self.fired: Counter = counter(
            "fired", "Firings that came to be, by cause.", *_KIND, "cause"
        )
        self.passed: dict[str, Counter] = {
            "skipped": counter("skipped", "Slots skipped.", *_KIND, "reason"),
            "missed": counter("missed", "Slots missed.", *_KIND, "reason"),
            "excluded": counter("excluded", "Slots excluded.", *_KIND, "reason"),
            "paused": counter("paused", "Slots of paused jobs.", *_KIND, "reason"),
        }
        self.outcomes: Counter = counter(
            "outcomes",
            "Ends of attempts; those with final=true are one a firing.",
            *_KIND,
            "outcome",
            "final",
        )
        self.failures: Counter = counter(
            "store_failures", "Transactions given up, by error.", *_PEER, "error"
        )
        self.alarms: Counter = counter(
            "alarms", "Events that are worth an alarm.", *_PEER, "event"
        )

    def _enter_histograms(self) -> None:
        histogram = self._histogram
        self.lateness: Histogram = histogram(
            "lateness_seconds",
            "From the instant a run was due to its start.",
            _LATENESS,
            *_KIND,
        )
        self.waited: Histogram = histogram(
            "waited_seconds",
            "The same, of runs that waited for their own job, or for a pause.",
            _LATENESS,
            *_KIND,
        )
        self.duration: Histogram = histogram(
            "run_seconds",
            "From the start of a run to its end.",
            _DURATION,
            *_KIND,
            "outcome",
        )
        self.claims: Histogram = histogram(
            "claim_size", "Runs that one claim has begun.", _BATCH, *_PEER
        )
        self.transactions: Histogram = histogram(
            "transaction_seconds",
            "Transactions that wrote something, tries included.",
            _TRANSACTION,
            *_PEER,
            "kind",
        )

    def watch(self, scheduler: Scheduler, *, peer: str | None = None) -> None:
        """Count what a scheduler does; before it is started.

        Watching one twice changes nothing.

        Args:
            scheduler: Which one; a client counts what its verbs write.
            peer: Its label ``peer``; None: its name, or ``scheduler`` if it was
                given none, for a drawn one would be another after each restart.
                The second of the same gets ``-2`` behind it, and so on.

        Raises:
            SchedulerStateError: It has been started already.
            ConfigurationError: ``peer`` is no text.
        """
        if peer is not None and (type(peer) is not str or not peer):
            raise ConfigurationError(
                "peer", peer, "is no name", "give a text, or leave it out"
            )
        if any(one is self for one in _watching(scheduler)):
            return
        wanted = peer
        if wanted is None:
            named = scheduler.name != scheduler.id
            wanted = scheduler.name if named else "scheduler"
        counting = _Counting(self, scheduler.namespace, wanted)
        scheduler._observe(counting)
        counting.peer = self._gauges.add(scheduler, wanted)
        for event in ALARMS:
            alarm = self.alarms.labels(scheduler.namespace, counting.peer, event)
            scheduler.on(event, _counted(alarm))

    @staticmethod
    def of(scheduler: Scheduler) -> Metrics | None:
        """Return what watches a scheduler already; None: nothing does."""
        return next(iter(_watching(scheduler)), None)

    # -- showing -----------------------------------------------------------------

    def asgi(self) -> Callable[..., Any]:
        """Return an ASGI application that shows the registry."""
        return make_asgi_app(self.registry)

    def wsgi(self) -> Callable[..., Any]:
        """Return a WSGI application that shows the registry."""
        return make_wsgi_app(self.registry)

    def serve(self, port: int, *, host: str = "127.0.0.1") -> MetricsServer:
        """Show the registry under ``http://host:port/metrics``, from a thread.

        Args:
            port: 0 to 65,535; 0: a free one, which the server names.
            host: Which address to listen on; ``0.0.0.0``: on all.

        Raises:
            ConfigurationError: The port cannot be had.
        """
        if type(port) is not int or not 0 <= port <= 65_535:
            raise ConfigurationError(
                "port", port, "is no port", "give a number from 0 to 65535"
            )
        try:
            server, thread = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise ConfigurationError(
                "port",
                f"{host}:{port}",
                f"cannot be listened on: {error}",
                "choose another, or end who has it",
            ) from None
        return MetricsServer(server, thread)


class MetricsServer:
    """A thread that answers scrapes, until it is closed."""

    def __init__(self, server: WSGIServer, thread: Any) -> None:
        """Hold what ``prometheus_client`` has started."""
        self._server = server
        self._thread = thread
        self.port: int = server.server_port

    def close(self) -> None:
        """End it; safe to call twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Serve."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self.close()


def _watching(scheduler: Scheduler) -> list[Metrics]:
    found = scheduler._observers
    return [one.metrics for one in found if isinstance(one, _Counting)]


def _counted(alarm: Counter) -> Callable[[object], None]:
    def count(_: object) -> None:
        alarm.inc()

    return count


class _Counting(Observer):
    """What one scheduler does, into the families of a registry."""

    def __init__(self, metrics: Metrics, namespace: str, peer: str) -> None:
        self.metrics = metrics
        self.namespace = namespace
        self.peer = peer
        self._kinds: dict[tuple[str, str], tuple[str, str, str, str]] = {}
        self._children: dict[tuple[object, ...], Any] = {}

    # -- labels ------------------------------------------------------------------

    def _kind(self, spec: Spec | None) -> tuple[str, str, str, str]:
        """Return the labels of a job; bounded, whatever jobs there are."""
        named = ("", "") if spec is None else (spec.executor, spec.queue)
        kind = self._kinds.get(named)
        if kind is None:
            if len(self._kinds) >= MOST_KINDS:
                named = OTHER, OTHER
            kind = self.namespace, self.peer, named[0], named[1]
            self._kinds[named] = kind
        return kind

    def _child(self, family: Any, *labels: str) -> Any:
        """Return the series of a family; to look it up costs less than to ask it."""
        key = (family, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = family.labels(*labels)
        return child

    # -- what is heard -----------------------------------------------------------

    def wrote(self, told: Wrote) -> None:
        """Count a commit."""
        starts = 0
        for job_id, change in told.changes.items():
            before = told.before.get(job_id)
            kind = self._kind(_spec_of(before, change))
            for row in change.rows:
                self._row(row, kind)
            if job_id in told.before and not change.index_only:
                self._fired(before, change, kind)
            for start in change.starts:
                starts += 1
                self._started(start, kind)
        metrics = self.metrics
        if told.claim and starts:
            self._child(metrics.claims, *self._peer).observe(starts)
        if told.before:
            word = "claim" if told.claim else "other"
            child = self._child(metrics.transactions, *self._peer, word)
            child.observe(told.seconds)

    @property
    def _peer(self) -> tuple[str, str]:
        return self.namespace, self.peer

    def _row(self, row: Row, kind: tuple[str, ...]) -> None:
        passed = _PASSED.get(row.kind)
        if passed is not None:
            family = self.metrics.passed[passed]
            self._child(family, *kind, row.reason.value).inc(row.count)
        elif row.kind in _ATTEMPTS:
            final = "true" if row.final else "false"
            family = self.metrics.outcomes
            self._child(family, *kind, row.kind.value, final).inc()

    def _fired(
        self, before: Record | None, change: Change, kind: tuple[str, ...]
    ) -> None:
        slots, asked = _new_firings(before, change)
        for cause, number in (("slot", slots), ("asked", asked)):
            if number:
                self._child(self.metrics.fired, *kind, cause).inc(number)

    def _started(self, start: Start, kind: tuple[str, ...]) -> None:
        metrics = self.metrics
        family = metrics.waited if start.waited else metrics.lateness
        late = Context(start).lateness.total_seconds()
        self._child(family, *kind).observe(late)

    def failed(self, error: StoreError) -> None:
        """Count a transaction that was given up."""
        word = type(error).__name__.removeprefix("Store").removesuffix("Error").lower()
        self._child(self.metrics.failures, *self._peer, word or "store").inc()

    def ended(
        self, began: Any, start: Start, ended: Ended | None, error: BaseException | None
    ) -> None:
        """Measure a run."""
        del began, error
        if ended is not None:
            kind = self._kind(start.definition.spec)
            took = max(ended.at - start.run.started, 0) / SECOND
            child = self._child(self.metrics.duration, *kind, ended.outcome.value)
            child.observe(took)


def _spec_of(before: Record | None, change: Change) -> Spec | None:
    if change.record is not None:
        return change.record.definition.spec
    return None if before is None else before.definition.spec


def _new_firings(before: Record | None, change: Change) -> tuple[int, int]:
    """Return how many firings a commit has made of slots, and for other causes."""
    if change.record is not None:
        new = change.record.state.counts
        if before is None:
            return new.fired, new.asked
        old = before.state.counts
        # Less, where a removed job's id was taken anew: its runs were counted.
        return max(new.fired - old.fired, 0), max(new.asked - old.asked, 0)
    open_before: set[str] = set()
    if before is not None:
        open_before.update(run.firing.key for run in before.state.runs)
        open_before.update(firing.key for firing in before.state.waiting)
    ended = _finals(change.rows, open_before)
    slots = sum(1 for row in ended if row.count)
    return slots, len(ended) - slots


def _finals(rows: Iterable[Row], known: set[str]) -> list[Row]:
    return [row for row in rows if row.final and row.key not in known]
