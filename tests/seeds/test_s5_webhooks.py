"""Webhooks and dead-man pings: who recorded it tells of it, once it is taken."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from aiosched import (
    CancelJob,
    Context,
    IntervalTrigger,
    InvalidInputError,
    Job,
    MemoryJobStore,
    Retry,
    Scheduler,
)
from aiosched.delivery import Outlet, Spool
from aiosched.integrations.http import (
    DeadMan,
    HttpOptions,
    JobReceiver,
    Webhook,
    Webhooks,
)
from tests.seeds.http import KEY, Backend, serving
from tests.seeds.stage import FAST, Stage
from tests.waiting import wait_until


def types(backend: Backend) -> list[str]:
    return [asked.json()["type"] for asked in backend.asked]


async def test_of_three_peers_only_the_one_that_recorded_it_tells(stage: Stage) -> None:
    backend = Backend()
    with serving(backend) as url:
        async with stage:
            peers = [stage.build(f"p{n}") for n in range(3)]
            hooks = [
                Webhooks(peer, [Webhook(f"{url}/hook", sign="k")], secrets={"k": KEY})
                for peer in peers
            ]
            for peer in peers:
                await peer.start()
            names = [f"j{n}" for n in range(12)]
            for n, name in enumerate(names):
                await peers[n % 3].schedule(Job("note", kwargs={"value": 1}, id=name))
            bad = Job("fail", id="bad", retry=Retry(2, delay=0.01))
            await peers[0].schedule(bad)
            for name in (*names, "bad"):
                await peers[0].wait(name, timeout=20)
            await wait_until(lambda: len(backend.asked) >= 13, "all are told of")
            for hook in hooks:
                await hook.flush()
                await hook.close()
            runs = {ran.job: ran.peer for ran in stage.ran}
    told = [asked.json()["data"] for asked in backend.asked]
    assert sorted(one["job_id"] for one in told) == sorted([*names, "bad"])
    by_id = {peer.id: peer.name for peer in peers}
    for one in told:
        assert by_id[one["peer"]] == runs[one["job_id"]]
        assert one["final"] is True
    failed = next(one for one in told if one["job_id"] == "bad")
    assert (failed["kind"], failed["attempt"]) == ("failed", 2)
    assert failed["error"] == {"type": "LookupError"}
    ids = [asked.headers["webhook-id"] for asked in backend.asked]
    assert len(set(ids)) == len(ids)


async def test_a_receiver_that_is_away_harms_nobody_and_gets_all_in_order() -> None:
    backend = Backend()
    for _ in range(3):
        backend.answer(503)
    heard: list[str] = []
    with serving(backend) as url:
        scheduler = Scheduler()
        for name in ("delivery_failed", "delivery_back", "delivery_dropped"):
            scheduler.on(name, lambda event: heard.append(event.name))

        @scheduler.executor
        async def work(n: int) -> int:
            return n

        hook = Webhook(url, types=("run.succeeded",), results=True)
        async with Webhooks(scheduler, [hook], pause=0.01) as hooks, scheduler:
            await scheduler.schedule(Job(work, keyword="go", id="a", overlap="queue"))
            for n in range(5):
                (firing,) = await scheduler.fire_job("go", {"n": n})
                await scheduler.wait(firing, timeout=10)
            await hooks.flush()
            counts = hooks.counts["webhook 127.0.0.1"]
    taken = [one.json()["data"]["result"] for one in backend.asked[3:]]
    assert taken == [0, 1, 2, 3, 4]
    assert [one.headers["webhook-id"] for one in backend.asked[:3]] == [
        backend.asked[3].headers["webhook-id"]
    ] * 3
    assert (counts.sent, counts.failed, counts.dropped) == (5, 3, 0)
    assert heard == ["delivery_failed", "delivery_back"]


async def test_what_there_is_no_room_for_is_counted_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(Backend()) as url:
        pass  # nobody is there any more
    dropped: list[Any] = []
    scheduler = Scheduler()
    scheduler.on("delivery_dropped", lambda event: dropped.append(event.data))

    @scheduler.executor
    async def work() -> None: ...

    hooks = Webhooks(scheduler, [Webhook(url, types=("run.succeeded",))], limit=3)
    async with scheduler:
        for n in range(5):
            await scheduler.schedule(Job(work, id=f"j{n}"))
            await scheduler.wait(f"j{n}", timeout=10)
        assert hooks.waiting == 3
        await hooks.close(0)
    assert hooks.counts["webhook 127.0.0.1"].dropped == 5
    assert [one["reason"] for one in dropped] == ["full", "left"]
    assert sum(one["count"] for one in dropped) == 5
    assert any("loses" in record.getMessage() for record in caplog.records)


async def test_a_spool_outlives_the_process(tmp_path: Path) -> None:
    with serving(Backend()) as url:
        pass
    first = Scheduler(name="p")

    @first.executor
    async def work() -> None: ...

    hook = Webhook(url, types=("run.succeeded",))
    options: dict[str, Any] = {"spool": tmp_path, "at_once": 1}
    async with first:
        hooks = Webhooks(first, [hook], pause=0.01, **options)
        for n in range(10):
            await first.schedule(Job(work, id=f"j{n}"))
            await first.wait(f"j{n}", timeout=10)
        await hooks.close(0)
        counts = hooks.counts["webhook 127.0.0.1"]
        assert (counts.spooled, counts.dropped) == (10, 0)
    backend = Backend()
    port = int(url.rpartition(":")[2])
    with serving(backend, port=port) as again:
        assert again == url
        second = Scheduler(name="p")
        async with Webhooks(second, [hook], **options) as hooks, second:
            await hooks.flush()
    told = [asked.json()["data"]["job_id"] for asked in backend.asked]
    assert told == [f"j{n}" for n in range(10)]
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize("death", [False, True], ids=["shut down", "killed"])
async def test_what_memory_has_no_room_for_waits_in_a_file_in_order(
    tmp_path: Path, *, death: bool
) -> None:
    up, taken = asyncio.Event(), []

    async def send(item: Any) -> None:
        if not up.is_set():
            raise ConnectionError
        taken.append(item["n"])

    def outlet(path: Path) -> Outlet:
        return Outlet("x", send, limit=40, pause=0.01, spool=Spool(path))

    first = outlet(tmp_path / "x.jsonl")
    for n in range(200):
        assert first.put({"n": n})
        await wait_until(lambda: first.waiting < 30, "the file takes some")
    assert first.counts.spooled >= 160
    in_file = [json.loads(one)["n"] for one in read(tmp_path / "x.jsonl")]
    assert in_file == list(range(10, 10 + len(in_file)))
    path = tmp_path / "x.jsonl"
    if death:
        path = tmp_path / "y.jsonl"  # as it was when the first one died
        path.write_text("".join(json.dumps({"n": n}) + "\n" for n in in_file), "utf-8")
        expected = in_file
    else:
        expected = list(range(200))
    await first.close(0)
    assert first.counts.dropped == 0
    second = outlet(path)
    up.set()
    second.start()
    second.put({"n": 200})
    await second.flush()
    await second.close()
    assert taken == [*expected, 200]
    assert path.name not in os.listdir(tmp_path)  # noqa: PTH208


def read(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


async def test_a_spool_is_bounded_and_garbage_in_it_is_counted(tmp_path: Path) -> None:
    path, taken = tmp_path / "x.jsonl", []

    async def send(item: Any) -> None:
        taken.append(item["n"])

    spool = Spool(path, limit=100)
    assert spool.append([{"n": n} for n in range(50)]) == 12
    path.write_text('{"n":1}\nnothing\n[1]\n{"n":2}\n{"n":', "utf-8")
    outlet = Outlet("x", send, spool=Spool(path))
    outlet.start()
    await outlet.flush()
    await outlet.close()
    assert taken == [1, 2]
    assert outlet.counts.dropped == 3


async def test_what_nobody_told_of_is_replayed_with_the_same_ids() -> None:
    store, backend, calls = MemoryJobStore(), Backend(), []
    receiver = JobReceiver(KEY)

    @receiver.handler("hook")
    def hook(call: Any) -> None:
        calls.append(call.json()["data"]["job_id"])

    secrets = {"k": KEY}
    one = Scheduler(store)

    @one.executor
    async def work() -> None: ...

    with serving(receiver) as url:
        hooked = Webhook(f"{url}/hook", sign="k", types=("run.succeeded",))
        async with one:
            begin = await one.schedule(Job(work, id="silent"))
            await one.wait("silent", timeout=10)
            async with Webhooks(one, [hooked], secrets=secrets) as hooks:
                await one.schedule(Job(work, id="told"))
                await one.wait("told", timeout=10)
                await hooks.flush()
                assert calls == ["told"]
                assert begin.trigger is not None
                since = (await one.history("silent"))[-1].at
                assert await hooks.replay(since) == len(await one.history())
                await hooks.flush()
                assert hooks.counts["webhook 127.0.0.1"].sent == 3
    assert calls == ["told", "silent"]
    assert backend.asked == []


async def test_only_what_is_wanted_is_told() -> None:
    backend = Backend()
    with serving(backend) as url:
        scheduler = Scheduler(name="p")

        @scheduler.executor
        async def work() -> None: ...

        wanted = ("job.created", "job.modified", "job.held", "job.removed")
        hook = Webhook(url, types=wanted, tags=("vip",))
        async with Webhooks(scheduler, [hook]) as hooks, scheduler:
            for tags, name in ((("vip",), "a"), ((), "b")):
                trigger = IntervalTrigger(hours=1)
                await scheduler.schedule(Job(work, id=name, trigger=trigger, tags=tags))
                await scheduler.modify(name, note="x", by="alice", act_note="because")
                await scheduler.pause(name)
                await scheduler.remove_job(name)
            await hooks.flush()
    assert types(backend) == list(wanted)
    modified = backend.asked[1].json()
    assert modified["data"]["by"] == "alice"
    assert modified["data"]["fields"] == ["note"]
    assert modified["data"]["note"] == "because"
    assert backend.asked[3].json()["data"]["tags"] == ["vip"]


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("ftp://x/", {}),
        ("https://a@b/", {}),
        ("https://b/", {"types": ("run.broken",)}),
        ("https://b/?x=1", {}),
        ("https://b/", {"sign": "k"}),
    ],
)
def test_a_webhook_that_cannot_work_is_refused(url: str, more: Any) -> None:
    with pytest.raises(InvalidInputError):
        Webhooks(Scheduler(), [Webhook(url, **more)])


# --- dead-man URLs ------------------------------------------------------------------


async def test_a_run_is_pinged_by_the_peer_that_does_it() -> None:
    backend = Backend()
    with serving(backend) as url:
        store = MemoryJobStore()
        peers = [Scheduler(store, name=f"p{n}", **FAST) for n in range(3)]
        pings = [DeadMan(p, allowed=[url], pause=0.01) for p in peers]
        backend.answer(503)

        async def good() -> None: ...

        async def bad() -> None:
            raise LookupError("hush")

        async def last() -> type[CancelJob]:
            return CancelJob

        for peer in peers:
            for executor in (good, bad, last):
                peer.register(executor)
            await peer.start()
        for executor in (good, bad, last):
            name = executor.__name__
            job = Job(
                executor,
                id=name,
                meta={"ping": f"{url}/{name}"},
                retry=Retry(2, delay=0.01),
            )
            await peers[0].schedule(job)
            await peers[0].wait(name, timeout=20)
        for ping in pings:
            await ping.flush()
        for peer, ping in zip(peers, pings, strict=True):
            await peer.shutdown()
            await ping.close()
    taken = backend.asked[1:]
    assert sorted(one.path for one in taken) == [
        "/bad/fail",
        "/bad/start",
        "/good",
        "/good/start",
        "/last",
        "/last/start",
    ]
    for name in ("good", "bad", "last"):
        mine = [one for one in taken if one.path.startswith(f"/{name}")]
        assert mine[0].path.endswith("/start")
        rids = {one.query for one in mine}
        assert len(rids) == 1
        assert UUID(rids.pop().removeprefix("rid="))
    (failed,) = [one for one in taken if one.path == "/bad/fail"]
    assert failed.body == b"failed LookupError, attempt 2"


@pytest.mark.virtual(timeout=10_000)
async def test_a_slot_that_was_missed_is_pinged_by_the_peer_that_records_it() -> None:
    import httpx2

    backend, store = Backend(), MemoryJobStore()
    options = HttpOptions(transport=httpx2.ASGITransport(backend))
    url = "https://b.example"
    worker, client = Scheduler(store), Scheduler(store, run_jobs=False)

    @worker.executor
    async def work() -> None: ...

    pings = [
        DeadMan(one, allowed=[url], urls={"m": f"{url}/m"}, options=options)
        for one in (worker, client)
    ]
    async with client, worker:
        trigger = IntervalTrigger(seconds=10)
        await worker.schedule(Job(work, id="m", trigger=trigger, misfire_grace=2))
        await asyncio.sleep(5)
        await worker.hold()
        await asyncio.sleep(60)
        # Overdue is not missed: it may still run, and nobody is told.
        assert backend.asked == []
        await worker.release()
        await asyncio.sleep(1)
        for ping in pings:
            await ping.flush()
            await ping.close()
    (failed,) = backend.asked
    assert failed.path == "/m/fail"
    assert failed.body.startswith(b"missed: 6 slots from ")
    assert [ping.counts.sent for ping in pings] == [1, 0]


async def test_a_url_of_a_job_that_is_not_allowed_is_not_pinged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    backend = Backend()
    with serving(backend) as url:
        scheduler = Scheduler()

        @scheduler.executor
        async def work(context: Context) -> None: ...

        async with DeadMan(scheduler) as ping, scheduler:
            await scheduler.schedule(Job(work, id="a", meta={"ping": f"{url}/x"}))
            await scheduler.wait("a", timeout=10)
            await ping.flush()
    assert backend.asked == []
    said = [one for one in caplog.records if "dead-man URL" in one.getMessage()]
    assert len(said) == 1
    with pytest.raises(InvalidInputError) as caught:
        DeadMan(scheduler, urls={"a": url})
    assert caught.value.field == "urls.a"


async def test_what_is_put_in_as_a_worker_ends_is_sent() -> None:
    taken: list[int] = []
    loop = asyncio.get_running_loop()

    async def send(item: Any) -> None:
        taken.append(item["n"])
        if item["n"] < 5:
            # Runs after the worker's last step, and before anybody hears of its end.
            loop.call_soon(outlet.put, {"n": item["n"] + 1})

    outlet = Outlet("x", send, at_once=1)
    outlet.put({"n": 0})
    await wait_until(lambda: taken == [0, 1, 2, 3, 4, 5], "all are sent")
    await outlet.close()


async def test_an_outlet_that_is_closed_leaves_no_task() -> None:
    forever = asyncio.Event()

    async def send(item: Any) -> None:
        await forever.wait()

    outlet = Outlet("x", send, at_once=3, lane_of=lambda item: str(item["n"]))
    for n in range(5):
        assert outlet.put({"n": n})
    await asyncio.sleep(0)
    await outlet.close(0)
    assert outlet.counts.dropped == 5
    assert not outlet.put({"n": 6})
    await outlet.close(0)
