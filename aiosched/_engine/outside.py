"""What the engine asks of those who build it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiosched._engine.observing import Contained
from aiosched.abc import Session
from aiosched.clock import IdSource, random_id
from aiosched.registry import Registered

__all__ = ["Outside"]


@dataclass(frozen=True, slots=True)
class Outside:
    """What the engine is given from outside, beside session and clock.

    Attributes:
        resolve: Executor by name; None: not registered here.
        executors: Names that are registered here, sorted.
        restored: Puts back what the code declares, after the store's data set
            has become another one; awaited again if it fails.
        advertise: Tells the store's catalogue what is registered here.
        connect: Opens a further session from another thread; None: the store
            cannot be reached from other threads.
        unreadable: Told of what is in the store and cannot be read: where it
            lies, and what is wrong with it.  Says so once.
        ids: Draws the tokens of guards.
        observed: Who watches; None: nobody.
    """

    resolve: Callable[[str], Registered | None]
    executors: Callable[[], tuple[str, ...]]
    restored: Callable[[], Awaitable[None]]
    advertise: Callable[[], Awaitable[None]]
    connect: Callable[[], Awaitable[Session]] | None
    unreadable: Callable[[str, str], None]
    ids: IdSource = random_id
    observed: Contained | None = None
