"""The rules of the core, as properties over random programmes.

Conservation, sound ``instant``, progress, ordered fences, bounded waiting.
"""

from __future__ import annotations

from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import given, settings

from aiosched.enums import Coalesce, OnLost, Outcome, Overlap
from aiosched.instants import moment
from aiosched.records import Definition, RetryRule, Spec
from aiosched.triggers.base import Trigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.interval import IntervalTrigger
from tests.model.programme import World, ended

START = 1_700_000_000_000_000

SECONDS = st.integers(0, 90_000).map(lambda ms: ms * 1000)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    trigger: Trigger | None = None
    anchor = None
    keyword = draw(st.sampled_from([None, "word"]))
    kind = draw(st.sampled_from(["none", "date", "interval", "interval", "bounded"]))
    if kind == "date":
        trigger = DateTrigger(moment(START)).rule()
        anchor = START + draw(st.integers(-5_000_000, 20_000_000))
    elif kind == "interval":
        every = draw(st.sampled_from([0.4, 1.0, 7.0, 60.0]))
        trigger = IntervalTrigger(milliseconds=int(every * 1000)).rule()
        anchor = draw(st.sampled_from([None, START, START + 3_000_000]))
    elif kind == "bounded":
        begin = moment(START + 2_000_000)
        until = begin + timedelta(seconds=draw(st.integers(0, 40)))
        bounded = IntervalTrigger(seconds=2, start=begin, end=until)
        trigger, anchor = bounded.rule(), bounded.own_instant()
    retry = draw(
        st.sampled_from([None, RetryRule(1, 10), RetryRule(3, 2_000_000, jitter=0.5)])
    )
    spec = Spec(
        executor="work",
        trigger=trigger,
        keyword=keyword,
        max_runs=draw(st.sampled_from([None, None, 1, 3])),
        misfire_grace=draw(st.sampled_from([None, None, 0, 5_000_000])),
        coalesce=draw(st.sampled_from(list(Coalesce))),
        overlap=draw(st.sampled_from(list(Overlap))),
        max_running=draw(st.sampled_from([1, 1, 2, 3])),
        jitter=draw(st.sampled_from([0, 0, 0, 900_000])),
        retry=retry,
        on_lost=draw(st.sampled_from(list(OnLost))),
        max_lost=draw(st.sampled_from([0, 1, 3])),
        keep=draw(st.sampled_from([0, 10_000_000])),
        keep_last=draw(st.sampled_from([0, 2, 200])),
    )
    return Definition("job", spec, anchor)


ENDS = st.builds(
    ended,
    st.sampled_from(
        [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED]
    ),
    shutdown=st.booleans(),
    entered=st.booleans(),
)
VERBS = st.sampled_from(
    [
        "schedule",
        "fire",
        "fire",
        "fire_ttl",
        "start",
        "modify",
        "retime",
        "pause",
        "resume",
        "stop",
        "remove",
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("pass"), SECONDS),
    st.tuples(st.just("attend"), st.sampled_from([0, 1, 5])),
    st.tuples(st.just("attend"), st.sampled_from([1, 5])),
    st.tuples(st.just("settle"), ENDS, st.integers(0, 50)),
    st.tuples(st.just("settle"), ENDS, st.integers(-2, -1)),
    st.tuples(st.just("extend"), st.integers(-3, 5)),
    st.tuples(st.just("verb"), VERBS),
    st.tuples(st.just("progress")),
)


def run_programme(definition: Definition, steps: list[tuple[object, ...]]) -> World:
    world = World(definition, START)
    world.verb("schedule", "")
    for number, step in enumerate(steps):
        # Ids made again are told apart by time alone: no two writes at once.
        world.now += 1000
        match step:
            case ("pass", int(micros)):
                world.now += micros
            case ("attend", int(capacity)):
                world.attend("peer-a" if number % 2 else "peer-b", capacity)
            case ("settle", end, int(index)):
                world.settle(index, end)  # type: ignore[arg-type]
            case ("extend", int(index)):
                world.extend(index)
            case ("verb", str(name)):
                world.verb(name, f"fire-{number}")
            case _:
                world.progress()
    world.progress()
    return world


@settings(max_examples=1500, deadline=None)
@given(definitions(), st.lists(STEPS, max_size=40))
def test_every_programme_keeps_every_rule(
    definition: Definition, steps: list[tuple[object, ...]]
) -> None:
    """Slots add up, fences rise, instants are sound, looking makes progress."""
    run_programme(definition, steps)
