"""Guarded names: one key each, that exists as long as the name is held.

    → WATCH g ; GET g ; PTTL g ; TIME ; MULTI
    → SET g <token>|<fence>|<owner> PX <ttl> NX ; EXEC        to take
      PEXPIRE g <ttl> ; EXEC                                  to extend
      DEL g ; EXEC                                            to release

The key is written with its end in one command, so there is no instant at which it
has none.  Who is refused writes nothing: the transaction is left open, and given up
by the next packet of that lane.

An EXEC without a reply is found out by taking the same step once more.  The new
transaction watches the key after the old one did.  If the old one has been executed,
the key says so, by the token.  If it has not, it never will be where the new one
writes the key, or finds it written by somebody else: then what the old one watched
has changed.  And where the key neither names the token nor is to be written, which is
after a release, an old EXEC could only delete what is not there.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from aiosched.abc import Guarded, GuardStep, shard_of
from aiosched.errors import StoreDataError, StoreError
from aiosched.instants import SECOND
from aiosched.rows import escape, unescape
from aiosched.stores.guards import Asked
from aiosched.stores.redis.connection import (
    Command,
    Lane,
    LostError,
    MisplacedError,
    Rank,
)
from aiosched.stores.redis.failures import refusal
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.timing import instant_of
from aiosched.stores.redis.tries import OvertakenError, Tries

__all__ = ["guard", "readable_guard"]

_MILLI = 1_000
_ENDLESS = -1
"""What PTTL says of a key that has no end."""
_BRIEF = 60 * SECOND
_LONGEST_FENCE = 19


async def guard(link: Link, asked: Asked) -> Guarded:
    """Do what :meth:`aiosched.abc.Session.guard` promises."""
    step = _Step(link, asked)
    try:
        return await step.insist()
    except StoreError as error:
        error.unwritten = not step.doubtful
        raise


class _Step:
    """One step, tried as often as need be.

    Attributes:
        doubtful: Whether it may have been carried out.
    """

    def __init__(self, link: Link, asked: Asked) -> None:
        self._link = link
        self._asked = asked
        self._shard = shard_of(asked.name, link.terms.shards)
        self._key = link.keys.guard(self._shard, asked.name)
        self.doubtful = False

    async def insist(self) -> Guarded:
        link, tries = self._link, Tries(self._link)
        # What is held already goes before what is to be held.
        take = self._asked.step is GuardStep.TAKE
        rank = Rank.USUAL if take else Rank.URGENT
        while True:
            try:
                async with link.transactions.take(
                    link.keys.tags[self._shard], rank
                ) as lane:
                    return await self._once(lane)
            except OvertakenError:
                await tries.again_overtaken()
            except MisplacedError:
                await tries.again_elsewhere()
            except LostError:
                await tries.again_connected()

    async def _once(self, lane: Lane) -> Guarded:
        """Try once.

        Raises:
            OvertakenError: Nothing was written.
            LostError: It may have been written if it is ``doubtful``.
        """
        link, key = self._link, self._key
        raw, left, time = await link.watch(
            lane, [key], ("GET", key), ("PTTL", key), ("TIME",)
        )
        held = _held(key, raw, left)
        after = self._asked.after(held, instant_of(time))
        endless = raw is not None and left == _ENDLESS
        if after is held and not endless:
            # Whatever became of an EXEC before: this is what it is like now.
            self.doubtful = False
            return held
        try:
            replies = await lane.commit([self._command(after, held)])
        except MisplacedError:
            raise  # nothing was written
        except BaseException:
            self.doubtful = True
            raise
        if self._carried_out(replies):
            return after
        self.doubtful = False
        link.counters.aborts += 1
        raise OvertakenError

    def _command(self, after: Guarded, held: Guarded) -> Command:
        """Return what writes who holds the name from now on."""
        key = self._key
        span = -(-(after.left or self._asked.ttl or _BRIEF) // _MILLI)
        if not after.claim:
            return ("DEL", key)
        if not held.claim:
            text = f"{escape(after.claim)}|{after.fence}|{after.owner}"
            return ("SET", key, text, "PX", span, "NX")
        # Also where somebody's hand has taken the end away: nothing is held for ever.
        return ("PEXPIRE", key, span)

    def _carried_out(self, replies: list[Any]) -> bool:
        """Return whether EXEC has done what it was to do.

        Raises:
            StoreError: The server refuses it; nothing was written.
        """
        result = replies[-1]
        for reply in (*replies, *(result if isinstance(result, list) else ())):
            if isinstance(reply, ResponseError):
                raise refusal(reply, self._link.place, self._key) from reply
        # An end that came between the look and the EXEC: PEXPIRE finds nothing.
        # To find nothing to release is as good.
        return isinstance(result, list) and (
            result[0] not in (0, None) or self._asked.step is GuardStep.RELEASE
        )


def _held(key: str, raw: bytes | None, left: int) -> Guarded:
    """Read who holds a name.

    Raises:
        StoreDataError: What stands there is no claim.
    """
    if raw is None:
        return Guarded()
    token, owner, fence = readable_guard(key, raw)
    return Guarded(token, owner, fence, max(left, 0) * _MILLI)


def readable_guard(key: str, raw: bytes) -> tuple[str, str, int]:
    """Return token, owner and fence of a claim.

    Raises:
        StoreDataError: It is none.
    """
    try:
        token, fence, owner = raw.decode().split("|", 2)
    except ValueError:  # of the encoding, too
        token = fence = owner = ""
    digits = fence.isascii() and fence.isdecimal() and len(fence) <= _LONGEST_FENCE
    if not token or not digits:
        raise StoreDataError(key, f"{raw[:40]!r} is no claim to a guarded name")
    return unescape(token), owner, int(fence)
