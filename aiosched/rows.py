"""The ledger row as text: one line, fields joined by ``|``.

Stores append these lines to their ledgers and records carry the last few of
them; both sides treat them as opaque until somebody wants to read one.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import NamedTuple

from aiosched.enums import Cause, Reason, RowKind
from aiosched.records import Row
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT

__all__ = [
    "ELSEWHERE",
    "NO_ACT",
    "Act",
    "Escapes",
    "escape",
    "fade_row",
    "pack_act",
    "pack_row",
    "row_key",
    "unescape",
    "unpack_act",
    "unpack_row",
]

_FIELDS = 17
_OF_RUNS = frozenset(RowKind) - {
    RowKind.SKIPPED,
    RowKind.MISSED,
    RowKind.EXCLUDED,
    RowKind.PAUSED,
    RowKind.CREATED,
    RowKind.REMOVED,
    RowKind.MODIFIED,
    RowKind.HELD,
    RowKind.RESUMED,
    RowKind.STOPPED,
    RowKind.ASKED,
}
Escapes = tuple[tuple[str, str], ...]

_ESCAPES: Escapes = (
    ("%", "%25"),
    ("|", "%7C"),
    ("\n", "%0A"),
    ("\r", "%0D"),
    ("=", "%3D"),
)
ELSEWHERE = b"~"
"""Stands in a record's copy of a row for a value that only the ledger has."""

_DIGITS = 20
"""More than any instant has, and far fewer than Python refuses to read."""

_SLOT_KEY = "="
"""Stands for a key that is the slot in decimal, as most are."""


def escape(text: str, table: Escapes = _ESCAPES) -> str:
    """Make text safe to stand between separators, in one line.

    Args:
        text: Any text.
        table: What to write for what; first of all ``%``, with which every
            code begins.
    """
    if text.isalnum():
        return text
    for char, code in table:
        if char in text:
            text = text.replace(char, code)
    return text


def unescape(text: str, table: Escapes = _ESCAPES) -> str:
    """Undo :func:`escape`."""
    if "%" in text:
        for char, code in reversed(table):
            text = text.replace(code, char)
    return text


def pack_row(row: Row) -> str:
    """Write a row as one line of text; fields at their defaults are empty."""
    slot = row.slot
    return "|".join(
        (
            escape(row.job_id),
            row.kind.code,
            str(row.at),
            str(slot) if slot else "",
            str(row.until - slot) if row.until > slot else "",
            str(row.count) if row.count else "",
            _SLOT_KEY if slot and row.key == str(slot) else escape(row.key),
            row.cause.code,
            str(row.attempt) if row.attempt else "",
            "1" if row.final else "",
            str(row.fence) if row.fence else "",
            row.owner,
            row.reason.code,
            str(row.at - row.started) if row.started else "",
            str(row.due - slot) if row.due and row.due != slot else "",
            str(row.value_until) if row.value_until else "",
            (f"{row.missed}~" if row.missed else "") + row.value.decode(),
        )
    )


def row_key(line: str) -> str:
    """Return the firing key of a packed row without reading the rest.

    Of what is no row, an empty one, which no firing has.
    """
    parts = line.split("|", 7)
    if len(parts) < 8:
        return ""
    return parts[3] if parts[6] == _SLOT_KEY else unescape(parts[6])


def fade_row(line: str, now: int) -> str:
    """Return a packed row without its value, if the time of that is over."""
    parts = line.split("|", _FIELDS - 1)
    if len(parts) != _FIELDS:
        return line
    fades, value = parts[-2:]
    if not value or not fades.isdecimal() or len(fades) > _DIGITS or int(fades) > now:
        return line
    missed, mark, _ = value.partition("~")
    parts[-1] = f"{missed}~" if mark and missed.isdecimal() else ""
    return "|".join(parts)


def unpack_row(line: str) -> Row:
    """Read a line that :func:`pack_row` wrote.

    Raises:
        ValueError: The line is not such a row.
    """
    parts = line.split("|", _FIELDS - 1)
    if len(parts) != _FIELDS:
        message = f"not a ledger row: {line[:80]!r}"
        raise ValueError(message)
    job_id, kind, at, slot, width, count, key, cause, attempt, final = parts[:10]
    fence, owner, reason, took, moved, fades, value = parts[10:]
    first = int(slot or 0)
    instant = int(at)
    until = first + int(width or 0)
    started = instant - int(took) if took else 0
    # Datetimes are made of them sooner or later.
    due = first + int(moved or 0)
    fade = int(fades or 0)
    if min(first, until - first + FIRST_INSTANT, instant, started, due, fade) < (
        FIRST_INSTANT
    ) or (max(until, instant, started, due, fade) > LAST_INSTANT):
        message = f"a ledger row with an impossible instant: {line[:80]!r}"
        raise ValueError(message)
    said = RowKind.from_code(kind)
    if final and said not in _OF_RUNS:
        message = f"a final ledger row of no run: {line[:80]!r}"
        raise ValueError(message)
    missed, mark, rest = value.partition("~")
    if mark and missed.isdecimal() and missed[0] != "0":
        value = rest
    else:
        missed = ""
    return Row(
        unescape(job_id),
        said,
        instant,
        first,
        until,
        int(count or 0),
        slot if key == _SLOT_KEY else unescape(key),
        Cause.from_code(cause),
        int(attempt or 0),
        bool(final),
        int(fence or 0),
        owner,
        Reason.from_code(reason),
        started,
        int(missed or 0),
        value.encode(),
        due if due != first else 0,
        fade,
    )


class Act(NamedTuple):
    """What somebody did to a job, as the value of its row says.

    Attributes:
        by: Who did it; empty if nobody said.
        note: Why, in that person's words.
        fields: What a modification changed.
    """

    by: str = ""
    note: str = ""
    fields: tuple[str, ...] = ()


NO_ACT = Act()
"""Of what nobody did, or nobody said anything about."""


@lru_cache(maxsize=256)
def pack_act(act: Act) -> bytes:
    """Write an act as the value of a row; empty if there is nothing to say."""
    said = {name: value for name, value in act._asdict().items() if value}
    if not said:
        return b""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def unpack_act(value: bytes) -> Act:
    """Read what :func:`pack_act` wrote; of anything else, that nothing was said."""
    try:
        said = json.loads(value) if value else {}
        fields = tuple(str(name) for name in said.get("fields", ()))
        return Act(str(said.get("by", "")), str(said.get("note", "")), fields)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return Act()
