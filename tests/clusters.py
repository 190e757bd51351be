"""Real Redis Clusters for the tests: started, hurt, and their slots moved about.

Masters and replicas are servers of :mod:`tests.servers`, joined here.  They
belong to the test that started them and are killed by their handles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from tests.servers import Binary, Server, ServerError, free_port

__all__ = ["SLOTS", "Cluster"]

SLOTS = 16_384
_READY = 30.0
_POLL = 0.02


class Cluster:
    """Masters with an equal share of the slots each, and their replicas.

    Args:
        binary: The program.
        masters: How many.
        replicas: Of each master.
        node_timeout: Milliseconds after which a silent node counts as failed.
        options: More settings of all nodes.
    """

    def __init__(
        self,
        binary: Binary,
        *,
        masters: int = 3,
        replicas: int = 0,
        node_timeout: int = 2_000,
        options: dict[str, str] | None = None,
    ) -> None:
        self.binary = binary
        self.masters: list[Server] = []
        self.replicas: list[Server] = []
        self._counts = masters, replicas
        self._options = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(node_timeout),
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
            "enable-debug-command": "yes",
            **(options or {}),
        }

    @property
    def name(self) -> str:
        """Return kind and version, such as ``redis-7.0.15-cluster``."""
        return f"{self.binary.name}-cluster"

    @property
    def nodes(self) -> list[Server]:
        """Return all servers, masters of the first hour before replicas."""
        return [*self.masters, *self.replicas]

    @property
    def url(self) -> str:
        """Return a URL that names all nodes."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.nodes)
        return f"redis+cluster://{hosts}"

    def start(self) -> Self:
        """Start and join the nodes; return when all of them agree.

        Raises:
            ServerError: They do not within half a minute.
        """
        masters, replicas = self._counts
        for number in range(masters * (1 + replicas)):
            bus = {"cluster-port": str(free_port())}
            server = Server(self.binary, options={**self._options, **bus})
            (self.masters if number < masters else self.replicas).append(server)
            server.start()
        share = -(-SLOTS // masters)
        for number, one in enumerate(self.masters):
            first, last = number * share, min((number + 1) * share, SLOTS) - 1
            one.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        for number, one in enumerate(self.nodes):
            one.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for one in self.nodes[1:]:
            first_node = self.masters[0]
            bus_port = one.options["cluster-port"]
            first_node.command("CLUSTER", "MEET", "127.0.0.1", str(one.port), bus_port)
        total = len(self.nodes)
        self._until(lambda: all(len(self._known(n)) == total for n in self.nodes))
        for number, one in enumerate(self.replicas):
            master = self.id(self.masters[number % masters])
            one.command("CLUSTER", "REPLICATE", master)
        self.settle()
        return self

    def settle(self) -> None:
        """Wait until all running nodes are well, and their replicas in step.

        Raises:
            ServerError: They are not within half a minute.
        """
        running = [one for one in self.nodes if one.alive]
        self._until(lambda: all(self._well(one) for one in running))

    def _well(self, one: Server) -> bool:
        state = str(one.command("CLUSTER", "INFO"))
        if "cluster_state:ok" not in state or "slots_ok:16384" not in state:
            return False
        said = str(one.command("INFO", "replication"))
        if "role:slave" in said:
            return "master_link_status:up" in said
        ports = {port for _, _, port in self.ranges(one)}
        return len(ports) == self._counts[0]

    @staticmethod
    def _until(done: Callable[[], bool]) -> None:
        end = time.monotonic() + _READY
        while time.monotonic() < end:
            try:
                if done():
                    return
            except (OSError, ServerError):  # it is being promoted, or loading
                pass
            time.sleep(_POLL)
        raise ServerError("the cluster did not settle")

    # -- who is who ---------------------------------------------------------------

    def _known(self, one: Server) -> list[str]:
        lines = str(one.command("CLUSTER", "NODES")).splitlines()
        return [line for line in lines if "handshake" not in line]

    def id(self, one: Server) -> str:
        """Return the name that a node has among the others."""
        return str(one.command("CLUSTER", "MYID"))

    def ranges(self, asked: Server | None = None) -> list[tuple[int, int, int]]:
        """Return (first slot, last slot, port of the master), as a node sees it."""
        one = asked or next(one for one in self.nodes if one.alive)
        reply = one.command("CLUSTER", "SLOTS")
        assert isinstance(reply, list)
        return [(first, last, master[1]) for first, last, master, *_ in reply]

    def master_of(self, slot: int) -> Server:
        """Return the running node that has a slot."""
        for first, last, port in self.ranges():
            if first <= slot <= last:
                return next(one for one in self.nodes if one.port == port)
        raise ServerError(f"nobody has slot {slot}")

    def current_masters(self) -> list[Server]:
        """Return the nodes that have slots now."""
        ports = {port for _, _, port in self.ranges()}
        return [one for one in self.nodes if one.port in ports]

    # -- what is done to them -----------------------------------------------------

    def flush(self) -> None:
        """Empty all nodes."""
        for one in self.current_masters():
            one.command("FLUSHALL")

    def promoted(self, lost: Server) -> bool:
        """Say whether every running node knows another one in the place of a node."""
        try:
            return all(
                lost.port not in {port for _, _, port in self.ranges(one)}
                and "cluster_state:ok" in str(one.command("CLUSTER", "INFO"))
                for one in self.nodes
                if one.alive and one is not lost
            )
        except (OSError, ServerError):
            return False

    def wait_arrived(self, master: Server) -> None:
        """Wait until a replica of a master has all that was written so far."""
        least = int(master.replicated("master_repl_offset"))
        port = str(master.port)
        self._until(
            lambda: any(
                int(one.replicated("slave_repl_offset") or -1) >= least
                for one in self.nodes
                if one.alive and one.replicated("master_port") == port
            )
        )

    def import_slot(self, slot: int, target: Server) -> Server:
        """Begin to move a slot; return whom it is taken from."""
        source = self.master_of(slot)
        word, one, other = str(slot), self.id(source), self.id(target)
        target.command("CLUSTER", "SETSLOT", word, "IMPORTING", one)
        source.command("CLUSTER", "SETSLOT", word, "MIGRATING", other)
        return source

    def move_keys(
        self, slot: int, source: Server, target: Server, count: int = 10
    ) -> int:
        """Move some keys of a slot; return how many there were to be moved."""
        keys = source.command("CLUSTER", "GETKEYSINSLOT", str(slot), str(count))
        assert isinstance(keys, list)
        if keys:
            where = ("127.0.0.1", str(target.port), "", "0", "5000")
            source.command("MIGRATE", *where, "KEYS", *keys)
        return len(keys)

    def settle_slot(self, slot: int, source: Server, target: Server) -> None:
        """End the move: all nodes are told who has the slot."""
        name = self.id(target)
        others = [one for one in self.current_masters() if one not in {source, target}]
        for one in (target, source, *others):
            one.command("CLUSTER", "SETSLOT", str(slot), "NODE", name)

    def move(
        self, slots: Iterable[int], target: Server, *, between: Sequence[float] = ()
    ) -> None:
        """Move slots, key by key, at once.

        Args:
            slots: Which.
            target: To whom.
            between: Seconds to wait after each batch of keys, in turn.
        """
        for slot in slots:
            source = self.import_slot(slot, target)
            pauses = iter(between)
            while self.move_keys(slot, source, target):
                time.sleep(next(pauses, 0))
            self.settle_slot(slot, source, target)

    def stop(self) -> None:
        """Kill all nodes and delete their directories."""
        for one in self.nodes:
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
