"""What the rooms of the simulator share: named streams of chance, and a clock."""

from __future__ import annotations

import random
from typing import Final

from aiosched.clock import Clock, SystemClock

__all__ = ["CLOCK", "stream_of"]

CLOCK: Final[Clock] = SystemClock()
"""Follows the running loop, so that sleeping takes virtual time."""


def stream_of(seed: int, name: str) -> random.Random:
    """Return a new stream; equal for equal seeds and names, in every process."""
    return random.Random(f"{seed}/{name}")  # noqa: S311 - not for secrets
