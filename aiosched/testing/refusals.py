"""The parts of an event loop that would touch the real world, each refused."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

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


def _refused(name: str, remedy: str) -> Any:
    def method(_self: object, *_args: object, **_kwargs: object) -> Any:
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

    create_connection = _refused("create_connection", _NETWORK)
    create_server = _refused("create_server", _NETWORK)
    create_unix_connection = _refused("create_unix_connection", _NETWORK)
    create_unix_server = _refused("create_unix_server", _NETWORK)
    create_datagram_endpoint = _refused("create_datagram_endpoint", _NETWORK)
    connect_accepted_socket = _refused("connect_accepted_socket", _NETWORK)
    start_tls = _refused("start_tls", _NETWORK)
    sendfile = _refused("sendfile", _NETWORK)
    getaddrinfo = _refused("getaddrinfo", _NETWORK)
    getnameinfo = _refused("getnameinfo", _NETWORK)
    add_reader = _refused("add_reader", _NETWORK)
    add_writer = _refused("add_writer", _NETWORK)
    remove_reader = _refused("remove_reader", _NETWORK)
    remove_writer = _refused("remove_writer", _NETWORK)
    sock_recv = _refused("sock_recv", _NETWORK)
    sock_recv_into = _refused("sock_recv_into", _NETWORK)
    sock_recvfrom = _refused("sock_recvfrom", _NETWORK)
    sock_recvfrom_into = _refused("sock_recvfrom_into", _NETWORK)
    sock_sendall = _refused("sock_sendall", _NETWORK)
    sock_sendto = _refused("sock_sendto", _NETWORK)
    sock_sendfile = _refused("sock_sendfile", _NETWORK)
    sock_connect = _refused("sock_connect", _NETWORK)
    sock_accept = _refused("sock_accept", _NETWORK)
    subprocess_exec = _refused("subprocess_exec", _PROCESS)
    subprocess_shell = _refused("subprocess_shell", _PROCESS)
    connect_read_pipe = _refused("connect_read_pipe", _PROCESS)
    connect_write_pipe = _refused("connect_write_pipe", _PROCESS)
    add_signal_handler = _refused("add_signal_handler", _SIGNAL)
    remove_signal_handler = _refused("remove_signal_handler", _SIGNAL)
    set_task_factory = _refused("set_task_factory", _EAGER)
