"""Reading packets of a cluster: each command goes to the node of its key.

Commands of several keys are cut up by slot and their answers put together, so
that whoever asks need not know how many servers there are.  While a slot moves,
its keys are found on both sides: reading goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from redis.exceptions import AskError, MovedError, TryAgainError

from aiosched.errors import StoreUnavailableError
from aiosched.stores.redis.cluster import REDIRECTS, Cluster, slot_of, target_of
from aiosched.stores.redis.connection import Command, LostError
from aiosched.stores.redis.topology import Node

if TYPE_CHECKING:
    from aiosched.stores.redis.link import Link

__all__ = ["AWAY", "ask_cluster", "ask_everywhere"]


class _Away:
    def __repr__(self) -> str:
        return "AWAY"


AWAY: Final = _Away()
"""Stands for an answer whose server cannot be reached."""
_QUICK = 1.0
_PATIENCE = 2.0
"""Seconds for which redirections are followed."""
_BRIEF = 0.25
"""The same, where an answer may be missing."""
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
        spare: It may go without an answer.
    """

    place: int
    words: Command
    slot: int
    positions: list[int] | None = None
    node: Node | None = None
    asking: bool = False
    spare: bool = False


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

    def leave_out(self, part: _Part) -> None:
        """Note that a part of a packet goes without an answer."""
        several = part.positions is not None and isinstance(
            self.replies[part.place], list
        )
        self.take(part, [AWAY] * len(part.positions or ()) if several else AWAY)

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
            each = [_some(part.place, command, slot, [one]) for one in several]
            for one in each:
                one.spare = part.spare
            return each
        part.node, part.asking = None, False
        return [part]


def _topology(link: Link) -> Cluster:
    return cast("Cluster", link.wiring.topology)


async def ask_cluster(
    link: Link, commands: Sequence[Command], spare: Collection[int] = ()
) -> list[Any]:
    """Return the replies to reading commands, errors among them.

    Args:
        link: The session's.
        commands: One packet.
        spare: Places of commands that may go without an answer where a node
            cannot be reached: those of one key, and MGET.

    Raises:
        LostError: A node that has some of the other keys cannot be reached.
    """
    asked = _Asked(link, commands)
    scans: dict[int, tuple[int, int]] = {}
    pending: list[_Part] = []
    for place, command in enumerate(commands):
        if command[0] == "SCAN":
            pending.append(await _scan(link, place, command, scans))
        else:
            pending += _cut(place, command, link.home)
    for part in pending:
        part.spare = part.place in spare
    await _ask_all(link, asked, pending)
    for place, (number, count) in scans.items():
        asked.replies[place] = _scanned(asked.replies[place], number, count)
    return asked.replies


async def _ask_all(link: Link, asked: _Asked, pending: list[_Part]) -> None:
    begun = link.clock.monotonic()
    losses = tries = 0
    while pending:
        round_ = _Round(link, asked)
        await round_.ask(pending)
        pending, lost = round_.left, round_.lost
        spent = link.clock.monotonic() - begun
        # Once more, as idle connections end; not where it hangs.
        losses += bool(lost)
        given_up = lost if losses > 1 or spent > _QUICK else {}
        for part in pending:
            if id(part) not in lost and spent > (_BRIEF if part.spare else _PATIENCE):
                text = f"{link.place}: slots keep moving"
                given_up = {**given_up, id(part): LostError(text)}
        pending = _given_up(asked, pending, given_up)
        if pending and tries > 1:
            await link.pause(tries)
        tries += 1


def _given_up(
    asked: _Asked, pending: list[_Part], lost: Mapping[int, StoreUnavailableError]
) -> list[_Part]:
    """Go on without what was lost and may be missing; return what is left.

    Raises:
        StoreUnavailableError: It may not be missing.
    """
    left: list[_Part] = []
    for part in pending:
        if id(part) not in lost:
            left.append(part)
        elif part.spare:
            asked.leave_out(part)
        else:
            raise lost[id(part)]
    return left


class _Round:
    """Each node is asked once, all at a time.

    Attributes:
        left: What is to be asked again.
        lost: Of these, by identity, what was lost with a connection.
    """

    def __init__(self, link: Link, asked: _Asked) -> None:
        self._link = link
        self._asked = asked
        self.left: list[_Part] = []
        self.lost: dict[int, StoreUnavailableError] = {}

    async def ask(self, parts: Sequence[_Part]) -> None:
        """Ask the nodes of some parts."""
        link, topology = self._link, _topology(self._link)
        groups: dict[Node, list[_Part]] = {}
        for part in parts:
            try:
                node = part.node or await topology.node(link.wiring, part.slot)
            except LostError as error:
                self._lose(part, error)
            else:
                groups.setdefault(node, []).append(part)
        answers = await asyncio.gather(
            *[_ask_node(link, node, group) for node, group in groups.items()],
            return_exceptions=True,
        )
        for (node, group), answer in zip(groups.items(), answers, strict=True):
            if isinstance(answer, StoreUnavailableError):
                for part in group:
                    self._lose(part, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._take(node, group, answer)

    def _lose(self, part: _Part, error: StoreUnavailableError) -> None:
        part.node, part.asking = None, False
        self.left.append(part)
        self.lost[id(part)] = error

    def _take(self, node: Node, group: list[_Part], answer: Sequence[Any]) -> None:
        for part, reply in zip(group, answer, strict=True):
            if isinstance(reply, REDIRECTS):
                self.left += self._asked.elsewhere(part, reply, node)
            else:
                self._asked.take(part, reply)


async def _ask_node(link: Link, node: Node, parts: Sequence[_Part]) -> list[Any]:
    commands: list[Command] = []
    for part in parts:
        if part.asking:
            commands.append(("ASKING",))
        commands.append(part.words)
    # Whoever can do without an answer does not wait for it as long.
    brief = all(part.spare for part in parts)
    limit = link.wiring.exchange_timeout / 2 if brief else None
    async with link.reads.to(node, limit=limit) as lane:
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
