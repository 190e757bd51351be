"""What is judged of a cluster at its end: whether all are well, and told of losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosched.instants import SECOND
from aiosched.testing.simulation.verdicts import HEALTH, LOSS

if TYPE_CHECKING:
    from aiosched.testing.simulation.cluster import Cluster
    from aiosched.testing.simulation.losses import Forgotten

__all__ = ["judge_end", "judge_peer", "judge_told"]

_WELL = 10 * SECOND
"""For how long nothing must have been wrong before anything is asked of peers."""


def judge_end(cluster: Cluster) -> None:
    """Judge the peers of a cluster that nobody has let heal.

    Whether they are well is asked only if all incidents were over in time.
    """
    world, judge = cluster.world, cluster.judge
    for error in world.failures:
        judge.violate(HEALTH, "", f"a peer has not come up again: {error!r}")
    for peer in cluster.peers.values():
        for name, _, _ in peer.events:
            if name in ("service_failed", "unreadable"):
                judge.violate(HEALTH, "", f"{peer.name} tells of {name}")
    judge_told(cluster)
    now = world.now()
    if judge.calm(now - _WELL, now) < _WELL:
        return
    for name, node in sorted(world.nodes.items()):
        if not node.down and not cluster.peers[name].closed:
            judge_peer(cluster, name)
    for one in judge.forgotten:
        _judge_put_back(cluster, one)


def judge_peer(cluster: Cluster, name: str) -> None:
    """Judge whether a peer that ought to be well is."""
    peer = cluster.peers[name]
    if not peer.up:
        cluster.judge.violate(HEALTH, "", f"{name} has not come up again")
        return
    health = peer.inside(peer.running().health)
    if not health.ok:
        cluster.judge.violate(HEALTH, "", f"{name} is not well: {health}")


def judge_told(cluster: Cluster) -> None:
    """Judge whether every peer that was up has told of each loss, and in time."""
    judge = cluster.judge
    for one in judge.forgotten:
        loss = one.loss
        for peer in cluster.peers.values():
            if peer.since is None or peer.since >= loss.at or not one.real:
                continue  # it came up afterwards, and knows nothing else
            if peer.closed:
                continue
            told = [
                at
                for name, at, _ in peer.events
                if name == "data_lost" and at >= loss.at
            ]
            text = judge.absences.silent(
                peer.name, loss, min(told, default=None), cluster.world.now()
            )
            if text is not None:
                judge.violate(LOSS, "", text)


def _judge_put_back(cluster: Cluster, one: Forgotten) -> None:
    """Judge whether what is declared, and was lost, has been written since."""
    judge, nodes = cluster.judge, cluster.world.nodes
    up = [p for p in cluster.peers.values() if p.up and not p.closed]
    newest = max((nodes[peer.name].revision for peer in up), default=0)
    declared = {
        job_id
        for peer in up
        if nodes[peer.name].revision == newest
        for job_id in peer.running()._declared
    }
    for job_id in sorted(declared & (one.records.keys() - one.loss.records.keys())):
        if cluster.written.get(job_id, 0) < one.loss.at:
            judge.violate(LOSS, job_id, "it is declared, and was not put back")
