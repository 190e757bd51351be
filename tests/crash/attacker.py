"""One of several processes that share a few shards without any order among them.

``python -m tests.crash.attacker '{...}'``.  None of them owns anything, all look
at once at what is due, leases are short, runs are forgotten, closed late or by
somebody else.  Each writes down what it was told was committed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from redis.asyncio.connection import Connection

from aiosched import planning
from aiosched._engine.heartbeat import extension
from aiosched.abc import Session, shard_of
from aiosched.clock import random_id
from aiosched.enums import Outcome
from aiosched.errors import JobError, StoreConflictError
from aiosched.records import Change, Ended, Record, Start
from aiosched.stores.redis.store import RedisJobStore
from tests.crash.peer import Witness
from tests.stores.redis.wire import parse

__all__ = ["QUEUE", "SHARDS", "TERMS", "Attacker", "opened"]

QUEUE = "default"
SHARDS = 2
LEASE = 300_000
TERMS = {"shards": SHARDS, "lease": LEASE}


class Unwatched(Connection):
    """Sends everything but the WATCH, in whose place stands a harmless word."""

    async def send_packed_command(
        self,
        command: Any,
        check_health: Any = True,  # noqa: FBT002 - the driver's
    ) -> None:
        raw = command if isinstance(command, bytes) else b"".join(command)
        if b"\r\nWATCH\r\n" in raw:
            harmless = [[b"PING"] if w[0] == b"WATCH" else w for w in parse(raw)]
            raw = b"".join(_packed(words) for words in harmless)
        await super().send_packed_command(raw, check_health)


def _packed(words: list[bytes]) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


async def opened(url: str, namespace: str, *, watched: bool = True) -> Session:
    """Open a session, with or without the WATCH."""
    factory = None if watched else Unwatched
    return await RedisJobStore(url, connection_factory=factory).open(namespace, TERMS)


class Attacker:
    """Does at random what peers do in order."""

    def __init__(self, session: Session, chance: random.Random, write: Any) -> None:
        self.session = session
        self.chance = chance
        self.write = write
        self.me = random_id()
        self.held: list[Start] = []

    # -- what peers do -------------------------------------------------------

    async def attend(self, shard: int) -> None:
        """Claim what is due in a shard."""
        (head,) = await self.session.agenda([(shard, QUEUE)])
        now = self.session.estimate()
        due = [job_id for job_id, at in head.entries if at <= now]
        if not due:
            return
        changes = await self.session.transact(due, self._look, claim=True)
        for change in changes.values():
            for start in change.starts:
                firing = start.run.firing
                job_id = start.definition.id
                self.write("claim", job_id, firing.key, firing.attempt, start.run.fence)
                self.held.append(start)

    def _look(
        self, records: Mapping[str, Record | None], now: int
    ) -> dict[str, Change]:
        changes = {}
        for job_id, record in records.items():
            change: Change | None = Change(None, index_only=True)
            if record is not None:
                change = planning.attend(
                    record.definition, record.state, now, 3, self.me, LEASE
                )
            if change is None and record is not None:
                at = planning.instant(record.definition, record.state)
                change = Change(record, at, index_only=True)
            if change is not None:
                changes[job_id] = change
        return changes

    async def settle(self) -> None:
        """Close some of the held runs of one shard, and forget others."""
        if not self.held:
            return
        shard = shard_of(self.chance.choice(self.held).definition.id, SHARDS)
        chosen: dict[str, Start] = {}
        for start in list(self.held):
            if shard_of(start.definition.id, SHARDS) == shard:
                self.held.remove(start)
                if self.chance.random() < 0.9:  # else forgotten: its lease ends
                    chosen.setdefault(start.definition.id, start)
        if chosen:
            await self._settle(chosen)

    async def _settle(self, chosen: Mapping[str, Start]) -> None:
        failed = self.chance.random() < 0.3
        closed: dict[str, int] = {}

        def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
            closed.clear()
            changes = {}
            for job_id, record in records.items():
                outcome = Outcome.FAILED if failed else Outcome.SUCCEEDED
                ended = Ended(outcome, value=b"1", error=("E",))
                fence = chosen[job_id].run.fence
                change, fences = planning.settle_all(
                    record, self.me, [(fence, ended)], now
                )
                if change is not None and fences:
                    changes[job_id] = change
                    closed[job_id] = fence
            return changes

        await self.session.transact(list(chosen), decide)
        for job_id, fence in closed.items():
            self.write("closed", job_id, fence)

    async def extend(self) -> None:
        """Keep a held run for one more lease."""
        if self.held:
            start = self.chance.choice(self.held)
            fences = {start.definition.id: frozenset((start.run.fence,))}
            await self.session.transact(list(fences), extension(self.me, fences, LEASE))

    # -- what users do -------------------------------------------------------

    async def verb(self, ids: list[str]) -> None:
        """Do something to one job."""
        job_id = self.chance.choice(ids)
        key = random_id()
        verb: Callable[[Record, int], Change | None] = self.chance.choice(
            [
                lambda record, now: planning.start(record, now, key),
                lambda record, now: planning.pause(record, now),
                lambda record, now: planning.resume(record, now),
                lambda record, now: planning.stop(record, now),
                _noted(key),
            ]
        )

        def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
            record = records[job_id]
            change = verb(record, now) if record is not None else None
            return {} if change is None else {job_id: change}

        with suppress(JobError):
            await self.session.transact([job_id], decide)

    async def go_on(self, ids: list[str], seconds: float) -> None:
        """Attack for so long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            draw = self.chance.random()
            with suppress(StoreConflictError):
                if draw < 0.5:
                    await self.attend(self.chance.randrange(SHARDS))
                elif draw < 0.85:
                    await self.settle()
                elif draw < 0.93:
                    await self.extend()
                else:
                    await self.verb(ids)
            await asyncio.sleep(self.chance.uniform(0, 0.004))


def _noted(text: str) -> Callable[[Record, int], Change | None]:
    def modify(record: Record, now: int) -> Change | None:
        spec = replace(record.definition.spec, note=text)
        return planning.modify(replace(record.definition, spec=spec), record, now)

    return modify


async def main(config: dict[str, Any]) -> None:
    """Attack, once the file ``go`` is there."""
    write = Witness(config["witness"])
    session = await opened(
        config["url"], config["namespace"], watched=config["watched"]
    )
    attacker = Attacker(session, random.Random(config["seed"]), write)
    write("born", attacker.me)
    write("up")
    try:
        await attacker.go_on(config["ids"], config["seconds"])
    finally:
        await session.close()
    write("down")


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
