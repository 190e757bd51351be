"""Recurrence rules of RFC 5545 in a named zone."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, Literal

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, micros
from aiosched.triggers.base import LAST_INSTANT, Trigger
from aiosched.triggers.ending import Zone, read_end
from aiosched.triggers.inputs import (
    check_order,
    load_zone,
    read_wall,
    stamp,
    zone_name,
)
from aiosched.triggers.recurrence import Rule, read_rule
from aiosched.triggers.rruletable import RRuleTable
from aiosched.triggers.walltime import Fold, Gap, WallSchedule

__all__ = ["RRuleTrigger"]

_LONGEST = 4_000
"""Characters of a rule; one that names all its numbers has fewer."""


class RRuleTrigger(Trigger, frozen=True):
    """Fires at the occurrences of a recurrence rule, as calendars exchange them.

    ``RRuleTrigger("FREQ=MONTHLY;BYDAY=-1FR", start="2030-01-01 17:00",
    tz="Europe/Paris")`` is 17:00 on each last Friday.  The rule is reckoned on the
    wall clock of its zone.  Clock changes are treated as for a
    :class:`~aiosched.CronTrigger`: ``FREQ=HOURLY`` without ``BYHOUR`` follows
    elapsed time, any other rule has fixed times.  ``start`` itself is a slot only
    if the rule has it.  ``COUNT`` counts what the rule has on the wall clock from
    ``start`` on; ``UNTIL`` is wall time, or UTC with a ``Z``, and a date means its
    end.

    Attributes:
        expression: The rule as written, in upper case.
        start: No slot is earlier; what the rule leaves open is taken from it.
        tz: Name of the zone.
        end: No slot is later; a slot may fall on it.
        gap: As for a cron trigger; None: by the rule above.
        fold: As for a cron trigger; None: by the rule above.
    """

    kind: Literal["rrule"] = "rrule"
    expression: str
    start: datetime
    tz: str = "UTC"
    end: datetime | None = None
    gap: Gap | None = None
    fold: Fold | None = None

    def __init__(
        self,
        expression: str,
        *,
        start: datetime | str,
        tz: Zone = "UTC",
        end: datetime | str | None = None,
        gap: Gap | None = None,
        fold: Fold | None = None,
        **data: Any,
    ) -> None:
        """Read the rule and check that it can ever fire.

        Args:
            expression: Such as ``FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE``, with or
                without ``RRULE:`` in front.
            start: The instant from which the rule counts (``DTSTART``), in whole
                seconds; without an offset it is wall time in ``tz``.
            tz: Name of a zone of the tz database.
            end: The last instant that may be a slot; without an offset it is wall
                time in ``tz``.
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: The rule is wrong, has more than 96 times a day, has no
                occurrence in its first 50 years, 400 months, 2,000 weeks or
                5,000 days or hours, of which only each ``INTERVAL``-th counts, or
                none that ``COUNT`` and ``UNTIL`` leave at or after the start; the
                zone is unknown; or the end is before the start.
        """
        if not isinstance(expression, str):
            raise TriggerError(
                "expression",
                expression,
                "is not text",
                'write it like "FREQ=MONTHLY;BYDAY=-1FR"',
            )
        if len(expression) > _LONGEST:
            problem = f"is longer than {_LONGEST} characters"
            raise TriggerError("expression", expression, problem, "write it shorter")
        bare = expression.strip().upper().removeprefix("RRULE:").strip()
        if bare.startswith("RRULE:"):
            raise TriggerError(
                "expression", expression, "says RRULE twice", "write one rule alone"
            )
        name = zone_name(tz)
        first = read_wall(start, name, "start")
        if first.microsecond:
            raise TriggerError(
                "start", start, "has a fraction of a second", "round it to seconds"
            )
        final = None if end is None else _read_last(end, name)
        check_order(first, final)
        super().__init__(
            expression=bare,
            start=first,
            tz=name,
            end=final,
            gap=gap,
            fold=fold,
            **data,
        )
        self._refuse_if_dead()

    def describe(self) -> str:
        """Name the rule, and say where and from when it counts."""
        local = self.start.astimezone(load_zone(self.tz)).replace(tzinfo=None)
        words = f"by the rule {self.expression}, {self.tz}, from {local}"
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

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the start; ``anchor`` has no part in it."""
        del anchor
        return micros(self.start)

    def closes(self) -> int | None:
        """Return the end, or the rule's own ``UNTIL`` where that is in UTC."""
        high = self._bounds[1]
        return None if high == LAST_INSTANT else high

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        high = LAST_INSTANT if self.end is None else micros(self.end)
        until = self._until
        return micros(self.start), high if until is None else min(high, until)

    def _refuse_if_dead(self) -> None:
        begin = micros(self.start)
        if not self._schedule.table.ever_fires():
            raise TriggerError(
                "expression",
                self.expression,
                f"it has no occurrence from {stamp(self.start)} on",
                "choose a day that comes within its periods",
            )
        slot = self._schedule.next(begin // SECOND - 1)
        until = self._until
        if slot is None or (until is not None and slot * SECOND > until):
            raise TriggerError(
                "expression",
                self.expression,
                f"COUNT or UNTIL leaves no occurrence from {stamp(self.start)} on",
                "choose a later UNTIL or a greater COUNT, or, for a start in the "
                'second pass of a time that occurs twice, fold="last"',
            )

    @property
    def _until(self) -> int | None:
        """The instant of an UNTIL in UTC."""
        rule = _rule(self.expression)
        if rule.until is None or not rule.ends_in_utc:
            return None
        return micros(rule.until.replace(tzinfo=UTC))

    @cached_property
    def _schedule(self) -> WallSchedule[RRuleTable]:
        return _schedule(self.expression, self.start, self.tz, self.gap, self.fold)


@lru_cache(maxsize=1024)
def _rule(expression: str) -> Rule:
    return read_rule(expression)


@lru_cache(maxsize=256)
def _schedule(
    expression: str, start: datetime, tz: str, gap: Gap | None, fold: Fold | None
) -> WallSchedule[RRuleTable]:
    """Return the schedule that all equal triggers share."""
    rule = _rule(expression)
    local = start.astimezone(load_zone(tz)).replace(tzinfo=None)
    elapsed = rule.frequency == "HOURLY" and not rule.hours
    return WallSchedule(
        RRuleTable(rule, local),
        tz,
        gap or ("skip" if elapsed else "next"),
        fold or ("both" if elapsed else "first"),
    )


def _read_last(end: datetime | str, name: str) -> datetime:
    """Read an end that is an instant; a date includes its whole day."""
    final = read_end(end, name, None)
    if not isinstance(final, datetime):
        raise TriggerError("end", end, "is not an instant", "give a datetime")
    return final
