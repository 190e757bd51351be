"""Why something ran, ran late, or did not run."""

from __future__ import annotations

from aiosched._api.base import Base

__all__ = ["Explaining"]


class Explaining(Base):
    """Why something ran, ran late, or did not run."""
