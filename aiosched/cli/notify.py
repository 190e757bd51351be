"""What a service tells systemd: ready, alive, ending.

The protocol is one datagram of ``NAME=value`` lines to the socket that the
environment names; see sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

__all__ = ["Notifier"]

_SOCKET, _WATCHDOG, _OF = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


class Notifier:
    """Tells a service manager, where there is one; else nothing happens.

    Attributes:
        interval: Seconds within which it wants to hear ``WATCHDOG=1`` again;
            None: it does not watch.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read what the service manager wants; nothing is sent yet."""
        given = os.environ if environ is None else environ
        self._path = given.get(_SOCKET, "")
        self.interval: float | None = None
        if self._path and given.get(_OF, str(os.getpid())) == str(os.getpid()):
            self.interval = _seconds(given.get(_WATCHDOG, ""))

    def tell(self, *words: str) -> None:
        """Send such as ``READY=1``; a manager that is away is none of our trouble."""
        if not self._path:
            return
        # A first @ stands for the null byte of an abstract address.
        path = f"\0{self._path[1:]}" if self._path[0] == "@" else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
                wire.setblocking(False)
                wire.sendto("\n".join(words).encode(), path)
        except OSError:
            return


def _seconds(text: str) -> float | None:
    micro = int(text) if text.isascii() and text.isdigit() else 0
    return micro / 1_000_000 or None
