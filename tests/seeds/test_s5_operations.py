"""Operations: unit, image, manifests, peers that come and go, and no polling."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiosched import Job, Scheduler
from aiosched.cli.app import main, parser
from tests.cli.commands import Running
from tests.seeds.stage import Stage
from tests.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "examples" / "deploy"
_UNIT = _DEPLOY / "systemd" / "aiosched.service"


# --- files --------------------------------------------------------------------------


def _setting(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", _UNIT.read_text("utf-8"), re.MULTILINE)
    return str(found)


def _understood(words: list[str]) -> Any:
    assert Path(words[0]).name == "aiosched"
    return parser().parse_args(words[1:])


@pytest.mark.seed("S5-R14")
def test_the_unit_starts_what_there_is() -> None:
    words = _understood(shlex.split(_setting("ExecStart")))
    assert _setting("Type") == "notify"
    assert words.target == "jobs:scheduler"
    assert int(_setting("TimeoutStopSec")) > words.grace
    assert int(_setting("WatchdogSec")) >= 10
    assert _setting("KillSignal") == "SIGTERM"


@pytest.mark.seed("S5-R14")
@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    # What it starts has to exist where it is verified.
    text = _UNIT.read_text("utf-8").replace("/srv/shop/.venv/bin/aiosched", "/bin/true")
    unit = tmp_path / _UNIT.name
    unit.write_text(text.replace("/srv/shop", str(tmp_path)), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if _UNIT.name in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.seed("S5-R14")
def test_the_image_starts_and_probes_what_there_is() -> None:
    text = (_DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    start = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0])
    more = json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0])
    words = _understood(start + more)
    probe = json.loads(re.findall(r"^HEALTHCHECK .* CMD (.*)$", text, re.MULTILINE)[0])
    assert _understood(probe).file == words.health_file
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)
    for path in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for part in path.split():
            assert (_ROOT / part).exists(), part


@pytest.mark.seed("S5-R14")
def test_the_manifests_wait_longer_than_the_peers() -> None:
    compose = (_DEPLOY / "compose.yaml").read_text("utf-8")
    manifest = (_DEPLOY / "kubernetes" / "peer.yaml").read_text("utf-8")
    args = json.loads(re.findall(r"^ +args: (\[.*\])$", manifest, re.MULTILINE)[0])
    grace = parser().parse_args(["run", "a:b", *args]).grace
    (patience,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", manifest)
    assert int(patience) > grace
    (stop,) = re.findall(r"stop_grace_period: (\d+)s", compose)
    assert int(stop) > 30
    probes = re.findall(r"^ +command: (\[.*\])$", manifest, re.MULTILINE)
    live = [_understood(json.loads(probe)).live for probe in probes]
    assert live == [True, True, False], "only readiness minds the store"
    names = re.findall(r"^ +(\w+)Probe:$", manifest, re.MULTILINE)
    assert names == ["startup", "liveness", "readiness"]
    assert "noeviction" in compose


@pytest.mark.seed("S5-R14")
def test_what_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; sys.path.insert(0, 'examples/deploy'); import jobs; "
        "print(jobs.scheduler.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# --- peers ----------------------------------------------------------------------------

PEER = """
import os
from aiosched import Scheduler

scheduler = Scheduler(
    lease=1, terms={"beat": 0.2, "member_timeout": 1}, namespace="crew"
)
"""


@pytest.mark.seed("S5-R12")
async def test_peers_are_listed_and_the_dead_are_not(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crew.py").write_text(PEER, encoding="utf-8")
    place = ("--store", redis_url, "--namespace", "crew")

    def listed() -> list[str]:
        assert main(("peers", *place, "--json")) == 0
        found = json.loads(capsys.readouterr().out)
        assert len({peer["id"] for peer in found}) == len(found)
        return [peer["name"] for peer in found]

    def start(name: str) -> Running:
        words = ("run", "crew:scheduler", "--store", redis_url, "--name", name, "-q")
        return Running(*words, folder=tmp_path)

    async def until(names: list[str]) -> None:
        async with asyncio.timeout(30):
            while await asyncio.to_thread(listed) != names:
                pass

    with start("a") as one, start("b") as two, start("c") as three:
        for running in (one, two, three):
            await asyncio.to_thread(running.until, "ready")
        await until(["a", "b", "c"])
        two.signal(signal.SIGKILL)
        await until(["a", "c"])
        # The same name twice is two peers: identity is drawn, and never doubled.
        with start("a") as again:
            await asyncio.to_thread(again.until, "ready")
            await until(["a", "a", "c"])


@pytest.mark.seed("S5-R11")
async def test_a_job_is_heard_of_and_not_polled_for(stage: Stage) -> None:
    """Whoever would look every few seconds would look too late: beats take an hour."""
    slow: dict[str, Any] = {
        "lease": 7200.0,
        "terms": {"beat": 3600.0, "member_timeout": 7200.0, "shards": 4},
    }
    async with stage:
        client = await stage.peer("client", run_jobs=False, **slow)
        await stage.peer("worker", **slow)
        for number in range(20):
            job = await client.schedule(Job("note", (number,)), allow_unknown=True)
            run = await client.wait(job, timeout=20)
            assert run.result == number
        assert len(stage.ran) == 20
        await wait_until(lambda: all(ran.ended for ran in stage.ran), "the ends")
    assert isinstance(client, Scheduler)
