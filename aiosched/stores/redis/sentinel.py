"""Redis Sentinel: which server is the master, as its watchers say.

They are asked before each connection is made, all at a time, and the answer is
checked with the server itself.  So a connection is always to a server that took
itself for the master when it was made; what it does later, it says itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from aiosched.stores.redis.connection import Wiring, pack
from aiosched.stores.redis.failures import FAILURES, SentinelError, unechoed
from aiosched.stores.redis.topology import Node, Topology
from aiosched.stores.redis.urls import Address

__all__ = ["Sentinels"]

_GRACE = 0.25
"""Seconds for which others may still contradict the sentinel that answered last."""
_DENIALS = ("NOAUTH", "NOPERM", "WRONGPASS")


class _Vote(NamedTuple):
    """What a sentinel says.

    Attributes:
        epoch: The number of the failover that it last heard of; 0: unknown.
        node: Where the master is.
    """

    epoch: int
    node: Node


_Answer = _Vote | None | Exception
"""None: it knows no master of this name; an error: why nothing was said."""


class Sentinels(Topology):
    """A master that may change, and those who know which one it is."""

    def __init__(self, address: Address) -> None:
        """Know nobody but the sentinels of the URL.

        Args:
            address: Whose sentinels, and the name of whose master.
        """
        super().__init__()
        self._sentinels = address.sentinels
        self._master = address.master
        self._asking = address.asking
        self._lock = asyncio.Lock()
        self._rounds = 0
        self._last: Node | SentinelError = SentinelError("no sentinel was asked yet")
        self._refused: Node | None = None
        self._losses = 0

    # -- what a connection is made to ------------------------------------------------

    async def where(self, wiring: Wiring, node: Node | None) -> dict[str, Any]:
        """Return host and port of the master; see the base.

        Whoever comes while the sentinels are being asked shares the answer.

        Raises:
            SentinelError: No sentinel knows.
        """
        del node
        before = self._rounds
        async with self._lock:
            if self._rounds == before:
                try:
                    self._last = await self._ask_all(wiring)
                except SentinelError as error:
                    self._last = error
                self._rounds += 1
            answer = self._last
        if isinstance(answer, SentinelError):
            raise answer
        return {"host": answer.host, "port": answer.port}

    async def approve(self, connection: AbstractConnection) -> None:
        """Ask the server itself; see the base.

        Raises:
            SentinelError: It does not take itself for the master.
            RedisError: It does not answer, or the user has no right to ask.
        """
        packet = pack([("ROLE",)])
        await connection.send_packed_command(packet, check_health=False)
        answer: Any = await connection.read_response()
        role = answer[0].decode()
        if role != "master":
            host, port = getattr(connection, "host", ""), getattr(connection, "port", 0)
            self._refused = Node(host, port)
            raise SentinelError(
                f"{self._refused} is named as the master {self._master!r} and is a "
                f"{role}"
            )
        self._refused = None
        self._losses = 0

    def failed(self, node: Node | None) -> None:
        """Make every connection anew: another server may be in charge by now."""
        del node
        self._renew()
        self._losses += 1

    def forgotten(self) -> None:
        """Make every connection anew.

        A master that was replaced takes writes until it hears of it.  Whoever is
        connected to both would find out at each beat.
        """
        self._renew()

    # -- asking ----------------------------------------------------------------------

    async def _ask_all(self, wiring: Wiring) -> Node:
        """Ask all sentinels; return what most of them say.

        One that was cut off from the others may name a former master for ever.
        """
        tasks = {
            asyncio.create_task(self._ask(wiring, one), name="aiosched-sentinel"): one
            for one in self._sentinels
        }
        votes: Counter[_Vote] = Counter()
        answers: dict[Node, _Answer] = {}
        pending = set(tasks)
        try:
            while pending:
                done, pending = await asyncio.wait(
                    pending,
                    timeout=_GRACE if votes else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    answer = answers[tasks[task]] = task.result()
                    if isinstance(answer, _Vote):
                        votes[answer] += 1
                if not done or max(votes.values(), default=0) * 2 > len(tasks):
                    break
        finally:
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending)
        if votes:
            return self._elected(votes)
        raise self._nobody(answers)

    def _elected(self, votes: Counter[_Vote]) -> Node:
        """Return the best: not a replica, of the last failover, reachable, of most.

        Sentinels learn of a new master one after the other.  One that is cut off
        from the others does not, and the master that it names may still take
        writes; so that another one is out of reach is no reason to believe it.
        """
        away = self._last if self._losses > 1 else None
        best = min(
            votes,
            key=lambda one: (
                one.node == self._refused,
                -one.epoch,
                one.node == away,
                -votes[one],
            ),
        )
        return best.node

    async def _ask(self, wiring: Wiring, sentinel: Node) -> _Answer:
        said: list[Any] = []
        packet = pack(
            [
                ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master),
                ("SENTINEL", "MASTER", self._master),
            ]
        )

        async def ask(connection: AbstractConnection) -> None:
            wiring.counters.commands += 2
            wiring.counters.round_trips += 1
            await connection.send_packed_command(packet, check_health=False)
            for _ in range(2):
                try:
                    said.append(await connection.read_response())
                except ResponseError as error:
                    unechoed(error)
                    said.append(error)

        place = {"host": sentinel.host, "port": sentinel.port}
        try:
            connection = await wiring.dial({**self._asking, **place}, ask)
        except FAILURES as error:
            return error
        with suppress(*FAILURES):
            await connection.disconnect(nowait=True)
        reply, facts = said
        if reply is None or isinstance(reply, Exception):
            return reply
        try:
            node = Node(reply[0].decode(), int(reply[1]))
        except (ValueError, TypeError, LookupError, AttributeError):
            return SentinelError(f"the answer {reply!r} is no address")
        return _Vote(_epoch(facts), node)

    def _nobody(self, answers: dict[Node, _Answer]) -> SentinelError:
        """Return why the master is not known, and the remedy where one is needed."""
        if all(answer is None for answer in answers.values()):
            return SentinelError(
                f"no sentinel watches a master named {self._master!r}",
                "name it as the sentinels' configuration does: "
                "redis+sentinel://host,host/name",
            )
        reasons = "; ".join(
            f"{node}: {_why(answer)}" for node, answer in sorted(answers.items())
        )
        problem = f"no sentinel says where the master {self._master!r} is ({reasons})"
        if any(_denied(one) for one in answers.values()):
            remedy = "correct sentinel_username and sentinel_password in the URL"
        elif any("unknown command" in str(one) for one in answers.values()):
            remedy = "name sentinels (port 26379), not the servers that they watch"
        else:
            remedy = ""
        return SentinelError(problem, remedy)


def _epoch(facts: object) -> int:
    """Read the number of the failover; some users have no right to ask for it."""
    if isinstance(facts, list):
        for name, value in zip(facts[::2], facts[1::2], strict=False):
            if name == b"config-epoch" and value.isdigit() and len(value) < 20:
                return int(value)
    return 0


def _why(answer: _Answer) -> str:
    if answer is None:
        return "knows no master of this name"
    if isinstance(answer, TimeoutError):
        return "did not answer in time"
    return str(answer)


def _denied(answer: _Answer) -> bool:
    if isinstance(answer, (AuthenticationError, NoPermissionError)):
        return True
    return isinstance(answer, ResponseError) and str(answer).startswith(_DENIALS)
