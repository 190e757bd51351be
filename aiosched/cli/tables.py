"""Tables for people: with rich on a terminal where it is there, else plain.

What is piped is never cut, so that programs without ``--json`` see all of it too.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from aiosched.cli.printable import printable

__all__ = ["NONE", "moment_text", "print_pairs", "print_table", "width_of"]

NONE = "-"
"""Stands in a cell that has nothing to say."""
_GAP = "  "
_LEAST = 8
"""Columns are not cut below it."""
_CUT = "…"


def moment_text(value: datetime | None) -> str:
    """Write an instant to the second; a dash for none."""
    return NONE if value is None else value.isoformat(timespec="seconds")


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below their heads; the texts may hold any characters."""
    clean = [tuple(printable(cell) or NONE for cell in row) for row in rows]
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        _print_rich(heads, clean)
        return
    table = [tuple(heads), *clean]
    widths = [max(map(width_of, column)) for column in zip(*table, strict=True)]
    if sys.stdout.isatty():
        widths = _fitted(widths, shutil.get_terminal_size().columns)
    for row in table:
        cells = [_cell(text, size) for text, size in zip(row, widths, strict=True)]
        print(_GAP.join(cells).rstrip())


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and what they stand for, a line each."""
    size = max((width_of(name) for name, _ in pairs), default=0)
    for name, text in pairs:
        print(f"{_cell(name, size)}{_GAP}{printable(text) or NONE}")


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(char)
        else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _fitted(widths: list[int], room: int) -> list[int]:
    """Take from the widest columns until a line fits, or nothing can be taken."""
    sizes = list(widths)
    left = sum(sizes) + len(_GAP) * (len(sizes) - 1) - room
    while left > 0:
        widest = max(range(len(sizes)), key=sizes.__getitem__)
        if sizes[widest] <= _LEAST:
            break
        sizes[widest] -= 1
        left -= 1
    return sizes


def _cell(text: str, size: int) -> str:
    wide = width_of(text)
    if wide <= size:
        return text + " " * (size - wide)
    short = ""
    for char in text:
        if width_of(short + char) > size - 1:
            break
        short += char
    return short + _CUT + " " * (size - 1 - width_of(short))


def _print_rich(heads: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=box.SIMPLE_HEAD)
    for row in rows:
        # As they are: an id may look like markup.
        table.add_row(*[Text(cell) for cell in row])
    Console(highlight=False).print(table)
