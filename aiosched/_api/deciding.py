"""One decision a record, in transactions of one record or of many."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)

from aiosched.abc import MAX_BATCH, Session, shard_of
from aiosched.errors import StoreConflictError, StoreDataError
from aiosched.records import Change, Record

__all__ = [
    "DecideOne",
    "Decided",
    "batches_of",
    "decide_all",
    "decide_one",
    "each_of",
    "in_parts",
    "unreadable",
]

DecideOne = Callable[[Record | None, int], Change | None]
Decided = tuple[Record | None, Change | None]
"""A record as it is now, and what was changed, if anything was."""

_AT_ONCE = 4
"""Transactions of one verb that are under way at a time."""
_FEW = 4
"""Transactions that are not worth a task of their own."""


async def decide_one(session: Session, job_id: str, decide: DecideOne) -> Decided:
    """Apply a decision to one record.

    Raises:
        StoreDataError: There is something, but it cannot be read.
    """
    found: list[Record | None] = []

    def one(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        found.clear()
        if job_id not in records:
            return {}
        found.append(records[job_id])
        change = decide(records[job_id], now)
        return {} if change is None else {job_id: change}

    changes = await session.transact([job_id], one)
    if not found:
        raise unreadable(job_id)
    change = changes.get(job_id)
    return (found[0] if change is None else change.record), change


async def decide_all(
    session: Session, ids: Sequence[str], decide: Callable[[str], DecideOne]
) -> dict[str, Decided]:
    """Apply a decision to each of some records, in one transaction.

    Returns:
        What became of each, without those that cannot be read.
    """
    found: dict[str, Record | None] = {}

    def every(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        found.clear()
        found.update(records)
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            change = decide(job_id)(record, now)
            if change is not None:
                changes[job_id] = change
        return changes

    changes = await session.transact(ids, every)
    decided: dict[str, Decided] = {}
    for job_id, record in found.items():
        change = changes.get(job_id)
        decided[job_id] = (record if change is None else change.record), change
    return decided


async def in_parts(
    session: Session, ids: Sequence[str], decide: Callable[[str], DecideOne]
) -> AsyncIterator[dict[str, Decided]]:
    """Do so, in smaller parts where one of the records stands in the way of all.

    It is written by somebody else all the time, or its decision fails.

    Yields:
        What became of each record of a part.

    Raises:
        Exception: The first that stopped a single record, behind all others; or
            what the store said of a part.
    """
    failures: list[Exception] = []

    def noting(job_id: str) -> DecideOne:
        one = decide(job_id)

        def noted(record: Record | None, now: int) -> Change | None:
            try:
                return one(record, now)
            except Exception as error:
                failures.append(error)
                raise

        return noted

    first: Exception | None = None
    left = [list(ids)]
    while left:
        part = left.pop()
        failures.clear()
        try:
            decided = await decide_all(session, part, noting)
        except Exception as error:
            # Nothing of it was written in either case.
            of_one = isinstance(error, StoreConflictError) or error in failures
            if not of_one:
                raise
            if len(part) == 1:
                first = first or error
            half = len(part) // 2
            left += [one for one in (part[half:], part[:half]) if len(part) > 1]
        else:
            yield decided
    if first is not None:
        raise first


def batches_of(session: Session, ids: Iterable[str]) -> list[list[str]]:
    """Deal ids out over transactions; what a shard has beside hundreds is gathered.

    Jobs of one instant and one transaction are also claimed and settled together.
    """
    shards: dict[int, list[str]] = {}
    for job_id in dict.fromkeys(ids):
        shards.setdefault(shard_of(job_id, session.terms.shards), []).append(job_id)
    parts: list[list[str]] = []
    rest: list[str] = []
    for _, group in sorted(shards.items()):
        whole = len(group) - len(group) % MAX_BATCH
        parts += [group[n : n + MAX_BATCH] for n in range(0, whole, MAX_BATCH)]
        left = group[whole:]
        if rest and (not session.spanning or len(rest) + len(left) > MAX_BATCH):
            parts.append(rest)
            rest = []
        rest = rest + left
    return [*parts, rest] if rest else parts


async def each_of(
    parts: Sequence[list[str]], work: Callable[[list[str]], Awaitable[None]]
) -> None:
    """Do something with each part; if there are many, some at a time.

    Raises:
        Exception: What came of one; no other is begun then, and none goes on.
    """
    if len(parts) <= _FEW:
        for part in parts:
            await work(part)
        return
    left = iter(parts)
    failed: list[BaseException] = []

    async def go_on() -> None:
        for part in left:
            if failed:
                return
            try:
                await work(part)
            except BaseException as error:
                failed.append(error)
                raise

    works = [go_on() for _ in range(_AT_ONCE)]
    # All come to an end, so that nothing is written after this has.
    await asyncio.gather(*works, return_exceptions=True)
    if failed:
        raise failed[0]


def unreadable(job_id: str) -> StoreDataError:
    """Return what is raised of a record that was found and not read."""
    return StoreDataError(job_id, "its record is garbage or of a later version")
