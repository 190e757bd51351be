"""What every trigger is: immutable data that answers which slots it has.

A trigger is read in two ways.  People ask with datetimes
(:meth:`Trigger.next_fire_time`, :meth:`Trigger.upcoming`,
:meth:`Trigger.describe`).  Planning asks with whole microseconds since 1970
(:meth:`Trigger.next`, :meth:`Trigger.last`, :meth:`Trigger.count`).  Both say
the same.

Nothing here reads a clock, and an answer depends on the question alone, so all
peers agree about every slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, PlainSerializer, ValidationError

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment

if TYPE_CHECKING:
    from aiosched.triggers.combining import AndTrigger, OrTrigger

__all__ = [
    "FIRST_INSTANT",
    "LAST_INSTANT",
    "LOOK_LIMIT",
    "AnyTrigger",
    "Stretch",
    "Trigger",
    "trigger_from_data",
    "trigger_kinds",
]

LOOK_LIMIT = 10_000
"""How many candidates one look may enumerate where there is no arithmetic."""

FIRST_INSTANT = -62_135_510_400_000_000
"""0001-01-02 UTC: a day after the earliest datetime, so every zone can show it."""

LAST_INSTANT = 253_402_214_399_999_999
"""9999-12-30 23:59:59.999999 UTC: the latest instant that every zone can show."""

_registry: dict[str, type[Trigger]] = {}


class Stretch(NamedTuple):
    """Slots that follow each other and share their fate.

    Attributes:
        last: The last of them.
        number: How many there are.
        fate: ``kept``: due at their own instants; ``moved``: due at others;
            ``excluded``: never fired.
    """

    last: int
    number: int
    fate: Literal["kept", "moved", "excluded"]


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
    """

    kind: str
    exact: ClassVar[bool] = False

    def __init__(self, **data: Any) -> None:
        """Validate the fields.

        Raises:
            TriggerError: A field is wrong; it names field, value and remedy.
        """
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _refusal(error, type(self)) from None

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
        known = _registry.get(kind)
        if known in cls.__mro__[1:]:
            return  # the same data with more methods: the plain class reads it
        if known is not None and _place(known) != _place(cls):
            raise TriggerError(
                "kind",
                kind,
                f"{_place(known)} has taken it",
                "give the class a kind of its own",
            )
        _registry[kind] = cls

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

    # -- for people ---------------------------------------------------------------

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``after``, in UTC.

        An :class:`~aiosched.IntervalTrigger` without a start counts from
        ``after`` until it is pinned.

        Args:
            after: An aware datetime.

        Returns:
            None if no fire time follows.

        Raises:
            TriggerError: ``after`` is naive.
        """
        instant = max(_aware(after, "after"), FIRST_INSTANT)
        slot = None if instant >= LAST_INSTANT else self.next(instant)
        return None if slot is None else moment(slot)

    def upcoming(self, n: int, after: datetime) -> list[datetime]:
        """Return the next ``n`` fire times strictly later than ``after``.

        A trigger that is not pinned answers as if it were scheduled at ``after``.

        Returns:
            Fewer than ``n`` if the trigger ends before.

        Raises:
            TriggerError: ``after`` is naive, or ``n`` is no number of times.
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
        while len(times) < n:
            following = pinned.next_fire_time(times[-1] if times else after)
            if following is None:
                break
            times.append(following)
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

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return when a slot is to be acted on.

        Later slots are not due earlier.

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
            At most as many as one look can enumerate (see :meth:`reach`).
        """
        last = self.reach(first, until, anchor)
        if last is None:
            return Stretch(first, 0, "kept")
        return Stretch(last, self.count(first, last, anchor), "kept")

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

    # -- as data ---------------------------------------------------------------------

    def to_data(self) -> dict[str, Any]:
        """Return it as a JSON-able dict with ``kind``, defaults left out.

        :func:`trigger_from_data` turns it back into an equal trigger.
        """
        data = self.model_dump(mode="json", exclude_defaults=True)
        return {"kind": self.kind} | data


def trigger_from_data(data: Mapping[str, Any]) -> Trigger:
    """Build the trigger that :meth:`Trigger.to_data` described.

    Raises:
        TriggerError: The kind is not known, or a field is wrong.
    """
    if not isinstance(data, Mapping):
        raise TriggerError(
            "trigger", data, "is not a mapping", "give a dict with a kind"
        )
    kind = data.get("kind")
    known = ", ".join(trigger_kinds())
    cls = _registry.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise TriggerError(
            "kind",
            kind,
            "is not the kind of a trigger",
            f"use one of {known}, or import the module that defines it",
        )
    fields = cls.model_fields
    for name in data:
        if name not in fields:
            raise TriggerError(
                str(name),
                data[name],
                f"a trigger of kind {kind} has no such field",
                f"use {', '.join(sorted(fields))}",
            )
    for name, field in fields.items():
        if field.is_required() and name not in data:
            raise TriggerError(name, None, "is missing", f"a {kind} trigger needs it")
    arguments = {str(name): value for name, value in data.items() if name != "kind"}
    return cls(**arguments)


def trigger_kinds() -> tuple[str, ...]:
    """Return the kinds that are known here, sorted."""
    return tuple(sorted(_registry))


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


def _refusal(error: ValidationError, cls: type[Trigger]) -> TriggerError:
    """Turn pydantic's first complaint into an error of our tree."""
    first = error.errors()[0]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, TriggerError):
        return inner
    field = ".".join(str(part) for part in first["loc"]) or "trigger"
    known = ", ".join(sorted(name for name in cls.model_fields if name != "kind"))
    return TriggerError(
        field,
        first["input"],
        first["msg"][:1].lower() + first["msg"][1:],
        f"correct it ({cls.__name__} takes {known})",
    )


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
