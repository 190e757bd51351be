"""The last final outcomes, as a record carries them beside the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from aiosched.records import Row, Spec
from aiosched.rows import ELSEWHERE, fade_row, pack_row

__all__ = ["carried"]

_LARGEST = 1024
"""Bytes of a result that a record carries along; each write rewrites them."""


def carried(
    recent: tuple[str, ...], spec: Spec, rows: Iterable[Row], now: int
) -> tuple[str, ...]:
    """Return what a record is to carry, newest first.

    Args:
        recent: What it has carried until now.
        spec: Says how many, and for how long their values.
        rows: What has just been written, oldest first.
        now: The store's instant.
    """
    keep = spec.keep_last
    for row in rows if keep else ():
        if row.final:
            short = len(row.value) <= _LARGEST
            kept = row if short else replace(row, value=ELSEWHERE)
            recent = (pack_row(kept), *recent[: keep - 1])
    if spec.keep_results is not None:
        recent = tuple([fade_row(line, now) for line in recent])
    return recent
