"""The written table of start times, played by one pure clock."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from aiosched import planning
from aiosched.enums import JobState, Outcome, Overlap, Reason
from aiosched.instants import SECOND, moment
from aiosched.records import Definition, Ended, LiveRun, Record, Spec
from aiosched.triggers.interval import IntervalTrigger

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "planning.md"
ROW = re.compile(r"\| `(\w+)` \| (\d+) \| `([\d@. ]+)` \|")
T0 = 1_700_000_000 * SECOND
LASTS = 5 * SECOND // 2
LEASE = 1000 * SECOND


def written() -> dict[str, tuple[int, list[tuple[int, float]]]]:
    """Read the table: overlap -> max_running and (slot, start)s."""
    table = {}
    for overlap, most, starts in ROW.findall(PAGE.read_text(encoding="utf-8")):
        pairs = [one.split("@") for one in starts.split()]
        table[overlap] = int(most), [(int(slot), float(at)) for slot, at in pairs]
    return table


class Play:
    """One job and a clock that leaps from event to event."""

    def __init__(self, overlap: Overlap, most: int, *, looks_first: bool) -> None:
        trigger = IntervalTrigger(
            seconds=1, start=moment(T0), end=moment(T0 + 9 * SECOND)
        )
        spec = Spec(
            "work",
            trigger.rule(),
            overlap=overlap,
            max_running=most,
            keep=LEASE * 1000,
        )
        definition = Definition("job", spec, trigger.own_instant())
        change = planning.schedule(definition, None, T0 - SECOND)
        assert change is not None
        assert change.record is not None
        self.record: Record = change.record
        self.looks_first = looks_first
        self.starts: list[tuple[int, float]] = []

    def over(self, run: LiveRun) -> int:
        """Return when a run ends: at once when it is told to."""
        return 0 if run.cancel is not Reason.NONE else run.started + LASTS

    def step(self, now: int) -> int | None:
        """Do what is due, and return when something is again."""
        state = self.record.state
        ends = [run for run in state.runs if self.over(run) <= now]
        at = planning.instant(self.record.definition, state)
        look = at is not None and at <= now
        if look and (self.looks_first or not ends):
            self.look(now)
        elif ends:
            self.end(ends[0], now)
        state = self.record.state
        if state.status is JobState.FINISHED:
            return None
        at = planning.instant(self.record.definition, state)
        moments = [self.over(run) for run in state.runs]
        moments += [] if at is None else [at]
        return max(now, min(moments))

    def look(self, now: int) -> None:
        definition, state = self.record.definition, self.record.state
        change = planning.attend(definition, state, now, 9, "me", LEASE)
        assert change is not None
        assert change.record is not None
        self.record = change.record
        for start in change.starts:
            slot = (start.run.firing.slot - T0) // SECOND
            self.starts.append((slot, (now - T0) / SECOND))

    def end(self, run: LiveRun, now: int) -> None:
        told = run.cancel is not Reason.NONE
        ended = Ended(Outcome.CANCELLED if told else Outcome.SUCCEEDED)
        definition, state = self.record.definition, self.record.state
        change = planning.settle(definition, state, "me", run.fence, ended, now)
        assert change is not None
        assert change.record is not None
        self.record = change.record


@pytest.mark.parametrize("looks_first", [True, False])
@pytest.mark.parametrize("overlap", list(Overlap))
def test_the_table_of_start_times(overlap: Overlap, *, looks_first: bool) -> None:
    """Whichever comes first where a run ends at the instant of a slot."""
    most, expected = written()[overlap.value]
    play = Play(overlap, most, looks_first=looks_first)
    now: int | None = T0 - SECOND
    for _ in range(200):
        if now is None:
            break
        now = play.step(now)
    assert now is None, "it comes to an end"
    assert play.starts == expected
    counts = play.record.state.counts
    assert counts.slots == 10
    assert counts.fired == len(expected)
    assert planning.conserved(play.record) is None


def test_the_table_names_each_rule_and_each_slot_once() -> None:
    """So that nobody reads a table with a hole in it."""
    table = written()
    assert set(table) == {overlap.value for overlap in Overlap}
    for most, starts in table.values():
        slots = [slot for slot, _ in starts]
        assert slots == sorted(set(slots))
        assert all(at >= slot for slot, at in starts)
        ends = sorted(at for _, at in starts)
        assert most >= 1
        assert all(one <= two for one, two in pairwise(ends))
