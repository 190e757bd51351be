"""The demo's live picture, drawn by rich."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aiosched.cli.balance import Balance, percentile
from aiosched.cli.progress import JobRow, PeerRow, Progress
from aiosched.cli.report import Report, milliseconds
from aiosched.cli.screen import Screen
from aiosched.records import Counts

__all__ = ["LiveScreen"]

_PEER_STYLES = {"live": "green", "killed": "bold red", "starting": "yellow"}
_GOOD, _BAD, _DIM = "green", "bold red", "dim"
_BAR = 24
_WIDE = 100
"""Columns of a terminal from which on there is room to spare."""

_LEGEND = Text(
    "slots = fired + skipped + missed + excluded + paused, and as the trigger counts\n"
    "fired + asked = outcomes + open, and as many starts (+ further attempts)\n",
    _DIM,
)


class LiveScreen(Screen):
    """A table that is redrawn in place, and the ledger as a table at the end."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on a console; None: on standard output."""
        self._console = Console(highlight=False) if console is None else console
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw it anew."""
        self._live.update(_picture(progress, self._console.width), refresh=True)

    def note(self, elapsed: float, text: str) -> None:
        """Leave it to the next picture, and keep it above the picture for good."""
        self._console.print(_note(elapsed, text))

    def report(self, report: Report) -> None:
        """Print the ledger, the summary and the verdict."""
        title = Text(f"ledger on {report.progress.store}", "bold")
        self._console.print(title, _ledger(report, self._console.width), _LEGEND)
        for line in report.summary():
            word, _, rest = line.partition(" ")
            self._console.print(Text.assemble((word, "cyan"), " ", rest))
        style = "bold green" if report.ok else _BAD
        for line in report.verdict():
            self._console.print(Text(line, style))


def _note(elapsed: float, text: str) -> Text:
    return Text.assemble((f"{elapsed:5.1f} s  ", _DIM), (text, "yellow"))


# -- while it goes on -------------------------------------------------------------


def _picture(progress: Progress, width: int) -> RenderableType:
    parts: list[RenderableType] = [_headline(progress), Text(), _jobs(progress, width)]
    if progress.peers:
        parts += [Text(), _peers(progress)]
    return Group(*parts)


def _table(width: int) -> Table:
    gap = 1 if width >= _WIDE else 0
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, gap, 0, 0))


def _headline(progress: Progress) -> Text:
    share = min(progress.elapsed / progress.window, 1.0)
    done = round(share * _BAR)
    left = max(progress.window - progress.elapsed, 0.0)
    rest = f"{left:4.1f} s of work to come" if left else "waiting for the last runs"
    return Text.assemble(
        ("aiosched demo", "bold"),
        f" on {progress.store}  ",
        ("━" * done, "cyan"),
        ("━" * (_BAR - done), _DIM),
        f"  {rest}",
    )


def _jobs(progress: Progress, width: int) -> Table:
    table = _table(width)
    table.add_column("job", style="bold", no_wrap=True)
    table.add_column("kind", style=_DIM, no_wrap=True)
    for name in ("next", "runs", "fired", "skip"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcomes", no_wrap=True)
    table.add_column("p50 ms", justify="right", no_wrap=True)
    table.add_column("p99 ms", justify="right", no_wrap=True)
    for row in progress.jobs.values():
        late = sorted(row.lateness)
        table.add_row(
            row.job_id,
            row.kind,
            _next(row, progress),
            Text(str(row.running), "bold cyan") if row.running else Text("-", _DIM),
            str(row.counts.fired + row.counts.asked),
            str(row.counts.skipped or "-"),
            _outcomes(row.counts),
            milliseconds(percentile(late, 0.5)),
            milliseconds(percentile(late, 0.99)),
        )
    return table


def _next(row: JobRow, progress: Progress) -> Text:
    if row.over:
        return Text("done", _DIM)
    if row.next_fire is None or progress.origin is None:
        return Text("asked" if row.asked else "-", _DIM)
    now = progress.origin + timedelta(seconds=progress.elapsed)
    left = (row.next_fire - now).total_seconds()
    return Text(f"{max(left, 0.0):.1f} s")


def _outcomes(counts: Counts) -> Text:
    text = Text(f"{counts.succeeded} ok", _GOOD if counts.succeeded else _DIM)
    for name in ("failed", "timed_out", "cancelled", "lost", "expired"):
        number = getattr(counts, name)
        if number:
            text.append(f" {number} {name}", _BAD)
    return text


def _peers(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in progress.peers.values():
        table.add_row(*_peer(row))
    return table


def _peer(row: PeerRow) -> tuple[Text, Text, str, str]:
    return (
        Text(row.name, "bold"),
        Text(row.state, _PEER_STYLES.get(row.state, _DIM)),
        f"{row.ended} runs ended, {row.running} running",
        f"process {row.pid}",
    )


# -- at the end -------------------------------------------------------------------


def _ledger(report: Report, width: int) -> Table:
    table = _table(width)
    table.add_column("  job", no_wrap=True)
    names = ("slots", "fired", "skip", "miss", "excl", "paus", "asked", "outc", "open")
    for name in (*names, "starts", "p50", "p99 ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for book in report.books:
        table.add_row(*_book(book))
    return table


def _book(book: Balance) -> list[RenderableType]:
    counts = book.counts
    numbers = (
        book.slots,
        counts.fired,
        counts.skipped,
        counts.missed,
        counts.excluded,
        counts.paused,
        counts.asked,
        counts.outcomes,
        book.open,
    )
    again = f"{book.starts - book.again}+{book.again}" if book.again else book.starts
    return [
        Text.assemble(
            ("✗ ", _BAD) if book.problems else ("✓ ", _GOOD),
            (book.expected.job_id, "bold"),
        ),
        *(Text(str(n), "" if n else _DIM) for n in numbers),
        Text(str(again), "yellow" if book.again else ""),
        milliseconds(percentile(book.lateness, 0.5)),
        milliseconds(percentile(book.lateness, 0.99)),
    ]
