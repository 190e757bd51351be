"""What every trigger is: immutable data that answers which slots it has.

A trigger is read in two ways.  People ask with datetimes
(:meth:`Trigger.next_fire_time`, :meth:`Trigger.upcoming`,
:meth:`Trigger.describe`).  Planning asks with whole microseconds since 1970
(:meth:`Trigger.next`, :meth:`Trigger.last`, :meth:`Trigger.count`).  Both say
the same, but for triggers that exclude or move slots: planning accounts for each
slot, and people are told when it really fires.

Nothing here reads a clock, and an answer depends on the question alone, so all
peers agree about every slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, PlainSerializer, ValidationError

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers.kinds import (
    registry,
    trigger_class,
    trigger_from_data,
    trigger_kinds,
)
from aiosched.triggers.refusals import refusal
from aiosched.triggers.stretches import (
    FIRST_INSTANT,
    LAST_INSTANT,
    LOOK_LIMIT,
    STRETCH_LIMIT,
    Fate,
    Stretch,
    first_due,
    stretch_by_slots,
)
from aiosched.values import altered

if TYPE_CHECKING:
    from aiosched.triggers.combining import AndTrigger, OrTrigger
    from aiosched.triggers.cronparts import Draw
    from aiosched.triggers.excluding import ExcludingTrigger
    from aiosched.triggers.exclusions import Exclusion, Shift

__all__ = [
    "FIRST_INSTANT",
    "LAST_INSTANT",
    "LOOK_LIMIT",
    "STRETCH_LIMIT",
    "AnyTrigger",
    "Fate",
    "Stretch",
    "Trigger",
    "trigger_class",
    "trigger_from_data",
    "trigger_kinds",
]


class Trigger(BaseModel, frozen=True, extra="forbid"):
    """Base of all triggers, also of yours.

    A trigger of your own is a subclass with a ``kind`` of its own and a
    :meth:`next_fire_time` (or :meth:`next`, in microseconds)::

        class Hourly(Trigger, frozen=True):
            kind: Literal["hourly"] = "hourly"

            def next_fire_time(self, after: datetime) -> datetime | None:
                hour = after.replace(minute=0, second=0, microsecond=0)
                return hour + timedelta(hours=1)

    It must answer from its fields and ``after`` alone: no clock, no chance, no
    memory.  The remaining questions are then answered by asking it again and
    again, at most 10,000 times a look; see :meth:`count`.

    Attributes:
        kind: Tells the kinds apart in stored data.
        exact: Class attribute: whether ``count`` knows every slot by
            arithmetic, however many there are.
        backfills: Class attribute: whether its slots are past by design, so that
            none of them lapses or is passed over for being late.
    """

    kind: str
    exact: ClassVar[bool] = False
    backfills: ClassVar[bool] = False

    def __init__(self, **data: Any) -> None:
        """Validate the fields.

        Raises:
            TriggerError: A field is wrong; it names field, value and remedy.
        """
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise refusal(error, type(self).__name__, type(self).model_fields) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Enter a class that has a kind into the registry."""
        super().__pydantic_init_subclass__(**kwargs)
        kind = cls.model_fields["kind"].default
        if not isinstance(kind, str):
            return  # an intermediate class: it cannot be built or stored
        if not kind or not kind.isprintable():
            raise TriggerError(
                "kind",
                kind,
                "is not a printable word",
                'write kind: Literal["…"] = "…"',
            )
        if cls.next is Trigger.next and cls.next_fire_time is Trigger.next_fire_time:
            raise TriggerError(
                "kind",
                kind,
                f"{cls.__name__} overrides neither next_fire_time nor next",
                "override next_fire_time(after)",
            )
        known = registry.get(kind)
        if known in cls.__mro__[1:]:
            return  # the same data with more methods: the plain class reads it
        if known is not None and _place(known) != _place(cls):
            raise TriggerError(
                "kind",
                kind,
                f"{_place(known)} has taken it",
                "give the class a kind of its own",
            )
        registry[kind] = cls

    def identity(self) -> tuple[object, ...]:
        """Return what two equal triggers of one kind have in common."""
        return tuple(getattr(self, name) for name in type(self).model_fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trigger):
            return NotImplemented
        return self.kind == other.kind and self.identity() == other.identity()

    def __hash__(self) -> int:
        return hash((self.kind, self.identity()))

    def __getstate__(self) -> dict[Any, Any]:
        # Tables that were computed on the way are neither sent nor copied.
        state = super().__getstate__()
        own = {name: state["__dict__"][name] for name in type(self).model_fields}
        return state | {"__dict__": own}

    def __copy__(self) -> Self:
        # A copy may be given other fields, so it computes its own tables.
        copied = super().__copy__()
        own = {name: getattr(self, name) for name in type(self).model_fields}
        object.__setattr__(copied, "__dict__", own)
        return copied

    def _altered(self, **fields: Any) -> Self:
        """Return a copy in which some fields differ, unchecked."""
        held = self.__dict__
        own = {name: held[name] for name in type(self).__pydantic_fields__}
        return altered(self, fields, held=own)

    if not TYPE_CHECKING:

        def copy(self, *, update=None, deep=False) -> Self:
            """Return a copy; the old name of :meth:`model_copy`."""
            return self.model_copy(update=update, deep=deep)

    # -- for people ---------------------------------------------------------------

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``after``, in UTC.

        An :class:`~aiosched.IntervalTrigger` without a start counts from
        ``after`` until it is pinned.  What is excluded is left out, and what is
        moved comes when it is due.

        Args:
            after: An aware datetime.

        Returns:
            None if no fire time follows, or if all of the next 10,000 stretches
            of slots are excluded.

        Raises:
            TriggerError: ``after`` is naive.
        """
        instant = max(_aware(after, "after"), FIRST_INSTANT)
        at = None if instant >= LAST_INSTANT else self.next_due(instant)
        return None if at is None else moment(at)

    def upcoming(self, n: int, after: datetime) -> list[datetime]:
        """Return the next ``n`` fire times strictly later than ``after``.

        A trigger that is not pinned answers as if it were scheduled at ``after``.

        Returns:
            Fewer than ``n`` if the trigger ends before.

        Raises:
            TriggerError: ``after`` is naive, ``n`` is no number of times, or a
                trigger of the user's answers a time that is naive or not later.
        """
        if isinstance(n, bool) or not isinstance(n, int):
            raise TriggerError("n", n, "is not a whole number", "ask for 0 or more")
        if n < 0:
            raise TriggerError("n", n, "is negative", "ask for 0 or more fire times")
        instant = _aware(after, "after")
        after = moment(min(max(instant, FIRST_INSTANT), LAST_INSTANT))
        try:
            pinned = self.anchored(after)
        except TriggerError:
            return []  # it would be refused because nothing is left of it
        times: list[datetime] = []
        instant = micros(after)
        while len(times) < n and instant < LAST_INSTANT:
            following = pinned.next_due(instant)
            if following is None:
                break
            if following <= instant:
                raise TriggerError(
                    "next",
                    following,
                    f"{type(pinned).__name__} answers an instant that is not later "
                    f"than {instant}",
                    "return a strictly later one, or None",
                )
            times.append(moment(following))
            instant = following
        return times

    def describe(self) -> str:
        """Say in English words when it fires."""
        return f"by the trigger {self.kind}"

    def needs_pin(self) -> bool:
        """Tell whether its slots depend on when its job is scheduled."""
        return False

    def anchored(self, instant: datetime) -> Trigger:
        """Return the copy that is pinned to the instant of scheduling.

        A trigger that is pinned, or needs no pin, returns itself.

        Raises:
            TriggerError: ``instant`` is naive, or the pinned copy could never
                fire.
        """
        if not FIRST_INSTANT <= _aware(instant, "instant") <= LAST_INSTANT:
            raise TriggerError(
                "instant",
                instant,
                "is out of range",
                "stay between 0001-01-02 and 9999-12-30",
            )
        return self

    def __and__(self, other: Trigger) -> AndTrigger:
        """Fire at the instants that both have."""
        from aiosched.triggers.combining import AndTrigger

        return AndTrigger([self, other])

    def __or__(self, other: Trigger) -> OrTrigger:
        """Fire at the instants that either has."""
        from aiosched.triggers.combining import OrTrigger

        return OrTrigger([self, other])

    def __sub__(self, other: Trigger) -> ExcludingTrigger:
        """Fire at the instants that ``other`` does not have."""
        from aiosched.triggers.excluding import exclude

        return exclude(self, (other,), None, "skip")

    def excluding(
        self, *what: Exclusion, tz: str | None = None, shift: Shift = "skip"
    ) -> ExcludingTrigger:
        """Return the trigger that leaves out some of its slots, or moves them.

        A slot that is left out is accounted for as excluded, and never fired.
        Said again with the same zone and shift, it adds to what is excluded.

        Args:
            *what: Dates, or ISO text of one (``"2030-12-25"``); ranges, both ends
                included, as text (``"2030-12-24/2031-01-02"``) or as a tuple of
                two dates; days of each year (``"12-25"``, ``"12-24/01-01"``);
                weekdays (``"sat"``, ``"saturday"``, ``"sat-sun"``); other triggers,
                whose instants are excluded; or iterables of these.
            tz: Whose days they are, a zone by name.  None takes the trigger's own
                zone, and UTC where it has none.
            shift: What becomes of a slot on an excluded day.  ``"skip"`` leaves it
                out.  ``"next_business_day"`` and ``"previous_business_day"`` move
                it to the same wall time of the next or previous day that is not
                excluded.  Such a day takes the slots of one day at most, the
                nearest that has any, and of none if it has slots itself; the
                others are left out.  So is a slot that would be moved beyond the
                end, or before the start.

        Raises:
            TriggerError: Nothing is excluded, or everything; what is excluded
                cannot be read, or is a datetime; a range runs backwards; the zone
                is unknown, or parts in several zones leave it open; or a shift is
                combined with excluded triggers or other exclusions.
        """
        from aiosched.triggers.excluding import exclude

        return exclude(self, what, tz, shift)

    # -- for planning: whole microseconds since 1970 --------------------------------

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot strictly later than ``after``.

        Args:
            after: Microseconds since 1970.
            anchor: Takes the place of :meth:`own_instant` where it is given, so
                that a shared :meth:`rule` can be asked without building a copy.

        Returns:
            None if no slot follows.

        Raises:
            TriggerError: A trigger of the user's answers a time that is naive or
                not later than ``after``.
        """
        if not FIRST_INSTANT <= after < LAST_INSTANT:
            if after >= LAST_INSTANT:
                return None
            after = FIRST_INSTANT
        asked = self if anchor is None else self.with_instant(anchor)
        answer = asked.next_fire_time(moment(after))
        if answer is None:
            return None
        slot = _aware(answer, "next_fire_time")
        if slot <= after:
            raise TriggerError(
                "next_fire_time",
                answer,
                f"{type(self).__name__} answers a time that is not later than "
                f"{moment(after)}",
                "return a strictly later time, or None",
            )
        return slot

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot that is not later than ``until``.

        A trigger of the user's is asked some hundred times, by halving; slots
        before 1970 are not found.

        Returns:
            None if there is no such slot.
        """
        until = min(until, LAST_INSTANT)
        reach = 1
        found: int | None = None
        while found is None:
            low = max(until - reach, -1)
            if low >= until:
                return None
            slot = self.next(low, anchor)
            if slot is not None and slot <= until:
                found = slot
            elif low == -1:
                return None
            reach *= 4
        high = until
        while found < high:
            middle = (found + high) // 2
            slot = self.next(middle, anchor)
            if slot is not None and slot <= until:
                found = slot
            else:
                high = middle
        return found

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count the slots s with ``first <= s <= until``.

        The answer is arithmetic where ``exact`` is true.  Elsewhere slots are
        enumerated and the count stops at 10,000; :meth:`reach` says up to which
        slot such a count is complete.
        """
        total = 0
        slot = self.next(first - 1, anchor)
        while slot is not None and slot <= until and total < LOOK_LIMIT:
            total += 1
            slot = self.next(slot, anchor)
        return total

    def reach(self, first: int, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot of ``first … until`` that one look can get to.

        This is the latest slot of the range, except for a trigger that is not
        ``exact`` and has more than 10,000 slots there: then it is the 10,000th.
        ``count(first, reach(first, until))`` is always complete, and the next
        look goes on behind it.

        Returns:
            None if the range has no slot.
        """
        if self.exact:
            slot = self.last(until, anchor)
            return None if slot is None or slot < first else slot
        latest: int | None = None
        slot = self.next(first - 1, anchor)
        for _ in range(LOOK_LIMIT):
            if slot is None or slot > until:
                break
            latest = slot
            slot = self.next(slot, anchor)
        return latest

    # -- for planning: what becomes of a slot -----------------------------------------

    @property
    def plain(self) -> bool:
        """Whether each slot is due at its own instant: none is excluded or moved."""
        return True

    @property
    def moves(self) -> bool:
        """Whether a slot may be due at another instant than its own."""
        return False

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return when a slot is to be acted on.

        Later slots are not due earlier.

        Args:
            slot: A slot.
            anchor: As for :meth:`next`.

        Returns:
            None if it is excluded: it is accounted for, and never fired.
        """
        del anchor
        return slot

    def stretch(self, first: int, until: int, anchor: int | None = None) -> Stretch:
        """Return the slots from ``first`` on, up to ``until``, that share its fate.

        Args:
            first: A slot.
            until: An instant that is not earlier.
            anchor: As for :meth:`next`.

        Returns:
            At most as many as one look can enumerate (see :meth:`reach`), so a
            stretch may end before their fate changes.
        """
        if self.plain:
            last = self.reach(first, until, anchor)
            if last is None:
                return Stretch(first, 0, "kept")
            return Stretch(last, self.count(first, last, anchor), "kept")
        return stretch_by_slots(self, first, until, anchor)

    def next_due(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first instant later than ``after`` at which it really fires.

        Args:
            after: Microseconds since 1970.
            anchor: As for :meth:`next`.

        Returns:
            None if nothing follows, or if all of the next 10,000 stretches of
            slots are excluded.
        """
        if self.plain:
            return self.next(after, anchor)
        if anchor is None and self.needs_pin():
            try:
                pinned = self.anchored(moment(after))
            except TriggerError:
                return None  # it would be refused: nothing of it ever fires
            return pinned._next_due(after, None)
        return self._next_due(after, anchor)

    def _next_due(self, after: int, anchor: int | None) -> int | None:
        return first_due(self, after, anchor)

    def _leap(self, slot: int) -> int:
        """Return an instant up to which slots share the fate of this."""
        return slot

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the instant before which none of its slots may start by design.

        Args:
            anchor: As for :meth:`next`.

        Returns:
            None if it has no start.
        """
        del anchor
        return None

    def closes(self) -> int | None:
        """Return the instant after which none of its slots may start by design.

        Jitter does not go beyond it.

        Returns:
            None if it has no end.
        """
        return None

    # -- for sharing: many jobs, one stored rule ------------------------------------

    def own_instant(self) -> int | None:
        """Return the one instant that differs from job to job.

        Returns:
            Microseconds since 1970; None for kinds without such an instant.
        """
        return None

    def rule(self) -> Trigger:
        """Return the copy without the own instant, which jobs can share."""
        return self

    def with_instant(self, instant: int | None) -> Trigger:
        """Give a shared rule its own instant back; None gives the rule itself."""
        del instant
        return self

    def for_job(self, job_id: str) -> Trigger:
        """Return the copy in which what is drawn from a job's id is settled."""
        del job_id
        return self

    def _draws(self) -> Iterable[tuple[str, Draw]]:
        """Return what is left to the id of a job, with the names of cron's fields."""
        return ()

    def _drawn(self, numbers: Mapping[str, int]) -> Trigger:
        """Return the copy for a job that draws these numbers, by cron's fields."""
        del numbers
        return self

    @property
    def _weight(self) -> int:
        """About how many plain questions one question to it costs."""
        return 1

    # -- as data ---------------------------------------------------------------------

    def to_data(self) -> dict[str, Any]:
        """Return it as a JSON-able dict with ``kind``, defaults left out.

        :func:`trigger_from_data` turns it back into an equal trigger.
        """
        data = self.model_dump(mode="json", exclude_defaults=True)
        return {"kind": self.kind} | data


def _aware(value: object, field: str) -> int:
    """Turn an aware datetime into microseconds; refuse a naive one."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise TriggerError(
            field,
            value,
            "is not a datetime with a time zone",
            "add one, such as datetime(2030, 1, 1, tzinfo=UTC)",
        )
    return micros(value)


def _place(cls: type[Trigger]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _as_trigger(value: object) -> object:
    return trigger_from_data(value) if isinstance(value, Mapping) else value


def _as_data(value: Trigger) -> dict[str, Any]:
    return value.to_data()


AnyTrigger = Annotated[
    Trigger,
    BeforeValidator(_as_trigger),
    PlainSerializer(_as_data),
]
"""The annotation of a pydantic field that holds a trigger of any kind."""
