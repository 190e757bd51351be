"""``H``: numbers of a cron expression that follow from the id of its job.

A job's id is hashed together with the name of a field, so each of its fields is
drawn apart, all peers agree without speaking, and many jobs that say the same
spread evenly.  Settling writes the drawn numbers in place of each ``H``; what
comes out is a cron expression like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from aiosched.errors import TriggerError
from aiosched.triggers.cronfields import CronFields, Seconds, read_expression
from aiosched.triggers.cronparts import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    FIELDS,
    MONTH,
    Draw,
)
from aiosched.triggers.crontable import CronTable

__all__ = ["check_draws", "settle", "settle_by"]

_BYTES = 8


def settle(expression: str, seconds: Seconds | None, job_id: str) -> str:
    """Return the expression in which each ``H`` is what the job draws.

    Args:
        expression: What :func:`read_expression` can read.
        seconds: Where the second stands; None: nowhere.
        job_id: Any text.

    Raises:
        TriggerError: The expression cannot be read.
    """

    def drawn(name: str) -> int:
        text = f"{name}\0{job_id}"
        # Half a character, which no stored job has in its id, is hashed as it is.
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_BYTES)
        return int.from_bytes(digest.digest(), "big")

    return settle_by(expression, seconds, drawn)


def settle_by(
    expression: str, seconds: Seconds | None, drawn: Callable[[str], int]
) -> str:
    """Return the expression in which each ``H`` is what ``drawn`` says of its field.

    Raises:
        TriggerError: The expression cannot be read.
    """
    return _written(read_expression(expression, seconds), seconds, drawn)


def check_draws(expression: str, seconds: Seconds | None, *, day_or: bool) -> None:
    """Refuse an expression with ``H`` that would not fire for the id of some job.

    Drawn days are of every month and drawn weekdays of every week, so beside the
    other day field only the month can go wrong.

    Raises:
        TriggerError: Some draw has no date.
    """
    fields = read_expression(expression, seconds)
    rule = fields.day
    both = not (day_or or rule.any_day or rule.any_weekday)
    drawn = fields.draws[DAY_OF_MONTH.position] + fields.draws[DAY_OF_WEEK.position]
    if both and drawn:
        raise TriggerError(
            "expression",
            expression,
            "a drawn day may never meet the other day field, and day_or=False "
            "wants both",
            "write numbers in the day fields, or leave one of them *",
        )
    example = read_expression(_written(fields, seconds, lambda _: 0), seconds)
    draws = fields.draws[MONTH.position]
    months = example.months if not draws else frozenset(range(1, 13))
    dead = {
        month
        for month in months
        if not CronTable(
            example._replace(months=frozenset({month})), day_or=day_or
        ).ever_fires()
    }
    if fields.months - dead:
        return
    if not draws:
        raise TriggerError(
            "expression",
            expression,
            "day of month: no date ever matches it",
            "choose a day that the month has",
        )
    if all(_may_be_within(draw, dead) for draw in draws):
        drawn_from = {month for draw in draws for month in _months_of(draw)}
        raise TriggerError(
            "expression",
            expression,
            "day of month: no date matches it in some of the months that H draws "
            f"from ({', '.join(map(str, sorted(dead & drawn_from)))})",
            "choose a day that every month has",
        )


def _months_of(draw: Draw) -> set[int]:
    return {month for number in range(draw.choices) for month in draw.values(number)}


def _may_be_within(draw: Draw, months: set[int]) -> bool:
    """Tell whether a draw may leave nothing but the given months."""
    return any(months.issuperset(draw.values(number)) for number in range(draw.choices))


def _written(
    fields: CronFields, seconds: Seconds | None, drawn: Callable[[str], int]
) -> str:
    """Write the fields with numbers in place of draws, where they stood."""
    texts = []
    for text, draws, field in zip(fields.texts, fields.draws, FIELDS, strict=True):
        if draws:
            number, settled = drawn(field.name), iter(draws)
            parts = [
                next(settled).text(number) if part.startswith("h") else part
                for part in text.split(",")
            ]
            texts.append(",".join(parts))
        else:
            texts.append(text)
    *five, second = texts
    if seconds is None:
        return " ".join(five)
    return " ".join([second, *five] if seconds == "first" else [*five, second])
