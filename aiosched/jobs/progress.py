"""How far a run is, in its own words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiosched.errors import ConfigurationError
from aiosched.instants import moment
from aiosched.records import Reported

__all__ = ["LONGEST_NOTE", "Progress", "progress_of", "reported"]

LONGEST_NOTE = 200
"""Characters of a note; what is longer is cut, because each beat carries it."""

_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run has said of how far it is.

    Attributes:
        done: Which part of the work is done, 0 to 1, in steps of 0.0001; None: it
            did not say.
        note: In its own words; empty for none.
        at: When the store heard of it, in UTC: up to a third of a lease (5 seconds)
            later than it was said.
    """

    done: float | None
    note: str
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"done": self.done, "note": self.note, "at": self.at.isoformat()}


def progress_of(said: Reported) -> Progress:
    """Return what is shown of what was stored."""
    done = None if said.share is None else said.share / _WHOLE
    return Progress(done, said.note, moment(said.at))


def reported(done: Any, note: object) -> Reported:
    """Check what a run says; what is a little off is put right.

    Raises:
        ConfigurationError: ``done`` is no number, or ``note`` no text.
    """
    if not isinstance(note, str):
        raise ConfigurationError("note", note, "is no text", "write a few words")
    share: int | None = None
    if done is not None:
        number = isinstance(done, int | float) and not isinstance(done, bool)
        if not number or math.isnan(done):
            raise ConfigurationError(
                "done", done, "is no part of a whole", "give a number from 0 to 1"
            )
        share = round(min(max(float(done), 0.0), 1.0) * _WHOLE)
    text = " ".join(note.split())
    if not text.isprintable():
        text = "".join([char if char.isprintable() else "?" for char in text])
    if len(text) > LONGEST_NOTE:
        text = text[: LONGEST_NOTE - 1] + "…"
    return Reported(share, text)
