"""Naming a store by URL."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from aiosched.errors import ConfigurationError
from aiosched.stores import masked, open_store
from aiosched.stores.memory import MemoryJobStore


def test_a_store_is_itself() -> None:
    store = MemoryJobStore()
    assert open_store(store) is store


def test_memory() -> None:
    one, two = open_store("memory://"), open_store("memory://")
    assert isinstance(one, MemoryJobStore)
    assert one is not two


@pytest.mark.parametrize(
    "url",
    ["redis://localhost:6379/0", "rediss://host", "unix:///run/redis.sock?db=1"],
)
def test_redis(url: str) -> None:
    assert type(open_store(url)).__name__ == "RedisJobStore"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "memory",
        "localhost:6379",
        "memory://host",
        "http://host",
        "postgres://u:s3cret@host/db",
        "REDIS//x",
        "mysql://host?password=s3cret",
        "s3cret@host",
        "u:s3cret@host",
        "odd://u:p@ss/s3cret@host?x=1",
        "odd:/u:s3cret@host",
        "odd://host/?Passwd=s3cret&db=1",
        "redis+sentinel://u:s3cret@h1,h2",
        "redis+cluster://u:s3cret@h1,h2/1",
        None,
        7,
        b"redis://localhost",
    ],
    ids=repr,
)
def test_anything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(wrong)
    assert caught.value.field == "store"
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:secret@host/0", "redis://***@host/0"),
        ("redis://:p@ss:w/rd@host", "redis://***@host"),
        ("rediss://host?password=a&db=1", "rediss://host?password=***"),
        ("unix:///path?db=0", "unix:///path?db=0"),
        ("redis://host?password=a@b", "redis://host?password=***"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_redis_is_imported_only_when_it_is_named() -> None:
    code = (
        "import sys; from aiosched.stores import open_store; open_store('memory://'); "
        "sys.exit('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
