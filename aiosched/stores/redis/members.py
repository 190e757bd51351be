"""Peers and what they can run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import _ParameterKind as Kind
from typing import Any

from aiosched.abc import Beat, ExecutorInfo, Member, Pulse
from aiosched.instants import DAY, SECOND
from aiosched.jobs.plain import load_json
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.history import Said, checked
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.meta import followed
from aiosched.stores.redis.reading import numbers
from aiosched.stores.redis.routing import AWAY
from aiosched.stores.redis.timing import instant_of
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT

__all__ = [
    "ADVERTISED",
    "advertise",
    "beat",
    "catalogue",
    "readable_executor",
    "readable_member",
    "stale_executors",
]

ADVERTISED = 7 * DAY
_KINDS = {kind.name.lower() for kind in Kind}
_WRONG = SECOND
"""Error of the estimate above which a beat is given again."""
_LONG_GONE = 20
"""Member timeouts after which the entry of a peer is deleted."""
_IDLE = 6
"""Beats after which a peer looks round although nothing has changed."""


async def beat(link: Link, beat: Beat) -> Pulse:
    """Do what :meth:`aiosched.abc.Session.beat` promises, in one round trip."""
    guess = link.estimate_home()
    pulse = await _beat(link, beat, guess)
    if beat.member is not None and abs(pulse.now - guess) > _WRONG:
        # This host slept, or the server's clock was set: others would take the
        # beat for an old one, or for one of the future.
        pulse = await _beat(link, beat, link.estimate_home())
    return pulse


def _packet(link: Link, beat: Beat, said: Said | None) -> list[Command]:
    """Return the commands of a beat; all but the counters are of one slot.

    An idle peer sends nothing else, so each of them counts.
    """
    keys = link.keys
    commands: list[Command] = [("TIME",)]
    if said is None:
        commands.append(("HDEL", keys.members, beat.member_id))
    commands.append(("HGETALL", keys.members))
    if said is not None:  # behind the look at what stood in its place
        commands.append(("HSET", keys.members, beat.member_id, said.text))
    if beat.canary:
        commands.append((link.publish, keys.canary, beat.member_id))
    return commands + _rev_commands(link, beat.shards)


async def _looked_round(link: Link) -> set[str]:
    """Compare the data set's identity; return the queues that it has.

    What stands there changes with the records or with the data set, so it is
    asked for where a counter has moved or something is missing, and now and then.
    """
    keys = link.keys
    epoch, queues = await link.try_typed(
        [("HGET", keys.meta, "epoch"), ("SMEMBERS", keys.queues)]
    )
    await followed(link, epoch)
    # Garbage tells nothing: what this session knows still holds.
    return set(link.queues if queues is None else link.texts(keys.queues, queues))


async def _beat(link: Link, beat: Beat, guess: int) -> Pulse:
    keys = link.keys
    said: Said | None = None
    history = link.history
    if beat.member is not None:
        said = history.beating(_pack(beat.member, guess).encode())
    before = history.counters()
    packet = _packet(link, beat, said)
    # A master that is away keeps nobody from beating; it has some counters only.
    spare = [len(packet) - 1] if beat.shards else []
    replies = await link.try_typed(packet, spare=spare)
    now = instant_of(replies[0])
    fields = replies[1] if said is not None else replies[2]
    shards, values = _reached(beat.shards, replies[-1:] if beat.shards else [])
    if said is not None:
        former = _field(fields, beat.member_id)
        history.found(former, said, shards, values, before)
    moved = link.stirred(values, _IDLE)
    around = moved or said is None or not values or history.suspects()
    known = link.queues
    if around:
        known = await _looked_round(link)
        link.looked_round(values)
    if said is not None and link.history is history:
        await checked(link, now)
    if not link.written <= known or link.stale:
        await _entered_again(link)
        known |= link.written
    link.queues |= known
    gone: list[str] = []
    if fields is not None:
        link.members, gone = _members(link, fields, now)
    members = link.members
    if beat.member is None or said is None:
        link.history.left(beat.member_id)
    else:
        link.history.beaten(beat.member_id, said)
        members = _among(members, replace(beat.member, beat=now))
    # What stood in the place of its own is what it has just written over.
    gone = [one for one in gone if one != beat.member_id]
    if gone:
        await link.ask([("HDEL", keys.members, *gone)])
    return Pulse(
        now,
        members,
        dict(zip(shards, numbers(link, shards, values), strict=True)),
        link.epoch,
        tuple(sorted(link.queues)),
    )


def _among(members: Sequence[Member], own: Member) -> tuple[Member, ...]:
    """Return all members, one of them as it is known here.

    What it wrote was by the estimate, wrong by a fraction of a round trip.
    """
    others = [one for one in members if one.id != own.id]
    return tuple(sorted([*others, own], key=lambda one: one.id))


def _field(fields: list[bytes] | None, name: str) -> bytes | None:
    """Return a field of what HGETALL has answered; None: it is not there."""
    pairs = zip((fields or ())[::2], (fields or ())[1::2], strict=True)
    return next((value for key, value in pairs if key == name.encode()), None)


def _reached(
    shards: Sequence[int], replies: Sequence[Any]
) -> tuple[list[int], list[Any]]:
    """Return the shards whose counters were told, and the counters."""
    values = replies[0] if replies else []
    if not isinstance(values, list):
        return [], []
    told = zip(shards, values, strict=True)
    pairs = [(shard, value) for shard, value in told if value is not AWAY]
    return [shard for shard, _ in pairs], [value for _, value in pairs]


async def _entered_again(link: Link) -> None:
    """Put into the indexes what this session wrote before the data was lost.

    What it wrote between the loss and this beat it did not enter, believing it
    to be there.
    """
    commands: list[Command] = []
    if link.written:
        commands.append(("SADD", link.keys.queues, *sorted(link.written)))
    keywords = sorted(link.keywords)
    for keyword, shard in keywords:
        commands.append(("SADD", link.keys.keyword_shards(keyword), shard))
    if commands:
        replies = await link.try_typed(commands)
        entered = replies[len(commands) - len(keywords) :]
        for one, reply in zip(keywords, entered, strict=True):
            if reply is None:
                link.keywords.discard(one)  # who uses it next is told
    link.stale = False


def _rev_commands(link: Link, shards: Sequence[int]) -> list[Command]:
    """Return commands whose answers, one after the other, are the counters."""
    return [("MGET", *[link.keys.rev(shard) for shard in shards])] if shards else []


def _pack(member: Member, now: int) -> str:
    return json.dumps(
        [
            now,
            member.name,
            None if member.queues is None else list(member.queues),
            list(member.executors),
            member.claims,
            member.running,
            member.started,
            member.host,
            member.schema,
            None if member.triggers is None else list(member.triggers),
        ],
        separators=(",", ":"),
        ensure_ascii=False,
    )


def _unpack(member_id: str, data: Any) -> Member:
    """Read what :func:`_pack` wrote.

    Raises:
        ValueError: It is something else.
    """
    # A later version may say more of itself, and an earlier one says less.
    if not isinstance(data, list) or len(data) < 8:
        raise ValueError(f"{str(data)[:80]} has wrong parts")
    seen, name, queues, executors, claims, running, started, host = data[:8]
    schema, triggers = data[8:10] if len(data) >= 10 else (1, None)
    instants = all(
        type(one) is int and FIRST_INSTANT <= one <= LAST_INSTANT
        for one in (seen, started)
    )
    texts = all(isinstance(one, str) for one in (name, host))
    if not (instants and texts and _names(executors) and type(claims) is bool):
        raise ValueError(f"{str(data)[:80]} has wrong parts")
    if type(running) is not int or not (queues is None or _names(queues)):
        raise ValueError(f"{str(data)[:80]} has wrong parts")
    if type(schema) is not int or not (triggers is None or _names(triggers)):
        raise ValueError(f"{str(data)[:80]} has wrong parts")
    return Member(
        member_id,
        name,
        None if queues is None else tuple(queues),
        tuple(executors),
        claims,
        seen,
        running,
        started,
        host,
        schema,
        None if triggers is None else tuple(triggers),
    )


def _names(data: object) -> bool:
    return isinstance(data, list) and all(isinstance(one, str) for one in data)


def _members(
    link: Link, fields: list[bytes], now: int
) -> tuple[tuple[Member, ...], list[str]]:
    """Return the living, by id, and the ids of the long dead."""
    living: list[Member] = []
    gone: list[str] = []
    timeout = link.terms.member_timeout
    for raw, value in zip(fields[::2], fields[1::2], strict=True):
        member_id = raw.decode(errors="replace")
        try:
            member = _unpack(raw.decode(), load_json(value))
        except ValueError as error:
            link.unreadable(f"{link.keys.members} {member_id}", f"no peer: {error}")
            continue
        age = now - member.beat
        if age < timeout:
            living.append(member)
        elif age > _LONG_GONE * timeout:
            gone.append(member_id)
    living.sort(key=lambda member: member.id)
    return tuple(living), gone


# --- executors -----------------------------------------------------------------


async def advertise(link: Link, executors: Sequence[ExecutorInfo]) -> None:
    """Do what :meth:`aiosched.abc.Session.advertise` promises."""
    if not executors:
        return
    (time,) = await link.ask([("TIME",)])
    now = instant_of(time)
    words: list[str] = []
    for info in executors:
        data = [now, [list(one) for one in info.parameters], info.queue]
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        words += (info.name, text)
    await link.try_typed([("HSET", link.keys.executors, *words)])


async def catalogue(link: Link) -> dict[str, ExecutorInfo]:
    """Do what :meth:`aiosched.abc.Session.catalogue` promises."""
    known, oldest = await _advertised(link)
    return {name: info for name, info in known.items() if info.seen >= oldest}


async def stale_executors(link: Link) -> list[str]:
    """Return the names that nobody has advertised for long."""
    known, oldest = await _advertised(link)
    return sorted(name for name, info in known.items() if info.seen < oldest)


async def _advertised(link: Link) -> tuple[Mapping[str, ExecutorInfo], int]:
    """Return what was ever advertised, and since when that counts."""
    key = link.keys.executors
    time, fields = await link.try_typed([("TIME",), ("HGETALL", key)])
    return _executors(link, fields or []), instant_of(time) - ADVERTISED


def _executors(link: Link, fields: list[bytes]) -> Mapping[str, ExecutorInfo]:
    known: dict[str, ExecutorInfo] = {}
    for raw, value in zip(fields[::2], fields[1::2], strict=True):
        name = raw.decode(errors="replace")
        try:
            known[name] = _executor(name, value)
        except ValueError as error:
            key = f"{link.keys.executors} {name}"
            link.unreadable(key, f"no executor: {error}")
    return known


def _executor(name: str, value: bytes) -> ExecutorInfo:
    """Read what :func:`advertise` wrote.

    Raises:
        ValueError: It is something else.
    """
    data = load_json(value)
    if not isinstance(data, list) or len(data) < 3:
        raise ValueError(f"{str(data)[:80]} has wrong parts")
    seen, parameters, queue = data[:3]
    if type(seen) is not int or not FIRST_INSTANT <= seen <= LAST_INSTANT:
        raise ValueError(f"{str(data)[:80]} has no instant")
    if not (isinstance(parameters, list) and all(map(_parameter, parameters))):
        raise ValueError(f"{str(data)[:80]} has wrong parts")
    listed = tuple([(n, k, r) for n, k, r in parameters])
    return ExecutorInfo(name, listed, str(queue), seen)


def _parameter(data: object) -> bool:
    """Tell whether it is name, kind and necessity of a parameter."""
    if not isinstance(data, list) or len(data) != 3:
        return False
    name, kind, required = data
    known = isinstance(name, str) and isinstance(kind, str) and kind in _KINDS
    return known and type(required) is bool


# --- for those who examine ---------------------------------------------------------


def readable_member(raw: bytes, value: bytes) -> Member:
    """Return the peer that a field of the members is.

    Raises:
        ValueError: It is none.
    """
    return _unpack(raw.decode(), load_json(value))


def readable_executor(raw: bytes, value: bytes) -> ExecutorInfo:
    """Return the executor that a field of the catalogue is.

    Raises:
        ValueError: It is none.
    """
    return _executor(raw.decode(), value)
