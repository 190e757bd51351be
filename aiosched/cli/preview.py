"""``aiosched preview`` and ``aiosched next``: fire times that are to come."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from aiosched.cli.codes import CannotError
from aiosched.cli.place import Place, work
from aiosched.cli.printable import printable
from aiosched.errors import InvalidInputError
from aiosched.jobs.outlook import Preview
from aiosched.scheduler import Scheduler
from aiosched.triggers import CronTrigger, Trigger

__all__ = ["Asked", "preview_line", "print_preview"]

_SAID_IN_CODE = 'seconds="first" or seconds="last"'
_SAID_HERE = "--seconds first or --seconds last"
"""The remedy for six fields, in the words of a program and of this command."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be foreseen.

    Attributes:
        what: A job's id where there is a store, else a cron expression.
        n: How many fire times.
        tz: Of an expression, the zone it is meant in; of a job, the zone to
            show; None: UTC, and that of its trigger.
        after: Only later ones; None: from now on.
        seconds: Where a sixth field of an expression stands.
        job_id: Whose ``H`` is meant in an expression; None: it has none.
        store: URL of the store of a job; None: ``what`` is an expression.
        namespace: Where the job is.
        as_json: One JSON array rather than lines.
    """

    what: str
    n: int = 5
    tz: str | None = None
    after: datetime | None = None
    seconds: Literal["first", "last"] | None = None
    job_id: str | None = None
    store: str | None = None
    namespace: str = "aiosched"
    as_json: bool = False


def print_preview(asked: Asked) -> int:
    """Print fire times with local time, UTC, and what the clock does that day.

    Returns:
        0, also if nothing is to come.

    Raises:
        CannotError: The expression, zone or store cannot be used.
        JobNotFoundError: There is no such job.
        StoreUnavailableError: The store does not answer.
    """
    try:
        if asked.store is None:
            trigger = _trigger(asked)
            title = trigger.describe()
            found = asyncio.run(
                Scheduler().preview(trigger, asked.n, after=asked.after)
            )
        else:
            title = f"job {asked.what!r}"
            found = _stored(asked, Place(asked.store, asked.namespace))
    except InvalidInputError as error:
        raise CannotError(str(error).replace(_SAID_IN_CODE, _SAID_HERE)) from None
    if asked.as_json:
        print(json.dumps([one.to_dict() for one in found], indent=2))
        return 0
    print(printable(title))
    for one in found:
        print(preview_line(one))
    if not found:
        print("nothing is to come")
    return 0


def _trigger(asked: Asked) -> Trigger:
    trigger: Trigger = CronTrigger(
        asked.what, tz="UTC" if asked.tz is None else asked.tz, seconds=asked.seconds
    )
    if asked.job_id is not None:
        return trigger.for_job(asked.job_id)
    if trigger.for_job("a") != trigger:
        raise CannotError(
            f"expression={asked.what!r}: depends on the id of its job; say which: "
            "--id nightly"
        )
    return trigger


def _stored(asked: Asked, place: Place) -> list[Preview]:
    async def deed(scheduler: Scheduler) -> list[Preview]:
        return await scheduler.preview(
            asked.what, asked.n, after=asked.after, tz=asked.tz
        )

    return work(place, deed)


def preview_line(one: Preview) -> str:
    """Write a fire time as one line."""
    line = f"{one.local:%a} {_clock(one.local)}  {one.tz}  {_clock(one.due)}"
    marks = []
    if one.clock_change:
        sign = "+" if one.clock_change > timedelta(0) else "-"
        marks.append(f"clock change {sign}{abs(one.clock_change)}")
    if one.made_up:
        marks.append("in place of a time that is left out")
    if one.repeated is not None:
        marks.append(f"{one.repeated} pass")
    if one.delay:
        marks.append(f"slot {_clock(one.slot)}")
    return f"{line}  {', '.join(marks)}" if marks else line


def _clock(value: datetime) -> str:
    """Write an instant with its offset, without needless digits."""
    text = value.replace(tzinfo=None).isoformat(" ", "seconds")
    if value.microsecond:
        text += f".{value.microsecond:06}".rstrip("0")
    return f"{text} UTC" if value.tzinfo is UTC else text + value.isoformat()[-6:]
