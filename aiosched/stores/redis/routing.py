"""Reading packets of a cluster: each command goes to the node of its key.

Commands of several keys are cut up by slot and their answers put together, so
that whoever asks need not know how many servers there are.  While a slot moves,
its keys are found on both sides: reading goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import AskError, MovedError, TryAgainError

from aiosched.stores.redis.cluster import REDIRECTS, Cluster, slot_of, target_of
from aiosched.stores.redis.connection import Command, LostError
from aiosched.stores.redis.topology import Node

if TYPE_CHECKING:
    from aiosched.stores.redis.link import Link

__all__ = ["ask_cluster", "ask_everywhere"]

_QUICK = 1.0
_PATIENCE = 2.0
"""Seconds for which redirections are followed."""
_KEYLESS = {"COMMAND", "CONFIG", "INFO", "PING", "PUBLISH", "TIME"}
_SECOND = {"MEMORY", "OBJECT", "ZDIFF", "ZINTER", "ZUNION"}
"""Commands with a word before the first key."""
_COUNTED = {"DEL", "EXISTS", "TOUCH", "UNLINK"}
"""Commands of many keys that answer with a number."""


@dataclass(slots=True)
class _Part:
    """A command, or a part of one, that one node can answer.

    Attributes:
        place: Of the command in the packet.
        words: What is sent.
        slot: Of all its keys.
        positions: Of its keys among those of the command, if it is cut up.
        node: Who is to be asked, if that is not who has the slot.
        asking: The slot is on its way to that node.
    """

    place: int
    words: Command
    slot: int
    positions: list[int] | None = None
    node: Node | None = None
    asking: bool = False


def _cut(place: int, command: Command, home: int) -> list[_Part]:
    """Return the parts of a command, by slot."""
    verb = str(command[0])
    if verb in _KEYLESS:
        return [_Part(place, command, home)]
    if verb != "MGET" and verb not in _COUNTED:
        return [_Part(place, command, slot_of(_text(command[1 + (verb in _SECOND)])))]
    slots: dict[int, list[int]] = {}
    for position, key in enumerate(command[1:]):
        slots.setdefault(slot_of(_text(key)), []).append(position)
    return [_some(place, command, slot, some) for slot, some in slots.items()]


def _some(place: int, command: Command, slot: int, some: list[int]) -> _Part:
    words = (command[0], *[command[1 + position] for position in some])
    return _Part(place, words, slot, some)


def _text(key: str | bytes | float) -> str | bytes:
    return key if isinstance(key, (str, bytes)) else str(key)


class _Asked:
    """A packet whose answers come from several nodes."""

    def __init__(self, link: Link, commands: Sequence[Command]) -> None:
        self._link = link
        self._commands = commands
        self.replies: list[Any] = [None] * len(commands)
        for place, command in enumerate(commands):
            if command[0] == "MGET":
                self.replies[place] = [None] * (len(command) - 1)
            elif command[0] in _COUNTED:
                self.replies[place] = 0

    def take(self, part: _Part, reply: Any) -> None:
        """Put an answer in its place."""
        before = self.replies[part.place]
        if isinstance(before, Exception):
            return  # a part of it has failed
        if part.positions is None or isinstance(reply, Exception):
            self.replies[part.place] = reply
        elif isinstance(reply, list):
            for position, value in zip(part.positions, reply, strict=True):
                before[position] = value
        else:
            self.replies[part.place] = before + reply

    def elsewhere(self, part: _Part, error: Exception, node: Node) -> list[_Part]:
        """Return what is to be asked instead of a part that was sent elsewhere."""
        topology = _topology(self._link)
        topology.redirected(error, node)
        if isinstance(error, AskError) and not isinstance(error, MovedError):
            part.node, part.asking = target_of(error, node), True
            return [part]
        # Of what moves, each key is on one of both sides.
        several = part.positions or ()
        if isinstance(error, TryAgainError) and len(several) > 1:
            command, slot = self._commands[part.place], part.slot
            return [_some(part.place, command, slot, [one]) for one in several]
        part.node, part.asking = None, False
        return [part]


def _topology(link: Link) -> Cluster:
    return cast("Cluster", link.wiring.topology)


async def ask_cluster(link: Link, commands: Sequence[Command]) -> list[Any]:
    """Return the replies to reading commands, errors among them.

    Raises:
        LostError: A node that has some of the keys cannot be reached.
    """
    asked = _Asked(link, commands)
    scans: dict[int, tuple[int, int]] = {}
    pending: list[_Part] = []
    for place, command in enumerate(commands):
        if command[0] == "SCAN":
            pending.append(await _scan(link, place, command, scans))
        else:
            pending += _cut(place, command, link.home)
    await _ask_all(link, asked, pending)
    for place, (number, count) in scans.items():
        asked.replies[place] = _scanned(asked.replies[place], number, count)
    return asked.replies


async def _ask_all(link: Link, asked: _Asked, pending: list[_Part]) -> None:
    begun = link.clock.monotonic()
    losses = tries = 0
    while pending:
        pending, lost = await _round(link, asked, pending)
        spent = link.clock.monotonic() - begun
        if lost is not None:
            losses += 1
            # Once more, as idle connections end; not where it hangs.
            if losses > 1 or spent > _QUICK:
                raise lost
        elif pending and spent > _PATIENCE:
            raise LostError(f"{link.place}: slots keep moving")
        if pending and tries > 1:
            await link.pause(tries)
        tries += 1


async def _round(
    link: Link, asked: _Asked, parts: Sequence[_Part]
) -> tuple[list[_Part], LostError | None]:
    """Ask each node once, all at a time; return what is left to be asked."""
    topology = _topology(link)
    groups: dict[Node, list[_Part]] = {}
    try:
        for part in parts:
            node = part.node or await topology.node(link.wiring, part.slot)
            groups.setdefault(node, []).append(part)
    except LostError as error:
        return list(parts), error
    answers = await asyncio.gather(
        *[_ask_node(link, node, group) for node, group in groups.items()],
        return_exceptions=True,
    )
    left: list[_Part] = []
    lost: LostError | None = None
    for (node, group), answer in zip(groups.items(), answers, strict=True):
        if isinstance(answer, LostError):
            lost = answer
            for part in group:
                part.node, part.asking = None, False
            left += group
        elif isinstance(answer, BaseException):
            raise answer
        else:
            for part, reply in zip(group, answer, strict=True):
                if isinstance(reply, REDIRECTS):
                    left += asked.elsewhere(part, reply, node)
                else:
                    asked.take(part, reply)
    return left, lost


async def _ask_node(link: Link, node: Node, parts: Sequence[_Part]) -> list[Any]:
    commands: list[Command] = []
    for part in parts:
        if part.asking:
            commands.append(("ASKING",))
        commands.append(part.words)
    async with link.reads.to(node) as lane:
        replies = await link.timed(lane, commands)
    return [
        reply
        for command, reply in zip(commands, replies, strict=True)
        if command[0] != "ASKING"
    ]


async def ask_everywhere(link: Link, command: Command) -> list[Any]:
    """Return the answers of all masters to a command without a key.

    Raises:
        LostError: One of them cannot be reached.
    """
    topology = _topology(link)
    await topology.node(link.wiring, link.home)
    masters = topology.masters
    asked = _Asked(link, [command] * len(masters))
    parts = [
        _Part(place, command, link.home, node=node)
        for place, node in enumerate(masters)
    ]
    await _ask_all(link, asked, parts)
    return asked.replies


# --- scanning --------------------------------------------------------------------


async def _scan(
    link: Link, place: int, command: Command, scans: dict[int, tuple[int, int]]
) -> _Part:
    """Turn a cursor over all masters into that of one of them.

    The masters are scanned one after the other.  Where one comes or goes
    meanwhile, keys may be seen twice or not at all; who needs all scans again.
    """
    topology = _topology(link)
    await topology.node(link.wiring, link.home)
    masters = topology.masters
    raw = command[1]
    cursor, number = divmod(int(_text(raw)), len(masters))
    scans[place] = number, len(masters)
    words = ("SCAN", str(cursor), *command[2:])
    return _Part(place, words, link.home, node=masters[number])


def _scanned(reply: Any, number: int, count: int) -> Any:
    """Turn the cursor of one master into one over all."""
    if isinstance(reply, Exception):
        return reply
    cursor = int(reply[0])
    if cursor:
        following = cursor * count + number
    else:
        following = number + 1 if number + 1 < count else 0
    return [str(following).encode(), *reply[1:]]
