"""What an examination has to know before it looks at keys: terms, time, peers.

Nothing here writes, so that a namespace that is damaged, or not there at all,
stays as it is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any
from zlib import crc32

from aiosched.abc import Terms
from aiosched.errors import ConfigurationError
from aiosched.instants import SECOND
from aiosched.stores.damage import Damage
from aiosched.stores.redis.layout import pattern
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.members import ADVERTISED
from aiosched.stores.redis.timing import instant_of

__all__ = ["Facts", "gather", "meta_fields"]

_SCHEMA = 1
_NAMES = [one.name for one in fields(Terms)]
_SAMPLES = 500
_PAGES = 50
_MOST_SHARDS = 4_096
_TRUSTED = 5
"""Records that have to speak against the stored number of shards."""
_APART = SECOND
"""Difference between two clocks that is worth a word."""


@dataclass(slots=True)
class Facts:
    """What was found out.

    Attributes:
        terms: Those that hold, or would hold for a newcomer.
        now: The store's instant.
        members: Ids of the peers that live.
        queues: What stands in the set of queues.
        damage: What was found on the way.
        notes: What is to be said of the server.
    """

    terms: Terms
    now: int
    members: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    damage: list[Damage] = field(default_factory=list)
    notes: list[Damage] = field(default_factory=list)

    @property
    def advertised(self) -> int:
        """Since when an advertised executor counts."""
        return self.now - ADVERTISED


async def gather(link: Link, host: int) -> Facts:
    """Find out what there is to know, and take over the terms.

    Args:
        link: A session's that has not agreed on terms.
        host: This host's instant.

    Raises:
        ConfigurationError: A later version wrote the namespace.
    """
    (time,) = await link.ask([("TIME",)])
    facts = Facts(Terms(), instant_of(time))
    samples = await _samples(link)
    await _meta(link, facts, samples)
    link.agree(facts.terms)
    await _peers(link, facts)
    link.queues = set(facts.queues)
    facts.notes = await _server(link, facts.now, host)
    return facts


async def _samples(link: Link) -> list[tuple[int, bytes]]:
    """Return (shard, id) of some records, as their keys say."""
    shape = re.compile(
        rb"\{" + re.escape(link.keys.namespace.encode()) + rb":(\d{1,6})\}:j:(.*)",
        re.DOTALL,
    )
    found: list[tuple[int, bytes]] = []
    scan: Any = b"0"
    for _ in range(_PAGES):
        (reply,) = await link.ask(
            [("SCAN", scan, "MATCH", pattern(link.keys), "COUNT", 1_000)]
        )
        scan, names = reply
        hits = [shape.fullmatch(name) for name in names]
        found += [(int(hit[1]), hit[2]) for hit in hits if hit is not None]
        if scan == b"0" or len(found) >= _SAMPLES:
            break
    return found


def _fitting(samples: list[tuple[int, bytes]], shards: int) -> int:
    return sum(crc32(raw) % shards == shard for shard, raw in samples)


def _inferred(samples: list[tuple[int, bytes]]) -> int:
    """Return the number of shards that most records speak for."""
    default = Terms().shards
    if not samples or _fitting(samples, default) == len(samples):
        return default
    best = Counter(
        {n: _fitting(samples, n) for n in range(1, _MOST_SHARDS + 1)}
    ).most_common()
    most = best[0][1]
    return min(number for number, count in best if count == most)


# --- terms -------------------------------------------------------------------------


async def _meta(link: Link, facts: Facts, samples: list[tuple[int, bytes]]) -> None:
    key = link.keys.meta
    (words,) = await link.ask([("HGETALL", key)], lenient=True)
    if not isinstance(words, list):
        # Of another type, which is told of like every other such key.
        facts.terms = Terms(shards=_inferred(samples))
        return
    stored = dict(zip(words[::2], words[1::2], strict=True))
    schema = stored.get(b"schema", b"")
    if schema.isdigit() and int(schema[:20]) > _SCHEMA:
        said = schema[:20].decode()
        raise ConfigurationError(
            "namespace",
            key,
            f"was written by a later version of aiosched (schema {said})",
            "examine it with that version",
        )
    if not stored and not samples:
        return
    terms: dict[str, int] = {}
    for name in ("schema", "epoch", *_NAMES):
        value = stored.get(name.encode())
        if value is None:
            facts.damage.append(_missing(key, name))
        elif not _right(name, value):
            facts.damage.append(_wrong(key, name, f"is {value[:40]!r}"))
        elif name in _NAMES:
            terms[name] = int(value)
    if "shards" not in terms:
        terms["shards"] = _inferred(samples)
    elif _fitting(samples, terms["shards"]) * 2 < len(samples) >= _TRUSTED:
        better = _inferred(samples)
        if _fitting(samples, better) * 10 >= len(samples) * 9:
            detail = f"is {terms['shards']}, and the records are in {better}"
            facts.damage.append(_wrong(key, "shards", detail))
            terms["shards"] = better
    facts.terms = Terms(**terms)


def _right(name: str, value: bytes) -> bool:
    if name == "epoch":
        try:
            return bool(value.decode())
        except UnicodeDecodeError:
            return False
    if not (value.isdigit() and len(value) < 19):
        return False
    number = int(value)
    if name == "shards":
        return 1 <= number <= 16_384
    return number >= (0 if name == "steal_delay" else 1)


def _missing(key: str, name: str) -> Damage:
    detail = f"{name} is missing"
    return Damage("meta-missing", key, detail, raw=key.encode(), part=name.encode())


def _wrong(key: str, name: str, problem: str) -> Damage:
    detail = f"{name} {problem}"
    return Damage("meta-unreadable", key, detail, raw=key.encode(), part=name.encode())


def meta_fields(link: Link, epoch: str) -> dict[str, str]:
    """Return what a whole description of the namespace says."""
    terms = {name: str(getattr(link.terms, name)) for name in _NAMES}
    return {"schema": str(_SCHEMA), "epoch": epoch, **terms}


# --- peers and server --------------------------------------------------------------


async def _peers(link: Link, facts: Facts) -> None:
    members, queues = await link.ask(
        [("HGETALL", link.keys.members), ("SMEMBERS", link.keys.queues)], lenient=True
    )
    living: set[str] = set()
    if isinstance(members, list):
        for raw, value in zip(members[::2], members[1::2], strict=True):
            try:
                beat = json.loads(value)[0]
                if facts.now - beat < facts.terms.member_timeout:
                    living.add(raw.decode())
            except (ValueError, TypeError, KeyError, IndexError, RecursionError):
                continue  # told of when the key is looked at
    facts.members = frozenset(living)
    if isinstance(queues, list):
        names = [raw.decode(errors="replace") for raw in queues]
        facts.queues = frozenset(one for one in names if "\ufffd" not in one)


async def _server(link: Link, now: int, host: int) -> list[Damage]:
    """Return what is to be said of the server, as far as it can be asked."""
    notes: list[Damage] = []
    policy, limit, save, aof = [
        # Many users have no right to this; then there is nothing to be said.
        (await link.ask_each(("CONFIG", "GET", name)))[0]
        for name in ("maxmemory-policy", "maxmemory", "save", "appendonly")
    ]

    def said(reply: Any) -> str | None:
        return (
            reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else None
        )

    if said(policy) not in {None, "noeviction"}:
        detail = f"maxmemory-policy is {said(policy)}, maxmemory {said(limit)}"
        notes.append(Damage("eviction", link.place, detail))
    if said(save) == "" and said(aof) == "no":
        detail = "neither snapshots nor an append-only file are written"
        notes.append(Damage("persistence-off", link.place, detail))
    apart = host - now
    if abs(apart) > _APART:
        detail = f"this host is {apart / SECOND:+.1f} s from the server"
        notes.append(Damage("clock-apart", link.place, detail))
    return notes
