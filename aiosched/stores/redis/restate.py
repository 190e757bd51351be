"""Repairs of what a record says, by transactions like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aiosched import planning
from aiosched.enums import RowKind
from aiosched.planning import conservation
from aiosched.records import Change, Record, Row, State
from aiosched.rows import Act, pack_act, unpack_row
from aiosched.stores.damage import Damage
from aiosched.stores.redis.layout import QUARANTINE
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.transact import transact

__all__ = ["restate"]

_NOBODY = "doctor"
"""Which peer stands in the ledger as having decided."""
_BY = "aiosched doctor"
"""Who is named as having done it."""


async def restate(link: Link, one: Damage) -> bool:
    """Write a record such that it agrees with itself; return whether it was."""
    job_id = one.job_id or ""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        record = records.get(job_id)
        if record is None:
            return {}
        if one.kind == "lease-orphaned":
            change = _given_up(link, record, now)
        elif one.kind == "outcome-unreadable":
            change = _without_garbage(record, now)
        else:
            change = _adding_up(record, now)
        return {} if change is None else {job_id: change}

    if one.kind == "outcome-unreadable":
        # Before the record is written: what is saved twice is not lost.
        (data,) = await link.ask([("GET", one.raw)])
        if isinstance(data, bytes):
            tag = link.keys.tags[one.shard]
            key = f"{tag}:{QUARANTINE}:{link.estimate()}:j:{job_id}"
            await link.ask([("SET", key, data)])
    return bool(await transact(link, [job_id], decide, claim=False, signal=True))


def _given_up(link: Link, record: Record, now: int) -> Change | None:
    """Do what any peer would do that cannot run the job."""
    return planning.attend(
        record.definition, record.state, now, 0, _NOBODY, link.terms.lease
    )


def _written(record: Record, state: State, now: int) -> Change:
    state.seq = max(record.state.seq + 1, now)
    return Change(
        Record(record.definition, state), planning.instant(record.definition, state)
    )


def _without_garbage(record: Record, now: int) -> Change | None:
    kept: list[str] = []
    for line in record.state.recent:
        try:
            unpack_row(line)
        except ValueError:
            continue
        kept.append(line)
    if len(kept) == len(record.state.recent):
        return None
    state = record.state.copy()
    state.recent = tuple(kept)
    return _written(record, state, now)


def _adding_up(record: Record, now: int) -> Change | None:
    """Book what is missing as lost firings and missed slots, the rest as asked for.

    That is a guess, so the ledger is told what did not add up.
    """
    problem = planning.conserved(record)
    if problem is None:
        return None
    state = record.state.copy()
    counts, definition = state.counts, record.definition
    trigger, anchor = definition.spec.trigger, definition.anchor
    if trigger is not None and state.since is not None:
        there = (
            0
            if state.latest is None
            else conservation.slots_between(trigger, state.since, state.latest, anchor)
        )
        absent = there - (counts.slots - state.former)
        if absent > 0:
            counts = replace(counts, missed=counts.missed + absent)
        else:
            state.former -= absent
        if state.next is not None:
            latest = state.latest
            state.next = state.since if latest is None else trigger.next(latest, anchor)
    unended = len(state.runs) + len(state.waiting)
    absent = counts.fired + counts.asked - counts.outcomes - unended
    if absent > 0:
        counts = replace(counts, lost=counts.lost + absent)
    else:
        counts = replace(counts, asked=counts.asked - absent)
    state.counts = counts
    change = _written(record, state, now)
    # No slot or firing is named: nobody knows which they were.
    act = Act(_BY, f"{problem}; mended so that they add up", ("counts",))
    change.rows = (
        Row(definition.id, RowKind.MODIFIED, now, owner=_NOBODY, value=pack_act(act)),
    )
    return change
