"""One connection: bytes in, bytes out, a transaction and subscriptions between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aiosched.testing.redis_model import pubsub, service, transactions
from aiosched.testing.redis_model.database import Database, Watch
from aiosched.testing.redis_model.hashes import COMMANDS as HASHES
from aiosched.testing.redis_model.keyspace import COMMANDS as KEYSPACE
from aiosched.testing.redis_model.members import COMMANDS as MEMBERS
from aiosched.testing.redis_model.resp import (
    Failure,
    ProtocolError,
    Push,
    RefusedError,
    Reply,
    encode,
    take,
)
from aiosched.testing.redis_model.streams import COMMANDS as STREAMS
from aiosched.testing.redis_model.strings import COMMANDS as STRINGS
from aiosched.testing.redis_model.transactions import AT_ONCE, Queue
from aiosched.testing.redis_model.words import Command, Words, bad_arity
from aiosched.testing.redis_model.zsets import COMMANDS as ZSETS

if TYPE_CHECKING:
    from aiosched.testing.redis_model.server import Server

__all__ = ["COMMANDS", "Connection", "Silent"]

COMMANDS: Final[dict[str, Command]] = {
    **KEYSPACE,
    **STRINGS,
    **HASHES,
    **MEMBERS,
    **ZSETS,
    **STREAMS,
    **pubsub.COMMANDS,
    **service.COMMANDS,
    **transactions.COMMANDS,
}
"""Every command that is answered; any other one is unknown."""

_BEFORE_LOGIN = frozenset({"hello", "auth", "quit", "reset"})
_WHILE_SUBSCRIBED = frozenset(
    {
        "subscribe",
        "unsubscribe",
        "psubscribe",
        "punsubscribe",
        "ssubscribe",
        "sunsubscribe",
        "ping",
        "quit",
        "reset",
    }
)
_LONGEST_SHOWN = 128
_NO_LOGIN = "NOAUTH Authentication required."


class Silent(str):
    """Stands for a reply where the command has answered itself."""

    __slots__ = ()


class Connection:
    """A client's side of the server; :meth:`Server.connect` makes it.

    Attributes:
        server: Whose it is.
        id: What CLIENT ID answers.
        name: What CLIENT GETNAME answers; empty: none.
        protocol: 2 or 3.
        authenticated: Whether it may do anything.
        database: The selected one.
        watch: What WATCH watches.
        queue: Commands since MULTI; None outside a transaction.
        executing: An EXEC is at work.
        executed: The last EXEC was not aborted.
        channels: What it subscribes to.
        sharded: Channels of shards that it subscribes to.
        patterns: Patterns that it subscribes to.
        pushed: Called with the bytes of each message that comes while the
            connection asks for nothing; None: they stand before the output of
            its next :meth:`feed`.
        ended: Called once when the server closes the connection.
        closed: It is over; what is fed to it is dropped.
    """

    SILENT: Final = Silent()

    def __init__(self, server: Server, number: int) -> None:
        """Be open."""
        self.server = server
        self.id: int = number
        self.name: bytes = b""
        self.protocol: int = 2
        self.authenticated: bool = not server.config[b"requirepass"]
        self.database: Database = server.databases[0]
        self.watch: Watch = Watch()
        self.queue: Queue | None = None
        self.executing: bool = False
        self.executed: bool = False
        self.channels: dict[bytes, None] = {}
        self.sharded: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.pushed: Callable[[bytes], None] | None = None
        self.ended: Callable[[], None] | None = None
        self.closed: bool = False
        self._input = b""
        self._output: list[bytes] = []
        self._held: list[Push] = []
        self._busy = False
        self._leaving = False

    def __repr__(self) -> str:
        return f"<Connection {self.id}>"

    # The wire

    def feed(self, data: bytes) -> bytes:
        """Take in bytes and return the replies to all commands that are complete.

        What is left over waits for the next call.  After bytes that are no
        commands, the connection ends with the answer to them.
        """
        if self.closed:
            return b""
        data = self._input + data if self._input else data
        place = 0
        try:
            while place < len(data) and not self._leaving and not self.closed:
                found = take(data, place)
                if found is None:
                    break
                words, place = found
                if words:
                    self._obey(words)
        except ProtocolError as error:
            self.answer(Failure(f"ERR Protocol error: {error}"))
            self._leaving = True
        self._input = data[place:]
        output = b"".join(self._output)
        self._output.clear()
        if self._leaving:
            self.end()
        return output

    def answer(self, reply: Reply) -> None:
        """Add a reply to the output."""
        self._output.append(encode(reply, self.protocol))

    def answer_header(self, count: int) -> None:
        """Begin an array whose elements are answered one by one."""
        self._output.append(b"*%d\r\n" % count)

    def push(self, message: Push) -> None:
        """Deliver a message of a subscription."""
        if self.closed:
            return
        if self._busy:
            self._held.append(message)  # it comes after the reply at work
        elif self.pushed is None:
            self.answer(message)
        else:
            self.pushed(encode(message, self.protocol))

    def leave_after_reply(self) -> None:
        """End the connection when the reply has been given out."""
        self._leaving = True

    def close(self) -> None:
        """End the connection, as a client does; safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self.discard()
        pubsub.leave_all(self)
        del self.server.connections[self.id]

    def end(self) -> None:
        """End the connection, as a server does: whoever wants to know is told."""
        if not self.closed:
            self.close()
            if self.ended is not None:
                self.ended()

    def discard(self) -> None:
        """Forget the transaction and what is watched."""
        self.queue = None
        transactions.unwatch(self)

    # Commands

    def _obey(self, words: Words) -> None:
        name = words[0].decode("latin-1").lower()
        command = COMMANDS.get(name)
        if command is None and name in service.CONTAINERS and len(words) > 1:
            name = f"{name}|{words[1].decode('latin-1').lower()}"
            command = COMMANDS.get(name)
        if command is None:
            self._reject(_unknown(name, words))
            return
        arity = command.arity
        if len(words) != arity and (arity > 0 or len(words) < -arity):
            self._reject(str(bad_arity(name)), name)
            return
        refusal = self._refusal(name, command)
        if refusal is not None:
            self._reject(refusal, name)
        elif self.queue is not None and name not in AT_ONCE:
            self.queue.add(command, words)
            self.answer("QUEUED")
        else:
            self._execute(command, words, is_exec=name == "exec")

    def _execute(self, command: Command, words: Words, *, is_exec: bool) -> None:
        changes = self.server.begin() if self.server.commits else None
        self._busy = True
        reply = self.run(command, words)
        if reply is not self.SILENT:
            self.answer(reply)
        self._busy = False
        if self._held:
            held, self._held = self._held, []
            for message in held:
                self.answer(message)
        if changes is not None:
            self.server.commit(self, changes, always=is_exec and self.executed)

    def run(self, command: Command, words: Words) -> Reply:
        """Do one command and return its reply, an error included."""
        self.server.calls += 1
        try:
            return command.run(self if command.ours else self.database, words)
        except RefusedError as error:
            return Failure(str(error))

    def _reject(self, line: str, name: str = "") -> None:
        """Answer with an error before anything is done; a transaction is spoilt."""
        if name == "exec":
            self.discard()
            cause = line.removeprefix("ERR ")
            line = f"EXECABORT Transaction discarded because of: {cause}"
        elif self.queue is not None:
            self.queue.spoilt = True
        self.answer(Failure(line))

    def _refusal(self, name: str, command: Command) -> str | None:
        """Say why the command is not even looked at; None: it is."""
        if not self.authenticated and name not in _BEFORE_LOGIN:
            return _NO_LOGIN
        if self.queue is not None and not command.queued:
            return "ERR Command not allowed inside a transaction"
        line = self.server.refusing
        if line is not None and self._concerned(line, name, command):
            return line
        if (
            self.protocol == 2
            and (self.channels or self.patterns or self.sharded)
            and name not in _WHILE_SUBSCRIBED
        ):
            return (
                f"ERR Can't execute '{name}': only (P|S)SUBSCRIBE / "
                "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            )
        return None

    def _concerned(self, line: str, name: str, command: Command) -> bool:
        """Say whether a server that refuses so refuses this command."""
        word = line.partition(" ")[0]
        queued = self.queue.commands if self.queue is not None else []
        exec_of = [one for one, _ in queued] if name == "exec" else []
        if word == "LOADING":
            return not command.early
        if word in {"READONLY", "MISCONF", "NOREPLICAS"}:
            return any(one.write for one in (command, *exec_of))
        if word == "OOM":
            if self.queue is not None and name not in AT_ONCE:
                return True
            return any(one.grows for one in (command, *exec_of))
        return True


def _unknown(name: str, words: Words) -> str:
    if "|" in name:
        sub = _as_c_prints(words[1], _LONGEST_SHOWN)
        first = words[0].decode("latin-1").upper()
        return f"ERR unknown subcommand '{sub}'. Try {first} HELP."
    if name in service.CONTAINERS:
        return str(bad_arity(name))
    shown = ""
    for word in words[1:]:
        if len(shown) >= _LONGEST_SHOWN:
            break
        shown += f"'{_as_c_prints(word, _LONGEST_SHOWN - len(shown))}' "
    text = _as_c_prints(words[0], _LONGEST_SHOWN)
    line = f"ERR unknown command '{text}', with args beginning with: {shown}"
    return line.replace("\r", " ").replace("\n", " ")


def _as_c_prints(word: bytes, most: int) -> str:
    return word.partition(b"\0")[0][:most].decode("latin-1")
