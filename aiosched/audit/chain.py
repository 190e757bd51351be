"""A chain of hashes over audit records, and whether one still holds.

Each record names the hash of the one before it, and its own: SHA-256 of its
canonical JSON (sorted keys, no blanks, ASCII) without ``hash``; or, with a key,
HMAC-SHA256 (RFC 2104).  Without a key the chain shows damage and careless changes;
who can write the file can also compute it anew, which takes the key otherwise.

What is cut off at the end no chain can show: keep its last hash elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiosched.errors import ConfigurationError

__all__ = ["LEAST_KEY", "Chain", "Verdict", "digest", "verify"]

LEAST_KEY = 16
"""Bytes that a key has at least."""


def digest(record: Mapping[str, Any], key: bytes | None) -> str:
    """Return the hash of a record, whatever its ``hash`` says."""
    bare = {name: value for name, value in record.items() if name != "hash"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()
    if key is None:
        return hashlib.sha256(text).hexdigest()
    return hmac.new(key, text, hashlib.sha256).hexdigest()


class Chain:
    """Numbers records, and ties each to the one before."""

    def __init__(self, name: str, *, hashed: bool, key: bytes | None = None) -> None:
        """Begin.

        Args:
            name: Of this chain: one life of one process.
            hashed: Whether records are tied by hashes, or only numbered.
            key: For HMAC.

        Raises:
            ConfigurationError: The key is too short; it is not shown.
        """
        if key is not None and not hashed:
            raise ConfigurationError(
                "key", "<hidden>", "there is no chain", "say chained=True"
            )
        given: object = key
        short = not isinstance(given, bytes) or len(given) < LEAST_KEY
        if key is not None and short:
            raise ConfigurationError(
                "key", "<hidden>", "is no key", f"give {LEAST_KEY} random bytes or more"
            )
        self.name = name
        self.last: str = ""
        self._hashed = hashed
        self._key = key
        self._number = 0

    def add(self, record: dict[str, Any]) -> None:
        """Number a record, and tie it to the one before."""
        self._number += 1
        record["chain"], record["seq"] = self.name, self._number
        if self._hashed:
            record["prev"] = self.last
            self.last = record["hash"] = digest(record, self._key)


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        records: How many were read.
        repeated: Records that came again, as they may after an outage.
        heads: Number and hash of the last record of each chain: keep them
            elsewhere, and nobody can cut off the end unseen.
        problems: What is wrong, with the line; empty if all holds.
    """

    records: int = 0
    repeated: int = 0
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problems


def verify(lines: Iterable[str | bytes], *, key: bytes | None = None) -> Verdict:
    """Check the chains of audit records.

    Args:
        lines: JSON, one a line, in the order in which they were written; of
            rotated files the oldest first.
        key: With which they were made.

    Returns:
        What was found.  The first record may follow others, which are elsewhere.
    """
    verdict = Verdict()
    seen: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            problem = _line(line, verdict, seen, key)
            if problem:
                verdict.problems.append(f"line {number}: {problem}")
    return verdict


def _line(
    line: str | bytes,
    verdict: Verdict,
    seen: dict[str, tuple[str, int]],
    key: bytes | None,
) -> str:
    """Check one record; return what is wrong with it."""
    try:
        record = json.loads(line)
        chain, number = record["chain"], record["seq"]
        prev, said = record["prev"], record["hash"]
        right = digest(record, key)
        texts = all(isinstance(one, str) for one in (chain, prev, said))
    except (ValueError, TypeError, KeyError, RecursionError):
        return "is no record of a chain"
    if not texts or not isinstance(number, int):
        return "is no record of a chain"
    first = verdict.records == 0
    verdict.records += 1
    if not hmac.compare_digest(right.encode(), said.encode("utf-8", "replace")):
        return f"record {number} was changed"
    if seen.get(said) == (chain, number):
        verdict.repeated += 1
        return ""
    last = verdict.heads.get(chain)
    verdict.heads[chain] = number, said
    seen[said] = chain, number
    if last is None:
        return _begins(number, prev, seen, first=first)
    if number != last[0] + 1:
        return f"between record {last[0]} and {number} some are missing"
    return "" if prev == last[1] else f"record {number} does not follow the one before"


def _begins(
    number: int, prev: str, seen: Mapping[str, tuple[str, int]], *, first: bool
) -> str:
    if first:
        return ""
    if number != 1:
        return f"a chain begins with record {number}: those before are missing"
    return "" if not prev or prev in seen else "what it follows is missing"
