"""``aiosched run --config``: a peer with the settings and jobs of a file."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiosched.background.serving import Stop, serve
from aiosched.cli.app import CannotError
from aiosched.cli.config import loaded
from aiosched.cli.printable import printable
from aiosched.config import Config
from aiosched.config.building import prepare
from aiosched.config.importing import look_in
from aiosched.config.reloading import Reloading
from aiosched.errors import InvalidInputError

__all__ = ["pid_file", "run_config"]

log = logging.getLogger("aiosched")
_FOREVER = timedelta(days=36_500)


def run_config(
    file: str | None, env: str | None, *, once: bool = False, **arguments: Any
) -> int:
    """Run a peer until it is told to end; SIGHUP reads the file's jobs again.

    Args:
        file: The configuration; None: the one that is found.
        env: Its environment; None: the one it names.
        once: End as soon as it is ready.
        **arguments: Settings that outweigh file and variables.

    Returns:
        0 after a clean end, 1 if the scheduler failed.

    Raises:
        CannotError: The configuration cannot be used, or names what is not there.
    """

    def load() -> Config:
        return Config.load(file, env=env, **arguments)

    config = loaded(file, env, **arguments)
    if config == Config() and config.source == Config().source:
        raise CannotError(
            "nothing to run is named: write MODULE:NAME, such as shop.jobs:scheduler, "
            "or --config FILE; aiosched init writes such a file"
        )
    logging.basicConfig(
        level=config.run.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-8s %(name)s  %(message)s",
    )
    look_in(Path())
    try:
        with pid_file(config.run.pidfile):
            asyncio.run(_serve(config, Reloading(config, load), once=once))
    except InvalidInputError as error:
        lines = [printable(line) for line in str(error).splitlines()]
        raise CannotError("\n".join(lines)) from None
    except CannotError:
        raise
    except Exception as error:
        log.debug("failed", exc_info=error)
        said = printable(f"{type(error).__name__}: {error}")
        print(f"aiosched: {said}", file=sys.stderr)
        return 1
    return 0


async def _serve(config: Config, reloading: Reloading, *, once: bool) -> None:
    stop = Stop()
    stop.listen()
    # From here on a SIGHUP is kept until it can be obeyed, and ends nobody.
    _listen(reloading)
    scheduler = await prepare(config)
    begun = asyncio.get_running_loop().time()

    def ready() -> None:
        took = asyncio.get_running_loop().time() - begun
        name, space = scheduler.name, scheduler.namespace
        print(f"ready in {took:.3f} s: {name} in {space}", flush=True)
        reloading.begin(scheduler)

    grace = _FOREVER if config.run.grace is None else config.run.grace
    try:
        await serve(
            scheduler,
            grace=grace.total_seconds(),
            once=once,
            ready=ready,
            stop=stop,
        )
    finally:
        await reloading.end()


def _listen(reloading: Reloading) -> None:
    number = getattr(signal, "SIGHUP", None)  # not on every platform
    if number is not None:
        asyncio.get_running_loop().add_signal_handler(number, reloading.ask)


@contextmanager
def pid_file(name: str | None) -> Iterator[None]:
    """Keep the number of this process in a file, for a block.

    Raises:
        CannotError: Another process that lives is in it, or it cannot be written.
    """
    if name is None:
        yield
        return
    path, own = Path(name), str(os.getpid())
    try:
        other = _living(path)
        if other is not None:
            raise CannotError(
                f"{name} says that process {other} runs already; end it, or name "
                "another pidfile"
            )
        path.write_text(f"{own}\n", encoding="ascii")
    except OSError as error:
        raise CannotError(f"{name} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        try:
            if path.read_text(encoding="ascii").strip() == own:
                path.unlink()
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the pidfile %s is left behind: %s", name, error)


def _living(path: Path) -> int | None:
    """Return the process that a file names, if it lives and is not this one."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    if not text.isdecimal() or int(text) in (0, os.getpid()):
        return None
    try:
        os.kill(int(text), 0)
    except PermissionError:
        return int(text)
    except (ProcessLookupError, OverflowError):
        return None
    return int(text)
