"""The index against the records, and putting it right.

The records are the truth.  What is derived from them (agenda entries, keyword
sets, the set of queues) is compared here, and written again under the WATCH of
a transaction like any other; so nothing that is found here is ever acted on as
it was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiosched import planning
from aiosched.abc import MAX_BATCH
from aiosched.records import Change, Record
from aiosched.stores.damage import Damage
from aiosched.stores.redis.codec import Parts, decode, split
from aiosched.stores.redis.connection import Command
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.specs import UnreadableError
from aiosched.stores.redis.transact import transact

__all__ = ["Expected", "compare", "decoded", "expected", "in_index", "put_right"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the index has to say of a job."""

    queue: str
    at: int | None
    keyword: str | None

    @property
    def score(self) -> float:
        """The score of its agenda entry."""
        return float("inf") if self.at is None else float(self.at)


def expected(record: Record) -> Expected:
    """Derive it from a record.

    Raises:
        UnreadableError: The record is such that nothing follows from it.
    """
    spec = record.definition.spec
    try:
        at = planning.instant(record.definition, record.state)
    except Exception as error:
        # A trigger of somebody's own, asked about instants that make no sense.
        raise UnreadableError(f"no instant follows from it: {error!r}") from error
    return Expected(spec.queue, at, spec.keyword)


async def decoded(
    link: Link, shard: int, raw: Mapping[str, bytes]
) -> dict[str, Record | UnreadableError]:
    """Decode records of a shard, fetching the specs that are not known.

    What they keep apart stays apart.
    """
    found: dict[str, Record | UnreadableError] = {}
    cut: dict[str, Parts] = {}
    for job_id, data in raw.items():
        try:
            cut[job_id] = split(data)
            link.specs.find(cut[job_id].spec)
        except UnreadableError as error:
            cut.pop(job_id, None)
            found[job_id] = error
    lines = list({one.spec: None for one in cut.values()})
    lines = [line for line in lines if link.specs.find(line) is None]
    bodies: dict[bytes, bytes | None] = {}
    if lines:
        keys = [link.keys.spec_of_line(shard, line) for line in lines]
        (values,) = await link.ask([("MGET", *keys)])
        bodies = dict(zip(lines, values, strict=True))
    for job_id, parts in cut.items():
        try:
            spec = link.specs.find(parts.spec)
            if spec is None:
                spec = link.specs.learn(parts.spec, bodies.get(parts.spec))
            found[job_id] = decode(parts, job_id, spec)
        except UnreadableError as error:
            found[job_id] = error
    return found


async def in_index(
    link: Link, shard: int, queues: Iterable[str], ids: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the scores of ids in the agendas of a shard, by queue, by id.

    An agenda of another type has none.
    """
    names = sorted(queues)
    agendas = [link.keys.agenda(shard, queue) for queue in names]
    if not agendas or not ids:
        return {}
    replies = await link.ask([("ZMSCORE", one, *ids) for one in agendas], lenient=True)
    return {
        queue: {
            job_id: float(score)
            for job_id, score in zip(ids, reply, strict=True)
            if score is not None
        }
        for queue, reply in zip(names, replies, strict=True)
        if isinstance(reply, list)
    }


def compare(
    link: Link,
    shard: int,
    job_id: str,
    wanted: Expected | None,
    scores: Mapping[str, Mapping[str, float]],
) -> list[Damage]:
    """Compare the agenda entries of one job with what its record wants.

    Args:
        link: The session's.
        shard: The job's.
        job_id: Whose entries.
        wanted: What follows from the record; None: there is no record.
        scores: What :func:`in_index` has answered.
    """
    found: list[Damage] = []

    def tell(kind: str, queue: str, detail: str) -> None:
        key = link.keys.agenda(shard, queue)
        found.append(
            Damage(kind, key, detail, job_id, shard, key.encode(), job_id.encode())
        )

    for queue, entries in scores.items():
        score = entries.get(job_id)
        if score is None:
            continue
        if wanted is None:
            tell("entry-without-record", queue, f"{job_id!r} has no record")
        elif queue != wanted.queue:
            tell("entry-astray", queue, f"{job_id!r} belongs to {wanted.queue!r}")
        elif score != wanted.score:
            detail = f"{job_id!r} stands at {score:.0f} and not at {wanted.score:.0f}"
            tell("entry-out-of-step", queue, detail)
    if wanted is not None and job_id not in scores.get(wanted.queue, ()):
        tell("record-without-entry", wanted.queue, f"{job_id!r} has no entry")
    return found


async def put_right(
    link: Link, shard: int, wanted: Mapping[str, Expected | None]
) -> set[str]:
    """Write the index of some jobs of a shard anew, as their records say.

    Safe to call for any job at any time, and to call again.

    Args:
        link: The session's.
        shard: The shard of all of them.
        wanted: What was found to follow from their records; used only to enter
            keywords and queues before the transaction that relies on them.

    Returns:
        The ids whose index was written.
    """
    told = [one for one in wanted.values() if one is not None]
    commands: list[Command] = []
    queues = sorted({one.queue for one in told})
    if queues:
        commands.append(("SADD", link.keys.queues, *queues))
    keywords = sorted({one.keyword for one in told if one.keyword is not None})
    commands += [("SADD", link.keys.keyword_shards(one), shard) for one in keywords]
    if commands:
        await link.try_typed(commands)
    done: set[str] = set()
    ids = sorted(wanted)
    for first in range(0, len(ids), MAX_BATCH):
        batch = ids[first : first + MAX_BATCH]
        done |= (await transact(link, batch, _again, claim=True, signal=True)).keys()
    return done


def _again(records: Mapping[str, Record | None], _: int) -> dict[str, Change]:
    changes: dict[str, Change] = {}
    for job_id, record in records.items():
        if record is None:
            changes[job_id] = Change(None, index_only=True)
            continue
        try:
            at = expected(record).at
        except UnreadableError:
            continue
        changes[job_id] = Change(record, at, index_only=True)
    return changes
