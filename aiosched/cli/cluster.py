"""The demo on Redis: peer processes, one of which is killed in its runs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiosched.cli.codes import CannotError
from aiosched.cli.demo import WINDOW, Options, Show, checked, play
from aiosched.cli.plan import LONG_JOB, WebServer, register_executors
from aiosched.cli.progress import PeerRow, Progress
from aiosched.cli.report import Report
from aiosched.cli.screen import Screen
from aiosched.cli.server import own_server
from aiosched.cli.witness import Sighting, Witness, read_sightings
from aiosched.clock import SystemClock, random_id
from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.instants import SECOND, micros
from aiosched.scheduler import Scheduler
from aiosched.stores import masked

__all__ = ["Fleet", "on_redis"]

PEERS = 3
TERMS = {"lease": 2.0, "beat": 0.5, "member_timeout": 2.0}
"""Short, so that the recovery can be watched."""

JOIN = 20.0
KILL_AFTER, REPLACE_AFTER = 0.3, 0.4
"""When, as shares of the window."""

FRESH = 0.4
"""A run that is no older is surely in its middle when the signal arrives."""

LOOKS = 60
POLL = 0.05
END = 10.0


def on_redis(options: Options, screen: Screen, web: WebServer) -> Report:
    """Run the demo on a server that somebody runs, or on one of its own.

    Raises:
        CannotError: There is no server, or it cannot be used.
    """
    if options.redis:
        return _on(options.redis, masked(options.redis), options, screen, web)
    with own_server() as (url, program):
        return _on(url, f"its own {program}", options, screen, web)


def _on(
    url: str, store: str, options: Options, screen: Screen, web: WebServer
) -> Report:
    progress = Progress(store, options.seconds or WINDOW)
    namespace = f"aiosched-demo-{random_id()}"
    with tempfile.TemporaryDirectory(prefix="aiosched-demo-") as folder:
        fleet = Fleet(url, namespace, Path(folder), progress)
        try:
            return play(_perform(fleet, screen, web))
        except (ConfigurationError, StoreUnavailableError) as error:
            raise CannotError(str(error)) from None
        finally:
            fleet.close()


async def _perform(fleet: Fleet, screen: Screen, web: WebServer) -> Report:
    client = Scheduler(
        fleet.url, namespace=fleet.namespace, name="demo", run_jobs=False, terms=TERMS
    )
    try:
        async with client:
            register_executors(client, Witness("demo"))
            for _ in range(PEERS):
                fleet.launch()
            names = ", ".join(fleet.progress.peers)
            screen.note(0.0, f"starting {names} on {fleet.progress.store}")
            await fleet.joined(client)
            show = Show(client, screen, fleet.progress, web)
            await show.perform(lambda: _disturb(fleet, client, show))
            books = await show.balances(fleet.sightings(), fleet.killed)
            await fleet.end()
            return checked(books, show, web)
    finally:
        await _tidy(fleet)


async def _disturb(fleet: Fleet, client: Scheduler, show: Show) -> None:
    """Kill the busiest peer in the middle of its runs; start another later."""
    window = show.progress.window
    await show.until(KILL_AFTER * window)
    for _ in range(LOOKS):
        victim, runs = await _busiest(client, show)
        if victim is not None:
            break
        await fleet.clock.sleep(POLL)
    else:
        show.note("no peer was in the middle of a run: none was killed")
        return
    fleet.kill(victim)
    show.note(f"{victim.name} killed by SIGKILL in the middle of {', '.join(runs)}")
    await show.until(REPLACE_AFTER * window)
    row = fleet.launch()
    await fleet.joined(client)
    show.note(f"{row.name} joined")


async def _busiest(client: Scheduler, show: Show) -> tuple[PeerRow | None, list[str]]:
    """Return the live peer with most runs that have just begun, and all its runs."""
    origin = show.progress.origin
    begun = 0 if origin is None else micros(origin)
    now = begun + round(show.elapsed * SECOND)
    runs: dict[str, list[str]] = {}
    young: Counter[str] = Counter()
    for run in await client.running():
        runs.setdefault(run.peer, []).append(run.job_id)
        age = now - micros(run.started_at)
        if run.job_id.startswith(LONG_JOB) and age <= FRESH * SECOND:
            young[run.peer] += 1
    rows = [row for row in show.progress.peers.values() if young[row.id]]
    if not rows:
        return None, []
    best = max(rows, key=lambda row: young[row.id])
    return best, sorted(runs[best.id])


async def _tidy(fleet: Fleet) -> None:
    """Delete the demo's namespace: somebody else's server keeps nothing of it."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    try:
        async with Redis.from_url(fleet.url) as redis:
            for pattern in (f"{{{fleet.namespace}}}*", f"{{{fleet.namespace}:*}}*"):
                keys: list[Any] = [key async for key in redis.scan_iter(pattern)]
                if keys:
                    await redis.unlink(*keys)
    except (RedisError, OSError, ValueError):
        return  # then it is not there to be tidied


@dataclass(slots=True)
class _Process:
    row: PeerRow
    popen: subprocess.Popen[bytes]
    witness: Path


class Fleet:
    """The peer processes of one demo."""

    def __init__(
        self, url: str, namespace: str, folder: Path, progress: Progress
    ) -> None:
        """Nobody is started yet.

        Args:
            url: Of the store.
            namespace: Of this demo alone.
            folder: For what the witnesses write.
            progress: Shows the peers.
        """
        self.url = url
        self.namespace = namespace
        self.progress = progress
        self.clock: SystemClock = SystemClock()
        self._folder = folder
        self._processes: list[_Process] = []

    @property
    def killed(self) -> frozenset[str]:
        """Incarnation ids of the peers that were killed."""
        rows = self.progress.peers.values()
        return frozenset(row.id for row in rows if row.state == "killed")

    def launch(self) -> PeerRow:
        """Start a further peer process."""
        name = f"peer-{len(self._processes) + 1}"
        path = self._folder / f"{name}.jsonl"
        words = [sys.executable, "-m", "aiosched", "demo-peer", "--store", self.url]
        words += ["--namespace", self.namespace, "--name", name, "--witness", str(path)]
        with (self._folder / f"{name}.log").open("wb") as log:
            popen = subprocess.Popen(  # noqa: S603 - these are our own words
                words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
            )
        row = PeerRow(name, popen.pid)
        self.progress.peers[name] = row
        self._processes.append(_Process(row, popen, path))
        return row

    async def joined(self, client: Scheduler) -> None:
        """Wait until every peer that was started has shown itself.

        Raises:
            CannotError: One ended, or did not come in time.
        """
        for _ in range(round(JOIN / POLL)):
            known = {peer.name: peer.id for peer in await client.peers()}
            for process in self._processes:
                row = process.row
                if row.state == "starting" and row.name in known:
                    row.id, row.state = known[row.name], "live"
                if row.state == "starting" and process.popen.poll() is not None:
                    raise CannotError(f"{row.name} ended: {self._log(row.name)}")
            if all(p.row.state != "starting" for p in self._processes):
                return
            await self.clock.sleep(POLL)
        raise CannotError(f"not all peers had joined after {JOIN:g} s")

    def _log(self, name: str) -> str:
        text = (self._folder / f"{name}.log").read_text(errors="replace")
        return text.strip()[-500:] or "it said nothing"

    def kill(self, row: PeerRow) -> None:
        """Kill a peer as the machine's end would: without a word."""
        for process in self._processes:
            if process.row is row:
                process.popen.send_signal(signal.SIGKILL)
                process.popen.wait(timeout=END)
                row.state = "killed"

    def sightings(self) -> list[Sighting]:
        """Return what all executors saw, on the living and the dead."""
        return [one for p in self._processes for one in read_sightings(p.witness)]

    async def end(self) -> None:
        """End the peers, and wait for them."""
        for process in self._processes:
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in self._processes:
            await asyncio.to_thread(process.popen.wait, END)
            if process.row.state == "live":
                process.row.state = "ended"

    def close(self) -> None:
        """Leave no process behind, whatever happened."""
        for process in self._processes:
            if process.popen.poll() is None:
                process.popen.kill()
            process.popen.wait(timeout=END)
            if process.popen.stdin is not None:
                process.popen.stdin.close()
