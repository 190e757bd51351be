"""A transaction over several shards: the writes of each, one behind the other.

Where one server has all shards, one MULTI may be about any of them.  Each shard
gets what it would get in a transaction of its own, its counter, its ledger entry
and its signal among it, so that nobody who reads one has to know of the others.
What names whole keys is one command for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

from aiosched.errors import StoreDataError, StoreError
from aiosched.records import Change, Record
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.writes import Batch, Composer, compose

__all__ = ["Share", "Spread", "first_of", "spread_out", "wanted_by_a_verb"]


_COMMON = ("MSET", "DEL")


class Share(NamedTuple):
    """What one shard has of a transaction."""

    shard: int
    changes: dict[str, Change]
    composer: Composer
    batch: Batch


class Spread(NamedTuple):
    """The shares of a transaction, and all of them as one batch.

    Attributes:
        shares: By shard; without the commands that are all shards' together.
        batch: What is sent: share by share, then what is common to them.
    """

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
    if len(shares) == 1:
        return Spread(tuple(shares), shares[0].batch)
    return _together(shares)


def _together(shares: Sequence[Share]) -> Spread:
    """Have all shards' records written by one command, and deleted by another.

    They come last: what is deleted may be read before, for runs that begin.
    """
    common: dict[str, list[str | bytes]] = {}
    own: list[Share] = []
    for share in shares:
        rest: list[Command] = []
        for command in share.batch.commands:
            if command[0] in _COMMON:
                words = common.setdefault(str(command[0]), [])
                words.extend(cast("Sequence[str | bytes]", command[1:]))
            else:
                rest.append(command)
        own.append(share._replace(batch=share.batch._replace(commands=rest)))
    last: list[Command] = [(verb, *words) for verb, words in common.items()]
    batches = [share.batch for share in own]
    prelude = dict.fromkeys(chain.from_iterable(one.prelude for one in batches))
    whole = Batch(
        list(prelude),
        [*chain.from_iterable(one.commands for one in batches), *last],
        {name: data for one in batches for name, data in one.written.items()},
        [],
        any(one.entry for one in batches),
    )
    return Spread(tuple(own), whole)


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
