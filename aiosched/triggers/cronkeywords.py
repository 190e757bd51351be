"""Cron by keyword, as APScheduler spells it: ``hour=9, day="last fri"``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiosched.errors import TriggerError
from aiosched.triggers.cronfields import split_fields

__all__ = ["expression_of"]

# From the most significant to the least, with what stands for a field that is left
# out and less significant than all that are said.
_LEAST = {
    "month": "1",
    "day": "1",
    "day_of_week": "*",
    "hour": "0",
    "minute": "0",
    "second": "0",
}
_COMMA = re.compile(r" *, *")


def expression_of(fields: Mapping[str, object]) -> tuple[str, bool]:
    """Write the fields as an expression.

    Args:
        fields: What is said of ``month``, ``day``, ``day_of_week``, ``hour``,
            ``minute`` and ``second``; None: nothing.

    Returns:
        The expression, and whether it has a sixth field, the second, at its
        front.

    Raises:
        TriggerError: Nothing is said, or something that is not one field.
    """
    said = {
        name: _text(name, fields[name]) for name in _LEAST if fields[name] is not None
    }
    if not said:
        raise TriggerError(
            "fields",
            None,
            "nothing says when it fires",
            f"say at least one of {', '.join(reversed(_LEAST))}",
        )
    texts: dict[str, str] = {}
    left = len(said)
    for name, least in _LEAST.items():
        texts[name] = said.get(name, "*" if left else least)
        left -= name in said
    order = ["minute", "hour", "day", "month", "day_of_week"]
    if texts["second"] != "0":
        order.insert(0, "second")
    return " ".join(texts[name] for name in order), len(order) == 6


def _text(name: str, value: object) -> str:
    """Return one field as text.

    Raises:
        TriggerError: It is not an int or text, or not exactly one field.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{int(value)}"
    if not isinstance(value, str):
        raise TriggerError(
            name, value, "is not a number or text", 'write it like 9 or "mon-fri"'
        )
    text = _COMMA.sub(",", " ".join(value.split()))
    if len(split_fields(text)) != 1 or text.startswith("@"):
        raise TriggerError(
            name,
            value,
            "is not one field of a cron expression",
            'write it like "*/15" or "mon,fri", without blanks',
        )
    return text
