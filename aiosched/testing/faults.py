"""A store that fails on purpose, at places that you name.

Wrap any store and plan what goes wrong::

    store = FaultyStore(MemoryJobStore())
    store.plan(
        Fault("transact", nth=3, kind="lost_reply"),
        Fault("signals", kind="drop", times=None),
    )
    scheduler = Scheduler(store)

A fault is data: it names a verb of :class:`aiosched.abc.Session` (or ``open``,
``watch``, ``signals``), which of its calls it strikes, and what happens there.
What happened is in :attr:`FaultyStore.struck`; a fault that never struck is in
:attr:`FaultyStore.unused`, so that a test can say that it tested something.

The kinds:

``refuse``
    The call fails with ``StoreUnavailableError`` and nothing was done.
``lost_reply``
    The call is carried out, and then fails with ``StoreUnavailableError``.
``delay``
    The call is carried out ``seconds`` later, on the running loop's time.
``hang``
    The call waits until :meth:`FaultyStore.release`, and is then carried out.
``drop``
    The verb ``signals`` only: the signal is never heard.  ``canary`` signals
    are dropped like any other; say so with ``match`` if they are to pass.
``error``
    The call raises ``error`` and nothing was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aiosched.abc import (
    MAX_BATCH,
    Beat,
    Counters,
    Decide,
    ExecutorInfo,
    Guarded,
    GuardStep,
    Head,
    JobStore,
    Mended,
    Page,
    Pulse,
    Report,
    RowPage,
    Session,
    Signal,
    SignalStream,
    Terms,
)
from aiosched.clock import Clock, SystemClock
from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.records import Change, Record

__all__ = ["Fault", "FaultKind", "FaultySession", "FaultyStore", "Strike"]

T = TypeVar("T")

FaultKind = Literal["refuse", "lost_reply", "delay", "hang", "drop", "error"]

VERBS = (
    "open",
    "transact",
    "read",
    "list",
    "agenda",
    "by_keyword",
    "ledger",
    "beat",
    "guard",
    "advertise",
    "catalogue",
    "now",
    "sweep",
    "mend",
    "watch",
    "signals",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        verb: Where: a verb of the port, ``open``, ``watch``, or ``signals`` for
            each signal that is heard; ``*`` for every verb but ``signals``.
        nth: The first call that it strikes, counted from 1 over all sessions
            from the moment it was planned, among the calls that ``match``.
        times: How many calls in a row it strikes; None: all from then on.
        kind: What happens; see the module's text.
        seconds: How long ``delay`` takes.
        match: Given the call's arguments as keywords by name (``signal=`` for a
            signal): whether the call counts.  None: every call does.
        error: What ``error`` raises.
    """

    verb: str
    nth: int = 1
    kind: FaultKind = "refuse"
    times: int | None = 1
    seconds: float = 0.0
    match: Callable[..., bool] | None = None
    error: Exception | None = None

    def __post_init__(self) -> None:
        """Refuse what could never strike.

        Raises:
            ValueError: No such verb, an ordinal below 1, or a kind that does
                not go with the verb.
        """
        if self.verb != "*" and self.verb not in VERBS:
            raise ValueError(f"{self.verb!r} is no verb; use * or one of {VERBS}")
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError("calls are counted from 1")
        if (self.kind == "drop") is not (self.verb == "signals"):
            raise ValueError("signals can be dropped, and nothing else can")
        if (self.kind == "error") is not (self.error is not None):
            raise ValueError('kind="error" takes an error, and no other kind does')


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that struck: which, and at which call of its verb."""

    fault: Fault
    verb: str
    call: int


class _Planned:
    """A fault with its count of calls."""

    __slots__ = ("fault", "seen", "struck")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.struck = 0

    def strikes(self, verb: str, arguments: Mapping[str, Any]) -> bool:
        """Count the call, and say whether it is one of those."""
        fault = self.fault
        if fault.verb != verb and (fault.verb != "*" or verb == "signals"):
            return False
        if fault.match is not None and not fault.match(**arguments):
            return False
        self.seen += 1
        if self.seen < fault.nth:
            return False
        if fault.times is not None and self.seen >= fault.nth + fault.times:
            return False
        self.struck += 1
        return True


class FaultyStore(JobStore):
    """Any store, with faults.

    Without a plan it does what the inner store does, and no more waiting.

    Args:
        store: The store to wrap; it may be used beside the wrapper as well.
        plan: Faults to begin with; see :meth:`plan`.
        clock: Whose ``sleep`` a delay takes; None: the running loop's.

    Attributes:
        calls: How often each verb was called.
        struck: What has gone wrong so far, in order.
    """

    def __init__(
        self, store: JobStore, *plan: Fault, clock: Clock | None = None
    ) -> None:
        """Wrap a store; no loop need be running."""
        self.inner = store
        self.threadable: bool = store.threadable
        self.calls: dict[str, int] = dict.fromkeys(VERBS, 0)
        self.struck: list[Strike] = []
        self._clock: Clock = SystemClock() if clock is None else clock
        self._plan: list[_Planned] = []
        self._gate: asyncio.Event | None = None
        self._arrival: asyncio.Event | None = None
        self._hanging = 0
        self.plan(*plan)

    def plan(self, *faults: Fault) -> None:
        """Add faults; their calls are counted from now on."""
        self._plan += [_Planned(fault) for fault in faults]

    def heal(self) -> None:
        """Forget all faults and let go of what hangs."""
        self._plan.clear()
        self.release()

    def release(self) -> None:
        """Let calls that hang be carried out; later ones hang again."""
        if self._gate is not None:
            self._gate.set()
            self._gate = None

    @property
    def hanging(self) -> int:
        """How many calls hang at this moment."""
        return self._hanging

    async def hung(self, count: int = 1) -> None:
        """Return as soon as that many calls hang."""
        while self._hanging < count:
            if self._arrival is None:
                self._arrival = asyncio.Event()
            await self._arrival.wait()

    @property
    def unused(self) -> tuple[Fault, ...]:
        """The planned faults that have not struck."""
        return tuple(one.fault for one in self._plan if not one.struck)

    async def open(
        self,
        namespace: str,
        terms: Mapping[str, Any],
        *,
        report: Report | None = None,
    ) -> FaultySession:
        """Open a session of the inner store, and wrap it.

        Raises:
            StoreUnavailableError: A fault, or the inner store's own.
        """
        arguments = {"namespace": namespace, "terms": terms}
        session = await self.carry_out(
            "open",
            lambda: self.inner.open(namespace, terms, report=report),
            arguments,
            undo=lambda lost: lost.close(),
        )
        return FaultySession(self, session)

    def fault_at(self, verb: str, arguments: Mapping[str, Any]) -> Fault | None:
        """Count a call; return the fault that strikes it, the first planned."""
        self.calls[verb] += 1
        found: Fault | None = None
        for planned in self._plan:
            if planned.strikes(verb, arguments) and found is None:
                found = planned.fault
        if found is not None:
            self.struck.append(Strike(found, verb, self.calls[verb]))
        return found

    async def carry_out(
        self,
        verb: str,
        call: Callable[[], Awaitable[T]],
        arguments: Mapping[str, Any],
        undo: Callable[[T], Awaitable[None]] | None = None,
    ) -> T:
        """Make a call, or what becomes of it.

        Args:
            verb: Its name, for the plan.
            call: Makes it.
            arguments: What the plan may look at.
            undo: Lets go of an answer that is then lost.
        """
        fault = self.fault_at(verb, arguments)
        if fault is None:
            return await call()
        if fault.kind in ("error", "refuse"):
            refusal = fault.error
            if refusal is None:
                refusal = StoreUnavailableError(f"{verb} was refused, as planned")
            if isinstance(refusal, StoreError):
                refusal.unwritten = True
            raise refusal
        if fault.kind == "delay":
            await self._clock.sleep(fault.seconds)
        elif fault.kind == "hang":
            await self._hang()
        answer = await call()
        if fault.kind == "lost_reply":
            if undo is not None:
                await undo(answer)
            raise StoreUnavailableError(f"the reply to {verb} was lost, as planned")
        return answer

    async def _hang(self) -> None:
        if self._gate is None:
            self._gate = asyncio.Event()
        self._hanging += 1
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None
        try:
            await self._gate.wait()
        finally:
            self._hanging -= 1


class FaultySession(Session):
    """A session whose calls go through the plan of its :class:`FaultyStore`.

    ``close``, ``estimate`` and the closing of a subscription never fail.
    """

    def __init__(self, store: FaultyStore, session: Session) -> None:
        """Wrap an open session."""
        self.inner = session
        self.terms: Terms = session.terms
        self.counters: Counters = session.counters
        self.spanning: bool = session.spanning
        self._store = store

    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
        urgent: bool = False,
    ) -> dict[str, Change]:
        """As the inner session, or a fault; ``match`` sees ids, claim, signal."""
        return await self._store.carry_out(
            "transact",
            lambda: self.inner.transact(
                ids, decide, claim=claim, signal=signal, urgent=urgent
            ),
            {"ids": ids, "claim": claim, "signal": signal},
        )

    async def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """As the inner session, or a fault; ``match`` sees ids."""
        return await self._store.carry_out(
            "read", lambda: self.inner.read(ids), {"ids": ids}
        )

    async def list(self, *, cursor: str | None = None, limit: int = 100) -> Page:
        """As the inner session, or a fault; ``match`` sees cursor and limit."""
        return await self._store.carry_out(
            "list",
            lambda: self.inner.list(cursor=cursor, limit=limit),
            {"cursor": cursor, "limit": limit},
        )

    async def agenda(
        self,
        heads: Sequence[tuple[int, str]],
        *,
        limit: int = MAX_BATCH,
        partial: bool = False,
    ) -> Sequence[Head]:
        """As the inner session, or a fault; ``match`` sees heads and limit."""
        return await self._store.carry_out(
            "agenda",
            lambda: self.inner.agenda(heads, limit=limit, partial=partial),
            {"heads": heads, "limit": limit},
        )

    async def by_keyword(self, keyword: str) -> Sequence[str]:
        """As the inner session, or a fault; ``match`` sees keyword."""
        return await self._store.carry_out(
            "by_keyword", lambda: self.inner.by_keyword(keyword), {"keyword": keyword}
        )

    async def ledger(
        self,
        job_id: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RowPage:
        """As the inner session, or a fault; ``match`` sees job_id."""
        return await self._store.carry_out(
            "ledger",
            lambda: self.inner.ledger(
                job_id, since=since, until=until, limit=limit, cursor=cursor
            ),
            {"job_id": job_id},
        )

    async def beat(self, beat: Beat) -> Pulse:
        """As the inner session, or a fault; ``match`` sees beat."""
        return await self._store.carry_out(
            "beat", lambda: self.inner.beat(beat), {"beat": beat}
        )

    async def advertise(self, executors: Sequence[ExecutorInfo]) -> None:
        """As the inner session, or a fault; ``match`` sees executors."""
        await self._store.carry_out(
            "advertise",
            lambda: self.inner.advertise(executors),
            {"executors": executors},
        )

    async def catalogue(self) -> dict[str, ExecutorInfo]:
        """As the inner session, or a fault."""
        return await self._store.carry_out("catalogue", self.inner.catalogue, {})

    async def guard(
        self, step: GuardStep, name: str, token: str, *, owner: str = "", ttl: int = 0
    ) -> Guarded:
        """As the inner session, or a fault; ``match`` sees step and name."""
        return await self._store.carry_out(
            "guard",
            lambda: self.inner.guard(step, name, token, owner=owner, ttl=ttl),
            {"step": step, "name": name},
        )

    def signals(self) -> SignalStream:
        """Return a subscription whose signals may be dropped."""
        return _FaultyStream(self._store, self.inner.signals())

    async def now(self) -> int:
        """As the inner session, or a fault."""
        return await self._store.carry_out("now", self.inner.now, {})

    def estimate(self) -> int:
        """Return what the inner session says."""
        return self.inner.estimate()

    def drift(self) -> int | None:
        """Return what the inner session says."""
        return self.inner.drift()

    async def sweep(self) -> int:
        """As the inner session, or a fault."""
        return await self._store.carry_out("sweep", self.inner.sweep, {})

    async def mend(self) -> Mended:
        """As the inner session, or a fault."""
        return await self._store.carry_out("mend", self.inner.mend, {})

    async def close(self) -> None:
        """Close the inner session."""
        await self.inner.close()


class _FaultyStream(SignalStream, AsyncIterator[Signal]):
    def __init__(self, store: FaultyStore, stream: SignalStream) -> None:
        self._store = store
        self._stream = stream
        self._signals: AsyncIterator[Signal] | None = None

    async def watch(self, changed: frozenset[int], done: frozenset[int]) -> None:
        await self._store.carry_out(
            "watch",
            lambda: self._stream.watch(changed, done),
            {"changed": changed, "done": done},
        )

    def __aiter__(self) -> AsyncIterator[Signal]:
        self._signals = aiter(self._stream)
        return self

    async def __anext__(self) -> Signal:
        if self._signals is None:
            self._signals = aiter(self._stream)
        while True:
            signal = await anext(self._signals)
            if self._store.fault_at("signals", {"signal": signal}) is None:
                return signal

    def reset(self) -> None:
        self._stream.reset()

    async def aclose(self) -> None:
        await self._stream.aclose()
