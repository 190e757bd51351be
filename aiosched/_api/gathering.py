"""Many callers that each decide about one record, in one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextvars import Context, copy_context

from aiosched._api.deciding import (
    Decided,
    DecideOne,
    decide_all,
    decide_one,
    unreadable,
)
from aiosched.abc import MAX_BATCH, Session
from aiosched.errors import StoreDataError, StoreUnavailableError
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
        change: What it wanted when it was last asked.
    """

    __slots__ = ("_context", "_decide", "change", "job_id", "outcome", "size", "turn")

    def __init__(self, job_id: str, decide: DecideOne, size: int) -> None:
        self.job_id = job_id
        self.size = size
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcome: Decided | Exception | None = None
        self.change: Change | None = None
        self._decide = decide
        self._context = copy_context()

    def decide(self, record: Record | None, now: int) -> Change | None:
        """Decide as the caller would: triggers may be code of the user's own."""
        self.outcome = self.change = None
        if not self.turn.done():
            try:
                self.change = self._context.run(self._decide, record, now)
            except Exception as error:
                self.outcome = error
        return self.change

    def end(self, outcome: Decided | Exception | None) -> None:
        """Let the caller go on."""
        if not self.turn.done():
            self.outcome = outcome
            self.turn.set_result(None)


class Gathering:
    """Calls that come in while others are on their way travel together.

    Who finds nobody on the way goes at once and alone.  Nobody is worse off in
    company: each has an outcome of its own, and what befalls a company because of
    one of them makes each go again, alone.
    """

    def __init__(self, session: Session) -> None:
        """Have nobody waiting.

        Args:
            session: Whose transactions may be about all ids that come here.
        """
        self._session = session
        self._waiting: deque[_Call] = deque()
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
        if not self._knows(job_id):
            if not self._waiting and not self._flights:
                return await self._alone(job_id, decide)
            if size > _BYTES:
                return await self._alone(job_id, decide, counts=0)
        call = _Call(job_id, decide, size)
        self._waiting.append(call)
        self._call()
        await call.turn
        if isinstance(call.outcome, Exception):
            raise call.outcome
        if call.outcome is not None:
            return call.outcome
        record, change = await self._alone(job_id, decide)
        if change is None and _is_of(record, call.change):
            change = call.change  # a part of what had failed was written
        return record, change

    def _knows(self, job_id: str) -> bool:
        return job_id in self._away or any(
            call.job_id == job_id for call in self._waiting
        )

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
        # What is told on the way is told on behalf of nobody in particular.
        task = asyncio.get_running_loop().create_task(
            self._carry(calls), name="aiosched gathering", context=Context()
        )
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._arrive(done, calls))
        self._call()

    def _arrive(self, task: asyncio.Task[None], calls: Mapping[str, _Call]) -> None:
        self._tasks.discard(task)
        # Whoever has no outcome by now goes again, before others come along.
        for call in calls.values():
            call.end(None)
        self._land(calls, 1)

    def _pick(self) -> dict[str, _Call]:
        """Take those that go now; of several about one id, the first."""
        calls: dict[str, _Call] = {}
        passed: deque[_Call] = deque()
        held, size = set(self._away), 0
        while self._waiting and max(len(calls), len(passed)) < MAX_BATCH:
            call = self._waiting.popleft()
            if call.turn.done():
                continue  # cancelled
            if call.job_id in held or (calls and size + call.size > _BYTES):
                passed.append(call)
            else:
                calls[call.job_id] = call
                size += call.size
            held.add(call.job_id)
        self._waiting.extendleft(reversed(passed))
        return calls

    async def _carry(self, calls: Mapping[str, _Call]) -> None:
        """Decide for all of a company, and give each its outcome."""
        ids, loop = list(calls), asyncio.get_running_loop()
        begun = loop.time()
        try:
            decided = await decide_all(
                self._session, ids, lambda one: calls[one].decide
            )
        except Exception as error:
            concerned: Collection[str] = ids if len(ids) == 1 else ()
            if isinstance(error, StoreDataError):
                concerned = error.jobs or concerned
            elif isinstance(error, StoreUnavailableError):
                # Nobody's fault, and each would wait as long again for the same.
                concerned = ids if loop.time() - begun > _SILENCE else concerned
            for job_id in calls.keys() & set(concerned):
                calls[job_id].end(_own(error) if len(ids) > 1 else error)
            return
        for job_id, call in calls.items():
            if job_id not in decided:
                call.end(unreadable(job_id))
            else:
                failed = isinstance(call.outcome, Exception)
                call.end(call.outcome if failed else decided[job_id])


def _own(error: Exception) -> Exception:
    """Return another that says the same, for somebody else to raise."""
    other = type(error).__new__(type(error), *error.args)
    other.__dict__.update(error.__dict__)
    other.__cause__ = error.__cause__
    return other


def _is_of(record: Record | None, change: Change | None) -> bool:
    """Tell whether a record is the one that was wanted."""
    if record is None or change is None or change.record is None:
        return False
    state, wanted = record.state, change.record.state
    return (state.created, state.seq) == (wanted.created, wanted.seq)
