"""Running the slots of the past."""

from __future__ import annotations

from aiosched._api.base import Base

__all__ = ["Backfilling"]


class Backfilling(Base):
    """Running the slots of the past."""
