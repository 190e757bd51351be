"""A master, its replicas and their sentinels, started and hurt by the tests.

All are servers of :mod:`tests.servers` and are killed by their handles.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers import Binary, Server, ServerError

__all__ = ["Sentinel", "Watched"]

_READY = 30.0
_POLL = 0.02
MASTER = "mymaster"


class Sentinel(Server):
    """One sentinel, with a configuration file that it may rewrite."""

    def __init__(self, binary: Binary, watched: list[str], password: str = "") -> None:
        """Note what is to stand in the file."""
        super().__init__(binary, password=password)
        self._watched = watched

    def words(self, port: int) -> list[str]:
        """Return the command line; the file is written at the first start only."""
        path = self.folder / "sentinel.conf"
        if not path.exists():
            lines = [
                f"port {port}",
                "bind 127.0.0.1",
                f"dir {self.folder}",
                f"logfile {self.folder / 'log'}",
                *self._watched,
            ]
            path.write_text("\n".join(lines) + "\n")
        return [str(path), "--sentinel"]


class Watched:
    """One master with replicas, and three sentinels of which two must agree.

    Args:
        binary: The program of all of them.
        replicas: How many.
        sentinels: How many.
        options: More settings of master and replicas.
        watching: More lines of the sentinels' files, with ``{name}`` for the
            master's name.
        password: That master and replicas want, by their options.
        sentinel_password: That the sentinels want, by those lines.
    """

    def __init__(
        self,
        binary: Binary,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        options: dict[str, str] | None = None,
        watching: tuple[str, ...] = (),
        password: str = "",
        sentinel_password: str = "",
    ) -> None:
        self.binary = binary
        self.master = MASTER
        self.sentinels: list[Sentinel] = []
        self._watching = watching
        self._counts = replicas, sentinels
        self._password = password
        self._sentinel_password = sentinel_password
        self._options = {
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
            "repl-timeout": "60",
            "enable-debug-command": "yes",
            **(options or {}),
        }
        if binary.name.startswith("redis-6"):
            del self._options["enable-debug-command"]  # it always is
        self.servers: list[Server] = []

    @property
    def name(self) -> str:
        """Return kind and version, such as ``redis-7.0.15-sentinel``."""
        return f"{self.binary.name}-sentinel"

    @property
    def url(self) -> str:
        """Return a URL that names all sentinels."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.master}"

    # -- starting and stopping --------------------------------------------------------

    def start(self) -> Self:
        """Start all; return when every sentinel knows every other one.

        Raises:
            ServerError: They do not within half a minute.
        """
        replicas, sentinels = self._counts
        for _ in range(1 + replicas):
            one = Server(self.binary, options=self._options, password=self._password)
            self.servers.append(one)
            one.start()
        first, *others = self.servers
        for one in others:
            one.command("REPLICAOF", "127.0.0.1", str(first.port))
        # A sentinel that comes before them learns of them ten seconds later.
        self._until(lambda: self.in_step(first) == replicas)
        quorum = sentinels // 2 + 1
        lines = [
            f"sentinel monitor {self.master} 127.0.0.1 {first.port} {quorum}",
            f"sentinel down-after-milliseconds {self.master} 500",
            f"sentinel failover-timeout {self.master} 3000",
            f"sentinel parallel-syncs {self.master} 1",
            *[line.format(name=self.master) for line in self._watching],
        ]
        for _ in range(sentinels):
            sentinel = Sentinel(self.binary, lines, self._sentinel_password)
            self.sentinels.append(sentinel)
            sentinel.start()
        self._until(lambda: all(self._knows(one) for one in self.sentinels))
        return self

    def _knows(self, sentinel: Server) -> bool:
        facts = self.facts(sentinel)
        replicas, sentinels = self._counts
        return (
            facts["num-slaves"] == str(replicas)
            and facts["num-other-sentinels"] == str(sentinels - 1)
            and facts["flags"] == "master"
        )

    @staticmethod
    def _until(done: Callable[[], bool], seconds: float = _READY) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if done():
                    return
            except (OSError, ServerError):  # it is being promoted, or loading
                pass
            time.sleep(_POLL)
        raise ServerError("the sentinels and their servers did not settle")

    def stop(self) -> None:
        """Kill all of them and delete their directories, the sentinels first."""
        for one in (*self.sentinels, *self.servers):
            one.stop()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- who is who -------------------------------------------------------------------

    def facts(self, sentinel: Server) -> dict[str, str]:
        """Return what a sentinel knows of the master."""
        reply = sentinel.command("SENTINEL", "MASTER", self.master)
        assert isinstance(reply, list)
        return dict(zip(reply[::2], reply[1::2], strict=True))

    def named(self, sentinel: Server | None = None) -> Server:
        """Return the server that a sentinel takes for the master."""
        asked = sentinel or next(one for one in self.sentinels if one.alive)
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.master)
        reply = asked.command(*words)
        assert isinstance(reply, list)
        return next(one for one in self.servers if one.port == int(reply[1]))

    def replicas(self) -> list[Server]:
        """Return the running servers that are not the master."""
        master = self.named()
        return [one for one in self.servers if one is not master and one.alive]

    @staticmethod
    def in_step(master: Server) -> int:
        """Return how many replicas follow a server."""
        said = str(master.command("INFO", "replication"))
        return said.count("state=online")

    def wait_arrived(self) -> None:
        """Wait until the replicas have all that has been written so far."""
        least = int(self.named().replicated("master_repl_offset"))
        self._until(
            lambda: all(
                int(one.replicated("slave_repl_offset") or -1) >= least
                for one in self.replicas()
            )
        )

    # -- what is done to them ---------------------------------------------------------

    def promoted(self, old: Server) -> bool:
        """Say whether all sentinels name another one, which is a master by now."""
        try:
            named = {self.named(one).port for one in self.sentinels if one.alive}
            if len(named) != 1 or old.port in named:
                return False
            role = self.named().command("ROLE")
        except (OSError, ServerError):
            return False
        return isinstance(role, list) and role[0] == "master"

    def cut_off(self) -> Server:
        """Keep what is written from now on from all replicas; return the master."""
        master = self.named()
        master.command("ACL", "SETUSER", "default", "-psync", "-sync")
        master.command("CLIENT", "KILL", "TYPE", "replica")
        return master

    def replace(self, master: Server) -> None:
        """Kill the master, and wait until a replica has taken its place."""
        master.kill()
        self._until(lambda: self.promoted(master))

    def fail_over(self) -> Server:
        """Let a sentinel promote a replica at once; return the former master.

        That one takes writes, all to be lost, until it is told to follow.
        """
        old = self.named()
        self._until(lambda: self._order())
        self._until(lambda: self.promoted(old))
        self._until(lambda: old.replicated("role") == "slave")
        return old

    def _order(self) -> bool:
        try:
            return (
                self.sentinels[0].command("SENTINEL", "FAILOVER", self.master) == "OK"
            )
        except ServerError:  # the last one is just over, or no replica is known yet
            return False

    def settle(self) -> None:
        """Wait until the sentinels agree and all replicas follow the master."""
        running = sum(one.alive for one in self.servers)

        def well() -> bool:
            if len({self.named(one).port for one in self.sentinels}) != 1:
                return False
            return self.in_step(self.named()) == running - 1

        self._until(well)

    def log(self) -> str:
        """Return what the sentinels have logged."""
        return "\n".join(Path(one.folder, "log").read_text() for one in self.sentinels)
