"""What a scheduler takes from elsewhere: from other schedulers, and from tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from aiosched._api.defining import Defining

__all__ = ["Providing"]


class Providing(Defining):
    """What comes from elsewhere: other schedulers' executors, tests' providers."""

    def include(self, other: Providing) -> None:
        """Take over the executors and declared jobs of another scheduler.

        For applications in parts: each registers and declares at a scheduler of its
        own, that is never started, and one takes in all.  Before the start.
        Including the same again changes nothing.

        Args:
            other: Whose; it stays as it is.

        Raises:
            ConfigurationError: A name or an id is taken by something else; what
                came before it has been taken over.
            SchedulerStateError: This scheduler has been started.
        """
        self._refuse_late()
        for one in other.registry:
            self.registry.register(
                one.target, name=one.name, aliases=one.aliases, queue=one.queue
            )
        for job in other._declared.values():
            self.declare(job)

    def override(
        self, provider: Callable[..., Any], by: Callable[..., Any]
    ) -> AbstractContextManager[None]:
        """Have another provider asked in place of one, within a ``with`` block.

        For tests, mostly.  It holds for the runs of this scheduler that begin in the
        block, also where the provider is needed by others; it may have dependencies
        of its own.  May be nested, and used before the start.

        Args:
            provider: What executors name in ``Depends``.
            by: What is asked instead.

        Raises:
            ConfigurationError: One of them cannot be a provider.
        """
        return self.registry.override(provider, by)
