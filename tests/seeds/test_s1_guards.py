"""The guard of m-schedule, ``check_job_allow_running``: S1-04, 05, 06, 18."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from aiosched import Context, GuardHeldError, Job, Outcome, Scheduler
from tests import servers
from tests.seeds.stage import Stage
from tests.waiting import wait_until

_ROOT = Path(__file__).parents[2]
Process = asyncio.subprocess.Process


@pytest.fixture
def one_url(
    request: pytest.FixtureRequest, _fleet: dict[str, servers.Server]
) -> Iterator[str]:
    """The URL of one of the servers of this machine, another for each test.

    Many processes take their time, and every store keeps the contract anyway.
    """
    found = sorted(servers.binaries(), key=lambda binary: binary.name)
    if not found:
        pytest.fail("no Redis or Valkey server on this machine", pytrace=False)
    one = found[zlib.crc32(request.node.name.encode()) % len(found)]
    if one.name not in _fleet:
        _fleet[one.name] = servers.Server(one).start()
    yield _fleet[one.name].url
    _fleet[one.name].heal()


@asynccontextmanager
async def racers(url: str, *modes: str) -> AsyncIterator[list[Process]]:
    """Start a process for each mode, and have all of them ready."""
    pipe = asyncio.subprocess.PIPE
    started: list[Process] = []
    try:
        for mode in modes:
            words = ("-m", "tests.seeds.guard_racer", url, "seeds", *mode.split())
            one = await asyncio.create_subprocess_exec(
                sys.executable, *words, cwd=_ROOT, stdin=pipe, stdout=pipe
            )
            started.append(one)
        for one in started:
            assert await heard(one) == "ready"
        yield started
    finally:
        for one in started:
            if one.returncode is None:
                one.kill()
            await one.communicate()


async def heard(process: Process) -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().strip()


async def go(processes: list[Process]) -> list[list[str]]:
    """Let all of them go at once; return what each has won."""
    for one in processes:
        assert one.stdin is not None
        one.stdin.write(b"go\n")
        await one.stdin.drain()
    return [json.loads(await heard(one)) for one in processes]


async def free(peer: Scheduler, name: str) -> bool:
    """Say whether a name can be taken, and leave it free."""
    guard = peer.guard(name)
    taken = await guard.acquire()
    await guard.release()
    return taken


# --- S1-04: who has handled it in the last seconds? ---


@pytest.mark.seed("S1-04")
async def test_of_ten_processes_that_ask_at_once_one_may(one_url: str) -> None:
    async with racers(one_url, *["once 60"] * 10) as processes:
        assert sorted(await go(processes)) == [[]] * 9 + [["file:42"]]


@pytest.mark.seed("S1-04")
async def test_when_the_window_is_over_one_may_again(stage: Stage) -> None:
    async with stage:
        peers = [await stage.peer(f"p{n}", run_jobs=False) for n in range(2)]

        async def ask(ttl: float) -> list[bool]:
            guards = [peers[n % 2].guard("a", ttl=ttl, linger=True) for n in range(10)]
            return sorted(await asyncio.gather(*(one.acquire() for one in guards)))

        assert await ask(0.5) == [False] * 9 + [True]
        await wait_until(lambda: free(peers[0], "a"), "the end of the window")
        assert await ask(60) == [False] * 9 + [True]


@pytest.mark.seed("S1-04")
async def test_several_schedules_do_not_handle_one_file(stage: Stage) -> None:
    """``if check_job_allow_running(id)`` of the original, in a job."""
    handled: list[str] = []
    async with stage:
        for name in ("p0", "p1"):
            peer = stage.build(name)

            @peer.executor
            async def load(context: Context, file: int) -> bool:
                guard = context.guard(f"file:{file}", ttl=60, linger=True)
                if not await guard.acquire():
                    return False
                handled.append(context.job_id)
                return True

            @peer.executor
            def load_in_a_thread(context: Context, file: int) -> bool:
                try:
                    with context.guard(f"file:{file}", ttl=60, linger=True):
                        handled.append(context.job_id)
                except GuardHeldError:
                    return False
                return True

            await peer.start()
        jobs = [
            Job(executor, id=f"{executor}-{n}", kwargs={"file": file})
            for file, executor in enumerate(("load", "load_in_a_thread"))
            for n in range(5)
        ]
        scheduled = [await peer.schedule(job) for job in jobs]
        results = [await peer.result(job, timeout=10) for job in scheduled]
        assert Counter(results[:5]) == Counter(results[5:]) == {True: 1, False: 4}
        assert len(handled) == 2


# --- S1-05: atomic, with owner and fence, released by the owner only ---


@pytest.mark.seed("S1-05")
async def test_a_race_of_200_tasks_in_4_processes_for_1000_ids(one_url: str) -> None:
    """Each name is contended for by ten tasks, in all processes, and won once."""
    modes = [f"race 50 50 {250 * number}" for number in range(4)]
    async with racers(one_url, *modes) as processes:
        won = await go(processes)
    counts = Counter(name for names in won for name in names)
    assert len(counts) == 1_000
    assert set(counts.values()) == {1}
    assert all(won), "every process won some"


@pytest.mark.seed("S1-05")
async def test_only_the_owner_releases_it(stage: Stage) -> None:
    async with stage:
        p0, p1 = await stage.peer("p0"), await stage.peer("p1")
        first, second = p0.guard("file:42"), p1.guard("file:42")
        assert await first.acquire()
        assert not await second.acquire()
        await second.release()
        assert not await free(p1, "file:42")
        await first.release()
        assert await second.acquire()
        await first.release()
        assert second.held
        assert not await free(p0, "file:42")
        assert second.fence > first.fence
        with pytest.raises(GuardHeldError) as caught:
            async with p0.guard("file:42"):
                pass
        assert caught.value.holder == p1.id


# --- S1-06: never in two steps, never for ever, and only with the prefix ---


@pytest.mark.seed("S1-06")
async def test_no_instant_shows_the_key_without_an_end(redis_url: str) -> None:
    """What was written is one command; nothing could be killed between two."""
    async with Redis.from_url(redis_url) as server, server.monitor() as monitor:
        client = Scheduler(redis_url, namespace="seeds", run_jobs=False)
        async with client, client.guard("file:42", ttl=60):
            [key] = [k async for k in server.scan_iter("*file:42*")]
            assert 0 < await server.pttl(key) <= 60_000
        await server.echo("the end")
        writes: list[list[str]] = []
        async for said in monitor.listen():
            words = said["command"].split(" ")
            if words[0] == "ECHO":
                break
            if key.decode() in words and words[0] in {"SET", "PEXPIRE", "DEL"}:
                writes.append(words)
    assert [words[0] for words in writes] == ["SET", "DEL"]
    assert writes[0][3:] == ["PX", "60000", "NX"]


@pytest.mark.seed("S1-06")
async def test_losers_that_poll_do_not_push_the_end_out(redis_url: str) -> None:
    client = Scheduler(redis_url, namespace="seeds", run_jobs=False)
    async with Redis.from_url(redis_url) as server, client:
        assert await client.guard("file:42", ttl=1.2, linger=True).acquire()
        [key] = [k async for k in server.scan_iter("*file:42*")]
        left = await server.pttl(key)
        losers = [client.guard("file:42", ttl=600) for _ in range(10)]
        while (now := await server.pttl(key)) > 300:
            assert now <= left
            left = now
            asked = [loser.acquire() for loser in losers]
            assert not any(await asyncio.gather(*asked))
        await wait_until(lambda: free(client, "file:42"), "the end of the claim")
        names = [name async for name in server.scan_iter("*")]
        assert all(name.startswith(b"{seeds") for name in names)


# --- S1-18: per item, many times within a job; free after a crash ---


@pytest.mark.seed("S1-18")
async def test_names_of_a_run_are_free_after_its_process_was_killed(
    one_url: str,
) -> None:
    async with Scheduler(one_url, namespace="seeds", run_jobs=False) as client:
        async with racers(one_url, "hold 3 3") as [process]:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            assert await heard(process) == "held"
            names = [f"row:{number}" for number in range(3)]
            assert not any([await free(client, name) for name in names])
            process.kill()
            await process.wait()
        for name in names:
            await wait_until(lambda name=name: free(client, name), f"{name} is free")


@pytest.mark.seed("S1-18")
async def test_a_run_guards_each_row_by_its_id(stage: Stage) -> None:
    """The sample of the original: rows of a table, each handled by one job."""
    handled: list[tuple[str, int]] = []
    async with stage:
        for name in ("p0", "p1"):
            peer = stage.build(name)

            @peer.executor
            async def rows(context: Context) -> int:
                skipped = 0
                for row in range(20):
                    try:
                        async with context.guard(f"row:{row}", ttl=60, linger=True):
                            handled.append((context.job_id, row))
                    except GuardHeldError:
                        skipped += 1
                return skipped

            await peer.start()
        jobs = [await peer.schedule(Job("rows", id=f"j{n}")) for n in range(4)]
        runs = [await peer.wait(job, timeout=10) for job in jobs]
        assert {run.outcome for run in runs} == {Outcome.SUCCEEDED}
        assert sorted(row for _, row in handled) == list(range(20))
        assert sum(run.result for run in runs) == 3 * 20
