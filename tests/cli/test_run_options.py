"""``aiosched run``: burst, files, systemd, another store, and a store that is away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiosched import Scheduler, StoreUnavailableError
from aiosched.cli import living
from aiosched.cli.app import main
from aiosched.cli.codes import CannotError, ExitCode
from aiosched.cli.notify import Notifier
from aiosched.cli.signs import Signs, pid_file
from tests.cli.commands import Running, aiosched, environment
from tests.waiting import wait_until

APPLICATION = """
import asyncio
from aiosched import Job, Scheduler

scheduler = Scheduler(name="mine")


@scheduler.executor
async def work(number: int) -> int:
    print("did", number, flush=True)
    if number == 2:
        await scheduler.schedule(Job("work", (3,)))
    return number


@scheduler.executor
async def stubborn() -> None:
    print("begun", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("cut short", flush=True)


def some():
    for number in (1, 2):
        scheduler.declare(Job("work", (number,), id=f"w{number}"))
    scheduler.declare(Job("work", (9,), id="later", when="PT1H"))
    return scheduler


def long():
    scheduler.declare(Job("stubborn", id="s"))
    return scheduler
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "myapp.py").write_text(APPLICATION, encoding="utf-8")
    return tmp_path


# --- burst ----------------------------------------------------------------------


@pytest.mark.seed("S5-R10")
def test_burst_ends_when_nothing_is_due(folder: Path) -> None:
    """Also what its jobs have scheduled; not what comes in an hour."""
    words = ("run", "myapp:some", "--burst", "--app-dir", "app", "-q")
    done = aiosched(*words, folder=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()[1:]) == ["did 1", "did 2", "did 3"]
    assert done.stderr == ""


@pytest.mark.seed("S5-R10")
def test_a_burst_can_be_ended(folder: Path) -> None:
    words = ("run", "myapp:long", "--burst", "--app-dir", "app", "--grace", "0")
    with Running(*words, folder=folder) as running:
        running.until("begun")
        running.signal(signal.SIGTERM)
        code, said = running.end()
    assert code == 0, said
    assert running.lines[-1] == "cut short"


@pytest.mark.seed("S5-R10")
def test_levels_of_logs(folder: Path) -> None:
    base = ("run", "myapp:scheduler", "--once", "--app-dir", "app")
    said = {
        flag: aiosched(*base, *flag.split(), folder=folder).stderr
        for flag in ("", "-v", "-q")
    }
    assert "INFO" in said[""]
    assert "DEBUG" in said["-v"]
    assert said["-q"] == ""
    with pytest.raises(SystemExit) as refused:
        main([*base, "-v", "-q"])
    assert refused.value.code == 2


# --- files --------------------------------------------------------------------------


@pytest.mark.seed("S5-R10")
def test_a_pid_file_and_a_health_file(folder: Path) -> None:
    pid, health = folder / "p.pid", folder / "h.json"
    words = ("run", "myapp:long", "--app-dir", "app", "--pidfile", str(pid))
    with Running(*words, "--health-file", str(health), folder=folder) as running:
        running.until("begun")
        assert int(pid.read_text()) == running.process.pid
        said = aiosched("health", "--file", str(health), "--json")
        assert said.returncode == 0, said.stderr
        data = json.loads(said.stdout)
        assert (data["name"], data["running"]) == ("mine", 1) or data["running"] == 0
        second = aiosched(*words, folder=folder)
        assert second.returncode == ExitCode.REFUSED
        assert f"held by process {running.process.pid}" in second.stderr
        assert int(pid.read_text()) == running.process.pid
        running.signal(signal.SIGTERM)
        running.signal(signal.SIGINT)  # another one: two of a kind may become one
        assert running.end()[0] == 0
    assert not pid.exists()
    assert not health.exists()
    assert aiosched("health", "--file", str(health)).returncode == 1


def test_a_pid_file_of_a_process_that_has_ended(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    path = tmp_path / "p"
    for left in (ended.stdout, "garbage", "", "0", "-1", str(os.getpid())):
        path.write_text(left)
        with pid_file(str(path)):
            assert int(path.read_text()) == os.getpid()
        assert not path.exists()
    path.write_text(str(os.getppid()))
    with pytest.raises(CannotError) as refused, pid_file(str(path)):
        pass
    assert refused.value.code is ExitCode.REFUSED
    assert path.exists()
    with pytest.raises(CannotError, match="cannot write"), pid_file("/nowhere/p"):
        pass


@pytest.mark.parametrize(
    ("said", "words", "code"),
    [
        ({}, (), 0),
        ({"ok": False, "problems": ["timer is down"]}, (), 1),
        ({"at": 10**15}, (), 1),
        ({"at": 10**15}, ("--max-age", "10000w"), 0),
        # The store is away: not ready, but alive.
        ({"ok": False, "store": False, "problems": ["lapsed"]}, ("--live",), 0),
        ({"ok": False, "failure": "KeyError()", "problems": ["x"]}, ("--live",), 1),
        ({"services": {"timer": "stalled"}, "problems": ["x"]}, ("--live",), 1),
    ],
)
def test_what_a_health_file_says(
    tmp_path: Path, said: dict[str, Any], words: tuple[str, ...], code: int
) -> None:
    path = tmp_path / "h"
    from aiosched.clock import SystemClock

    healthy = {
        "at": SystemClock().wall(),
        "ok": True,
        "store": True,
        "failure": None,
        "services": {"timer": "ok"},
        "problems": [],
    }
    path.write_text(json.dumps(healthy | said))
    assert main(("health", "--file", str(path), *words)) == code


@pytest.mark.parametrize("text", ["", "[]", "{", '{"at": "x", "problems": []}'])
def test_a_health_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "h").write_text(text)
    assert main(("health", "--file", str(tmp_path / "h"))) == 1


# --- systemd ------------------------------------------------------------------------


@pytest.mark.seed("S5-R14")
def test_a_service_manager_hears_of_it(folder: Path) -> None:
    """READY, signs of life twice as often as asked for, and STOPPING."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        process = subprocess.Popen(
            [sys.executable, "-m", "aiosched", "run", "myapp:scheduler", "-q"],
            cwd=folder / "app",
            env=environment(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000"),
            stdout=subprocess.DEVNULL,
        )
        try:
            assert manager.recv(4096).decode().splitlines()[0] == "READY=1"
            assert {manager.recv(4096) for _ in range(4)} == {b"WATCHDOG=1"}
            process.terminate()
            while (said := manager.recv(4096)) == b"WATCHDOG=1":
                pass
            assert said.decode().splitlines()[0] == "STOPPING=1"
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
            process.wait(timeout=10)


@pytest.mark.seed("S5-R14")
def test_what_the_environment_of_a_service_says(tmp_path: Path) -> None:
    place = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    mine = str(os.getpid())
    for given, interval in (
        ({}, None),
        ({"WATCHDOG_USEC": "2000000"}, None),
        (place, None),
        (place | {"WATCHDOG_USEC": "2000000"}, 2.0),
        (place | {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": mine}, 2.0),
        (place | {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        (place | {"WATCHDOG_USEC": "soon"}, None),
        (place | {"WATCHDOG_USEC": "0"}, None),
    ):
        notifier = Notifier(given)
        assert notifier.interval == interval, given
        notifier.tell("READY=1")  # to nobody: no trouble of ours


@pytest.mark.skipif(sys.platform != "linux", reason="abstract addresses are Linux's")
def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0aiosched-test-{os.getpid()}")
        manager.settimeout(10)
        Notifier({"NOTIFY_SOCKET": f"@aiosched-test-{os.getpid()}"}).tell("A=1", "B=2")
        assert manager.recv(100) == b"A=1\nB=2"


async def test_a_failed_scheduler_gives_no_sign_of_life() -> None:
    told: list[str] = []

    class Ear(Notifier):
        def tell(self, *words: str) -> None:
            told.extend(words)

    class Turns:
        """A clock that stops after three naps."""

        naps = 0

        def monotonic(self) -> float:
            return 0.0

        def wall(self) -> int:
            return 0

        async def sleep(self, seconds: float) -> None:
            self.naps += 1
            if self.naps == 3:
                await asyncio.Event().wait()

    class Failed(Scheduler):
        def health(self) -> Any:
            from dataclasses import replace

            return replace(super().health(), failure="KeyError()")

    for kind, signs_of_life in ((Scheduler, 3), (Failed, 0)):
        told.clear()
        clock = Turns()
        signs = Signs(kind(), notifier=Ear({}), clock=clock)
        signs.ready()
        await wait_until(lambda clock=clock: clock.naps == 3, "three naps")  # type: ignore[misc]
        await signs.close()
        await signs.close()
        assert told.count("WATCHDOG=1") == signs_of_life


# --- its store ----------------------------------------------------------------------


@pytest.mark.seed("S5-13")
@pytest.mark.parametrize("target", [(), ("myapp:scheduler", "--app-dir", "app")])
def test_a_store_that_is_away_is_told_at_once(
    folder: Path, target: tuple[str, ...]
) -> None:
    url = "redis://:s3cret@localhost:1"
    done = aiosched("run", *target, "--redis-url", url, "-q", folder=folder, timeout=15)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "no executor" not in line]
    assert line.startswith("aiosched: ")
    assert "localhost:1" in line
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.seed("S5-13")
def test_a_store_can_be_waited_for(folder: Path) -> None:
    """And somebody who has waited enough ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"redis://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "aiosched", "run", "--store", url, "--wait"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "waiting for the store" in line:
                break
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "ready" not in out
    finally:
        process.kill()
        process.wait(timeout=10)


async def test_a_store_that_comes_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    async def ping(_: living.Living) -> None:
        looks.append(1)
        if len(looks) < 3:
            raise StoreUnavailableError("away")

    class Wish:
        def __init__(self) -> None:
            self.asked = asyncio.Event()

        def __call__(self) -> None:
            self.asked.set()

    monkeypatch.setattr(living.Living, "_ping", ping)
    monkeypatch.setattr(living, "AGAIN", 0.01)
    for wait in (True, False):
        looks.clear()
        one = living.Living(Scheduler(), living.Life(wait=wait), Wish())
        if wait:
            assert await one.reached()
            assert len(looks) == 3
        else:
            with pytest.raises(StoreUnavailableError):
                await one.reached()
    wish = Wish()
    wish()
    looks.clear()
    assert not await living.Living(Scheduler(), living.Life(wait=True), wish).reached()


def test_the_command_line_goes_before_the_code(folder: Path, redis_url: str) -> None:
    words = ("run", "myapp:scheduler", "--app-dir", "app", "--once", "-q")
    more = ("--store", redis_url, "--namespace", "elsewhere", "--name", "n1")
    done = aiosched(*words, *more, "--queue", "q", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("n1 in elsewhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--namespace", "a{b}", "--store", "redis://127.0.0.1:1"), "namespace"),
        (("--queue", "not a queue", "--store", "redis://127.0.0.1:1"), "queue"),
        (("--name", " ", "--store", "redis://127.0.0.1:1"), "name"),
        (("--store", "nonsense"), "store"),
        (("a:b", "--app-dir", "missing"), "--app-dir missing"),
    ],
)
def test_what_cannot_be_used_is_refused(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("run", *words)) == 2
    assert said in capsys.readouterr().err


def test_nothing_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("run",)) == 2
    assert "MODULE:NAME" in capsys.readouterr().err


def test_a_wrong_password_is_not_waited_for(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = redis_url.replace("redis://", "redis://nobody:s3cret@")
    assert main(("run", "--store", url, "--wait")) == 2
    said = capsys.readouterr().err
    assert "denies access" in said
    assert "s3cret" not in said
