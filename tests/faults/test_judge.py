"""The judge of real runs sees each wrong that it is there for, and only that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from aiosched import LedgerEntry, Run
from aiosched.enums import Cause, Outcome, Reason, RowKind
from aiosched.instants import SECOND, moment
from aiosched.records import Counts
from tests.crash.kit import Line
from tests.faults.judge import (
    AWAY,
    BLOCKED,
    EVERYBODY,
    HARMLESS,
    LEFT,
    Evidence,
    Incident,
    Losses,
    judged,
)

BEGIN = 1_800_000_000 * SECOND
SLOTS = [BEGIN + n * SECOND for n in range(4)]
FIRST, SECOND_PEER = "peer-a", "peer-b"


def run(
    slot: int, fence: int, kind: RowKind, *, attempt: int = 1, peer: str = FIRST
) -> LedgerEntry:
    final = kind is RowKind.SUCCEEDED
    outcome = Outcome(kind.value) if final else None
    at = moment(slot + SECOND // 2)
    told = Run(
        job_id="job",
        key=str(slot),
        cause=Cause.SLOT,
        fire_time=moment(slot),
        due=moment(slot),
        attempt=attempt,
        outcome=outcome,
        reason=Reason.NONE,
        final=final,
        peer=peer,
        fence=fence,
        started_at=moment(slot + 1000),
        ended_at=at,
    )
    row = LedgerEntry("job", kind, at, moment(slot), moment(slot), 0, Reason.NONE)
    return replace(row, peer=peer, fence=fence, run=told)


def line(kind: str, slot: int, fence: int, attempt: int = 1) -> Line:
    return Line(kind, 0.0, ("job", str(slot), attempt, fence, 0.0))


def whole() -> Evidence:
    """Four slots: one run, one lost and run again, two skipped in one row."""
    skipped = LedgerEntry(
        "job",
        RowKind.SKIPPED,
        moment(SLOTS[3]),
        moment(SLOTS[2]),
        moment(SLOTS[3]),
        2,
        Reason.OVERLAP,
    )
    counts = Counts(fired=2, skipped=2, succeeded=2)
    second = SLOTS[1]
    return Evidence(
        jobs={"job": SimpleNamespace(counts=counts)},  # type: ignore[dict-item]
        rows=[
            run(SLOTS[0], 10, RowKind.SUCCEEDED),
            run(second, 20, RowKind.LOST),
            run(second, 30, RowKind.SUCCEEDED, attempt=2, peer=SECOND_PEER),
            skipped,
        ],
        lines=[
            (FIRST, line("start", SLOTS[0], 10)),
            (FIRST, line("end", SLOTS[0], 10)),
            (FIRST, line("start", second, 20)),
            (SECOND_PEER, line("start", second, 30, 2)),
            (SECOND_PEER, line("end", second, 30, 2)),
        ],
        slots={"job": SLOTS},
        asked=[("job", str(SLOTS[0]))],
        incidents=[
            Incident("killed", FIRST, second / SECOND, second / SECOND, fatal=True)
        ],
    )


def test_what_adds_up_is_passed_and_explained() -> None:
    verdict = judged(whole())
    assert verdict.wrong == verdict.late == []
    assert verdict.explained == {"dead": 1}
    assert verdict.slots == {"succeeded": 2, "skipped": 2}
    assert verdict.runs == 3


def without(rows: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, rows=[*e.rows[:rows], *e.rows[rows + 1 :]])


def twice(rows: int, **changes: Any) -> Callable[[Evidence], Evidence]:
    def doctored(e: Evidence) -> Evidence:
        return replace(e, rows=[*e.rows, replace(e.rows[rows], **changes)])

    return doctored


def counted(**counts: int) -> Callable[[Evidence], Evidence]:
    def doctored(e: Evidence) -> Evidence:
        job: Any = SimpleNamespace(counts=e.jobs["job"].counts.plus(**counts))
        return replace(e, jobs={"job": job})

    return doctored


LEASE = 2.0
LOST = "lost without cause"
FOUND = SLOTS[1] / SECOND + 0.5
"""When the second slot's first claim is found to be lost."""


def around(
    kind: str, seconds: float, ago: float = 0.1
) -> Callable[[Evidence], Evidence]:
    """Let something else than its death have befallen the peer, which ended then."""
    end = FOUND - ago
    return lambda e: replace(e, incidents=[Incident(kind, FIRST, end - seconds, end)])


def missed(late: float, begun: Sequence[float]) -> Callable[[Evidence], Evidence]:
    """Let the last two slots be missed so late, with runs begun meanwhile."""

    def doctored(e: Evidence) -> Evidence:
        last = e.rows[3].last
        assert last is not None
        row = replace(e.rows[3], kind=RowKind.MISSED, at=last + timedelta(seconds=late))
        others = [run(SLOTS[3] + int(x * SECOND), 99, RowKind.LOST) for x in begun]
        counts = Counts(fired=2, missed=2, succeeded=2)
        job: Any = SimpleNamespace(counts=counts)
        rows = [*e.rows[:3], row, *(x for x in others if x.run)]
        return replace(e, jobs={"job": job}, rows=rows)

    return doctored


DOCTORED: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "a slot without a row": (without(3), "slot lost"),
    "a slot with two rows": (twice(3), "slot doubled"),
    "a range that counts wrongly": (twice(3, count=3), "slots:"),
    "a run that never ended": (without(2), "outcome lost"),
    "an end that is said twice": (twice(0), "outcome doubled"),
    "a slot that no trigger has": (
        lambda e: replace(e, slots={"job": SLOTS[1:]}),
        "slot from nowhere",
    ),
    "counters beyond the ledger": (counted(succeeded=1, fired=1), "counter:"),
    "a second run without a row of the first": (without(1), "unexplained"),
    "a loss by a peer that was well": (
        lambda e: replace(e, incidents=[]),
        "lost without cause",
    ),
    "a loss long before the fault": (
        lambda e: replace(
            e, incidents=[replace(e.incidents[0], begin=2e9, end=2e9, fatal=True)]
        ),
        "lost without cause",
    ),
    "a loss long after the fault": (
        lambda e: replace(
            e,
            incidents=[Incident("frozen", FIRST, 0.0, BEGIN / SECOND - 60)],
        ),
        "lost without cause",
    ),
    **{
        f"a loss around {kind!r}, which costs nothing": (around(kind, 5.0), LOST)
        for kind in sorted(HARMLESS)
    },
    "a loss after a stop of less than what was left of the lease": (
        around("frozen", LEFT * LEASE - 0.1),
        LOST,
    ),
    "a loss after an outage of a moment": (around("server stopped", 0.5), LOST),
    "a loss longer ago than a lease and a look after the fault": (
        around("frozen", 6.0, ago=LEASE + 3.1),
        LOST,
    ),
    "a claim that was made when the fault was over": (
        around("server stopped", 6.0, ago=0.8),
        LOST,
    ),
    "a claim that a dead peer made after its death": (
        lambda e: replace(
            e,
            incidents=[
                Incident("killed", FIRST, SLOTS[1] / SECOND - 9, 0.0, fatal=True)
            ],
        ),
        LOST,
    ),
    "a run handed back by who was not told to end": (
        lambda e: replace(
            e,
            rows=[e.rows[0], replace(e.rows[1], kind=RowKind.HANDED_BACK), *e.rows[2:]],
            incidents=[*e.incidents, Incident("terminated", SECOND_PEER, 0.0, 3e9)],
        ),
        "unexplained",
    ),
    "a slot that is missed before its grace is over": (
        missed(late=59.0, begun=[20.0, 40.0]),
        "missed too soon",
    ),
    "a slot that is missed while its job stood still": (
        missed(late=70.0, begun=[10.0, 20.0, 41.0, 60.0]),
        "missed at leisure",
    ),
    "a fault that was another's": (
        lambda e: replace(e, incidents=[replace(e.incidents[0], peer=SECOND_PEER)]),
        "lost without cause",
    ),
    "a fence that began twice": (
        lambda e: replace(
            e, lines=[*e.lines, (SECOND_PEER, line("start", SLOTS[0], 10))]
        ),
        "fence reused",
    ),
    "attempts against the order of fences": (
        lambda e: replace(
            e, lines=[*e.lines, (SECOND_PEER, line("start", SLOTS[1], 5, 3))]
        ),
        "fence:",
    ),
    "a success that nobody saw": (
        lambda e: replace(e, lines=[x for x in e.lines if x[1].kind != "end"]),
        "unseen",
    ),
    "a promise without an outcome": (
        lambda e: replace(e, asked=[*e.asked, ("job", "asked")]),
        "promise broken",
    ),
    "a job that was promised and never ran": (
        lambda e: replace(e, once=["once"]),
        "promise broken",
    ),
}


EXCUSED: dict[str, tuple[list[Incident], str]] = {
    "stopped for what was left of the lease": (
        [Incident("frozen", FIRST, FOUND - LEFT * LEASE - 0.2, FOUND - 0.1)],
        "fenced: frozen",
    ),
    "an outage, and a look a lease later": (
        [Incident("server stopped", EVERYBODY, FOUND - 4, FOUND - 0.4)],
        "fenced: server stopped",
    ),
    "what was done to it, though it felt it and all were away later": (
        [
            Incident(AWAY, FIRST, FOUND - 2, FOUND),
            Incident("server stopped", EVERYBODY, FOUND - 2, FOUND),
            Incident("link silent", FIRST, FOUND - 3, FOUND - 0.3),
        ],
        "fenced: link silent",
    ),
    "the nearest of two": (
        [
            Incident("link silent", FIRST, FOUND - 4, FOUND - 0.4),
            Incident("frozen", FIRST, FOUND - 3, FOUND - 0.2),
        ],
        "fenced: frozen",
    ),
    "beside what costs nothing": (
        [
            Incident("pub/sub killed", EVERYBODY, FOUND - 0.2, FOUND - 0.1),
            Incident("out of memory", EVERYBODY, FOUND - 3, FOUND - 0.3),
        ],
        "fenced: out of memory",
    ),
}


@pytest.mark.parametrize("name", EXCUSED)
def test_the_cause_that_says_most_is_named(name: str) -> None:
    incidents, word = EXCUSED[name]
    verdict = judged(replace(whole(), incidents=incidents))
    assert (verdict.wrong, verdict.late) == ([], [])
    assert verdict.explained == {word: 1}


def test_a_loop_that_is_blocked_costs_only_what_had_not_begun() -> None:
    """What runs on while its loop is blocked is held by the lifeline."""
    blocked = Incident(BLOCKED, FIRST, FOUND - 1.9, FOUND + 4)
    evidence = replace(whole(), incidents=[blocked])
    assert [one for one in judged(evidence).late if one.startswith(LOST)]
    (begun,) = [pair for pair in evidence.lines if pair[1].fence == 20]
    lines = [pair for pair in evidence.lines if pair is not begun]
    verdict = judged(replace(evidence, lines=lines))
    assert (verdict.wrong, verdict.late) == ([], [])
    before = replace(blocked, begin=FOUND + 0.7)
    late = judged(replace(evidence, lines=lines, incidents=[before])).late
    assert [one for one in late if one.startswith(LOST)]


def test_a_job_that_had_no_time_may_miss_slots() -> None:
    verdict = judged(missed(70.0, [15.0, 30.0, 45.0, 55.0])(whole()))
    assert [one for one in verdict.wrong if one.startswith("missed")] == []
    assert verdict.slots["missed"] == 2


def test_a_stop_of_ours_is_no_other_excuse() -> None:
    stop = Incident("frozen", FIRST, 10.0, 10.8)
    assert Incident(AWAY, FIRST, 9.0, 11.0).shares(stop) == pytest.approx(0.8)
    assert Incident(AWAY, FIRST, 10.5, 12.5).shares(stop) == pytest.approx(0.3)
    assert Incident(AWAY, FIRST, 11.0, 13.0).shares(stop) == 0.0


@pytest.mark.parametrize("name", DOCTORED)
def test_what_is_wrong_is_named(name: str) -> None:
    doctor, word = DOCTORED[name]
    verdict = judged(doctor(whole()))
    wrong = verdict.wrong + verdict.late
    assert any(one.startswith(word) for one in wrong), wrong


# --- losses -------------------------------------------------------------------------

OFFSET = BEGIN / SECOND
"""The monotonic clock begins with the first slot."""


def began(*slots: tuple[int, float, int]) -> list[tuple[str, Line]]:
    """Return starts: (number of the slot, monotonic second, fence)."""
    return [
        (FIRST, Line("start", at, ("job", str(BEGIN + n * SECOND), 1, fence, 0.0)))
        for n, at, fence in slots
    ]


def loss(
    lines: list[tuple[str, Line]], alarm: float | None = 4.2, until: float = 9.5
) -> Losses:
    """The data is lost from 3.5 to 4.0; a beat takes 0.5 s."""
    return Losses(
        grids={"job": (BEGIN, SECOND)},
        losses=[(3.5, 4.0)],
        alarms=[{FIRST: alarm}],
        lines=lines,
        offset=OFFSET,
        until=until,
        beat=0.5,
        slack=0.25,
    )


USUAL = [(n, n + 0.1, n) for n in range(10) if n != 4]


def test_slots_are_named_around_a_loss() -> None:
    judge = loss(began(*USUAL, (2, 4.9, 100)))
    assert judge.wrong() == []
    names = [name for _, _, name in judge.named()]
    assert names == [
        *["before 1"] * 2,
        "again 1",
        "before 1",
        "gap 1",
        *["after 1"] * 5,
    ]


@pytest.mark.parametrize(
    ("judge", "word"),
    [
        (loss(began(*USUAL), alarm=None), "alarm"),
        (loss(began(*USUAL), alarm=4.9), "alarm"),
        (loss(began(*USUAL[:6], *USUAL[7:])), "slot lost"),
        (loss([]), "slot lost"),
        (loss(began(*USUAL, (8, 8.9, 100))), "slot twice without a loss"),
        (loss(began(*USUAL, (2, 4.9, 2))), "fence reused"),
    ],
)
def test_what_is_wrong_after_a_loss_is_named(judge: Losses, word: str) -> None:
    assert any(one.startswith(word) for one in judge.wrong()), judge.wrong()


def test_a_slot_off_the_grid_is_named() -> None:
    lines = began(*USUAL)
    lines.append((FIRST, Line("start", 5.5, ("job", str(BEGIN + 5_500_000), 1, 77, 0))))
    assert any("off the grid" in one for one in loss(lines).wrong())
