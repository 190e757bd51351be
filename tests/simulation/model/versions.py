"""Where versions of the server differ; the model says what Redis 7.0 says."""

from __future__ import annotations

import re

from tests.simulation.model.comparing import Known

__all__ = ["known_of"]

_KNOWN = [
    Known(
        servers="valkey-.*",
        command="CLIENT KILL ID x",
        theirs="'ERR syntax error'",
        mine="'ERR client-id should be greater than 0'",
        why="an id that is no number",
    ),
    Known(
        servers="valkey-.*",
        command="GET k|TIME",
        theirs="'QUEUED'",
        mine='"OOM .*',
        why="what needs no memory is queued although there is none",
    ),
]


def known_of(server: str) -> list[Known]:
    """Return the differences of a server, named like ``valkey-9.1.2``."""
    return [known for known in _KNOWN if re.fullmatch(known.servers, server)]
