"""The tables of docs/reference/cron.md and its how-to are what the code does."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from aiosched.errors import TriggerError
from aiosched.triggers import CronTrigger
from aiosched.triggers.cronfields import ALIASES, Seconds, read_expression
from aiosched.triggers.cronparts import FIELDS, SECOND
from tests.docs.pages import DOCS

_PAGE = (DOCS / "reference" / "cron.md").read_text(encoding="utf-8")
_HOWTO = (DOCS / "howto" / "write-cron-expressions.md").read_text(encoding="utf-8")


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, without its head."""
    part = re.split(rf"^## {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    part = re.split(r"^## ", part, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    assert len(lines) > 3, heading
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_fields() -> None:
    said = {row[0]: row for row in rows(_PAGE, "Fields")}
    order = [FIELDS[-1], *FIELDS[:-1]]
    assert list(said) == [field.name for field in order]
    for field in order:
        _, numbers, names, drawn = said[field.name]
        assert numbers.split(",")[0] == f"{field.low} to {field.high}"
        assert drawn == f"{field.low} to {field.drawn}"
        assert quoted(names) == (
            [field.names[0], field.names[-1]] if field.names else []
        )


def test_every_part_is_read_where_the_table_says() -> None:
    for parts, where, _ in rows(_PAGE, "Parts"):
        for part in quoted(parts):
            read = set()
            for field in FIELDS:
                text = ["0", "0", "*", "*", "*", "0"]
                text[field.position] = part
                try:
                    CronTrigger(" ".join(text), seconds="last")
                except TriggerError:
                    continue
                read.add(field.name)
            if where == "all":
                # A name, or a number that is too great, is of some fields only.
                wanted = (
                    {"day of week"}
                    if "mon" in part
                    else {"month"}
                    if "jan" in part
                    else None
                )
                assert read == wanted if wanted else read >= {"minute", SECOND.name}, (
                    part
                )
            elif where == "both day fields":
                assert read == {"day of month", "day of week"}, part
            else:
                assert read == set(where.split(", ")), part


def test_nicknames() -> None:
    said = {
        nickname: quoted(meaning)[0]
        for nicknames, meaning in rows(_PAGE, "Nicknames")
        for nickname in quoted(nicknames)
    }
    assert said == ALIASES


def test_draws() -> None:
    for expression, becomes, bounds in rows(_PAGE, "H"):
        (draw,) = read_expression(quoted(expression)[0], None).draws[0]
        assert quoted(becomes) == [f"{draw.text(40)} * * * *"]
        assert bounds == f"{draw.low} to {draw.low + draw.choices - 1}"


def test_refusals() -> None:
    for expression, reason in rows(_PAGE, "What is refused"):
        with pytest.raises(TriggerError) as caught:
            CronTrigger(quoted(expression)[0])
        field, _, why = reason.replace("`", "").partition(": ")
        if why:
            assert caught.value.problem.startswith(f"{field}: ")


def test_options() -> None:
    assert [f'seconds="{word}"' in _PAGE for word in get_args(Seconds)] == [True, True]


def test_the_examples_of_the_how_to_can_be_written() -> None:
    expressions = [
        expression
        for _, written in rows(_HOWTO, "Days of the month")
        for expression in quoted(written)
    ]
    assert len(expressions) > 8
    for expression in expressions:
        assert CronTrigger(expression).next(0) is not None
