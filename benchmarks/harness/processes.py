"""Workers and producers: started, spoken with, measured, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.harness.contenders import Variant
from benchmarks.harness.environments import python_of
from benchmarks.harness.figures import patient
from benchmarks.harness.places import ROOT, SHARED
from benchmarks.peers.shared.marks import cpu_of

_READY = 60.0


class AdapterError(Exception):
    """A process did not do what it was asked; the text is for the page."""


class Adapter:
    """A process that runs a peer's adapter in the peer's environment."""

    def __init__(
        self,
        variant: Variant,
        role: str,
        url: str,
        more: Mapping[str, str],
        *,
        wait: bool = True,
    ) -> None:
        """Start it, and wait until it says that it is ready, if that is wanted."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        given = json.dumps({"url": url, "settings": variant.settings})
        paths = [SHARED, variant.folder, *([ROOT] if variant.tree else [])]
        environment = {
            **os.environ,
            **more,
            "BENCH": given,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
        }
        # In a session of its own, so that what it forks can be ended with it.
        self.process = subprocess.Popen(
            [python_of(variant), variant.folder / "adapter.py", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        self.versions: dict[str, str] = {}
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until it says that it is ready.

        Raises:
            AdapterError: It does not; it has been ended.
        """
        try:
            self.versions.update(self._read(_READY).get("versions", {}))
        except BaseException:
            self.end()
            raise

    def ask(self, limit: float = 120.0, **words: Any) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises:
            AdapterError: It could not, or not in time.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._read(limit)
        if not answer["ok"]:
            raise AdapterError(str(answer["error"]))
        return answer

    def _read(self, limit: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], patient(limit))
        if not ready:
            raise AdapterError(f"no answer in {limit:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise AdapterError(f"ended: {self.log()}")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    @property
    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.process.poll() is None

    def log(self) -> str:
        """Return the end of what it wrote on stderr."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return " / ".join(lines[-2:])[-300:]

    def pids(self) -> list[int]:
        """Return its process id, and those of what it forked."""
        try:
            root = psutil.Process(self.process.pid)
            return [root.pid, *(one.pid for one in root.children(recursive=True))]
        except psutil.Error:
            return []

    def rss(self) -> int:
        """Return the bytes of memory that it and its forks hold."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(pid).memory_info().rss
        return total

    def end(self) -> None:
        """Kill it and what it forked, also into groups of their own."""
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.process.pid:
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._log.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.end()


def cpu_of_all(adapters: list[Adapter]) -> dict[int, float]:
    """Return seconds of processor time by process id.

    What reaped children used is under the negative id of who reaped them.
    """
    used: dict[int, float] = {}
    for adapter in adapters:
        for pid in adapter.pids():
            with contextlib.suppress(OSError, psutil.Error):
                used[pid] = cpu_of(pid)
                times = psutil.Process(pid).cpu_times()
                used[-pid] = times.children_user + times.children_system
    return used


@contextmanager
def workers(
    variant: Variant, url: str, count: int, more: Mapping[str, str]
) -> Iterator[list[Adapter]]:
    """Run so many worker processes for the length of a block."""
    running: list[Adapter] = []
    try:
        for _ in range(count):
            # One by one: those that began must end if the next one does not.
            one = Adapter(variant, "worker", url, more, wait=False)
            running.append(one)
        for adapter in running:
            adapter.ready()
        yield running
    finally:
        for adapter in running:
            adapter.end()


@contextmanager
def scratch() -> Iterator[Path]:
    """Return a folder in memory where there is one, gone after the block."""
    shm = Path("/dev/shm")  # noqa: S108 - a folder is made in it, not a known name
    parent = shm if os.access(shm, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        yield Path(folder)


def pause(seconds: float) -> None:
    """Let others run."""
    time.sleep(seconds)
