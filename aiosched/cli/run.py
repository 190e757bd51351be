"""``aiosched run``: somebody's scheduler, from start to the last signal."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from aiosched._api.options import namespace_of, queues_of
from aiosched.cli.codes import CannotError
from aiosched.cli.place import CONNECT
from aiosched.cli.printable import printable
from aiosched.cli.signs import Signs, pid_file
from aiosched.clock import SystemClock
from aiosched.errors import (
    AioschedError,
    InvalidInputError,
    StoreError,
    StoreUnavailableError,
)
from aiosched.jobs import checks
from aiosched.scheduler import Scheduler
from aiosched.stores import open_store
from aiosched.triggers.plugins import EXECUTORS, find_plugins

__all__ = ["Stop", "Wanted", "load_target", "run_target", "serve"]

log = logging.getLogger("aiosched")
AGAIN = 1.0
"""Seconds between two looks at a store that is waited for."""

_FORM = "write MODULE:NAME, such as myapp.jobs:scheduler"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be run, and how.

    Attributes:
        target: Module and name; None: a scheduler that is made here.
        store: URL, in place of the scheduler's own; needed without a target.
        namespace: In place of the scheduler's own.
        name: What people call the peer.
        queues: Run only jobs of these.
        app_dir: Where modules are looked for first; None: the current folder.
        grace: Seconds that runs have to end after the first signal.
        once: End as soon as it is ready.
        burst: Run what is due, and end when nothing more is.
        wait: For a store that does not answer.
        pidfile: Path of a file that holds the process's id.
        health_file: Path of a file that says how it is.
        log_level: Of the logs, which go to standard error.
    """

    target: str | None
    store: str | None = None
    namespace: str | None = None
    name: str | None = None
    queues: tuple[str, ...] | None = None
    app_dir: str | None = None
    grace: float = 30.0
    once: bool = False
    burst: bool = False
    wait: bool = False
    pidfile: str | None = None
    health_file: str | None = None
    log_level: str = "info"


def run_target(wanted: Wanted) -> int:
    """Run a scheduler until it is told to end.

    Returns:
        0 after a clean end, 1 if the scheduler failed or could not start.

    Raises:
        CannotError: The target names no scheduler, or what was asked for cannot be
            used.
    """
    logging.basicConfig(
        level=wanted.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-8s %(name)s  %(message)s",
    )
    if wanted.target is None and wanted.store is None:
        raise CannotError(f"nothing to run is named; {_FORM}")
    found = (
        None
        if wanted.target is None
        else load_target(wanted.target, folder=wanted.app_dir)
    )
    try:
        with pid_file(wanted.pidfile):
            asyncio.run(_run(wanted, found))
    except (CannotError, InvalidInputError):
        raise
    except AioschedError as error:
        print(f"aiosched: {printable(str(error))}", file=sys.stderr)
        return 1
    except Exception as error:
        logging.getLogger("aiosched").debug("failed", exc_info=error)
        said = printable(f"{type(error).__name__}: {error}")
        print(f"aiosched: {said}", file=sys.stderr)
        return 1
    return 0


async def _run(wanted: Wanted, found: object) -> None:
    stop = Stop()
    stop.listen()
    if wanted.target is None:
        scheduler = Scheduler(wanted.store)
        _add_plugins(scheduler)
    else:
        scheduler = await _built(wanted.target, found)
    _set(scheduler, wanted)
    if not await _reached(scheduler, stop, wait=wanted.wait):
        return
    begun = asyncio.get_running_loop().time()
    signs = Signs(scheduler, path=wanted.health_file)

    def ready() -> None:
        took = asyncio.get_running_loop().time() - begun
        name, space = scheduler.name, scheduler.namespace
        print(f"ready in {took:.3f} s: {name} in {space}", flush=True)
        signs.ready()

    try:
        await serve(
            scheduler,
            grace=wanted.grace,
            once=wanted.once,
            burst=wanted.burst,
            ready=ready,
            ending=signs.ending,
            stop=stop,
        )
    finally:
        await signs.close()


def _add_plugins(scheduler: Scheduler) -> None:
    """Register the executors that installed distributions bring."""
    for plugin in find_plugins(EXECUTORS):
        if plugin.problem is None:
            scheduler.register(plugin.found, name=plugin.name)
        else:
            log.warning("executor %s is broken: %s", plugin.name, plugin.problem)
    if not list(scheduler.registry):
        log.warning(
            "this peer has no executor: it looks after the store, and runs none"
        )


def _set(scheduler: Scheduler, wanted: Wanted) -> None:
    """Put what the command line says in place of what the code says."""
    if wanted.store is not None:
        scheduler.store = open_store(wanted.store)
    if wanted.namespace is not None:
        scheduler.namespace = namespace_of(wanted.namespace)
    if wanted.name is not None:
        scheduler.name = checks.text_id("name", wanted.name)
    if wanted.queues is not None:
        scheduler.queues = queues_of(wanted.queues)


async def _reached(scheduler: Scheduler, stop: Stop, *, wait: bool) -> bool:
    """See whether the store answers before anything is begun.

    A store that is away is told at once and in one line, or waited for.

    Returns:
        False: somebody asked to end before it did.

    Raises:
        StoreUnavailableError: It does not, and is not to be waited for.
    """
    clock, told = SystemClock(), False
    while True:
        try:
            async with asyncio.timeout(CONNECT):
                await _ping(scheduler)
        except TimeoutError:
            said = f"{scheduler.store!r} has not answered within {CONNECT:g} s"
            problem = StoreUnavailableError(said)
        except StoreUnavailableError as error:
            problem = error
        else:
            return True
        if not wait:
            raise problem from None
        if not told:
            log.warning("waiting for the store: %s", problem)
            told = True
        pause = asyncio.ensure_future(clock.sleep(AGAIN))
        try:
            await _first(pause, stop.asked)
        finally:
            pause.cancel()
        if stop.asked.is_set():
            return False


async def _ping(scheduler: Scheduler) -> None:
    redis = sys.modules.get("aiosched.stores.redis.store")
    if redis is None or not isinstance(scheduler.store, redis.RedisJobStore):
        return  # in memory, or a store of somebody's own
    from aiosched.stores.redis.failures import denied

    link = scheduler.store.link(scheduler.namespace)
    try:
        await link.ask_each(("PING",))
    except StoreError as error:
        # A wrong password is not mended by waiting.
        never = denied(error.__cause__ or error, link.place, str(error))
        if never is not None:
            raise never from error
        raise
    finally:
        await link.close()


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


# -- running it -------------------------------------------------------------------


class Stop:
    """The wish to end: once is a request, twice is an order."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asked: asyncio.Event = asyncio.Event()
        self.forced: asyncio.Event = asyncio.Event()

    def __call__(self) -> None:
        """Ask; on the loop's thread."""
        (self.forced if self.asked.is_set() else self.asked).set()

    def listen(self) -> None:
        """Take SIGINT and SIGTERM for asking."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self)
            except NotImplementedError:  # not on this platform's loop
                signal.signal(number, self._from_outside(loop))

    def _from_outside(
        self, loop: asyncio.AbstractEventLoop
    ) -> Callable[[int, FrameType | None], None]:
        def handler(_: int, __: FrameType | None) -> None:
            loop.call_soon_threadsafe(self)

        return handler


async def serve(
    scheduler: Scheduler,
    *,
    grace: float,
    once: bool = False,
    burst: bool = False,
    ready: Callable[[], None] | None = None,
    ending: Callable[[], None] | None = None,
    stop: Stop | None = None,
) -> None:
    """Run a scheduler until it is asked to end, or fails.

    Args:
        scheduler: Not started yet.
        grace: Seconds that runs have to end once it was asked.
        once: End as soon as it is ready.
        burst: Run what is due, and end when nothing more is.
        ready: Called when it has started.
        ending: Called when it begins to end.
        stop: Who asks; None: the signals of the process.

    Raises:
        Exception: What made the scheduler fail.
    """
    if stop is None:
        stop = Stop()
        stop.listen()
    if not await _started(scheduler, stop, held=burst):
        return
    if ready is not None:
        ready()
    forever = asyncio.ensure_future(scheduler.run_forever())
    if burst:
        await _burst(scheduler, stop)
    elif not once:
        await _first(forever, stop.asked)
    if ending is not None:
        ending()
    if not forever.done():
        await _end(scheduler, stop, grace)
    await forever


async def _burst(scheduler: Scheduler, stop: Stop) -> None:
    """Run what is due until nothing is, or somebody asks to end."""
    more = True
    while more and not stop.asked.is_set():
        pending = asyncio.ensure_future(scheduler.run_pending())
        await _first(pending, stop.asked)
        if not pending.done():
            pending.cancel()  # what it has begun goes on, for the grace
            await asyncio.wait([pending])
            return
        more = bool(pending.result())


async def _started(scheduler: Scheduler, stop: Stop, *, held: bool) -> bool:
    start = asyncio.ensure_future(scheduler.start(paused=held))
    await _first(start, stop.asked)
    if not start.done():
        start.cancel()  # start() closes what it had opened
        await asyncio.wait([start])
    if start.cancelled():
        return False
    start.result()
    return True


async def _end(scheduler: Scheduler, stop: Stop, grace: float) -> None:
    ending = asyncio.ensure_future(scheduler.shutdown(grace=grace))
    await _first(ending, stop.forced)
    if not ending.done():
        await scheduler.shutdown(force=True)
    await ending


async def _first(work: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Wait until the work is done or the event is set."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
