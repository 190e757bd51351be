"""Programs of a test's own, each in a process that is ended with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import servers

__all__ = ["ONE", "ROOT", "Program", "program", "said"]

# An external server comes first; the mark that there is none makes tests fail.
ONE = [*filter(None, [servers.external()]), *servers.binaries(), "no server found"][:1]
"""One server, for what does not depend on it."""

ROOT = Path(__file__).parents[2]


class Program:
    """A running Python program that is spoken to over its standard streams."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """Wait for its next line; empty: it has none any more."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip()

    def until(self, mark: str) -> list[str]:
        """Wait for a line that begins so, and return all up to it."""
        lines: list[str] = []
        while not lines or not lines[-1].startswith(mark):
            line = self.line()
            assert line or self.process.poll() is None, (mark, lines)
            lines.append(line)
        return lines

    def say(self, line: str = "") -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, timeout: float = 20.0) -> tuple[int, str]:
        """Wait for its end, and return its code and what it had still to say."""
        out, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, out


@contextmanager
def program(
    code: str, *words: str, cwd: Path = ROOT, module: bool = False, **env: str
) -> Iterator[Program]:
    """Run a program, and kill what is left of it and its children."""
    text = [] if module else ["-W", "error", "-c", textwrap.dedent(code)]
    process = subprocess.Popen(
        [sys.executable, *text, *words],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
    )
    try:
        yield Program(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def said(code: str, *words: str, **env: str) -> list[str]:
    """Run a program to its end, which has to be a good one; return its lines."""
    with program(code, *words, **env) as running:
        status, out = running.end()
        assert status == 0, out
        return out.splitlines()
