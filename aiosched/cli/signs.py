"""Signs of life of ``aiosched run``: a pid file, a health file, and systemd's watchdog.

They are given from the scheduler's own loop: a loop that is blocked gives none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiosched.cli.codes import CannotError, ExitCode
from aiosched.cli.healthy import health_data
from aiosched.cli.notify import Notifier
from aiosched.clock import Clock, SystemClock
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["Signs", "pid_file"]

BEAT = 5.0
"""Seconds between two writes of the health file; probes allow for four times that."""


class Signs:
    """Tells of a scheduler while it runs."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        path: str | None = None,
        notifier: Notifier | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Tell nothing yet; see whether the file can be written.

        Args:
            scheduler: Of whom.
            path: The health file; None: none is written.
            notifier: Of the service manager; None: that of the environment.
            clock: For tests.

        Raises:
            CannotError: The folder of the health file is not there.
        """
        self._scheduler = scheduler
        self._path = None if path is None else Path(path)
        if self._path is not None and not self._path.parent.is_dir():
            raise CannotError(f"{path} cannot be written: its folder is not there")
        self._unwritten = False
        self._notifier = Notifier() if notifier is None else notifier
        self._clock: Clock = SystemClock() if clock is None else clock
        self._task: asyncio.Task[None] | None = None

    def ready(self) -> None:
        """Say that it has started, and go on saying that it is alive."""
        self._notifier.tell("READY=1", "STATUS=running jobs")
        self._task = asyncio.get_running_loop().create_task(
            self._go_on(), name="aiosched signs"
        )

    def ending(self) -> None:
        """Say that it has begun to end; the watchdog is still served."""
        self._notifier.tell("STOPPING=1", "STATUS=waiting for runs to end")

    async def close(self) -> None:
        """Say nothing more, and leave no file; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _go_on(self) -> None:
        interval = self._notifier.interval
        # Half of what is allowed, as sd_watchdog_enabled(3) recommends.
        pause = BEAT if interval is None else min(BEAT, interval / 2)
        while True:
            health = self._scheduler.health()
            if health.failure is None:
                self._notifier.tell("WATCHDOG=1")
            if self._path is not None:
                data = health_data(
                    health, name=self._scheduler.name, at=self._clock.wall()
                )
                self._write(self._path, json.dumps(data))
            await self._clock.sleep(pause)

    def _write(self, path: Path, text: str) -> None:
        """Replace a file; who reads it sees the old or the new, never a part."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
        except OSError as error:
            if not self._unwritten:
                log.warning(
                    "cannot write the health file %s: %s",
                    path,
                    error.strerror,
                    extra={"action": "health_file_failed"},
                )
            self._unwritten = True
        else:
            self._unwritten = False


@contextmanager
def pid_file(name: str | None) -> Iterator[None]:
    """Hold a file with the process's id for a block.

    One that a process left behind that has ended is taken over.

    Raises:
        CannotError: A process that lives holds it, or it cannot be written.
    """
    if name is None:
        yield
        return
    path, mine = Path(name), f"{os.getpid()}\n"
    for last in (False, True):
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(mine)
            break
        except FileExistsError:
            holder = _holder(path)
            if holder or last:
                raise CannotError(
                    f"{path} is held by process {holder or 'of somebody else'}, which "
                    "is alive; end it first, or name another file",
                    ExitCode.REFUSED,
                ) from None
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError as error:
            raise CannotError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            if path.read_text(encoding="utf-8") == mine:
                path.unlink()


def _holder(path: Path) -> int:
    """Return the process that holds a file, 0 if it has ended."""
    pid = 0
    try:
        pid = int(path.read_text(encoding="utf-8"))
        if pid <= 0:
            return 0
        if os.name == "nt":
            return pid  # signal 0 would end it there: who holds it cannot be asked
        os.kill(pid, 0)
    except PermissionError:
        return pid  # it lives, and is somebody else's
    except (OSError, ValueError):
        return 0
    return 0 if pid == os.getpid() else pid
