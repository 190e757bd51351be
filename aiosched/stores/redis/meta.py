"""What the peers of a namespace agree on: schema, terms and the data's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from redis.exceptions import ResponseError

from aiosched.abc import Terms
from aiosched.errors import ConfigurationError, StoreDataError, StoreUnavailableError
from aiosched.stores.redis.connection import Lane, LostError
from aiosched.stores.redis.failures import refusal
from aiosched.stores.redis.link import Link
from aiosched.stores.terms import agreed_terms

__all__ = ["agree", "followed"]

_SCHEMA = 1
_TRIES = 16
_QUICK = 1.0
_MOST_SHARDS = 16_384
_LONGEST = 10**18
"""Of a duration, and of a number of rows: what a script can count with."""
_NAMES = [field.name for field in fields(Terms)]


async def agree(link: Link, wanted: Mapping[str, Any]) -> Terms:
    """Settle the terms, or take over those that are settled.

    Raises:
        ConfigurationError: ``wanted`` contradicts what is stored.
        StoreDataError: What is stored cannot be read.
        StoreUnavailableError: Calling again is safe.
    """
    for attempt in range(_TRIES):
        begun = link.clock.monotonic()
        try:
            async with link.transactions.take() as lane:
                agreed = await _try(link, lane, wanted)
        except LostError:
            # Settling twice settles the same, whatever became of the first.
            if attempt >= 2 or link.clock.monotonic() - begun > _QUICK:
                raise  # also where the server hangs rather than being away
            agreed = None
        if agreed is not None:
            return agreed
        await link.pause(attempt)
    raise StoreUnavailableError(f"{link.place}: too many peers settle the terms")


async def _try(link: Link, lane: Lane, wanted: Mapping[str, Any]) -> Terms | None:
    key = link.keys.meta
    found, _ = await link.watch(lane, [key], ("HGETALL", key), ("TIME",))
    words = [word.decode(errors="replace") for word in found]
    stored = dict(zip(words[::2], words[1::2], strict=True))
    if stored:
        terms = agreed_terms(_terms(key, stored), wanted)
        if "epoch" in stored:
            link.new_data(stored["epoch"])
            return terms
    else:
        terms = agreed_terms(None, wanted)
    epoch = link.ids()
    words = ["schema", str(_SCHEMA), "epoch", epoch]
    for name in _NAMES:
        words += (name, str(getattr(terms, name)))
    replies = await lane.commit([("HSET", key, *words)])
    _refuse(link, replies)
    if replies[-1] is None:
        return None
    link.new_data(epoch)
    return terms


def _refuse(link: Link, replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise refusal(reply, link.place, link.keys.meta) from reply


def _terms(key: str, stored: Mapping[str, str]) -> Terms:
    schema = stored.get("schema", "")
    # Python refuses to read thousands of digits.
    if schema.isdecimal() and int(schema[:20]) > _SCHEMA:
        raise ConfigurationError(
            "namespace",
            key,
            f"was written by a later version of aiosched (schema {schema[:20]})",
            "update this peer, or use another namespace",
        )
    try:
        read = {name: int(stored[name]) for name in _NAMES if name in stored}
    except ValueError as error:
        raise StoreDataError(key, str(error)[:200]) from None
    for name, value in read.items():
        least = 0 if name == "steal_delay" else 1
        most = _MOST_SHARDS if name == "shards" else _LONGEST
        if not least <= value <= most:
            raise StoreDataError(
                key, f"{name} is {str(value)[:20]}, which cannot be right"
            )
    return Terms(**read)


async def followed(link: Link, epoch: bytes | None) -> None:
    """Take over the identity that the store says its data has.

    The terms stay those of this session, so that it need not be opened anew.
    Garbage is reported and changes nothing.

    Args:
        link: The session's.
        epoch: What stands in the store; None: nothing readable.

    Raises:
        ConfigurationError: The data was lost, and somebody has settled other
            terms since.
        StoreUnavailableError: Calling again is safe.
    """
    if epoch is not None and epoch.decode(errors="replace") == link.epoch:
        return
    key = link.keys.meta
    (words,) = await link.try_typed([("HGETALL", key)])
    if words is None:
        return
    stored = {name.decode(errors="replace"): value for name, value in _pairs(words)}
    if stored and "epoch" not in stored:
        # An emptied store has nothing at all here, so this one was not emptied.
        link.unreadable(key, "has no epoch; what is missing is put back")
        await _put_back(link)
        return
    if stored and not stored.keys() >= {"schema", *_NAMES}:
        link.unreadable(key, "has another epoch, and lacks terms")
        return
    try:
        if stored:
            stored["epoch"].decode()
        await agree(link, _own(link))
    except (StoreDataError, UnicodeDecodeError) as error:
        link.unreadable(key, str(error))


def _pairs(words: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(words[::2], words[1::2], strict=True))


def _own(link: Link) -> dict[str, int]:
    return {name: getattr(link.terms, name) for name in _NAMES}


async def _put_back(link: Link) -> None:
    """Write what a peer that comes needs to know, where nothing stands."""
    fields = {"schema": _SCHEMA, "epoch": link.epoch, **_own(link)}
    key = link.keys.meta
    await link.try_typed(
        [("HSETNX", key, name, str(value)) for name, value in fields.items()]
    )
