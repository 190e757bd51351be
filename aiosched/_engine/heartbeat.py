"""The heartbeat: leases of this peer's runs, extended at a third of their length.

The store is authoritative: a run is cancelled as lost only when the record
shows that its fence is gone, however late this peer is.  The answer to an
extension also says which runs somebody wants stopped, so a lost signal costs a
third of a lease and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from aiosched import planning
from aiosched._engine.live import Live
from aiosched._engine.runner import Runner
from aiosched._engine.service import Service
from aiosched.abc import MAX_BATCH, Session
from aiosched.clock import Clock
from aiosched.enums import Reason
from aiosched.errors import StoreConflictError, StoreUnavailableError
from aiosched.instants import SECOND
from aiosched.records import Change, Record, Reported

__all__ = ["Heartbeat", "batches", "extension"]

Decide = Callable[[Mapping[str, Record | None], int], Mapping[str, Change]]


def extension(
    owner: str,
    fences: Mapping[str, frozenset[int]],
    lease: int,
    progress: Mapping[str, Mapping[int, Reported]] | None = None,
) -> Decide:
    """Build the decision that extends the leases of one peer's runs.

    Args:
        owner: The peer.
        fences: Of the runs, by job.
        lease: For how long.
        progress: What some of them have said of how far they are, likewise.
    """

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            if record is None:
                continue
            change = planning.extend(
                record.definition,
                record.state,
                owner,
                fences[job_id],
                now,
                lease,
                progress.get(job_id) if progress else None,
            )
            if change is not None:
                changes[job_id] = change
        return changes

    return decide


def batches(
    runs: Iterable[tuple[int, str, int]], *, spanning: bool
) -> list[dict[str, frozenset[int]]]:
    """Group (shard, job id, fence) into transactions: fences by job id.

    Args:
        runs: The runs.
        spanning: Whether a transaction may be about several shards.
    """
    places: dict[int, dict[str, set[int]]] = {}
    for shard, job_id, fence in runs:
        place = places.setdefault(0 if spanning else shard, {})
        place.setdefault(job_id, set()).add(fence)
    grouped: list[dict[str, frozenset[int]]] = []
    for _, jobs in sorted(places.items()):
        ids = list(jobs)
        for first in range(0, len(ids), MAX_BATCH):
            part = ids[first : first + MAX_BATCH]
            grouped.append({job_id: frozenset(jobs[job_id]) for job_id in part})
    return grouped


def said_by(runs: Iterable[Live]) -> dict[str, dict[int, Reported]]:
    """Return what runs have said of how far they are, by job and fence."""
    found: dict[str, dict[int, Reported]] = {}
    for live in runs:
        said = live.context._said
        if said is not None:
            found.setdefault(live.job_id, {})[live.fence] = said
    return found


class Heartbeat(Service):
    """Extends leases and hears which runs are to stop."""

    name = "heartbeat"

    def __init__(
        self,
        clock: Clock,
        session: Session,
        runner: Runner,
        owner: str,
        owns: Callable[[Live], bool],
        moved: Callable[[Mapping[str, Change]], None],
        lost: Callable[[Live], None],
        late: Callable[[float], None],
        reported: Callable[[Live, Reported], None],
    ) -> None:
        super().__init__(clock)
        self.session = session
        self.runner = runner
        self.owner = owner
        self.owns = owns
        self.moved = moved
        self.lost = lost
        self.late = late
        self.reported = reported
        self.lease = session.terms.lease
        self.interval = self.lease / SECOND / 3
        # Whoever rests after an outage until the leases are over has lost them.
        self.longest_pause = min(self.longest_pause, self.interval / 5)
        self._urgent: set[str] = set()
        self._at_once = False

    def check(self, job_ids: Iterable[str]) -> None:
        """Ask the store at once about the runs of these jobs.

        Not about those that have ended: they may hear of their own end.
        """
        live = self.runner.live
        here = [one for one in job_ids if not all(run.ended for run in live.of(one))]
        if here:
            self._urgent.update(here)
            self.wake()

    def check_all(self) -> None:
        """Extend every run's lease at once."""
        self._at_once = True
        self.wake()

    async def confirm(self, live: Live) -> None:
        """Extend a lease that may be over; return when it is held.

        If the run is somebody else's by now, it is cancelled meanwhile.
        """
        live.confirmed = asyncio.get_running_loop().create_future()
        self.check_all()
        await live.confirmed

    async def run(self) -> None:
        """Extend for ever."""
        due = self.clock.monotonic() + self.interval
        while True:
            left = due - self.clock.monotonic()
            if left > 0 and not self._urgent and not self._at_once:
                await self.doze(left)
            if self._urgent:
                # Taken out only when the store has answered, so that an
                # outage in between does not lose the question.
                urgent = frozenset(self._urgent)
                try:
                    await self._ask(sorted(urgent))
                except StoreUnavailableError:
                    # Of one server among several, perhaps: extensions answer the
                    # same, each for its shard.
                    self._at_once = True
                self._urgent -= urgent
            behind = self.clock.monotonic() - due
            if behind > self.interval:
                self.late(behind)
            if behind >= 0 or self._at_once:
                self._at_once = True  # and so again if the store does not answer
                await self.extend(list(self.runner.live))
                self._at_once = False
                self.runner.report_uncooperative()
                due = self.clock.monotonic() + self.interval
            self.alive()

    async def _ask(self, job_ids: Sequence[str]) -> None:
        """Look whether some jobs' runs are to stop, or are lost.

        Without a write: an extension that is not the owner's own is signalled,
        and a signal is what made this peer ask.
        """
        for first in range(0, len(job_ids), MAX_BATCH):
            part = job_ids[first : first + MAX_BATCH]
            asked = {job_id: self.runner.live.of(job_id) for job_id in part}
            self.step()
            records = await self.session.read(part)
            for job_id, runs in asked.items():
                record = records.get(job_id)
                stored = record.state.runs if record is not None else ()
                held = {r.fence: r.cancel for r in stored if r.owner == self.owner}
                self._answer(runs, held)

    async def extend(self, runs: Sequence[Live]) -> None:
        """Extend the leases of some runs.

        All transactions at once, as many as the store has lanes for: one after
        the other, a slow link would use up the leases of the last.  What one
        shard's server does not answer keeps no other lease from being extended,
        as long as there is time for that.

        Raises:
            StoreUnavailableError: Some may not have been extended.
        """
        # An owner's commits are silent: what others have to hear of stands apart.
        own = [live for live in runs if self.owns(live)]
        others = [live for live in runs if not self.owns(live)]
        loop = asyncio.get_running_loop()
        works: list[asyncio.Task[None]] = []
        for part, signal in ((own, False), (others, True)):
            by_fence = {(live.job_id, live.fence): live for live in part}
            for fences in batches(
                [(live.shard, live.job_id, live.fence) for live in part],
                spanning=self.session.spanning,
            ):
                extending = self._extend(fences, by_fence, signal=signal)
                works.append(loop.create_task(extending, name="aiosched extend"))
        if not works:
            return
        try:
            _, rest = await asyncio.wait(works, return_when=asyncio.FIRST_EXCEPTION)
            if rest:
                await asyncio.wait(rest, timeout=2 * self.interval)
        finally:
            for work in works:
                work.cancel()
            # Nothing of it may go on beside the next extension.
            answers = await asyncio.gather(*works, return_exceptions=True)
        failed = [one for one in answers if isinstance(one, Exception)]
        # A fault of this program says more than an outage beside it.
        failed.sort(key=lambda error: isinstance(error, StoreUnavailableError))
        if failed:
            raise failed[0]

    async def _extend(
        self,
        fences: Mapping[str, frozenset[int]],
        by_fence: Mapping[tuple[str, int], Live],
        *,
        signal: bool,
    ) -> None:
        """Extend the leases of runs, at most ``MAX_BATCH`` jobs."""
        self.step()
        try:
            changes = await self.session.transact(
                list(fences),
                extension(self.owner, fences, self.lease, said_by(by_fence.values())),
                signal=signal,
                urgent=True,
            )
        except StoreConflictError:
            if len(fences) == 1:
                return  # a third of the lease is gone; there are two more tries
            # One that many others write must not cost the rest their leases.
            ids = list(fences)
            for part in (ids[::2], ids[1::2]):
                half = {job_id: fences[job_id] for job_id in part}
                await self._extend(half, by_fence, signal=signal)
            return
        finally:
            self.step()
        self.moved(changes)
        for job_id, asked in fences.items():
            change = changes.get(job_id)
            held = change.answer if change is not None else {}
            self._answer([by_fence[job_id, f] for f in sorted(asked)], held)
            if change is None or change.record is None:
                continue
            for run in change.record.state.runs:
                if run.fence in held:
                    live = by_fence[job_id, run.fence]
                    live.held(run.until)
                    if run.progress is not None and run.progress != live.told:
                        live.told = run.progress
                        self.reported(live, run.progress)

    def _answer(self, runs: Collection[Live], held: Mapping[int, Reason]) -> None:
        for live in runs:
            if live.ended:
                continue  # being settled: the fence may be gone rightly
            if live.fence not in held:
                self.lost(live)
            elif held[live.fence] is not Reason.NONE:
                self.runner.cancel(live, held[live.fence])
