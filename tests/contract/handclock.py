"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import asyncio

__all__ = ["HandClock"]


class HandClock:
    """Wall and monotonic clock, each moved by hand; sleeping takes no time."""

    def __init__(self, wall: int = 1_800_000_000_000_000) -> None:
        self.seconds = 1_000.0
        self.wall_now = wall
        self.pauses = 0

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall_now += round(seconds * 1_000_000)

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> int:
        return self.wall_now

    async def sleep(self, seconds: float) -> None:
        self.pauses += 1
        await asyncio.sleep(0)
