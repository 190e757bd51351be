"""What is to come: fire times before they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from aiosched import planning
from aiosched._api.base import Base, first_due, job_id_of
from aiosched._api.options import instant_of, optional_text
from aiosched.enums import OnConflict
from aiosched.errors import ConfigurationError, TriggerError
from aiosched.instants import SECOND, moment
from aiosched.jobs import Job, checks
from aiosched.jobs.outlook import Preview, preview_of, zone_of
from aiosched.planning.outlook import outlook
from aiosched.records import Definition, Record, Spec
from aiosched.triggers.base import Trigger
from aiosched.triggers.inputs import zone_name

__all__ = ["MOST_PREVIEWS", "Previewing", "previews"]

MOST_PREVIEWS = 10_000
"""Fire times that one call may ask for."""

_AT_ONCE = 100
"""Fire times that are worked out before others get their turn on the loop."""

_FIRST_HEADS = 8
"""Entries of each agenda that are read before more are."""

_RECORDS = 100


class Previewing(Base):
    """What is to come: fire times before they are."""

    async def preview(
        self,
        what: Job | Trigger | str,
        n: int = 10,
        *,
        after: datetime | None = None,
        tz: str | None = None,
    ) -> list[Preview]:
        """Return the fire times that are to come, exactly as they will be.

        Jitter, exclusions and their shift, a pause that ends, ``max_runs`` and
        the end of the trigger are in it.  It is assumed that peers are there,
        that a run ends before the next slot, and that nobody changes the job;
        fires by keyword or hand are not foreseen.  Nothing is written.

        Args:
            what: A job's id: what is stored.  A ``Job``: as if it were
                scheduled now with ``on_conflict="replace"``, which for the job
                that is stored is what is stored.  A trigger: as if a job with
                it were scheduled now; that needs no started scheduler.
            n: How many, 1 to 10,000.
            after: Only those that start later; an aware datetime.  None: all,
                beginning with what is late already.  A trigger, or a job that
                is not stored, is scheduled then if that is earlier than now.
            tz: Zone in which to show them; None: that of the trigger.

        Returns:
            In the order in which they start; fewer than ``n`` where the job or
            trigger ends, or nothing comes in 10,000 looks ahead; none while it
            is paused for good.

        Raises:
            JobNotFoundError: There is no job with that id (any more).
            ConfigurationError: ``n`` or ``after`` cannot be used, or ``what``
                is none of these.
            TriggerError: The trigger has no slot left, depends on the id of a
                job that is not there, or ``tz`` is no zone.
        """
        checks.number("n", n, least=1, most=MOST_PREVIEWS)
        later = None if after is None else instant_of("after", after)
        zone = None if tz is None else zone_name(tz)
        if isinstance(what, Trigger):
            now = self._clock.wall() if self._session is None else self._estimated()
            now = now if later is None else min(now, later)
            record = _as_if_scheduled(what, now)
        else:
            record, now = await self._foreseen(what, later)
        found: list[Preview] = []
        for preview in previews(record, now, later, zone):
            found.append(preview)
            if len(found) >= n:
                break
            if len(found) % _AT_ONCE == 0:
                await self._clock.sleep(0)
        return found

    async def next_fire_time(
        self, job: Job | str | None = None, *, tag: str | None = None
    ) -> datetime | None:
        """Return when the next slot starts, of one job or of all.

        With what is late already it is in the past.  For one job this reads
        its record.  For all it reads the heads of the agendas and the records
        at their front, in order, until none can be earlier: a few round trips,
        however many jobs there are, unless a tag is rare among many jobs.

        Args:
            job: Which one; None: all.
            tag: Of all, only those that carry it.

        Returns:
            In UTC, shift and jitter included; None if nothing is to come.

        Raises:
            JobNotFoundError: There is no such job (any more).
            ConfigurationError: Both a job and a tag, or a tag that is not text.
        """
        optional_text("tag", tag)
        if job is None:
            found = await self._earliest(tag)
        elif tag is not None:
            raise ConfigurationError(
                "tag", tag, "a job is named as well", "give one of the two"
            )
        else:
            job_id = job_id_of(job)
            records = await self._opened().read([job_id])
            record = planning.living(records.get(job_id), job_id)
            found = first_due(record, self._estimated())
        return None if found is None else moment(found)

    async def idle_seconds(self, *, tag: str | None = None) -> float | None:
        """Return how long it is to the next slot of any job.

        Costs what :meth:`next_fire_time` costs.

        Args:
            tag: Only of jobs that carry it.

        Returns:
            Seconds: positive while nothing is due, negative where it is late,
            None if nothing is to come.
        """
        optional_text("tag", tag)
        found = await self._earliest(tag)
        return None if found is None else (found - self._estimated()) / SECOND

    # -- helpers -----------------------------------------------------------

    def _estimated(self) -> int:
        return self._opened().estimate()

    async def _foreseen(
        self, what: Job | str, later: int | None
    ) -> tuple[Record | None, int]:
        """Return the record whose slots are to be shown, and as of when."""
        job_id = job_id_of(what)
        record = (await self._opened().read([job_id])).get(job_id)
        now = self._estimated()
        if not isinstance(what, Job):
            return planning.living(record, job_id), now
        definition = await self._definition(what, allow_unknown=True)
        if record is None and later is not None:
            now = min(now, later)
        change = planning.schedule(
            definition, record, now, on_conflict=OnConflict.REPLACE, paused=what.paused
        )
        return (record if change is None else change.record), now

    async def _earliest(self, tag: str | None) -> int | None:
        """Find the first slot of all: agendas never say later than it is.

        An entry's instant is a bound from below for its job's next slot, so
        records are read in that order until the bound passes what was found.
        """
        session, engine = self._opened(), self._running_engine()
        keys = [
            (shard, queue)
            for queue in engine.membership.queues
            for shard in range(session.terms.shards)
        ]
        best: int | None = None
        seen: set[str] = set()
        limit = _FIRST_HEADS
        while keys:
            heads = await session.agenda(keys, limit=limit)
            entries = sorted(
                (at, job_id)
                for head in heads
                for job_id, at in head.entries
                if job_id not in seen
            )
            for first in range(0, len(entries), _RECORDS):
                part = entries[first : first + _RECORDS]
                if best is not None and part[0][0] >= best:
                    break
                seen.update(job_id for _, job_id in part)
                best = await self._better([job_id for _, job_id in part], tag, best)
            keys = [
                (head.shard, head.queue)
                for head in heads
                if not head.complete
                and head.entries
                and (best is None or head.entries[-1][1] < best)
            ]
            limit *= 8
        return best

    async def _better(
        self, ids: list[str], tag: str | None, best: int | None
    ) -> int | None:
        now = self._estimated()
        records: Iterable[Record] = (await self._opened().read(ids)).values()
        for record in records:
            if tag is not None and tag not in record.definition.spec.tags:
                continue
            found = first_due(record, now)
            if found is not None and (best is None or found < best):
                best = found
        return best


def previews(
    record: Record | None, now: int, after: int | None = None, tz: str | None = None
) -> Iterator[Preview]:
    """Show what is to come of a record; as :func:`outlook`, for people."""
    if record is None:
        return
    definition = record.definition
    trigger = definition.spec.trigger
    if trigger is not None and definition.anchor is not None:
        trigger = trigger.with_instant(definition.anchor)
    zone = zone_of(trigger) if tz is None else tz
    for coming in outlook(record, now, after):
        yield preview_of(coming.slot, coming.due, trigger, zone)


def _as_if_scheduled(trigger: Trigger, now: int) -> Record | None:
    if trigger.for_job("a") != trigger:
        raise TriggerError(
            "trigger",
            trigger.describe(),
            "depends on the id of its job",
            'preview a Job with it and an id: Job("work", trigger=..., id="nightly")',
        )
    spec = Spec(executor="", trigger=trigger.rule())
    change = planning.schedule(
        Definition("preview", spec, trigger.own_instant()), None, now
    )
    return None if change is None else change.record
