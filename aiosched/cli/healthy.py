"""``aiosched health``: one answer for probes, of a namespace or of one process.

Of a namespace: the store answers, and somebody runs jobs.  Of a process: what it
writes of itself (``aiosched run --health-file``), which needs no store, so that an
outage of the store makes nobody restart every peer.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiosched._api.health import Health
from aiosched._api.queries import Peer
from aiosched.cli.codes import CannotError, ExitCode
from aiosched.cli.peers import others, peer_data
from aiosched.cli.place import place_of, work
from aiosched.cli.printable import printable
from aiosched.clock import SystemClock
from aiosched.instants import SECOND

__all__ = ["health_data", "print_health"]

_MAX_AGE = timedelta(seconds=20)


def health_data(health: Health, *, name: str, at: int) -> dict[str, Any]:
    """Return what a peer says of itself as JSON values.

    Args:
        health: Its own view.
        name: What people call it.
        at: The host's instant, in microseconds since 1970.
    """
    data = asdict(health)
    data["services"] = dict(health.services)
    return {"name": name, "at": at, **data}


def print_health(words: argparse.Namespace) -> int:
    """Print whether all is well.

    Returns:
        0: it is; 1: it is not.

    Raises:
        CannotError: Words that do not go together.
        StoreUnavailableError: The store does not answer.
    """
    if words.file is not None:
        if words.name is not None or words.store is not None:
            raise CannotError("--file asks no store; leave --name and --store out")
        return _told(_of_file(words), as_json=words.json)
    if words.live or words.max_age is not None:
        raise CannotError("--live and --max-age go with --file")
    peers = work(place_of(words), others)
    return _told(_of_namespace(peers, words.name), as_json=words.json)


def _told(data: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        problems = [f"not healthy: {problem}" for problem in data["problems"]]
        print("\n".join(map(printable, problems)) or "healthy")
    return ExitCode.DONE if data["ok"] else ExitCode.FAILED


def _of_namespace(peers: list[Peer], name: str | None) -> dict[str, Any]:
    meant = [peer for peer in peers if name in (None, peer.name)]
    able = [peer for peer in meant if peer.claims and not peer.silent]
    problems = []
    if not able:
        whom = "no peer" if name is None else f"no peer named {name}"
        if not meant:
            problems.append(f"{whom} is alive: start one")
        elif any(peer.claims for peer in meant):
            problems.append(f"{whom} has given a sign of life lately")
        else:
            problems.append(f"{whom} runs jobs: those alive are clients or ending")
    return {
        "ok": not problems,
        "problems": problems,
        "peers": [peer_data(peer) for peer in meant],
    }


def _of_file(words: argparse.Namespace) -> dict[str, Any]:
    try:
        said = json.loads(Path(words.file).read_text(encoding="utf-8"))
        at, healthy = int(said["at"]), bool(said["ok"])
        problems = list(map(str, said["problems"]))
        stuck = "stalled" in dict(said["services"]).values()
    except OSError as error:
        return _bad(f"{words.file} cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError, OverflowError):
        return _bad(f"{words.file} is not what a peer writes of itself")
    limit = words.max_age or _MAX_AGE
    age = (SystemClock().wall() - at) / SECOND
    if abs(age) > limit.total_seconds():
        return _bad(
            f"the peer last wrote {words.file} {age:.0f} s ago: its process has ended, "
            "or its event loop is blocked"
        )
    if words.live:
        # What the store is to blame for is no reason to start the process again.
        healthy = said.get("failure") is None and not (stuck and said.get("store"))
        problems = [] if healthy else problems
    return dict(said) | {"ok": healthy, "problems": problems}


def _bad(problem: str) -> dict[str, Any]:
    return {"ok": False, "problems": [problem]}
