"""What a world is made of: its nodes, and the store that they share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from aiosched.abc import JobStore
from aiosched.records import Record

__all__ = ["Node", "Premises"]


@dataclass(eq=False)
class Node:
    """One simulated process.

    Attributes:
        name: Its name; what belongs to it may be called ``name/...``.
        boot: Brings it up: a coroutine function that is given the revision of
            its code; run as the node's first task, again after each crash.
        halt: Shuts it down politely; None: it is killed in its place.
        incarnation: How often it was brought up; 0: never.
        revision: Of the code that it runs when it is brought up next.
        down: Whether it is dead at present.
        gone: Whether it will never be back.
    """

    name: str
    boot: Callable[[int], Coroutine[Any, Any, object]]
    halt: Callable[[], Coroutine[Any, Any, object]] | None = None
    incarnation: int = 0
    revision: int = 0
    down: bool = True
    gone: bool = False


class Premises(Protocol):
    """The one store of a world, whichever it is."""

    def store_for(self, node: str) -> JobStore:
        """Return the store as a node reaches it."""
        ...

    def crashed(self, node: str) -> None:
        """Let the store find out that a node's connections have ended."""
        ...

    def disconnect(self) -> None:
        """End all connections, as a server does that goes down."""
        ...

    def snapshot(self) -> object:
        """Keep what the store holds."""
        ...

    def restore(self, kept: object | None) -> dict[str, Record]:
        """Go back to what was kept, None: to nothing; return what is there now."""
        ...
