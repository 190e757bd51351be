"""Reading the pages: their Python blocks, what those print, and their tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCS", "PLACEHOLDER", "ROOT", "Block", "blocks", "name", "pages", "table"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PLACEHOLDER = "redis://localhost:6379"
"""Stands in every page for the server that the reader has."""

_FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>\n]*) -->\n)?"
    r"^```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_OUTPUT = re.compile(r"# ?> ?(?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Python on a page.

    Attributes:
        line: Its first line of code.
        code: What it holds.
        expected: What it is to print, line by line; None: the page does not say.
        reason: Why it cannot be run; None: it is run.
    """

    line: int
    code: str
    expected: tuple[str, ...] | None
    reason: str | None


def pages() -> list[Path]:
    """Return every page, README first."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def name(page: Path) -> str:
    """Return the path of a page as people write it."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[Block]:
    """Yield the Python blocks of a page, in order."""
    for found in _FENCE.finditer(text):
        code = found["code"]
        said = [m["text"] for m in map(_OUTPUT.search, code.splitlines()) if m]
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(line, code, tuple(said) or None, found["reason"])


def table(text: str, heading: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return the rows of a page's tables, by the word in their first cell.

    Args:
        text: The page.
        heading: Only what stands under this heading; None: the whole page.
    """
    if heading is not None:
        after = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)
        assert len(after) == 2, f"there is not one heading {heading!r}"
        text = re.split(r"^#", after[1], flags=re.MULTILINE)[0]
    rows: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        word = re.fullmatch(r"`([^`]*)`", cells[0])
        if line.startswith("|") and word is not None:
            assert word[1] not in rows, f"two rows for {word[1]}"
            rows[word[1]] = tuple(cells[1:])
    return rows
