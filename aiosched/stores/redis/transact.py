"""One optimistic transaction: read under WATCH, decide, write, or start over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from aiosched.abc import MAX_BATCH, Decide, shard_of
from aiosched.errors import StoreDataError, StoreError
from aiosched.records import Change, Record
from aiosched.stores.redis.codec import Parts, decode, split
from aiosched.stores.redis.connection import (
    Command,
    Lane,
    LostError,
    MisplacedError,
    Rank,
)
from aiosched.stores.redis.failures import refusal
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.specs import UnreadableError
from aiosched.stores.redis.spread import Spread, first_of, spread_out, wanted_by_a_verb
from aiosched.stores.redis.starts import fill_starts
from aiosched.stores.redis.timing import instant_of
from aiosched.stores.redis.tries import (
    TRIES,
    AheadError,
    OvertakenError,
    Tries,
    UnknownError,
)
from aiosched.stores.redis.unknown import Sent, resolve
from aiosched.stores.redis.writes import Batch

__all__ = ["transact"]


@dataclass(slots=True)
class _Read:
    """What one look at the store showed.

    Attributes:
        now: The store's instant.
        begun: The monotonic second before it was asked.
    """

    now: int
    begun: float
    raw: dict[str, bytes | None]
    records: dict[str, Record | None]


async def transact(
    link: Link,
    ids: Sequence[str],
    decide: Decide,
    *,
    claim: bool,
    signal: bool,
    urgent: bool = False,
) -> dict[str, Change]:
    """Do what :meth:`aiosched.abc.Session.transact` promises."""
    shards = _shards_of(link, ids)
    attempt = _Attempt(link, shards, decide, claim=claim, signal=signal)
    rank = Rank.URGENT if urgent else Rank.PATIENT if claim else Rank.USUAL
    try:
        return await _insist(link, attempt, shards[ids[0]], rank, claim=claim)
    except StoreError as error:
        error.unwritten = not attempt.doubtful
        raise


async def _insist(
    link: Link, attempt: _Attempt, shard: int, rank: Rank, *, claim: bool
) -> dict[str, Change]:
    """Try as often as need be."""
    place, tries = link.keys.tags[shard], Tries(link)
    while True:
        try:
            await attempt.enter()
            async with link.transactions.take(place, rank) as lane:
                answer = await attempt.once(lane)
            break
        except AheadError:
            pass
        except OvertakenError:
            if claim and tries.overtaken == TRIES - 1:
                return {}
            await tries.again_overtaken()
        except UnknownError as unknown:
            link.counters.unknown += 1
            known = await attempt.resolved(unknown.sent)
            if known is not None:
                answer = known
                break
            tries.again_unknown(unknown)
        except MisplacedError:
            await tries.again_elsewhere()
        except LostError:
            await tries.again_connected()
    await attempt.enter_again()
    return answer


def _shards_of(link: Link, ids: Sequence[str]) -> dict[str, int]:
    """Return the shard of each id."""
    if not 1 <= len(ids) <= MAX_BATCH:
        raise ValueError(f"{len(ids)} ids, not 1 to {MAX_BATCH}")
    count = link.terms.shards
    shards = {job_id: shard_of(job_id, count) for job_id in ids}
    if len(shards) != len(ids):
        raise ValueError("an id stands twice in one transaction")
    if not link.spanning:
        numbers = len(set(shards.values()))
        if numbers != 1:
            raise ValueError(f"ids of {numbers} shards in one transaction")
    return shards


class _Attempt:
    """A transaction, tried as often as need be.

    Attributes:
        doubtful: Whether something of it may have been written.
    """

    def __init__(
        self,
        link: Link,
        shards: Mapping[str, int],
        decide: Decide,
        *,
        claim: bool,
        signal: bool,
    ) -> None:
        self._link = link
        self._shards = shards
        self._ids = list(shards)
        self._decide = decide
        self._claim = claim
        self._signal = signal
        self._seen: dict[str, bytes | None] | None = None
        self._ahead: list[Command] = []
        self._entered: list[Command] = []
        self.doubtful = False

    async def resolved(self, sent: Sent) -> dict[str, Change] | None:
        """Find out what became of a try; see :func:`resolve`."""
        self.doubtful = True
        known = await resolve(self._link, sent)
        self.doubtful = False
        return known

    async def enter(self) -> None:
        """Write to the namespace's indexes what the transaction relies on.

        They may lie on another node than the records, so no lane is kept.

        Raises:
            StoreError: It could not be written.
        """
        if self._ahead:
            await self._link.ask(self._ahead)
            self._entered += self._ahead
            self._ahead = []

    async def enter_again(self) -> None:
        """Do it once more behind a transaction that was committed.

        Between the two it may have been cleared away, being without users.
        """
        if self._entered:
            with suppress(StoreError):
                await self._link.ask(self._entered, lenient=True)

    async def once(self, lane: Lane) -> dict[str, Change]:
        """Try once.

        Raises:
            OvertakenError: Nothing was written; try again.
            AheadError: Nothing was written; :meth:`enter`, and try again.
            UnknownError: It may have been written.
            LostError: Nothing was written.
        """
        read = await self._look(lane)
        if not read.records:
            return {}
        changes = dict(self._decide(read.records, read.now))
        if not changes:
            return changes
        if not changes.keys() <= read.records.keys():
            raise ValueError("decide answered for an id that it was not given")
        link = self._link
        token = link.token()
        spread = spread_out(
            link,
            self._shards,
            read.records,
            changes,
            token,
            read.now,
            claim=self._claim,
            signal=self._signal,
        )
        batch = spread.batch
        await self._precede(lane, batch.prelude)
        if batch.prelude:
            spread.indexed()
        results = await self._execute(lane, spread, read, changes, token)
        self._committed(changes, batch)
        for share, part in spread.dealt(results):
            if share.batch.blobs:
                values = part[0] if isinstance(part[0], list) else []
                found = dict(zip(share.batch.blobs, values, strict=False))
                fill_starts(link, share.shard, share.changes, found)
        return changes

    # -- reading ------------------------------------------------------------------

    def _key(self, job_id: str) -> str:
        return self._link.keys.jobs[self._shards[job_id]] + job_id

    async def _look(self, lane: Lane) -> _Read:
        """Watch and read; drop what a claim has lost."""
        link, ids = self._link, self._ids
        keys = [self._key(job_id) for job_id in ids]
        reads: list[Command] = [("MGET", *keys), ("TIME",)]
        if self._signal and not self._claim:
            reads.append(("EXISTS", *keys))
        begun = link.clock.monotonic()
        history, known = link.history, link.memo.states(ids)
        values, time, *there = await link.watch(lane, keys, *reads)
        raw: dict[str, bytes | None] = dict(zip(ids, values, strict=True))
        if there and there[0] != len(ids) - values.count(None):
            await self._set_aside(raw)
        if self._claim and self._seen is not None:
            seen = self._seen
            raw = {one: data for one, data in raw.items() if data == seen[one]}
            self._ids = list(raw)
        self._seen = raw
        records = await self._decoded(raw)
        history.looked(known, records)
        return _Read(instant_of(time), begun, raw, records)

    async def _precede(self, lane: Lane, prelude: list[Command]) -> None:
        """See to it that the namespace's indexes have been written before."""
        self._ahead = [one for one in prelude if one not in self._entered]
        if self._ahead and lane.node is not None:
            raise AheadError
        await self.enter()

    async def _set_aside(self, raw: dict[str, bytes | None]) -> None:
        """Take out ids whose key holds something that is no string."""
        absent = [job_id for job_id, data in raw.items() if data is None]
        keys = [self._key(job_id) for job_id in absent]
        kinds = await self._link.ask([("TYPE", key) for key in keys])
        for job_id, key, kind in zip(absent, keys, kinds, strict=True):
            if kind != b"none":
                del raw[job_id]
                self._link.unreadable(key, f"is of type {kind.decode()}, no record")
        self._ids = list(raw)

    async def _decoded(
        self, raw: Mapping[str, bytes | None]
    ) -> dict[str, Record | None]:
        """Return the records; those that cannot be read are left out."""
        link = self._link
        records: dict[str, Record | None] = {}
        unknown: dict[str, Parts] = {}
        for job_id, data in raw.items():
            if data is None:
                records[job_id] = None
                continue
            known = link.memo.find(job_id, data)
            if known is not None:
                records[job_id] = known
                continue
            try:
                parts = split(data)
                spec = link.specs.find(parts.spec)
                if spec is None:
                    unknown[job_id] = parts
                    records[job_id] = None  # keeps its place in the order
                else:
                    records[job_id] = decode(parts, job_id, spec)
            except UnreadableError as error:
                link.unreadable(self._key(job_id), str(error))
        if unknown:
            await self._learn(raw, unknown, records)
        return records

    async def _learn(
        self,
        raw: Mapping[str, bytes | None],
        unknown: dict[str, Parts],
        records: dict[str, Record | None],
    ) -> None:
        """Fetch specs and decode what was waiting for them."""
        link, keys = self._link, self._link.keys
        wanted = {one: (self._shards[one], unknown[one].spec) for one in unknown}
        places = list(dict.fromkeys(wanted.values()))
        names = [keys.spec_of_line(shard, line) for shard, line in places]
        jobs = [self._key(job_id) for job_id in unknown]
        bodies, again = await link.ask([("MGET", *names), ("MGET", *jobs)])
        if None in bodies and again != [raw[job_id] for job_id in unknown]:
            # The record was written meanwhile and its old spec swept away.
            self._link.counters.aborts += 1
            raise OvertakenError
        found = dict(zip(places, bodies, strict=True))
        for job_id, parts in unknown.items():
            try:
                spec = link.specs.learn(parts.spec, found[wanted[job_id]])
                records[job_id] = decode(parts, job_id, spec)
            except UnreadableError as error:
                del records[job_id]
                link.unreadable(self._key(job_id), str(error))

    # -- writing ------------------------------------------------------------------

    async def _execute(
        self,
        lane: Lane,
        spread: Spread,
        read: _Read,
        changes: dict[str, Change],
        token: str,
    ) -> list[Any]:
        link, batch = self._link, spread.batch
        try:
            replies = await lane.commit(batch.commands)
        except MisplacedError:
            raise  # refused as a whole
        except LostError as error:
            sent = Sent(
                {job_id: self._shards[job_id] for job_id in read.raw},
                changes,
                spread,
                token,
                read.now,
                read.begun,
                claim=self._claim,
            )
            raise UnknownError(sent, error) from error
        results = replies[-1]
        if results is None:
            link.counters.aborts += 1
            raise OvertakenError
        if isinstance(results, ResponseError):
            # Refused before anything was done; the first error says why.
            answers = zip([*batch.commands, ("EXEC",)], replies, strict=True)
            refused = (one for one in answers if isinstance(one[1], ResponseError))
            command, reply = next(refused)
            key = str(command[1]) if len(command) > 1 else ""
            raise refusal(reply, link.place, key) from reply
        self.doubtful = True
        link.counters.transactions += 1
        for share, part in spread.dealt(results):
            link.history.committed(
                share.shard, share.batch.commands, part, share.changes
            )
        asked = self._signal and not self._claim
        asked = asked and wanted_by_a_verb(read.records, changes)
        self._report(batch.commands, results, asked=asked)
        return list(results)

    def _report(
        self, commands: Sequence[Command], results: Sequence[Any], *, asked: bool
    ) -> None:
        """Report each command that failed, and raise what a caller is told."""
        failed: list[StoreError] = []
        for command, result in zip(commands, results, strict=True):
            if isinstance(result, Exception):
                failed += self._failed(command, result, asked=asked)
        if failed:
            raise first_of(failed)

    def _failed(
        self, command: Command, error: Exception, *, asked: bool
    ) -> list[StoreError]:
        """Report a command that failed although its transaction was executed.

        Redis undoes nothing: somebody has put something else under this key.
        A peer's own commits go on; a caller is told what was left undone.
        """
        link, key, verb = self._link, str(command[1]), str(command[0])
        link.unreadable(key, f"{verb} failed in EXEC: {error}")
        shared = {link.keys.shared(shard) for shard in self._shards.values()}
        subscribed = verb == "SADD" and key not in shared
        if not asked or not (subscribed or verb in {"MSET", "ZADD"}):
            return []
        refused = refusal(error, key, key)
        refused.__cause__ = error
        if isinstance(refused, StoreDataError) and verb != "MSET":
            ids = command[3::2] if verb == "ZADD" else command[2:]
            refused.jobs = frozenset(map(str, ids))
        return [refused]

    def _committed(self, changes: Mapping[str, Change], batch: Batch) -> None:
        memo = self._link.memo
        for job_id, change in changes.items():
            data = batch.written.get(job_id)
            record = change.record
            if data is not None and record is not None:
                memo.put(job_id, data, record)
            elif not change.index_only:
                memo.forget(job_id)
