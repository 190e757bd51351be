"""Between jobs as people write them and records as stores keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from aiosched.enums import JobState, Overlap
from aiosched.instants import moment, span
from aiosched.jobs.job import Job
from aiosched.jobs.plain import dump_json, load_json
from aiosched.jobs.retry import Retry
from aiosched.jobs.snapshots import DEFAULT_QUEUE, NEVER_STORED, Snapshot, readable_rows
from aiosched.records import (
    Apart,
    Blob,
    Definition,
    Record,
    Reported,
    RetryRule,
    Spec,
    State,
)
from aiosched.triggers.base import Trigger
from aiosched.values import altered

__all__ = [
    "anchor_of",
    "arguments_of",
    "definition_of",
    "fields_differing",
    "job_of",
    "job_of_definition",
    "shape_of",
    "to_spec",
]

_REMEMBERED = 1_024
"""Specs of which the pattern of a job is kept."""
_PINNED = 256
"""Instants of each of which the trigger is kept."""
_UNCOMPARED = frozenset(("declared", "unpinned", "delay"))


_SHAPE = attrgetter(
    "keyword",
    "queue",
    "when",
    "max_runs",
    "misfire_grace",
    "coalesce",
    "coalesce_limit",
    "overlap",
    "max_running",
    "jitter",
    "timeout",
    "retry",
    "on_lost",
    "max_lost",
    "keep",
    "keep_last",
    "keep_results",
    "tags",
    "note",
)


def shape_of(job: Job) -> tuple[object, ...]:
    """Return what jobs have in common that have the same spec.

    Together with the other arguments of :func:`to_spec`; cheaper than a spec.
    It can be hashed where the job's trigger can.
    """
    rule = None if job.trigger is None else job.trigger.rule()
    meta = dump_json(job.meta, "meta") if job.meta else b""
    return (*_SHAPE(job), rule, meta)


def to_spec(
    job: Job,
    *,
    queue: str | None = None,
    declared: int | None = None,
    executor: str | None = None,
) -> Spec:
    """Return what a store keeps of a job beside id, own instant and arguments.

    Args:
        job: Any.
        queue: Where it goes if the job does not say so itself.
        declared: Revision of the code that declared it.
        executor: Name to store, where the job was given a class or function
            that is registered under another name.
    """
    return Spec(
        executor=executor or job.executor,
        trigger=None if job.trigger is None else job.trigger.rule(),
        delay=_micros(job.when),
        keyword=job.keyword,
        queue=job.queue or queue or DEFAULT_QUEUE,
        max_runs=job.max_runs,
        misfire_grace=_micros(job.misfire_grace),
        coalesce=job.coalesce,
        coalesce_limit=job.coalesce_limit,
        overlap=job.overlap,
        max_running=job.max_running,
        jitter=span(job.jitter),
        timeout=_micros(job.timeout),
        retry=None if job.retry is None else _rule(job.retry),
        on_lost=job.on_lost,
        max_lost=job.max_lost,
        keep=span(job.keep),
        keep_last=job.keep_last,
        keep_results=_micros(job.keep_results),
        tags=job.tags,
        note=job.note,
        meta=dump_json(job.meta, "meta").decode() if job.meta else "",
        declared=declared,
    )


def anchor_of(job: Job) -> int | None:
    """Return the own instant of its trigger; None: pinned when it is scheduled."""
    return None if job.trigger is None else job.trigger.own_instant()


def definition_of(
    job: Job, spec: Spec, anchor: int | None, arguments: Blob
) -> Definition:
    """Put together what a store keeps; arguments come from the registry."""
    return Definition(job.id, spec, anchor, arguments)


def fields_differing(one: Definition, other: Definition) -> tuple[str, ...]:
    """Return the public names of the fields in which two definitions differ.

    Sorted.  Instants count as they are stored; whether a trigger that was
    given without one may stand for a pinned one is planning's to say.
    """
    names = {
        f.name
        for f in fields(Spec)
        if f.name not in _UNCOMPARED
        and getattr(one.spec, f.name) != getattr(other.spec, f.name)
    }
    if one.anchor != other.anchor:
        names.add("trigger")
    if one.arguments != other.arguments:
        mine, theirs = one.arguments, other.arguments
        if isinstance(mine, Apart) or isinstance(theirs, Apart):
            names.update(("args", "kwargs"))
        else:
            (args, kwargs), (others, other_kwargs) = map(arguments_of, (mine, theirs))
            if args != others:
                names.add("args")
            if kwargs != other_kwargs:
                names.add("kwargs")
    return tuple(sorted(names))


def arguments_of(arguments: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Decode what a definition carries of args and kwargs."""
    if not arguments:
        return (), {}
    args, kwargs = load_json(arguments)
    return tuple(args), kwargs


def job_of(
    record: Record,
    *,
    now: int,
    foresee: Callable[[Record, int], int | None] | None = None,
    unclaimable: str = "",
) -> Job:
    """Return the snapshot of a stored job.

    Args:
        record: If its arguments are kept apart, the job is ``abridged``.
        now: Slots that can only be passed over do not count as next.
        foresee: Answers when the next slot of a record starts; asked only where
            that is not the next slot of its trigger, because slots are excluded,
            moved or jittered.  None: it is taken to be that slot.
        unclaimable: Why no live peer can run it, in a word; empty: one can.
    """
    definition, state = record.definition, record.state
    return job_of_definition(
        definition,
        Snapshot(
            version=state.version,
            state=state.status,
            next_fire_time=_next(record, now, foresee),
            last_fire_time=_last(state),
            running=len(state.runs),
            waiting=len(state.waiting),
            counts=state.counts,
            created_at=moment(state.created),
            pause_note=state.pause_note,
            pause_until=_moment(state.pause_until),
            abridged=isinstance(definition.arguments, Apart),
            unclaimable=unclaimable,
            declared=definition.spec.declared,
            packed=state.recent,
            read_at=now,
            said=_said(state) if state.runs else None,
        ),
    )


def _said(state: State) -> Reported | None:
    """Return what one of its runs has said last of how far it is."""
    found = [run.progress for run in state.runs if run.progress is not None]
    return max(found, key=lambda said: said.at, default=None)


def job_of_definition(definition: Definition, snapshot: Snapshot = NEVER_STORED) -> Job:
    """Return the job that a definition was made from.

    Nothing is checked again: it was, before it was stored.
    """
    spec, arguments = definition.spec, definition.arguments
    args, kwargs = ((), {}) if isinstance(arguments, Apart) else arguments_of(arguments)
    pattern = _alike(spec)
    return altered(
        pattern.job,
        {
            "args": args,
            "kwargs": kwargs,
            "id": definition.id,
            "trigger": pattern.trigger(definition.anchor),
            "paused": snapshot.state is JobState.PAUSED,
            "meta": load_json(spec.meta.encode()) if spec.meta else {},
        },
        private={"_snapshot": snapshot},
    )


class _Pattern:
    """What the jobs of a spec have in common, to be copied.

    Attributes:
        spec: Which.
        job: Without what differs.
    """

    __slots__ = ("_pinned", "job", "spec")

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.job: Job = _job_of_spec(spec)
        self._pinned: dict[int | None, Trigger] = {}

    def trigger(self, anchor: int | None) -> Trigger | None:
        """Return the trigger with its instant; jobs made at once share theirs."""
        trigger = self.spec.trigger
        if trigger is None:
            return None
        found = self._pinned.get(anchor)
        if found is None:
            if len(self._pinned) >= _PINNED:
                self._pinned.clear()
            found = self._pinned[anchor] = trigger.with_instant(anchor)
        return found


# By identity: hashing a spec hashes its trigger, field by field, and stores and
# schedulers see to it that specs which are alike are the same.
_PATTERNS: dict[int, _Pattern] = {}


def _alike(spec: Spec) -> _Pattern:
    found = _PATTERNS.get(id(spec))
    if found is None:
        if len(_PATTERNS) >= _REMEMBERED:
            _PATTERNS.clear()
        found = _PATTERNS[id(spec)] = _Pattern(spec)
    return found


def _job_of_spec(spec: Spec) -> Job:
    return Job.model_construct(
        executor=spec.executor,
        args=(),
        kwargs={},
        id="",
        trigger=None,
        keyword=spec.keyword,
        queue=spec.queue,
        paused=False,
        max_runs=spec.max_runs,
        misfire_grace=_delta(spec.misfire_grace),
        coalesce=spec.coalesce,
        coalesce_limit=spec.coalesce_limit,
        overlap=spec.overlap,
        max_running=spec.max_running,
        jitter=timedelta(microseconds=spec.jitter),
        timeout=_delta(spec.timeout),
        retry=None if spec.retry is None else _retry(spec.retry),
        on_lost=spec.on_lost,
        max_lost=spec.max_lost,
        keep=timedelta(microseconds=spec.keep),
        keep_last=spec.keep_last,
        keep_results=_delta(spec.keep_results),
        tags=spec.tags,
        note=spec.note,
        meta={},
    )


def _next(
    record: Record, now: int, foresee: Callable[[Record, int], int | None] | None
) -> datetime | None:
    definition, state = record.definition, record.state
    slot, trigger = state.next, definition.spec.trigger
    if slot is None or trigger is None or state.status is not JobState.ACTIVE:
        return None
    spec = definition.spec
    if foresee is not None and (spec.jitter or not trigger.plain):
        return _moment(foresee(record, now))
    full = len(state.runs) >= spec.max_running
    if slot <= now and full and spec.overlap is Overlap.SKIP:
        # Nobody wakes for slots that will be skipped; settle counts them.
        slot = trigger.next(now, definition.anchor)
    return _moment(slot)


def _last(state: State) -> datetime | None:
    if not (state.runs or state.waiting or state.recent):
        return None
    slots = [run.firing.slot for run in state.runs]
    slots += [firing.slot for firing in state.waiting if firing.attempt]
    for row in readable_rows(state.recent):
        if row.started:
            slots.append(row.slot)
            break
    return moment(max(slots)) if slots else None


def _moment(value: int | None) -> datetime | None:
    return None if value is None else moment(value)


def _micros(value: timedelta | None) -> int | None:
    return None if value is None else span(value)


def _delta(value: int | None) -> timedelta | None:
    return None if value is None else timedelta(microseconds=value)


def _rule(retry: Retry) -> RetryRule:
    return RetryRule(
        retry.attempts,
        span(retry.delay),
        retry.factor,
        span(retry.cap),
        retry.jitter,
        retry.errors,
        retry.timeouts,
    )


def _retry(rule: RetryRule) -> Retry:
    return Retry.model_construct(
        attempts=rule.attempts,
        delay=timedelta(microseconds=rule.delay),
        factor=rule.factor,
        cap=timedelta(microseconds=rule.cap),
        jitter=rule.jitter,
        errors=rule.errors,
        timeouts=rule.timeouts,
    )
