"""The index of the memory store, derived anew where it differs from the records.

Nobody but this program writes there, so a difference is a fault of a decision
that named a wrong instant; it is mended all the same, as on every other store.
"""

from __future__ import annotations

from aiosched import planning
from aiosched.abc import Signal
from aiosched.stores.ordered import OrderedEntries
from aiosched.stores.space import Shard, Space

__all__ = ["rederive"]


def rederive(space: Space, number: int) -> list[str]:
    """Put the index of one shard right, and tell of it.

    Returns:
        The ids of the jobs whose agenda entry, keyword or queue was wrong.
    """
    shard = space.shards[number]
    wanted: dict[str, int] = {}
    agendas: dict[str, OrderedEntries] = {}
    wrong: dict[str, None] = {}
    for job_id, record in shard.records.items():
        spec = record.definition.spec
        if spec.queue not in space.queues:
            space.queues.add(spec.queue)
            wrong[job_id] = None
        if spec.keyword is not None:
            subscribed = space.keywords.setdefault(spec.keyword, set())
            if job_id not in subscribed:
                subscribed.add(job_id)
                wrong[job_id] = None
        at = planning.instant(record.definition, record.state)
        if shard.at.get(job_id) != at:
            wrong[job_id] = None
        if at is not None:
            wanted[job_id] = at
            agendas.setdefault(spec.queue, OrderedEntries()).add((at, job_id))
    wrong.update(dict.fromkeys(shard.at.keys() - shard.records.keys()))
    wrong.update(_misplaced(shard, agendas))
    if wrong:
        shard.at, shard.agendas = wanted, agendas
        _tell(space, number, wrong)
    return sorted(wrong)


def _misplaced(shard: Shard, agendas: dict[str, OrderedEntries]) -> dict[str, None]:
    """Return the ids whose entries differ in some agenda."""
    wrong: dict[str, None] = {}
    for queue in shard.agendas.keys() | agendas.keys():
        held, wanted = shard.agendas.get(queue), agendas.get(queue)
        differing = _entries(held) ^ _entries(wanted)
        wrong.update(dict.fromkeys(job_id for _, job_id in differing))
    return wrong


def _entries(agenda: OrderedEntries | None) -> set[tuple[int, str]]:
    return set() if agenda is None else set(agenda.first(2**62)[0])


def _tell(space: Space, number: int, wrong: dict[str, None]) -> None:
    shard = space.shards[number]
    shard.rev += 1
    entries: list[tuple[str, str, int | None, int]] = []
    for job_id in wrong:
        record = shard.records.get(job_id)
        if record is not None:
            queue = record.definition.spec.queue
            seq = record.state.seq
            entries.append((job_id, queue, shard.at.get(job_id), seq))
    if entries:
        space.tell(number, Signal("changed", number, tuple(entries)))
