"""The judge of real runs: what peers wrote down against ledger and records.

It knows nothing of how the faults were made, only when and to whom: a second
execution needs an attempt before it that a dead, a fenced or an ending peer
has lost, or that was to be tried again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

from aiosched import Job, LedgerEntry
from aiosched.enums import Cause, RowKind
from aiosched.instants import micros
from tests.crash.kit import Fleet, Line, every_job

__all__ = [
    "AWAY",
    "BLOCKED",
    "EVERYBODY",
    "HARMLESS",
    "LEFT",
    "Evidence",
    "Incident",
    "Losses",
    "gathered",
    "grid",
    "judged",
]

EVERYBODY = "*"
AWAY = "away"
"""The kind of an incident that nobody caused: a busy machine let a peer wait."""
HARMLESS = frozenset(
    (
        "pub/sub killed",
        "messages dropped",
        "slow link",
        "connections cut",
        "clients killed",
        "EXEC lost",
        "EXEC torn",
        "EXEC late",
        "reply of EXEC lost",
        # Whoever is told to end hands its runs back.
        "terminated",
    )
)
"""What may make things late, and must never cost a claim."""
BLOCKED = "blocked"
"""The kind of an incident in which a job blocked its peer's loop: that costs what
had been claimed and not yet begun, which somebody else then does."""
STANDSTILL = frozenset(("frozen", AWAY))
"""Whoever comes back from these has lost nothing but the time."""
BACK_OFF = 0.4
"""Of a lease: an outage of so long may let a peer rest until the lease is over."""
LEFT = 2 / 3
"""Of a lease: what is left of it at the least when its extension is due."""
IDLE = 20.0
"""Seconds for which a job that is behind may stand still, whatever is done to it."""
LEAST_GRACE = 60.0
"""Seconds for which a slot is valid at the least, by default."""
_TICK = 0.1
"""Seconds by which instants of different processes may seem out of order."""
_UNDER_WAY = 1.0
"""Seconds for which what a peer had sent may lie somewhere after its death."""
_SLOTS = ("skipped", "missed", "excluded", "paused")
_TRIED_AGAIN = {RowKind.FAILED, RowKind.TIMED_OUT}


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault, as the judge knows it; instants in seconds since 1970."""

    kind: str
    peer: str
    """Incarnation id, or everybody."""
    begin: float
    end: float
    fatal: bool = False
    """Whether the peer is no more from ``end`` on."""

    def costs(self, lease: float) -> bool:
        """Return whether it is of a kind and a length that can cost a claim."""
        if self.kind in HARMLESS:
            return False
        if self.fatal:
            return True
        least = LEFT if self.kind in STANDSTILL else BACK_OFF
        return self.end - self.begin >= least * lease

    def shares(self, other: Incident) -> float:
        """Return for how many seconds both went on."""
        return max(0.0, min(self.end, other.end) - max(self.begin, other.begin))

    def excuses(
        self,
        peer: str,
        since: float,
        at: float,
        lease: float,
        grace: float,
        *,
        begun: bool = True,
    ) -> bool:
        """Return whether it may have cost a peer a claim of then.

        Args:
            peer: Whose claim it was.
            since: When it was made.
            at: When it was found to be lost.
            lease: For how long a claim holds without being extended.
            grace: Seconds after its end within which somebody looks.
            begun: Whether the peer had begun to run it.
        """
        if self.peer not in (peer, EVERYBODY) or not self.costs(lease):
            return False
        if self.kind == BLOCKED:
            # The lifeline extends what runs, not what was under way.
            return not begun and self.begin - _UNDER_WAY <= since <= self.end
        if at < self.begin - _TICK:
            return False
        if self.fatal:
            # What it had sent may be carried out after its death.
            return since <= self.end + _UNDER_WAY
        # An extension after it would have kept the claim for another lease.
        return since <= self.end + _TICK and at <= self.end + lease + grace

    def told_to_end(self, peer: str, at: float) -> bool:
        """Return whether it is what lets a peer hand its runs back."""
        return self.kind == "terminated" and self.peer == peer and at >= self.begin


@dataclass
class Evidence:
    """What is left when it is over, and all is quiet."""

    jobs: Mapping[str, Job]
    rows: Sequence[LedgerEntry]
    lines: Sequence[tuple[str, Line]]
    """(incarnation id, line) of the runs' own writing."""
    slots: Mapping[str, Sequence[int]]
    """Of each job that has slots, all of them."""
    asked: Sequence[tuple[str, str]] = ()
    """(job id, key) of each fire that was acknowledged."""
    once: Sequence[str] = ()
    """One-time jobs of which the creation was acknowledged."""
    incidents: Sequence[Incident] = ()
    lease: float = 2.0
    grace: float = 3.0
    """Seconds after the end of a lease within which somebody looks."""

    @cached_property
    def starts(self) -> dict[tuple[str, str], list[tuple[str, Line]]]:
        """Return the starts of each firing, in the order of their fences."""
        found: dict[tuple[str, str], list[tuple[str, Line]]] = defaultdict(list)
        for peer, line in self.lines:
            if line.kind == "start":
                found[line.firing].append((peer, line))
        for lines in found.values():
            lines.sort(key=lambda pair: pair[1].fence)
        return found

    def of(self, peer: str) -> list[Incident]:
        """Return what happened to a peer."""
        return [one for one in self.incidents if one.peer in (peer, EVERYBODY)]

    @cached_property
    def begun(self) -> frozenset[tuple[str, str, int]]:
        """Return peer, job and fence of each claim of which the run began."""
        return frozenset(
            (peer, line.words[0], line.fence)
            for peer, line in self.lines
            if line.kind == "start"
        )

    @cached_property
    def by_fence(self) -> dict[tuple[str, int], list[LedgerEntry]]:
        """Return the rows about each attempt."""
        found: dict[tuple[str, int], list[LedgerEntry]] = defaultdict(list)
        for row in self.rows:
            if row.run is not None and row.fence:
                found[row.job_id, row.fence].append(row)
        return found


@dataclass
class Verdict:
    """What the judge found.

    Attributes:
        wrong: What must not be; empty if all is well.
        late: Claims that were lost although nothing had happened, and what followed:
            wrong, too, unless the machine has let a peer wait.
        explained: Second executions, by what explains them.
        slots: Slots, by what became of them.
        runs: Executions that the peers wrote down.
    """

    wrong: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)
    slots: Counter[str] = field(default_factory=Counter)
    runs: int = 0


def judged(evidence: Evidence) -> Verdict:
    """Judge faults that keep every acknowledged write."""
    verdict = Verdict(runs=sum(map(len, evidence.starts.values())))
    for rule in (_slots, _missed, _outcomes, _counters, _fences, _seen, _promised):
        verdict.wrong += rule(evidence)
    for firing, lines in evidence.starts.items():
        for (peer, line), _ in pairwise(lines):
            why = explanation(evidence, peer, line)
            verdict.explained[why or "nothing"] += 1
            if not why:
                rows = evidence.by_fence.get((firing[0], line.fence), ())
                said = [(row.kind.value, row.peer, str(row.at)) for row in rows]
                lost = any(row.kind is RowKind.LOST for row in rows)
                (verdict.late if lost else verdict.wrong).append(
                    f"unexplained: {firing} began again after fence {line.fence} "
                    f"of {peer}, which ended as {said}; "
                    f"what happened to it: {[str(x) for x in evidence.of(peer)]}"
                )
    verdict.late += _lost_without_cause(evidence)
    for job_id in evidence.slots:
        for row in _of(evidence, job_id):
            if row.run is None and row.kind in _SLOTS:
                verdict.slots[row.kind.value] += row.count
            elif row.run is not None and row.run.final and _is_slot(row):
                verdict.slots[row.kind.value] += 1
    return verdict


def explanation(evidence: Evidence, peer: str, line: Line) -> str:
    """Name why an attempt was not the last, or return nothing."""
    for row in evidence.by_fence.get((line.firing[0], line.fence), ()):
        if row.kind is RowKind.HANDED_BACK:
            at = row.at.timestamp() + _TICK
            told = any(one.told_to_end(peer, at) for one in evidence.of(peer))
            return "handed back" if told else ""
        if row.kind is RowKind.LOST:
            return culprit(evidence, row)
        if row.kind in _TRIED_AGAIN and row.run is not None and not row.run.final:
            return "tried again"
    return ""


def culprit(evidence: Evidence, row: LedgerEntry) -> str:
    """Name what took a claim from its peer, or return nothing."""
    assert row.run is not None
    assert row.run.started_at is not None
    since, at = row.run.started_at.timestamp(), row.at.timestamp()
    peer, lease, grace = row.run.peer, evidence.lease, evidence.grace
    begun = (peer, row.job_id, row.fence) in evidence.begun
    found = [
        one
        for one in evidence.incidents
        if one.excuses(peer, since, at, lease, grace, begun=begun)
    ]
    if not found:
        return ""
    best = min(found, key=lambda one: _far(one, at))
    return "dead" if best.fatal else f"fenced: {best.kind}"


def _far(one: Incident, at: float) -> tuple[bool, bool, bool, float]:
    """Return how little an incident says of a loss: the least explains it.

    That it died says all.  What was done to it says more than what was done to
    everybody, and that more than what it felt; then what is nearest.
    """
    return not one.fatal, one.kind == AWAY, one.peer == EVERYBODY, at - one.end


# --- the rules ----------------------------------------------------------------------


def _of(evidence: Evidence, job_id: str) -> list[LedgerEntry]:
    return _rows_by_job(evidence).get(job_id, [])


def _rows_by_job(evidence: Evidence) -> dict[str, list[LedgerEntry]]:
    found: dict[str, list[LedgerEntry]] | None = evidence.__dict__.get("by_job")
    if found is None:
        found = defaultdict(list)
        for row in evidence.rows:
            found[row.job_id].append(row)
        evidence.__dict__["by_job"] = found
    return found


def _is_slot(row: LedgerEntry) -> bool:
    return row.run is not None and row.run.cause is Cause.SLOT


def _slots(evidence: Evidence) -> Iterator[str]:
    """Each slot is accounted for exactly once, by the row that names it."""
    for job_id, expected in evidence.slots.items():
        said: Counter[int] = Counter()
        for row in _of(evidence, job_id):
            if row.run is not None:
                if row.run.final and _is_slot(row):
                    said[micros(row.run.fire_time)] += 1
            elif row.kind.value in _SLOTS:
                assert row.first is not None
                assert row.last is not None
                first = micros(row.first)
                last = micros(row.last)
                within = [slot for slot in expected if first <= slot <= last]
                if len(within) != row.count:
                    yield (
                        f"slots: {job_id} counts {row.count} {row.kind} between "
                        f"{row.first} and {row.last}, where {len(within)} are"
                    )
                said.update(within)
        for slot in expected:
            if said[slot] != 1:
                word = "lost" if not said[slot] else "doubled"
                yield f"slot {word}: {job_id} at {slot}"
        for slot in said.keys() - set(expected):
            yield f"slot from nowhere: {job_id} at {slot}"


def _missed(evidence: Evidence) -> Iterator[str]:
    """A slot is missed only by a job that had more to do than time for it.

    It is then as late as its grace, and the job was at work all the while.
    """
    work: dict[str, list[float]] = defaultdict(list)
    for row in evidence.rows:
        if row.run is not None and row.run.started_at is not None:
            work[row.job_id].append(row.run.started_at.timestamp())
    for row in evidence.rows:
        if row.kind is not RowKind.MISSED or row.run is not None:
            continue
        assert row.first is not None
        assert row.last is not None
        at, due = row.at.timestamp(), row.last.timestamp()
        if at - due < LEAST_GRACE:
            yield f"missed too soon: {row.job_id} at {row.last}, {at - due:.1f} s late"
        begun = [one for one in work[row.job_id] if due < one <= at]
        still = max(b - a for a, b in pairwise(sorted((due, *begun, at))))
        if still > IDLE:
            yield f"missed at leisure: {row.job_id} stood still for {still:.1f} s"


def _outcomes(evidence: Evidence) -> Iterator[str]:
    """A firing has one final outcome, and an attempt one end."""
    final = Counter(
        (row.job_id, row.run.key)
        for row in evidence.rows
        if row.run is not None and row.run.final
    )
    for firing, number in final.items():
        if number > 1:
            yield f"outcome doubled: {firing} has {number}"
    for attempt, rows in evidence.by_fence.items():
        if len(rows) > 1:
            kinds = [row.kind.value for row in rows]
            yield f"outcome doubled: {attempt} ended as {kinds}"
    for firing in evidence.starts:
        if firing[0] in evidence.jobs and firing not in final:
            yield f"outcome lost: {firing} was started"


def _counters(evidence: Evidence) -> Iterator[str]:
    """The records say what the ledger says."""
    for job_id, job in evidence.jobs.items():
        counts = job.counts
        said: Counter[str] = Counter()
        for row in _of(evidence, job_id):
            if row.run is not None and row.run.final:
                said[row.kind.value] += 1
            elif row.run is None and row.kind.value in _SLOTS:
                said[row.kind.value] += row.count
        names = (*_SLOTS, "succeeded", "failed", "timed_out", "cancelled", "lost")
        for name in names:
            if getattr(counts, name) != said[name]:
                there = getattr(counts, name)
                yield f"counter: {job_id} has {there} {name}, the ledger {said[name]}"
        if counts.fired + counts.asked != counts.outcomes:
            yield f"counter: {job_id} is open: {counts}"
        expected = evidence.slots.get(job_id)
        if expected is not None and counts.slots != len(expected):
            yield f"counter: {job_id} has {counts.slots} of {len(expected)} slots"


def _fences(evidence: Evidence) -> Iterator[str]:
    """No fence is used twice, and later attempts have greater ones."""
    yield from _reused(line for _, line in evidence.lines)
    for firing, lines in evidence.starts.items():
        attempts = [line.attempt for _, line in lines]
        if attempts != sorted(attempts):
            yield f"fence: {firing} has attempts {attempts} in the order of fences"


def _reused(lines: Iterable[Line]) -> Iterator[str]:
    used = Counter(
        (line.firing[0], line.fence) for line in lines if line.kind == "start"
    )
    for fence, number in used.items():
        if number > 1:
            yield f"fence reused: {fence} began {number} times"


def _seen(evidence: Evidence) -> Iterator[str]:
    """What is recorded as done was done, by that very attempt."""
    ended = {(x.firing[0], x.fence) for _, x in evidence.lines if x.kind == "end"}
    begun = {(x.firing[0], x.fence) for _, x in evidence.lines if x.kind == "start"}
    for row in evidence.rows:
        if row.run is None or not row.fence:
            continue
        attempt = row.job_id, row.fence
        if row.kind is RowKind.SUCCEEDED and attempt not in ended:
            yield f"unseen: {attempt} is said to have succeeded"
        elif row.kind in _TRIED_AGAIN and attempt not in begun:
            yield f"unseen: {attempt} is said to have run"


def _promised(evidence: Evidence) -> Iterator[str]:
    """What was acknowledged has an outcome."""
    final = {
        (row.job_id, row.run.key)
        for row in evidence.rows
        if row.run is not None and row.run.final
    }
    ids = {job_id for job_id, _ in final}
    for firing in evidence.asked:
        if tuple(firing) not in final:
            yield f"promise broken: {firing} was acknowledged"
    for job_id in evidence.once:
        if job_id not in ids:
            yield f"promise broken: {job_id} was acknowledged"


def _lost_without_cause(evidence: Evidence) -> Iterator[str]:
    """No claim is taken from a peer to which nothing had happened."""
    for row in evidence.rows:
        if row.kind is RowKind.LOST and row.fence and not culprit(evidence, row):
            yield f"lost without cause: {row.run}; {_around(evidence, row)}"


def _around(evidence: Evidence, row: LedgerEntry) -> str:
    """Tell what happened to the peer of a claim shortly before it was lost."""
    assert row.run is not None
    assert row.run.started_at is not None
    since, at = row.run.started_at.timestamp(), row.at.timestamp()
    told = [
        f"{one.kind} from {one.begin - since:+.2f} to {one.end - since:+.2f} s"
        for one in sorted(evidence.of(row.run.peer), key=lambda one: one.begin)
        if one.end >= since - 2 * evidence.lease and one.begin <= at
    ]
    return f"lost at {at - since:+.2f} s; {', '.join(told) or 'nothing happened'}"


# --- gathering ----------------------------------------------------------------------


def grid(job: Job) -> list[int]:
    """Return all slots of a trigger that ends."""
    trigger: Any = job.trigger
    found: list[int] = []
    after = datetime(2000, 1, 1).astimezone()
    while (at := trigger.next_fire_time(after)) is not None:
        found.append(micros(at))
        after = at
    return found


async def gathered(client: Any, fleet: Fleet, **known: Any) -> Evidence:
    """Read records, ledger and files, when all is quiet."""
    jobs = {**await every_job(client), **await every_job(client, "finished")}
    rows = await client.history(limit=1_000_000)
    lines = [(peer.id, line) for peer, line in fleet.lines("start", "end", "raised")]
    return Evidence(jobs, rows, lines, **known)


# --- when acknowledged writes were lost -----------------------------------------------


@dataclass
class Losses:
    """Evidence of losses of writes, and its judge.

    Attributes:
        grids: Of each declared job: its first slot and its period, in µs.
        losses: When the data was lost: (since, until) as the host's monotonic
            clock, the latter being when the server answered again.
        alarms: When each living peer raised ``data_lost`` for the first time
            afterwards, for each loss.
        lines: What the runs wrote.
        offset: Seconds since 1970 minus the monotonic clock.
        until: The monotonic second up to which slots are judged.
    """

    grids: Mapping[str, tuple[int, int]]
    losses: Sequence[tuple[float, float]]
    alarms: Sequence[Mapping[str, float | None]]
    lines: Sequence[tuple[str, Line]]
    offset: float
    until: float
    beat: float
    slack: float

    def wrong(self) -> list[str]:
        """Return what must not be, also after a loss."""
        wrong = list(_reused(line for _, line in self.lines))
        for (_, back), alarms in zip(self.losses, self.alarms, strict=True):
            for peer, at in alarms.items():
                if at is None:
                    wrong.append(f"alarm: {peer} raised none")
                elif at - back > self.beat + self.slack:
                    wrong.append(f"alarm: {peer} raised it {at - back:.2f} s late")
        wrong += [
            f"slot {name}: {job_id} at {slot}"
            for job_id, slot, name in self.named()
            if name in ("lost", "off the grid", "twice without a loss")
        ]
        return wrong

    def named(self) -> Iterator[tuple[str, int, str]]:
        """Name each slot: as before which loss, within it, or after it.

        ``gap 1`` is a slot that came due between the first loss and the return
        of the declared jobs: nobody could know of it.  ``again 1`` is one that
        ran before the first loss, which forgot that, and once more after it.
        """
        for job_id, (first, period) in self.grids.items():
            seen: dict[int, list[float]] = defaultdict(list)
            for _, line in self.lines:
                if line.kind == "start" and line.firing[0] == job_id:
                    slot = int(line.firing[1])
                    seen[slot].append(line.at)
                    if (slot - first) % period:
                        yield job_id, slot, "off the grid"
            if not seen:
                yield job_id, first, "lost"
                continue
            last = int((self.until + self.offset) * 1e6)
            for slot in range(min(seen), last, period):
                yield job_id, slot, self._name(slot, sorted(seen[slot]))

    def _name(self, slot: int, begun: list[float]) -> str:
        due = slot / 1e6 - self.offset
        for number, (since, back) in enumerate(self.losses, 1):
            if not begun and since - self.beat <= due <= back + self.beat + self.slack:
                return f"gap {number}"
            if len(begun) > 1 and begun[0] <= back and begun[-1] >= since:
                return f"again {number}"
        if not begun:
            return "lost"
        if len(begun) > 1:
            return "twice without a loss"
        number = sum(back <= begun[0] for _, back in self.losses)
        return f"after {number}" if number else "before 1"
