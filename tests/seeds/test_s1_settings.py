"""Rows of the first seed about settings: the store by URL, and none that is dead."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from redis.asyncio import Redis

from aiosched import ConfigFileError, Job, Peer, Scheduler, open_store
from aiosched.cli.app import main
from aiosched.config import Config, build
from tests.waiting import wait_until


@pytest.mark.seed("S1-21")
async def test_the_database_of_a_url_is_where_the_jobs_are(redis_url: str) -> None:
    third = f"{redis_url.rpartition('/')[0]}/3"
    config = Config.from_data({}, environ={"AIOSCHED_STORE": third})
    async with Redis.from_url(third) as there, Redis.from_url(redis_url) as here:
        try:
            async with build(config, run_jobs=False) as client:
                await client.schedule(Job("x", id="a", keyword="k"), allow_unknown=True)
                assert await there.dbsize() > 0
                assert await here.dbsize() == 0
        finally:
            await there.flushdb()


@pytest.mark.seed("S1-21")
def test_the_command_line_checks_a_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    url = "redis://user:hunter2@localhost:6379/3"
    monkeypatch.setenv("AIOSCHED_STORE", url)
    assert main(["config", "check"]) == 0
    assert "ok" in capsys.readouterr().out
    assert main(["config", "show"]) == 0
    said = capsys.readouterr().out
    assert 'store = "redis://***@localhost:6379/3"' in said
    monkeypatch.setenv("AIOSCHED_STORE", f"{url}x")
    assert main(["config", "check"]) == 1
    said = capsys.readouterr().out
    assert "environment: AIOSCHED_STORE=" in said
    assert "hunter2" not in said


@pytest.mark.seed("S1-21")
@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/3",
        "rediss://user:password@localhost:6380/1",
        "unix:///run/redis.sock?db=2",
        "memory://",
    ],
)
def test_every_form_of_a_url_may_be_configured(url: str) -> None:
    config = Config.from_data({"scheduler": {"store": url}})
    assert type(build(config).store) is type(open_store(url))


@pytest.mark.seed("S1-29")
def test_no_option_is_taken_without_a_use() -> None:
    with pytest.raises(TypeError, match="beat_time"):
        Scheduler(beat_time=300)  # type: ignore[call-arg]
    for ways in (
        {"scheduler": {"beat_time": 300}},
        {"scheduler": {"terms": {"bt": 1}}},
    ):
        with pytest.raises(ConfigFileError, match="is not known"):
            Config.from_data(ways)


@pytest.mark.seed("S1-29")
async def test_peers_tell_their_host_and_their_last_beat(redis_url: str) -> None:
    host = f"{socket.gethostname()}:{os.getpid()}"
    config = Config.from_data(
        {"scheduler": {"name": "${HOST}", "terms": {"beat": 0.2, "member_timeout": 2}}},
        environ={"HOST": host},
        store=redis_url,
    )
    async with build(config) as one, build(config) as other:

        async def listed() -> dict[str, Peer]:
            return {peer.id: peer for peer in await one.peers()}

        async def both() -> bool:
            return len(await listed()) == 2

        await wait_until(both, "both peers to be listed")
        first = await listed()
        assert {peer.name for peer in first.values()} == {host}
        assert set(first) == {one.id, other.id}

        async def moved() -> bool:
            later = await listed()
            return all(later[name].beat > peer.beat for name, peer in first.items())

        await wait_until(moved, "each peer to beat again")
