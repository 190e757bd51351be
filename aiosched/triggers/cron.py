"""Cron expressions in a named zone."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT, Trigger
from aiosched.triggers.cronfields import Seconds
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
    ``@hourly`` to ``@yearly``.  Sunday is 0 and 7.  If day of month and day of week
    are both restricted (anything but a bare ``*`` or ``?``), a day matches that
    matches either.

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

    def describe(self) -> str:
        """Say in words what the expression means, and where."""
        words = describe_cron(self._schedule.table.fields, day_or=self.day_or)
        words += f", {self.tz}"
        if self.start is not None:
            words += f", from {stamp(self.start)}"
        return words if self.end is None else f"{words}, until {stamp(self.end)}"

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

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        return (
            FIRST_INSTANT if self.start is None else micros(self.start),
            LAST_INSTANT if self.end is None else micros(self.end),
        )

    @cached_property
    def _schedule(self) -> WallSchedule[CronTable]:
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
    if not cron_table(expression, seconds, day_or).ever_fires():
        raise TriggerError(
            "expression",
            expression,
            "day of month: no date ever matches it",
            "choose a day that the month has",
        )
