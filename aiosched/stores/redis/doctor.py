"""Examining and mending a namespace from outside, beside its peers or alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiosched.errors import StoreDataError
from aiosched.stores.damage import Damage, Level
from aiosched.stores.redis.connection import plainly
from aiosched.stores.redis.examine import Examination, ident
from aiosched.stores.redis.facts import gather
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.repair import Repairs
from aiosched.stores.redis.store import RedisJobStore

__all__ = ["Doctor", "doctor"]

_ROUNDS = 8
"""Looks at most; one repair lets others be seen, such as the entries of a record
that was put aside."""


class Doctor:
    """One namespace, seen from outside.

    Nothing is written but by :meth:`fix`; the namespace need not exist.
    """

    def __init__(self, link: Link, wall: Callable[[], int]) -> None:
        """Look through a link that has agreed on nothing.

        Args:
            link: Connections and key names.
            wall: Tells the host's instant.
        """
        self._link = link
        self._wall = wall

    @plainly
    async def examine(self) -> list[Damage]:
        """Return everything that is wrong, or worth a word.

        Raises:
            ConfigurationError: A later version wrote the namespace.
            StoreUnavailableError: Calling again is safe.
            StoreError: The store refuses to be read.
        """
        return await self._found(await self._fresh())

    @plainly
    async def fix(self, *, allowed: bool) -> tuple[list[Damage], list[Damage]]:
        """Mend what can be mended, until a look finds nothing more to mend.

        Safe beside peers that work, and to call again.

        Args:
            allowed: Whether what nobody can read may be put into quarantine:
                renamed or copied, never deleted.

        Returns:
            What was mended, and what is left.

        Raises:
            ConfigurationError: A later version wrote the namespace.
            StoreUnavailableError: Calling again is safe.
            StoreError: The store refuses to be read.
        """
        mended: dict[object, Damage] = {}
        for _ in range(_ROUNDS):
            examination = await self._fresh()
            found = await self._found(examination)
            repairs = Repairs(examination, allowed=allowed)
            progress = False
            for one in found:
                try:
                    done = await repairs.mend(one)
                except StoreDataError:
                    continue  # another key is in the way; it has its own finding
                if done:
                    progress = True
                    mended[ident(one)] = one
            if not progress:
                return list(mended.values()), found
        return list(mended.values()), await self._found(await self._fresh())

    async def _fresh(self) -> Examination:
        return Examination(self._link, await gather(self._link, self._wall()))

    async def _found(self, examination: Examination) -> list[Damage]:
        levels = list(Level)
        found = [one async for one in examination.run()]
        return sorted(
            found, key=lambda one: (levels.index(one.level), one.kind, one.key)
        )


@asynccontextmanager
async def doctor(
    store: RedisJobStore, namespace: str, wall: Callable[[], int]
) -> AsyncIterator[Doctor]:
    """Look at one namespace of a store for the length of a block.

    Args:
        store: Where it is.
        namespace: Which; it need not exist.
        wall: Tells the host's instant, in microseconds.

    Raises:
        ConfigurationError: The namespace cannot be part of a key.
        StoreError: Closing failed.
    """
    link = store.link(namespace)
    try:
        yield Doctor(link, wall)
    finally:
        await link.close()
