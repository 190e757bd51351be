"""What tests put in place of providers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from aiosched._api.base import Base

__all__ = ["Providing"]


class Providing(Base):
    """The providers of this scheduler's executors."""

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
