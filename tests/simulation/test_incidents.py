"""Incidents as data: their text, what is refused, and how they are drawn."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.testing.simulation.incidents import (
    CLUSTER,
    KINDS,
    POINTS,
    STORE,
    Incident,
    IncidentKind,
    parse_incidents,
    show_incidents,
)
from aiosched.testing.simulation.plans import plan

NODES = ("p0", "p1", "p2")
OF_STORE = ("refuse", "silence", "loading", "readonly", "oom", "restart", "empty")

lengths = st.floats(0, 1e9, allow_nan=False)
steps = st.floats(-1e9, 1e9, allow_nan=False)
nodes = st.sampled_from([*NODES, "a b", "é", "client"])
writes = st.sampled_from([p for p in POINTS if p not in ("mid_run", "signal")])


def _kinds(*names: IncidentKind) -> st.SearchStrategy[IncidentKind]:
    return st.sampled_from(names)


incidents = st.one_of(
    st.builds(
        Incident,
        _kinds("stall", "block", "partition"),
        nodes,
        at=lengths,
        seconds=lengths,
    ),
    st.builds(
        Incident, st.just("crash"), nodes, at=lengths, seconds=lengths | st.none()
    ),
    st.builds(
        Incident,
        _kinds("crash", "stall", "block"),
        nodes,
        point=writes | st.just("mid_run"),
        ordinal=st.integers(1, 999_999_999),
        seconds=lengths,
    ),
    st.builds(
        Incident,
        st.just("cut"),
        nodes,
        point=writes,
        ordinal=st.integers(1, 999_999_999),
    ),
    st.builds(
        Incident,
        _kinds("lose", "delay", "double"),
        nodes,
        at=lengths,
        seconds=lengths,
        amount=st.floats(0, 1),
    ),
    st.builds(
        Incident,
        _kinds("lose", "delay", "double"),
        nodes,
        point=st.just("signal"),
        ordinal=st.integers(1, 999_999_999),
    ),
    st.builds(Incident, st.just("skew"), nodes, at=lengths, amount=steps),
    st.builds(Incident, st.just("drift"), st.just(STORE), at=lengths, amount=steps),
    st.builds(
        Incident,
        st.sampled_from(OF_STORE),
        st.just(STORE),
        at=lengths,
        seconds=lengths,
    ),
    st.builds(
        Incident,
        st.just("rollback"),
        st.just(STORE),
        at=lengths,
        seconds=lengths,
        amount=lengths,
    ),
    st.builds(
        Incident, st.just("deploy"), st.just(CLUSTER), at=lengths, seconds=lengths
    ),
)


@given(st.lists(incidents, max_size=5))
def test_the_text_of_incidents_reads_back_as_the_same_incidents(
    given: list[Incident],
) -> None:
    assert parse_incidents(show_incidents(given)) == tuple(given)


@given(st.text(alphabet="crashp1:#;.0-9e_befo claim", max_size=40))
def test_any_text_is_read_or_refused_as_a_value(text: str) -> None:
    try:
        found = parse_incidents(text)
    except ValueError:
        return
    assert parse_incidents(show_incidents(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "crash",
        "crash:p1",
        "crash:p1:soon",
        "explode:p1:3",
        "crash:store:3:1",
        "crash:p1:3:-1",
        "crash:p1:-3",
        "crash:p1:nowhere#1",
        "crash:p1:after_claim#0",
        "crash:p1:signal#1",
        "crash:p1:3:1:1",
        "crash:p1:3:1:1:1",
        "stall:p1:3",
        "stall:p1:inf:3",
        "cut:p1:3",
        "cut:p1:mid_run#3",
        "cut:p1:after_claim#3:4",
        "lose:p1:3:4",
        "lose:p1:3:4:1.5",
        "lose:p1:signal#3:4",
        "skew:p1:3:4",
        "skew:p1:3",
        "refuse:p1:3:4",
        "refuse:store:3",
        "rollback:store:3:4",
        "empty:store:3:4:5",
        "deploy:p1:3:4",
        "drift:p1:3::0.1",
        "partition:cluster:3:4",
    ],
)
def test_what_could_never_happen_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fitting|is no incident"):
        parse_incidents(text)


def test_makers_spell_what_people_mean() -> None:
    made = [
        Incident.crash("p1", 12.3, back=4),
        Incident.crash("p1", point="after_claim", ordinal=3),
        Incident.stall("p2", 20, seconds=45),
        Incident.block("p2", point="mid_run", seconds=45),
        Incident.skew("p0", 14, by=-5.5),
        Incident.partition("p0", 14, seconds=2),
        Incident.cut("p1", "after_settle", 2),
        Incident.lose("p0", 10, seconds=30, share=0.5),
        Incident.outage(5, seconds=1),
        Incident.outage(5, seconds=1, silent=True),
        Incident.restart(5, seconds=1),
        Incident.restart(5, seconds=1, losing=3),
        Incident.restart(5, seconds=1, losing=None),
        Incident.deploy(7, gap=2),
    ]
    assert show_incidents(made) == (
        "crash:p1:12.3:4;crash:p1:after_claim#3;stall:p2:20:45;block:p2:mid_run#1:45;"
        "skew:p0:14::-5.5;partition:p0:14:2;cut:p1:after_settle#2;lose:p0:10:30:0.5;"
        "refuse:store:5:1;silence:store:5:1;restart:store:5:1;rollback:store:5:1:3;"
        "empty:store:5:1;deploy:cluster:7:2"
    )
    assert parse_incidents(show_incidents(made)) == tuple(made)


def test_plans_are_the_seeds_own() -> None:
    for seed in range(50):
        assert plan(seed, NODES, 100.0) == plan(seed, NODES, 100.0)
    assert len({plan(seed, NODES, 100.0) for seed in range(50)}) == 50


def test_plans_leave_time_to_recover_and_somebody_alive() -> None:
    for seed in range(300):
        for one in plan(seed, NODES, 100.0, lease=5.0):
            assert one.at <= 75.0
            for_good = one.kind == "crash" and one.seconds is None
            assert not (for_good and one.target == NODES[0])
            if one.kind in ("stall", "block", "crash") and one.seconds is not None:
                assert one.seconds <= 20.0


def test_each_kind_is_on_in_some_plans_and_off_in_most_seeds_of_others() -> None:
    on: Counter[str] = Counter()
    for seed in range(400):
        on.update({one.kind for one in plan(seed, NODES, 100.0)})
    assert set(on) == set(KINDS)
    assert max(on.values()) < 300


def test_every_point_is_drawn() -> None:
    points: set[str | None] = set()
    for seed in range(400):
        points |= {one.point for one in plan(seed, NODES, 100.0)}
    assert points == {None, *POINTS}
