"""What a job needs of a peer, and why no live peer can run it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiosched.messages import Member
from aiosched.records import Definition, Record, schema_of
from aiosched.triggers.kinds import trigger_kinds
from aiosched.values import value

__all__ = [
    "Gap",
    "Need",
    "Unable",
    "gap",
    "need_of",
    "need_of_definition",
    "need_of_reader",
]

Unable = Literal["unresolvable", "unserved", "unreadable", "unclaimed"]
"""Why no live peer can run a job: no peer has its executor; of those that have,
none serves its queue; of those, none can read it; of those, none claims."""

_NAMED = 5


@value(frozen=True, slots=True)
class Need:
    """What a peer must have to run a job.

    Attributes:
        queue: Which it must serve.
        executor: Which must be registered there; empty: nobody here can read
            the record, so that it is not known.
        schema: Of the record, which it must read.
        triggers: Kinds of triggers that it must know.
    """

    queue: str
    executor: str
    schema: int = 1
    triggers: frozenset[str] = frozenset()

    def served_by(self, member: Member) -> bool:
        """Return whether a peer runs jobs of that queue at all."""
        return member.queues is None or self.queue in member.queues

    def read_by(self, member: Member) -> bool:
        """Return whether a peer can read the record."""
        if not self.executor:
            return (
                member.schema >= self.schema
                or member.triggers is None
                or bool(set(member.triggers) - self.triggers)
            )
        if member.schema < self.schema:
            return False
        return member.triggers is None or self.triggers <= set(member.triggers)

    def met_by(self, member: Member) -> bool:
        """Return whether a peer that serves the queue can run the job."""
        return self.executor in member.executors and self.read_by(member)


@dataclass(frozen=True, slots=True)
class Gap:
    """Why no live peer can run what has a need.

    Attributes:
        reason: In a word.
        why: In a sentence, for people.
    """

    reason: Unable
    why: str


def need_of(record: Record) -> Need:
    """Return what a record needs of a peer."""
    return need_of_definition(record.definition, schema_of(record))


def need_of_definition(definition: Definition, schema: int = 1) -> Need:
    """Return what a job needs of a peer whose record may be gone."""
    spec = definition.spec
    kinds: frozenset[str] = frozenset()
    if spec.trigger is not None:
        # Whoever asks has read the record, so that it knows all its kinds.
        kinds = frozenset(_kinds(spec.trigger.to_data())) & set(trigger_kinds())
    return Need(spec.queue, spec.executor, schema, kinds)


def need_of_reader(queue: str, schema: int) -> Need:
    """Return what a record needs that this peer, of a schema, cannot read.

    Whoever reads a later schema, or knows other triggers, may be able to.
    """
    return Need(queue, "", schema + 1, frozenset(trigger_kinds()))


def _kinds(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        kind = data.get("kind")
        if isinstance(kind, str):
            yield kind
        for value in data.values():
            yield from _kinds(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _kinds(value)


def gap(need: Need, members: Iterable[Member]) -> Gap | None:
    """Say why no peer can run what has this need; None: one can."""
    if not need.executor:
        return _unread(need, members)
    able = [m for m in members if need.executor in m.executors]
    if not able:
        return Gap("unresolvable", f"no live peer has the executor {need.executor}")
    serving = [m for m in able if need.served_by(m)]
    if not serving:
        who = _names(able)
        why = f"of the peers that have {need.executor} ({who}) none serves its queue"
        return Gap("unserved", f"{why}, {need.queue}")
    reading = [m for m in serving if need.read_by(m)]
    if not reading:
        why = f"the peers that have {need.executor} are of an earlier version or lack"
        return Gap("unreadable", f"{why} its trigger: {_names(serving)}")
    if not any(m.claims for m in reading):
        why = f"the peers that could run it claim nothing: {_names(reading)}"
        return Gap("unclaimed", f"{why} (held, ending, or clients)")
    return None


def _unread(need: Need, members: Iterable[Member]) -> Gap | None:
    """Say why no peer can run what nobody here can read."""
    reading = [m for m in members if need.read_by(m)]
    serving = [m for m in reading if need.served_by(m)]
    if not reading:
        return Gap("unreadable", "no live peer can read its record")
    if not serving:
        why = f"of the peers that may read its record ({_names(reading)}) none serves"
        return Gap("unserved", f"{why} its queue, {need.queue}")
    if not any(m.claims for m in serving):
        why = f"the peers that may read its record claim nothing: {_names(serving)}"
        return Gap("unclaimed", f"{why} (held, ending, or clients)")
    return None


def _names(members: Sequence[Member]) -> str:
    names = sorted({m.name for m in members})
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
