"""Records as bytes; the form is described in ``docs/explanation/redis-protocol.md``.

Written by hand because each claim and each settle passes through here: no JSON,
defaults left out, numbers relative to others of the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from aiosched.enums import Cause, JobState, Reason
from aiosched.instants import DAY
from aiosched.planning.compare import digest
from aiosched.records import (
    NO_COUNTS,
    SCHEMA,
    Apart,
    Blob,
    Counts,
    Definition,
    LiveRun,
    Pending,
    Record,
    Reported,
    Spec,
    State,
    schema_of,
)
from aiosched.rows import escape, one_line, unescape
from aiosched.stores.redis.specs import UnreadableError
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT

__all__ = [
    "INLINE",
    "Parts",
    "aparts",
    "decode",
    "encode",
    "later",
    "split",
]

INLINE = 1_024
"""Longest arguments or payload, in bytes, that stand in the record itself."""

_SCHEMAS = frozenset(str(one).encode() for one in range(1, SCHEMA + 1))
_FIELDS = 19
_RUN_FIELDS = 16
_FIRING_FIELDS = 11
_ACTIVE = JobState.ACTIVE
_SLOT = Cause.SLOT
_EMPTY = "~"
_NONE = "-"
_ESCAPES = (
    ("%", "%25"),
    ("|", "%7C"),
    (",", "%2C"),
    (";", "%3B"),
    ("~", "%7E"),
    ("\n", "%0A"),
)
_STATUSES = {member.code: member for member in JobState}
_CAUSES = {member.code: member for member in Cause}
_REASONS = {member.code: member for member in Reason}
_NO_COUNTS = NO_COUNTS
_EARLIEST = FIRST_INSTANT - DAY
_LATEST = LAST_INSTANT + DAY
"""Of datetimes; the days between are for time zones."""
_Member = TypeVar("_Member")


class Parts(NamedTuple):
    """A record's bytes, cut into state line, spec line and the rest."""

    head: bytes
    spec: bytes
    rest: bytes


def _quote(text: str) -> str:
    return escape(text, _ESCAPES)


def _unquote(text: str) -> str:
    return unescape(text, _ESCAPES)


# --- writing -------------------------------------------------------------------


def encode(record: Record, spec_line: str, apart: dict[str, bytes | None]) -> bytes:
    """Write a record.

    Args:
        record: What to write.
        spec_line: Names its spec.
        apart: Is given what belongs into keys apart, by digest: the bytes, or
            None for what the record says is there already.
    """
    definition, state = record.definition, record.state
    created, seq, status = state.created, state.seq, state.status
    following, anchor = state.next, definition.anchor
    inline: list[bytes] = []
    arguments = definition.arguments
    where = ""
    if type(arguments) is not bytes or len(arguments) > INLINE:
        where = _set_apart(arguments, apart)
        arguments = b""
    runs, waiting, counts = state.runs, state.waiting, state.counts
    latest, since, recent = state.latest, state.since, state.recent
    own = ""
    if anchor != following:
        own = _NONE if anchor is None else str(anchor - created)
    running, queued = "", ""
    if runs:
        running = ";".join([_run(run, seq, created, inline, apart) for run in runs])
    if waiting:
        queued = ";".join([_firing(one, created, inline, apart) for one in waiting])
    if latest is None:
        past: int | str = ""
    else:
        past = "=" if latest == following else latest - created
    head = (
        f"{schema_of(record)}|{seq}|"
        f"{'' if following is None else following - created}|{own}|"
        f"{seq - created or ''}|{state.version if state.version != 1 else ''}|"
        f"{'' if status is _ACTIVE else status.code}|{running}|{queued}|"
        f"{'' if counts is _NO_COUNTS else _counts(counts)}|{past}|"
        f"{'' if since is None else since - created}|{state.former or ''}|"
        f"{len(recent) or ''}|{_past(state.ends, created)}|"
        f"{_past(state.pause_until, created)}|"
        f"{_quote(state.pause_note) if state.pause_note else ''}|{where}|"
        f"{_quote(state.trace) if state.trace else ''}"
    ).rstrip("|")
    if recent:
        lines = "\n".join([one_line(line) for line in recent])
        text = f"{head}\n{spec_line}\n{lines}\n"
    else:
        text = f"{head}\n{spec_line}\n"
    return b"".join((text.encode(), *inline, arguments))


def _past(instant: int | None, created: int) -> str:
    return "" if instant is None else str(instant - created)


def _set_apart(blob: Blob, apart: dict[str, bytes | None]) -> str:
    if isinstance(blob, Apart):
        apart.setdefault(blob.digest, None)
        return f"@{blob.digest}~{blob.size}"
    name = digest(blob)
    apart[name] = blob
    return f"@{name}~{len(blob)}"


def _counts(c: Counts) -> str:
    # A loop over the fields would cost several times as much.
    return (
        f"{c.fired or ''},{c.succeeded or ''},{c.asked or ''},{c.skipped or ''},"
        f"{c.missed or ''},{c.failed or ''},{c.timed_out or ''},{c.cancelled or ''},"
        f"{c.lost or ''},{c.expired or ''},{c.excluded or ''},{c.paused or ''}"
    ).rstrip(",")


def _run(
    run: LiveRun,
    seq: int,
    created: int,
    inline: list[bytes],
    apart: dict[str, bytes | None],
) -> str:
    started, owner = run.started, run.owner
    if not owner.isalnum():
        owner = _quote(owner)
    firing = _firing(run.firing, created, inline, apart)
    said = run.progress
    if said is not None:
        # Behind all fields of the firing, whose last are left out otherwise.
        firing += "," * (_FIRING_FIELDS - firing.count(","))
        share = "" if said.share is None else said.share
        firing += f"{said.at - started},{share},{_quote(said.note)}"
    return (
        f"{seq - run.fence},{owner},{run.until - started},"
        f"{started - created},{run.cancel.code},{firing}"
    )


def _firing(
    one: Pending, created: int, inline: list[bytes], apart: dict[str, bytes | None]
) -> str:
    slot, key, cause, expires = one.slot, one.key, one.cause, one.expires
    payload = one.payload
    where: int | str = ""
    if payload:
        if type(payload) is not bytes or len(payload) > INLINE:
            where = _set_apart(payload, apart)
        else:
            where = len(payload)
            inline.append(payload)
    return (
        f"{slot - created},{'' if key == str(slot) else _quote(key) or _EMPTY},"
        f"{'' if cause is _SLOT else cause.code},{one.at - slot or ''},"
        f"{one.attempt or ''},{one.lost or ''},{one.missed or ''},"
        f"{'' if expires is None else expires - slot},{where},"
        f"{1 if one.open else ''},{_quote(one.trace) if one.trace else ''}"
    ).rstrip(",")


# --- reading -------------------------------------------------------------------


def split(data: bytes) -> Parts:
    """Cut a record's bytes without decoding them.

    Raises:
        UnreadableError: They are no record, or one of a later schema.
    """
    parts = data.split(b"\n", 2)
    schema = parts[0].partition(b"|")[0]
    if schema not in _SCHEMAS and later(data):
        raise UnreadableError(
            f"written by a later version (schema {schema.decode()[:20]})"
        )
    if schema not in _SCHEMAS or len(parts) != 3:
        raise UnreadableError(f"no record: {data[:40]!r}")
    return Parts(*parts)


def later(data: bytes) -> bool:
    """Return whether a record's bytes are of a schema that comes after ours."""
    schema = data.partition(b"|")[0]
    return schema.isdigit() and data.count(b"\n") > 1 and int(schema[:20]) > SCHEMA


def decode(parts: Parts, job_id: str, spec: Spec) -> Record:
    """Read a record whose spec is known.

    Raises:
        UnreadableError: It is none.
    """
    try:
        return _decode(parts, job_id, spec)
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise UnreadableError(f"no record: {error!r}") from None


def _decode(parts: Parts, job_id: str, spec: Spec) -> Record:
    texts = parts.head.decode().split("|")
    if len(texts) < _FIELDS:
        texts.extend([""] * (_FIELDS - len(texts)))
    (_, seq_text, following, anchor, age, version, status, runs, waiting) = texts[:9]
    counts, latest, since, former, recents, ends, until, note, where, trace = texts[9:]
    seq = int(seq_text)
    created = seq - int(age) if age else seq
    recent: tuple[str, ...] = ()
    tail = parts.rest
    if recents:
        number = int(recents)
        lines = tail.split(b"\n", number)
        tail = lines[number]
        recent = tuple([line.decode() for line in lines[:number]])
    source = _Tail(tail, job_id)
    next_ = int(following) + created if following else None
    state = State(
        seq,
        created,
        int(version) if version else 1,
        _STATUSES[status] if status else _ACTIVE,
        next_,
        int(since) + created if since else None,
        next_ if latest == "=" else int(latest) + created if latest else None,
        int(former) if former else 0,
        tuple([_read_run(one, seq, created, source) for one in runs.split(";")])
        if runs
        else (),
        tuple(
            [
                _read_firing(one.split(","), created, source)
                for one in waiting.split(";")
            ]
        )
        if waiting
        else (),
        _read_counts(counts) if counts else _NO_COUNTS,
        int(ends) + created if ends else None,
        int(until) + created if until else None,
        _unquote(note) if note else "",
        recent,
        _unquote(trace) if trace else "",
    )
    own = next_ if not anchor else None if anchor == _NONE else int(anchor) + created
    _check(created, seq, next_, own, state.since, state.latest)
    if state.ends is not None or state.pause_until is not None:
        _check(state.ends, state.pause_until)
    arguments = source.blob(where) if where else source.rest()
    return Record(Definition(job_id, spec, own, arguments), state)


def _check(*instants: int | None) -> None:
    """Refuse what triggers and datetimes cannot take.

    Raises:
        ValueError: There is no such instant.
    """
    for one in instants:
        if one is not None and not _EARLIEST <= one <= _LATEST:
            message = f"an instant of {one}"
            raise ValueError(message)


class _Tail:
    """Hands out the inline payloads in their order, then the arguments."""

    __slots__ = ("_data", "_job_id", "_place")

    def __init__(self, data: bytes, job_id: str) -> None:
        self._data = data
        self._job_id = job_id
        self._place = 0

    def blob(self, where: str) -> Blob:
        if where[0] == "@":
            name, _, size = where[1:].partition("~")
            return Apart(f"b:{name}:{self._job_id}", int(size), name)
        end = self._place + int(where)
        if not self._place < end <= len(self._data):
            raise UnreadableError("a payload is cut off")
        data = self._data[self._place : end]
        self._place = end
        return data

    def rest(self) -> bytes:
        return self._data[self._place :] if self._place else self._data


def _read_run(text: str, seq: int, created: int, source: _Tail) -> LiveRun:
    behind, owner, lease, begun, cancel, *firing = text.split(",")
    started = int(begun) + created
    until = started + int(lease)
    said = None
    if len(firing) > _FIRING_FIELDS:
        said = _read_progress(firing[_FIRING_FIELDS:], started)
        del firing[_FIRING_FIELDS:]
    _check(started, until)
    return LiveRun(
        seq - int(behind),
        _unquote(owner),
        until,
        started,
        _read_firing(firing, created, source),
        _REASONS[cancel],
        said,
    )


def _read_progress(texts: list[str], started: int) -> Reported:
    after, share, note = texts
    at = started + int(after)
    _check(at)
    return Reported(int(share) if share else None, _unquote(note), at)


def _read_firing(texts: list[str], created: int, source: _Tail) -> Pending:
    if len(texts) < _FIRING_FIELDS:
        texts.extend([""] * (_FIRING_FIELDS - len(texts)))
    past, key, cause, later, attempt, lost, missed = texts[:7]
    expires, where, opened, trace = texts[7:]
    slot = int(past) + created
    at = slot + int(later) if later else slot
    until = slot + int(expires) if expires else None
    _check(slot, at, until)
    return Pending(
        str(slot) if not key else "" if key == _EMPTY else _unquote(key),
        _CAUSES[cause] if cause else _SLOT,
        slot,
        at,
        int(attempt) if attempt else 0,
        int(lost) if lost else 0,
        int(missed) if missed else 0,
        until,
        source.blob(where) if where else b"",
        bool(opened),
        _unquote(trace) if trace else "",
    )


def _read_counts(text: str) -> Counts:
    numbers = [int(one) if one else 0 for one in text.split(",")]
    if max(numbers) > _LATEST:
        raise ValueError("a count that cannot be")
    numbers.extend([0] * (12 - len(numbers)))
    (fired, succeeded, asked, skipped, missed, failed) = numbers[:6]
    (timed_out, cancelled, lost, expired, excluded, paused) = numbers[6:]
    return Counts(
        fired,
        asked,
        skipped,
        missed,
        excluded,
        paused,
        succeeded,
        failed,
        timed_out,
        cancelled,
        lost,
        expired,
    )


# --- what is kept apart --------------------------------------------------------


def aparts(record: Record) -> Sequence[str]:
    """Return the digests of all that a record keeps apart."""
    found: list[str] = []
    arguments = record.definition.arguments
    if type(arguments) is not bytes or len(arguments) > INLINE:
        found.append(_digest(arguments))
    state = record.state
    firings = [run.firing for run in state.runs] if state.runs else []
    if state.waiting:
        firings += state.waiting
    for one in firings:
        payload = one.payload
        if type(payload) is not bytes or len(payload) > INLINE:
            found.append(_digest(payload))
    return found


def _digest(blob: Blob) -> str:
    return blob.digest if isinstance(blob, Apart) else digest(blob)
