"""What became of an EXEC that was sent and never answered.

It is found out on another connection, in two steps: make sure that it can no
longer be executed, then look whether it was.  It is never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from aiosched.errors import StoreUnavailableError
from aiosched.instants import SECOND
from aiosched.records import Change, LiveRun, Spec
from aiosched.stores.redis.codec import decode, split
from aiosched.stores.redis.connection import Command, Lane
from aiosched.stores.redis.failures import refusal
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.specs import UnreadableError
from aiosched.stores.redis.spread import Share, Spread
from aiosched.stores.redis.starts import fetch_starts
from aiosched.stores.redis.timing import instant_of

__all__ = ["Sent", "resolve"]

_PAGE = 500
_SLACK_MS = 5_000
_LONGEST_PAUSE = 1.0
_ANY_SPEC = Spec("")


@dataclass(slots=True)
class Sent:
    """A transaction whose EXEC has no reply.

    Attributes:
        shards: Of all ids that it watched.
        now: The store's instant when it was read, before EXEC was sent.
        begun: The monotonic second before it was read.
    """

    shards: Mapping[str, int]
    changes: dict[str, Change]
    spread: Spread
    token: str
    now: int
    begun: float
    claim: bool = field(kw_only=True)


async def resolve(link: Link, sent: Sent) -> dict[str, Change] | None:
    """Return what was committed, or None if nothing was and nothing will be.

    Raises:
        StoreUnavailableError: The store stayed away for too long.
    """
    end = link.clock.monotonic() + link.patience
    tries, place = 0, sent.spread.shares[0].shard
    while True:
        try:
            async with link.transactions.take(link.keys.tags[place]) as lane:
                raw = await _touched(link, lane, sent)
                entry = await _entry(link, lane, sent)
                break
        except StoreUnavailableError:
            if link.clock.monotonic() >= end:
                raise
        tries += 1
        await link.pause(tries + 2, _LONGEST_PAUSE)
    changes = _surviving(sent, raw, said=entry is not None)
    if changes is not None:
        link.counters.transactions += 1
        for share in sent.spread.shares:
            own = {one: changes[one] for one in share.changes if one in changes}
            seen = entry if share is _told_of(sent) else None
            link.history.written(share.shard, seen, 0, own)
        for share in sent.spread.shares:
            own = {one: changes[one] for one in share.changes if one in changes}
            await fetch_starts(link, share.shard, own)
    return changes


async def _touched(link: Link, lane: Lane, sent: Sent) -> dict[str, bytes | None]:
    """Write back what is there, so that the old EXEC can only abort.

    Where somebody else writes one of these keys meanwhile, this aborts, and so
    does the old EXEC if it has not been executed by then: it watches them, too,
    and for longer.  So this is done once, however many others write.

    Returns:
        What was there, after the last instant at which it could be executed.
    """
    keys = [link.keys.job(shard, job_id) for job_id, shard in sent.shards.items()]
    exist: list[Command] = [("EXISTS", key) for key in keys]
    values, *there = await link.watch(lane, keys, ("MGET", *keys), *exist)
    present = [one for one in zip(keys, values, strict=True) if one[1] is not None]
    # Garbage of another type has no value, and stays.
    absent = [key for key, number in zip(keys, there, strict=True) if not number]
    writes: list[Command] = []
    if present:
        writes.append(("MSET", *[word for one in present for word in one]))
    if absent:
        # DEL alone of a missing key would not make a watcher abort.
        writes.append(("MSET", *[word for key in absent for word in (key, "")]))
        writes.append(("DEL", *absent))
    replies = await lane.commit(writes)
    if isinstance(replies[-1], ResponseError):
        reasons = [one for one in replies if isinstance(one, ResponseError)]
        raise refusal(reasons[0], link.place) from reasons[0]
    if replies[-1] is None:
        link.counters.aborts += 1
        (values,) = await _plain(link, lane, [("MGET", *keys)])
    return dict(zip(sent.shards, values, strict=True))


async def _entry(link: Link, lane: Lane, sent: Sent) -> bytes | None:
    """Return the ledger entry that has the token, if there is one.

    Of one shard: EXEC is carried out in all of them or in none.
    It is read from its end, where the entry is if it is anywhere: an entry comes
    behind all others, even if the server's clock was set back meanwhile.
    """
    share = _told_of(sent)
    if share is None:
        return None
    key, token = link.keys.ledger(share.shard), sent.token.encode()
    last: str = "+"
    oldest: int | None = None
    while True:
        page = ("XREVRANGE", key, last, "-", "COUNT", _PAGE)
        time, entries = await _plain(link, lane, [("TIME",), page])
        for entry, words in entries:
            if token in words:
                return bytes(entry)
        if oldest is None:
            passed = round((link.clock.monotonic() - sent.begun) * SECOND)
            earliest = min(sent.now, instant_of(time) - passed)
            oldest = earliest // 1000 - _SLACK_MS
        if len(entries) < _PAGE or int(entries[-1][0].partition(b"-")[0]) < oldest:
            return None
        last = f"({entries[-1][0].decode()}"


def _told_of(sent: Sent) -> Share | None:
    """Return the first share that was to leave a ledger entry."""
    return next((share for share in sent.spread.shares if share.batch.entry), None)


async def _plain(link: Link, lane: Lane, commands: list[Command]) -> list[Any]:
    replies = await lane.exchange(commands)
    for reply in replies:
        if isinstance(reply, ResponseError):
            await lane.drop()
            raise refusal(reply, link.place) from reply
    return replies


def _surviving(
    sent: Sent, raw: dict[str, bytes | None], *, said: bool
) -> dict[str, Change] | None:
    """Return the changes that were committed and still hold, None if none were."""
    written = sent.spread.batch.written
    live = {job_id: _live(job_id, raw[job_id]) for job_id in sent.changes}
    held = {
        job_id: tuple([one for one in change.starts if _key(one.run) in live[job_id]])
        for job_id, change in sent.changes.items()
    }
    if sent.spread.batch.entry:
        committed = said
    else:
        committed = any(held.values()) or any(
            raw[job_id] == data for job_id, data in written.items()
        )
    if not committed:
        return None
    answer: dict[str, Change] = {}
    for job_id, change in sent.changes.items():
        if change.starts and not held[job_id] and sent.claim:
            continue  # it was ours, and its lease has ended since
        change.starts = held[job_id]
        answer[job_id] = change
    return answer


def _key(run: LiveRun) -> tuple[str, int]:
    return run.owner, run.fence


def _live(job_id: str, data: bytes | None) -> set[tuple[str, int]]:
    """Return (owner, fence) of a record's runs."""
    if data is None:
        return set()
    try:
        record = decode(split(data), job_id, _ANY_SPEC)
    except UnreadableError:
        return set()
    return {_key(run) for run in record.state.runs}
