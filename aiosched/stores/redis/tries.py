"""How often a transaction is tried, and what stands in its way."""

from __future__ import annotations

from aiosched.errors import StoreConflictError
from aiosched.stores.redis.connection import LostError
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.unknown import Sent

__all__ = ["TRIES", "AheadError", "OvertakenError", "Tries", "UnknownError"]

TRIES = 16
_LOSSES = 3
_AT_ONCE = 2
"""Retries without a pause; one is the rule, more mean that many want the same."""


class OvertakenError(Exception):
    """Somebody else wrote what was read; the bytes are to be read again."""


class AheadError(Exception):
    """Something must be written elsewhere first, without a lane being kept."""


class UnknownError(Exception):
    """EXEC may have been executed."""

    def __init__(self, sent: Sent, cause: LostError) -> None:
        """Say what was sent, and why there is no reply."""
        super().__init__()
        self.sent = sent
        self.cause = cause


class Tries:
    """How often a transaction has been tried, and what stood in its way.

    Its methods are called while the reason is being handled, and raise it when
    that was enough.
    """

    def __init__(self, link: Link) -> None:
        """Count from now on."""
        self._link = link
        self._begun = link.clock.monotonic()
        self._losses = self._moves = 0
        self.overtaken: int = 0

    def _is_over(self) -> bool:
        spent = self._link.clock.monotonic() - self._begun
        return spent > self._link.wiring.exchange_timeout

    async def again_overtaken(self) -> None:
        """Wait a little if others want the same records again and again."""
        self.overtaken += 1
        if self.overtaken == TRIES:
            raise StoreConflictError("a transaction", TRIES) from None
        if self.overtaken > _AT_ONCE:
            await self._link.pause(self.overtaken)

    def again_unknown(self, unknown: UnknownError) -> None:
        """Try at once: it is known by now that nothing was written."""
        self._losses += 1
        if self._losses > _LOSSES:
            raise unknown.cause from None

    async def again_elsewhere(self) -> None:
        """Nothing was written; while a slot moves this lasts."""
        self._moves += 1
        if self._moves >= TRIES and self._is_over():
            raise
        if self._moves > _AT_ONCE:
            await self._link.pause(self._moves + 2)

    async def again_connected(self) -> None:
        """Nothing was written; a connection may be had again at once."""
        self._losses += 1
        if self._losses > _LOSSES or self._is_over():
            raise
        if self._losses > 1:
            await self._link.pause(self._losses + 3)
