"""Guards that belong to no run."""

from __future__ import annotations

from datetime import timedelta

from aiosched._api.base import Base
from aiosched.guard import DEFAULT_TTL, Guard, GuardDesk

__all__ = ["Guarding"]


class Guarding(Base):
    """Short named claims for code around the scheduler."""

    def guard(
        self,
        name: str,
        *,
        ttl: timedelta | float = DEFAULT_TTL,
        linger: bool = False,
    ) -> Guard:
        """Return a guard of a name, which is not taken yet.

        It is the same name that runs guard with ``context.guard``, on every peer of
        the namespace.  Asks nothing of the store; clients have guards, too.

        Args:
            name: What is guarded, 1 to 200 printable characters.
            ttl: For how long the name outlives a holder that dies, and for how long
                it lingers: 0.1 seconds to 30 days, as a timedelta or seconds.
            linger: Whether it stays taken for its ``ttl`` though the body has ended.

        Returns:
            To be used in ``async with``, or by :meth:`~aiosched.Guard.acquire`.

        Raises:
            ConfigurationError: A name or time that cannot be used.
        """
        return Guard(self._guard_desk, name, ttl=ttl, linger=linger)

    def _guard_desk(self) -> GuardDesk:
        return self._running_engine().guards
