"""Cron expressions in a named zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal, Self

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT, Trigger
from aiosched.triggers.cronfields import CronFields, Seconds, read_expression
from aiosched.triggers.cronhashed import check_draws, settle, settle_by
from aiosched.triggers.cronkeywords import expression_of
from aiosched.triggers.cronparts import FIELDS, Draw
from aiosched.triggers.crontable import CronTable, cron_table
from aiosched.triggers.cronwords import describe_cron
from aiosched.triggers.inputs import check_order, read_instant, stamp, zone_name
from aiosched.triggers.walltime import Fold, Gap, WallSchedule

__all__ = ["CronTrigger"]


class CronTrigger(Trigger, frozen=True):
    """Fires when the wall clock of a zone matches a cron expression.

    The fields are minute, hour, day of month, month and day of week, with
    numbers, names (``mon``, ``jan``), ranges, steps, lists, ``?``, ``L`` (last day
    of the month), ``L-3``, ``LW`` (last Monday to Friday), ``15W`` (nearest Monday
    to Friday), ``fri#2`` (second Friday), ``5L`` (last Friday), and nicknames from
    ``@hourly`` to ``@yearly``.  APScheduler's ``last``, ``last fri`` and ``2nd mon``
    are read as ``L``, ``5L`` and ``mon#2``, also as a day of the month.  Sunday is 0
    and 7.  If day of month and day of week are both restricted (anything but a bare
    ``*`` or ``?``), a day matches that matches either.

    ``H`` stands for a number that follows from the id of the job (``H``, ``H/15``,
    ``H(0-29)``, ``H(0-29)/10``), so that many jobs of one expression spread out.
    Scheduling a job settles it; until then it has no fire times, and
    :meth:`for_job` answers what a job of some id will have.

    Clock changes: where the minute or hour field starts with ``*`` the schedule
    follows elapsed time, so nothing is made up for the times that a gap leaves
    out, and both passes of the times that a fold repeats are used.  Any other
    schedule fires once for each of its times: what falls into a gap comes at the
    gap's end (several of them together), and of a fold the first pass counts.  A
    gap of more than three hours is never made up.

    Attributes:
        expression: As written.
        tz: Name of the zone.
        seconds: Where a sixth field, the second, stands; None: five fields.
        start: No slot is earlier; a slot may fall on it.
        end: No slot is later; a slot may fall on it.
        day_or: Whether two restricted day fields are joined by "or"; else by
            "and".
        gap: ``"next"`` makes up for a gap, ``"skip"`` does not; None: by the rule
            above.
        fold: Which pass of a fold counts, ``"first"``, ``"last"`` or ``"both"``;
            None: by the rule above.
    """

    kind: Literal["cron"] = "cron"
    expression: str
    tz: str = "UTC"
    seconds: Seconds | None = None
    start: datetime | None = None
    end: datetime | None = None
    day_or: bool = True
    gap: Gap | None = None
    fold: Fold | None = None
    exact: ClassVar[bool] = True

    def __init__(
        self,
        expression: str,
        *,
        tz: str = "UTC",
        seconds: Seconds | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        day_or: bool = True,
        gap: Gap | None = None,
        fold: Fold | None = None,
        **data: Any,
    ) -> None:
        """Read the expression and check that it can ever fire.

        Args:
            expression: Five fields, or six where ``seconds`` is given.
            tz: Name of a zone of the tz database.
            seconds: Where the second stands: ``"first"`` or ``"last"``.
            start: The first instant that may be a slot, aware.
            end: The last instant that may be a slot, aware.
            day_or: Join two restricted day fields by "or".
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: The expression is wrong or can never match, the zone is
                unknown, a bound is naive, or the end is before the start.
        """
        if not isinstance(expression, str):
            raise TriggerError(
                "expression", expression, "is not text", 'write it like "0 9 * * *"'
            )
        # Only what cron takes for a blank is one; the rest is refused when read.
        text = " ".join(expression.split()) if expression.isascii() else expression
        first, final = read_instant(start, "start"), read_instant(end, "end")
        check_order(first, final)
        super().__init__(
            expression=text,
            tz=zone_name(tz),
            seconds=seconds,
            start=first,
            end=final,
            day_or=day_or,
            gap=gap,
            fold=fold,
            **data,
        )
        _tested(self.expression, self.seconds, self.day_or)

    @classmethod
    def of(
        cls,
        *,
        second: int | str | None = None,
        minute: int | str | None = None,
        hour: int | str | None = None,
        day: int | str | None = None,
        month: int | str | None = None,
        day_of_week: int | str | None = None,
        year: None = None,
        week: None = None,
        tz: str = "UTC",
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        day_or: bool = True,
        gap: Gap | None = None,
        fold: Fold | None = None,
    ) -> Self:
        """Build one from fields said by name, as APScheduler's users know it.

        A field that is left out is ``*`` if a less significant one is said, else
        its least number: ``of(day=1, minute=20)`` is ``20 * 1 * *``, and
        ``of(hour=9)`` is ``0 9 * * *``.  The order is month, day, day_of_week,
        hour, minute, second; a day of week that is left out is always ``*``.

        Each field is what stands in an expression.  Two things are cron's and not
        APScheduler's: numbers of ``day_of_week`` count from Sunday, 0, so names
        are safer; and ``day`` with ``day_of_week`` means either, unless
        ``day_or=False``.

        Args:
            second: Such as ``"*/20"``.
            minute: Such as ``30`` or ``"H"``.
            hour: Such as ``"9-17"``.
            day: Of the month, such as ``"last fri"``.
            month: Such as ``"jan,jul"``.
            day_of_week: Such as ``"mon-fri"``.
            year: Refused; ``start`` and ``end`` say it.
            week: Refused; a :class:`~aiosched.CalendarIntervalTrigger` says it.
            tz: As for the class, like all that follow.
            start: The first instant that may be a slot, aware.
            end: The last instant that may be a slot, aware.
            day_or: Join two restricted day fields by "or".
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.

        Raises:
            TriggerError: No field is said, one is not one field of a cron
                expression, or what they say is refused by the class.
        """
        for name, value, remedy in (
            ("year", year, "say the years by start= and end="),
            ("week", week, "use CalendarIntervalTrigger(weeks=...) with a start"),
        ):
            if value is not None:
                raise TriggerError(name, value, "is no field of cron", remedy)
        expression, six = expression_of(
            {
                "second": second,
                "minute": minute,
                "hour": hour,
                "day": day,
                "month": month,
                "day_of_week": day_of_week,
            }
        )
        return cls(
            expression,
            tz=tz,
            seconds="first" if six else None,
            start=start,
            end=end,
            day_or=day_or,
            gap=gap,
            fold=fold,
        )

    def describe(self) -> str:
        """Say in words what the expression means, and where."""
        words = describe_cron(self._fields, day_or=self.day_or)
        words += f", {self.tz}"
        if self.start is not None:
            words += f", from {stamp(self.start)}"
        if self.end is not None:
            words += f", until {stamp(self.end)}"
        return f"{words}; drawn from the job's id" if self._fields.hashed else words

    def needs_pin(self) -> bool:
        """Tell whether it has an ``H``, which only a job's id settles."""
        return self._fields.hashed

    def for_job(self, job_id: str) -> Self:
        """Return the copy in which each ``H`` is the number that a job draws.

        The answer depends on the expression and the id alone, everywhere and for
        ever.  Without an ``H`` it is the trigger itself.
        """
        if not self._fields.hashed:
            return self
        return self._saying(settle(self.expression, self.seconds, job_id))

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot later than ``after``; ``anchor`` has no part in it."""
        del anchor
        low, high = self._bounds
        slot = self._schedule.next(max(after, low - 1) // SECOND)
        return None if slot is None or slot * SECOND > high else slot * SECOND

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot up to ``until``; ``anchor`` has no part in it."""
        del anchor
        low, high = self._bounds
        slot = self._schedule.last(min(until, high) // SECOND)
        return None if slot is None or slot * SECOND < low else slot * SECOND

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count the slots of ``first … until``, by days and not one by one."""
        del anchor
        low, high = self._bounds
        first, until = max(first, low), min(until, high)
        if until < first:
            return 0
        return self._schedule.count(-(-first // SECOND), until // SECOND)

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the start; ``anchor`` has no part in it."""
        del anchor
        return None if self.start is None else micros(self.start)

    def closes(self) -> int | None:
        """Return the end."""
        return None if self.end is None else micros(self.end)

    def _draws(self) -> Iterator[tuple[str, Draw]]:
        for field, draws in zip(FIELDS, self._fields.draws, strict=True):
            for draw in draws:
                yield field.name, draw

    def _drawn(self, numbers: Mapping[str, int]) -> Self:
        if not self._fields.hashed:
            return self
        return self._saying(
            settle_by(self.expression, self.seconds, lambda name: numbers[name])
        )

    def _saying(self, expression: str) -> Self:
        fields: dict[str, Any] = {
            name: getattr(self, name) for name in type(self).model_fields
        }
        fields["expression"] = expression
        return type(self)(**fields)

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        return (
            FIRST_INSTANT if self.start is None else micros(self.start),
            LAST_INSTANT if self.end is None else micros(self.end),
        )

    @property
    def _fields(self) -> CronFields:
        return read_expression(self.expression, self.seconds)

    @cached_property
    def _schedule(self) -> WallSchedule[CronTable]:
        if self._fields.hashed:
            raise TriggerError(
                "expression",
                self.expression,
                "H is drawn from the id of a job, and no job is known here",
                "ask scheduler.preview(job), or trigger.for_job(id)",
            )
        return _schedule(
            self.expression, self.seconds, self.day_or, self.tz, self.gap, self.fold
        )


@lru_cache(maxsize=4096)
def _schedule(
    expression: str,
    seconds: Seconds | None,
    day_or: bool,  # noqa: FBT001 - part of a cache key
    tz: str,
    gap: Gap | None,
    fold: Fold | None,
) -> WallSchedule[CronTable]:
    """Return the schedule that all equal triggers share."""
    table = cron_table(expression, seconds, day_or)
    elapsed = table.fields.elapsed
    return WallSchedule(
        table,
        tz,
        gap or ("skip" if elapsed else "next"),
        fold or ("both" if elapsed else "first"),
    )


@lru_cache(maxsize=1024)
def _tested(
    expression: str,
    seconds: Seconds | None,
    day_or: bool,  # noqa: FBT001 - part of a cache key
) -> None:
    """Refuse an expression that cannot be read or that no date ever matches."""
    if read_expression(expression, seconds).hashed:
        check_draws(expression, seconds, day_or=day_or)
    elif not cron_table(expression, seconds, day_or).ever_fires():
        raise TriggerError(
            "expression",
            expression,
            "day of month: no date ever matches it",
            "choose a day that the month has",
        )
