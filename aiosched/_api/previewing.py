"""What is to come: fire times before they are."""

from __future__ import annotations

from aiosched._api.base import Base

__all__ = ["Previewing"]


class Previewing(Base):
    """What is to come: fire times before they are."""
