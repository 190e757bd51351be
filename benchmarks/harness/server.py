"""A server for each measurement, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.shared.marks import cpu_of
from tests.servers import Server, binaries

_COUNTED = (
    "total_commands_processed",
    "total_reads_processed",
    "total_writes_processed",
    "total_net_input_bytes",
    "total_net_output_bytes",
)


@contextmanager
def server() -> Iterator[Server]:
    """Run an empty server without persistence for the length of a block."""
    found = binaries()
    if not found:
        raise SystemExit("no redis-server or valkey-server was found")
    with Server(found[0]) as running:
        yield running


def name() -> str:
    """Return the kind and version of the server that is used."""
    found = binaries()
    return found[0].name if found else "none"


def info(running: Server, section: str) -> dict[str, str]:
    """Return a section of INFO."""
    lines = str(running.command("INFO", section)).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def counters(running: Server) -> dict[str, float]:
    """Return what the server has counted, and the CPU it has used.

    Commands inside scripts and transactions count like others.  Writes are the
    answers that went out: pipelined commands are answered in one.
    """
    stats = info(running, "stats")
    counted = {name: float(stats.get(name, 0)) for name in _COUNTED}
    return {**counted, "cpu": cpu_of(running.pid)}


def memory(running: Server) -> int:
    """Return the bytes that the data takes."""
    return int(info(running, "memory")["used_memory"])


def calls(running: Server) -> dict[str, int]:
    """Return how often each command was called."""
    found = {}
    for line, value in info(running, "commandstats").items():
        found[line.removeprefix("cmdstat_")] = int(value.split(",")[0].split("=")[1])
    return found
