"""A transaction over several shards: the writes of each, one behind the other.

Where one server has all shards, one MULTI may be about any of them.  Each shard
gets what it would get in a transaction of its own, its counter, its ledger entry
and its signal among it, so that nobody who reads one has to know of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from aiosched.errors import StoreDataError, StoreError
from aiosched.records import Change, Record
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.writes import Batch, Composer, compose

__all__ = ["Share", "Spread", "first_of", "spread_out", "wanted_by_a_verb"]


class Share(NamedTuple):
    """What one shard has of a transaction."""

    shard: int
    changes: dict[str, Change]
    composer: Composer
    batch: Batch


class Spread(NamedTuple):
    """The shares of a transaction, and all of them as one batch."""

    shares: tuple[Share, ...]
    batch: Batch

    def indexed(self) -> None:
        """Note that the prelude was acknowledged, so that it is not repeated."""
        for share in self.shares:
            share.composer.indexed()

    def dealt(self, results: Sequence[Any]) -> Iterator[tuple[Share, Sequence[Any]]]:
        """Yield each share with the replies to its commands."""
        first = 0
        for share in self.shares:
            last = first + len(share.batch.commands)
            yield share, results[first:last]
            first = last


def spread_out(
    link: Link,
    shards: Mapping[str, int],
    records: Mapping[str, Record | None],
    changes: Mapping[str, Change],
    token: str,
    now: int,
    *,
    claim: bool,
    signal: bool,
) -> Spread:
    """Return what a decision wants written, shard by shard.

    Args:
        link: The session's.
        shards: The shard of each id.
        records: What was read.
        changes: What is wanted.
        token: Names this attempt in the ledgers.
        now: The store's instant.
        claim: As for :meth:`Composer.batch`.
        signal: Tell owners of shards.
    """
    parts: dict[int, dict[str, Change]] = {}
    for job_id, change in changes.items():
        parts.setdefault(shards[job_id], {})[job_id] = change
    shares: list[Share] = []
    for shard, part in parts.items():
        composer = compose(link, shard, records, part, signal=signal)
        batch = composer.batch(token, now, claim=claim)
        shares.append(Share(shard, part, composer, batch))
    return Spread(tuple(shares), _whole([share.batch for share in shares]))


def _whole(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    if any(batch.blobs for batch in batches):
        raise AssertionError("runs are begun in one shard at a time")
    prelude = dict.fromkeys(chain.from_iterable(one.prelude for one in batches))
    return Batch(
        list(prelude),
        list(chain.from_iterable(one.commands for one in batches)),
        {name: data for one in batches for name, data in one.written.items()},
        [],
        any(one.entry for one in batches),
    )


def wanted_by_a_verb(
    records: Mapping[str, Record | None], changes: Mapping[str, Change]
) -> bool:
    """Return whether somebody's verb may have wanted this, not a peer's upkeep.

    Upkeep ends runs, prolongs leases and puts agenda entries right: jobs of
    others stand in the same transaction, and nobody waits for an answer.
    """
    for job_id, change in changes.items():
        old, new = records[job_id], change.record
        if new is None or change.index_only or any(row.fence for row in change.rows):
            continue
        if (
            old is None
            or old.definition is not new.definition
            or old.state.status is not new.state.status
            or len(old.state.waiting) < len(new.state.waiting)
        ):
            return True
    return False


def first_of(failed: Sequence[StoreError]) -> StoreError:
    """Return the first of several errors, for the jobs of all."""
    first = failed[0]
    if isinstance(first, StoreDataError):
        jobs = [one.jobs for one in failed if isinstance(one, StoreDataError)]
        first.jobs = frozenset().union(*jobs) if all(jobs) else frozenset()
    return first
