"""A simulated cluster as tests use it: real schedulers, virtual time, a judge.

::

    async with simulate(peers=3, seed=7, executors=["report"]) as cluster:
        scheduler = cluster.peer("p0").scheduler
        await scheduler.schedule(Job("report", trigger=..., id="nightly"))
        await cluster.run(days=2)
    assert cluster.ledger("nightly").succeeded == 2
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiosched._api.options import terms_of
from aiosched.abc import Terms
from aiosched.enums import Cause, RowKind
from aiosched.errors import ConfigurationError
from aiosched.ids import ids_from
from aiosched.instants import SECOND, moment
from aiosched.jobs import Job
from aiosched.records import Record, Row
from aiosched.scheduler import Scheduler
from aiosched.testing.loop import START
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.closing import judge_end
from aiosched.testing.simulation.commits import Commit, Loss
from aiosched.testing.simulation.conduct import HINDERING
from aiosched.testing.simulation.given import (
    executors_of,
    incidents_of,
    latency_of,
    names_of,
    passing,
    seed_of,
    span_of,
    store_of,
)
from aiosched.testing.simulation.incidents import (
    CLUSTER,
    STORE,
    Incident,
    show_incidents,
)
from aiosched.testing.simulation.judge import Judge, Violation
from aiosched.testing.simulation.peers import Peer, Prepare, register_all, room
from aiosched.testing.simulation.steps import of_run
from aiosched.testing.simulation.watched import WatchedRegistry
from aiosched.testing.simulation.world import StoreKind, World

__all__ = ["BrokenRuleError", "Cluster", "JobLedger", "NeverCameWarning", "simulate"]

TERMS: Mapping[str, Any] = {
    "shards": 4,
    "beat": 60,
    "lease": 180,
    "member_timeout": 180,
}
"""Calmer than those of production, which would fill a day with heartbeats."""
_LONG = frozenset({"crash", "deploy", "rollback", "empty"})
"""Incidents after which peers, or the store, are not who they were."""
_BEATS = 365
_SLOWEST = 86_400.0


class NeverCameWarning(UserWarning):
    """An incident that a test had asked for has never happened."""


class BrokenRuleError(AssertionError):
    """The judge has found invariants broken.

    Attributes:
        violations: What it found.
        replay: What makes the same happen again, in one line.
    """

    def __init__(self, violations: Sequence[Violation], replay: str) -> None:
        """Show the first few of them."""
        self.violations: tuple[Violation, ...] = tuple(violations)
        self.replay: str = replay
        shown = "\n  ".join(str(one) for one in self.violations[:5])
        more = len(self.violations) - 5
        rest = f"\n  and {more} more" if more > 0 else ""
        super().__init__(f"invariants were broken:\n  {shown}{rest}\nagain: {replay}")


@dataclass(frozen=True, slots=True)
class JobLedger:
    """What became of one job, from everything that was committed.

    Attributes:
        rows: Its ledger rows as they were committed, oldest first, also those that
            the store has lost since.
        starts: When its runs were claimed, aware, oldest first.
        fired: Slots that became firings.
        asked: Firings that somebody asked for.
        succeeded: Firings that ended well; likewise ``failed``, ``timed_out``,
            ``cancelled``, ``lost`` and ``expired``.
        skipped: Slots passed over; likewise ``missed``, ``excluded``, ``paused``.
    """

    rows: tuple[Row, ...]
    starts: tuple[datetime, ...]
    fired: int
    asked: int
    succeeded: int
    failed: int
    timed_out: int
    cancelled: int
    lost: int
    expired: int
    skipped: int
    missed: int
    excluded: int
    paused: int


class Cluster:
    """Peers in one process, over one store, in virtual time.

    Attributes:
        world: Its clock, nodes, store and incidents.
        judge: Who has seen every write.
        peers: By name; ``client`` is one that runs no jobs.
        written: The instant at which each job was last written.
    """

    def __init__(
        self,
        world: World,
        terms: Mapping[str, Any],
        *,
        incidents: Sequence[Incident] = (),
    ) -> None:
        """Make a cluster without peers.

        Args:
            world: Where it lives.
            terms: Of its namespace, as for ``Scheduler``.
            incidents: What will befall it, for ``replay``.
        """
        self.world: World = world
        self.terms: dict[str, Any] = dict(terms)
        agreed = Terms(**terms_of(self.terms, None))
        # A second, and the delays of all who may stand in.
        prompt = SECOND + 6 * agreed.steal_delay
        self.judge: Judge = Judge(agreed, world.now, world.loop.time, prompt=prompt)
        self.peers: dict[str, Peer] = {}
        self.incidents: tuple[Incident, ...] = tuple(incidents)
        self.losses: list[Loss] = []
        # As long as a lease, the delays of all who stand in, and a beat or two
        # after a return: longer nobody may take to be well again.
        self.recovery: int = (
            agreed.lease + agreed.member_timeout + 2 * agreed.beat + 2 * SECOND
        )
        self.deafness: int = agreed.beat + 2 * SECOND
        self.patience: int = min(agreed.lease * 2 // 3, agreed.member_timeout) // 2
        self.written: dict[str, int] = {}
        self._rows: list[Row] = []
        self._given: dict[str, Any] = {}
        world.commits.append(self._committed)
        world.commits.append(self.judge.committed)
        world.told.append(self.judge.told)
        world.crashes.append(self.judge.crashed)
        world.lost.append(self._lost)
        world.befell.append(self._befell)
        self.judge.room = self._room

    # -- what the world tells ---------------------------------------------------------

    def _committed(self, commits: Sequence[Commit]) -> None:
        for one in commits:
            self.written[one.job_id] = self.world.now()
            self._rows.extend(one.rows)

    def _befell(self, one: Incident, seconds: float) -> None:
        begin = self.world.now()
        if one.kind in {"skew", "drift"}:
            return
        end = begin + round(seconds * SECOND)
        node = "" if one.target in {STORE, CLUSTER} else one.target
        self.judge.absences.away(node, begin, end)
        if one.kind in HINDERING:
            self.judge.conduct.hindered(node, seconds)
        self.judge.trouble(begin, end + self.recovery_from(one.kind, seconds))

    def recovery_from(self, kind: str, seconds: float) -> int:
        """Return how long it may take until all is well after an incident.

        In microseconds.  What was not heard is read at the next beat, whoever is
        up; and so are all well by then after what was too short for anybody to
        be given up.
        """
        if kind in _LONG or seconds * SECOND >= self.patience:
            return self.recovery
        return self.deafness

    def _lost(self, loss: Loss) -> None:
        self.losses.append(loss)
        self.judge.lost(loss)
        self.judge.trouble(loss.at, loss.at + self.recovery)

    def _room(self, record: Record, able: bool) -> int | None:  # noqa: FBT001
        return room(self.peers.values(), record, self.world.now(), able=able)

    # -- peers ------------------------------------------------------------------------

    def add(self, name: str, prepare: Prepare, **options: Any) -> Peer:
        """Add a peer; :meth:`up` starts it."""
        options = {"terms": self.terms, **options}
        peer = self.peers[name] = Peer(self.world, self.judge, name, options, prepare)
        return peer

    async def up(self, *names: str) -> None:
        """Start peers, all at once, and wait until they are up."""
        await asyncio.gather(*(self.world.boot(name) for name in names))

    def peer(self, name: str) -> Peer:
        """Return a peer.

        Raises:
            ConfigurationError: There is none of that name.
        """
        if name in self.peers:
            return self.peers[name]
        known = ", ".join(self.peers)
        raise ConfigurationError("name", name, "is no peer", f"name one of {known}")

    # -- time -------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The instant of the cluster, aware, by its store's clock."""
        return moment(self.world.now())

    async def run(
        self,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Let time pass; a year takes as long as what happens in it.

        What is due at the very instant of the end is not done yet on return.

        Raises:
            InvalidInputError: That is no time that can pass.
            BrokenRuleError: An invariant has been broken by then.
        """
        await CLOCK.sleep(
            passing(days=days, hours=hours, minutes=minutes, seconds=seconds)
        )
        self.check()

    def check(self) -> None:
        """Raise if the judge has found anything so far.

        Raises:
            BrokenRuleError: An invariant has been broken.
        """
        if self.judge.violations:
            raise BrokenRuleError(self.judge.violations, self.replay)

    # -- what happened ----------------------------------------------------------------

    @property
    def replay(self) -> str:
        """What makes the same cluster again, with the executors of the test.

        One line: all other arguments of :func:`simulate` that were given; behind
        it, what :func:`aiosched.testing.run_virtual` must be given, if anything.
        """
        parts = {
            "seed": self.world.seed,
            "store": self.world.kind,
            "incidents": show_incidents(self.incidents),
            **self._given,
        }
        shown = ", ".join(f"{name}={value!r}" for name, value in parts.items())
        loop = self.world.loop
        outside = (
            [] if loop.wall_at(0) == START else [f"start={moment(loop.wall_at(0))!r}"]
        )
        if loop.seed not in (None, self.world.seed):
            outside.append(f"seed={loop.seed}")
        behind = f"  # run_virtual(..., {', '.join(outside)})" if outside else ""
        return f"simulate({shown}){behind}"

    @property
    def never_came(self) -> tuple[Incident, ...]:
        """The incidents that have not happened so far."""
        left = Counter(self.incidents)
        left.subtract(self.world.struck)
        return tuple(one for one in dict.fromkeys(self.incidents) if left[one] > 0)

    def ledger(self, job: Job | str) -> JobLedger:
        """Return what became of a job, also of one that is gone.

        After data was lost it has what the store has forgotten, too: a slot that
        was accounted for again is in it twice.
        """
        job_id = job.id if isinstance(job, Job) else job
        rows = tuple(row for row in self._rows if row.job_id == job_id)
        claims = [
            claim
            for (name, _), claim in self.judge.past.claims.items()
            if name == job_id
        ]
        causes: dict[object, Cause] = {c.firing: c.run.firing.cause for c in claims}
        for row in rows:
            if row.final and not row.fence:  # it ended before it was ever claimed
                known = {c.firing.key for c in claims}
                if row.key not in known:
                    causes[row.key] = row.cause
        slots = sum(1 for cause in causes.values() if cause is Cause.SLOT)
        ends = dict.fromkeys(RowKind, 0)
        for row in rows:
            if row.final:
                ends[row.kind] += 1
            elif not of_run(row):
                ends[row.kind] += row.count
        return JobLedger(
            rows,
            tuple(moment(claim.at) for claim in sorted(claims, key=lambda c: c.at)),
            slots,
            len(causes) - slots,
            *(ends[RowKind(name)] for name in _COUNTED),
        )

    async def stored(self) -> tuple[dict[str, Record], list[Row]]:
        """Read everything that the store has: records, and the ledger."""
        opened = self.world.store_for("nobody")
        session = await opened.open("simulated", {})
        records: dict[str, Record] = {}
        cursor: str | None = None
        try:
            while True:
                page = await session.list(cursor=cursor, limit=1_000)
                records |= {r.definition.id: r for r in page.records}
                cursor = page.cursor
                if cursor is None:
                    break
            rows = await session.ledger(limit=1_000_000)
        finally:
            await session.close()
        return records, list(reversed(rows))


_COUNTED = (
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "lost",
    "expired",
    "skipped",
    "missed",
    "excluded",
    "paused",
)


def _calm(seconds: float) -> dict[str, float]:
    """Return terms with which so long a time has few hundreds of beats."""
    beat = min(seconds / _BEATS, _SLOWEST)
    if beat <= TERMS["beat"]:
        return {}
    return {"beat": beat, "lease": 3 * beat, "member_timeout": 3 * beat}


@contextmanager
def _random_of(seed: int) -> Iterator[None]:
    """Let the module ``random`` draw from a seed, and go on afterwards as before."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _report(cluster: Cluster) -> None:
    """Warn of incidents that a test had counted on in vain."""
    if cluster.never_came:
        message = (
            f"incidents={show_incidents(cluster.never_came)!r}: never happened within "
            f"{cluster.world.loop.time():.0f} s; name an earlier second or a smaller "
            "ordinal of a peer that is up, or run longer"
        )
        warnings.warn(message, NeverCameWarning, stacklevel=4)


def _made(
    names: Sequence[str],
    world: World,
    given: Mapping[str, Any],
    incidents: Sequence[Incident],
    prepare: Prepare | None,
    executors: Sequence[object],
) -> Cluster:
    """Make the cluster of a test, whose peers are still to be started."""

    def ready(peer: Peer, scheduler: Scheduler, revision: int) -> None:
        scheduler.registry = WatchedRegistry(peer)
        register_all(scheduler, executors)
        if prepare is not None:
            prepare(peer, scheduler, revision)

    own = {"peers", "terms", "span", "latency"}
    agreed = {
        **TERMS,
        **_calm(span_of(given.get("span", 0))),
        **(given.get("terms") or {}),
    }
    cluster = Cluster(world, agreed, incidents=incidents)
    cluster._given = dict(given)
    for name in names:
        cluster.add(name, ready, **{k: given[k] for k in given if k not in own})
    return cluster


@asynccontextmanager
async def simulate(
    *,
    peers: int = 3,
    seed: int = 0,
    executors: Iterable[object] = (),
    prepare: Prepare | None = None,
    store: StoreKind = "memory",
    incidents: Iterable[Incident] | str = (),
    terms: Mapping[str, Any] | None = None,
    span: timedelta | float = 0,
    latency: float = 0.005,
    **options: Any,
) -> AsyncIterator[Cluster]:
    """Run a cluster for as long as the block lasts, and judge it.

    The test must run on a virtual-time loop: ``@pytest.mark.virtual`` or
    :func:`aiosched.testing.run_virtual`.  The peers are called ``p0``, ``p1``
    and so on; each starts as your program would.

    Args:
        peers: How many.
        seed: Decides the interleaving (unless the loop has a seed of its own), and
            everything else that chance decides; the module ``random`` draws from
            it, too, until the block ends.
        executors: What each peer registers; a text is the name of one that
            takes any arguments and succeeds at once.
        prepare: Called with each peer's scheduler before it starts, after each
            crash too: register executors and declare jobs there.
        store: ``"memory"``, or ``"redis"``: the Redis store's own code over a
            server that is simulated with it.
        incidents: What befalls the cluster, or their text.
        terms: Of the namespace, as for ``Scheduler``.  The defaults are calm (a
            beat of 60 s, leases of 180 s).
        span: About how long the run is to be; seconds, or a ``timedelta``.  A
            beat is then by default a 365th of it, a minute to a day, and leases
            three of them: a year passes sooner, and a dead peer's runs are taken
            over later.
        latency: Longest way of one message, in seconds.
        options: Further options of each ``Scheduler``.

    Raises:
        ConfigurationError: An argument that cannot be used.
        BrokenRuleError: At the end of the block: an invariant was broken.
        TypeError: The running loop is none of virtual time.

    Warns:
        NeverCameWarning: At the end of the block: an incident never happened.
    """
    names = names_of(peers)
    planned = incidents_of(incidents, names)
    chosen = executors_of(executors)
    optional: dict[str, tuple[Any, Any]] = {
        "peers": (peers, 3),
        "terms": (terms, None),
        "span": (span, 0),
        "latency": (latency_of(latency), 0.005),
    }
    span_of(span)
    given = {k: value for k, (value, usual) in optional.items() if value != usual}
    world = World(seed_of(seed), kind=store_of(store), latency=latency)
    world.loop.draw_order(seed)
    cluster = _made(names, world, {**given, **options}, planned, prepare, chosen)
    with ids_from(world.ids("caller")), _random_of(seed):
        try:
            await cluster.up(*cluster.peers)
            world.prepare(planned)
            yield cluster
            read = world.now()
            records, rows = await cluster.stored()
            living = sum(1 for peer in cluster.peers.values() if peer.up)
            cluster.judge.finish(records, rows, living, read)
            judge_end(cluster)
            cluster.check()
            _report(cluster)
        finally:
            await world.end()
