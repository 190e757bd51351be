"""Tables for people, a ledger that is followed, and a question on a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.cli import tables
from aiosched.cli.codes import ExitCode
from aiosched.cli.tables import print_table, width_of
from tests.cli.commands import Running, environment

LATER = IntervalTrigger(hours=1)


def test_a_table_fits_the_terminal_and_a_pipe_gets_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("a", "x" * 300, "end"), ("日本語", "", "\x1b[31m\nred"), ("é", "y", "z")]
    print_table(("ONE", "TWO", "THREE"), rows)
    whole = capsys.readouterr().out
    assert "x" * 300 in whole
    assert r"\x1b[31m\nred" in whole
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(tables.importlib.util, "find_spec", lambda _: None)
    for columns in (40, 60, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_table(("ONE", "TWO", "THREE"), rows)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 4
        assert all(width_of(line) <= columns for line in lines)
        assert "…" in lines[1]
        starts = {
            width_of(line[: line.index(word)])
            for line, word in zip(lines, ("TWO", "xxx", "-  ", "y  "), strict=True)
        }
        assert len(starts) == 1, "columns stand below each other"
    monkeypatch.setenv("COLUMNS", "5")
    print_table(("ONE", "TWO", "THREE"), rows)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_table_without_rows_has_its_heads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("ONE", "TWO"), [])
    assert capsys.readouterr().out == "ONE  TWO\n"


def test_a_ledger_is_followed(redis_url: str, tmp_path: Path) -> None:
    place = ("--store", redis_url, "--namespace", "shop")

    async def act(*verbs: str) -> None:
        async with Scheduler(
            redis_url, namespace="shop", name="till", run_jobs=False
        ) as client:
            for verb in verbs:
                if verb == "schedule":
                    job = Job("x", id="a", trigger=LATER)
                    await client.schedule(job, allow_unknown=True)
                else:
                    await getattr(client, verb)("a")

    asyncio.run(act("schedule", "pause"))
    words = ("history", "--follow", "--json", "--since", "2020-01-01T00:00Z", *place)
    with Running(*words, folder=tmp_path) as running:
        assert running.process.stdout is not None
        found = [json.loads(running.process.stdout.readline()) for _ in range(2)]
        asyncio.run(act("resume", "pause", "resume", "remove_job"))
        while found[-1]["kind"] != "removed":
            found.append(json.loads(running.process.stdout.readline()))
        running.signal(signal.SIGINT)
        code, said = running.end()
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in said
    kinds = [row["kind"] for row in found]
    assert kinds == ["created", "held", "resumed", "held", "resumed", "removed"]
    assert {row["by"] for row in found} == {"till"}


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
@pytest.mark.parametrize(("answer", "code"), [("n\n", 4), ("y\n", 0), ("\x03", 130)])
def test_a_question_on_a_real_terminal(redis_url: str, answer: str, code: int) -> None:
    import pty

    async def fill() -> None:
        async with Scheduler(redis_url, namespace="shop", run_jobs=False) as client:
            job = Job("x", id="a", trigger=LATER)
            await client.schedule(job, allow_unknown=True)

    asyncio.run(fill())
    words = ("remove", "a", "--store", redis_url, "--namespace", "shop")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        # As a shell does it: a session whose terminal this is, so that ^C arrives.
        [
            sys.executable,
            "-c",
            "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            "from aiosched.cli.app import main; sys.exit(main(sys.argv[1:]))",
            *words,
        ],
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        assert process.stderr is not None
        said = b""
        while not said.endswith(b"[y/N] "):
            part = process.stderr.read(1)
            assert part, said
            said += part
        assert b"remove job (a) of shop?" in said
        os.write(ours, answer.encode())
        process.communicate(timeout=30)
        assert process.returncode == code
    finally:
        process.kill()
        process.communicate(timeout=10)
        os.close(ours)
