"""What can be wrong with records, and with what they share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from aiosched import planning
from aiosched.abc import shard_of
from aiosched.enums import JobState
from aiosched.instants import SECOND
from aiosched.planning.compare import digest
from aiosched.records import Record
from aiosched.rows import unpack_row
from aiosched.stores.damage import Damage
from aiosched.stores.redis.codec import aparts, later, split
from aiosched.stores.redis.facts import Facts
from aiosched.stores.redis.index import compare, decoded, expected, in_index
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.specs import UnreadableError, spec_name
from aiosched.stores.redis.words import not_subscribed

__all__ = ["blobs", "names_of", "records", "specs", "state_problem"]

_ORPHANED = 60 * SECOND
"""How long a lease must have ended without anybody acting on it."""


async def records(
    link: Link, facts: Facts, shard: int, ids: Sequence[str]
) -> list[Damage]:
    """Look at records of one shard, and at all that belongs to them."""
    keys = [link.keys.job(shard, job_id) for job_id in ids]
    (values,) = await link.ask([("MGET", *keys)])
    raw = {one: data for one, data in zip(ids, values, strict=True) if data is not None}
    found = await _without_spec(link, shard, raw)
    lacking = {one.job_id for one in found}
    good: dict[str, Record] = {}
    for job_id, record in (await decoded(link, shard, raw)).items():
        if job_id in lacking:
            continue
        if isinstance(record, UnreadableError):
            found.append(await _unreadable(link, shard, job_id, raw[job_id], record))
        else:
            good[job_id] = record
    queues = (
        link.queues | link.looked | {r.definition.spec.queue for r in good.values()}
    )
    scores = await in_index(link, shard, queues, list(good))
    for job_id, record in good.items():
        key = link.keys.job(shard, job_id)

        tell = partial(_told, found, shard, job_id, key)
        try:
            wanted = expected(record)
        except UnreadableError as error:
            tell("spec-unknown", str(error))
            continue
        found += compare(link, shard, job_id, wanted, scores)
        if wanted.queue not in facts.queues:
            tell("queue-missing", f"the queue {wanted.queue!r} is in no index")
        if wanted.keyword is not None and await not_subscribed(
            link, shard, wanted.keyword, [job_id]
        ):
            tell("keyword-missing", f"it is not entered under {wanted.keyword!r}")
        for line in record.state.recent:
            if not _row(line):
                tell("outcome-unreadable", f"it remembers {line[:40]!r}")
                break
        problem = _values_problem(record) or state_problem(record)
        if problem is not None:
            tell(*problem)
        elif orphan := _orphaned(facts, record):
            tell("lease-orphaned", orphan)
        for name in await _missing(link, shard, job_id, record):
            tell("blob-missing", f"it names {name}, which is not there")
    return found


async def _without_spec(
    link: Link, shard: int, raw: Mapping[str, bytes]
) -> list[Damage]:
    """Find records whose spec is gone, also where it is known from elsewhere."""
    users: dict[str, list[str]] = {}
    for job_id, data in raw.items():
        named = None if later(data) else names_of(data)
        if named is not None:
            users.setdefault(named.decode("ascii", "replace"), []).append(job_id)
    keys = {name: link.keys.spec(shard, name) for name in users}
    there = await link.ask([("EXISTS", key) for key in keys.values()]) if keys else []
    found: list[Damage] = []
    for (name, key), one in zip(keys.items(), there, strict=True):
        for job_id in () if one else users[name]:
            own = link.keys.job(shard, job_id)
            detail = f"its spec {key} is missing"
            found.append(
                Damage("spec-missing", own, detail, job_id, shard, own.encode())
            )
    return found


def _told(
    found: list[Damage], shard: int, job_id: str, key: str, kind: str, detail: str
) -> None:
    found.append(Damage(kind, key, detail, job_id, shard, key.encode()))


async def _unreadable(
    link: Link, shard: int, job_id: str, data: bytes, error: UnreadableError
) -> Damage:
    """Say why a record cannot be read: garbage, or more than this program knows."""
    key = link.keys.job(shard, job_id)
    kind, detail = "record-unreadable", str(error)
    line = b""
    with suppress(UnreadableError):
        line = split(data).spec
    if later(data):
        kind = "record-later"
    elif line:
        body: bytes | None = line
        if line.startswith(b"="):
            spec_key = link.keys.spec_of_line(shard, line)
            (body,) = await link.ask([("GET", spec_key)], lenient=True)
            if not isinstance(body, bytes) or spec_name(body).encode() != line[1:]:
                kind = "spec-garbled"  # the same as is told of the spec itself
        if kind == "record-unreadable" and isinstance(body, bytes):
            kind = _of_spec(link, body)
    if kind == "spec-garbled":
        key = link.keys.spec_of_line(shard, line)
        detail = "its content is not what its name says"
        return Damage(kind, key, detail, None, shard, key.encode())
    return Damage(kind, key, detail, job_id, shard, key.encode())


def _of_spec(link: Link, body: bytes) -> str:
    """Tell garbage from a spec that another program can read.

    One with a later version's fields, or with a trigger of a plug-in.
    """
    try:
        link.specs.learn(b"=" + spec_name(body).encode(), body)
    except UnreadableError:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return "record-unreadable"
        known = isinstance(data, dict) and isinstance(data.get("e"), str)
        return "spec-unknown" if known else "record-unreadable"
    return "record-unreadable"


def _row(line: str) -> bool:
    try:
        unpack_row(line)
    except ValueError:
        return False
    return True


def state_problem(record: Record) -> tuple[str, str] | None:
    """Return kind and text of what in a record contradicts itself, if anything."""
    state = record.state
    fences = [run.fence for run in state.runs]
    if len(set(fences)) != len(fences) or max(fences, default=0) > state.seq:
        return "state-impossible", "the fences of its runs are not of its own"
    if state.status is JobState.FINISHED and (state.runs or state.waiting):
        return "state-impossible", "it is finished, and has open firings"
    if min(_numbers(record)) < 0:
        return "state-impossible", "one of its counts is below zero"
    try:
        problem = planning.conserved(record)
    except Exception:
        return None  # a trigger of somebody's own that cannot count
    return None if problem is None else ("state-out-of-step", problem)


def _values_problem(record: Record) -> tuple[str, str] | None:
    """Return kind and text of what is wrong with arguments and payloads."""
    state, arguments = record.state, record.definition.arguments
    firings = [*[run.firing for run in state.runs], *state.waiting]
    try:
        for one in (arguments, *[firing.payload for firing in firings]):
            if isinstance(one, bytes) and one:
                json.loads(one)
        right = True
        if isinstance(arguments, bytes) and arguments:
            args, kwargs = json.loads(arguments)
            right = isinstance(args, list) and isinstance(kwargs, dict)
    except (ValueError, TypeError, RecursionError):
        right = False
    if right:
        return None
    return "record-unreadable", "its arguments, or a payload, are no JSON of ours"


def _numbers(record: Record) -> list[int]:
    counts = record.state.counts
    return [getattr(counts, name) for name in counts.__dataclass_fields__]


def _orphaned(facts: Facts, record: Record) -> str | None:
    for run in record.state.runs:
        if run.owner not in facts.members and run.until + _ORPHANED < facts.now:
            past = (facts.now - run.until) / SECOND
            return (
                f"the lease of {run.owner!r} ended {past:.0f} s ago, and no peer "
                "has taken the run over"
            )
    return None


async def _missing(link: Link, shard: int, job_id: str, record: Record) -> list[str]:
    names = [link.keys.blob(shard, one, job_id) for one in aparts(record)]
    if not names:
        return []
    there = await link.ask([("EXISTS", name) for name in names])
    return [name for name, one in zip(names, there, strict=True) if not one]


# --- what records share ------------------------------------------------------------


def names_of(data: bytes) -> bytes | None:
    """Return the name of the spec that a record's bytes refer to."""
    lines = data.split(b"\n", 2)
    line = lines[1] if len(lines) == 3 else b""
    return line[1:] if line.startswith(b"=") else None


async def specs(link: Link, shard: int, names: Sequence[str]) -> list[Damage]:
    """Look at the content of specs, and whether the sweep knows of them."""
    keys = [link.keys.spec(shard, name) for name in names]
    (values,) = await link.ask([("MGET", *keys)])
    found = await _unlisted(link, shard, [f"x:{name}" for name in names], values)
    for name, key, body in zip(names, keys, values, strict=True):
        if body is not None and spec_name(body) != name:
            detail = "its content is not what its name says"
            found.append(Damage("spec-garbled", key, detail, None, shard, key.encode()))
    return found


async def blobs(link: Link, shard: int, names: Sequence[str]) -> list[Damage]:
    """Look at what is kept apart: its content, and whether a record names it."""
    tag = link.keys.tags[shard]
    keys = [f"{tag}:b:{name}" for name in names]
    cut = [name.partition(":") for name in names]
    ids = [job_id for _, _, job_id in cut]
    jobs = [link.keys.job(shard, job_id) for job_id in ids]
    values, raws = await link.ask([("MGET", *keys), ("MGET", *jobs)])
    found = await _unlisted(link, shard, [f"b:{name}" for name in names], values)
    raw = {one: data for one, data in zip(ids, raws, strict=True) if data is not None}
    known = await decoded(link, shard, raw)
    for (name, _, job_id), key, value in zip(cut, keys, values, strict=True):
        if value is None:
            continue

        tell = partial(_told, found, shard, job_id, key)
        record = known.get(job_id)
        if shard_of(job_id, link.terms.shards) != shard:
            tell("key-foreign", "it names a job of another shard")
        elif digest(value) != name:
            tell("blob-garbled", "its content is not what its name says")
        elif record is None:
            tell("blob-unused", "its job is gone")
        elif isinstance(record, Record) and name not in aparts(record):
            tell("blob-unused", "its job does not name it any more")
    return found


async def _unlisted(
    link: Link, shard: int, names: Sequence[str], values: Sequence[object]
) -> list[Damage]:
    key = link.keys.shared(shard)
    (listed,) = await link.ask([("SMISMEMBER", key, *names)], lenient=True)
    if not isinstance(listed, list):
        return []
    return [
        Damage(
            "name-missing",
            key,
            f"lacks {name}",
            None,
            shard,
            key.encode(),
            name.encode(),
        )
        for name, one, value in zip(names, listed, values, strict=True)
        if not one and value is not None
    ]
