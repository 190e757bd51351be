"""Running the slots of the past."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from aiosched import planning
from aiosched._api.base import Base, DecideOne, job_id_of
from aiosched._api.defining import scheduling
from aiosched._api.options import instant_of
from aiosched.enums import Coalesce, JobState, OnConflict, Overlap
from aiosched.errors import ConfigurationError, JobExistsError, JobNotFoundError
from aiosched.instants import moment, span
from aiosched.jobs import DEFAULT_KEEP, Job, checks
from aiosched.jobs.outlook import Backfill
from aiosched.planning.compare import digest
from aiosched.records import Change, Definition, Record
from aiosched.rows import Act
from aiosched.triggers.backfill import BackfillTrigger
from aiosched.triggers.base import Stretch, Trigger

__all__ = ["Backfilling"]

_SHOWN = 100
"""Slots that an answer names one by one."""

_AT_ONCE = 100
"""Stretches that are counted before others get their turn on the loop."""

_TAG = "backfill"

_TOLD_APART = 16
"""Digits that stand for a job's id where it is too long to be part of another."""


@dataclass(slots=True)
class _Survey:
    """What a range of the past has to be run, and what not.

    Attributes:
        begin: Its first slot, excluded or not.
        end: Its last slot, likewise.
        slots: The first of those to be run.
        excluded: The first of those that are not.
    """

    begin: int | None = None
    end: int | None = None
    first: int | None = None
    last: int | None = None
    number: int = 0
    number_excluded: int = 0
    slots: list[datetime] = field(default_factory=list)
    excluded: list[datetime] = field(default_factory=list)

    def add(self, trigger: Trigger, slot: int, stretch: Stretch) -> None:
        """Add a stretch of slots that begins with ``slot``."""
        named = self.excluded
        if stretch.fate == "excluded":
            self.number_excluded += stretch.number
        else:
            named = self.slots
            self.number += stretch.number
            self.first = slot if self.first is None else self.first
            self.last = stretch.last
        self.begin = slot if self.begin is None else self.begin
        self.end = stretch.last
        following: int | None = slot
        while len(named) < _SHOWN and following is not None:
            if following > stretch.last:
                break
            named.append(moment(following))
            following = trigger.next(following)


class Backfilling(Base):
    """Running the slots of the past."""

    async def backfill(
        self,
        job: Job | str,
        since: datetime,
        until: datetime | None = None,
        *,
        dry_run: bool = False,
        max_running: int = 1,
        id: str | None = None,  # noqa: A002 - what it is called everywhere
        by: str | None = None,
        note: str = "",
    ) -> Backfill:
        """Run a job for each slot that its trigger had in a range of the past.

        A job of its own does it: with the executor, arguments, rules and queue
        that the job has now, without its keyword, jitter and ``max_runs``, and
        with its tags and ``backfill``.  Each slot is run once, oldest first,
        with ``context.fire_time`` the slot; no grace makes one lapse.  The job
        itself goes on as it was.  Pause, stop or remove the other by its id.

        The slots are those of the trigger as it is now, also from before the
        job was created; those that it excludes are left out, and those that
        it has moved to a day that is yet to come are the job's own.  An interval has
        slots from its start on, which is when it was scheduled unless it was
        given one.

        Calling again for the same slots changes nothing, while the other job
        is there or remembered (the ``keep`` of the job, and at least 7 days).
        If the job was changed since, or something else is asked of its slots,
        that is refused, so that no slot is run twice unasked: give another
        ``id`` to run them again.

        Args:
            job: Which one; it may be paused or finished.
            since: The first instant that may be a slot, aware.
            until: The last one, not later than now; None: now.
            dry_run: Count and name the slots, and write nothing.
            max_running: How many of them run at a time, 1 to 100.
            id: Of the other job; None: from the job's id and the first and last
                slot; a long id is cut, with a digest in place of its rest.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.
            note: Why; up to 1,000 characters.  It is kept with the other job.

        Returns:
            What is run; ``job`` is None if there is nothing to run, or with
            ``dry_run``.

        Raises:
            JobNotFoundError: There is no such job (any more).
            ConfigurationError: The range is none of the past, the job has no
                trigger, or an option cannot be used; nothing was written.
            JobExistsError: The id belongs to another job, or to a backfill
                that differs (the job was changed since, or ``max_running`` or
                ``note`` are others), be it finished; nothing was written.
        """
        job_id = job_id_of(job)
        checks.flag("dry_run", dry_run)
        checks.number("max_running", max_running, least=1, most=checks.MAX_RUNNING)
        act = self._act(by, note)
        if id is not None:
            checks.identifier("id", id)
        record = (await self._opened().read([job_id])).get(job_id)
        if record is None or record.state.status is JobState.REMOVED:
            raise JobNotFoundError(job_id)
        begin, end = self._range(since, until)
        trigger = _trigger_of(record)
        survey = await self._survey(trigger, begin, end)
        other = id or _id_of(job_id, survey)
        if survey.number and not dry_run:
            checks.identifier("id", other)
            definition = _definition(record, other, trigger, survey, max_running, note)
            decide = _deciding(definition, act)
            stored = await self._decide(other, decide, "job_scheduled")
            made = self._snapshot(stored, other)
            return _answer(other, made, survey)
        return _answer(other, None, survey)

    def _range(self, since: datetime, until: datetime | None) -> tuple[int, int]:
        now = self._opened().estimate()
        begin = instant_of("since", since)
        end = now if until is None else instant_of("until", until)
        if end > now:
            raise ConfigurationError(
                "until", until, "is in the future", "leave what is to come to the job"
            )
        if begin >= end:
            raise ConfigurationError(
                "since", since, "is not before the end", "choose an earlier one"
            )
        return begin, end

    async def _survey(self, trigger: Trigger, begin: int, end: int) -> _Survey:
        """Count what is in the range, stretch by stretch."""
        survey, looks, now = _Survey(), 0, self._opened().estimate()
        slot = trigger.next(begin - 1)
        while slot is not None and slot <= end:
            stretch = _past(trigger, slot, trigger.stretch(slot, end), now)
            if not stretch.number:
                break
            survey.add(trigger, slot, stretch)
            slot = trigger.next(stretch.last)
            looks += 1
            if looks % _AT_ONCE == 0:
                await self._clock.sleep(0)
        return survey


def _deciding(definition: Definition, act: Act) -> DecideOne:
    """Create a backfill once; another one, be it finished, is not run again."""
    once = scheduling(definition, OnConflict.RAISE, act, paused=False, again=False)

    def decide(record: Record | None, now: int) -> Change | None:
        if record is not None and record.state.status is JobState.FINISHED:
            changed = planning.differing(record.definition, definition)
            if changed:
                raise JobExistsError(definition.id, changed)
        return once(record, now)

    return decide


def _past(trigger: Trigger, slot: int, stretch: Stretch, now: int) -> Stretch:
    """Leave out what was moved to an instant that is yet to come.

    Those slots are the job's own to run.
    """
    if stretch.fate != "moved" or _is_past(trigger, stretch.last, now):
        return stretch
    low, high = slot - 1, stretch.last
    while high - low > 1:
        middle = (low + high) // 2
        last = trigger.last(middle)
        if last is None or last < slot or _is_past(trigger, last, now):
            low = middle
        else:
            high = middle
    if low < slot:
        return Stretch(slot, 0, "moved")
    return trigger.stretch(slot, low)


def _is_past(trigger: Trigger, slot: int, now: int) -> bool:
    due = trigger.due(slot)
    return due is None or due <= now


def _trigger_of(record: Record) -> Trigger:
    definition = record.definition
    if definition.spec.trigger is None:
        raise ConfigurationError(
            "job",
            definition.id,
            "has no trigger, so no slots",
            "backfill a job that has one",
        )
    return definition.spec.trigger.with_instant(definition.anchor)


def _id_of(job_id: str, survey: _Survey) -> str:
    """Name the backfill after its slots, so that the same ones are the same job."""
    behind = ".backfill"
    if survey.begin is not None and survey.end is not None:
        behind += f".{_mark(survey.begin)}.{_mark(survey.end)}"
    room = checks.MAX_NAME - len(behind)
    if len(job_id) > room:
        told = digest(job_id.encode())[:_TOLD_APART]
        job_id = f"{job_id[: room - len(told) - 1]}~{told}"
    return job_id + behind


def _mark(instant: int) -> str:
    when = moment(instant)
    text = f"{when.year:04}{when:%m%dT%H%M%S}"
    return f"{text}.{when.microsecond:06}Z" if when.microsecond else f"{text}Z"


def _definition(
    record: Record,
    job_id: str,
    trigger: Trigger,
    survey: _Survey,
    max_running: int,
    note: str,
) -> Definition:
    """Write the job that runs the slots."""
    source = record.definition
    past = BackfillTrigger(
        trigger, since=moment(survey.begin or 0), until=moment(survey.end or 0)
    )
    tags = tuple(dict.fromkeys((*source.spec.tags, _TAG)))[: checks.MAX_TAGS]
    spec = replace(
        source.spec,
        trigger=past.rule(),
        keyword=None,
        max_runs=None,
        misfire_grace=None,
        coalesce=Coalesce.ALL,
        coalesce_limit=None,
        overlap=Overlap.ALLOW,
        max_running=max_running,
        jitter=0,
        tags=tags,
        note=note or source.spec.note,
        declared=None,
        delay=None,
        unpinned=None,
        keep=max(source.spec.keep, span(DEFAULT_KEEP)),
    )
    return Definition(job_id, spec, past.own_instant(), source.arguments)


def _answer(job_id: str, job: Job | None, survey: _Survey) -> Backfill:
    return Backfill(
        job_id,
        job,
        survey.number,
        None if survey.first is None else moment(survey.first),
        None if survey.last is None else moment(survey.last),
        tuple(survey.slots),
        survey.number_excluded,
        tuple(survey.excluded),
    )
