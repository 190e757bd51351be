"""Why, as a table: evidence in, one sentence out.

What an engine does is explained in ``tests/engine/test_why.py``; here is what
needs a ledger with holes, or rows that are hard to come by.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.enums import Cause, JobState, OnLost, Overlap, Reason, RowKind
from aiosched.instants import SECOND, moment
from aiosched.planning.reasons import decided, explain, fences_told, nearest_slots
from aiosched.planning.wording import Evidence, length
from aiosched.records import (
    Counts,
    Definition,
    LiveRun,
    Pending,
    Record,
    Row,
    Spec,
    State,
)
from aiosched.rows import Act, pack_act
from aiosched.triggers import IntervalTrigger

BEGIN = 1_704_067_200 * SECOND
TEN = IntervalTrigger(seconds=10).rule()


def s(seconds: float) -> int:
    return BEGIN + round(seconds * SECOND)


def t(seconds: float) -> str:
    return f"{moment(s(seconds)):%Y-%m-%d %H:%M:%S} UTC"


def record(next_: float | None = 1_000, **fields: object) -> Record:
    """A job with a slot every 10 s from second 10 on."""
    options = {k: fields.pop(k) for k in list(fields) if k in Spec.__dataclass_fields__}
    state = State(1, BEGIN, since=s(10), next=None if next_ is None else s(next_))
    for name, value in fields.items():
        setattr(state, name, value)
    spec = replace(Spec("work", trigger=TEN), **options)  # type: ignore[arg-type]
    return Record(Definition("a", spec, s(10)), state)


def ran(slot: float, begun: float, ended: float, **more: object) -> Row:
    fields: dict[str, object] = {
        "kind": RowKind.SUCCEEDED,
        "at": s(ended),
        "slot": s(slot),
        "until": s(slot),
        "count": 1,
        "key": str(s(slot)),
        "attempt": 1,
        "final": True,
        "fence": round(begun * 10) + 1,
        "owner": "p0",
        "started": s(begun),
    }
    return Row("a", **(fields | more))  # type: ignore[arg-type]


def passed(kind: RowKind, first: float, last: float, at: float, **more: object) -> Row:
    count = round((last - first) / 10) + 1
    fields: dict[str, object] = {"slot": s(first), "until": s(last), "count": count}
    return Row("a", kind, s(at), **(fields | more))  # type: ignore[arg-type]


def live(*, until: float) -> LiveRun:
    firing = Pending("x", Cause.SLOT, s(10), s(10), 1)
    return LiveRun(9, "p1", s(until), s(10), firing)


def error(kind: str, text: str) -> bytes:
    return json.dumps({"type": kind, "message": text}).encode()


LOST = ran(20, 20, 35, kind=RowKind.LOST, final=False, reason=Reason.LEASE_LOST)
BACK = ran(20, 20, 21, kind=RowKind.HANDED_BACK, final=False, reason=Reason.SHUTDOWN)
FAILED = ran(20, 20, 21, kind=RowKind.FAILED, value=error("ValueError", "x\ny " * 90))

TABLE: dict[str, tuple[Record | None, list[Row], float, str]] = {
    "lost for good": (
        record(on_lost=OnLost.RECORD),
        [replace(LOST, final=True)],
        20,
        f"ran its slot of {t(20)} on time, on peer p0, and was lost with its peer "
        "after 15 s",
    ),
    "lost, then run again": (
        record(),
        [LOST, ran(20, 36, 37, attempt=2, owner="p1")],
        20,
        f"ran its slot of {t(20)} on time, at attempt 2, after attempt 1 on peer p0 "
        "was lost with its peer after 15 s, on peer p1, and succeeded after 1 s",
    ),
    "handed back": (
        record(),
        [BACK, ran(20, 25, 26, owner="p1")],
        20,
        f"ran its slot of {t(20)} on time, at attempt 1, after attempt 1 on peer p0 "
        "was handed back when its peer was shut down after 1 s, on peer p1, and "
        "succeeded after 1 s",
    ),
    "first attempt forgotten": (
        record(),
        [ran(20, 36, 37, attempt=2)],
        20,
        f"ran its slot of {t(20)}, at attempt 2 on peer p0, and succeeded after 1 s",
    ),
    "outcome not read": (
        record(),
        [LOST],
        20,
        f"ran its slot of {t(20)} at attempt 1 on peer p0, which was lost with its "
        "peer after 15 s; how it ended is not in the rows that were read",
    ),
    "late, with the run in its way": (
        record(),
        [ran(10, 10, 24), ran(20, 24, 25)],
        20,
        f"ran its slot of {t(20)} 4 s late, because the run that began at {t(10)} on "
        f"peer p0 was in its way until {t(24)}, on peer p0, and succeeded after 1 s",
    ),
    "late, beside others": (
        record(max_running=5),
        [ran(10, 10, 24), ran(20, 24, 25)],
        20,
        f"ran its slot of {t(20)} 4 s late, for which no cause is recorded, on peer "
        "p0, and succeeded after 1 s",
    ),
    "cancelled for a newer one": (
        record(),
        [ran(20, 20, 30, kind=RowKind.CANCELLED, reason=Reason.REPLACED)],
        20,
        f"ran its slot of {t(20)} on time, on peer p0, and was cancelled after 10 s, "
        "because a newer firing took its place",
    ),
    "cancelled while it waited": (
        record(overlap=Overlap.QUEUE),
        [
            Row("a", RowKind.STOPPED, s(31), value=pack_act(Act("bob", "enough"))),
            ran(20, 0, 31, kind=RowKind.CANCELLED, reason=Reason.USER, started=0),
        ],
        20,
        f"did not run its slot of {t(20)}: it was cancelled while it waited, at {t(31)}"
        f", because it was stopped at {t(31)} by bob (enough)",
    ),
    "skipped, the run is not read": (
        record(),
        [passed(RowKind.SKIPPED, 20, 20, 35, reason=Reason.OVERLAP, fence=9)],
        20,
        f"skipped its slot of {t(20)}, because firings before it had not come to their "
        "end",
    ),
    "skipped, the run goes on": (
        record(runs=(live(until=90),)),
        [passed(RowKind.SKIPPED, 20, 20, 20, reason=Reason.OVERLAP, fence=9)],
        20,
        f"skipped its slot of {t(20)}, because the run that began at {t(10)} on peer "
        "p1 goes on still",
    ),
    "skipped by the limit": (
        record(),
        [passed(RowKind.SKIPPED, 20, 50, 95, reason=Reason.LIMIT)],
        30,
        f"skipped its slot of {t(30)}, because more than one slot was due when a peer "
        f"looked at {t(95)}, and as many newer ones were run as its limit allows (one "
        f"of 4 such slots from {t(20)} to {t(50)})",
    ),
    "coalesced, the run is not read": (
        record(),
        [passed(RowKind.SKIPPED, 20, 50, 95, reason=Reason.COALESCED)],
        30,
        f"skipped its slot of {t(30)}, because more than one slot was due when a peer "
        f"looked at {t(95)}, and one run stands for them all (one of 4 such slots from "
        f"{t(20)} to {t(50)})",
    ),
    "missed under another grace": (
        record(misfire_grace=5 * SECOND),
        [
            passed(RowKind.MISSED, 20, 20, 100, reason=Reason.GRACE),
            Row("a", RowKind.MODIFIED, s(120)),
        ],
        20,
        f"missed its slot of {t(20)}, because nobody looked at it before {t(100)}, "
        "1 min 20 s late, which is more than its grace",
    ),
    "paused from the start": (
        record(),
        [passed(RowKind.PAUSED, 20, 20, 25)],
        20,
        f"passed over its slot of {t(20)}, because the job was paused until {t(25)}",
    ),
    "removed, nobody knows by whom": (
        None,
        [passed(RowKind.SKIPPED, 20, 20, 25, reason=Reason.REMOVED)],
        20,
        f"skipped its slot of {t(20)}, because the job was removed at {t(25)}",
    ),
    "lease over": (
        record(runs=(live(until=30),)),
        [],
        10,
        f"is running its slot of {t(10)} since {t(10)} on peer p1, on time, and its "
        f"lease has ended at {t(30)}",
    ),
    "told to stop": (
        record(runs=(replace(live(until=900), cancel=Reason.USER),)),
        [],
        10,
        f"is running its slot of {t(10)} since {t(10)} on peer p1, on time, and has "
        "been told to stop",
    ),
    "waits while paused": (
        record(
            status=JobState.PAUSED,
            waiting=(Pending(str(s(20)), Cause.SLOT, s(20), s(20)),),
        ),
        [Row("a", RowKind.HELD, s(21), value=pack_act(Act("eve")))],
        20,
        f"has not run its slot of {t(20)} yet, because the job was paused at {t(21)} "
        "by eve",
    ),
    "created again": (
        record(next_=310, since=s(310), created=s(300)),
        [
            Row("a", RowKind.CREATED, s(0)),
            Row("a", RowKind.REMOVED, s(100), value=pack_act(Act("bob"))),
            Row("a", RowKind.CREATED, s(300)),
        ],
        200,
        f"did not exist at {t(200)}: it was removed at {t(100)} by bob",
    ),
    "nothing at all": (
        record(next_=None, since=None, trigger=None),
        [],
        20,
        f"has no trigger, so no slot at {t(20)}, and none is known before or after it",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case: str) -> None:
    stored, rows, at, said = TABLE[case]
    found = explain(Evidence("a", stored, rows, s(400)), s(at))
    assert found.text == f"Job 'a' {said}."
    assert found.known
    # Neither the order of rows nor doubles matter.
    again = Evidence("a", stored, [*reversed(rows), *rows], s(400))
    assert explain(again, s(at)) == found


def test_a_long_error_is_cut_and_in_one_line() -> None:
    text = explain(Evidence("a", record(), [FAILED], s(400)), s(20)).text
    assert "failed after 1 s (ValueError: x y x y" in text
    assert text.endswith("…).")
    assert len(text) < 300
    assert "\n" not in text


def test_a_value_that_has_faded_is_not_told() -> None:
    faded = replace(FAILED, value=error("ValueError", "secret"), value_until=s(50))
    for now, told in ((49, True), (50, False)):
        text = explain(Evidence("a", record(), [faded], s(now)), s(20)).text
        assert ("secret" in text) is told


def test_a_slot_that_was_forgotten_is_not_made_up() -> None:
    found = explain(Evidence("a", record(latest=s(990)), [], s(1_000)), s(500))
    assert found.known is False
    assert found.text.startswith(
        f"Job 'a' has nothing left in the ledger about its slot of {t(500)}"
    )


def test_the_nearest_are_of_the_present_trigger_or_of_rows() -> None:
    rows = [ran(3, 3, 4)]
    evidence = Evidence("a", record(latest=s(90)), rows, s(100))
    assert nearest_slots(evidence, s(55)) == (s(50), s(60))
    assert nearest_slots(evidence, s(50)) == (s(40), s(60))
    assert nearest_slots(evidence, s(9)) == (s(3), s(10))
    assert nearest_slots(evidence, s(3)) == (None, s(10))
    ended = Evidence("a", record(next_=None, latest=s(90)), rows, s(100))
    assert nearest_slots(ended, s(95)) == (s(90), None)


def test_what_decides_a_slot() -> None:
    assert decided([ran(20, 20, 21)], s(20))
    assert not decided([ran(20, 20, 21, final=False)], s(20))
    assert decided([passed(RowKind.PAUSED, 10, 40, 50)], s(20))
    assert not decided([passed(RowKind.PAUSED, 10, 40, 50)], s(50))
    skipped = passed(RowKind.SKIPPED, 20, 20, 35, reason=Reason.OVERLAP, fence=101)
    assert not fences_told([skipped], s(20), None)
    assert fences_told([skipped, ran(10, 10, 24)], s(20), None)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0 s"),
        (1_500, "0.0015 s"),
        (12_340_000, "12.3 s"),
        (59_000_000, "59 s"),
        (60_000_000, "1 min"),
        (3_661_000_000, "1 h 1 min 1 s"),
        (86_400_000_000, "1 d"),
        (90_000_000_000, "1 d 1 h"),
    ],
)
def test_durations_are_readable(micros: int, text: str) -> None:
    assert length(micros) == text


_KINDS = st.sampled_from(sorted(RowKind))
_SECONDS = st.integers(0, 500)
_ROWS = st.builds(
    lambda kind, slot, width, at, took, fence, final, reason, cause: Row(
        "a",
        kind,
        s(at),
        s(slot),
        s(slot + width),
        1 + width // 10,
        str(s(slot)),
        cause,
        1,
        final,
        fence,
        "p0",
        reason,
        s(at - took),
    ),
    _KINDS,
    _SECONDS,
    st.sampled_from([0, 0, 30]),
    _SECONDS,
    st.integers(0, 30),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from(sorted(Reason)),
    st.sampled_from(sorted(Cause)),
)


@given(
    rows=st.lists(_ROWS, max_size=6),
    at=_SECONDS,
    stored=st.sampled_from(
        [None, record(), record(status=JobState.PAUSED), record(next_=100)]
    ),
    counts=st.integers(0, 3),
)
def test_whatever_there_is_the_answer_is_one_sentence(
    rows: list[Row], at: int, stored: Record | None, counts: int
) -> None:
    if stored is not None:
        stored.state.counts = Counts(fired=counts)
    text = explain(Evidence("a", stored, rows, s(400)), s(at)).text
    assert text.startswith("Job 'a' ")
    assert text.endswith(".")
    assert ". " not in text
    assert "None" not in text
