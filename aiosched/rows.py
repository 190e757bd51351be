"""The ledger row as text: one line, fields joined by ``|``.

Stores append these lines to their ledgers and records carry the last few of
them; both sides treat them as opaque until somebody wants to read one.

There may be far more of them than there are jobs, so they are short.  Fields at
their defaults are empty, and left out at the end; slot, fence and the end of a
value's time are told by their distance from the row's instant; rows of one commit
that differ in nothing but the job are one line, which names all of these jobs.
"""

from __future__ import annotations

import json
from dataclasses import replace
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
    "Lines",
    "escape",
    "fade_row",
    "one_line",
    "pack_act",
    "pack_row",
    "row_key",
    "unescape",
    "unpack_act",
    "unpack_line",
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
    (",", "%2C"),
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
    """Write a row as one line of text."""
    return f"{escape(row.job_id)}|{_pack_rest(row)}"


def _pack_rest(row: Row) -> str:
    """Write all but the job."""
    at, slot, key, fence, due = row.at, row.slot, row.key, row.fence, row.due
    text = (
        f"{row.kind.code}|{at}|{at - slot if slot else ''}|"
        f"{row.until - slot if row.until > slot else ''}|{row.count or ''}|"
        f"{_SLOT_KEY if slot and key == str(slot) else escape(key)}|"
        f"{'' if row.cause is Cause.SLOT else row.cause.code}|{row.attempt or ''}|"
        f"{1 if row.final else ''}|{at - fence if fence else ''}|{row.owner}|"
        f"{row.reason.code}|{at - row.started if row.started else ''}|"
        f"{due - slot if due and due != slot else ''}|"
        f"{row.value_until - at if row.value_until else ''}|"
    )
    if row.missed:
        return f"{text}{row.missed}~{row.value.decode()}"
    return text + row.value.decode() if row.value else text.rstrip("|")


def one_line(text: str) -> str:
    """Return a packed row without line breaks.

    In JSON text, which is all that a row holds unescaped, a raw line break can
    only be white space.
    """
    return text.replace("\n", " ") if "\n" in text else text


class Lines:
    """Rows of one commit, as lines of text."""

    __slots__ = ("_parts", "_rest")

    def __init__(self) -> None:
        """Have none yet."""
        self._parts: list[str] = []
        self._rest = ""

    def add(self, row: Row) -> None:
        """Write a row behind the others; in their last line, if it is alike."""
        rest, parts = one_line(_pack_rest(row)), self._parts
        if rest == self._rest:
            parts.append(",")
        else:
            if parts:
                parts.append(f"|{self._rest}\n")
            self._rest = rest
        parts.append(escape(row.job_id))

    def text(self) -> str:
        """Return all lines; empty if there are no rows."""
        return f"{''.join(self._parts)}|{self._rest}" if self._parts else ""

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._parts)


def row_key(line: str) -> str:
    """Return the firing key of a packed row without reading the rest.

    Of what is no row, an empty one, which no firing has.
    """
    parts = line.split("|", 7)
    if len(parts) < 7:
        return ""
    if parts[6] != _SLOT_KEY:
        return unescape(parts[6])
    try:
        return str(_number(parts[2]) - _number(parts[3]))
    except ValueError:
        return ""


def fade_row(line: str, now: int) -> str:
    """Return a packed row without its value, if the time of that is over."""
    parts = line.split("|", _FIELDS - 1)
    if len(parts) != _FIELDS or not parts[-1] or not parts[-2]:
        return line
    try:
        if _number(parts[2]) + _number(parts[-2]) > now:
            return line
    except ValueError:
        return line
    missed, mark, _ = parts.pop().partition("~")
    head = "|".join(parts)
    return f"{head}|{missed}~" if mark and missed.isdecimal() else head


def unpack_row(line: str) -> Row:
    """Read a line that :func:`pack_row` wrote.

    Raises:
        ValueError: The line is not such a row.
    """
    job, _, rest = line.partition("|")
    if "," in job:
        message = f"a ledger row of several jobs: {line[:80]!r}"
        raise ValueError(message)
    return _unpack(job, rest)


def unpack_line(line: str) -> list[Row]:
    """Read a line of a ledger, which may stand for several rows.

    Raises:
        ValueError: The line is none.
    """
    jobs, _, rest = line.partition("|")
    first, *others = jobs.split(",")
    row = _unpack(first, rest)
    return [row, *[replace(row, job_id=unescape(job)) for job in others]]


def _number(text: str) -> int:
    if len(text) > _DIGITS:
        message = f"a number of {len(text)} digits"
        raise ValueError(message)
    return int(text)


def _unpack(job_id: str, rest: str) -> Row:
    parts = rest.split("|", _FIELDS - 2)
    if not job_id or not 2 <= len(parts) < _FIELDS:
        message = f"not a ledger row: {job_id[:40]!r}, {rest[:80]!r}"
        raise ValueError(message)
    parts += [""] * (_FIELDS - 1 - len(parts))
    kind, at, behind, width, count, key, cause, attempt, final = parts[:9]
    fence, owner, reason, took, moved, fades, value = parts[9:]
    instant = _number(at)
    slot = instant - _number(behind) if behind else 0
    until = slot + _number(width or "0")
    started = instant - _number(took) if took else 0
    # Datetimes are made of them sooner or later.
    due = slot + _number(moved or "0")
    fade = instant + _number(fades) if fades else 0
    if min(slot, until - slot + FIRST_INSTANT, instant, started, due, fade) < (
        FIRST_INSTANT
    ) or (max(until, instant, started, due, fade) > LAST_INSTANT):
        message = f"a ledger row with an impossible instant: {rest[:80]!r}"
        raise ValueError(message)
    said = RowKind.from_code(kind)
    if final and said not in _OF_RUNS:
        message = f"a final ledger row of no run: {rest[:80]!r}"
        raise ValueError(message)
    missed, mark, after = value.partition("~")
    if mark and missed.isdecimal() and missed[0] != "0":
        value = after
    else:
        missed = ""
    return Row(
        unescape(job_id),
        said,
        instant,
        slot,
        until,
        _number(count or "0"),
        str(slot) if key == _SLOT_KEY else unescape(key),
        Cause.from_code(cause) if cause else Cause.SLOT,
        _number(attempt or "0"),
        bool(final),
        instant - _number(fence) if fence else 0,
        owner,
        Reason.from_code(reason),
        started,
        _number(missed or "0"),
        value.encode(),
        due if due != slot else 0,
        fade,
    )


class Act(NamedTuple):
    """What somebody did to a job, as the value of its row says.

    Attributes:
        by: Who did it; empty if nobody said.
        note: Why, in that person's words.
        fields: What a modification changed.
        trace: Context of the call; it goes into the record, and into no row.
    """

    by: str = ""
    note: str = ""
    fields: tuple[str, ...] = ()
    trace: str = ""


NO_ACT = Act()
"""Of what nobody did, or nobody said anything about."""


@lru_cache(maxsize=256)
def pack_act(act: Act) -> bytes:
    """Write an act as the value of a row; empty if there is nothing to say."""
    said = {name: value for name, value in act._asdict().items() if value}
    said.pop("trace", None)
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
