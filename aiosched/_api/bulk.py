"""The verbs that act on many jobs at once: by tag, or all of them."""

from __future__ import annotations

from aiosched._api.base import Base

__all__ = ["Bulk"]


class Bulk(Base):
    """The verbs that act on many jobs at once: by tag, or all of them."""
