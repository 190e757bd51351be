"""The floor of a drain: what aiosched writes, as plain pipelines.

The commands are those that were seen between MULTI and EXEC while aiosched queued
and drained as many jobs.  Here nothing is decided, encoded, read or watched; each
transaction is one pipeline, answered before the next, and each job is a task that
marks its start.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hiredis
from marks import mark
from protocol import Peer, address, forever, main, run

Pipeline = list[tuple[bytes, ...]]


class Wire(asyncio.Protocol):
    """A connection that sends commands and counts answers."""

    def __init__(self) -> None:
        """Begin without anything to wait for."""
        self.reader = hiredis.Reader()
        self.missing = 0
        self.answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse answers."""
        self.reader.feed(data)
        while (answer := self.reader.gets()) is not False:
            if isinstance(answer, hiredis.ReplyError):
                raise answer
            self.missing -= 1
        if self.missing == 0 and self.answered is not None:
            self.answered.set_result(None)
            self.answered = None

    async def send(self, pipeline: Pipeline) -> None:
        """Send commands in one write and wait for all answers."""
        self.missing = len(pipeline)
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(b"".join(map(hiredis.pack_command, pipeline)))
        await self.answered


async def noop(index: int) -> None:
    """Say that it ran."""
    mark(index)


class Writes(Peer):
    """What was recorded, written again."""

    packages = ("hiredis", "uvloop")

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Read the record."""
        super().__init__(url, settings)
        path = os.environ.get("BENCH_RECORD")
        self.record = json.loads(Path(path).read_text()) if path else {}

    async def _wire(self) -> Wire:
        host, port = address(self.url)
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(Wire, host, port)
        return wire

    async def open(self) -> None:
        """Connect."""
        self.wire = await self._wire()
        self.single = pipelines(self.record.get("single", ()))[:1]

    async def bulk(self, indices: Sequence[int]) -> None:
        """Write what aiosched wrote when it queued as many."""
        if len(indices) != self.record["jobs"]:
            raise ValueError("another number of jobs was recorded")
        for pipeline in pipelines(self.record["queued"]):
            await self.wire.send(pipeline)

    async def one(self, index: int) -> None:
        """Write what aiosched writes for one job, in a bare MULTI and EXEC."""
        [pipeline] = self.single
        await self.wire.send([(b"MULTI",), *pipeline, (b"EXEC",)])

    def work(self) -> None:
        """Write what aiosched wrote when it drained them."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        wire = await self._wire()
        jobs = self.record["jobs"]
        writes = pipelines(self.record["drained"])
        gc.collect()
        gc.freeze()
        tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        for indices, pipeline in zip(parts(jobs, len(writes)), writes, strict=True):
            for index in indices:
                task = loop.create_task(noop(index))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await wire.send(pipeline)
        await forever()


def parts(jobs: int, count: int) -> Iterator[range]:
    """Deal jobs out over so many pipelines."""
    for number in range(count):
        yield range(jobs * number // count, jobs * (number + 1) // count)


def pipelines(recorded: Sequence[Sequence[Sequence[str]]]) -> list[Pipeline]:
    """Return transactions as bytes."""
    return [
        [tuple(word.encode("latin-1") for word in command) for command in transaction]
        for transaction in recorded
    ]


if __name__ == "__main__":
    main(Writes)
