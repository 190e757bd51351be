"""Lanes: connections of our own, on which one exchange is one packet.

redis-py sends, receives and parses; it never retries, never times out and never
reconnects here, because each of these could send an EXEC twice.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from functools import wraps
from itertools import chain
from typing import Any, TypeVar, cast

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ResponseError,
    TryAgainError,
)

from aiosched.abc import Counters
from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.stores.redis.failures import (
    FAILURES,
    SECRETS,
    hung_up,
    no_handshake,
    read_only,
    translated,
    unechoed,
)
from aiosched.stores.redis.tls import advice
from aiosched.stores.redis.topology import Node, Topology
from aiosched.stores.redis.urls import Address

__all__ = [
    "Command",
    "Factory",
    "Lane",
    "Lanes",
    "LostError",
    "MisplacedError",
    "Wiring",
    "pack",
    "plainly",
]

V = TypeVar("V", bound=Callable[..., Coroutine[Any, Any, Any]])
Command = Sequence[str | bytes | int | float]
Factory = Callable[..., AbstractConnection]


def _pack_plainly(command: tuple[str | bytes | int | float, ...]) -> bytes:
    words = [one if isinstance(one, bytes) else str(one).encode() for one in command]
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


_pack_one: Callable[[Any], bytes] = _pack_plainly
with suppress(ImportError):  # an extra: eight times as fast
    _pack_one = importlib.import_module("hiredis").pack_command


def pack(commands: Sequence[Command]) -> bytes:
    """Return the bytes of one packet."""
    return b"".join([_pack_one(tuple(command)) for command in commands])


class LostError(StoreUnavailableError):
    """The connection could not be made, broke, or did not answer in time.

    Stays inside: what leaves a session is made plain by :func:`plainly`.

    Attributes:
        node: To whom, in a cluster; None: nobody is to blame for it.
    """

    def __init__(self, problem: str, node: Node | None = None) -> None:
        """Say what was lost.

        Args:
            problem: What happened, where.
            node: See the attribute.
        """
        super().__init__(problem)
        self.node = node


class MisplacedError(LostError):
    """The node is not, or not now, in charge of these keys: nothing was done.

    Stays inside, like its base.
    """


_REDIRECTS = (AskError, TryAgainError, ClusterDownError)


def plainly(verb: V) -> V:
    """Decorate a verb of a session: let errors out by their public names only."""

    @wraps(verb)
    async def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return await verb(*args, **kwargs)
        except LostError as error:
            plainer = StoreUnavailableError(str(error))
            plainer.unwritten = error.unwritten
            raise plainer from error.__cause__

    return cast("V", plain)


class Wiring:
    """How this session's connections are made.

    Attributes:
        place: The URL as it may be shown.
        exchange_timeout: Seconds for one packet and all its replies.
        database: The number of the server's database.
        topology: Who is in charge of what.
    """

    def __init__(
        self,
        address: Address,
        factory: Factory | None,
        connect_timeout: float,
        exchange_timeout: float,
        counters: Counters,
        topology: Topology | None = None,
    ) -> None:
        """Note all that, and connect to nothing yet."""
        self.place: str = address.shown
        self.exchange_timeout = exchange_timeout
        self.database: int = address.options.get("db", 0)
        self.counters = counters
        self.topology: Topology = Topology() if topology is None else topology
        self._factory = address.kind if factory is None else factory
        self._options = address.options
        self._connect_timeout = connect_timeout

    async def connect(self, node: Node | None = None) -> AbstractConnection:
        """Return a new connection, logged in and on its database.

        Args:
            node: Of a cluster; None: the server that is in charge.

        Raises:
            RedisError: And whatever else stands in ``FAILURES``.
            LostError: Nobody knows which server is in charge.
        """
        place = await self.topology.where(self, node)
        connection = await self.dial({**self._options, **place}, self.topology.approve)
        self.counters.extra["connects"] = self.counters.extra.get("connects", 0) + 1
        return connection

    async def dial(
        self,
        options: Mapping[str, Any],
        use: Callable[[AbstractConnection], Awaitable[None]],
    ) -> AbstractConnection:
        """Return a connection to a given place, after a first use of it.

        Args:
            options: What the connection class is built with.
            use: What is done before anything else; connecting and this must
                be done within the time for connecting.

        Raises:
            RedisError: And whatever else stands in ``FAILURES``.
        """
        connection = self._factory(
            **options,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=self._connect_timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        try:
            # The driver limits the opening of the socket, not the handshake.
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
                await use(connection)
        except BaseException as error:
            with suppress(*FAILURES):
                await connection.disconnect(nowait=True)
            unechoed(error, [str(options.get(one) or "") for one in SECRETS])
            raise
        return connection


class Lane:
    """One connection at a time, used by one exchange at a time.

    Attributes:
        node: Whom it leads to, in a cluster.
        opened: Whether the server may still have a transaction open for this
            connection, and watch keys for it.
        at_work: An exchange that goes on although its caller was cancelled.
    """

    __slots__ = (
        "_connection",
        "_strict",
        "_turn",
        "_wiring",
        "at_work",
        "node",
        "opened",
    )

    def __init__(
        self, wiring: Wiring, node: Node | None = None, *, strict: bool = False
    ) -> None:
        """Be ready to connect.

        Args:
            wiring: The session's.
            node: Whom to connect to; None: whoever is in charge.
            strict: Turn the redirections of a cluster into errors.
        """
        self._wiring = wiring
        self._strict = strict
        self.node: Node | None = node
        self._connection: AbstractConnection | None = None
        self._turn = 0
        self.opened: bool = False
        self.at_work: asyncio.Task[list[Any]] | None = None

    async def ready(self) -> None:
        """Connect if need be.

        Raises:
            LostError: The server cannot be reached.
        """
        wiring, node = self._wiring, self.node
        turn = wiring.topology.turn(node)
        if self._turn != turn:
            await self.drop()
        if self._connection is None:
            self._turn = turn
            try:
                self._connection = await (
                    wiring.connect() if node is None else wiring.connect(node)
                )
            except TimeoutError as error:
                wiring.topology.failed(node)
                raise LostError(no_handshake(wiring.place), node) from error
            except FAILURES as error:
                wiring.topology.failed(node)
                ours = translated(error, wiring.place)
                if type(ours) is StoreUnavailableError:
                    hint = advice(error, wiring.place)
                    raise LostError(f"{ours}{hint}", node) from error
                raise ours from error

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one packet and return all replies.

        Errors that the server answers stand among the replies.  Nothing is
        sent unless :meth:`ready` has been called: what a WATCH needs must never
        reach another connection.

        Raises:
            LostError: The connection broke, or time ran out; the
                commands may have been executed.
            MisplacedError: The node is not in charge; nothing was written.
        """
        wiring = self._wiring
        connection = self._connection
        if connection is None or not connection.is_connected:
            self._connection = None
            self.opened = False
            wiring.topology.hung_up(self.node, self._turn)
            wiring.topology.failed(self.node)
            raise LostError(f"{wiring.place} closed the connection", self.node)
        counters = wiring.counters
        counters.commands += len(commands)
        counters.round_trips += 1
        packet = pack(commands)
        replies: list[Any] = []
        refused = False
        try:
            async with asyncio.timeout(wiring.exchange_timeout):
                await connection.send_packed_command(packet, check_health=False)
                for _ in commands:
                    try:
                        replies.append(await connection.read_response())
                    except ResponseError as error:
                        refused = True
                        unechoed(error)
                        replies.append(error)
        except FAILURES as error:
            if hung_up(error):
                wiring.topology.hung_up(self.node, self._turn)
            wiring.topology.failed(self.node)
            await self.drop()
            text = str(translated(error, wiring.place))
            raise LostError(text, self.node) from error
        except BaseException:
            # Cancelled: whatever still comes belongs to nobody.
            await self.drop()
            raise
        if refused:
            if not wiring.topology.clustered:
                await self._refuse_read_only(replies)
            elif self._strict:
                await self._refuse_misplaced(replies)
        return replies

    async def _refuse_read_only(self, replies: list[Any]) -> None:
        """Give up a packet that was sent to somebody who is no master any more.

        A transaction of which one command was refused is not executed; what
        else stands in a packet bears being done twice.
        """
        wrong = next((one for one in replies if read_only(one)), None)
        if wrong is None:
            return
        self._wiring.topology.demoted()
        await self.drop()
        place = self._wiring.place
        raise MisplacedError(str(translated(wrong, place))) from wrong

    async def _refuse_misplaced(self, replies: list[Any]) -> None:
        """Give up a packet of which a part belongs elsewhere.

        A transaction of which one command was refused is not executed, and one
        whose EXEC is refused neither.
        """
        wrong = next((one for one in replies if isinstance(one, _REDIRECTS)), None)
        if wrong is None:
            return
        self._wiring.topology.redirected(wrong, self.node)
        await self.drop()
        place = self._wiring.place
        raise MisplacedError(str(translated(wrong, place))) from wrong

    async def commit(self, writes: Sequence[Command]) -> list[Any]:
        """Write within the transaction that is open, and execute it.

        It is open for certain: these commands can be carried out by its EXEC
        only.  They go on to the end even if the caller is cancelled meanwhile.

        Returns:
            The reply to each of them, and that to EXEC.

        Raises:
            LostError: See :meth:`exchange`.
        """
        task = asyncio.get_running_loop().create_task(
            self._commit(writes), name="aiosched-redis-exec"
        )
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.at_work = task
            raise

    async def _commit(self, writes: Sequence[Command]) -> list[Any]:
        if not self.opened:
            raise AssertionError("writes outside of a transaction")
        replies = await self.exchange([*writes, ("EXEC",)])
        if isinstance(replies[-1], ResponseError):
            await self.drop()  # who knows whether it is still open
        self.opened = False
        return replies

    async def drop(self, *, nowait: bool = True) -> None:
        """Close the connection; the next exchange gets a new one."""
        connection, self._connection = self._connection, None
        self.opened = False
        if connection is not None:
            with suppress(*FAILURES):
                await connection.disconnect(nowait=nowait)


_CLOSED = "this session is closed; open another one"
_Turn = asyncio.Future[Lane | None]
"""Of somebody who waits for a lane; None: there will be none."""


class Rank(IntEnum):
    """Who of those that wait for a lane has the next one.

    Over a slow link new work must not keep old work from being settled, and
    neither may keep the leases of what is running from being extended: that is
    all that cannot wait.
    """

    URGENT = 0
    USUAL = 1
    PATIENT = 2


class Lanes:
    """A few lanes, handed out one at a time, the most recently used first."""

    def __init__(
        self,
        wiring: Wiring,
        number: int,
        node: Node | None = None,
        *,
        strict: bool = False,
    ) -> None:
        """Have so many lanes to a node, none of them connected yet."""
        self._lanes = [Lane(wiring, node, strict=strict) for _ in range(number)]
        self._free = list(self._lanes)
        self._waiting: tuple[deque[_Turn], ...] = tuple(deque() for _ in Rank)
        self._closed = False

    @asynccontextmanager
    async def take(self, rank: Rank = Rank.USUAL) -> AsyncIterator[Lane]:
        """Lend a connected lane for the length of a block.

        Args:
            rank: Before whom to be served, if there is none to spare.

        Raises:
            LostError: The server cannot be reached.
            StoreError: The session is closed.
        """
        lane = await self._acquire(self._waiting[rank])
        try:
            await lane.ready()
            yield lane
        finally:
            if lane.at_work is None:
                if self._closed:  # it may have been connected since
                    await lane.drop()
                self._release(lane)
            else:
                lane.at_work.add_done_callback(lambda task: self._freed(lane, task))

    async def _acquire(self, queue: deque[_Turn]) -> Lane:
        self._refuse_closed()
        if self._free:
            return self._free.pop()
        turn: _Turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            lane = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                lane = turn.result()
                if lane is not None:
                    self._release(lane)
            raise
        finally:
            with suppress(ValueError):
                queue.remove(turn)
        if lane is None or self._closed:
            raise StoreError(_CLOSED)
        return lane

    def refuse(self) -> None:
        """Lend no lane any more."""
        self._closed = True

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreError(_CLOSED)

    def _release(self, lane: Lane) -> None:
        # To whoever waits, not to whoever comes next: that may be always the same.
        for turn in chain.from_iterable(self._waiting):
            if not turn.done():
                turn.set_result(lane)
                return
        self._free.append(lane)

    def _freed(self, lane: Lane, task: asyncio.Task[list[Any]]) -> None:
        if not task.cancelled():
            task.exception()  # nobody is left to be told
        lane.at_work = None
        self._release(lane)

    async def close(self) -> None:
        """Close all connections, after exchanges that nobody may cut short."""
        self._closed = True
        for turn in chain.from_iterable(self._waiting):
            if not turn.done():
                turn.set_result(None)
        works = [lane.at_work for lane in self._lanes if lane.at_work is not None]
        if works:
            await asyncio.wait(works)
        for lane in self._lanes:
            await lane.drop(nowait=False)
