"""Where audit records go: the console, a file, or a function of yours."""

from __future__ import annotations

import abc
import asyncio
import errno
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from aiosched.errors import ConfigurationError
from aiosched.jobs import checks

__all__ = ["AuditSink", "CallableSink", "ConsoleSink", "FileSink", "sink_of"]

Record = dict[str, Any]


class AuditSink(abc.ABC):
    """Takes audit records, one at a time and in their order.

    Attributes:
        name: For logs, events and counts.
    """

    name: str = ""

    @abc.abstractmethod
    async def write(self, record: Record) -> None:
        """Take a record for good.

        Whatever is raised, the record comes again later; so it may come twice, and
        its ``chain`` and ``seq`` say that it is the same.
        :class:`~aiosched.delivery.RefusedError` gives it up.
        """

    async def open(self) -> str:
        """Prepare; called once.

        Returns:
            The hash of the last record that is there; empty if there is none, or
            it is not known.
        """
        return ""

    async def close(self) -> None:  # noqa: B027 - optional
        """Release what it holds; called once, after the last record."""


class ConsoleSink(AuditSink):
    """Prints each record as a line of JSON."""

    name = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to a stream; None: to standard output, as it is at the time."""
        self._stream = stream

    async def write(self, record: Record) -> None:
        """Print a record, in a thread: nobody may be reading.

        Raises:
            OSError: It could not be printed.
        """
        # ASCII, so that no encoding of a terminal can refuse it.
        line = json.dumps(record, separators=(",", ":")) + "\n"
        await asyncio.to_thread(self._print, line)

    def _print(self, line: str) -> None:
        stream = sys.stdout if self._stream is None else self._stream
        stream.write(line)
        stream.flush()


class FileSink(AuditSink):
    """Appends each record to a file, as a line of JSON; of one process alone.

    A file that would grow beyond ``max_bytes`` is kept as ``path.1``, and what was
    that as ``path.2``, up to ``backups``; the oldest goes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 50_000_000,
        backups: int = 10,
        sync: bool = False,
    ) -> None:
        """Check the options; nothing is opened yet.

        Args:
            path: The file; its folder is there.
            max_bytes: Of a file, 1,000 at least.
            backups: Files that are kept beside it, 0 to 1,000.
            sync: Whether each record is on the disk before the next.

        Raises:
            ConfigurationError: A bound cannot be used.
        """
        checks.number("max_bytes", max_bytes, least=1_000, most=2**50)
        checks.number("backups", backups, least=0, most=1_000)
        self.path: Path = Path(path)
        self.name: str = f"file {self.path.name}"
        self._max = max_bytes
        self._backups = backups
        self._sync = checks.flag("sync", sync)

    def files(self) -> list[Path]:
        """Return the files that there are, the oldest first."""
        kept = [self._kept(number) for number in range(self._backups, 0, -1)]
        return [path for path in (*kept, self.path) if path.exists()]

    async def open(self) -> str:
        """Find out what the last record was.

        Raises:
            OSError: The file is there and cannot be read.
        """
        return await asyncio.to_thread(self._last)

    async def write(self, record: Record) -> None:
        """Append a record, in a thread.

        Raises:
            OSError: It could not be written whole.
        """
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        line = text.encode(errors="backslashreplace")  # lone surrogates, as in JSON
        await asyncio.to_thread(self._append, line)

    def _kept(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _append(self, line: bytes) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size and size + len(line) > self._max:
            self._rotate()
            size = 0
        number = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        with os.fdopen(number, "r+b", buffering=0) as file:
            if size and not _ends(file, size):
                line = b"\n" + line  # half a line of somebody who died over it
            try:
                _whole(file.write(line), line)
                if self._sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(size)  # it comes again, whole
                raise

    def _rotate(self) -> None:
        if self._backups == 0:
            self.path.unlink()
            return
        for number in range(self._backups, 1, -1):
            older = self._kept(number - 1)
            if older.exists():
                older.replace(self._kept(number))
        self.path.replace(self._kept(1))

    def _last(self) -> str:
        for path in reversed(self.files()):
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - 2_000_000, 0))
                for line in reversed(file.read().splitlines()):
                    try:
                        return str(json.loads(line)["hash"])
                    except (ValueError, KeyError, TypeError):
                        continue
        return ""


def _whole(written: int | None, line: bytes) -> None:
    if written != len(line):
        raise OSError(errno.ENOSPC, "the disk took half a record")


def _ends(file: Any, size: int) -> bool:
    file.seek(size - 1)
    return bool(file.read(1) == b"\n")


class CallableSink(AuditSink):
    """Gives each record to a function; one that is not async runs in a thread."""

    def __init__(self, function: Callable[[Record], Any], name: str = "") -> None:
        """Use a function that takes the record as a dict of its own."""
        self._function = function
        called = getattr(function, "__qualname__", type(function).__name__)
        self.name: str = checks.text_id("name", name or f"function {called}"[:200])

    async def write(self, record: Record) -> None:
        """Call it."""
        if _is_async(self._function):
            await self._function(record)
            return
        value = await asyncio.to_thread(self._function, record)
        if inspect.isawaitable(value):
            await value


def _is_async(function: Any) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the method is meant
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def sink_of(given: object) -> AuditSink:
    """Return the sink that somebody means: one, its class, or a function.

    Raises:
        ConfigurationError: It is none of these.
    """
    if isinstance(given, type) and issubclass(given, AuditSink):
        try:
            given = given()
        except TypeError as error:
            raise ConfigurationError(
                "sinks", given, f"cannot be built: {error}", "give an instance"
            ) from None
    if isinstance(given, AuditSink):
        if not given.name:
            given.name = type(given).__name__
        return given
    if callable(given) and not isinstance(given, type):
        return CallableSink(given)
    raise ConfigurationError(
        "sinks", given, "is no sink", "give an AuditSink, its class, or a function"
    )
