"""What is named by its content may be found under another name, too."""

from __future__ import annotations

from typing import Any

from aiosched.planning.compare import digest
from aiosched.records import Record
from aiosched.stores.damage import Damage
from aiosched.stores.redis.checks import names_of
from aiosched.stores.redis.codec import aparts
from aiosched.stores.redis.index import decoded
from aiosched.stores.redis.layout import classified, pattern
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.specs import spec_name

__all__ = ["spare_blobs", "spare_spec"]


async def spare_spec(link: Link, one: Damage) -> dict[bytes, bytes]:
    """Return what is missing, by key, as far as it was found elsewhere.

    All that a finding lacks, or nothing.
    """
    if one.kind == "blob-missing":
        return await _blobs(link, one)
    if one.kind == "spec-missing":
        (data,) = await link.ask([("GET", one.raw)], lenient=True)
        name = names_of(data) if isinstance(data, bytes) else None
    else:
        name = one.raw.partition(b"}:x:")[2]
    if not name:
        return {}
    text = name.decode(errors="replace")
    keys = [link.keys.spec(shard, text) for shard in range(link.terms.shards)]
    for body in await link.ask([("GET", key) for key in keys], lenient=True):
        if isinstance(body, bytes) and spec_name(body) == text:
            return {link.keys.spec(one.shard, text).encode(): body}
    return {}


async def _blobs(link: Link, one: Damage) -> dict[bytes, bytes]:
    job_id = one.job_id or ""
    (data,) = await link.ask([("GET", one.raw)], lenient=True)
    if not isinstance(data, bytes):
        return {}
    record = (await decoded(link, one.shard, {job_id: data})).get(job_id)
    if not isinstance(record, Record):
        return {}
    keys = {name: link.keys.blob(one.shard, name, job_id) for name in aparts(record)}
    there = await link.ask([("EXISTS", key) for key in keys.values()])
    missing = {n for n, known in zip(keys, there, strict=True) if not known}
    found: dict[bytes, bytes] = {}
    scan: Any = b"0"
    while missing:
        (reply,) = await link.ask(
            [("SCAN", scan, "MATCH", pattern(link.keys), "COUNT", 1_000)]
        )
        scan, raws = reply
        for raw in raws:
            place = classified(link.keys, raw)
            if place is None or place.room != "b" or place.name is None:
                continue
            name = place.name.partition(":")[0]
            if name in missing:
                (value,) = await link.ask([("GET", raw)], lenient=True)
                if isinstance(value, bytes) and digest(value) == name:
                    found[keys[name].encode()] = value
                    missing.discard(name)
        if scan == b"0":
            break
    return {} if missing else found


async def spare_blobs(link: Link, shard: int, job_id: str) -> list[bytes]:
    """Return the keys of all that is kept apart for one job."""
    found: dict[bytes, None] = {}
    scan: Any = b"0"
    end = f":{job_id}".encode()
    while True:
        (reply,) = await link.ask(
            [("SSCAN", link.keys.shared(shard), scan, "COUNT", 1_000)], lenient=True
        )
        if not isinstance(reply, list):
            return []
        scan, words = reply
        for raw in words:
            if raw.startswith(b"b:") and raw[2:].partition(b":")[2] == end[1:]:
                found[link.keys.tags[shard].encode() + b":" + raw] = None
        if scan == b"0":
            break
    keys = list(found)
    there = await link.ask([("EXISTS", key) for key in keys]) if keys else []
    return [key for key, known in zip(keys, there, strict=True) if known]
