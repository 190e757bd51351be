"""The audit trail: S4-41 to S4-47."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aiosched import Context, IntervalTrigger, InvalidInputError, Job, Scheduler
from aiosched.audit import (
    Auditor,
    AuditSink,
    ConsoleSink,
    FileSink,
    Trail,
    acting_as,
    verify,
)
from aiosched.cli.app import main
from aiosched.integrations.http import HttpSink
from tests.seeds.http import KEY, Backend, serving
from tests.seeds.stage import Stage
from tests.waiting import wait_until

Record = dict[str, Any]


def operations(records: list[Record]) -> list[str]:
    return [record["operation"] for record in records]


def lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Kept(AuditSink):
    """Keeps what it is given."""

    name = "kept"

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.closed = 0

    async def write(self, record: Record) -> None:
        self.records.append(record)

    async def close(self) -> None:
        self.closed += 1


# --- S4-41: several media -----------------------------------------------------------


@pytest.mark.seed("S4-41")
async def test_every_sink_gets_equal_records(tmp_path: Path) -> None:
    out, sync, deferred, own = io.StringIO(), [], [], Kept()
    threads: set[str] = set()

    def to_list(record: Record) -> None:
        threads.add(threading.current_thread().name)
        sync.append(dict(record))
        record.clear()  # what one does to it is not what others see

    async def to_other(record: Record) -> None:
        deferred.append(record)

    backend = Backend()
    with serving(backend) as url:
        scheduler = Scheduler(name="p")

        @scheduler.executor
        async def work() -> None: ...

        sinks: list[Any] = [
            ConsoleSink(out),
            FileSink(tmp_path / "a.jsonl"),
            HttpSink(f"{url}/audit", sign="k", secrets={"k": KEY}),
            to_list,
            to_other,
            own,
        ]
        async with Auditor(scheduler, sinks) as audit, scheduler:
            await scheduler.schedule(Job(work, id="j"))
            await scheduler.wait("j", timeout=10)
            audit.audit_params("invoice.sent", "ok", "number 7")
            await audit.flush()
    posted = [asked.json() for asked in backend.asked]
    printed = [json.loads(line) for line in out.getvalue().splitlines()]
    assert operations(own.records) == [
        "job.created",
        "run.started",
        "run.succeeded",
        "invoice.sent",
    ]
    everyone = (printed, lines(tmp_path / "a.jsonl"), posted, sync, deferred)
    assert all(records == own.records for records in everyone)
    assert [one["seq"] for one in own.records] == [1, 2, 3, 4]
    assert threading.main_thread().name not in threads
    assert own.closed == 1
    ids = [asked.headers["webhook-id"] for asked in backend.asked]
    assert ids == [f"{one['chain']}/{one['seq']}" for one in own.records]


@pytest.mark.seed("S4-41")
def test_what_is_no_sink_is_refused() -> None:
    class Needs(AuditSink):
        def __init__(self, url: str) -> None: ...
        async def write(self, record: Record) -> None: ...

    given: list[Any] = ["console", Needs, 7, int, [], [Kept, Kept()]]
    for sinks in given:
        with pytest.raises(InvalidInputError) as caught:
            Auditor(Scheduler(), sinks)
        assert caught.value.field == "sinks"
    for options in ({"key": b"k" * 16}, {"key": b"short", "chained": True}):
        with pytest.raises(InvalidInputError) as caught:
            Auditor(Scheduler(), **options)
        assert caught.value.field == "key"
        assert "short" not in str(caught.value)


# --- S4-42, S4-43: standard fields --------------------------------------------------


@pytest.mark.seed("S4-42", "S4-43")
async def test_params_and_trail_write_the_same_line() -> None:
    out = io.StringIO()
    scheduler = Scheduler(name="p")
    async with Auditor(scheduler, ConsoleSink(out)) as audit:
        with pytest.raises(TypeError):
            audit.audit_params("op", "ok")  # type: ignore[call-arg]
        wrong: list[tuple[Any, ...]] = [
            ("", "ok", ""),
            ("op", "", ""),
            ("op", "ok", None),
            (1, "ok", ""),
            ("op", "ok", "x" * 1_001),
        ]
        for words in wrong:
            with pytest.raises(InvalidInputError):
                audit.audit_params(*words)
        audit.audit_params("invoice.sent", "ok", "number 7")
        audit.audit_trail(Trail("invoice.sent", "ok", "number 7"))
        whole = Trail("x", "no", "why", actor="bob", job_id="j", data={"a": [1, None]})
        audit.audit_trail(whole)
        await audit.flush()
    one, two, three = [json.loads(line) for line in out.getvalue().splitlines()]
    for record in (one, two):
        assert record.pop("seq")
        assert record.pop("at")
    assert one == two
    assert (one["operation"], one["status"]) == ("invoice.sent", "ok")
    assert (one["comments"], one["actor"]) == ("number 7", "p")
    assert (one["peer"], one["pid"]) == ("p", os.getpid())
    assert one["audit"] == 1
    assert (three["actor"], three["job_id"]) == ("bob", "j")
    assert three["data"] == {"a": [1, None]}


@pytest.mark.seed("S4-43")
async def test_a_trail_goes_through_a_run_on_the_loop_and_in_a_thread() -> None:
    kept = Kept()
    scheduler = Scheduler(name="p")
    audit = Auditor(scheduler, kept)

    @scheduler.executor
    async def charge(order: int) -> None:
        with audit.trail("reserve", f"order {order}"):
            await asyncio.gather(inner())
        with audit.trail("capture", data={"order": order}):
            raise LookupError("hush")

    async def inner() -> None:
        audit.audit_params("asked", "ok", "the bank")

    @scheduler.executor
    def plain(context: Context) -> None:
        audit.audit_params("threaded", "ok", context.run_id)

    async with audit, scheduler:
        await scheduler.schedule(Job(charge, id="c", args=(7,)))
        await scheduler.schedule(Job(plain, id="t"))
        run = await scheduler.wait("c", timeout=10)
        await scheduler.wait("t", timeout=10)
        await audit.flush()
    mine = [one for one in kept.records if one.get("run_id") == run.run_id]
    assert operations(mine) == [
        "run.started",
        "asked",
        "reserve",
        "capture",
        "run.failed",
    ]
    assert {one["fence"] for one in mine} == {run.fence}
    assert [one["actor"] for one in mine] == ["p", "job c", "job c", "job c", "p"]
    assert mine[3]["status"] == "failed"
    assert mine[3]["comments"] == "LookupError"
    (threaded,) = [one for one in kept.records if one["operation"] == "threaded"]
    assert threaded["comments"] == threaded["run_id"]
    assert "hush" not in json.dumps(kept.records)


# --- S4-44: custom objects to an API of one's own ------------------------------------


@pytest.mark.seed("S4-44")
async def test_an_api_that_is_down_delays_no_job_and_gets_everything(
    tmp_path: Path,
) -> None:
    backend = Backend()
    with serving(backend) as url:
        pass  # it is down
    port = int(url.rpartition(":")[2])
    heard: list[str] = []
    scheduler = Scheduler(name="p")
    scheduler.on("delivery_failed", lambda event: heard.append(event.data["outlet"]))

    @scheduler.executor
    async def work() -> None: ...

    odd = {"any": ["json", 1, None, {"ä": True}]}
    sink = HttpSink(f"{url}/audit", name="api")
    async with Auditor(scheduler, sink, spool=tmp_path, pause=0.02) as audit, scheduler:
        for n in range(10):
            await scheduler.schedule(Job(work, id=f"j{n}"))
            run = await scheduler.wait(f"j{n}", timeout=10)
            assert not run.late
            audit.audit_custom(odd)
        await wait_until(lambda: bool(heard), "the failure is told")
        assert audit.counts["api"].sent == 0
        with serving(backend, port=port):
            await audit.flush()
    records = [asked.json() for asked in backend.asked]
    assert heard == ["audit api"]
    assert [one["seq"] for one in records] == list(range(1, 41))
    custom = [one for one in records if one["operation"] == "custom"]
    assert [one["data"] for one in custom] == [odd] * 10


@pytest.mark.seed("S4-44")
async def test_what_json_cannot_hold_harms_nobody() -> None:
    kept = Kept()
    async with Auditor(Scheduler(), kept) as audit:
        for value in (object, {"x": {1, 2}}, "x" * 100_000, float("nan"), None):
            audit.audit_custom(value)
        await audit.flush()
    assert len(kept.records) == 5
    assert all(len(json.dumps(one)) < 70_000 for one in kept.records)


@pytest.mark.seed("S4-44")
async def test_a_sink_that_never_answers_is_bounded_and_told_of() -> None:
    kept, stuck = Kept(), asyncio.Event()
    told: list[Any] = []

    async def dead(record: Record) -> None:
        await stuck.wait()

    scheduler = Scheduler(name="p")
    scheduler.on("delivery_dropped", lambda event: told.append(event.data))
    audit = Auditor(scheduler, [dead, kept], limit=5)
    name = next(one for one in audit.counts if one != "kept")
    async with scheduler:
        await audit.open()
        for n in range(20):
            audit.audit_params("x", "ok", str(n))
        await wait_until(lambda: len(kept.records) >= 5, "the other goes on")
        assert audit.counts[name].dropped >= 15
        await audit.close(0)
    assert audit.counts[name].sent == 0
    assert told[0]["reason"] == "full"
    # What is lost shows: in the other sink by name, and everywhere as a gap.
    said = [one for one in kept.records if one["operation"] == "audit.dropped"]
    assert said == [] or said[0]["comments"] == f"audit {name}"


# --- S4-45: the console is the default -----------------------------------------------


@pytest.mark.seed("S4-45")
async def test_the_console_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = Scheduler(name="p")

    @scheduler.executor
    async def work() -> None: ...

    async with Auditor(scheduler), scheduler:
        await scheduler.schedule(Job(work, id="j"))
        await scheduler.wait("j", timeout=10)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert operations(printed) == ["job.created", "run.started", "run.succeeded"]


@pytest.mark.seed("S4-45", "S4-46")
async def test_the_command_line_runs_with_an_audit_and_verifies_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(
        "from aiosched import Job, Scheduler\n"
        "s = Scheduler(name='p')\n"
        "@s.executor\n"
        "async def work(): ...\n"
        "s.declare(Job(work, id='j', keyword='go'))\n",
        "utf-8",
    )

    async def command(*words: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "aiosched", *words),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    code, out = await command("run", "--once", "--audit", "--", "mine:s")
    assert code == 0, out
    (line,) = [one for one in out.splitlines() if '"audit"' in one]
    assert json.loads(line)["operation"] == "job.created"
    code, out = await command("run", "--once", "--audit", "a.jsonl", "mine:s")
    assert code == 0, out
    file = tmp_path / "a.jsonl"
    assert main(["audit", "verify", str(file)]) == 0
    assert "whole: 1 records" in capsys.readouterr().out
    file.write_text(file.read_text("utf-8").replace('"ok"', '"no"', 1), "utf-8")
    assert main(["audit", "verify", "--json", str(file)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["problems"] == ["line 1: record 1 was changed"]
    assert main(["audit", "verify", str(tmp_path / "nothing.jsonl")]) == 2
    assert "cannot read" in capsys.readouterr().err


# --- S4-46: who did what ------------------------------------------------------------


@pytest.mark.seed("S4-46")
async def test_who_did_what_to_which_job_is_recorded_by_the_peer_that_did_it(
    stage: Stage,
) -> None:
    sinks = {name: Kept() for name in ("client", "worker")}
    audits = {}
    async with stage:
        for name, sink in sinks.items():
            peer = stage.build(name, run_jobs=name == "worker")
            audits[name] = Auditor(peer, sink, chained=True)
            await audits[name].open()
        client, worker = stage.peers
        await worker.start()
        await client.start()
        trigger = IntervalTrigger(hours=1)
        with acting_as("alice"):
            await client.schedule(Job("note", id="j", trigger=trigger, keyword="go"))
            with audits["client"].actor("bob"):
                await client.modify("j", note="new", tags=("a",))
            await client.modify("j", kwargs={"value": "hush"}, by="carol")
            await client.pause("j", note="for lunch")
            await client.resume("j")
            firing = await client.start_job("j")
            await client.wait(firing, timeout=20)
            (fired,) = await client.fire_job("go", {"value": 2})
            await client.wait(fired, timeout=20)
            await client.stop_job("j")
            await client.remove_job("j")
        await client.schedule(Job("fail", id="bad"))
        await client.wait("bad", timeout=20)
        for audit in audits.values():
            await audit.flush()
        ledger = await client.history(limit=1_000)
    for audit in audits.values():
        await audit.close()
    records = sinks["client"].records
    did = [(one["operation"], one["actor"]) for one in records]
    assert did == [
        ("job.created", "alice"),
        ("job.modified", "bob"),
        ("job.modified", "carol"),
        ("job.held", "alice"),
        ("job.resumed", "alice"),
        ("job.asked", "alice"),
        ("job.fired", "alice"),
        ("job.stopped", "alice"),
        ("job.removed", "alice"),
        ("job.created", "client"),
    ]
    assert records[1]["changes"] == {"note": ["", "new"], "tags": [[], ["a"]]}
    assert records[2]["changes"] == {"kwargs": ["<hidden>", "<hidden>"]}
    assert records[3]["comments"] == "for lunch"
    assert "hush" not in json.dumps(records)
    ran = operations(sinks["worker"].records)
    assert ran == ["run.started", "run.succeeded"] * 2 + ["run.started", "run.failed"]
    assert sinks["worker"].records[-1]["comments"] == "LookupError"
    # Everything in the ledger is in the trail of exactly one peer.
    both = [*records, *sinks["worker"].records]
    rows = Counter((one["job_id"], one["data"].get("kind")) for one in both)
    for row in ledger:
        assert rows[(row.job_id, row.kind.value)] >= 1
    told = sum(1 for one in both if "kind" in one["data"])
    assert told == len(ledger)
    for sink in sinks.values():
        assert verify(map(json.dumps, sink.records)).ok


@pytest.mark.seed("S4-46")
async def test_a_chain_shows_what_was_done_to_it(tmp_path: Path) -> None:
    path, key = tmp_path / "a.jsonl", b"k" * 16
    for boot in range(2):
        scheduler = Scheduler(name="p")
        sink = FileSink(path)
        async with Auditor(scheduler, sink, chained=True, key=key) as audit:
            for n in range(5):
                audit.audit_params("x", "ok", f"{boot} {n}")
            await audit.flush()
    text = path.read_text("utf-8").splitlines()
    verdict = verify(text, key=key)
    assert verdict.ok
    assert (verdict.records, len(verdict.heads)) == (10, 2)
    assert not verify(text).ok
    assert not verify(text, key=b"another key ever").ok
    changed = [one.replace("0 3", "0 9") for one in text]
    assert "record 4 was changed" in verify(changed, key=key).problems[0]
    without = text[:2] + text[3:]
    assert "some are missing" in verify(without, key=key).problems[0]
    swapped = [text[1], text[0], *text[2:]]
    assert not verify(swapped, key=key).ok
    no_first_boot = [text[0], *text[5:]]
    assert "what it follows is missing" in verify(no_first_boot, key=key).problems[0]
    assert verify(text[5:], key=key).ok, "a rotated file begins in the middle"
    assert verify([*text, text[-1]], key=key).repeated == 1
    for garbage in (
        "",
        "{}",
        "[]",
        "x",
        "null",
        '{"chain":1,"seq":1,"prev":1,"hash":1}',
    ):
        assert verify([*text, garbage], key=key).ok == (garbage == "")


@pytest.mark.seed("S4-46")
async def test_files_rotate_and_stay_one_chain(tmp_path: Path) -> None:
    sinks = [
        FileSink(tmp_path / f"{name}.jsonl", max_bytes=1_500, backups=backups)
        for name, backups in (("all", 20), ("few", 2), ("one", 0))
    ]
    async with Auditor(Scheduler(name="p"), sinks, chained=True) as audit:
        for n in range(12):
            audit.audit_params("x", "ok", str(n))
        await audit.flush()
    for sink in sinks:
        files = sink.files()
        assert all(one.stat().st_size <= 1_500 for one in files)
        text = [line for one in files for line in one.read_text("utf-8").splitlines()]
        assert verify(text).ok
        assert json.loads(text[-1])["comments"] == "11"
        assert (len(text) == 12) == (sink.name == "file all.jsonl")
    names = [[one.name for one in sink.files()] for sink in sinks]
    assert names[0][-2:] == ["all.jsonl.1", "all.jsonl"]
    assert names[1:] == [["few.jsonl.2", "few.jsonl.1", "few.jsonl"], ["one.jsonl"]]


@pytest.mark.seed("S4-46")
async def test_half_a_line_of_a_crash_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"audit": 1, "ha', "utf-8")
    async with Auditor(Scheduler(), FileSink(path), chained=True) as audit:
        audit.audit_params("x", "ok", "")
        await audit.flush()
    half, whole = path.read_text("utf-8").splitlines()
    assert half == '{"audit": 1, "ha'
    assert json.loads(whole)["operation"] == "x"
    assert len(verify([half, whole]).problems) == 1


@pytest.mark.seed("S4-46")
async def test_who_started_the_scheduler_does_not_act_in_its_runs() -> None:
    kept = Kept()
    scheduler = Scheduler(name="p")

    @scheduler.executor
    async def chain() -> None:
        await scheduler.schedule(Job("chain", id="second", keyword="never"))

    async with Auditor(scheduler, kept) as audit:
        with acting_as("deployer"):
            await scheduler.start()
        await scheduler.schedule(Job(chain, id="first"))
        await scheduler.wait("first", timeout=10)
        await audit.flush()
        await scheduler.shutdown()
    made = [one for one in kept.records if one["operation"] == "job.created"]
    assert [one["actor"] for one in made] == ["p", "p"]
    with pytest.raises(InvalidInputError), acting_as(" "):
        pass


@pytest.mark.seed("S4-46")
async def test_what_comes_before_the_opening_is_kept_and_after_the_end_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Kept()
    audit = Auditor(Scheduler(), kept)
    audit.audit_params("early", "ok", "")
    async with audit:
        await audit.flush()
    assert operations(kept.records) == ["early"]
    audit.audit_params("late", "ok", "")
    assert operations(kept.records) == ["early"]
    assert "late" in caplog.text
