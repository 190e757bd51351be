"""``aiosched run --config``: a peer with the settings and jobs of a file."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiosched.background.serving import Stop, serve
from aiosched.cli.codes import CannotError
from aiosched.cli.config import loaded
from aiosched.cli.living import Life, Living
from aiosched.cli.printable import printable
from aiosched.cli.signs import pid_file
from aiosched.cli.watching import Watching, audited, begin_logging, shown
from aiosched.config import Config
from aiosched.config.building import prepare
from aiosched.config.importing import look_in
from aiosched.config.reloading import Reloading
from aiosched.errors import InvalidInputError
from aiosched.logs import log

__all__ = ["run_config"]

_FOREVER = timedelta(days=36_500)


def run_config(
    file: str | None,
    env: str | None,
    *,
    once: bool = False,
    life: Life = Life(),  # noqa: B008 - it is frozen
    watching: Watching = Watching(),  # noqa: B008 - likewise
    **arguments: Any,
) -> int:
    """Run a peer until it is told to end; SIGHUP reads the file's jobs again.

    Args:
        file: The configuration; None: the one that is found.
        env: Its environment; None: the one it names.
        once: End as soon as it is ready.
        life: What goes before what file and variables say.
        watching: How it is looked at.
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
    begin_logging(config.run.log_level, watching)
    look_in(Path(life.app_dir or ""))
    try:
        with pid_file(life.pidfile or config.run.pidfile):
            reloading = Reloading(config, load)
            asyncio.run(
                _serve(config, reloading, once=once, life=life, watching=watching)
            )
    except InvalidInputError as error:
        lines = [printable(line) for line in str(error).splitlines()]
        raise CannotError("\n".join(lines)) from None
    except CannotError:
        raise
    except Exception as error:
        log.debug("failed", exc_info=error, extra={"action": "failed"})
        said = printable(f"{type(error).__name__}: {error}")
        print(f"aiosched: {said}", file=sys.stderr)
        return 1
    return 0


async def _serve(
    config: Config,
    reloading: Reloading,
    *,
    once: bool,
    life: Life,
    watching: Watching,
) -> None:
    stop = Stop()
    stop.listen()
    # From here on a SIGHUP is kept until it can be obeyed, and ends nobody.
    _listen(reloading)
    scheduler = await prepare(config)
    living = Living(scheduler, life, stop)
    if not await living.reached():
        return
    begun = asyncio.get_running_loop().time()

    def ready() -> None:
        took = asyncio.get_running_loop().time() - begun
        name, space = scheduler.name, scheduler.namespace
        # In one piece: an audit may be printing from its thread.
        print(f"ready in {took:.3f} s: {name} in {space}\n", end="", flush=True)
        living.ready()
        reloading.begin(scheduler)

    grace = _FOREVER if config.run.grace is None else config.run.grace
    try:
        with shown(scheduler, watching):
            async with audited(scheduler, watching):
                await serve(
                    scheduler,
                    grace=grace.total_seconds(),
                    once=once,
                    ready=ready,
                    stop=stop,
                )
    finally:
        await living.close()
        await reloading.end()


def _listen(reloading: Reloading) -> None:
    number = getattr(signal, "SIGHUP", None)  # not on every platform
    if number is not None:
        asyncio.get_running_loop().add_signal_handler(number, reloading.ask)
