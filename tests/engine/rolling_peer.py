"""A peer as a process, of whichever version its path finds; for test_rolling.py.

Usage: rolling_peer.py URL NAMESPACE NAME WITNESS [new]
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Literal

from aiosched import Context, Event, IntervalTrigger, Job, Scheduler
from aiosched.triggers.base import Trigger

JOBS = 4
PLAIN = 16
"""So many of the first kind that no peer is the owner of all of them."""
KINDS = ("plain", "later", "field", "kind")
"""Jobs that every version reads; of a later schema; whose spec has an unknown
field; and with a trigger that is not installed everywhere."""


def make_trigger() -> Trigger:
    """Return a trigger of a kind that only this process knows."""

    class Rolling(IntervalTrigger):
        kind: Literal["rolling-deploy"] = "rolling-deploy"  # type: ignore[assignment]

    return Rolling(milliseconds=500)


async def main(url: str, namespace: str, name: str, witness: str, *more: str) -> None:
    path = Path(witness)

    def write(*words: Any) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(words) + "\n")

    terms = {"beat": 0.5, "member_timeout": 2.0, "shards": 64}
    scheduler = Scheduler(url, namespace=namespace, name=name, lease=2.0, terms=terms)

    @scheduler.executor
    async def work(context: Context) -> None:
        write("run", context.job_id, context.run_id.split("/")[1], context.attempt)

    def note(event: Event) -> None:
        if event.name in {"unreadable", "service_failed", "unclaimable", "missed"}:
            said = {key: str(value) for key, value in event.data.items()}
            write(event.name, event.job_id, said)

    scheduler.on("*", note)
    every = IntervalTrigger(milliseconds=500)
    own = make_trigger() if more else every  # before anybody reads of it
    async with scheduler:
        if more:
            for kind in KINDS:
                number = {"plain": PLAIN, "kind": 1}.get(kind, JOBS)
                for n in range(number):
                    trigger = own if kind == "kind" else every
                    tags = [kind] if kind != "plain" else []
                    job = Job("work", id=f"{kind}{n}", trigger=trigger, tags=tags)
                    await scheduler.schedule(job)
        write("ready", name, {"version": more[0] if more else "old"})
        while await asyncio.to_thread(sys.stdin.readline):
            write("health", name, {"ok": scheduler.health().ok})
    write("ended", name, {})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
