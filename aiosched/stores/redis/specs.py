"""Specs as text: written once per content, decoded once per session.

A record names its spec by a line: ``=`` and a hash of the content, or the
content itself where that is hardly longer.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from aiosched.enums import Coalesce, OnLost, Overlap
from aiosched.errors import AioschedError, shown
from aiosched.jobs.plain import load_json
from aiosched.records import RetryRule, Spec
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT, trigger_from_data

__all__ = ["SpecCache", "UnreadableError", "decode_spec", "encode_spec", "spec_name"]

INLINE = 40
"""Longest spec, in bytes, that stands in the record itself."""
_REMEMBERED = 2_048
_HASH_BYTES = 9


class UnreadableError(Exception):
    """Stored bytes that this version cannot make sense of; the text says why."""


_SHORT = {
    "executor": "e",
    "trigger": "t",
    "keyword": "k",
    "queue": "q",
    "max_runs": "n",
    "misfire_grace": "g",
    "coalesce": "c",
    "overlap": "o",
    "max_running": "r",
    "jitter": "j",
    "timeout": "l",
    "retry": "y",
    "on_lost": "x",
    "max_lost": "z",
    "keep": "p",
    "keep_last": "h",
    "tags": "a",
    "note": "i",
    "meta": "m",
    "declared": "d",
    "unpinned": "u",
    "delay": "w",
    "coalesce_limit": "b",
    "keep_results": "f",
}
_LONG = {short: name for name, short in _SHORT.items()}
_MOST = LAST_INSTANT - FIRST_INSTANT
_TEXTS = {"executor", "keyword", "queue", "note"}
_FROM_ONE = {"max_runs", "max_running"}
_NUMBERS = _FROM_ONE | {
    *("misfire_grace", "jitter", "timeout", "max_lost", "keep", "keep_last"),
    *("declared", "delay", "coalesce_limit", "keep_results"),
}
# AioschedError: a trigger whose kind this process does not know.
_NO_SPEC = (
    *(ValueError, TypeError, KeyError, AttributeError, AioschedError),
    *(OverflowError, RecursionError),
)
_DEFAULTS = {
    field.name: field.default for field in fields(Spec) if field.default is not MISSING
}
_PACK: dict[str, Callable[[Any], Any]] = {
    "trigger": lambda trigger: trigger.to_data(),
    "unpinned": lambda trigger: trigger.to_data(),
    "coalesce": lambda word: word.code,
    "overlap": lambda word: word.code,
    "on_lost": lambda word: word.code,
    "tags": list,
    "retry": lambda rule: [
        rule.attempts,
        rule.delay,
        rule.factor,
        rule.cap,
        rule.jitter,
        list(rule.errors),
        rule.timeouts,
    ],
}


def _retry(data: list[Any]) -> RetryRule:
    attempts, delay, factor, cap, jitter, errors, timeouts = data
    whole = all(_number(one) for one in (attempts, delay, cap))
    real = all(type(one) in (int, float) for one in (factor, jitter))
    names = isinstance(errors, list) and all(isinstance(one, str) for one in errors)
    if not (whole and real and names and type(timeouts) is bool):
        raise ValueError("its retry has wrong parts")
    if not (0 <= factor <= _MOST and 0 <= jitter <= 1):
        raise ValueError("its retry has numbers that cannot be right")
    return RetryRule(attempts, delay, factor, cap, jitter, tuple(errors), timeouts)


_UNPACK: dict[str, Callable[[Any], Any]] = {
    "trigger": trigger_from_data,
    "unpinned": trigger_from_data,
    "coalesce": Coalesce.from_code,
    "overlap": Overlap.from_code,
    "on_lost": OnLost.from_code,
    "tags": tuple,
    "retry": _retry,
}


def encode_spec(spec: Spec) -> bytes:
    """Write a spec as one line of canonical JSON, defaults left out."""
    data: dict[str, Any] = {}
    for name, short in _SHORT.items():
        value = getattr(spec, name)
        if name in _DEFAULTS and value == _DEFAULTS[name]:
            continue
        data[short] = _PACK[name](value) if name in _PACK else value
    text = json.dumps(data, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.encode()


def decode_spec(body: bytes) -> Spec:
    """Read what :func:`encode_spec` wrote.

    Raises:
        UnreadableError: It is something else, or of a later version.
    """
    try:
        data = json.loads(body)
        values = {}
        later = sorted(data.keys() - _LONG.keys())
        if later:
            raise UnreadableError(
                f"written by a later version (its spec has the field {later[0][:20]!r})"
            )
        for short, value in data.items():
            name = _LONG[short]
            values[name] = _UNPACK[name](value) if name in _UNPACK else value
        if not isinstance(values.get("executor"), str):
            raise UnreadableError("the spec names no executor")
        for name, value in values.items():
            if not _fits(name, value):
                raise UnreadableError(f"no spec: its {name} is {shown(value)}")
        return Spec(**values)
    except _NO_SPEC as error:
        raise UnreadableError(f"no spec: {error}") from None


def _fits(name: str, value: Any) -> bool:
    """Tell whether a field holds what planning and viewers can work with."""
    if value is None:
        return name in _DEFAULTS and _DEFAULTS[name] is None
    if name in _NUMBERS:
        return _number(value) and value >= (name in _FROM_ONE)
    if name in _TEXTS:
        return isinstance(value, str)
    if name == "tags":
        return all(isinstance(one, str) for one in value)
    if name == "meta":
        return isinstance(value, str) and isinstance(load_json(value.encode()), dict)
    return True


def _number(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def spec_name(body: bytes) -> str:
    """Return the content hash under which a spec is stored."""
    raw = hashlib.blake2b(body, digest_size=_HASH_BYTES).digest()
    return base64.urlsafe_b64encode(raw).decode()


class SpecCache:
    """What this session knows of specs; bounded, and never wrong."""

    def __init__(self) -> None:
        """Know nothing."""
        self._by_line: dict[bytes, Spec] = {}
        # By identity: hashing a spec would hash its trigger, field by field.
        self._lines: dict[int, tuple[Spec, str, bytes]] = {}

    def find(self, line: bytes) -> Spec | None:
        """Return the spec of a record's line; None: it must be fetched.

        Raises:
            UnreadableError: The line is neither a reference nor a spec.
        """
        spec = self._by_line.get(line)
        if spec is None and not line.startswith(b"="):
            spec = decode_spec(line)
            self._remember(line.decode(), spec, line)
        return spec

    def learn(self, line: bytes, body: bytes | None) -> Spec:
        """Return the spec that was fetched for a line, and remember it.

        Raises:
            UnreadableError: The bytes are missing, no spec, or not the one named.
        """
        if body is None:
            raise UnreadableError(f"its spec {line[1:]!r} is missing")
        if spec_name(body).encode() != line[1:]:
            raise UnreadableError("the content of the spec does not match its name")
        spec = decode_spec(body)
        self._remember(line.decode(), spec, body)
        return spec

    def line(self, spec: Spec) -> tuple[str, bytes]:
        """Return (line for the record, content) of a spec."""
        known = self._lines.get(id(spec))
        if known is not None:
            return known[1], known[2]
        body = encode_spec(spec)
        line = body.decode() if len(body) <= INLINE else "=" + spec_name(body)
        self._remember(line, spec, body)
        return line, body

    def _remember(self, line: str, spec: Spec, body: bytes) -> None:
        if len(self._lines) >= _REMEMBERED:
            # The entry holds the spec, so that its id is not given away.
            del self._lines[next(iter(self._lines))]
        self._lines[id(spec)] = (spec, line, body)
        key = line.encode()
        if key not in self._by_line:
            if len(self._by_line) >= _REMEMBERED:
                del self._by_line[next(iter(self._by_line))]
            self._by_line[key] = spec
