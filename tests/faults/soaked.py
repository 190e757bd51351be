"""A peer of the soak: its runs write nothing down, so that nothing but it grows."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiosched import Context, Scheduler
from tests.crash import peer as crash


def build(config: dict[str, Any]) -> Scheduler:
    """Return the scheduler that a configuration describes."""
    scheduler = crash.build(config)

    @scheduler.executor
    async def weigh(data: str, number: int) -> int:
        return len(data) + number

    @scheduler.executor
    async def stumble(context: Context) -> None:
        if context.attempt == 1:
            raise RuntimeError("as it should")

    return scheduler


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(crash.serve(build(given), given))
