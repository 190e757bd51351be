"""``aiosched run``: somebody's scheduler, from start to the last signal."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from aiosched.background.serving import Stop, serve
from aiosched.cli.codes import CannotError
from aiosched.cli.living import Life, Living, of_plugins
from aiosched.cli.printable import printable
from aiosched.cli.signs import pid_file
from aiosched.cli.watching import Watching, audited, begin_logging, shown
from aiosched.errors import AioschedError, InvalidInputError
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["load_target", "run_target"]

_FORM = "write MODULE:NAME, such as myapp.jobs:scheduler"


def run_target(
    target: str | None,
    *,
    grace: float,
    once: bool,
    log_level: str,
    life: Life = Life(),  # noqa: B008 - it is frozen
    watching: Watching = Watching(),  # noqa: B008 - likewise
) -> int:
    """Run what a word like ``module:scheduler`` names until it is told to end.

    Args:
        target: Module and name; None: a scheduler with what is installed.
        grace: Seconds that runs have to end after the first signal.
        once: End as soon as it is ready.
        log_level: Of the logs, which go to standard error.
        life: What goes before what the code says.
        watching: How it is looked at.

    Returns:
        0 after a clean end, 1 if the scheduler failed.

    Raises:
        CannotError: The target names no scheduler.
        InvalidInputError: What the command line says cannot be used.
    """
    begin_logging(log_level, watching)
    if target is None and life.store is None:
        raise CannotError(f"nothing to run is named; {_FORM}")
    found = None if target is None else load_target(target, folder=life.app_dir)
    try:
        with pid_file(life.pidfile):
            asyncio.run(
                _run(
                    target, found, grace=grace, once=once, life=life, watching=watching
                )
            )
    except (CannotError, InvalidInputError):
        raise
    except Exception as error:
        log.debug("failed", exc_info=error, extra={"action": "failed"})
        # What the scheduler says needs no name of a class before it.
        ours = isinstance(error, AioschedError)
        said = str(error) if ours else f"{type(error).__name__}: {error}"
        print(f"aiosched: {printable(said)}", file=sys.stderr)
        return 1
    return 0


async def _run(
    target: str | None,
    found: object,
    *,
    grace: float,
    once: bool,
    life: Life,
    watching: Watching,
) -> None:
    stop = Stop()
    stop.listen()
    if target is None:
        scheduler = of_plugins(life.store)
    else:
        scheduler = await _built(target, found)
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

    try:
        with shown(scheduler, watching):
            async with audited(scheduler, watching):
                await serve(scheduler, grace=grace, once=once, ready=ready, stop=stop)
    finally:
        await living.close()


# -- finding it -------------------------------------------------------------------


def load_target(target: str, *, folder: str | None = None) -> object:
    """Import what ``module:name`` names.

    Args:
        target: Module and name.
        folder: Looked in first; None: the current folder.

    Raises:
        CannotError: It is not there; the text says what is missing.
    """
    module_name, mark, path = target.partition(":")
    if not (mark and module_name and path):
        raise CannotError(f"{target!r} names no scheduler; {_FORM}")
    here = Path.cwd() if folder is None else Path(folder).resolve()
    if not here.is_dir():
        raise CannotError(f"--app-dir {folder}: is no folder")
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    module = _imported(module_name, here)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise CannotError(_nothing_there(module, path))
        found = getattr(found, name)
    return found


def _imported(name: str, here: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == name or name.startswith(f"{missing}."):
            raise CannotError(
                f"there is no module {missing!r} (looked in {here} and in the "
                "installed packages); run aiosched from the folder that holds it, or "
                "correct the name"
            ) from None
        raise CannotError(
            f"module {name!r} imports {missing!r}, which is not installed here; "
            "install it into the environment that aiosched runs in"
        ) from None
    except ImportError as error:
        raise CannotError(f"module {name!r} cannot be imported: {error}") from None
    except (TypeError, ValueError):
        raise CannotError(f"{name!r} is no module name; {_FORM}") from None


def _nothing_there(module: ModuleType, path: str) -> str:
    known = sorted(
        name for name, value in vars(module).items() if isinstance(value, Scheduler)
    )
    instead = (
        f"it has {', '.join(known)}"
        if known
        else "name a Scheduler there, or a function that returns one"
    )
    return f"module {module.__name__!r} has no {path!r}; {instead}"


async def _built(target: str, found: object) -> Scheduler:
    """Return the scheduler, calling the factory on the loop it will run on."""
    if not isinstance(found, Scheduler) and callable(found):
        needed = _needed(found)
        if needed:
            raise CannotError(
                f"{target} wants arguments ({', '.join(needed)}); "
                "give a function that needs none"
            )
        found = found()
        if inspect.isawaitable(found):
            found = await found
    if isinstance(found, Scheduler):
        return found
    raise CannotError(
        f"{target} is of type {type(found).__name__}, not a Scheduler; name a "
        "Scheduler, or a function without arguments that returns one"
    )


def _needed(factory: Callable[..., object]) -> list[str]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in free]
