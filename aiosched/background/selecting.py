"""A selector that a forked child can let go of without hurting its parent.

What a selector watches may live in the kernel (epoll, kqueue) and is shared by
parent and child: a child that unregisters anything there, as the clean-up of an
inherited connection does, makes the parent deaf on it.
"""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import IO, Any

__all__ = ["LeavableSelector"]

FileLike = int | IO[Any] | Any
Ready = list[tuple[selectors.SelectorKey, int]]


class LeavableSelector(selectors.BaseSelector):
    """The platform's best selector, until it is left."""

    def __init__(self) -> None:
        """Watch nothing."""
        self._inner: selectors.BaseSelector = selectors.DefaultSelector()

    def leave(self) -> None:
        """Watch nothing from now on, and leave the parent's as it is.

        For a forked child: closes its copy of what the kernel keeps.
        """
        inherited, self._inner = self._inner, selectors.SelectSelector()
        inherited.close()

    def register(
        self, fileobj: FileLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Watch a file."""
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: FileLike) -> selectors.SelectorKey:
        """Watch it no more."""
        return self._inner.unregister(fileobj)

    def modify(
        self, fileobj: FileLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Watch it for something else."""
        return self._inner.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> Ready:
        """Wait for what is watched."""
        return self._inner.select(timeout)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is watched."""
        return self._inner.get_map()

    def close(self) -> None:
        """Give everything back."""
        self._inner.close()
