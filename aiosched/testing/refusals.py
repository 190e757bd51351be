"""The parts of an event loop that would touch the real world, each refused."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from aiosched.testing.stuck import NotSimulatedError

__all__ = ["NoRealIO"]

_NETWORK = (
    "a simulated program has no sockets; use the memory store or an in-memory "
    "transport, or run this test on an ordinary event loop"
)
_PROCESS = (
    "a simulated program has no child processes and pipes; replace the part that "
    "starts them, or run this test on an ordinary event loop"
)
_SIGNAL = (
    "a simulated program gets no signals; call what the handler would call, "
    "or run this test on an ordinary event loop"
)
_EAGER = "task factories change the order of steps; leave the default one in place"
# What it raises at the call, so it fits whatever the loop would return.
_Refusal: TypeAlias = Callable[..., NoReturn]


def _refused(name: str, remedy: str) -> _Refusal:
    def method(_self: object, *_args: object, **_kwargs: object) -> NoReturn:
        raise NotSimulatedError(f"loop.{name}", remedy)

    method.__name__ = name
    method.__doc__ = "Refuse: a virtual-time loop has no real world."
    return method


class NoRealIO(asyncio.BaseEventLoop):
    """A loop on which everything with a file descriptor raises NotSimulatedError."""

    # Parts of BaseEventLoop on which the virtual loop relies.
    _ready: deque[Any]
    _scheduled: list[Any]
    _stopping: bool
    _timer_cancelled_count: int
    _thread_id: int | None
    _asyncgens: weakref.WeakSet[Any]
    _debug: bool
    _current_handle: Any
    # A loop whose construction failed must be silent when it is collected.
    _closed: bool = True
    if TYPE_CHECKING:

        def _check_closed(self) -> None: ...

    create_connection: _Refusal = _refused("create_connection", _NETWORK)
    create_server: _Refusal = _refused("create_server", _NETWORK)
    create_unix_connection: _Refusal = _refused("create_unix_connection", _NETWORK)
    create_unix_server: _Refusal = _refused("create_unix_server", _NETWORK)
    create_datagram_endpoint: _Refusal = _refused("create_datagram_endpoint", _NETWORK)
    connect_accepted_socket: _Refusal = _refused("connect_accepted_socket", _NETWORK)
    start_tls: _Refusal = _refused("start_tls", _NETWORK)
    sendfile: _Refusal = _refused("sendfile", _NETWORK)
    getaddrinfo: _Refusal = _refused("getaddrinfo", _NETWORK)
    getnameinfo: _Refusal = _refused("getnameinfo", _NETWORK)
    remove_reader: _Refusal = _refused("remove_reader", _NETWORK)
    remove_writer: _Refusal = _refused("remove_writer", _NETWORK)
    sock_recv: _Refusal = _refused("sock_recv", _NETWORK)
    sock_recv_into: _Refusal = _refused("sock_recv_into", _NETWORK)
    sock_recvfrom: _Refusal = _refused("sock_recvfrom", _NETWORK)
    sock_recvfrom_into: _Refusal = _refused("sock_recvfrom_into", _NETWORK)
    sock_sendall: _Refusal = _refused("sock_sendall", _NETWORK)
    sock_sendto: _Refusal = _refused("sock_sendto", _NETWORK)
    sock_sendfile: _Refusal = _refused("sock_sendfile", _NETWORK)
    sock_connect: _Refusal = _refused("sock_connect", _NETWORK)
    sock_accept: _Refusal = _refused("sock_accept", _NETWORK)
    subprocess_exec: _Refusal = _refused("subprocess_exec", _PROCESS)
    subprocess_shell: _Refusal = _refused("subprocess_shell", _PROCESS)
    connect_read_pipe: _Refusal = _refused("connect_read_pipe", _PROCESS)
    connect_write_pipe: _Refusal = _refused("connect_write_pipe", _PROCESS)
    remove_signal_handler: _Refusal = _refused("remove_signal_handler", _SIGNAL)
    set_task_factory: _Refusal = _refused("set_task_factory", _EAGER)

    # Written out: mypy cannot compare variadic generics with `Callable[..., X]`.
    def add_reader(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse: a virtual-time loop has no real world."""
        raise NotSimulatedError("loop.add_reader", _NETWORK)

    def add_writer(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse: a virtual-time loop has no real world."""
        raise NotSimulatedError("loop.add_writer", _NETWORK)

    def add_signal_handler(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse: a virtual-time loop has no real world."""
        raise NotSimulatedError("loop.add_signal_handler", _SIGNAL)
