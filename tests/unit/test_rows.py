"""Rows of the ledger as text: short, and read back as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.enums import Cause, Reason, RowKind
from aiosched.instants import SECOND
from aiosched.records import Row
from aiosched.rows import (
    Lines,
    fade_row,
    pack_row,
    row_key,
    unpack_line,
    unpack_row,
)

NOW = 1_795_293_461_753_309
ENDED = Row(
    "02cc82f7c0eda1d9",
    RowKind.SUCCEEDED,
    NOW,
    NOW - SECOND,
    NOW - SECOND,
    1,
    str(NOW - SECOND),
    Cause.SLOT,
    1,
    final=True,
    fence=NOW - 27_488,
    owner="fe5adb6d29b3237a",
    started=NOW - 27_489,
)
"""What most rows are like."""

instants = st.integers(min_value=NOW - 10**15, max_value=NOW + 10**15)
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12
)


@st.composite
def rows(draw: Any) -> Row:
    slot = draw(st.just(0) | instants)
    kind = draw(st.sampled_from([*RowKind]))
    due = draw(st.just(0) | instants)
    return Row(
        draw(texts.filter(bool)),
        kind,
        draw(instants),
        slot,
        slot + draw(st.integers(0, 10**12)),
        draw(st.integers(0, 10**9)),
        draw(texts | st.just(str(slot))),
        draw(st.sampled_from([*Cause])),
        draw(st.integers(0, 99)),
        kind in {RowKind.SUCCEEDED, RowKind.FAILED} and draw(st.booleans()),
        draw(st.just(0) | instants),
        draw(st.sampled_from(["", "fe5adb6d29b3237a"])),
        draw(st.sampled_from([*Reason])),
        draw(st.just(0) | instants),
        draw(st.integers(0, 99)),
        draw(st.sampled_from([b"", b"null", b'{"a": "|"}', b'"1~"'])),
        due if due != slot else 0,
        draw(st.just(0) | instants),
    )


@given(rows())
def test_a_row_is_read_back_as_it_was(row: Row) -> None:
    line = pack_row(row)
    assert "\n" not in line
    assert unpack_row(line) == row
    assert unpack_line(line) == [row]
    assert row_key(line) == row.key


@given(st.lists(st.tuples(rows(), st.lists(texts.filter(bool), max_size=3))))
def test_rows_of_one_commit_are_read_back_in_their_order(
    given_: list[tuple[Row, list[str]]],
) -> None:
    expected = [
        replace(row, job_id=job) for row, jobs in given_ for job in (row.job_id, *jobs)
    ]
    lines = Lines()
    for row in expected:
        lines.add(row)
    assert bool(lines) is bool(expected)
    text = lines.text()
    found = [row for line in text.split("\n") if text for row in unpack_line(line)]
    assert found == expected


def test_alike_but_for_the_job_they_share_a_line() -> None:
    lines = Lines()
    for job in "abc":
        lines.add(replace(ENDED, job_id=job))
    lines.add(replace(ENDED, job_id="d", attempt=2))
    first, second = lines.text().split("\n")
    assert first == f"a,b,c{pack_row(ENDED).removeprefix(ENDED.job_id)}"
    assert unpack_row(second).attempt == 2
    with pytest.raises(ValueError, match="several jobs"):
        unpack_row(first)


def test_how_long_they_are() -> None:
    assert len(pack_row(ENDED)) <= 86
    lines = Lines()
    for n in range(100):
        lines.add(replace(ENDED, job_id=f"{n:016x}"))
    assert len(lines.text()) / 100 <= 18


def test_a_value_fades_and_nothing_else() -> None:
    row = replace(ENDED, value=b'"v"', value_until=NOW + SECOND, missed=3)
    line = pack_row(row)
    assert fade_row(line, NOW) == line
    assert unpack_row(fade_row(line, NOW + SECOND)) == replace(row, value=b"")


@pytest.mark.parametrize(
    "line",
    ["", "|", "a", "a|S", "|S|5", ",a|S|5", "a|?|5", "a|S|x", f"a|S|{'9' * 30}"],
)
def test_what_is_no_row(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unpack_line(line)
    assert fade_row(line, NOW) == line
    assert row_key(line) in {"", "x"}
