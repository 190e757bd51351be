"""What a receiver has answered, so that a message sent twice is done once."""

from __future__ import annotations

import abc
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from aiosched.clock import Clock, SystemClock

__all__ = ["Begun", "MemoryReplies", "RedisReplies", "Replies", "Reply"]

KEPT = 86_400.0
"""Seconds for which an answer is remembered."""
HELD = 300.0
"""Seconds after which a message whose handler gave no answer may be handled again."""


class Reply(NamedTuple):
    """An answer: its status and its JSON text."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """Whether a message is to be handled now.

    Attributes:
        state: ``new``: it is; ``busy``: somebody does; ``done``: it was, and
            ``reply`` is the answer; ``other``: it was for another handler.
        reply: The answer that was given.
    """

    state: Literal["new", "busy", "done", "other"]
    reply: Reply | None = None


class Replies(abc.ABC):
    """Remembers messages by id.  All processes of a receiver have to share one."""

    @abc.abstractmethod
    async def begin(self, message: str, digest: str) -> Begun:
        """Take a message, unless somebody has.

        Args:
            message: Its id.
            digest: Of whom it is for.
        """

    @abc.abstractmethod
    async def end(self, message: str, digest: str, reply: Reply | None) -> None:
        """Remember the answer; None: there is none, and it may be handled again."""


class MemoryReplies(Replies):
    """Remembers in this process: enough where there is only one.

    Bounded: the oldest are forgotten first.
    """

    def __init__(
        self,
        *,
        limit: int = 100_000,
        kept: float = KEPT,
        held: float = HELD,
        clock: Clock | None = None,
    ) -> None:
        """Remember nothing yet.

        Args:
            limit: Messages, at most.
            kept: Seconds for which an answer is remembered.
            held: Seconds for which a handler may take its time.
            clock: For tests.
        """
        self._limit, self._kept, self._held = limit, kept, held
        self._clock = SystemClock() if clock is None else clock
        self._known: OrderedDict[str, tuple[str, Reply | None, float]] = OrderedDict()

    async def begin(self, message: str, digest: str) -> Begun:
        """Take a message, unless somebody has."""
        now = self._clock.monotonic()
        found = self._known.get(message)
        if found is not None and found[2] > now:
            known, reply, _ = found
            if known != digest:
                return Begun("other")
            return Begun("busy") if reply is None else Begun("done", reply)
        self._put(message, (digest, None, now + self._held))
        return Begun("new")

    async def end(self, message: str, digest: str, reply: Reply | None) -> None:
        """Remember the answer, or forget the message."""
        if reply is None:
            self._known.pop(message, None)
        else:
            self._put(message, (digest, reply, self._clock.monotonic() + self._kept))

    def _put(self, message: str, entry: tuple[str, Reply | None, float]) -> None:
        self._known[message] = entry
        self._known.move_to_end(message)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)


class RedisReplies(Replies):
    """Remembers on Redis or Valkey, for all processes of a receiver.

    One key a message, taken with ``SET NX``, which ends by itself.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = "aiosched:replies:",
        kept: float = KEPT,
        held: float = HELD,
    ) -> None:
        """Use a ``redis.asyncio.Redis``, which stays the caller's to close."""
        self._client = client
        self._prefix, self._kept, self._held = prefix, kept, held

    def _key(self, message: str) -> str:
        return self._prefix + hashlib.sha256(message.encode()).hexdigest()

    async def begin(self, message: str, digest: str) -> Begun:
        """Take a message, unless somebody has.

        Raises:
            redis.RedisError: The server does not answer.
        """
        key = self._key(message)
        for _ in range(3):
            mine = json.dumps([digest])
            if await self._client.set(key, mine, nx=True, px=int(self._held * 1000)):
                return Begun("new")
            text = await self._client.get(key)
            if text is None:
                continue  # it has just come to its end
            known, *rest = json.loads(text)
            if known != digest:
                return Begun("other")
            if not rest:
                return Begun("busy")
            return Begun("done", Reply(rest[0], rest[1].encode()))
        return Begun("busy")

    async def end(self, message: str, digest: str, reply: Reply | None) -> None:
        """Remember the answer, or forget the message.

        Raises:
            redis.RedisError: The server does not answer; the message is held
                until its time is over.
        """
        key = self._key(message)
        if reply is None:
            await self._client.delete(key)
            return
        text = json.dumps([digest, reply.status, reply.body.decode()])
        await self._client.set(key, text, px=int(self._kept * 1000))
