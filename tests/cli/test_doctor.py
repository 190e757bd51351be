"""``aiosched doctor``: what it says, and with which exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.cli.app import main
from aiosched.stores.damage import KINDS, Level
from tests.docs.pages import DOCS

Client = Any


@pytest.fixture
def raw(redis_url: str) -> Iterator[Client]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def shop(redis_url: str) -> tuple[str, ...]:
    """A namespace with one job."""

    async def fill() -> None:
        async with Scheduler(redis_url, namespace="shop", run_jobs=False) as client:
            job = Job("work", id="a", trigger=IntervalTrigger(hours=1))
            await client.schedule(job, allow_unknown=True)

    asyncio.run(fill())
    return ("--store", redis_url, "--namespace", "shop")


def agenda(raw: Client) -> bytes:
    (key,) = raw.keys("{shop:*:a:*")
    assert isinstance(key, bytes)
    return key


def test_clean(shop: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *shop]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no damage"


def test_safe_damage(
    shop: tuple[str, ...], raw: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.delete(agenda(raw))
    assert main(["doctor", *shop]) == 1
    said = capsys.readouterr().out
    assert "found: record-without-entry (safe), 1\n" in said
    assert "with --fix the entry is written again" in said
    assert said.endswith("1 of damage\n")
    assert main(["doctor", *shop, "--fix"]) == 0
    said = capsys.readouterr().out
    assert "mended: record-without-entry (safe), 1\n" in said
    assert said.endswith("no damage is left\n")
    assert main(["doctor", *shop]) == 0


def test_what_nobody_can_read_takes_leave(
    shop: tuple[str, ...], raw: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = "{shop}:mine\x1b[1m"  # which a terminal would act on
    raw.set(mine, "x")
    for words in ((), ("--fix",)):
        assert main(["doctor", *shop, *words]) == 1
        said = capsys.readouterr().out
        assert "--yes" in said
        assert "\x1b" not in said
        assert raw.get(mine) == b"x"
    assert main(["doctor", *shop, "--fix", "--yes", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["clean"] is True
    assert [one["kind"] for one in data["mended"]] == ["key-foreign"]
    (kept,) = [one for one in data["found"] if one["kind"] == "quarantined"]
    assert raw.get(kept["key"]) == b"x"
    assert not raw.exists(mine)


def test_the_server_is_told_of(
    shop: tuple[str, ...], raw: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert main(["doctor", *shop, "--json"]) == 0, "it is no damage"
    finally:
        raw.config_set("maxmemory-policy", "noeviction")
    found = {one["kind"] for one in json.loads(capsys.readouterr().out)["found"]}
    assert "eviction" in found


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--store", "redis://127.0.0.1:1/0"), 5),
        (("--store", "memory://"), 2),
        (("--store", "nonsense"), 2),
        (("--store", "redis://127.0.0.1:1", "--namespace", "{"), 2),
        (("--store", "redis://127.0.0.1:1", "--yes"), 2),
    ],
)
def test_where_nobody_can_look(
    words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *words]) == code
    assert capsys.readouterr().err.startswith("aiosched: ")


def test_a_later_version_is_not_examined(
    shop: tuple[str, ...], raw: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.hset("{shop}:meta", "schema", "99")
    assert main(["doctor", *shop, "--fix", "--yes"]) == 2
    assert "later version" in capsys.readouterr().err


def test_the_page_lists_every_kind() -> None:
    page = (DOCS / "howto/find-and-mend-damage.md").read_text(encoding="utf-8")
    for kind in KINDS.values():
        line = f"| `{kind.name}` | {kind.level} | {kind.meaning}; {kind.remedy} |"
        assert line in page
    assert {kind.level for kind in KINDS.values()} == set(Level)
