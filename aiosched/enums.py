"""The closed lists of words: states, outcomes, causes, reasons, policies.

Each member's value is what people read in listings and JSON; its ``code`` is
the short form in which stores write it.  Codes are forever: a new member gets
a new code, and none is ever given a second meaning.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Self

__all__ = [
    "Cause",
    "Coalesce",
    "JobState",
    "OnConflict",
    "OnLost",
    "Outcome",
    "Overlap",
    "Reason",
    "RowKind",
]


class _Coded(StrEnum):
    code: str

    def __new__(cls, value: str, code: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.code = code
        return member

    if TYPE_CHECKING:

        def __init__(self, value: str, code: str = "") -> None: ...

    @classmethod
    def from_code(cls, code: str) -> Self:
        """Return the member with that code.

        Raises:
            ValueError: No member has it.
        """
        try:
            member: Self = _codes(cls)[code]
        except KeyError:
            message = f"{code!r} is no code of {cls.__name__}"
            raise ValueError(message) from None
        return member


@cache
def _codes(words: type[_Coded]) -> dict[str, Any]:
    return {member.code: member for member in words}


class JobState(_Coded):
    """What a job is up to, as far as the store knows."""

    ACTIVE = "active", "a"
    """Its slots and fires are attended."""
    PAUSED = "paused", "p"
    """Kept, but only ``start_job`` makes it run; ``resume`` ends it."""
    FINISHED = "finished", "f"
    """Its trigger has no further slot; kept until its retention ends."""
    REMOVED = "removed", "r"
    """Taken out by ``remove_job``; a run may still be ending."""
    UNKNOWN = "unknown", "u"
    """No job and no trace of one; never stored."""


class RowKind(_Coded):
    """What a ledger row says happened."""

    SUCCEEDED = "succeeded", "S"
    FAILED = "failed", "F"
    TIMED_OUT = "timed_out", "T"
    CANCELLED = "cancelled", "C"
    LOST = "lost", "L"
    EXPIRED = "expired", "X"
    HANDED_BACK = "handed_back", "H"
    SKIPPED = "skipped", "k"
    MISSED = "missed", "m"
    EXCLUDED = "excluded", "e"
    PAUSED = "paused", "p"
    CREATED = "created", "c"
    REMOVED = "removed", "r"
    MODIFIED = "modified", "o"
    HELD = "held", "h"
    """Somebody paused the job."""
    RESUMED = "resumed", "v"
    """Somebody let it go on, or its pause came to its end."""
    STOPPED = "stopped", "t"
    """Somebody cancelled what ran and waited, and paused it."""
    ASKED = "asked", "a"
    """Somebody asked for a run by hand."""


class Outcome(_Coded):
    """How a run ended.  Codes are those of the matching ledger rows."""

    SUCCEEDED = "succeeded", "S"
    FAILED = "failed", "F"
    TIMED_OUT = "timed_out", "T"
    CANCELLED = "cancelled", "C"
    LOST = "lost", "L"
    """Its peer died; recorded when it may not (or no longer) be run again."""
    EXPIRED = "expired", "X"
    """Its time to live ended before it was started."""


class Cause(_Coded):
    """Why a firing exists."""

    SLOT = "slot", "s"
    KEYWORD = "keyword", "k"
    MANUAL = "manual", "m"


class Reason(_Coded):
    """Why something was cancelled or passed over."""

    NONE = "", ""
    USER = "user", "u"
    """A person or program called ``stop_job``."""
    REMOVED = "removed", "r"
    REPLACED = "replaced", "p"
    """``overlap="cancel_previous"`` made room for a newer firing."""
    SHUTDOWN = "shutdown", "s"
    LEASE_LOST = "lease_lost", "l"
    TIMEOUT = "timeout", "t"
    OVERLAP = "overlap", "o"
    COALESCED = "coalesced", "c"
    GRACE = "grace", "g"
    """Later than its misfire grace."""
    LIMIT = "limit", "n"
    """Beyond the number of due slots that are caught up with."""
    MODIFIED = "modified", "m"
    UNRESOLVABLE = "unresolvable", "x"
    """The peer that claimed it could not build its executor or arguments."""
    ITSELF = "itself", "i"
    """The executor raised ``CancelledError`` without having been asked to."""


class Overlap(_Coded):
    """What to do with a slot that comes while the job runs at its limit."""

    SKIP = "skip", "s"
    QUEUE = "queue", "q"
    ALLOW = "allow", "a"
    CANCEL_PREVIOUS = "cancel_previous", "c"


class Coalesce(_Coded):
    """Which of several slots that are due at once is run."""

    LATEST = "latest", "l"
    EARLIEST = "earliest", "e"
    ALL = "all", "a"


class OnLost(_Coded):
    """What becomes of a run whose peer died."""

    RERUN = "rerun", "r"
    RECORD = "record", "c"


class OnConflict(StrEnum):
    """What ``schedule`` does when the id belongs to a different definition."""

    RAISE = "raise"
    REPLACE = "replace"
    KEEP = "keep"
