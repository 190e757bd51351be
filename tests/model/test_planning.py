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
from aiosched.triggers.backfill import BackfillTrigger
from aiosched.triggers.base import Trigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.interval import IntervalTrigger
from tests.model.programme import World, ended
from tests.model.spotty import SpottyTrigger

START = 1_700_000_000_000_000

SECONDS = st.integers(0, 90_000).map(lambda ms: ms * 1000)
HOURS = st.integers(1, 70).map(lambda hours: hours * 3_600_000_000)


WEEKENDS = IntervalTrigger(hours=7).excluding("sat-sun", tz="Europe/Paris")
OFF = SpottyTrigger(begin=START - 10**9, period=3_000_000, shift="next")
CUT = BackfillTrigger(
    IntervalTrigger(seconds=2, start=moment(START - 10**9)),
    moment(START - 90_000_000),
    moment(START + 30_000_000),
)


@st.composite
def spotty(draw: st.DrawFn) -> SpottyTrigger:
    begin = START + draw(st.integers(-30_000_000, 30_000_000))
    closed = draw(st.sets(st.integers(0, 4), min_size=1, max_size=4))
    lasts = draw(st.sampled_from([None, None, 0, 40_000_000, 120_000_000]))
    return SpottyTrigger(
        begin=begin,
        period=draw(st.sampled_from([700_000, 3_000_000, 11_000_000, 25_000_000])),
        final=None if lasts is None else begin + lasts,
        day=draw(st.sampled_from([2_000_000, 10_000_000])),
        closed=tuple(sorted(closed)),
        shift=draw(st.sampled_from(["skip", "next", "previous"])),
    )


@st.composite
def triggers(draw: st.DrawFn) -> tuple[Trigger | None, int | None]:
    """Draw a trigger, shared where it can be, and its own instant."""
    kind = draw(
        st.sampled_from(
            [
                "none",
                "date",
                "interval",
                "interval",
                "bounded",
                "spotty",
                "spotty",
                "spotty",
                "weekends",
                "backfill",
            ]
        )
    )
    if kind == "date":
        at = START + draw(st.integers(-5_000_000, 20_000_000))
        return DateTrigger(moment(START)).rule(), at
    if kind == "interval":
        every = draw(st.sampled_from([0.4, 1.0, 7.0, 60.0]))
        anchor = draw(st.sampled_from([None, START, START + 3_000_000]))
        return IntervalTrigger(milliseconds=int(every * 1000)).rule(), anchor
    if kind == "bounded":
        begin = moment(START + 2_000_000)
        until = begin + timedelta(seconds=draw(st.integers(0, 40)))
        bounded = IntervalTrigger(seconds=2, start=begin, end=until)
        return bounded.rule(), bounded.own_instant()
    if kind == "spotty":
        return draw(spotty()), None
    if kind == "weekends":
        return WEEKENDS.rule(), draw(st.sampled_from([None, START]))
    if kind == "backfill":
        return draw(
            st.sampled_from([CUT, CUT.model_copy(update={"trigger": OFF})])
        ), None
    return None, None


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    trigger, anchor = draw(triggers())
    keyword = draw(st.sampled_from([None, "word"]))
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
        jitter=draw(st.sampled_from([0, 0, 0, 900_000, 40_000_000])),
        retry=retry,
        on_lost=draw(st.sampled_from(list(OnLost))),
        max_lost=draw(st.sampled_from([0, 1, 3])),
        keep=draw(st.sampled_from([0, 10_000_000])),
        keep_last=draw(st.sampled_from([0, 2, 200])),
        coalesce_limit=draw(st.sampled_from([None, None, 1, 3, 40])),
        keep_results=draw(st.sampled_from([None, None, 0, 1_000_000])),
    )
    return Definition("job", spec, anchor)


ENDS = st.builds(
    ended,
    st.sampled_from(
        [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED]
    ),
    shutdown=st.booleans(),
    entered=st.booleans(),
    finish=st.sampled_from([False, False, False, True]),
)
VERBS = st.sampled_from(
    [
        "schedule",
        "fire",
        "fire",
        "fire_ttl",
        "start",
        "modify",
        "more",
        "retime",
        "exclude",
        "pause",
        "hold",
        "resume",
        "stop",
        "remove",
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("pass"), SECONDS),
    st.tuples(st.just("pass"), SECONDS),
    st.tuples(st.just("pass"), HOURS),
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
    world.judge_fates()
    return world


@settings(max_examples=500, deadline=None)
@given(definitions(), st.lists(STEPS, max_size=40))
def test_every_programme_keeps_every_rule(
    definition: Definition, steps: list[tuple[object, ...]]
) -> None:
    """Slots add up, fences rise, instants are sound, looking makes progress."""
    run_programme(definition, steps)


@st.composite
def put_off(draw: st.DrawFn) -> Definition:
    """Draw a job whose slots are put off, past, or few."""
    kind = draw(st.sampled_from(["spotty", "jitter", "jitter", "backfill"]))
    trigger: Trigger = CUT
    anchor: int | None = None
    if kind == "spotty":
        trigger = draw(spotty())
    elif kind == "jitter":
        trigger, anchor = IntervalTrigger(seconds=10).rule(), START
    spec = Spec(
        executor="work",
        trigger=trigger,
        max_runs=draw(st.sampled_from([None, None, 1])),
        coalesce=draw(st.sampled_from(list(Coalesce))),
        overlap=draw(st.sampled_from(list(Overlap))),
        max_running=draw(st.sampled_from([1, 2])),
        jitter=0 if kind == "backfill" else 9_000_000,
        keyword="word",
        keep_last=200,
    )
    return Definition("job", spec, anchor)


CHANGES = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 12_000).map(lambda ms: ms * 1000)),
    st.tuples(
        st.just("verb"),
        st.sampled_from(
            ["retime", "exclude", "more", "pause", "hold", "resume", "stop", "remove"]
        ),
    ),
    st.tuples(st.just("attend"), st.sampled_from([0, 1, 5])),
    st.tuples(st.just("settle"), ENDS, st.integers(-2, -1)),
    st.tuples(st.just("progress")),
)


@settings(max_examples=500, deadline=None)
@given(put_off(), st.lists(CHANGES, min_size=6, max_size=20))
def test_what_is_put_off_or_given_up_is_accounted_for(
    definition: Definition, steps: list[tuple[object, ...]]
) -> None:
    """Changes at odd moments: in a slot's jitter, in a pause, at the last run."""
    run_programme(definition, steps)
