"""Every error of aiosched, one tree.

::

    AioschedError
    ├── InvalidInputError (ValueError)      refused before anything was written
    │   ├── ConfigurationError              settings, URLs, scheduler options
    │   │   └── ConfigFileError             all that is wrong with a configuration
    │   ├── TriggerError                    a trigger that can never be right
    │   ├── UnknownExecutorError            nobody has registered that name
    │   └── ArgumentsError                  arguments that do not fit, or no JSON
    ├── JobError                            about one stored job
    │   ├── JobNotFoundError (LookupError)
    │   ├── JobExistsError
    │   ├── JobChangedError                 ``if_version`` did not match
    │   ├── AlreadyRunningError             the overlap rule refuses another run
    │   └── TooManyWaitingError             the job's bounded list of firings is full
    ├── RunError                            about the outcome of a run
    │   ├── RunFailedError                  the executor raised
    │   ├── RunTimedOutError (TimeoutError)
    │   ├── RunCancelledError
    │   ├── RunLostError                    its peer died and the job may not run twice
    │   └── RunExpiredError                 its time to live ended before it was started
    ├── GuardError                          about one guarded name
    │   ├── GuardHeldError                  somebody else holds it
    │   └── GuardLostError                  it ran out, or was taken, while it was held
    ├── AttemptError                        raised by executors: whether, when again
    ├── WaitTimeoutError (TimeoutError)     the run had not ended in time; it goes on
    ├── StoreError
    │   ├── StoreUnavailableError           transient; calling again is safe
    │   ├── StoreConflictError              an optimistic transaction lost too often
    │   └── StoreDataError                  a record that cannot be read
    └── SchedulerStateError (RuntimeError)  not started, already started, closed

    CancelJob                               no error: ends the job of who raises it

Ids and numbers are attributes, not only text.  A driver's exception never
leaves ``stores``; an executor's exception never leaves the runner except as
the cause of a :class:`RunError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "AioschedError",
    "AlreadyRunningError",
    "ArgumentsError",
    "AttemptError",
    "CancelJob",
    "ConfigFileError",
    "ConfigurationError",
    "GuardError",
    "GuardHeldError",
    "GuardLostError",
    "InvalidInputError",
    "JobChangedError",
    "JobError",
    "JobExistsError",
    "JobNotFoundError",
    "RunCancelledError",
    "RunError",
    "RunExpiredError",
    "RunFailedError",
    "RunLostError",
    "RunTimedOutError",
    "SchedulerStateError",
    "StoreConflictError",
    "StoreDataError",
    "StoreError",
    "StoreUnavailableError",
    "TooManyWaitingError",
    "TriggerError",
    "UnknownExecutorError",
    "WaitTimeoutError",
]

_SHOWN = 80
LONGEST_AFTER = 366 * 86_400.0
"""Seconds by which a further attempt can be put off, at most."""


def shown(value: object) -> str:
    """Render a value for a message, cut to a readable length."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__} whose repr fails>"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class AioschedError(Exception):
    """Base of all errors raised by aiosched."""


class InvalidInputError(AioschedError, ValueError):
    """Input that was refused before anything was written.

    Attributes:
        field: Name of the offending field, as the caller spells it.
        value: The value that was given.
        remedy: What to write instead.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        """Name the field, show the value, say what is wrong and what to do."""
        super().__init__(f"{field}={shown(value)}: {problem}; {remedy}")
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy


class ConfigurationError(InvalidInputError):
    """A setting, store URL or scheduler option that cannot be used."""


class ConfigFileError(ConfigurationError):
    """A configuration of which something cannot be used; it says everything at once.

    ``field``, ``value``, ``problem`` and ``remedy`` are those of the first mistake.

    Attributes:
        source: The file, or where else the configuration comes from.
        mistakes: Each mistake: where it is (``line 7``, ``environment``; empty if
            nothing is known) and what is wrong there; at least one.
    """

    def __init__(
        self, source: str, mistakes: Sequence[tuple[str, InvalidInputError]]
    ) -> None:
        """List all mistakes, a line each."""
        first = mistakes[0][1]
        super().__init__(first.field, first.value, first.problem, first.remedy)
        number = len(mistakes)
        count = "1 mistake" if number == 1 else f"{number} mistakes"
        lines = [f"{source}: {count}"]
        lines += [f"  {where}{': ' * bool(where)}{error}" for where, error in mistakes]
        self.args: tuple[Any, ...] = ("\n".join(lines),)
        self.source = source
        self.mistakes: tuple[tuple[str, InvalidInputError], ...] = tuple(mistakes)


class TriggerError(InvalidInputError):
    """A trigger that can never be right."""


class UnknownExecutorError(InvalidInputError):
    """An executor name that no peer has registered.

    Attributes:
        name: The name that was asked for.
        known: The names that are known, sorted.
    """

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        """List what is known beside what was asked for."""
        names = ", ".join(known) if known else "none"
        super().__init__(
            "executor",
            name,
            f"no peer has registered it (known: {names})",
            "register it with scheduler.register(...), correct the name, "
            "or pass allow_unknown=True",
        )
        self.name = name
        self.known = known


class ArgumentsError(InvalidInputError):
    """Arguments that do not fit the executor's signature or cannot be stored.

    ``field`` is the path of the argument, such as ``kwargs.lock``.
    """


class JobError(AioschedError):
    """Something about one stored job.

    Attributes:
        job_id: The id of the job.
    """

    def __init__(self, job_id: str, message: str) -> None:
        """Keep the id beside the message."""
        super().__init__(message)
        self.job_id = job_id


class JobNotFoundError(JobError, LookupError):
    """No job has that id (any more)."""

    def __init__(self, job_id: str) -> None:
        """Name the id."""
        super().__init__(
            job_id,
            f"no job has the id {shown(job_id)}; it was never scheduled here, "
            "has finished, or was removed",
        )


class JobExistsError(JobError):
    """A different job already has that id.

    Attributes:
        differing: Names of the fields that differ, sorted.
    """

    def __init__(self, job_id: str, differing: tuple[str, ...] = ()) -> None:
        """Say how the stored definition differs."""
        what = ", ".join(differing) or "definition"
        super().__init__(
            job_id,
            f"a job with the id {shown(job_id)} exists with another {what}; "
            'choose another id, or pass on_conflict="replace" or "keep"',
        )
        self.differing = differing


class JobChangedError(JobError):
    """The job was modified since it was read.

    Attributes:
        expected: The version the caller had read.
        actual: The version that is stored.
    """

    def __init__(
        self, job_id: str, expected: int, actual: int, problem: str = ""
    ) -> None:
        """Show both versions, or say what else has changed."""
        problem = problem or f"is at version {actual}, not {expected}"
        super().__init__(
            job_id,
            f"job {shown(job_id)} {problem}; read it again with get_job() and repeat "
            "the change",
        )
        self.expected = expected
        self.actual = actual


class AlreadyRunningError(JobError):
    """The job runs (somewhere), and its overlap rule refuses another run."""

    def __init__(self, job_id: str) -> None:
        """Name the job."""
        super().__init__(
            job_id,
            f'job {shown(job_id)} is running and its overlap is "skip"; '
            'wait for it, or give it overlap="queue"',
        )


class TooManyWaitingError(JobError):
    """The job's list of waiting firings is full.

    Attributes:
        limit: How many firings may wait.
    """

    def __init__(self, job_id: str, limit: int) -> None:
        """Name the bound."""
        super().__init__(
            job_id,
            f"job {shown(job_id)} has {limit} firings waiting, the most it may "
            "have; fire again later, or schedule one-time jobs for a flood",
        )
        self.limit = limit


class RunError(AioschedError):
    """A run that did not succeed.

    Attributes:
        run: The run, an :class:`aiosched.Run`.
    """

    def __init__(self, run: Any, message: str) -> None:
        """Keep the run beside the message."""
        super().__init__(message)
        self.run = run


class RunFailedError(RunError):
    """The executor raised; the message carries type and text of its error."""


class RunTimedOutError(RunError, TimeoutError):
    """The run was stopped at its time limit."""


class RunCancelledError(RunError):
    """The run was cancelled; ``run.reason`` says by what."""


class RunLostError(RunError):
    """The peer that ran it died, and the job may not run again."""


class RunExpiredError(RunError):
    """The firing's time to live ended before any peer could start it."""


class GuardError(AioschedError):
    """Something about one guarded name.

    Attributes:
        name: The name.
    """

    def __init__(self, name: str, message: str) -> None:
        """Keep the name beside the message."""
        super().__init__(message)
        self.name = name


class GuardHeldError(GuardError):
    """Somebody else holds the guarded name; nothing was done.

    Attributes:
        holder: The peer that holds it, by its incarnation id.
        seconds: For how long at least the store knew it to be held, unless it is
            released before; a holder that lives may extend it.
    """

    def __init__(self, name: str, holder: str, seconds: float) -> None:
        """Say who holds it, and for how long."""
        by = f" by peer {holder}" if holder else ""
        super().__init__(
            name,
            f"{shown(name)} is held{by}, for {seconds:.1f} s unless it is released or "
            "extended; leave this piece of work to whoever holds it, or try later",
        )
        self.holder = holder
        self.seconds = seconds


class GuardLostError(GuardError):
    """The guarded name is not held any more, though it was not released.

    Whatever was done under it since may have been done by others as well.
    """

    def __init__(self, name: str, why: str) -> None:
        """Say how it was lost."""
        super().__init__(
            name,
            f"the guard of {shown(name)} was lost: {why}; others may hold it by now",
        )


class AttemptError(AioschedError):
    """Raised by an executor: this attempt has failed, and what that means for others.

    The job's ``retry`` decides as ever whether there is another attempt; this can
    only forbid it, or put it off.

    Attributes:
        retry: Whether another attempt may help; False: the firing has failed for
            good, whatever attempts are left.
        after: Seconds before which another attempt is pointless, 0 to a year; the
            back-off of the rule still holds where it is longer, its ``cap`` does
            not bound this.
    """

    retry: bool = True
    after: float = 0.0

    def __init__(self, message: str, *, retry: bool = True, after: float = 0.0) -> None:
        """Say what happened.

        Raises:
            ConfigurationError: ``after`` is no such number.
        """
        super().__init__(message)
        self.retry = retry
        self.after = _wait(after)


def _wait(after: Any) -> float:
    number = isinstance(after, int | float) and not isinstance(after, bool)
    if not number or not 0 <= after <= LONGEST_AFTER:
        raise ConfigurationError(
            "after", after, "is no such wait", "give seconds, 0 to a year"
        )
    return float(after)


class WaitTimeoutError(AioschedError, TimeoutError):
    """What was waited for had not ended in time; it was not disturbed."""


class StoreError(AioschedError):
    """The store could not do what was asked.

    Attributes:
        unwritten: Whether it is certain that nothing was written; if it is not,
            what was asked may have been done.
    """

    unwritten: bool = False


class StoreUnavailableError(StoreError):
    """The store did not answer; calling again is safe."""


class StoreConflictError(StoreError):
    """An optimistic transaction was overtaken too often; calling again is safe.

    Attributes:
        attempts: How often it was tried.
    """

    unwritten: bool = True

    def __init__(self, what: str, attempts: int) -> None:
        """Say what was tried and how often."""
        super().__init__(
            f"{what} was overtaken by other writers {attempts} times; call again"
        )
        self.attempts = attempts


class StoreDataError(StoreError):
    """Data in the store that this version cannot read; it was left as it is.

    Attributes:
        key: Where it lies.
        problem: What is wrong with it.
        jobs: Where a verb about several was carried out in part: whose part was
            not.
    """

    jobs: frozenset[str] = frozenset()

    def __init__(self, key: str, problem: str) -> None:
        """Name the place and the problem."""
        super().__init__(f"cannot read {shown(key)}: {problem}; it was left untouched")
        self.key = key
        self.problem = problem


class SchedulerStateError(AioschedError, RuntimeError):
    """The scheduler is not in a state that allows the call."""


class CancelJob(Exception):  # noqa: N818 - it is no error
    """Returned or raised by an executor whose job is to run no more.

    ``return CancelJob``, ``return CancelJob("why")`` and ``raise CancelJob("why")``
    mean the same, on the loop and in a thread: the run has succeeded, the job is
    removed with it, on every peer, and what it had waiting is cancelled.

    Outside the tree of errors, so that an executor's own ``except
    AioschedError`` does not catch it.

    Attributes:
        note: Why, as the run's result will say; any JSON value, None for none.
    """

    def __init__(self, note: Any = None) -> None:
        """Say why, if there is something to say."""
        super().__init__(*(() if note is None else (note,)))
        self.note = note
