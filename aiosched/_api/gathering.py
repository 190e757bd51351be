"""Many callers that each decide about one record, in one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextvars import Context, copy_context
from functools import partial

from aiosched._api.deciding import (
    Decided,
    DecideOne,
    decide_all,
    decide_one,
    unreadable,
)
from aiosched.abc import MAX_BATCH, Session
from aiosched.errors import StoreDataError, StoreError, StoreUnavailableError
from aiosched.records import Change, Record

__all__ = ["Gathering"]

_FLIGHTS = 2
"""Transactions of a gathering that are under way at a time."""
_BYTES = 65_536
"""Of arguments that travel together; whoever has more goes alone."""
_SILENCE = 1.0
"""Seconds after which a store that is away hangs, rather than having answered."""


class _Call:
    """Somebody who waits for a decision.

    Attributes:
        turn: Ends when there is an outcome, or when nobody waits any more.
        outcome: None: it is to go again, alone.
        again: It is about to do so.
        change: What it wanted when it was last asked.
        decided_at: The loop's time when it had been asked last.
    """

    __slots__ = (
        "_context",
        "_decide",
        "again",
        "change",
        "decided_at",
        "outcome",
        "size",
        "turn",
    )

    def __init__(self, decide: DecideOne, size: int) -> None:
        self.size = size
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcome: Decided | BaseException | None = None
        self.again = False
        self.change: Change | None = None
        self.decided_at = 0.0
        self._decide = decide
        self._context = copy_context()

    def decide(self, record: Record | None, now: int) -> Change | None:
        """Decide as the caller would: triggers may be code of the user's own."""
        self.outcome = self.change = None
        if not self.turn.done():
            try:
                self.change = self._context.run(self._decide, record, now)
            except (Exception, asyncio.CancelledError) as error:
                self.outcome = error
            self.decided_at = self.turn.get_loop().time()
        return self.change

    def end(self, outcome: Decided | BaseException | None) -> None:
        """Let the caller go on; None: alone."""
        if not self.turn.done():
            self.outcome, self.again = outcome, outcome is None
            self.turn.set_result(None)


class Gathering:
    """Calls that come in while others are on their way travel together.

    Who finds nobody on the way goes at once and alone.  Nobody is worse off in
    company: each has an outcome of its own, and what befalls a company because of
    one of them makes each go again, alone, if nothing was written.
    """

    def __init__(self, session: Session) -> None:
        """Have nobody waiting.

        Args:
            session: Whose transactions may be about all ids that come here.
        """
        self._session = session
        self._waiting: dict[str, deque[_Call]] = {}
        self._away: set[str] = set()
        self._flights = 0
        self._called = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def decide(self, job_id: str, decide: DecideOne, size: int) -> Decided:
        """Apply a decision to one record, as :func:`decide_one` does.

        Args:
            job_id: Which one; calls about the same one keep their order.
            decide: The decision.
            size: Bytes that it brings, about.
        """
        if job_id not in self._away and job_id not in self._waiting:
            if not self._waiting and not self._flights:
                return await self._alone(job_id, decide)
            if size > _BYTES:
                return await self._alone(job_id, decide, counts=0)
        call = _Call(decide, size)
        self._waiting.setdefault(job_id, deque()).append(call)
        self._call()
        try:
            await call.turn
        except asyncio.CancelledError:
            if call.again:
                self._land([job_id], 0)
            raise
        if isinstance(call.outcome, BaseException):
            raise call.outcome
        if call.outcome is not None:
            return call.outcome
        return await self._alone(job_id, decide)

    async def _alone(
        self, job_id: str, decide: DecideOne, *, counts: int = 1
    ) -> Decided:
        self._flights += counts
        self._away.add(job_id)
        try:
            return await decide_one(self._session, job_id, decide)
        finally:
            self._land([job_id], counts)

    def _land(self, ids: Iterable[str], counts: int) -> None:
        self._flights -= counts
        self._away.difference_update(ids)
        self._call()

    def _call(self) -> None:
        """Let a company depart, behind whatever else is ready to come along."""
        if self._waiting and self._flights < _FLIGHTS and not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._called = False
        calls = self._pick()
        if not calls:
            return
        self._flights += 1
        self._away.update(calls)
        carry = self._carry(calls)
        begin = partial(
            asyncio.get_running_loop().create_task, carry, name="aiosched gathering"
        )
        try:
            # What is told on the way is told on behalf of nobody in particular.
            task = Context().run(begin)
        except Exception as error:  # by a task factory of the user's own
            carry.close()
            for call in calls.values():
                call.end(_own(error))
            self._land(calls, 1)
            return
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._arrive(done, calls))
        self._call()

    def _arrive(self, task: asyncio.Task[None], calls: Mapping[str, _Call]) -> None:
        self._tasks.discard(task)
        for call in calls.values():
            if call.change is None:
                call.end(None)
            else:
                cut = "the transaction was cut short, and may have been carried out"
                call.end(StoreUnavailableError(cut))
        # Whoever goes again keeps its place before later calls about the same id.
        self._land([one for one, call in calls.items() if not call.again], 1)

    def _pick(self) -> dict[str, _Call]:
        """Take those that go now; of several about one id, the first."""
        calls: dict[str, _Call] = {}
        ended: list[str] = []
        size = 0
        for job_id, line in self._waiting.items():
            if len(calls) == MAX_BATCH:
                break
            if job_id in self._away:
                continue
            while line and line[0].turn.done():
                line.popleft()  # cancelled
            if line:
                if calls and size + line[0].size > _BYTES:
                    break
                size += line[0].size
                calls[job_id] = line.popleft()
            if not line:
                ended.append(job_id)
        for job_id in ended:
            del self._waiting[job_id]
        return calls

    async def _carry(self, calls: Mapping[str, _Call]) -> None:
        """Decide for all of a company, and give each its outcome."""
        ids, begun = list(calls), asyncio.get_running_loop().time()
        try:
            decided = await decide_all(
                self._session, ids, lambda one: calls[one].decide
            )
        except Exception as error:
            self._fail(calls, error, begun)
            return
        for job_id, call in calls.items():
            if job_id not in decided:
                call.end(unreadable(job_id))
            else:
                failed = isinstance(call.outcome, BaseException)
                call.end(call.outcome if failed else decided[job_id])

    def _fail(self, calls: Mapping[str, _Call], error: Exception, begun: float) -> None:
        """Tell those whom it concerns; the others were written, or go again."""
        told = error.jobs if isinstance(error, StoreDataError) else frozenset()
        unwritten = isinstance(error, StoreError) and error.unwritten
        last = max([begun, *(call.decided_at for call in calls.values())])
        silent = asyncio.get_running_loop().time() - last > _SILENCE
        if isinstance(error, StoreUnavailableError) and silent:
            unwritten = False  # nobody's fault: each would wait as long again
        for job_id, call in calls.items():
            if isinstance(call.outcome, BaseException):
                call.end(call.outcome)
            elif told and job_id not in told and call.change is not None:
                call.end((call.change.record, call.change))
            elif len(calls) == 1:
                call.end(error)
            elif (told and job_id not in told) or (unwritten and not told):
                call.end(None)
            else:
                call.end(_own(error))


def _own(error: Exception) -> Exception:
    """Return another that says the same, for somebody else to raise."""
    other = type(error).__new__(type(error), *error.args)
    other.__dict__.update(error.__dict__)
    other.__cause__ = error.__cause__
    return other
