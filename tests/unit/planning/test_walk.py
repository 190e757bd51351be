"""Walking along stretches, against telling the slots one by one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Literal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.planning._walk import (
    MOST_STRETCHES,
    due_slots,
    excluded_to,
    fires_after,
    first_due,
    nth,
    tally,
)
from aiosched.planning.moments import due_at
from aiosched.records import Definition, Spec
from aiosched.triggers.base import LAST_INSTANT, LOOK_LIMIT, Stretch, Trigger
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.interval import IntervalTrigger
from tests.model.spotty import SpottyTrigger

SECOND = 1_000_000
DAY = 86_400 * SECOND
T0 = micros(datetime.fromisoformat("2024-10-20T00:00:00+00:00"))


@st.composite
def spotty(draw: st.DrawFn) -> SpottyTrigger:
    closed = draw(st.sets(st.integers(0, 4), min_size=1, max_size=4))
    return SpottyTrigger(
        begin=T0,
        period=draw(st.sampled_from([300_000, 700_000, 3 * SECOND, 11 * SECOND])),
        final=draw(st.sampled_from([None, T0 + 60 * SECOND])),
        day=draw(st.sampled_from([2 * SECOND, 5 * SECOND])),
        closed=tuple(sorted(closed)),
        shift=draw(st.sampled_from(["skip", "next", "previous"])),
    )


def excluding(
    shift: Literal["skip", "next_business_day", "previous_business_day"],
) -> list[Trigger]:
    """Return triggers of all kinds, with weekends and a holiday left out."""
    inner: list[Trigger] = [
        CronTrigger("30 2,14 * * *", tz="Europe/Paris"),
        CronTrigger("0 */7 * * sat,sun", tz="Europe/Paris"),
        CronTrigger("*/20 3 * * sun", tz="Europe/Paris"),
        CalendarIntervalTrigger(
            days=6, at="02:30", tz="Europe/Paris", start="2024-09-01"
        ),
        IntervalTrigger(hours=13, start=moment(T0 - 30 * DAY)),
        IntervalTrigger(hours=31, start=moment(T0), end=moment(T0 + 40 * DAY)),
    ]
    if shift == "skip":
        del inner[1:3]  # nothing would be left of them
    days = ("sat-sun", "2024-10-28/2024-10-30", "11-01")
    return [one.excluding(*days, tz="Europe/Paris", shift=shift) for one in inner]


EXCLUDING = [
    *excluding("skip"),
    *excluding("next_business_day"),
    *excluding("previous_business_day"),
]


def listed(definition: Definition, first: int, horizon: int) -> list[int]:
    trigger = definition.spec.trigger
    assert trigger is not None
    slots, slot = [], trigger.next(first - 1)
    while slot is not None and slot <= horizon:
        slots.append(slot)
        slot = trigger.next(slot)
    return slots


def naive(definition: Definition, slots: list[int], until: int) -> list[int]:
    """Return the slots that are due, one by one, in order."""
    taken: list[int] = []
    for slot in slots:
        at = due_at(definition, slot)
        if (slot if at is None else at) > until:
            break
        taken.append(slot)
    return taken


def check(definition: Definition, first: int, until: int, horizon: int) -> None:
    """Compare every question with its answer by listing."""
    trigger = definition.spec.trigger
    assert trigger is not None
    slots = listed(definition, first, horizon)
    if not slots:
        return
    first = slots[0]
    dues = {slot: due_at(definition, slot) for slot in slots}
    taken = naive(definition, slots, until)
    kept = [slot for slot in taken if dues[slot] is not None]
    found = due_slots(definition, first, until, whole=False)
    if not taken:
        assert found is None
        return
    assert found is not None
    assert (found.last, found.more) == (taken[-1], False)
    assert (found.oldest, found.newest) == (
        (kept[0], kept[-1]) if kept else (None, None)
    )
    sums = tally(definition, first, found.last)
    assert (sums.kept, sums.excluded) == (len(kept), len(taken) - len(kept))
    if kept:
        assert (sums.first_kept, sums.last_kept) == (kept[0], kept[-1])
        for number in {1, len(kept) // 2 or 1, len(kept)}:
            assert nth(definition, first, found.last, number) == kept[number - 1]
    check_whole(definition, slots, taken, dues, until)


def check_whole(
    definition: Definition,
    slots: list[int],
    taken: list[int],
    dues: dict[int, int | None],
    until: int,
) -> None:
    """Check that excluded slots are left alone until the last of them is over."""
    whole = list(taken)
    following = slots[len(taken) : len(taken) + 1]
    if following and dues[following[0]] is None:
        while whole and dues[whole[-1]] is None:
            whole.pop()
    found = due_slots(definition, slots[0], until, whole=True)
    assert (None if found is None else found.last) == (whole[-1] if whole else None)


@settings(max_examples=400, deadline=None)
@given(
    spotty(),
    st.integers(0, 20_000),
    st.integers(-5_000, 90_000),
    st.sampled_from([0, 0, 400_000, 4_000_000]),
)
def test_stretches_say_what_single_slots_say(
    trigger: SpottyTrigger, skip: int, until: int, jitter: int
) -> None:
    """Due slots, their sums and the n-th of them, for short days and weeks."""
    definition = Definition("job", Spec("work", trigger, jitter=jitter))
    check(definition, T0 + skip * 1000, T0 + until * 1000, T0 + 150 * SECOND)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(EXCLUDING),
    st.integers(0, 15 * 24 * 60),
    st.integers(-3 * 24 * 60, 25 * 24 * 60),
    st.sampled_from([0, 0, 3600 * SECOND]),
)
def test_the_same_for_weekends_holidays_and_clock_changes(
    trigger: Trigger, skip: int, until: int, jitter: int
) -> None:
    """The clocks of Paris are put back on 27 October 2024, a Sunday."""
    definition = Definition("job", Spec("work", trigger, jitter=jitter))
    minute = 60 * SECOND
    check(definition, T0 + skip * minute, T0 + until * minute, T0 + 40 * DAY)


@pytest.mark.parametrize("day", ["2024-03-31", "2024-10-27"])
@pytest.mark.parametrize("shift", ["next_business_day", "previous_business_day"])
def test_a_sunday_on_which_the_clocks_change_is_moved_piece_by_piece(
    day: str, shift: Literal["next_business_day", "previous_business_day"]
) -> None:
    """Its slots are not all moved by as much, so how many are due is searched."""
    cron = CronTrigger("*/20 0-4 * * sun", tz="Europe/Paris")
    trigger = cron.excluding("sat-sun", shift=shift)
    sunday = micros(datetime.fromisoformat(f"{day}T00:00:00+00:00"))
    definition = Definition("job", Spec("work", trigger))
    step = 2 if shift == "previous_business_day" else -1
    target = sunday - step * DAY
    for minute in range(-180, 360, 10):
        until = target + minute * 60 * SECOND
        check(definition, sunday - DAY, until, sunday + 3 * DAY)


def test_a_moved_day_of_many_slots_is_halved_not_listed() -> None:
    """Each second of a night that lacks an hour; one look gets to all of them."""
    cron = CronTrigger("* * 0-4 * * sun", tz="Europe/Paris", seconds="first")
    trigger = cron.excluding("sat-sun", shift="next_business_day")
    definition = Definition("job", Spec("work", trigger))
    first = trigger.next(micros(datetime.fromisoformat("2024-03-30T00:00:00+00:00")))
    until = micros(datetime.fromisoformat("2024-04-01T03:10:00+02:00"))
    assert first is not None
    found = due_slots(definition, first, until, whole=True)
    assert found is not None
    assert not found.more
    following = trigger.next(found.last)
    assert following is not None
    dues = due_at(definition, found.last), due_at(definition, following)
    assert dues == (until, until + SECOND)
    assert tally(definition, first, found.last).kept > 3 * MOST_STRETCHES


@settings(max_examples=400, deadline=None)
@given(spotty() | st.sampled_from(EXCLUDING), st.integers(0, 60_000))
def test_a_job_begins_with_the_first_slot_that_is_due(
    trigger: Trigger, into: int
) -> None:
    """Moved slots count by when they are due, excluded ones by their instants."""
    spotted = isinstance(trigger, SpottyTrigger)
    now = T0 + into * (1000 if spotted else 60 * SECOND)
    definition = Definition("job", Spec("work", trigger))
    before, after = (20 * SECOND, 60 * SECOND) if spotted else (9 * DAY, 15 * DAY)
    expected = None
    for slot in listed(definition, now - before, now + after):
        due = due_at(definition, slot)
        if (slot if due is None else due) >= now:
            expected = slot
            break
    assert first_due(definition, now) == expected


def test_an_excluded_trail_is_followed_to_the_end() -> None:
    """Whether anything still fires, where all that is left is excluded."""
    ends = SpottyTrigger(
        begin=T0, period=SECOND, final=T0 + 20 * SECOND, day=5 * SECOND
    )
    definition = Definition("job", Spec("work", ends))
    slots = listed(definition, T0, T0 + 20 * SECOND)
    last = max(slot for slot in slots if ends.due(slot) is not None)
    assert not fires_after(definition, last)
    assert fires_after(definition, last - SECOND)
    assert last < slots[-1], "an excluded trail follows"


class _Backwards(Trigger, frozen=True):
    """A trigger of a user's own whose stretches go nowhere."""

    kind: Literal["backwards-in-tests"] = "backwards-in-tests"

    @property
    def plain(self) -> bool:
        """No."""
        return False

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the next whole second."""
        return after.replace(microsecond=0) + timedelta(seconds=1)

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Exclude everything."""

    def stretch(self, first: int, until: int, anchor: int | None = None) -> Stretch:
        """Answer what is before the question."""
        return Stretch(first - 1, 1, "excluded")


def test_a_stretch_without_its_slot_is_refused() -> None:
    """Else a look would go round for ever."""
    definition = Definition("job", Spec("work", _Backwards()))
    with pytest.raises(TriggerError, match="without its first slot"):
        due_slots(definition, T0, T0 + SECOND, whole=True)


class _Fickle(SpottyTrigger, frozen=True):
    """One that has to be enumerated."""

    kind: Literal["fickle-in-tests"] = "fickle-in-tests"  # type: ignore[assignment]
    exact: ClassVar[bool] = False


@pytest.mark.parametrize("exact", [True, False])
def test_a_look_walks_so_far_and_no_further(*, exact: bool) -> None:
    """It says that more is due, and the next look begins behind."""
    kind, day = (SpottyTrigger, SECOND) if exact else (_Fickle, 100 * SECOND)
    trigger = kind(begin=T0, period=SECOND, day=day, closed=(0, 2))
    definition = Definition("job", Spec("work", trigger))
    until = T0 + 40_000 * SECOND
    found = due_slots(definition, T0, until, whole=True)
    assert found is not None
    assert found.more
    assert found.newest is not None
    walked = (found.last - T0) // SECOND + 1
    # Of five days two are excluded, and two of the three others are neighbours.
    most = MOST_STRETCHES * 5 / 4 + 1 if exact else LOOK_LIMIT + 200
    assert most * 0.9 < walked <= most
    behind = due_slots(definition, found.last + SECOND, found.last + SECOND, whole=True)
    assert behind is None or not behind.more


def test_the_end_of_an_excluded_stretch() -> None:
    """As far as it goes, and no further than asked."""
    trigger = SpottyTrigger(begin=T0, period=SECOND, day=5 * SECOND)
    definition = Definition("job", Spec("work", trigger))
    closed = next(s for s in range(T0, T0 + DAY, SECOND) if trigger.due(s) is None)
    assert excluded_to(definition, closed, LAST_INSTANT) == closed + 9 * SECOND
    assert excluded_to(definition, closed, closed + 3 * SECOND) == closed + 3 * SECOND
