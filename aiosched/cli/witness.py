"""What the demo's executors saw, kept where no scheduler can touch it.

A sighting is written when an executor is entered, before it does anything: by
one ``write`` to a file opened for appending, so that it outlives a SIGKILL.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from aiosched.context import Context

__all__ = ["Sighting", "Witness", "read_sightings"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One entry into an executor.

    Attributes:
        job_id: The job.
        key: Identity of the firing within the job.
        attempt: 1 for the first.
        peer: Incarnation id of the peer.
        name: What people call the peer.
        fence: Token of the attempt.
    """

    job_id: str
    key: str
    attempt: int
    peer: str
    name: str
    fence: int


class Witness:
    """Writes sightings down; may be used from any thread."""

    def __init__(self, name: str, path: Path | None = None) -> None:
        """Write to memory, and to a file if one is given."""
        self.seen: list[Sighting] = []
        self._name = name
        self._file = -1
        if path is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._file = os.open(path, flags, 0o600)

    def saw(self, context: Context) -> None:
        """Note that an executor was entered."""
        job_id, key, _ = context.run_id.rsplit("/", 2)
        sighting = Sighting(
            job_id, key, context.attempt, context.peer, self._name, context.fence
        )
        self.seen.append(sighting)
        if self._file >= 0:
            os.write(self._file, json.dumps(asdict(sighting)).encode() + b"\n")


def read_sightings(path: Path) -> list[Sighting]:
    """Read a witness's file; no file means that nothing was seen."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return [Sighting(**json.loads(line)) for line in lines]
