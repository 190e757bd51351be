"""A trigger without some of its slots: holidays, weekends, what others have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from aiosched.errors import TriggerError
from aiosched.instants import DAY
from aiosched.triggers.base import (
    LAST_INSTANT,
    LOOK_LIMIT,
    STRETCH_LIMIT,
    AnyTrigger,
    Fate,
    Stretch,
    Trigger,
)
from aiosched.triggers.cronparts import Draw
from aiosched.triggers.days import DaySet, day_set, read_exclusions
from aiosched.triggers.drawn import check_every_draw, has_draws
from aiosched.triggers.exclusions import (
    RECENT,
    Exclusion,
    Shift,
    check_parts,
    ever_fires,
    read_trigger,
    sorted_triggers,
)
from aiosched.triggers.inputs import zone_name
from aiosched.triggers.localdays import LocalDays, local_days
from aiosched.triggers.shifting import Shifting

__all__ = ["ExcludingTrigger", "exclude"]

_MOVED = {
    "skip": "",
    "next_business_day": ", moved to the next business day",
    "previous_business_day": ", moved to the previous business day",
}
_LONGEST = 3653 * DAY


class ExcludingTrigger(Trigger, frozen=True):
    """Leaves out some slots of another trigger, or moves them to a business day.

    Built by :meth:`Trigger.excluding` and by ``a - b``.  It has the slots of the
    other trigger, all of them: a slot that is excluded is accounted for, and one
    that is moved keeps its instant as its name.  What becomes of a slot is said
    by :meth:`due` and :meth:`stretch`.

    A business day is a day that is not excluded.  A moved slot is due at its own
    wall time there: in a gap (the clock is put forward) at the gap's end, in a
    fold in the first pass; where the excluded day itself has a fold and slots in
    both passes, those of the second are not due before the last of the first.

    Days cost no more than the other trigger's own arithmetic.  Excluded triggers
    are compared instant by instant.

    Attributes:
        trigger: Whose slots they are.
        days: The excluded days, as texts in one normal form: dates and ranges
            (``2030-12-24/2031-01-02``), days of each year (``12-25``), weekdays
            (``sat``).
        without: The triggers whose instants are excluded.
        tz: Name of the zone whose days are meant.
        shift: What becomes of a slot on an excluded day.
    """

    kind: Literal["excluding"] = "excluding"
    trigger: AnyTrigger
    days: tuple[str, ...] = ()
    without: tuple[AnyTrigger, ...] = ()
    tz: str = "UTC"
    shift: Shift = "skip"

    def __init__(
        self,
        trigger: Trigger,
        *,
        days: Iterable[Exclusion] = (),
        without: Iterable[Trigger] = (),
        tz: str | None = None,
        shift: Shift = "skip",
        **data: Any,
    ) -> None:
        """Exclude days and instants from ``trigger``; see Trigger.excluding.

        Args:
            trigger: Whose slots they are.
            days: The excluded days, in any form that ``excluding`` takes.
            without: The triggers whose instants are excluded.
            tz: Name of a zone; None takes the trigger's own, or else UTC.
            shift: What becomes of a slot on an excluded day.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: As ``excluding`` does.
        """
        inner = read_trigger(trigger, "trigger")
        _check_list("days", days)
        _check_list("without", without)
        normal, found = read_exclusions(list(days))
        others = [read_trigger(one, "without") for one in (*without, *found)]
        if not normal and not others:
            raise TriggerError(
                "excluding", [], "nothing is excluded", 'name a day, such as "sat"'
            )
        check_parts(inner, others, shift)
        if day_set(normal).every_day():
            raise TriggerError(
                "excluding", normal, "every day is excluded", "leave a day out"
            )
        zone = "UTC" if tz is None else zone_name(tz)
        if tz is None and normal:
            zone = _zone_of(inner)
        super().__init__(
            trigger=inner,
            days=normal,
            without=sorted_triggers(others),
            tz=zone if normal else "UTC",
            shift=shift,
            **data,
        )
        if has_draws(self):
            self._check_draws()
        elif not self.needs_pin():
            self._refuse_if_dead()

    # -- for people ---------------------------------------------------------------

    def describe(self) -> str:
        """Say when the other trigger fires, and what is excluded from it."""
        words = self.trigger.describe()
        if getattr(self.trigger, "triggers", None):
            words = f"({words})"
        parts = self._days.words()
        if self.days and self.tz != getattr(self.trigger, "tz", None):
            parts[-1] += f" (days of {self.tz})"
        parts += [f"when another trigger fires ({w.describe()})" for w in self.without]
        head, tail = parts[:-1], parts[-1]
        listed = f"{', '.join(head)} and {tail}" if head else tail
        return f"{words}, except {listed}{_MOVED[self.shift]}"

    def needs_pin(self) -> bool:
        """Tell whether any trigger in it has no start yet."""
        return any(one.needs_pin() for one in (self.trigger, *self.without))

    def anchored(self, instant: datetime) -> ExcludingTrigger:
        """Return the copy in which each trigger is pinned to ``instant``.

        Raises:
            TriggerError: ``instant`` is naive, or nothing is left to fire.
        """
        super().anchored(instant)
        if not self.needs_pin():
            return self
        return self._with(lambda trigger: trigger.anchored(instant))

    # -- for planning: the slots are those of the trigger -----------------------------

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot later than ``after``, excluded or not."""
        return self.trigger.next(after, anchor)

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot up to ``until``, excluded or not."""
        return self.trigger.last(until, anchor)

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count the slots of ``first … until``, excluded or not."""
        return self.trigger.count(first, until, anchor)

    def reach(self, first: int, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot of ``first … until`` that one look can get to."""
        return self.trigger.reach(first, until, anchor)

    # -- for planning: what becomes of a slot -----------------------------------------

    @property
    def plain(self) -> bool:
        """No: slots may be excluded."""
        return False

    @property
    def moves(self) -> bool:
        """Whether slots are moved to business days."""
        return self.shift != "skip"

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return when a slot is to be acted on; None: it is excluded."""
        if self.days:
            day = self._clock.day(slot)
            if day in self._days:
                return self._shifting(anchor).due(slot, day) if self.moves else None
        if any(_has(other, slot) for other in self.without):
            return None
        return self.trigger.due(slot, anchor)

    def stretch(self, first: int, until: int, anchor: int | None = None) -> Stretch:
        """Return the slots from ``first`` on, up to ``until``, that share its fate.

        Excluded stretches are put together from up to 1,000 of days, and of single
        slots where triggers are excluded.  What is kept or moved is one stretch of
        days, and ends before the next instant of an excluded trigger.  None spans
        more than ten years.
        """
        until = min(until, first + _LONGEST)
        whole = self._piece(first, until, anchor)
        if whole.fate != "excluded":
            return whole
        for _ in range(STRETCH_LIMIT):
            slot = self.next(whole.last, anchor)
            if slot is None or slot > until:
                break
            piece = self._piece(slot, until, anchor)
            if piece.fate != "excluded":
                break
            whole = Stretch(piece.last, whole.number + piece.number, "excluded")
            if whole.number >= LOOK_LIMIT and not self.trigger.exact:
                break
        return whole

    def opens(self, anchor: int | None = None) -> int | None:
        """Return when the other trigger starts."""
        return self.trigger.opens(anchor)

    def closes(self) -> int | None:
        """Return when the other trigger ends."""
        return self.trigger.closes()

    # -- for sharing ----------------------------------------------------------------

    def own_instant(self) -> int | None:
        """Return that of the other trigger."""
        return self.trigger.own_instant()

    def rule(self) -> ExcludingTrigger:
        """Return the copy in which the other trigger is a shared rule."""
        return self._around(self.trigger.rule())

    def with_instant(self, instant: int | None) -> ExcludingTrigger:
        """Give the other trigger its own instant back; None changes nothing."""
        return (
            self
            if instant is None
            else self._around(self.trigger.with_instant(instant))
        )

    def for_job(self, job_id: str) -> ExcludingTrigger:
        """Return the copy in which what is drawn from a job's id is settled."""
        return self._with(lambda trigger: trigger.for_job(job_id))

    # -- inside ---------------------------------------------------------------------

    def _around(self, trigger: Trigger) -> ExcludingTrigger:
        if trigger is self.trigger:
            return self
        return self._altered(trigger=trigger)

    def _with(self, change: Callable[[Trigger], Trigger]) -> ExcludingTrigger:
        """Return the copy with other triggers in it, or itself if none is another."""
        inner = change(self.trigger)
        others = [change(one) for one in self.without]
        if inner is self.trigger and all(map(_same, others, self.without)):
            return self
        return ExcludingTrigger(
            inner, days=self.days, without=others, tz=self.tz, shift=self.shift
        )

    @cached_property
    def _days(self) -> DaySet:
        return day_set(self.days)

    @cached_property
    def _clock(self) -> LocalDays:
        return local_days(self.tz)

    def _draws(self) -> Iterator[tuple[str, Draw]]:
        for one in (self.trigger, *self.without):
            yield from one._draws()

    def _drawn(self, numbers: Mapping[str, int]) -> ExcludingTrigger:
        return self._with(lambda trigger: trigger._drawn(numbers))

    @property
    def _weight(self) -> int:
        return self.trigger._weight

    def _check_draws(self) -> None:
        """Refuse what leaves nothing to fire for some draw."""
        if self.without:
            check_every_draw(
                self, remedy="exclude days instead, or write numbers instead of H"
            )
            return
        # In another zone a time of day may lie on another date, which for one date
        # are two at most: those of the earliest and of the latest time.
        other = set(_zones_of(self.trigger)) != {self.tz}
        check_every_draw(
            self,
            whole=("day of month", "month", "day of week"),
            ends=("hour", "minute", "second") if other else (),
            remedy="draw from the days that are left, such as H(mon-fri)",
        )

    def _refuse_if_dead(self) -> None:
        starts = [RECENT]
        final = self._days.last_range
        ends = [one.closes() for one in self.without]
        if final is not None:
            ends.append(self._clock.opens(final + 1))
        late = max((end for end in ends if end is not None), default=RECENT)
        if RECENT < late < LAST_INSTANT:
            starts.append(late)
        if not ever_fires(self, starts):
            raise TriggerError(
                "excluding",
                [*self.days, *(one.describe() for one in self.without)],
                f"nothing is left to fire of: {self.trigger.describe()}",
                "exclude less, or move slots with shift=",
            )

    def _piece(self, slot: int, until: int, anchor: int | None) -> Stretch:
        """Return slots that share a fate for one reason."""
        fate, edge = self._span(slot, until, anchor)
        if fate == "kept":
            return self.trigger.stretch(slot, edge, anchor)
        last = self.trigger.reach(slot, edge, anchor)
        if last is None:
            last = slot
        return Stretch(last, self.trigger.count(slot, last, anchor), fate)

    def _span(self, slot: int, until: int, anchor: int | None) -> tuple[Fate, int]:
        """Say what becomes of a slot, and up to which instant of its neighbours."""
        if self.days:
            day = self._clock.day(slot)
            if day in self._days:
                if self.moves:
                    return self._shifting(anchor).span(slot, day, until)
                edge = self._clock.opens(self._days.run(day, 1) + 1) - 1
                return "excluded", min(edge, until)
            following = self._days.next_from(day + 1)
            if following is not None:
                until = min(self._clock.opens(following) - 1, until)
        for other in self.without:
            at = other.next(slot - 1)
            if at == slot and other.due(slot) is not None:
                return "excluded", slot
            if at == slot:
                at = other.next(slot)
            if at is not None:
                until = min(at - 1, until)
        if self.trigger.due(slot, anchor) is None:
            return "excluded", self.trigger.stretch(slot, until, anchor).last
        return "kept", until

    def _shifting(self, anchor: int | None) -> Shifting:
        return Shifting(
            self.trigger,
            self._days,
            self._clock,
            forward=self.shift == "next_business_day",
            anchor=anchor,
        )

    def _next_due(self, after: int, anchor: int | None) -> int | None:
        shifting = self._shifting(anchor)
        slot = self.next(shifting.earliest(after) if self.moves else after, anchor)
        for _ in range(LOOK_LIMIT):
            if slot is None:
                break
            fate, edge = self._span(slot, LAST_INSTANT, anchor)
            if fate == "kept":
                kept = self.next(max(after, slot - 1), anchor)
                if kept is not None and kept <= edge:
                    return kept
            elif fate == "moved":
                day = self._clock.day(slot)
                at = shifting.first_due(slot, day, edge, after)
                if at is not None:
                    return at
            slot = self.next(edge, anchor)
        return None

    def _leap(self, slot: int) -> int:
        return self._span(slot, LAST_INSTANT, None)[1]


def exclude(
    trigger: Trigger, what: Iterable[object], tz: str | None, shift: Shift
) -> ExcludingTrigger:
    """Exclude ``what`` from a trigger; see Trigger.excluding.

    Raises:
        TriggerError: As ``excluding`` does.
    """
    days, without = read_exclusions(list(what))
    if not isinstance(trigger, ExcludingTrigger) or trigger.shift != shift:
        return ExcludingTrigger(trigger, days=days, without=without, tz=tz, shift=shift)
    name = None if tz is None else zone_name(tz)
    if not trigger.days or not days or name in (None, trigger.tz):
        return ExcludingTrigger(
            trigger.trigger,
            days=(*trigger.days, *days),
            without=(*trigger.without, *without),
            tz=trigger.tz if trigger.days else name,
            shift=shift,
        )
    return ExcludingTrigger(trigger, days=days, without=without, tz=name, shift=shift)


def _zone_of(trigger: Trigger) -> str:
    """Return the zone that a trigger or its parts name, or else UTC.

    Raises:
        TriggerError: Its parts name several.
    """
    names = sorted(set(_zones_of(trigger)))
    if len(names) > 1:
        raise TriggerError(
            "tz",
            None,
            f"its parts are in several zones: {', '.join(names)}",
            f'say whose days they are, such as tz="{names[0]}"',
        )
    return names[0] if names else "UTC"


def _zones_of(trigger: Trigger) -> Iterator[str]:
    if isinstance(trigger, ExcludingTrigger) and not trigger.days:
        yield from _zones_of(trigger.trigger)
        return
    for part in getattr(trigger, "triggers", ()):
        yield from _zones_of(part)
    name = getattr(trigger, "tz", None)
    if name is not None:
        yield zone_name(name)


def _check_list(field: str, value: object) -> None:
    """Refuse what cannot be gone through, which stored data may be."""
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise TriggerError(field, value, "is not a list", "give a list")


def _has(trigger: Trigger, instant: int) -> bool:
    """Tell whether a trigger really fires at an instant."""
    return trigger.next(instant - 1) == instant and trigger.due(instant) is not None


def _same(one: Trigger, two: Trigger) -> bool:
    return one is two
