"""Every kind of damage is planted; the doctor finds it, mends it, and is content."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest

from aiosched import IntervalTrigger, Job, RedisJobStore, Scheduler
from aiosched.abc import shard_of
from aiosched.clock import SystemClock
from aiosched.stores.damage import KINDS, Damage, Level
from aiosched.stores.redis import codec, specs
from aiosched.stores.redis.doctor import doctor
from aiosched.testing.contract_decisions import ids_in
from tests.stores.redis.garbage import HUGE, Client, another_type, entry

NAMESPACE = "d[1]*"
ALL = f"{{{NAMESPACE}}}"
SHARDS = 4
IDS = [one for shard in range(SHARDS) for one in ids_in(shard, 3, shards=SHARDS)]
BIG = "x" * 2_000
LONG = IntervalTrigger(hours=1)
META = {"eviction", "persistence-off", "clock-apart"}


def tag(job_id: str) -> str:
    return f"{{{NAMESPACE}:{shard_of(job_id, SHARDS)}}}"


def record(job_id: str) -> str:
    return f"{tag(job_id)}:j:{job_id}"


def wall() -> int:
    return SystemClock().wall()


def peer(url: str, **options: Any) -> Scheduler:
    terms = {"shards": SHARDS, "beat": 0.5, "member_timeout": 2.0}
    return Scheduler(url, namespace=NAMESPACE, lease=3, terms=terms, **options)


async def note(name: str = "", text: str = "") -> str:
    return name


@pytest.fixture
def redis_url(turn_url: str) -> str:
    """One server or the other; each kind of damage takes its turn."""
    return turn_url


_FILLED: dict[str, dict[bytes, bytes]] = {}
"""What :func:`filled` wrote, by server: it is put back rather than made again."""


@pytest.fixture
async def filled(redis_url: str, raw: Client) -> str:
    """A namespace with jobs of every make, which nobody runs at present."""
    if redis_url in _FILLED:
        for key, data in _FILLED[redis_url].items():
            raw.restore(key, 0, data)
        return redis_url
    async with peer(redis_url) as scheduler:
        scheduler.register(note)
        for number, job_id in enumerate(IDS):
            await scheduler.schedule(
                Job(
                    note,
                    id=job_id,
                    trigger=LONG,
                    keyword=f"word{number % 2}",
                    queue=f"q{number % 2}",
                    kwargs={"name": job_id, "text": BIG if number % 3 == 0 else "s"},
                    tags=["a-tag-that-makes-the-spec-too-long-to-stand-inside"],
                )
            )
            await scheduler.wait(await scheduler.start_job(job_id), timeout=10)
    raw.delete(f"{ALL}:members")
    _FILLED[redis_url] = {key: raw.dump(key) for key in raw.keys("*")}
    return redis_url


async def examine(url: str) -> list[Damage]:
    async with doctor(RedisJobStore(url), NAMESPACE, wall) as one:
        return [d for d in await one.examine() if d.kind not in META]


async def fix(url: str, *, allowed: bool) -> tuple[list[Damage], list[Damage]]:
    async with doctor(RedisJobStore(url), NAMESPACE, wall) as one:
        mended, left = await one.fix(allowed=allowed)
    return mended, [d for d in left if d.kind not in META]


def kinds(found: list[Damage]) -> set[str]:
    return {one.kind for one in found}


# --- what is planted ------------------------------------------------------------------

Plant = Callable[[Client], None]
PLANTS: dict[Plant, set[str]] = {}


def planted(*found: str) -> Callable[[Plant], Plant]:
    """Enter a function among those that plant, with what is then to be found."""

    def enter(plant: Plant) -> Plant:
        PLANTS[plant] = set(found)
        return plant

    return enter


FIRST = IDS[0]
"""Its arguments stand apart, its queue is q0, its keyword word0."""


def rewrite(client: Client, job_id: str, change: Callable[[list[bytes]], None]) -> None:
    """Change fields of a record's state line."""
    head, _, rest = client.get(record(job_id)).partition(b"\n")
    fields = head.split(b"|") + [b""] * 20
    change(fields)
    client.set(record(job_id), b"|".join(fields[:18]).rstrip(b"|") + b"\n" + rest)


@planted("record-without-entry")
def entry_gone(client: Client) -> None:
    client.zrem(f"{tag(FIRST)}:a:q0", FIRST)


@planted("record-without-entry")
def agenda_gone(client: Client) -> None:
    client.delete(f"{tag(FIRST)}:a:q0")


@planted("entry-without-record", "keyword-left-over", "blob-unused")
def record_gone(client: Client) -> None:
    client.delete(record(FIRST))


@planted("entry-out-of-step")
def score_moved(client: Client) -> None:
    client.zadd(f"{tag(FIRST)}:a:q0", {FIRST: 5})


@planted("entry-out-of-step")
def score_never(client: Client) -> None:
    client.zadd(f"{tag(FIRST)}:a:q0", {FIRST: float("inf")})


@planted("entry-astray")
def wrong_queue(client: Client) -> None:
    client.zadd(f"{tag(FIRST)}:a:q1", {FIRST: 5})


@planted("entry-astray")
def wrong_shard(client: Client) -> None:
    other = IDS[-1]
    client.zadd(f"{tag(FIRST)}:a:q0", {other: 5})


@planted("part-unreadable")
def unreadable_entry(client: Client) -> None:
    raw = next(
        raw
        for raw in (b"\xff%d" % n for n in range(99))
        if crc32(raw) % SHARDS == shard_of(FIRST, SHARDS)
    )
    client.zadd(f"{tag(FIRST)}:a:q0", {raw: 5})


@planted("keyword-missing")
def keyword_gone(client: Client) -> None:
    client.srem(f"{tag(FIRST)}:k:word0", FIRST)


@planted("keyword-missing")
def keyword_shards_gone(client: Client) -> None:
    client.delete(f"{ALL}:kw:word0")


@planted("part-unreadable", "keyword-left-over")
def keyword_garbage(client: Client) -> None:
    client.sadd(f"{ALL}:kw:word0", "x", "99")
    client.sadd(f"{tag(FIRST)}:k:word0", "gone", b"\xff")


@planted("queue-missing")
def queue_gone(client: Client) -> None:
    client.srem(f"{ALL}:queues", "q0")


@planted("part-unreadable")
def queues_garbage(client: Client) -> None:
    client.sadd(f"{ALL}:queues", b"\xff")


@planted("name-missing")
def names_gone(client: Client) -> None:
    client.delete(f"{tag(FIRST)}:xs")


@planted("name-left-over", "part-unreadable")
def names_garbage(client: Client) -> None:
    client.sadd(f"{tag(FIRST)}:xs", "x:nothing", b"\xff")


def _spec(client: Client) -> bytes:
    name = client.get(record(FIRST)).split(b"\n")[1][1:].decode()
    return f"{tag(FIRST)}:x:{name}".encode()


@planted("spec-missing", "name-left-over")
def spec_gone(client: Client) -> None:
    client.delete(_spec(client))


@planted("spec-garbled")
def spec_garbled(client: Client) -> None:
    client.set(_spec(client), "{}")


@planted("spec-unused")
def spec_unused(client: Client) -> None:
    body = b'{"e":"nobody"}'
    name = specs.spec_name(body)
    client.set(f"{tag(FIRST)}:x:{name}", body)
    client.sadd(f"{tag(FIRST)}:xs", f"x:{name}")


def _blob(client: Client) -> bytes:
    prefix = f"{tag(FIRST)}:b:".encode()
    names: list[bytes] = client.keys("*:b:*")
    return next(one for one in names if one.startswith(prefix))


@planted("blob-missing", "name-left-over")
def blob_gone(client: Client) -> None:
    client.delete(_blob(client))


@planted("guard-unreadable")
def guard_garbled(client: Client) -> None:
    client.set(f"{tag(FIRST)}:g:file", "nobody's")


@planted("blob-garbled")
def blob_garbled(client: Client) -> None:
    client.append(_blob(client), "!")


@planted("blob-unused")
def blob_unused(client: Client) -> None:
    from aiosched.planning.compare import digest

    name = f"b:{digest(b'data')}:{FIRST}"
    client.set(f"{tag(FIRST)}:{name}", "data")
    client.sadd(f"{tag(FIRST)}:xs", name)


@planted("record-unreadable")
def record_garbled(client: Client) -> None:
    client.set(record(FIRST), b"\xff garbage")


@planted("record-unreadable")
def arguments_garbled(client: Client) -> None:
    # Of one whose arguments stand in the record.
    data = client.get(record(IDS[1]))
    assert data.endswith(b'"text":"s"}]')
    client.set(record(IDS[1]), data[:-5] + b"\xff" + data[-4:])


@planted("record-unreadable")
def record_cut(client: Client) -> None:
    client.set(record(FIRST), client.get(record(FIRST))[:20])


@planted("record-astray")
def record_astray(client: Client) -> None:
    shard = (shard_of(FIRST, SHARDS) + 1) % SHARDS
    client.set(f"{{{NAMESPACE}:{shard}}}:j:{FIRST}", client.get(record(FIRST)))


@planted("outcome-unreadable")
def outcome_garbled(client: Client) -> None:
    lines = client.get(record(FIRST)).split(b"\n")
    assert lines[2].startswith(FIRST.encode())
    lines[2] = b"garbage"
    client.set(record(FIRST), b"\n".join(lines))


@planted("state-out-of-step")
def counts_wrong(client: Client) -> None:
    def change(fields: list[bytes]) -> None:
        counts = fields[9].split(b",")
        counts[0] = b"7"
        fields[9] = b",".join(counts)

    rewrite(client, FIRST, change)


@planted("state-impossible")
def counts_negative(client: Client) -> None:
    def change(fields: list[bytes]) -> None:
        fields[9] = b"-7" + fields[9][fields[9].index(b",") :]

    rewrite(client, FIRST, change)


@planted("meta-missing")
def meta_gone(client: Client) -> None:
    client.delete(f"{ALL}:meta")


@planted("meta-missing")
def term_gone(client: Client) -> None:
    client.hdel(f"{ALL}:meta", "shards", "lease")


@planted("meta-unreadable")
def term_garbled(client: Client) -> None:
    client.hset(f"{ALL}:meta", mapping={"shards": b"\xff", "epoch": b"\xff"})


@planted("meta-unreadable")
def shards_wrong(client: Client) -> None:
    client.hset(f"{ALL}:meta", "shards", "7")


@planted("counter-unreadable")
def counter_garbled(client: Client) -> None:
    client.set(f"{tag(FIRST)}:rev", "many")


@planted("part-unreadable")
def members_garbled(client: Client) -> None:
    client.hset(f"{ALL}:members", mapping={"a": entry(seen=HUGE), b"\xff": entry()})


@planted("member-stale")
def member_stale(client: Client) -> None:
    client.hset(f"{ALL}:members", "old", entry(seen=5))


@planted("part-unreadable")
def executors_garbled(client: Client) -> None:
    client.hset(f"{ALL}:executors", mapping={"a": "[1]", "b": b"\xff"})


@planted("executor-stale")
def executor_stale(client: Client) -> None:
    client.hset(f"{ALL}:executors", "old", '[5,[],"default"]')


@planted("ledger-unreadable")
def ledger_garbled(client: Client) -> None:
    client.xadd(f"{tag(FIRST)}:l", {"t": "x", "r": "garbage"})
    client.xadd(f"{tag(FIRST)}:l", {b"\xff": b"\xff"})


@planted("key-foreign")
def foreign_keys(client: Client) -> None:
    client.set(f"{ALL}:mine", "x")
    client.rpush(f"{tag(FIRST)}:z:mine", "x")
    client.set(f"{{{NAMESPACE}:99}}:j:x", "x")
    client.set(f"{ALL}", "x")
    client.set(f"{tag(FIRST)}:b:short", "x")


def of_another_type(client: Client, name: str) -> None:
    common = name.startswith(("m", "q", "e", "kw"))
    another_type(client, f"{ALL if common else tag(FIRST)}:{name.format(FIRST)}")


TYPES = ["j:{}", "a:q0", "xs", "l", "rev", "k:word0"]
TYPES += ["meta", "members", "queues", "executors", "kw:word0"]


def taken(client: Client) -> dict[bytes, object]:
    """Return every key with all that it holds."""
    reading: dict[bytes, Callable[[bytes], object]] = {
        b"string": client.get,
        b"set": client.smembers,
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"stream": client.xrange,
    }
    return {key: reading[client.type(key)](key) for key in client.keys("*")}


# --- the tests ------------------------------------------------------------------------


async def test_a_namespace_that_is_whole_is_found_whole(
    filled: str, raw: Client
) -> None:
    assert await examine(filled) == []
    before = taken(raw)
    assert await fix(filled, allowed=True) == ([], [])
    assert taken(raw) == before


async def test_a_namespace_that_is_not_there_is_not_made(
    redis_url: str, raw: Client
) -> None:
    assert await examine(redis_url) == []
    assert await fix(redis_url, allowed=True) == ([], [])
    assert raw.keys("*") == []


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
async def test_what_is_planted_is_found_and_mended(
    filled: str, raw: Client, plant: Plant
) -> None:
    plant(raw)
    before = taken(raw)
    found = await examine(filled)
    assert kinds(found) == PLANTS[plant]
    assert taken(raw) == before, "looking writes nothing"
    await _mended(filled, raw, found)


@pytest.mark.parametrize("name", TYPES)
async def test_a_key_of_another_type_is_found_and_put_aside(
    filled: str, raw: Client, name: str
) -> None:
    of_another_type(raw, name)
    found = await examine(filled)
    assert "type-wrong" in kinds(found)
    await _mended(filled, raw, found)


async def _mended(url: str, raw: Client, found: list[Damage]) -> None:
    """Mend without and with leave, and run all jobs that are left."""
    before = taken(raw)
    unreadable = {one.kind for one in found if one.level is Level.UNREADABLE}
    _, left = await fix(url, allowed=False)
    if unreadable:
        # What is of another type is in the way of what could be mended.
        assert kinds(left) <= kinds(found)
        assert unreadable - {"spec-missing"} <= kinds(left)
    else:
        assert left == []
    assert not [key for key in raw.keys("*") if b"quarantine" in key]
    _, left = await fix(url, allowed=True)
    assert kinds(left) <= {"quarantined"}, left
    _kept(before, taken(raw), found)
    await runs(url, raw)


def _kept(
    before: dict[bytes, object], after: dict[bytes, object], found: list[Damage]
) -> None:
    """No value that was there has gone, save what was found to be left over."""
    litter = {one.raw for one in found if one.level is Level.LITTER}
    left = list(after.values())
    for key, value in before.items():
        if not isinstance(value, bytes) or after.get(key) == value or key in litter:
            continue
        if b"}:rev" in key or b"}:j:" in key:
            continue  # written by every repair of a job
        assert value in left, key


async def runs(url: str, raw: Client) -> None:
    """Hold every job that has a record against what a scheduler does with it."""
    prefix = f"{{{NAMESPACE}:".encode()
    there = {
        key.partition(b"}:j:")[2].decode()
        for key in raw.keys("*")
        if key.startswith(prefix) and b"}:j:" in key
    }
    unreadable: list[object] = []
    async with Scheduler(url, namespace=NAMESPACE) as scheduler:
        scheduler.on("unreadable", unreadable.append)
        scheduler.register(note)
        listed = {job.id for job in await scheduler.get_jobs(limit=1_000)}
        # A byte that was changed at random may say that a job has come to its end.
        finished = {job.id for job in await scheduler.get_jobs(state="finished")}
        assert listed | finished == there
        there = listed
        started = [await scheduler.start_job(job_id) for job_id in sorted(there)]
        for firing in started:
            run = await scheduler.wait(firing, timeout=10)
            assert run.outcome == "succeeded"
        fired = {
            firing.job_id
            for word in ("word0", "word1")
            for firing in await scheduler.fire_job(word, {})
        }
        assert fired == there
    assert not unreadable


def test_every_kind_of_damage_is_planted() -> None:
    here = {"type-wrong", "spec-unknown", "record-later", "quarantined"}
    here |= {"lease-orphaned", "eviction", "persistence-off", "clock-apart"}
    assert here.union(*PLANTS.values()) == set(KINDS)


# One has arguments that stand apart, one a spec that nobody else uses.
@pytest.mark.parametrize("job_id", [FIRST, IDS[1]], ids=["blob", "spec"])
async def test_a_record_of_a_later_schema_is_never_touched(
    filled: str, raw: Client, job_id: str
) -> None:
    """Nor what it uses, of which this version cannot know."""
    lines = raw.get(record(job_id)).split(b"\n")
    later = [b"9" + lines[0][1:], b"another way to name a spec", *lines[1:]]
    data = b"\n".join(later)
    raw.set(record(job_id), data)
    mine = {key: raw.dump(key) for key in raw.keys(f"{tag(job_id)}:[xb]:*")}
    assert kinds(await examine(filled)) == {"record-later"}
    _, left = await fix(filled, allowed=True)
    assert kinds(left) == {"record-later"}
    assert raw.get(record(job_id)) == data
    assert mine == {key: raw.dump(key) for key in mine}


async def test_a_record_of_a_later_schema_may_lack_its_spec(
    filled: str, raw: Client
) -> None:
    data = b"9" + raw.get(record(FIRST))[1:]
    raw.set(record(FIRST), data)
    spec_gone(raw)
    assert "spec-missing" not in {
        one.kind for one in await examine(filled) if one.job_id == FIRST
    }
    await fix(filled, allowed=True)
    assert raw.get(record(FIRST)) == data


async def test_the_schemas_are_those_of_the_records(
    filled: str, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the codec reads is ours, and what comes after it is not."""
    monkeypatch.setattr(codec, "SCHEMA", 2)
    monkeypatch.setattr(codec, "_SCHEMAS", frozenset({b"1", b"2"}))
    good = raw.get(record(FIRST))
    raw.set(record(FIRST), b"2" + good[1:])
    assert await examine(filled) == []
    raw.set(record(FIRST), b"2|garbage\n" + good.partition(b"\n")[2])
    assert kinds(await examine(filled)) == {"record-unreadable"}
    raw.set(record(FIRST), b"3" + good[1:])
    assert kinds(await examine(filled)) == {"record-later"}
    raw.set(record(FIRST), b"0" + good[1:])
    assert kinds(await examine(filled)) == {"record-unreadable"}


UNKNOWN = {
    "the-trigger-of-a-plugin": {"t": {"kind": "of-a-plugin-not-here"}},
    "a-field-of-a-later-version": {"later": True, "i": "x" * 50},
    "a-word-of-a-later-version": {"o": "a-policy-not-here", "i": "x" * 50},
    "inside-the-record": {"z9": 1},
}


@pytest.mark.parametrize("more", UNKNOWN.values(), ids=list(UNKNOWN))
async def test_what_only_others_know_is_never_touched(
    filled: str, raw: Client, more: dict[str, object]
) -> None:
    body = json.dumps({"e": "note", **more}, separators=(",", ":")).encode()
    lines = raw.get(record(FIRST)).split(b"\n")
    lines[1] = body
    if len(body) > specs.INLINE:
        name = specs.spec_name(body)
        raw.set(f"{tag(FIRST)}:x:{name}", body)
        raw.sadd(f"{tag(FIRST)}:xs", f"x:{name}")
        lines[1] = b"=" + name.encode()
    data = b"\n".join(lines)
    raw.set(record(FIRST), data)
    (found,) = await examine(filled)
    assert (found.kind, found.level) == ("spec-unknown", Level.NOTE)
    _, left = await fix(filled, allowed=True)
    assert kinds(left) == {"spec-unknown"}
    assert raw.get(record(FIRST)) == data


async def test_counts_are_not_mended_in_silence(filled: str, raw: Client) -> None:
    counts_wrong(raw)
    (found,) = await examine(filled)
    mended, left = await fix(filled, allowed=False)
    assert (mended, left) == ([found], [])
    async with peer(filled, run_jobs=False) as client:
        rows = [row for row in await client.history(FIRST) if row.kind == "modified"]
    (row,) = rows
    assert (row.by, row.fields) == ("aiosched doctor", ("counts",))
    assert found.detail in row.note


async def test_the_run_of_a_peer_that_is_gone_for_long_is_given_up(
    filled: str, raw: Client
) -> None:
    began = time.time_ns() // 1000 - 200_000_000

    def change(fields: list[bytes]) -> None:
        seq = int(fields[1])
        created = seq - int(fields[4] or 0)
        lease = f"0,gone,3000000,{began - created},,{began - created},fired,m"
        fields[7] = lease.encode()
        counts = fields[9].split(b",") + [b""] * 12
        counts[2] = str(int(counts[2] or 0) + 1).encode()
        fields[9] = b",".join(counts[:12]).rstrip(b",")

    rewrite(raw, FIRST, change)
    found = await examine(filled)
    assert "lease-orphaned" in kinds(found), found
    _, left = await fix(filled, allowed=False)
    assert left == []
    await runs(filled, raw)
    async with peer(filled, run_jobs=False) as client:
        kinds_of_rows = {row.kind for row in await client.history(FIRST)}
    assert "lost" in kinds_of_rows


async def test_what_is_put_aside_can_be_had_back(filled: str, raw: Client) -> None:
    """A record whose arguments are gone is whole again with them."""
    blob = _blob(raw)
    saved, before = raw.get(blob), raw.get(record(FIRST))
    raw.delete(blob)
    await fix(filled, allowed=True)
    assert raw.get(record(FIRST)) is None
    aside = [key for key in raw.keys("*") if b"quarantine" in key]
    (name,) = [key for key in aside if key.endswith(f":j:{FIRST}".encode())]
    assert raw.get(name) == before
    raw.rename(name, record(FIRST))
    raw.set(blob, saved)
    _, left = await fix(filled, allowed=False)
    assert kinds(left) <= {"quarantined"}
    await runs(filled, raw)


async def test_looking_sends_no_command_that_writes(filled: str, raw: Client) -> None:
    record_gone(raw)
    ledger_garbled(raw)
    raw.config_resetstat()
    await examine(filled)
    said = raw.info("commandstats")
    flags = {
        name.decode() if isinstance(name, bytes) else name
        for name, info in raw.command().items()
        if "write" in info["flags"]
    }
    used = {name.removeprefix("cmdstat_").partition("|")[0] for name in said}
    assert used, "it looked"
    assert not used & flags
    assert "keys" not in used


# --- at random ------------------------------------------------------------------------


def _ravage(client: Client, chance: random.Random) -> None:
    """Do something to a key that nobody should do."""
    keys: list[bytes] = sorted(client.keys("*"))
    key = chance.choice(keys)
    kind = client.type(key).decode()
    action = chance.choice(["delete", "garble", "rename", "retype", "part", "copy"])
    if action == "delete":
        client.delete(key)
    elif action == "rename":
        client.rename(key, key + b"%d" % chance.randrange(9))
    elif action == "copy":
        client.copy(
            key, chance.choice([one for one in keys if one != key]), replace=True
        )
    elif action == "retype" or (action == "garble" and kind != "string"):
        another_type(client, key)
    elif action == "garble":
        data = bytearray(client.get(key))
        for _ in range(chance.randrange(1, 4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        client.set(key, bytes(data))
    elif kind == "hash":
        fields = sorted(client.hkeys(key))
        client.hset(key, chance.choice(fields), chance.randbytes(4))
    elif kind == "set":
        client.srem(key, chance.choice(sorted(client.smembers(key))))
        client.sadd(key, chance.randbytes(3))
    elif kind == "zset":
        member = chance.choice(client.zrange(key, 0, -1))
        client.zadd(key, {member: chance.choice([5, -5, 1e300, float("inf")])})
        client.zadd(key, {chance.randbytes(3): 5})
    elif kind == "stream":
        client.xadd(key, {"t": "x", "r": chance.randbytes(20)})


@pytest.mark.parametrize("seed", range(12))
async def test_random_damage_is_always_mended(
    filled: str, raw: Client, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(chance.randrange(1, 12)):
        _ravage(raw, chance)
    _, left = await fix(filled, allowed=True)
    assert kinds(left) <= {"quarantined", "record-later", "spec-unknown"}, left
    if not left or kinds(left) == {"quarantined"}:
        await runs(filled, raw)
