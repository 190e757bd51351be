"""Where the jobs are, and a connection to it for one command."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiosched.cli.codes import CannotError
from aiosched.cli.words import NAMESPACE_ENV, STORE_ENV
from aiosched.errors import StoreUnavailableError
from aiosched.jobs.checks import MAX_NAME
from aiosched.scheduler import Scheduler
from aiosched.stores import masked

__all__ = ["CONNECT", "Place", "client", "place_of", "who", "work"]

CONNECT = 5.0
"""Seconds within which the store has answered, or is taken to be away."""
T = TypeVar("T")


class Place:
    """A namespace of a store.

    Attributes:
        store: URL; never shown but masked.
        namespace: Of the jobs.
    """

    __slots__ = ("namespace", "store")

    def __init__(self, store: str, namespace: str) -> None:
        """Name it."""
        self.store: str = store
        self.namespace: str = namespace


def place_of(words: argparse.Namespace) -> Place:
    """Return where the words, and else the environment, say that the jobs are.

    Raises:
        CannotError: They do not, or it is a memory of another process.
    """
    store = words.store or os.environ.get(STORE_ENV)
    if not store:
        raise CannotError(
            f"no store is named; write --store redis://HOST:6379/0, or set {STORE_ENV}"
        )
    if store.partition(":")[0] == "memory":
        raise CannotError("a memory store can only be seen by its own process")
    return Place(store, words.namespace or os.environ.get(NAMESPACE_ENV) or "aiosched")


def who() -> str:
    """Return the login name of who asks, for the ledger."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may know nobody
        return "cli"
    return name[:MAX_NAME] if name.isprintable() and name.strip() else "cli"


@asynccontextmanager
async def client(
    place: Place,
) -> AsyncIterator[Scheduler]:
    """Open a client of a namespace for a block.

    Raises:
        ConfigurationError: The store cannot be used as it is named.
        StoreUnavailableError: It does not answer.
    """
    scheduler = Scheduler(
        place.store, namespace=place.namespace, name="cli", run_jobs=False
    )
    try:
        try:
            async with asyncio.timeout(CONNECT):
                await scheduler.start()
        except TimeoutError:
            message = f"{masked(place.store)} has not answered within {CONNECT:g} s"
            raise StoreUnavailableError(message) from None
        yield scheduler
    finally:
        await scheduler.shutdown(force=True)


def work(place: Place, deed: Callable[[Scheduler], Coroutine[Any, Any, T]]) -> T:
    """Do something with a client, from outside any loop."""

    async def done() -> T:
        async with client(place) as scheduler:
            return await deed(scheduler)

    return asyncio.run(done())
