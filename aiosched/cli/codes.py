"""How a command ends: one number for each way, the same for all commands."""

from __future__ import annotations

from enum import IntEnum

from aiosched.errors import (
    AioschedError,
    InvalidInputError,
    JobError,
    JobNotFoundError,
    StoreUnavailableError,
    WaitTimeoutError,
)

__all__ = ["MEANINGS", "CannotError", "ExitCode", "code_of", "in_words"]


class ExitCode(IntEnum):
    """What the shell is told."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAVAILABLE = 5
    TIMED_OUT = 6
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done, and right",
    ExitCode.FAILED: "it failed, or the answer is no: `run`: the scheduler failed, or "
    "its store was away at the start; `demo`: a firing is missing or doubled; `why`: "
    "nothing is known; `doctor`: there is damage; `health`: not healthy; `plugins`: "
    "one is broken; `fire --wait`, `start --wait`: a run did not succeed; `export`: "
    "not everything is in the document; `migrate`: something is left out, or the other "
    "scheduler still runs; `shadow`: its store did not agree",
    ExitCode.USAGE: "it was asked for something that cannot be done: a wrong word, "
    "value or module",
    ExitCode.NOT_FOUND: "there is no such job, or nobody is subscribed to the keyword",
    ExitCode.REFUSED: "something is in the way, and not everything was done: "
    "the id is taken, the job is running, nobody said yes",
    ExitCode.UNAVAILABLE: "the store does not answer; trying again is safe",
    ExitCode.TIMED_OUT: "what was waited for had not ended in time; it goes on",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}
"""The table of the reference page."""


class CannotError(Exception):
    """What was asked for cannot be done; the text says what to do instead.

    Attributes:
        code: What the shell is told.
    """

    def __init__(self, text: str, code: ExitCode = ExitCode.USAGE) -> None:
        """Say what stands in the way."""
        super().__init__(text)
        self.code = code


_SAID = (
    ('pass on_conflict="replace" or "keep"', "add --on-conflict replace, or keep"),
    ("or pass allow_unknown=True", "or add --allow-unknown"),
)
"""Remedies in the words of a program, and in those of the command line."""


def in_words(error: Exception) -> str:
    """Return what an error says, with its remedy in the words of the command line."""
    text = str(error)
    for code, words in _SAID:
        text = text.replace(code, words)
    return text


def code_of(error: AioschedError) -> ExitCode:
    """Return the exit code of a command that an error has ended."""
    if isinstance(error, InvalidInputError):
        return ExitCode.USAGE
    if isinstance(error, JobNotFoundError):
        return ExitCode.NOT_FOUND
    if isinstance(error, JobError):
        return ExitCode.REFUSED
    if isinstance(error, StoreUnavailableError):
        return ExitCode.UNAVAILABLE
    if isinstance(error, WaitTimeoutError):
        return ExitCode.TIMED_OUT
    return ExitCode.FAILED
