"""A verb that refuses has written nothing: the store is the same, byte for byte."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from aiosched import IntervalTrigger, Job, MemoryJobStore, RedisJobStore, Scheduler
from aiosched.abc import JobStore
from aiosched.errors import AioschedError, InvalidInputError, JobError
from tests import servers

pytestmark = pytest.mark.timeout(60)

NAMESPACE = "refused"
Call = Callable[[Scheduler], Coroutine[Any, Any, object]]


def deep(depth: int) -> list[Any]:
    """Return lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def cycle() -> list[Any]:
    """Return a list that contains itself."""
    value: list[Any] = []
    value.append(value)
    return value


class Unshowable:
    """An object whose text cannot be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


VALUES: dict[str, Any] = {
    "none": None,
    "nan": math.nan,
    "infinite": math.inf,
    "huge": 10**5_000,
    "minus": -1,
    "true": True,
    "empty": "",
    "blank": " ",
    "nul": "a\x00b",
    "surrogate": "half \ud800",
    "lines": "a\nb\rc",
    "long": "x" * 1_100_000,
    "bytes": b"\xff\xfe",
    "deep": deep(5_000),
    "cycle": cycle(),
    "set of objects": {object()},
    "mapping of objects": {object(): 1},
    "mapping of bytes": {b"\xff": 1},
    "unshowable": Unshowable(),
    "a class": Unshowable,
    "a type's type": type,
    "naive": datetime(2030, 1, 1),  # noqa: DTZ001 - that is what is wrong with it
    "the end of time": datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
    "as long as can be": timedelta.max,
    "many": ["x"] * 5_000,
}

CALLS: dict[str, Callable[[Scheduler, Any], Coroutine[Any, Any, object]]] = {
    "args": lambda s, v: s.schedule(Job("work", args=(v,), id="new")),
    "all args": lambda s, v: s.schedule(Job("work", args=v, id="new")),
    "kwargs": lambda s, v: s.schedule(Job("work", kwargs={"a": v}, id="new")),
    "typed": lambda s, v: s.schedule(Job("typed", kwargs={"a": v}, id="new")),
    "unknown": lambda s, v: s.schedule(
        Job("elsewhere", kwargs={"a": v}, id="new"), allow_unknown=True
    ),
    "executor": lambda s, v: s.schedule(Job(v, id="new")),
    "id": lambda s, v: s.schedule(Job("work", id=v)),
    "keyword": lambda s, v: s.schedule(Job("work", keyword=v, id="new")),
    "queue": lambda s, v: s.schedule(Job("work", queue=v, id="new")),
    "tags": lambda s, v: s.schedule(Job("work", tags=v, id="new")),
    "a tag": lambda s, v: s.schedule(Job("work", tags=(v,), id="new")),
    "note": lambda s, v: s.schedule(Job("work", note=v, id="new")),
    "meta": lambda s, v: s.schedule(Job("work", meta=v, id="new")),
    "in meta": lambda s, v: s.schedule(Job("work", meta={"a": v}, id="new")),
    "trigger": lambda s, v: s.schedule(Job("work", trigger=v, id="new")),
    "timeout": lambda s, v: s.schedule(Job("work", timeout=v, id="new")),
    "retry": lambda s, v: s.schedule(Job("work", retry=v, id="new")),
    "by": lambda s, v: s.schedule(Job("work", id="new"), by=v),
    "modify": lambda s, v: s.modify("hourly", kwargs={"a": v}),
    "modify note": lambda s, v: s.modify("hourly", note=v),
    "modify to typed": lambda s, v: s.modify(
        "hourly", executor="typed", kwargs={"a": v}
    ),
    "if version": lambda s, v: s.modify("hourly", note="x", if_version=v),
    "payload": lambda s, v: s.fire_job("word", {"a": v}),
    "whole payload": lambda s, v: s.fire_job("word", v),
    "fire keyword": lambda s, v: s.fire_job(v, {"a": 1}),
    "fire id": lambda s, v: s.fire_job("word", {"a": 1}, fire_id=v),
    "ttl": lambda s, v: s.fire_job("word", {"a": 1}, ttl=v),
    "pause note": lambda s, v: s.pause("hourly", note=v),
    "pause until": lambda s, v: s.pause("hourly", until=v),
    "resume": lambda s, v: s.resume(v),
    "start": lambda s, v: s.start_job(v),
    "stop by": lambda s, v: s.stop_job("hourly", by=v),
    "remove": lambda s, v: s.remove_job(v),
    "remove tag": lambda s, v: s.remove_jobs(tag=[v]),
    "backfill": lambda s, v: s.backfill("hourly", v),
    "one of many": lambda s, v: s.schedule_many(
        [Job("work", id=f"many-{n}") for n in range(100)]
        + [Job("typed", kwargs={"a": v}, id="last")]
    ),
}


# --- the store, byte for byte ------------------------------------------------------


@dataclass
class Place:
    """A store, and how to see all that it holds."""

    store: JobStore
    contents: Callable[[], object]


def frozen(value: Any) -> Any:
    """Return nested data as something that can be compared later."""
    if isinstance(value, dict):
        return {key: frozen(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return frozenset(value)
    if isinstance(value, list | tuple) or type(value).__name__ == "deque":
        return [frozen(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [frozen(getattr(value, field.name)) for field in fields(value)]
    module = type(value).__module__
    if module.startswith("aiosched.stores"):
        names = getattr(value, "__slots__", None) or vars(value)
        return [frozen(getattr(value, name)) for name in names]
    return value


def in_memory() -> Place:
    """Return a place in memory; who is alive is left out."""
    store = MemoryJobStore()

    def contents() -> object:
        space = store._spaces[NAMESPACE]
        kept = (space.shards, space.queues, space.keywords, space._rows)
        return frozen(kept)

    return Place(store, contents)


def on_server(url: str, client: redis.Redis) -> Place:
    """Return a place on a server; beats are left out."""

    def contents() -> object:
        keys = sorted(client.scan_iter(match=f"{{{NAMESPACE}*", count=1_000))
        keys = [key for key in keys if not key.endswith(b":members")]
        assert keys
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.dump(key)
        return dict(zip(keys, pipe.execute(), strict=True))

    return Place(RedisJobStore(url), contents)


_BINARIES = [
    pytest.param(one, id=one.name.replace(" ", "-")) for one in servers.binaries()
]


@pytest.fixture(params=["memory", *_BINARIES[:1]])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each kind of store."""
    if request.param == "memory":
        yield in_memory()
        return
    with (
        servers.Server(request.param) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        yield on_server(server.url, client)


async def prepared(scheduler: Scheduler) -> None:
    """Give the store something to lose."""

    async def work(**more: Any) -> None: ...

    async def typed(a: int) -> None: ...

    for executor in (work, typed):
        scheduler.register(executor)
    await scheduler.schedule_many(
        [
            Job("work", id="hourly", trigger=IntervalTrigger(hours=1)),
            Job("work", id="any", keyword="word", paused=True),
            Job("typed", id="strict", keyword="word", paused=True),
        ]
    )


async def test_what_is_refused_leaves_the_store_as_it_was(place: Place) -> None:
    refused = written = 0
    client = Scheduler(place.store, namespace=NAMESPACE, run_jobs=False)
    async with client as scheduler:
        await prepared(scheduler)
        before = place.contents()
        for verb, call in CALLS.items():
            for name, value in VALUES.items():
                error = await outcome(call, scheduler, value)
                after = place.contents()
                if error is None:
                    written += after != before
                    before = after
                    continue
                where = f"{verb} with {name}: {type(error).__name__}"
                assert isinstance(error, InvalidInputError | JobError), where
                str(error).encode()
                assert len(str(error)) < 2_000, where
                assert after == before, where
                refused += 1
    assert refused > 500, refused
    # What is accepted shows in the contents: they are compared in earnest.
    assert written > 20, written


async def outcome(
    call: Callable[[Scheduler, Any], Coroutine[Any, Any, object]],
    scheduler: Scheduler,
    value: Any,
) -> AioschedError | None:
    """Return what a call raised; anything but an error of ours is let through."""
    try:
        async with asyncio.timeout(20):
            await call(scheduler, value)
    except AioschedError as error:
        return error
    return None
