"""``aiosched states``: the table of moves is what planning does, no more, no less."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace

from aiosched import planning
from aiosched.cli.states import FIRING_MOVES, JOB_MOVES, as_dot
from aiosched.enums import JobState, OnConflict, OnLost, Outcome, Overlap, Reason
from aiosched.errors import JobError
from aiosched.instants import SECOND, moment
from aiosched.records import Change, Definition, Ended, Record, RetryRule, Spec, State
from aiosched.triggers import DateTrigger, IntervalTrigger, Trigger
from tests.cli.commands import aiosched

START = 1_700_000_000 * SECOND
LEASE = 5 * SECOND
Step = tuple[str, str]
VERBS: tuple[str, ...] = (
    "schedule",
    "start",
    "pause",
    "resume",
    "stop",
    "remove",
    "modify",
)
VERBS += ("attend",) * 3 + ("settle", "fire") * 2


def definition(chance: random.Random) -> Definition:
    kind = chance.choice(("once", "keyword", "interval"))
    trigger: Trigger | None = None
    anchor: int | None = None
    if kind == "interval":
        trigger = IntervalTrigger(seconds=2, start=moment(START)).rule()
        anchor = START
    elif kind == "once":
        trigger, anchor = DateTrigger(moment(START)).rule(), START + 3 * SECOND
    spec = Spec(
        "work",
        trigger,
        keyword="word" if kind == "keyword" else None,
        max_runs=chance.choice((None, 1, 2)),
        overlap=chance.choice(list(Overlap)),
        retry=chance.choice((None, RetryRule(2, SECOND))),
        on_lost=chance.choice(list(OnLost)),
        max_lost=1,
        keep=chance.choice((0, 5 * SECOND)),
    )
    return Definition("job", spec, anchor)


class Walk:
    """One record that is sent about at random; notes every step it takes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.definition = definition(self.chance)
        self.record: Record | None = None
        self.now = START
        self.jobs: set[Step] = set()
        self.firings: set[Step] = set()
        self._fires = 0

    def go(self, steps: int) -> None:
        for _ in range(steps):
            self.now += self.chance.choice((0, SECOND // 2, SECOND, 4 * SECOND))
            try:
                change = self.decide()
            except JobError:
                continue
            if change is not None and not change.index_only:
                self.take(change)

    def decide(self) -> Change | None:
        chance, now = self.chance, self.now
        verb = chance.choice(VERBS)
        if verb == "schedule":
            return self._schedule()
        if self.record is None:
            return None
        job, state = self.record.definition, self.record.state
        if verb == "attend":
            return planning.attend(job, state, now, chance.choice((0, 3)), "me", LEASE)
        if verb == "settle":
            return self._settle(job, state)
        if verb == "start" and state.status is JobState.FINISHED:
            self._fires += 1
            return planning.start(self.record, now, f"f{self._fires}")
        return self._verb(verb, planning.living(self.record, job.id))

    def _schedule(self) -> Change | None:
        chance = self.chance
        note = replace(self.definition.spec, note=chance.choice(("", "changed")))
        return planning.schedule(
            replace(self.definition, spec=note),
            self.record,
            self.now,
            on_conflict=OnConflict.REPLACE,
            paused=chance.random() < 0.3,
            again=chance.random() < 0.5,
        )

    def _settle(self, job: Definition, state: State) -> Change | None:
        if not state.runs:
            return None
        run = self.chance.choice(state.runs)
        outcome = self.chance.choice(
            (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED)
        )
        reason = Reason.NONE
        if outcome is Outcome.CANCELLED:
            reason = self.chance.choice((Reason.SHUTDOWN, run.cancel))
        ended = Ended(outcome, reason, error=("ValueError",))
        return planning.settle(job, state, "me", run.fence, ended, self.now)

    def _verb(self, verb: str, record: Record) -> Change | None:
        now = self.now
        self._fires += 1
        if verb == "fire":
            expires = self.chance.choice((None, now + SECOND))
            return planning.fire(record, now, f"f{self._fires}", expires=expires)
        if verb == "start":
            return planning.start(record, now, f"f{self._fires}")
        if verb == "modify":
            spec = replace(record.definition.spec, max_runs=1)
            return planning.modify(replace(record.definition, spec=spec), record, now)
        plain = {
            "pause": planning.pause,
            "resume": planning.resume,
            "stop": planning.stop,
            "remove": planning.remove,
        }
        return plain[verb](record, now)

    # -- what it did ---------------------------------------------------------

    def take(self, change: Change) -> None:
        before, after = places(self.record), places(change.record)
        ends = {row.key: row.kind.value for row in change.rows if row.final}
        self.jobs.add((status(self.record), status(change.record)))
        for key in before.keys() | after.keys() | ends.keys():
            old = before.get(key, ("new", 0))
            new = (ends[key], 0) if key in ends else after.get(key, ("gone", 0))
            self.firings |= set(steps(old, new))
        self.record = change.record
        self.jobs = {step for step in self.jobs if step[0] != step[1]}


def status(record: Record | None) -> str:
    return (JobState.UNKNOWN if record is None else record.state.status).value


def places(record: Record | None) -> dict[str, tuple[str, int]]:
    """Return where each open firing is, with the fence of its run."""
    if record is None:
        return {}
    found = {firing.key: ("waiting", 0) for firing in record.state.waiting}
    running = {run.firing.key: ("running", run.fence) for run in record.state.runs}
    return found | running


def steps(old: tuple[str, int], new: tuple[str, int]) -> Iterator[Step]:
    if old == new:
        return
    if old[0] == new[0] == "running":  # lost and started again in one decision
        yield "running", "waiting"
        yield "waiting", "running"
    else:
        yield old[0], new[0]


def test_planning_makes_these_moves_and_no_others() -> None:
    jobs: set[Step] = set()
    firings: set[Step] = set()
    for seed in range(1500):
        walk = Walk(seed)
        walk.go(40)
        jobs |= walk.jobs
        firings |= walk.firings
    assert jobs == {(move.before, move.after) for move in JOB_MOVES}
    assert firings == {(move.before, move.after) for move in FIRING_MOVES}


def test_the_graph_shows_every_state_and_every_move() -> None:
    done = aiosched("states", "--dot")
    assert done.returncode == 0
    assert done.stdout.rstrip("\n") == as_dot()
    nodes = set(re.findall(r"^    (\w+) \[", done.stdout, re.MULTILINE))
    edges = set(re.findall(r"^    (\w+ -> \w+) \[", done.stdout, re.MULTILINE))
    wanted = {f"job_{state.value}" for state in JobState}
    wanted |= {f"firing_{outcome.value}" for outcome in Outcome}
    assert wanted | {"firing_new", "firing_waiting", "firing_running"} == nodes
    assert edges == {
        *(f"job_{move.before} -> job_{move.after}" for move in JOB_MOVES),
        *(f"firing_{move.before} -> firing_{move.after}" for move in FIRING_MOVES),
    }
    assert done.stdout.count("{") == done.stdout.count("}")


def test_the_table_is_printed_too() -> None:
    done = aiosched("states")
    assert "running -> waiting" in done.stdout
    assert len(done.stdout.splitlines()) == len(JOB_MOVES) + len(FIRING_MOVES) + 2
