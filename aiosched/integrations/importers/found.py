"""What is found at another scheduler, in the shape that all sources share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiosched.errors import InvalidInputError
from aiosched.instants import micros, moment
from aiosched.integrations.importers.names import Names
from aiosched.jobs import Job, JobOptions
from aiosched.triggers.base import Trigger
from aiosched.triggers.combining import OrTrigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.inputs import stamp

__all__ = ["FORMAT", "VERSION", "Found", "Left", "Schedule", "Taken", "take"]

FORMAT, VERSION = "aiosched.jobs", 1
"""Of the document that ``aiosched import`` takes."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule as another scheduler has it, in our words.

    Attributes:
        id: What it is called there; unique in its source.
        does: The function or task that it runs, as it is called there.
        trigger: When it fires.
        next: When it fires next there; None: the source does not say, because it
            keeps no state, or because the schedule is paused.
        args: Positional arguments.
        kwargs: Named arguments.
        options: What else is said of the job.
        remarks: What is not the same here.
    """

    id: str
    does: str
    trigger: Trigger
    next: datetime | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: JobOptions = field(default_factory=lambda: JobOptions())
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """What cannot be a job.

    Attributes:
        id: What it is called at its source.
        reason: Why, and what can be done about it.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that was made of a schedule.

    Attributes:
        job: What is to be stored.
        next: The first slot that is ours; one in the past is owed, and runs late.
        told: Whether the source said so; else it was counted from the hand-over.
        remarks: What is not the same here.
    """

    job: Job
    next: datetime
    told: bool
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All that was found at a source.

    Attributes:
        jobs: Sorted by id.
        left_out: What cannot be a job, sorted by id.
        at: The instant of the hand-over; slots up to it belong to the other
            scheduler where its store does not say what it has fired.
        running: How the other scheduler shows that it still runs; None: it does
            not show it, which not all of them would.
    """

    jobs: tuple[Taken, ...]
    left_out: tuple[Left, ...]
    at: datetime
    running: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the jobs as the document that ``aiosched import`` takes.

        Import it with its state kept (``keep_state=True``, ``--keep-state``): that
        is what makes the first slot here the next one there.  A second import of
        the same document changes nothing.
        """
        return {
            "format": FORMAT,
            "version": VERSION,
            "exported_at": self.at.isoformat(),
            "namespace": "",
            "jobs": [
                {
                    "job": one.job.to_dict(),
                    "state": {"next_slot": one.next.isoformat()},
                }
                for one in self.jobs
            ],
            "left_out": [{"id": one.id, "reason": one.reason} for one in self.left_out],
        }


def take(
    schedules: Iterable[Schedule | Left],
    *,
    at: datetime,
    names: Names,
    prefix: str = "",
    running: str | None = None,
) -> Found:
    """Make jobs of schedules; what cannot be one is told, and never dropped.

    Args:
        schedules: What a source holds.
        at: The instant of the hand-over, aware.
        names: Which executor stands for which function.
        prefix: What stands before each id here.
        running: How the other scheduler shows that it runs.
    """
    jobs: dict[str, Taken] = {}
    left: list[Left] = []
    for one in schedules:
        made = one if isinstance(one, Left) else _taken(one, at, names, prefix)
        if isinstance(made, Left):
            left.append(made)
        elif made.job.id in jobs:
            left.append(Left(one.id, "another schedule has the same id"))
        else:
            jobs[made.job.id] = made
    return Found(
        tuple(jobs[job_id] for job_id in sorted(jobs)),
        tuple(sorted(left, key=lambda one: one.id)),
        at,
        running,
    )


def _taken(one: Schedule, at: datetime, names: Names, prefix: str) -> Taken | Left:
    executor = names.executor(one.does)
    if executor is None:
        return Left(
            one.id,
            f"no executor is named for {one.does}: map {one.does}=NAME, or keep names",
        )
    job_id = prefix + one.id
    try:
        trigger = one.trigger.for_job(job_id).anchored(at)
        trigger, first, remarks = _fitted(trigger, one.next, at)
        options: Any = {**one.options, "id": job_id, "trigger": trigger}
        job = Job(executor, one.args, one.kwargs, **options)
        data = job.to_dict()  # arguments that have no JSON form are refused here
    except InvalidInputError as error:
        return Left(one.id, str(error))
    if first is None:
        return Left(one.id, f"nothing is to come: {trigger.describe()}")
    if (data["args"], data["kwargs"]) != (list(one.args), dict(one.kwargs)):
        remarks += (
            "its arguments become JSON: what is no JSON value is text or a list",
        )
    return Taken(job, first, one.next is not None, (*one.remarks, *remarks))


def _fitted(
    trigger: Trigger, following: datetime | None, at: datetime
) -> tuple[Trigger, datetime | None, tuple[str, ...]]:
    """Make sure that a trigger has the slot that is next at the source.

    Returns:
        The trigger, its first slot, and what there is to say about it.
    """
    if following is None:
        slot = trigger.next(micros(at))
        return trigger, None if slot is None else moment(slot), ()
    first = micros(following)
    if trigger.next(first - 1) == first:
        return trigger, moment(first), ()
    odd = f"its next run, {stamp(moment(first))}, is no fire time of: "
    remark = odd + f"{trigger.describe()}; it is kept as one more"
    once = DateTrigger(moment(first))
    if trigger.next(first) is None:
        return once, moment(first), (remark,)
    # Fire times before the one that is next have been fired, or were never to be.
    later = _from(trigger, first)
    return OrTrigger([once, later]), moment(first), (remark,)


def _from(trigger: Trigger, first: int) -> Trigger:
    """Return the copy without slots before an instant, if it can be one."""
    fields = {name: getattr(trigger, name) for name in type(trigger).model_fields}
    if trigger.kind in ("cron", "and", "or") and fields.get("start") is None:
        return type(trigger)(**{**fields, "start": moment(first)})
    return trigger
