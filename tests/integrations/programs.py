"""Programs of users, run as they would run them, and asked by HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests import servers
from tests.waiting import wait_until

__all__ = ["EXAMPLES", "ROOT", "Program", "served"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
_START = 40.0
"""Seconds for a start on a machine that does much else."""


class Program:
    """A program from its start to its end; what it says goes to a file.

    Used as ``async with``, which kills it and all that it has started.
    """

    def __init__(self, *words: str, folder: Path = EXAMPLES, **more: str) -> None:
        self.port = servers.free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - until the program's end
        path = os.pathsep.join([str(folder), str(ROOT)])
        mine = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PORT": str(self.port)}
        given = [word.replace("{port}", str(self.port)) for word in words]
        self.process = subprocess.Popen(
            [sys.executable, *given],
            cwd=folder,
            env=os.environ | mine | more,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False
        )

    @property
    def said(self) -> str:
        """What it has said until now."""
        # Read from the start without moving the place where it is written.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    async def says(self, text: str, count: int = 1) -> None:
        """Wait until it has said something so often."""
        await wait_until(
            lambda: self.said.count(text) >= count or self._gone(),
            f"{count} times {text!r}",
            timeout=_START,
        )
        assert self.said.count(text) >= count, self.said

    async def ready(self, path: str = "/health") -> None:
        """Wait until it serves a page."""

        async def answers() -> bool:
            try:
                return (await self.client.get(path)).status_code == 200
            except httpx2.TransportError:
                return self._gone()

        await wait_until(answers, f"an answer from {path}", timeout=_START, poll=0.05)
        assert not self._gone(), self.said

    def _gone(self) -> bool:
        return self.process.poll() is not None

    async def get(self, path: str, **query: Any) -> Any:
        """Return a page's JSON."""
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, (answer.status_code, answer.text, self.said)
        return answer.json()

    async def post(self, path: str, **data: Any) -> Any:
        """Send JSON, which is taken; return the answer's."""
        answer = await self.client.post(path, json=data)
        assert answer.status_code == 202, (answer.status_code, answer.text, self.said)
        return answer.json()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the first of its processes."""
        self.process.send_signal(number)

    async def end(self, timeout: float = _START) -> int:
        """Wait for its end, and return its exit code."""
        await wait_until(self._gone, "its end", timeout=timeout)
        return self.process.returncode

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.aclose()
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        self._log.close()


def served(kind: str, application: str, *more: str) -> tuple[str, ...]:
    """Return the words that serve an ASGI application on the program's port."""
    words = {
        "uvicorn": ("-m", "uvicorn", "--port", "{port}", "--no-access-log"),
        "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:{port}"),
        "daphne": ("-m", "daphne", "-p", "{port}"),
    }
    return (*words[kind], *more, application)
