"""What runs in a peer's own environment, and how the harness speaks with it.

An adapter is started as ``python adapter.py ROLE`` with its settings in the
environment variable ``BENCH``.  As ``worker`` it says ``{"ready": true}`` and runs
jobs until it is killed.  As ``producer`` it reads one JSON object a line, does what
its ``do`` names, and answers with one: ``{"ok": true, "seconds": ..., "cpu": ...}``
with what else it found, or ``{"ok": false, "error": ...}``.

Only the standard library may be imported here, in Python 3.11 or later.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TextIO

Due = tuple[int, float]
"""Number of a job, and the wall time in seconds at which it is due."""


class Peer:
    """A library under comparison; the verbs may be coroutines or plain functions."""

    packages: Sequence[str] = ()
    """Distributions whose versions are told."""

    periodic = int(os.environ.get("BENCH_PERIODIC", "0"))
    """How many jobs run each second, where jobs are defined in the code."""

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Remember where the server is and how the library is set up."""
        self.url = url
        self.settings = settings

    def open(self) -> Any:
        """Connect, as a producer."""

    def close(self) -> Any:
        """Disconnect, as a producer."""

    def bulk(self, indices: Sequence[int]) -> Any:
        """Queue jobs that are due now, in the fastest way that is documented."""
        raise NotImplementedError

    def one(self, index: int) -> Any:
        """Queue one job that is due now, and return when it is stored."""
        raise NotImplementedError

    def at(self, dues: Sequence[Due]) -> Any:
        """Queue jobs that are due later."""
        raise NotImplementedError

    def every(self, jobs: int, first: float, times: int) -> Any:
        """Store jobs of one slot each second, unless they are in the code."""

    def work(self) -> None:
        """Run jobs; never return."""
        raise NotImplementedError


def when(due: float) -> datetime:
    """Return an instant as the aware datetime that libraries ask for."""
    return datetime.fromtimestamp(due, tz=UTC)


def address(url: str) -> tuple[str, int]:
    """Return host and port of ``redis://host:port/0``."""
    host, _, port = url.partition("://")[2].partition("/")[0].partition(":")
    return host, int(port)


def run(main: Coroutine[Any, Any, Any], *, uvloop: bool = False) -> None:
    """Run a coroutine, on uvloop if the settings say so."""
    if uvloop:
        import uvloop as faster

        faster.run(main)
    else:
        asyncio.run(main)


async def forever() -> None:
    """Wait until somebody kills this process."""
    await asyncio.Event().wait()


# --- the producer ------------------------------------------------------------------


async def _called(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


async def _concurrently(peer: Peer, indices: Iterable[int], tasks: int) -> None:
    """Have so many tasks, or threads, queue one job after the other."""
    left: Iterator[int] = iter(indices)
    if not inspect.iscoroutinefunction(peer.one):
        with ThreadPoolExecutor(tasks) as pool:
            list(pool.map(peer.one, left))
        return

    async def lane() -> None:
        for index in left:
            await peer.one(index)

    await asyncio.gather(*(lane() for _ in range(tasks)))


async def _do(peer: Peer, asked: dict[str, Any]) -> Any:
    verb = asked.pop("do")
    if verb == "bulk":
        return await _called(peer.bulk(range(asked["count"])))
    if verb == "concurrent":
        return await _concurrently(peer, range(asked["count"]), asked["tasks"])
    if verb == "serial":
        for index in range(asked["count"]):
            await _called(peer.one(index))
        return None
    return await _called(getattr(peer, verb)(**asked))


async def _produce(peer: Peer, answer: TextIO, *, opened: bool = True) -> None:
    loop = asyncio.get_running_loop()
    if opened:
        await _called(peer.open())
    _say(answer, ready=True, versions=_versions(peer))
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        begin, used = time.perf_counter(), time.process_time()
        try:
            found = await _do(peer, json.loads(line))
        except Exception as error:
            traceback.print_exc()
            _say(answer, ok=False, error=f"{type(error).__name__}: {error}"[:300])
            continue
        seconds, cpu = time.perf_counter() - begin, time.process_time() - used
        more = found if isinstance(found, dict) else {}
        _say(answer, **{"ok": True, "seconds": seconds, "cpu": cpu, **more})
    if opened:
        await _called(peer.close())


def _end_with_harness() -> None:
    """End when the harness closes its end of stdin, for whatever reason."""
    # Not by sys.stdin: a fork of this process would wait for its lock for ever.
    while os.read(0, 1):
        pass
    os._exit(1)


def _versions(peer: Peer) -> dict[str, str]:
    found = {}
    for name in peer.packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _say(answer: TextIO, **words: Any) -> None:
    answer.write(json.dumps(words) + "\n")
    answer.flush()


def main(kind: type[Peer]) -> None:
    """Play the role that the command line names."""
    # What a library prints must not come between the answers.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    given = json.loads(os.environ["BENCH"])
    peer = kind(given["url"], given["settings"])
    if peer.settings.get("quiet"):
        logging.disable(logging.WARNING)
    if sys.argv[1] == "worker":
        threading.Thread(target=_end_with_harness, daemon=True).start()
        _say(answer, ready=True, versions=_versions(peer))
        peer.work()
    else:
        # As "memory" it does what it is asked in this process, without a server.
        producing = _produce(peer, answer, opened=sys.argv[1] == "producer")
        run(producing, uvloop=bool(peer.settings.get("uvloop")))
