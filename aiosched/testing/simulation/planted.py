"""Deliberate bugs, to show that the simulator finds such bugs.

Each is a mistake that people make in schedulers of this kind.  It is planted by
a patch of the running program, for the length of a block, and by nothing else:
a simulator that does not find it is broken.
"""

from __future__ import annotations

import asyncio
import importlib
import types
from collections.abc import (
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiosched import planning
from aiosched._engine import attender as attending
from aiosched._engine import settler as settling
from aiosched._engine.heads import Heads
from aiosched._engine.heartbeat import Heartbeat
from aiosched._engine.live import Live
from aiosched._engine.membership import Membership
from aiosched._engine.runner import Runner
from aiosched.enums import OnLost, Outcome, Reason
from aiosched.errors import StoreError
from aiosched.instants import SECOND
from aiosched.planning._draft import Draft
from aiosched.records import Change, Definition, Ended, Record, State
from aiosched.testing.nodes import NODE, process_of
from aiosched.testing.simulation.world import StoreKind

__all__ = ["PLANTED", "Planted", "plant"]

_Patches = Iterator[tuple[object, str, object]]


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug.

    Attributes:
        text: The mistake.
        kind: Over which store it can be found.
        patches: Yields (where, name, what) of each patch.
    """

    name: str
    text: str
    kind: StoreKind
    patches: Callable[[], _Patches]


PLANTED: dict[str, Planted] = {}
"""All of them, by name."""


def _bug(kind: StoreKind) -> Callable[[Callable[[], _Patches]], Callable[[], _Patches]]:
    def enter(patches: Callable[[], _Patches]) -> Callable[[], _Patches]:
        name = patches.__name__.strip("_").replace("_", "-")
        text = " ".join((patches.__doc__ or "").split())
        PLANTED[name] = Planted(name, text, kind, patches)
        return patches

    return enter


@contextmanager
def plant(name: str) -> Iterator[None]:
    """Have a bug inside the block, in this process.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in PLANTED:
        known = ", ".join(sorted(PLANTED))
        message = f"planted={name!r} is no bug; they are {known}"
        raise ValueError(message)
    with ExitStack() as stack:
        for where, attribute, bad in PLANTED[name].patches():
            good = getattr(where, attribute)
            stack.callback(setattr, where, attribute, good)
            setattr(where, attribute, bad)
        yield


def _instead(**bad: Any) -> types.SimpleNamespace:
    """Return planning with some of its functions replaced, for one module only."""
    names = {name: getattr(planning, name) for name in planning.__all__}
    return types.SimpleNamespace(**(names | bad))


def _process() -> str:
    return process_of(NODE.get() or "")


# -- mistakes of the engine ------------------------------------------------------------


@_bug("memory")
def _no_fence() -> _Patches:
    """The end of a run is recorded without a look at its fence.

    Whichever run the record has is closed with it.
    """

    def settle_all(
        record: Record | None, owner: str, ends: Sequence[tuple[int, Ended]], now: int
    ) -> tuple[Change | None, frozenset[int]]:
        runs = () if record is None else record.state.runs
        held = {run.fence for run in runs if run.owner == owner}
        fence, ended = ends[0]
        if runs and fence not in held:
            run = runs[0]
            change, _ = planning.settle_all(
                record, run.owner, [(run.fence, ended)], now
            )
            return change, frozenset({fence})
        return planning.settle_all(record, owner, ends, now)

    yield settling, "planning", _instead(settle_all=settle_all)


@_bug("memory")
def _local_lease() -> _Patches:
    """Leases and slots are judged by the clock of the peer's host."""
    good = attending._Look.decide

    def decide(
        self: Any,
        records: Mapping[str, Record | None],
        now: int,  # noqa: ARG001 - that is the mistake
    ) -> dict[str, Change]:
        loop: Any = asyncio.get_running_loop()
        return good(self, records, loop.wall())

    yield attending._Look, "decide", decide


@_bug("memory")
def _blind_reap() -> _Patches:
    """A lease that was seen once is taken to end when it said so then.

    Its run is given up without reading it again.
    """
    good = attending._Look._one
    seen: dict[tuple[str, str, int], int] = {}

    def one(
        self: Any, job_id: str, record: Record | None, now: int, left: int
    ) -> Change | None:
        if record is not None:
            runs = tuple(
                replace(
                    run,
                    until=seen.setdefault((_process(), job_id, run.fence), run.until),
                )
                for run in record.state.runs
            )
            state = record.state.copy()
            state.runs = runs
            record = Record(record.definition, state)
        change: Change | None = good(self, job_id, record, now, left)
        return change

    yield attending._Look, "_one", one


@_bug("memory")
def _counted() -> _Patches:
    """How many runs a job has is counted by each peer, and not derived."""
    going: dict[tuple[str, str], int] = {}

    def attend(
        definition: Definition,
        state: State,
        now: int,
        capacity: int,
        owner: str,
        lease: int,
        *rest: Any,
        **more: Any,
    ) -> Change | None:
        key = _process(), definition.id
        opened = len(state.runs) + sum(w.open for w in state.waiting)
        room = definition.spec.max_running + opened - going.get(key, 0)
        spec = replace(definition.spec, max_running=max(room, 1))
        change = planning.attend(
            replace(definition, spec=spec),
            state,
            now,
            capacity,
            owner,
            lease,
            *rest,
            **more,
        )
        if change is None:
            return None
        going[key] = going.get(key, 0) + len(change.starts)
        if change.record is not None:
            change.record = Record(definition, change.record.state)
            change.at = planning.instant(definition, change.record.state)
        return change

    def settle_all(
        record: Record | None, owner: str, ends: Sequence[tuple[int, Ended]], now: int
    ) -> tuple[Change | None, frozenset[int]]:
        if record is not None:
            key = _process(), record.definition.id
            going[key] = going.get(key, 0) - len(ends)
        return planning.settle_all(record, owner, ends, now)

    yield attending, "planning", _instead(attend=attend)
    yield settling, "planning", _instead(settle_all=settle_all)


@_bug("memory")
def _trust_signals() -> _Patches:
    """What was read once is taken to be true until a signal says otherwise.

    The change counters that come with each beat are not compared.
    """

    def revs(self: Heads, revs: Mapping[int, int]) -> None:
        """Believe that everything was heard."""

    yield Heads, "revs", revs


@_bug("memory")
def _rerun_all() -> _Patches:
    """A run whose peer died is started again, though it may not run twice."""

    def attend(
        definition: Definition, state: State, *rest: Any, **more: Any
    ) -> Change | None:
        spec = replace(definition.spec, on_lost=OnLost.RERUN)
        change = planning.attend(replace(definition, spec=spec), state, *rest, **more)
        if change is not None and change.record is not None:
            change.record = Record(definition, change.record.state)
        return change

    yield attending, "planning", _instead(attend=attend)


@_bug("memory")
def _plain_sequence() -> _Patches:
    """Fences count up from the record's last, without the store's time in them.

    A store that has lost its last writes gives them out again.
    """
    good = Draft.__init__

    def begin(
        self: Draft, definition: Definition, state: State, now: int, owner: str = ""
    ) -> None:
        good(self, definition, state, now, owner)
        self.start_seq = state.seq + 1

    yield Draft, "__init__", begin


@_bug("memory")
def _settle_without_run() -> _Patches:
    """What was lost and comes again is taken to be done.

    Its executor is not called, and a success is recorded.
    """
    good = Runner._attempt

    async def attempt(self: Runner, live: Live) -> Ended:
        if live.start.run.firing.lost:
            return Ended(Outcome.SUCCEEDED, at=self.estimate())
        return await good(self, live)

    yield Runner, "_attempt", attempt


@_bug("memory")
def _retry_for_ever() -> _Patches:
    """A run that fails is tried again, however often it has failed."""
    settle = importlib.import_module("aiosched.planning.settle")

    def retries(definition: Definition, firing: object, ended: Ended) -> bool:  # noqa: ARG001
        return definition.spec.retry is not None and ended.retryable

    yield settle, "retries", retries


@_bug("memory")
def _late_extension() -> _Patches:
    """Leases are extended when they have been over for as long as they were."""
    good = Heartbeat.__init__

    def begin(self: Heartbeat, *args: Any, **more: Any) -> None:
        good(self, *args, **more)
        self.interval = 2 * self.lease / SECOND

    yield Heartbeat, "__init__", begin


@_bug("memory")
def _deaf_to_cancel() -> _Patches:
    """That a run is to stop stands in its record, and the run is not told."""
    good = Heartbeat._answer

    def answer(
        self: Heartbeat, runs: Collection[Live], held: Mapping[int, Reason]
    ) -> None:
        good(self, runs, dict.fromkeys(held, Reason.NONE))

    yield Heartbeat, "_answer", answer


@_bug("memory")
def _deaf_to_time() -> _Patches:
    """Timeouts are never armed."""
    good = Runner.cancel

    def cancel(self: Runner, live: Live, reason: Reason) -> None:
        if reason is not Reason.TIMEOUT:
            good(self, live, reason)

    yield Runner, "cancel", cancel


@_bug("memory")
def _one_try() -> _Patches:
    """An outcome that could not be written at once is given up."""

    async def once(
        self: Any, ids: Sequence[str], decide: Any, *, signal: bool
    ) -> tuple[dict[str, Change], bool]:
        self.healthy = True
        try:
            return await self.session.transact(ids, decide, signal=signal), False
        except StoreError:
            return {}, True

    yield settling.Settler, "_through_outages", once


@_bug("memory")
def _never_lapsed() -> _Patches:
    """A peer that was away for long goes on as if nothing had been."""

    def lapsed(self: Membership) -> bool:  # noqa: ARG001
        return False

    yield Membership, "lapsed", lapsed


# -- mistakes of the Redis store ------------------------------------------------


@_bug("redis")
def _no_watch() -> _Patches:
    """Records are read without WATCH, so that EXEC never aborts."""
    from aiosched.stores.redis.connection import Lane

    good = Lane.exchange

    async def exchange(self: Lane, commands: Sequence[Any]) -> list[Any]:
        return await good(
            self,
            [("PING",) if words[0] == "WATCH" else words for words in commands],
        )

    yield Lane, "exchange", exchange


@_bug("redis")
def _early_publish() -> _Patches:
    """Signals are published before the MULTI and not in it.

    They overtake what they tell of.
    """
    from aiosched.stores.redis import transact
    from aiosched.stores.redis.connection import Lane

    good, once = Lane.commit, transact._Attempt.once
    links: dict[Lane, Any] = {}

    async def noting(self: Any, lane: Lane) -> dict[str, Change]:
        links[lane] = self._link
        return await once(self, lane)

    async def commit(self: Lane, writes: Sequence[Any]) -> list[Any]:
        told = [words for words in writes if words[0] in ("PUBLISH", "SPUBLISH")]
        if told:
            await links[self].ask(told)
        rest = [words for words in writes if words not in told]
        replies = await good(self, rest)
        if isinstance(replies[-1], list):
            results = iter(replies[-1])
            replies[-1] = [0 if words in told else next(results) for words in writes]
        return replies

    yield transact._Attempt, "once", noting
    yield Lane, "commit", commit


@_bug("redis")
def _resend() -> _Patches:
    """A transaction without a reply is sent again."""
    from aiosched.stores.redis import transact
    from aiosched.stores.redis.link import Link
    from aiosched.stores.redis.unknown import Sent

    async def resolve(link: Link, sent: Sent) -> dict[str, Change] | None:
        async with link.transactions.take() as lane:
            await link.watch(lane, [link.keys.meta])
            await lane.commit(sent.spread.batch.commands)
        return sent.changes

    yield transact, "resolve", resolve
