"""What is logged, where, and by whom: S1-27."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import urllib.request
from io import StringIO
from pathlib import Path

import pytest

from aiosched import Job, Scheduler
from aiosched.logs import JsonFormatter

ROOT = Path(__file__).parents[2]

SERVICE = """
import logging

from aiosched import Scheduler

scheduler = Scheduler(name="shop")
log = logging.getLogger("shop.mails")


@scheduler.job(id="mail")
async def send() -> None:
    log.info("sending\\nto two lines")
    raise ValueError("no such address")


@scheduler.job(id="end")
async def end() -> None:
    await scheduler.wait("mail", timeout=10)
    scheduler.on("run_ended", lambda event: stop())


def stop() -> None:
    import os, signal
    os.kill(os.getpid(), signal.SIGTERM)
"""


def _run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(SERVICE)
    return subprocess.run(
        [sys.executable, "-m", "aiosched", "run", "shop:scheduler", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.seed("S1-27")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_command_line_logs_lines_of_json_that_name_the_job(tmp_path: Path) -> None:
    done = _run(tmp_path, "--log-format", "json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["level"] for line in lines} <= {"info", "warning"}
    (own,) = [line for line in lines if line["logger"] == "shop.mails"]
    assert own["message"] == "sending\nto two lines"
    assert own["job_id"] == "mail"
    (failed,) = [line for line in lines if line.get("action") == "run_failed"]
    assert failed["job_id"] == "mail"
    assert failed["run_id"] == own["run_id"]
    assert failed["fence"] == own["fence"]
    assert failed["error"] == "ValueError"
    assert failed["scheduler"] == "shop"
    assert "no such address" in failed["traceback"]


@pytest.mark.seed("S1-27")
async def test_a_logger_may_be_given_to_a_scheduler() -> None:
    out = StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    mine = logging.getLogger("seeds.mine")
    mine.setLevel(logging.INFO)
    mine.addHandler(handler)
    async with Scheduler(name="first", logger=mine) as scheduler:

        @scheduler.executor
        async def fail() -> None:
            raise ValueError("broken")

        await scheduler.wait(await scheduler.schedule(Job(fail, id="f")), timeout=10)
    mine.removeHandler(handler)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["action"] for line in lines] == [
        "scheduler_started",
        "run_failed",
        "scheduler_ended",
    ]
    assert lines[1]["job_id"] == "f"


def test_the_command_line_shows_metrics(tmp_path: Path) -> None:
    module = SERVICE.replace("def stop() -> None:", "def stop() -> None:\n    look()")
    module += """

def look() -> None:
    import pathlib
    from prometheus_client import generate_latest
    pathlib.Path("scrape.txt").write_bytes(generate_latest())
"""
    (tmp_path / "shop.py").write_text(module)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "aiosched", "run", "shop:scheduler"),
            *("--metrics-port", "0"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "metrics at http://127.0.0.1:" in done.stdout
    scrape = (tmp_path / "scrape.txt").read_text()
    assert 'aiosched_healthy{namespace="aiosched",peer="shop"} 1.0' in scrape


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry

    from aiosched.integrations.prometheus import Metrics

    with Metrics(CollectorRegistry()).serve(0) as server:
        url = f"http://127.0.0.1:{server.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
        done = _run(tmp_path, "--metrics-port", str(server.port))
    assert done.returncode == 2
    assert "cannot be listened on" in done.stderr
