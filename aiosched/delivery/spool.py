"""A file for what does not go out now: JSON lines, read back in their order."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Spool"]

MOST_BYTES = 256 * 1024 * 1024
"""Default bound of a spool file."""


class Spool:
    """A bounded file of items, first in, first out.

    It belongs to one process at a time.  An item is forgotten only when it has been
    taken and the file is empty, so that what a crash interrupts goes out again.

    Attributes:
        path: The file; there is none while nothing waits in it.
        limit: Bytes that it may have.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, limit: int = MOST_BYTES
    ) -> None:
        """Look at what an earlier process has left.

        Raises:
            OSError: The file is there and cannot be read.
        """
        self.path: Path = Path(path)
        self.limit = limit
        # A thread whose task was cancelled goes on.
        self._lock = threading.Lock()
        self._read = 0
        self._size, self._torn = _whole_lines(self.path)

    @property
    def empty(self) -> bool:
        """Whether nothing is left to be read."""
        return self._read >= self._size

    @property
    def exists(self) -> bool:
        """Whether there is a file, with items that were read or not."""
        return self._size > 0

    def append(self, items: Sequence[dict[str, Any]]) -> int:
        """Write items behind the others; blocks.

        Returns:
            How many were written; fewer than given where the bound is reached.

        Raises:
            OSError: The file cannot be written; what was written of these items
                is taken back.
        """
        with self._lock:
            lines: list[bytes] = []
            size = self._size
            for item in items:
                line = _line(item)
                if size + len(line) > self.limit:
                    break
                size += len(line)
                lines.append(line)
            if lines:
                self._write(b"".join(lines))
                self._size = size
            return len(lines)

    def _write(self, data: bytes) -> None:
        try:
            _write(self.path, data, at=self._size)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.path, self._size)
            raise

    def read(self, count: int) -> tuple[list[dict[str, Any]], int]:
        """Return the next items, and how many lines could not be read; blocks.

        They stay in the file until :meth:`forget`.

        Raises:
            OSError: The file cannot be read.
        """
        items: list[dict[str, Any]] = []
        broken, self._torn = int(self._torn), False
        with self._lock, self.path.open("rb") as file:
            file.seek(self._read)
            while len(items) < count and self._read < self._size:
                line = file.readline()
                if not line:
                    self._read = self._size
                    break
                self._read += len(line)
                item = _item(line)
                if item is None:
                    broken += 1
                else:
                    items.append(item)
        return items, broken

    def rewind(self, items: Sequence[dict[str, Any]]) -> int:
        """Put items in front of those that were not read yet; blocks.

        For the end of a process: what was read and not taken stands first again.

        Returns:
            How many were kept; fewer than given where the bound is reached.

        Raises:
            OSError: The file cannot be written; it is as it was.
        """
        with self._lock:
            return self._rewind([_line(item) for item in items])

    def _rewind(self, lines: Sequence[bytes]) -> int:
        rest = b""
        if not self.empty:
            with self.path.open("rb") as file:
                file.seek(self._read)
                rest = file.read()
        size = len(rest)
        kept = 0
        for line in lines:
            if size + len(line) > self.limit:
                break
            size += len(line)
            kept += 1
        beside = self.path.with_name(self.path.name + ".new")
        _write(beside, b"".join(lines[:kept]) + rest)
        beside.replace(self.path)
        self._read, self._size = 0, size
        if not size:
            self.path.unlink(missing_ok=True)
        return kept

    def forget(self) -> None:
        """Delete what was read, once all of it has been taken; blocks."""
        with self._lock:
            if self.empty and self._size:
                self.path.unlink(missing_ok=True)
                self._read = self._size = 0


def _whole_lines(path: Path) -> tuple[int, bool]:
    """Return the bytes of a file up to its last line break, and if there is more.

    What is behind it is half an item of a process that died over it.
    """
    if not path.exists():
        return 0, False
    with path.open("rb") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = max(end - 65_536, 0)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1, start + found + 1 < size
            end = start
    return 0, size > 0


def _write(path: Path, data: bytes, *, at: int = 0) -> None:
    """Write from a place on, over whatever half a write has left there."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(number, "wb") as file:
        file.seek(at)
        file.truncate()
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _line(item: dict[str, Any]) -> bytes:
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=repr)
    return text.encode(errors="backslashreplace") + b"\n"


def _item(line: bytes) -> dict[str, Any] | None:
    """Read a line; None where a crash, or somebody else, has left no item."""
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None
