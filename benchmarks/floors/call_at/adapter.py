"""The floor of lateness: the timer of the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from inmemory import Starts
from protocol import Peer, main


class CallAt(Peer):
    """A call for each instant."""

    packages = ("uvloop",)

    async def memory_lateness(self, offsets: Sequence[float]) -> dict[str, Any]:
        """Call at instants, and say how late each call was."""
        starts = Starts(len(offsets))
        loop = asyncio.get_running_loop()
        begin, tick = time.time() + 0.5, loop.time() + 0.5
        for index, offset in enumerate(offsets):
            loop.call_at(tick + offset, starts.begin, index)
        await starts.all()
        return {"late_ms": starts.late_ms([begin + offset for offset in offsets])}


if __name__ == "__main__":
    main(CallAt)
