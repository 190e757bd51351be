"""The judge: sees every write and every execution, and holds them to the rules.

It raises nothing while the cluster runs: what it finds stands in ``violations``,
with the virtual instant at which it happened, and a run goes on to its end, so
that one seed shows all that it has to show.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiosched.abc import Signal, Terms
from aiosched.enums import JobState, OnLost, RowKind
from aiosched.instants import SECOND
from aiosched.planning import attend, instant
from aiosched.records import Record, Row
from aiosched.testing.simulation.commits import Commit, Loss
from aiosched.testing.simulation.conduct import Conduct, Execution
from aiosched.testing.simulation.hearing import misheard
from aiosched.testing.simulation.losses import (
    Absences,
    Forgotten,
    NamedSlot,
    named_slots,
    outside,
)
from aiosched.testing.simulation.rules import WRITES
from aiosched.testing.simulation.steps import Claim, Firing, Past, Step, of_run, plain
from aiosched.testing.simulation.verbs import Verbs
from aiosched.testing.simulation.verdicts import (
    BOOKS,
    ENTERED,
    PROMPT,
    REACHED,
    SIGNALS,
    TWICE,
)

__all__ = ["Execution", "Judge", "Violation"]

_MOST = 50
"""Violations that are kept; what follows from the first few helps nobody."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken.

    Attributes:
        at: The store's instant, in microseconds since 1970.
        second: The virtual second.
        rule: Its name, a key of ``RULES``.
        job_id: The job concerned; empty for none.
        text: What was found.
    """

    at: int
    second: float
    rule: str
    job_id: str
    text: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.second:.6f}s {self.rule}: {self.job_id or '-'}: {self.text}"


class _Entry(NamedTuple):
    """An entry of an agenda, and since when it has been there."""

    due: int | None
    since: int


class Judge:
    """Holds one simulated cluster to the rules.

    Args:
        terms: Those of the namespace.
        now: Tells the store's instant.
        second: Tells the virtual second.
        prompt: How long a look may take while all is well, in microseconds.

    Attributes:
        violations: What was found, in order, the first 50.
        past: What was committed.
        executions: Every entry into an executor, by (job id, fence).
        rows: The ledger as it ought to be.
        losses: When the store lost data.
        forgotten: What it forgot each time.
        absences: Who could hear of nothing, and when.
        conduct: What peers do, held against what they write.
    """

    def __init__(
        self,
        terms: Terms,
        now: Callable[[], int],
        second: Callable[[], float],
        *,
        prompt: int = 3 * SECOND,
    ) -> None:
        """Begin with an empty store."""
        self.terms = terms
        self.violations: list[Violation] = []
        self.past: Past = Past()
        self.executions: dict[tuple[str, int], Execution] = {}
        self.rows: list[Row] = []
        self.losses: list[int] = []
        self.forgotten: list[Forgotten] = []
        self.absences: Absences = Absences(terms.beat)
        self._written = 0
        self._when: list[int] = []
        self._epochs: list[tuple[int, list[Row], list[int]]] = [
            (0, self.rows, self._when)
        ]
        self.counts: Counter[str] = Counter()
        self.owners: dict[str, str] = {}
        self.conduct: Conduct = Conduct(terms, second, self.executions, self.owners)
        self.prompt = prompt
        self.room: Callable[[Record, bool], int | None] = lambda *_: 0
        self._now = now
        self._second = second
        self._entries: dict[str, _Entry] = {}
        self._trouble: list[tuple[int, int]] = []
        self._entered: dict[Firing, int] = {}
        self._going: dict[str, set[tuple[str, int]]] = {}
        self._verbs = Verbs()

    def violate(self, rule: str, job_id: str, text: str, at: int | None = None) -> None:
        """Note that a rule was broken."""
        if len(self.violations) < _MOST:
            instant = self._now() if at is None else at
            self.violations.append(
                Violation(instant, self._second(), rule, job_id, text)
            )

    # -- what the world tells -----------------------------------------------------

    def peer(self, node: str, owner: str) -> None:
        """Learn the incarnation id of a node's scheduler, before it is started."""
        self.owners[owner] = node

    def trouble(self, begin: int, end: int) -> None:
        """Learn of a time, in microseconds, in which promptness is not asked for."""
        self._trouble.append((begin, end))

    def committed(self, commits: Sequence[Commit]) -> None:
        """Judge what one transaction committed."""
        now = self._now()
        for commit in commits:
            step = Step(commit, self.past, self.terms.lease, self.owners)
            for rule in WRITES:
                assert rule.check is not None
                for text in rule.check(step):
                    self.violate(rule.name, commit.job_id, text, commit.at)
            for name, text in self.conduct.judge(step):
                self.violate(name, commit.job_id, text, commit.at)
            self._promptly(step)
            self._count(step)
            self.past.take(step, now)
            self.rows.extend(commit.rows)
            self._when.extend([now] * len(commit.rows))
            self._verbs.take(commit)
            self._entries[commit.job_id] = _Entry(commit.due, commit.at)
            if commit.after is None:
                del self._entries[commit.job_id]

    def told(
        self,
        commits: Sequence[Commit],
        signals: Sequence[Signal],
        announced: bool,  # noqa: FBT001
    ) -> None:
        """Judge what was published with what one transaction committed.

        Args:
            commits: What it committed.
            signals: What was published by it, and not before or afterwards.
            announced: Whether peers compare what they have read with it.
        """
        for job_id, text in misheard(
            commits, signals, self._stands, announced=announced
        ):
            self.violate(SIGNALS, job_id, text)

    def _stands(self, job_id: str) -> tuple[Record | None, int | None]:
        entry = self._entries.get(job_id)
        due = None if entry is None else entry.due
        return self.past.records.get(job_id), due

    def answers(
        self,
        verb: str,
        job_id: str,
        answer: object,
        called: int,
        known: Record | None,
    ) -> str | None:
        """Say what is wrong about the answer to a verb; None: nothing."""
        record = self.past.records.get(job_id)
        return self._verbs.answers(verb, job_id, answer, called, known, record)

    def listeners(self, keyword: str) -> frozenset[Firing]:
        """Return the jobs that a fire of a keyword has to reach, as of now."""
        return frozenset(
            Firing(job_id, record.state.created, "")
            for job_id, record in self.past.records.items()
            if record.definition.spec.keyword == keyword
            and record.state.status in (JobState.ACTIVE, JobState.PAUSED)
        )

    def reached(
        self,
        keyword: str,
        before: frozenset[Firing],
        firings: Iterable[Any],
        called: int,
    ) -> None:
        """Judge whom a fire has reached.

        Args:
            keyword: Which was fired.
            before: Its listeners at the instant of the call.
            firings: What was answered.
            called: The instant of the call.
        """
        if any(at >= called for at in self.losses):
            return
        reached = {firing.job_id for firing in firings}
        for job_id, *_ in sorted(before & self.listeners(keyword)):
            if job_id not in reached:
                self.violate(REACHED, job_id, f"a fire of {keyword} passed it by")

    def _count(self, step: Step) -> None:
        self.counts["writes"] += 1
        self.counts["claims"] += len(step.begun)
        for row in step.commit.rows:
            if row.final:
                self.counts["outcomes"] += 1
            elif row.kind is RowKind.LOST:
                self.counts["takeovers"] += 1
            elif row.kind is RowKind.HANDED_BACK:
                self.counts["handed back"] += 1

    def _long(self, since: int | None, now: int) -> bool:
        """Tell whether something has been so for long enough to be acted on."""
        return since is not None and self.calm(since, now) > self.prompt

    def _promptly(self, step: Step) -> None:
        """Judge how long a due entry has waited for this look."""
        entry = self._entries.get(step.commit.job_id)
        if entry is None or entry.due is None or not step.begun:
            return
        before = step.commit.before
        ready = max(entry.due, entry.since)
        able = None if before is None or ready <= 0 else self.room(before, True)
        if able is None:
            return
        waited = self.calm(max(ready, able), step.commit.at)
        if waited > self.prompt:
            self.violate(
                PROMPT,
                step.commit.job_id,
                f"due at {ready}, it was looked at {waited / SECOND:.3f} s later",
                step.commit.at,
            )

    def calm(self, begin: int, end: int) -> int:
        """Return how much of a time, in microseconds, nothing was wrong."""
        return outside(self._trouble, begin, end)

    def lost(self, loss: Loss) -> None:
        """Learn that the store has lost data, and what it has now.

        What had ended after the state that it fell back to may end again; a
        fence that was drawn is drawn for good.
        """
        since = loss.since
        kept = loss.records
        records, rows = dict(self.past.records), self.rows
        self.losses.append(loss.at)
        self.conduct.lost()
        past = self.past
        past.records = dict(kept)
        self.rows, self._when = ([], []) if since is None else self._ledger_at(since)
        self._epochs.append((loss.at, self.rows, self._when))
        if self.forgotten and self._written == self.counts["writes"]:
            # Nobody has written since the one before: they are one loss.
            earlier = self.forgotten.pop()
            records, rows = dict(earlier.records), list(earlier.rows)
        self._written = self.counts["writes"]
        self.forgotten.append(Forgotten(loss, records, tuple(rows), tuple(self.rows)))
        past.finals = {
            firing: at
            for firing, at in past.finals.items()
            if since is not None and at <= since
        }
        past.ends = {
            (row.job_id, row.fence): row
            for row in self.rows
            if row.fence and of_run(row)
        }
        held = {(i, run.fence) for i, r in kept.items() for run in r.state.runs}
        for firing, fences in past.attempts.items():
            fences[:] = [
                fence
                for fence in fences
                if (firing.job_id, fence) in past.ends or (firing.job_id, fence) in held
            ]
        self._entered.clear()
        self._entries = {
            job_id: _Entry(instant(record.definition, record.state), loss.at)
            for job_id, record in kept.items()
        }

    def named(self) -> tuple[tuple[Loss, tuple[NamedSlot, ...]], ...]:
        """Name each slot as accounted for before or after each loss."""
        ends = [*(one.rows for one in self.forgotten[1:]), tuple(self.rows)]
        return tuple(
            (one.loss, named_slots(one, rows))
            for one, rows in zip(self.forgotten, ends, strict=True)
        )

    def _ledger_at(self, since: int) -> tuple[list[Row], list[int]]:
        """Return rows and when they were committed, as of an instant.

        It may lie before an earlier loss.  What was decided before it and
        committed afterwards is not among them.
        """
        _, rows, when = [one for one in self._epochs if one[0] <= since][-1]
        kept = bisect.bisect_right(when, since)
        return rows[:kept], when[:kept]

    # -- what executors tell --------------------------------------------------------

    def started(
        self,
        node: str,
        job_id: str,
        key: str,
        attempt: int,
        fence: int,
        told: Callable[[], bool] | None = None,
    ) -> None:
        """Note that an executor was entered; ``told``: whether it is to stop."""
        self.counts["executions"] += 1
        now = self._now()
        found = Execution(node, job_id, key, attempt, fence, now)
        found.second, found.told = self._second(), told
        claim = self.past.claims.get((job_id, fence))
        if (job_id, fence) in self.executions:
            self.violate(ENTERED, job_id, f"claim {fence} is entered again on {node}")
        elif claim is None or claim.node != node:
            self.violate(ENTERED, job_id, f"{node} enters {fence}, which it never had")
        else:
            self._entering(claim, found)
        self.executions[job_id, fence] = found
        self._going.setdefault(node, set()).add((job_id, fence))

    def _entering(self, claim: Claim, found: Execution) -> None:
        record = self.past.records.get(found.job_id)
        held = None
        if record is not None:
            runs = record.state.runs
            held = next((r for r in runs if r.fence == found.fence), None)
        lost = any(at >= claim.at for at in self.losses)
        if held is None and not lost and claim.run.until <= found.started:
            self.violate(
                ENTERED,
                found.job_id,
                f"{found.node} enters {found.fence}, whose lease ended "
                f"{(found.started - claim.run.until) / SECOND:.3f} s ago",
            )
        before = self._entered.get(claim.firing)
        if (
            before is not None
            and record is not None
            and record.definition.spec.on_lost is OnLost.RECORD
            and self._was_lost(found.job_id, before)
        ):
            self.violate(
                TWICE,
                found.job_id,
                f"firing {claim.firing.key} was entered with {before}, and again "
                f"with {found.fence}",
            )
        self._entered[claim.firing] = found.fence

    def _was_lost(self, job_id: str, fence: int) -> bool:
        row = self.past.ends.get((job_id, fence))
        return row is None or row.kind in (RowKind.LOST, RowKind.HANDED_BACK)

    def ended(self, node: str, job_id: str, fence: int, by: str) -> None:
        """Note that an executor was left."""
        execution = self.executions.get((job_id, fence))
        if execution is not None and execution.ended is None:
            execution.ended, execution.by = self._now(), by
            self._conducted(execution)
        self._going.get(node, set()).discard((job_id, fence))

    def _conducted(self, execution: Execution) -> None:
        for name, text in self.conduct.ended(execution):
            self.violate(name, execution.job_id, text)

    def crashed(self, node: str) -> None:
        """Note that whatever ran on a node runs no more."""
        self.conduct.left(node)
        for job_id, fence in sorted(self._going.pop(node, ())):
            execution = self.executions[job_id, fence]
            execution.ended, execution.by = self._now(), "crashed"

    # -- the end ------------------------------------------------------------------

    def finish(
        self,
        records: Mapping[str, Record],
        rows: Iterable[Row],
        living: int,
        read: int,
    ) -> None:
        """Judge what is left when everything has settled down.

        Args:
            records: What the store has.
            rows: What its ledger has.
            living: How many peers are running.
            read: The instant at which reading began; what was written since is
                left out.
        """
        for job_id in sorted(records.keys() | self.past.records.keys()):
            ought = self.past.records.get(job_id)
            entry = self._entries.get(job_id)
            fresh = entry.since >= read if entry is not None else job_id in records
            if not fresh and plain(records.get(job_id)) != plain(ought):
                self.violate("chain", job_id, "was written by nobody")
        for keys in self._going.values():
            for key in sorted(keys):
                self._conducted(self.executions[key])
        self._compare([row for row in rows if row.at < read], read)
        if living:
            self._unattended(self.past.records, self._now())

    def _compare(self, rows: list[Row], read: int) -> None:
        oldest = self._now() - self.terms.ledger_age
        there = Counter(row for row in rows if row.at >= oldest)
        ought = Counter(row for row in self.rows if oldest <= row.at < read)
        if there == ought:
            return
        for row, count in (ought - there).items():
            self.violate(
                BOOKS, row.job_id, f"{count} row(s) {row.kind} {row.key} are missing"
            )
        for row, count in (there - ought).items():
            self.violate(
                BOOKS, row.job_id, f"{count} row(s) {row.kind} {row.key} too many"
            )

    def _unattended(self, records: Mapping[str, Record], now: int) -> None:
        """Judge what is due, and has been for long, and nobody looks at."""
        for job_id, entry in sorted(self._entries.items()):
            record = records.get(job_id)
            if entry.due is None or record is None or entry.due > now:
                continue
            waited = self.calm(max(entry.due, entry.since), now)
            if waited <= self.prompt:
                continue
            if not self._long(self.room(record, False), now):
                continue
            can = int(self._long(self.room(record, True), now))
            change = attend(
                record.definition, record.state, now, can, "judge", self.terms.lease
            )
            if change is not None:
                self.violate(
                    PROMPT,
                    job_id,
                    f"due at {entry.due}, nobody has looked at it for "
                    f"{waited / SECOND:.3f} s",
                )
