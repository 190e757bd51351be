"""The life of ``aiosched run`` beside its scheduler: store, burst, signs of life."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any, Protocol

from aiosched._api.options import namespace_of, queues_of
from aiosched.cli.place import CONNECT
from aiosched.cli.signs import Signs
from aiosched.clock import SystemClock
from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.jobs import checks
from aiosched.logs import log
from aiosched.scheduler import Scheduler
from aiosched.stores import open_store
from aiosched.triggers.plugins import EXECUTORS, find_plugins

__all__ = ["Life", "Living", "Wish", "of_plugins"]

AGAIN = 1.0
"""Seconds between two looks at a store that is waited for."""
_GLANCE = 0.05
"""Seconds between two looks at whether the runs of a burst have ended."""


@dataclass(frozen=True, slots=True)
class Life:
    """What the command line says of a peer, in place of what the code says.

    Attributes:
        store: URL; needed where nothing else says what is to be run.
        namespace: Of its jobs.
        name: What people call it.
        queues: Run only jobs of these.
        app_dir: Where modules are looked for first; None: the current folder.
        burst: Run what is due, and end when nothing more is.
        wait: For a store that does not answer.
        pidfile: Path of a file that holds the process's id.
        health_file: Path of a file that says how it is.
    """

    store: str | None = None
    namespace: str | None = None
    name: str | None = None
    queues: tuple[str, ...] | None = None
    app_dir: str | None = None
    burst: bool = False
    wait: bool = False
    pidfile: str | None = None
    health_file: str | None = None


class Wish(Protocol):
    """The wish to end; calling it is to wish.

    Attributes:
        asked: Set when somebody has.
    """

    asked: asyncio.Event

    def __call__(self) -> None:
        """Ask; on the loop's thread."""
        ...


def of_plugins(store: str | None) -> Scheduler:
    """Return a scheduler with the executors that installed distributions bring."""
    scheduler = Scheduler(store)
    for plugin in find_plugins(EXECUTORS):
        if plugin.problem is None:
            scheduler.register(plugin.found, name=plugin.name)
        else:
            log.warning(
                "executor %s is broken: %s",
                plugin.name,
                plugin.problem,
                extra={"action": "plugin_broken"},
            )
    if not list(scheduler.registry):
        log.warning(
            "this peer has no executor: it looks after the store, and runs no job",
            extra={"action": "no_executor"},
        )
    return scheduler


class Living:
    """A scheduler from the first look at its store to the last sign of life."""

    def __init__(self, scheduler: Scheduler, life: Life, stop: Wish) -> None:
        """Put what the command line says in place of what the code says.

        Args:
            scheduler: Not started yet.
            life: What the command line says.
            stop: Who asks for the end.

        Raises:
            ConfigurationError: Something that cannot be used.
            CannotError: The folder of the health file is not there.
        """
        if life.store is not None:
            scheduler.store = open_store(life.store)
        if life.namespace is not None:
            scheduler.namespace = namespace_of(life.namespace)
        if life.name is not None:
            scheduler.name = checks.text_id("name", life.name)
        if life.queues is not None:
            scheduler.queues = queues_of(life.queues)
        self._scheduler = scheduler
        self._life = life
        self._stop = stop
        self._signs = Signs(scheduler, path=life.health_file)
        self._clock = SystemClock()
        self._tasks: list[asyncio.Task[None]] = []

    async def reached(self) -> bool:
        """See whether the store answers before anything is begun.

        A store that is away is told at once and in one line, or waited for.

        Returns:
            False: somebody asked to end before it did.

        Raises:
            StoreUnavailableError: It does not, and is not to be waited for.
            ConfigurationError: It refuses, and waiting does not help.
        """
        told = False
        while True:
            try:
                async with asyncio.timeout(CONNECT):
                    await self._ping()
            except TimeoutError:
                store = self._scheduler.store
                said = f"{store!r} has not answered within {CONNECT:g} s"
                problem = StoreUnavailableError(said)
            except StoreUnavailableError as error:
                problem = error
            else:
                return True
            if not self._life.wait:
                raise problem from None
            if not told:
                log.warning(
                    "waiting for the store: %s",
                    problem,
                    extra={"action": "store_awaited"},
                )
                told = True
            await self._pause(AGAIN)
            if self._stop.asked.is_set():
                return False

    async def _ping(self) -> None:
        redis = sys.modules.get("aiosched.stores.redis.store")
        store: Any = self._scheduler.store
        if redis is None or not isinstance(store, redis.RedisJobStore):
            return  # in memory, or a store of somebody's own
        from aiosched.stores.redis.failures import denied

        link = store.link(self._scheduler.namespace)
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

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless somebody asks to end."""
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        asked = asyncio.ensure_future(self._stop.asked.wait())
        try:
            await asyncio.wait((sleep, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            asked.cancel()

    def ready(self) -> None:
        """Give signs of life, and begin the burst; called when it has started."""
        self._signs.ready()
        works = [self._tell_the_end()]
        if self._life.burst:
            works.append(self._burst())
        loop = asyncio.get_running_loop()
        self._tasks += [loop.create_task(one, name="aiosched life") for one in works]

    async def _tell_the_end(self) -> None:
        await self._stop.asked.wait()
        self._signs.ending()

    async def _burst(self) -> None:
        """Run what is due until nothing is, then ask to end."""
        try:
            await self._scheduler.hold()
            more = True
            while more and not self._stop.asked.is_set():
                more = bool(await self._scheduler.run_pending())
                while self._scheduler.health().running:
                    # Begun before it was held; what they schedule belongs to it.
                    more = True
                    await self._pause(_GLANCE)
                    if self._stop.asked.is_set():
                        return
        finally:
            if not self._stop.asked.is_set():
                self._stop()

    async def close(self) -> None:
        """Give no more signs of life, and leave no file.

        Raises:
            Exception: What went wrong with a burst.
        """
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._signs.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end
