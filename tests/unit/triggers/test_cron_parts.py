"""Ranges and steps of every field, all of them, beside croniter's own expansion."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, zip_longest

import pytest
from croniter import croniter

from aiosched.triggers import cronparts
from aiosched.triggers.cronparts import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    FIELDS,
    HOUR,
    MONTH,
    CronField,
    read_month_days,
    read_values,
    read_weekdays,
)
from tests.unit.triggers.work import calls

Found = frozenset[int]


def ours(part: str, field: CronField) -> Found:
    if field is DAY_OF_MONTH:
        return read_month_days(part).plain
    if field is DAY_OF_WEEK:
        return read_weekdays(part).plain
    return frozenset(read_values(part, field).plain)


def meant(low: int, high: int, step: int, field: CronField) -> Found:
    """Count, as the reference says it."""
    numbers = range(low, high + 1, step)
    return frozenset(n % 7 if field is DAY_OF_WEEK else n for n in numbers)


def whole(field: CronField) -> Found:
    return meant(field.low, field.high, 1, field)


def widest(field: CronField) -> int:
    return field.high - field.low - (field is DAY_OF_WEEK)


def steps(field: CronField, low: int, high: int) -> Iterator[int]:
    """Yield all steps, but one only of those that leave nothing but the first."""
    yield from range(1, min(high - low + 1, widest(field)) + 1)
    if high - low + 1 < widest(field):
        yield widest(field)


def parts(field: CronField) -> Iterator[tuple[str, Found]]:
    """Yield every plain part of a field, and what it means."""
    numbers = range(field.low, field.high + 1)
    for step in range(1, widest(field) + 1):
        yield f"*/{step}", meant(field.low, field.high, step, field)
        for low in numbers:
            yield f"{low}/{step}", meant(low, field.high, step, field)
    for low in numbers:
        yield f"{low}", meant(low, low, 1, field)
        for high in range(low, field.high + 1):
            yield f"{low}-{high}", meant(low, high, 1, field)
            for step in steps(field, low, high):
                yield f"{low}-{high}/{step}", meant(low, high, step, field)


def named(field: CronField) -> Iterator[tuple[str, str]]:
    """Yield every part with names, and the same in numbers."""
    for low, name in enumerate(field.names, field.low):
        yield name, f"{low}"
        for step in range(1, widest(field) + 1):
            yield f"{name}/{step}", f"{low}/{step}"
        for high, other in enumerate(field.names[low - field.low :], low):
            yield f"{name}-{other}", f"{low}-{high}"
            yield f"{name}-{high}", f"{low}-{high}"
            yield f"{low}-{other}", f"{low}-{high}"
            for step in steps(field, low, high):
                yield f"{name}-{other}/{step}", f"{low}-{high}/{step}"


def croniter_errs(part: str, field: CronField) -> bool:
    """Name what croniter reads in another way than cron does."""
    bounds = part.partition("/")[0].split("-")
    if len(set(bounds)) < len(bounds):
        return True  # "9-9" is the whole field to it
    # "5/2" ends on Saturday to it, and Sunday is 7 as well; "7/2" begins on Sunday, 0.
    return field is DAY_OF_WEEK and part[0] != "*" and "/" in part and len(bounds) == 1


def expanded(texts: tuple[str, ...]) -> list[Found]:
    """Have croniter expand an expression, second last."""
    found = croniter.expand(" ".join(texts))[0]
    return [
        whole(field) if values == ["*"] else frozenset(map(int, values))
        for field, values in zip(FIELDS, found, strict=True)
    ]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_range_and_step_of_a_field_is_what_the_reference_says(
    field: CronField,
) -> None:
    for part, values in parts(field):
        assert ours(part, field) == values, part


@pytest.mark.parametrize("field", [MONTH, DAY_OF_WEEK], ids=lambda field: field.name)
def test_names_are_the_numbers_that_croniter_gives_them(field: CronField) -> None:
    known = croniter.ALPHACONV[field.position]
    assert known == {name: n for n, name in enumerate(field.names, field.low)}
    for part, number in named(field):
        assert ours(part, field) == ours(number, field), part


def test_every_range_and_step_is_what_croniter_expands() -> None:
    def agreed(field: CronField) -> Iterator[str]:
        return (part for part, _ in parts(field) if not croniter_errs(part, field))

    number = 0
    # One expression has a part of each field, so that each is asked for once.
    for texts in zip_longest(*map(agreed, FIELDS), fillvalue="*"):
        found = [ours(part, field) for part, field in zip(texts, FIELDS, strict=True)]
        for field, part, mine, its in zip(
            FIELDS, texts, found, expanded(texts), strict=True
        ):
            if field in (DAY_OF_MONTH, DAY_OF_WEEK) and part == "*":
                continue  # says nothing, and is not expanded here
            assert mine == its, (field.name, part)
            number += 1
    assert number > 70_000


@pytest.mark.parametrize(
    ("part", "field", "here", "there"),
    [
        ("9-9", HOUR, {9}, set(range(24))),
        ("9-9/2", HOUR, {9}, set(range(0, 24, 2))),
        ("sun-sun", DAY_OF_WEEK, {0}, set(range(7))),
        ("5/2", DAY_OF_WEEK, {5, 0}, {5}),
        ("1/2", DAY_OF_WEEK, {1, 3, 5, 0}, {1, 3, 5}),
        ("7/2", DAY_OF_WEEK, {0}, {0, 2, 4, 6}),
    ],
)
def test_where_croniter_reads_otherwise(
    part: str, field: CronField, here: set[int], there: set[int]
) -> None:
    assert croniter_errs(part, field)
    texts = tuple(part if one is field else "*" for one in FIELDS)
    assert expanded(texts)[field.position] == there
    assert ours(part, field) == here


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_part_that_nobody_has_written_before_is_cheap(field: CronField) -> None:
    known = list(islice(parts(field), 40))
    for part, _ in known:
        ours(part, field)  # what is made once is not counted
    cronparts.read_values.cache_clear()
    cronparts.read_month_days.cache_clear()
    cronparts.read_weekdays.cache_clear()
    for part, _ in known:
        assert calls(lambda part=part: ours(part, field)) < 50, part  # type: ignore[misc]
