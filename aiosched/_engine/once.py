"""What is due now, once: how a peer that is held runs jobs when it is asked to.

It reads the agendas by itself, because a peer that is held looks after none,
and claims like any other: the transaction decides whether once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from aiosched._engine.attender import Attender
from aiosched._engine.heads import Due, Key
from aiosched._engine.live import Live
from aiosched._engine.membership import Membership
from aiosched.abc import MAX_BATCH, Session
from aiosched.errors import StoreUnavailableError
from aiosched.jobs import Run

__all__ = ["Once", "due_entries"]

_GROWTH = 8
"""An agenda whose first entries are all due is read so much further."""


async def due_entries(session: Session, keys: Iterable[Key], until: int) -> list[Due]:
    """Return every entry of some agendas that stands at or before an instant.

    Raises:
        StoreUnavailableError: The store did not answer.
    """
    left, limit = list(keys), MAX_BATCH
    found: list[Due] = []
    while left:
        more: list[Key] = []
        for head in await session.agenda(left, limit=limit):
            key = head.shard, head.queue
            near = [Due(key, job_id, at) for job_id, at in head.entries if at <= until]
            if len(near) == len(head.entries) and not head.complete:
                more.append(key)
            else:
                found += near
        left, limit = more, limit * _GROWTH
    return sorted(found, key=lambda due: due.at)


class Once:
    """Runs what is due at the instant of the call, and what waits behind it.

    Attributes:
        runs: The attempts that have ended and whose end was recorded.
        stopped: Set it to begin nothing more.
    """

    def __init__(
        self, session: Session, membership: Membership, attender: Attender
    ) -> None:
        self.session = session
        self.membership = membership
        self.attender = attender
        self.runs: list[Run] = []
        self.stopped = False

    async def run(self) -> None:
        """Look, run, wait, and look again until a look starts nothing.

        What comes due after the first look is left alone, so that a job whose
        slots come faster than they are run does not keep it for ever.

        Raises:
            StoreUnavailableError: The store did not answer; what was started
                until then goes on.
        """
        if self.membership.lapsed():
            await self.membership.beat()
        until = await self.session.now()
        while self.attender.accepting and not self.stopped:
            begun, starved = await self._look(until)
            if begun:
                await asyncio.wait([live.settled() for live in begun])
            elif starved and self.attender.runner.live:
                # What it had before it was held, or what somebody else asked for.
                others = [live.settled() for live in self.attender.runner.live]
                await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            else:
                return

    async def _look(self, until: int) -> tuple[list[Live], bool]:
        """Attend what is due.

        Returns:
            The runs that have begun, and whether there was no place for others.
        """
        begun: list[Live] = []
        shards: dict[int, dict[str, Due]] = {}
        for due in await due_entries(self.session, self._keys(), until):
            if not self.attender.mine(due):
                shards.setdefault(due.key[0], {})[due.job_id] = due
        for _, entries in sorted(shards.items()):
            batch = list(entries.values())
            for first in range(0, len(batch), MAX_BATCH):
                if self.attender.places() <= 0 or self.stopped:
                    return begun, True
                await self._attend(batch[first : first + MAX_BATCH], begun)
        return begun, False

    def _keys(self) -> list[Key]:
        serves = self.membership.describe().queues
        return [
            (shard, queue)
            for queue in self.membership.queues
            if serves is None or queue in serves
            for shard in range(self.session.terms.shards)
        ]

    async def _attend(self, batch: Sequence[Due], begun: list[Live]) -> None:
        places = min(self.attender.places(), len(batch))
        self.attender.reserve(places)

        def note(live: Live) -> None:
            begun.append(live)
            live.settled().add_done_callback(self._ended)

        try:
            if not await self.attender.attend(batch, capacity=places, begun=note):
                message = "the store did not say what is due; call again"
                raise StoreUnavailableError(message)
        finally:
            self.attender.release(places)

    def _ended(self, settled: asyncio.Future[Run | None]) -> None:
        run = None if settled.cancelled() else settled.result()
        if run is not None:
            self.runs.append(run)
