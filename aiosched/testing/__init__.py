"""Tools for testing schedules: virtual time, simulated clusters, fault injection.

::

    from aiosched.testing import run_virtual

    async def main():
        await asyncio.sleep(86_400)

    run_virtual(main)               # a day later, at once

For pytest see :mod:`aiosched.testing.plugin`.  Importing this package needs no
pytest.
"""

from __future__ import annotations

from aiosched.testing.faults import Fault, FaultyStore
from aiosched.testing.loop import START, VirtualLoop
from aiosched.testing.nodes import NODE
from aiosched.testing.runner import run_virtual
from aiosched.testing.simulation import (
    BrokenRuleError,
    Cluster,
    Incident,
    JobLedger,
    NeverCameWarning,
    PeerDownError,
    simulate,
)
from aiosched.testing.stuck import NotSimulatedError, Stuck

__all__ = [
    "NODE",
    "START",
    "BrokenRuleError",
    "Cluster",
    "Fault",
    "FaultyStore",
    "Incident",
    "JobLedger",
    "NeverCameWarning",
    "NotSimulatedError",
    "PeerDownError",
    "Stuck",
    "VirtualLoop",
    "run_virtual",
    "simulate",
]
