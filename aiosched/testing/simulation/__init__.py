"""Whole clusters in one process: one seed decides everything that happens.

See ``docs/howto/simulate-a-cluster.md`` for the use of it in your own tests,
and ``docs/explanation/simulation.md`` for how it works.
"""

from __future__ import annotations

from aiosched.testing.simulation.cluster import (
    BrokenRuleError,
    Cluster,
    JobLedger,
    NeverCameWarning,
    simulate,
)
from aiosched.testing.simulation.incidents import Incident
from aiosched.testing.simulation.peers import PeerDownError

__all__ = [
    "BrokenRuleError",
    "Cluster",
    "Incident",
    "JobLedger",
    "NeverCameWarning",
    "PeerDownError",
    "simulate",
]
