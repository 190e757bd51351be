"""Showing a demo: a live table where there is a terminal and rich, else lines."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from aiosched.cli.progress import Progress
from aiosched.cli.report import Report

__all__ = ["PlainScreen", "Screen", "SilentScreen", "open_screen"]


class Screen:
    """Where a demo is shown.  This one shows nothing."""

    def show(self, progress: Progress) -> None:
        """Show how far it has come; called a few times a second."""

    def note(self, elapsed: float, text: str) -> None:
        """Tell what has happened beside the runs."""

    def report(self, report: Report) -> None:
        """Show the end; called after the block."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""


class SilentScreen(Screen):
    """Shows nothing: standard output belongs to somebody else."""


class PlainScreen(Screen):
    """Lines of text: one a second, one a note, and the report."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Write each line with a function."""
        self._write = write
        self._second = -1

    def show(self, progress: Progress) -> None:
        """Write a line if a second has passed since the last."""
        second = int(progress.elapsed)
        if second <= self._second:
            return
        self._second = second
        rows = progress.jobs.values()
        fired = sum(row.counts.fired + row.counts.asked for row in rows)
        ended = sum(row.counts.outcomes for row in rows)
        skipped = sum(row.counts.skipped for row in rows)
        running = [row.job_id for row in rows if row.running]
        now = f"; running {', '.join(running)}" if running else ""
        self._write(
            f"{progress.elapsed:5.1f} s  {fired} fired, {ended} ended, "
            f"{skipped} skipped{now}"
        )

    def note(self, elapsed: float, text: str) -> None:
        """Write it down."""
        self._write(f"{elapsed:5.1f} s  {text}")

    def report(self, report: Report) -> None:
        """Write the ledger, the summary and the verdict."""
        for line in (
            "",
            f"ledger on {report.progress.store}",
            *report.book_lines(),
            "",
            *report.summary(),
            "",
            *report.verdict(),
        ):
            self._write(line)


def open_screen(out: TextIO, *, plain: bool, silent: bool) -> Screen:
    """Return the best screen there is for an output.

    Args:
        out: Where to write.
        plain: Lines are wanted, whatever it is.
        silent: Nothing is wanted.
    """
    if silent:
        return SilentScreen()
    dumb = os.environ.get("TERM", "") == "dumb"
    if not plain and not dumb and out.isatty() and importlib.util.find_spec("rich"):
        from aiosched.cli.live import LiveScreen

        return LiveScreen()
    return PlainScreen(lambda line: _print(line, out))


def _print(line: str, out: TextIO) -> None:
    try:
        print(line, file=out, flush=True)
    except BrokenPipeError:
        # Who read has seen enough; the exit code still has to become the truth.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)
