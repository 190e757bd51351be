"""Rolling deploys: an older peer leaves alone what a later version has written."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

import aiosched
from aiosched import (
    Context,
    Event,
    IntervalTrigger,
    Job,
    JobState,
    Outcome,
    Scheduler,
    StoreDataError,
)
from aiosched._engine.membership import DEPTH, ranks_of
from aiosched.abc import Member, shard_of
from aiosched.records import SCHEMA
from aiosched.stores.redis.keys import Keys
from tests.engine.rolling_peer import JOBS, KINDS, PLAIN
from tests.waiting import wait_until

TERMS = {"beat": 0.3, "member_timeout": 1.5, "shards": 4}
LATER = str(SCHEMA + 1).encode()
SCRIPT = Path(__file__).with_name("rolling_peer.py")


def scheduler(url: str, name: str = "p", **options: Any) -> Scheduler:
    chosen = {"namespace": "roll", "lease": 1.0, "terms": TERMS, **options}
    return Scheduler(url, name=name, **chosen)


class Shop:
    """One namespace, and somebody who writes what a later version would."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.raw = redis.Redis.from_url(url)
        self.keys = Keys("roll", 4)

    def record(self, job_id: str) -> str:
        shard = shard_of(job_id, 4)
        return self.keys.job(shard, job_id)

    def upgrade(self, job_id: str, *, at: float | None = None) -> bytes:
        """Rewrite a record as one of the next schema; let it be due."""
        data: Any = self.raw.get(self.record(job_id))
        assert data.startswith(b"1|")
        later = LATER + data[1:].replace(b"\n", b"|what is new\n", 1)
        self.raw.set(self.record(job_id), later)
        if at is not None:
            shard = shard_of(job_id, 4)
            agenda = self.keys.agenda(shard, "default")
            self.raw.zadd(agenda, {job_id: round(at)})
            self.raw.incr(self.keys.rev(shard))
        return bytes(later)


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    shop = Shop(redis_url)
    yield shop
    shop.raw.close()


def counting(peer: Scheduler) -> list[str]:
    """Register an executor that counts its runs; return them by job."""
    ran: list[str] = []

    async def work(context: Context) -> None:
        ran.append(context.job_id)

    peer.register(work)
    return ran


async def test_what_a_later_version_wrote_is_left_alone(shop: Shop) -> None:
    """Not run, not changed, not deleted, not swept; told once; nobody spins."""
    peer = scheduler(shop.url)
    ran = counting(peer)
    told: list[Event] = []
    peer.on("unreadable", told.append)
    async with peer:
        ids = [f"later{n}" for n in range(150)]
        spec = "a note that makes this spec too long to stand in the record itself"
        await peer.schedule_many(
            [
                Job("work", id=job_id, when=timedelta(hours=1), note=spec, keyword="k")
                for job_id in ids
            ]
        )
        kept = {job_id: shop.upgrade(job_id, at=1) for job_id in ids}
        before = peer._opened().counters.commands
        # Those that are due, and unreadable, hide nobody.
        for n in range(20):
            run = await peer.wait(
                await peer.schedule(Job("work", id=f"now{n}")), timeout=20
            )
            assert run.outcome is Outcome.SUCCEEDED
        commands = peer._opened().counters.commands - before
        assert commands < 4_000, "it looks at each, not again and again"
        assert ran == [f"now{n}" for n in range(20)]
        session = peer._opened()
        for _ in range(3):
            await session.sweep()
            assert await peer.get_jobs(limit=1000) == []
        for verb in (peer.pause, peer.resume, peer.remove_job, peer.start_job):
            with pytest.raises(StoreDataError, match="later version"):
                await verb("later0")
        with pytest.raises(StoreDataError, match="later version"):
            await peer.schedule(Job("work", id="later0"))
        with pytest.raises(StoreDataError, match="later version"):
            await peer.get_job("later0")
        names = Counter(one.data["key"] for one in told)
        assert names == Counter(shop.record(job_id) for job_id in ids)
        assert all("written by a later version" in e.data["problem"] for e in told)
        assert peer.health().ok
    for job_id, data in kept.items():
        assert shop.raw.get(shop.record(job_id)) == data
    # One of the version that wrote them goes on, with all that they name.
    for job_id, data in kept.items():
        older = b"1" + data[1:].replace(b"|what is new\n", b"\n", 1)
        shop.raw.set(shop.record(job_id), older)
    async with scheduler(shop.url, "newer") as newer:
        found = await newer.get_jobs(limit=1000)
        assert len(found) == len(ids)
        assert {job.note for job in found} == {spec}


async def test_an_older_peer_starts_beside_declared_jobs_of_a_later_version(
    shop: Shop,
) -> None:
    """A deploy that is rolled back finds what the later version has stored."""
    for attempt in range(2):
        peer = scheduler(shop.url)
        ran = counting(peer)
        told: list[Event] = []
        peer.on("declared_failed", told.append)
        peer.declare(Job("work", id="a", trigger=IntervalTrigger(hours=1)))
        peer.declare(Job("work", id="b", trigger=IntervalTrigger(milliseconds=100)))
        async with peer:
            assert [one.job_id for one in told] == ["a"] * attempt
            count = len(ran)
            await wait_until(lambda: len(ran) > count, "the other one runs")  # noqa: B023
        if not attempt:
            shop.upgrade("a")


@pytest.mark.parametrize("differs", ["schema", "triggers"])
def test_the_only_one_that_can_read_may_stand_last(differs: str) -> None:
    """However many older ones stand before it in an agenda's order."""
    older = [
        Member(f"old{n}", "", None, ("work",), claims=True, triggers=("cron",))
        for n in range(3 * DEPTH)
    ]
    said = {"schema": 2} if differs == "schema" else {"triggers": ("cron", "own")}
    newer = replace(older[0], id="new", **said)  # type: ignore[arg-type]
    keys = [(shard, "default") for shard in range(64)]
    ranks = ranks_of("new", [*older, newer], keys)
    assert set(ranks) == set(keys)
    assert max(ranks.values()) > DEPTH
    assert set(ranks_of("new", [*older, replace(older[0], id="new")], keys)) < set(keys)


async def test_a_member_that_says_more_or_less_of_itself_is_a_member(
    shop: Shop,
) -> None:
    """Peers of other versions are peers: they share out the agendas."""
    async with scheduler(shop.url, "me") as peer:
        (mine,) = shop.raw.hvals(shop.keys.members)
        data = json.loads(mine)
        data[1] = "other"
        for name, words in {
            "more": [*data, "something", {"new": 1}],
            "less": data[:8],
        }.items():
            shop.raw.hset(shop.keys.members, name, json.dumps([data[0], *words[1:]]))
        engine = peer._running_engine()
        await engine.membership.beat()
        found = {m.id: m for m in engine.membership.members}
        assert {"more", "less"} <= found.keys()
        assert found["more"].triggers == found[peer.id].triggers
        assert found["less"].triggers is None
        assert found["less"].schema == 1


# --- old and new code, side by side --------------------------------------------

PATCHES = {
    "records.py": [
        ("\nSCHEMA = 1\n", "\nSCHEMA = 2\n"),
        (
            "    del record  # there is one schema so far\n    return 1\n",
            '    return 2 if "later" in record.definition.spec.tags else 1\n',
        ),
    ],
    "stores/redis/codec.py": [
        # Schema 2 has one more field in its state line.
        (
            '    ).rstrip("|")\n    if recent:',
            '    ).rstrip("|")\n'
            '    if head.startswith("2|"):\n'
            '        head += "|new"\n'
            "    if recent:",
        ),
        (
            '    texts = parts.head.decode().split("|")\n',
            '    texts = parts.head.decode().split("|")\n'
            '    if texts[0] == "2":\n'
            '        assert texts.pop() == "new"\n',
        ),
    ],
    "stores/redis/specs.py": [
        (
            "        data[short] = _PACK[name](value) if name in _PACK else value\n",
            "        data[short] = _PACK[name](value) if name in _PACK else value\n"
            '    if "field" in spec.tags:\n'
            '        data["NEW"] = [1]\n',
        ),
        (
            "        data = json.loads(body)\n",
            '        data = json.loads(body)\n        data.pop("NEW", None)\n',
        ),
    ],
}
"""What the next version does otherwise."""


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package that writes and reads one schema more."""
    folder = tmp_path_factory.mktemp("newer")
    source = Path(aiosched.__file__).parent
    shutil.copytree(
        source, folder / "aiosched", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name, pairs in PATCHES.items():
        path = folder / "aiosched" / name
        text = path.read_text(encoding="utf-8")
        for old, new in pairs:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return folder


class Peers:
    """Processes of two versions, and what they wrote down."""

    def __init__(self, url: str, newer: Path, folder: Path) -> None:
        self.url, self.newer, self.folder = url, newer, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def launch(self, name: str, *more: str) -> None:
        root = self.newer if name.startswith("new") else SCRIPT.parents[2]
        self.processes[name] = subprocess.Popen(
            [
                sys.executable,
                str(SCRIPT),
                self.url,
                "roll",
                name,
                str(self.folder / name),
                *more,
            ],
            stdin=subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(root)},
        )

    def told(self, *names: str) -> list[list[Any]]:
        lines: list[list[Any]] = []
        for name in names or self.processes:
            path = self.folder / name
            if path.exists():
                text = path.read_text(encoding="utf-8").splitlines()
                lines += [json.loads(line) for line in text]
        return lines

    def runs(self, *names: str) -> list[tuple[str, str]]:
        return [(w[1], w[2]) for w in self.told(*names) if w[0] == "run"]

    async def ready(self, name: str) -> None:
        await wait_until(
            lambda: any(words[0] == "ready" for words in self.told(name)),
            f"{name} is ready",
            timeout=60,
        )

    async def end(self, name: str) -> None:
        process = self.processes[name]
        assert process.poll() is None, f"{name} has ended by itself"
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.to_thread(process.wait, 60)
        assert process.returncode == 0
        assert self.told(name)[-1][0] == "ended"


@pytest.fixture
def peers(redis_url: str, newer: Path, tmp_path: Path) -> Iterator[Peers]:
    found = Peers(redis_url, newer, tmp_path)
    yield found
    for process in found.processes.values():
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stdin is not None:
            process.stdin.close()


@pytest.mark.crash
async def test_old_and_new_code_side_by_side(peers: Peers) -> None:
    old = ["old0", "old1", "old2"]
    for name in old:
        peers.launch(name)
    for name in old:
        await peers.ready(name)
    peers.launch("new0", "new")
    await peers.ready("new0")
    plain = {f"plain{n}" for n in range(PLAIN)}
    ids = {f"{kind}{n}" for kind in KINDS[1:3] for n in range(JOBS)}
    ids |= plain | {"kind0"}

    def each_ran(times: int, *names: str) -> bool:
        return all(Counter(j for j, _ in peers.runs(*names))[i] >= times for i in ids)

    await wait_until(lambda: each_ran(6), "each job runs", timeout=90)
    assert {job for job, _ in peers.runs(*old)} <= plain
    assert {job for job, _ in peers.runs(*old)}, "the old ones do their share"
    # The new one goes, and another comes: what only it can read has waited.
    await peers.end("new0")
    before = Counter(job for job, _ in peers.runs())
    await wait_until(
        lambda: (
            Counter(job for job, _ in peers.runs())["plain0"] >= before["plain0"] + 4
        ),
        "the old ones go on",
        timeout=60,
    )
    after = Counter(job for job, _ in peers.runs())
    assert all(after[job] == before[job] for job in ids - plain)
    peers.launch("new1", "new")
    await peers.ready("new1")
    await wait_until(
        lambda: _took_over(peers, ids - plain),
        "the newer one takes them up",
        timeout=60,
    )
    for name in (*old, "new1"):
        await peers.end(name)
    runs = Counter(peers.runs())
    assert max(runs.values()) == 1, "each slot once"
    for name in old:
        told = peers.told(name)
        assert not [words for words in told if words[0] == "service_failed"]
        unreadable = [words[2] for words in told if words[0] == "unreadable"]
        keys = Counter((one["key"], one["problem"]) for one in unreadable)
        assert set(keys.values()) == {1}, "once a job"
        problems = " ".join(one["problem"] for one in unreadable)
        assert "written by a later version (schema 2)" in problems
        assert "its spec has the field 'NEW'" in problems
        assert "rolling-deploy" in problems
        assert len(keys) == len(ids - plain)
    for name in ("new0", "new1"):
        assert not [words for words in peers.told(name) if words[0] == "unreadable"]
    client = scheduler(peers.url, "after", run_jobs=False, terms={}, lease=None)
    async with client:
        for job_id in sorted(plain):
            assert await client.state(job_id) is JobState.ACTIVE


def _took_over(peers: Peers, ids: set[str]) -> bool:
    counts = Counter(job for job, _ in peers.runs("new1"))
    return all(counts[job_id] >= 3 for job_id in ids)
