"""``aiosched run``: somebody's scheduler, from start to the last signal."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import sys
from collections.abc import Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    nullcontext,
)
from pathlib import Path
from types import ModuleType
from typing import Any

from aiosched.audit import Auditor, FileSink
from aiosched.background.serving import serve
from aiosched.cli.app import CannotError
from aiosched.errors import ConfigurationError
from aiosched.logs import JsonFormatter, log
from aiosched.scheduler import Scheduler

__all__ = ["load_target", "run_target"]

_FORM = "write MODULE:NAME, such as myapp.jobs:scheduler"


def run_target(
    target: str,
    *,
    grace: float,
    once: bool,
    log_level: str,
    log_format: str = "text",
    metrics: tuple[str, int] | None = None,
    audit: str | None = None,
) -> int:
    """Run what a word like ``module:scheduler`` names until it is told to end.

    Args:
        target: Module and name.
        grace: Seconds that runs have to end after the first signal.
        once: End as soon as it is ready.
        log_level: Of the logs, which go to standard error.
        log_format: ``text`` or ``json``.
        metrics: Host and port where Prometheus may ask; None: nowhere.
        audit: Where audit records go: ``-`` for standard output, or a file; None:
            there are none.

    Returns:
        0 after a clean end, 1 if the scheduler failed.

    Raises:
        CannotError: The target names no scheduler.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATS[log_format]())
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    found = load_target(target)
    try:
        asyncio.run(
            _run(target, found, grace=grace, once=once, metrics=metrics, audit=audit)
        )
    except CannotError:
        raise
    except Exception as error:
        log.debug("failed", exc_info=error, extra={"action": "failed"})
        print(f"aiosched: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


_FORMATS: dict[str, Callable[[], logging.Formatter]] = {
    "text": lambda: logging.Formatter(
        "%(asctime)s %(levelname)-8s %(name)s  %(message)s"
    ),
    "json": JsonFormatter,
}


def _shown(
    scheduler: Scheduler, metrics: tuple[str, int] | None
) -> AbstractContextManager[object]:
    """Show metrics while a scheduler runs, if that was asked for.

    Raises:
        CannotError: What it takes is not installed, or the port is taken.
    """
    if metrics is None:
        return nullcontext()
    host, port = metrics
    try:
        from aiosched.integrations.prometheus import Metrics

        families = Metrics.of(scheduler) or Metrics()
        families.watch(scheduler)
        server = families.serve(port, host=host)
    except (ImportError, ConfigurationError) as error:
        raise CannotError(f"--metrics-port: {error}") from None
    print(f"metrics at http://{host}:{server.port}/metrics", flush=True)
    return server


async def _run(
    target: str,
    found: object,
    *,
    grace: float,
    once: bool,
    metrics: tuple[str, int] | None,
    audit: str | None,
) -> None:
    scheduler = await _built(target, found)
    with _shown(scheduler, metrics):
        await _ready(scheduler, grace=grace, once=once, audit=audit)


async def _ready(
    scheduler: Scheduler, *, grace: float, once: bool, audit: str | None
) -> None:
    begun = asyncio.get_running_loop().time()

    def ready() -> None:
        took = asyncio.get_running_loop().time() - begun
        name, space = scheduler.name, scheduler.namespace
        # In one piece: an audit may be printing from its thread.
        print(f"ready in {took:.3f} s: {name} in {space}\n", end="", flush=True)

    async with _audited(scheduler, audit):
        await serve(scheduler, grace=grace, once=once, ready=ready)


def _audited(
    scheduler: Scheduler, audit: str | None
) -> AbstractAsyncContextManager[object]:
    if audit is None:
        return nullcontext()
    if audit == "-":
        return Auditor(scheduler)
    return Auditor(scheduler, FileSink(audit), chained=True)


# -- finding it -------------------------------------------------------------------


def load_target(target: str) -> object:
    """Import what ``module:name`` names; the current folder is looked in first.

    Raises:
        CannotError: It is not there; the text says what is missing.
    """
    module_name, mark, path = target.partition(":")
    if not (mark and module_name and path):
        raise CannotError(f"{target!r} names no scheduler; {_FORM}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _imported(module_name)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise CannotError(_nothing_there(module, path))
        found = getattr(found, name)
    return found


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == name or name.startswith(f"{missing}."):
            raise CannotError(
                f"there is no module {missing!r} (looked in {Path.cwd()} and in the "
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
