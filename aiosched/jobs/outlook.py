"""Fire times before they are, as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from aiosched.instants import micros, moment
from aiosched.triggers.base import Trigger, trigger_from_data
from aiosched.triggers.inputs import load_zone

__all__ = ["Backfill", "Preview", "clock_change", "preview_of", "zone_of"]

_NOTHING = timedelta(0)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Preview:
    """One fire time that is to come.

    Attributes:
        slot: Its nominal instant, in UTC: what ``context.fire_time`` will be.
        due: When it starts, in UTC: the slot, shifted off an excluded day and
            with its jitter.
        local: ``due`` on the wall clock of ``tz``.
        tz: Name of the zone; that of the trigger, or UTC where it has none.
        offset: How far that clock is ahead of UTC then.
        clock_change: By how much that clock is changed on that day; positive
            where it is put forward, zero on ordinary days.
        made_up: Whether the slot comes at the end of a gap of the clock, in
            place of a time that the gap leaves out.
        repeated: Which pass of a time that occurs twice ``local`` is; None
            where it occurs once.
    """

    slot: datetime
    due: datetime
    local: datetime
    tz: str
    offset: timedelta
    clock_change: timedelta = _NOTHING
    made_up: bool = False
    repeated: Literal["first", "second"] | None = None

    @property
    def delay(self) -> timedelta:
        """How much later than its slot it is due; negative where it is earlier."""
        return self.due - self.slot

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values: instants as ISO 8601, durations in seconds."""
        return {
            "slot": self.slot.isoformat(),
            "due": self.due.isoformat(),
            "local": self.local.isoformat(),
            "tz": self.tz,
            "offset": self.offset.total_seconds(),
            "clock_change": self.clock_change.total_seconds(),
            "made_up": self.made_up,
            "repeated": self.repeated,
        }


@dataclass(frozen=True, slots=True)
class Backfill:
    """Past slots that are run, or would be.

    Attributes:
        job_id: Id of the job that runs them.
        job: That job as it is stored; None where nothing was written.
        number: How many slots are run.
        first: The first of them; None if there is none.
        last: The last of them.
        slots: The first 100 of them, oldest first.
        number_excluded: How many slots are left out, because the trigger
            excludes them.
        excluded: The first 100 of those.
    """

    job_id: str
    job: Any
    number: int
    first: datetime | None
    last: datetime | None
    slots: tuple[datetime, ...]
    number_excluded: int = 0
    excluded: tuple[datetime, ...] = ()


def preview_of(slot: int, due: int, trigger: Trigger | None, tz: str) -> Preview:
    """Show a slot on the wall clock of a zone.

    Args:
        slot: Its nominal instant.
        due: When it starts.
        trigger: Whose slot it is, as it is asked for slots.
        tz: Name of the zone.
    """
    zone = load_zone(tz)
    local = moment(due).astimezone(zone)
    # Not the arithmetic of local times: that ignores which pass is meant.
    other = local.replace(fold=1 - local.fold)
    repeated: Literal["first", "second"] | None = None
    if other.utcoffset() != local.utcoffset():
        repeated = "second" if local.fold else "first"
    return Preview(
        moment(slot),
        moment(due),
        local,
        tz,
        local.utcoffset() or _NOTHING,
        clock_change(local.date(), zone),
        trigger is not None and _made_up(trigger, slot),
        repeated,
    )


def zone_of(trigger: Trigger | None) -> str:
    """Return the name of the zone whose wall clock a trigger follows.

    Of a combination, that on which its parts agree; UTC where there is none.
    """
    return _zone(trigger) or "UTC"


def _zone(trigger: Trigger | None) -> str | None:
    zones = {zone for part in _parts(trigger) if (zone := _zone(part)) is not None}
    if zones:
        return zones.pop() if len(zones) == 1 else None
    own = getattr(trigger, "tz", None)
    return own if isinstance(own, str) else None


def clock_change(day: date, zone: ZoneInfo) -> timedelta:
    """Return by how much a clock is changed on a day; zero on ordinary days.

    A change belongs to the day on which the clock stands after it.
    """
    try:
        return _opening(day + _DAY, zone) - _opening(day, zone)
    except OverflowError:  # beside the calendar's first or last day
        return _NOTHING


def _opening(day: date, zone: ZoneInfo) -> timedelta:
    """Return how far the clock is ahead of UTC right before a day begins."""
    midnight = datetime.combine(day, time(), tzinfo=zone)
    before = micros(midnight) - 1
    seen = moment(before + 1).astimezone(zone)
    if seen.replace(tzinfo=None) != midnight.replace(tzinfo=None):
        # The day begins inside a gap, and midnight is told by the clock before it.
        return midnight.utcoffset() or _NOTHING
    return moment(before).astimezone(zone).utcoffset() or _NOTHING


def _parts(trigger: Trigger | None) -> tuple[Trigger, ...]:
    """Return the triggers of which one is made, without what it leaves out."""
    inner = getattr(trigger, "trigger", None)
    if isinstance(inner, Trigger):
        return (inner,)
    parts = getattr(trigger, "triggers", ())
    if not isinstance(parts, tuple | list):
        return ()
    return tuple(part for part in parts if isinstance(part, Trigger))


def _made_up(trigger: Trigger, slot: int) -> bool:
    """Tell whether a slot exists only because its trigger makes up for gaps."""
    parts = [part for part in _parts(trigger) if part.next(slot - 1) == slot]
    if parts:
        return all(_made_up(part, slot) for part in parts)
    tz = getattr(trigger, "tz", None)
    if not isinstance(tz, str) or "gap" not in type(trigger).model_fields:
        return False
    zone = load_zone(tz)
    before = moment(slot - 1).astimezone(zone).utcoffset()
    after = moment(slot).astimezone(zone).utcoffset()
    if before is None or after is None or after <= before:
        return False
    strict = trigger_from_data({**trigger.to_data(), "gap": "skip"})
    return strict.next(slot - 1) != slot
