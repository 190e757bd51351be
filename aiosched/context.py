"""What an executor is told about the run that it is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from aiosched import planning
from aiosched.enums import Cause, JobState, Reason
from aiosched.errors import SchedulerStateError
from aiosched.guard import DEFAULT_TTL, Guard, GuardDesk
from aiosched.instants import LATE, moment
from aiosched.jobs import checks
from aiosched.jobs.conversions import job_of_definition
from aiosched.jobs.job import Job
from aiosched.jobs.plain import load_json
from aiosched.jobs.progress import reported
from aiosched.jobs.snapshots import Snapshot
from aiosched.records import Apart, Blob, Reported, Start

__all__ = ["Context", "acting", "acting_as", "current_run", "enter_run"]

_UNREAD = object()
_run: ContextVar[Context | None] = ContextVar("aiosched_run", default=None)
_actor: ContextVar[str] = ContextVar("aiosched_actor", default="")


def current_run() -> Context | None:
    """Return the run to which the calling code belongs; None: to no run.

    Also in the tasks that a run begins, and in the thread of a plain function.
    """
    return _run.get()


def enter_run(context: Context | None) -> None:
    """Say that the rest of this task is a run, or none; for the runner.

    Who started the scheduler is not who acts in its runs.
    """
    _run.set(context)
    _actor.set("")


def acting() -> str:
    """Return who acts, as :func:`acting_as` said; empty: nobody was named."""
    return _actor.get()


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Name who acts: the verbs within say so in the ledger, as with ``by=``.

    In this task, and in those that it begins within.  A ``by=`` of a call wins.
    May be nested: the inner name holds within, and the outer one after.

    Args:
        name: Who acts, 1 to 200 printable characters.

    Raises:
        ConfigurationError: It is no such name.
    """
    token = _actor.set(checks.text_id("actor", name, what="name"))
    try:
        yield
    finally:
        _actor.reset(token)


class Context:
    """One run, as its executor sees it.

    Cheap to build: what takes work to make is made when it is first asked for.
    All of it may be read from any thread.
    """

    __slots__ = (
        "_cancel_reason",
        "_desk",
        "_guards",
        "_job",
        "_payload",
        "_said",
        "_start",
    )

    def __init__(
        self, start: Start, desk: Callable[[], GuardDesk] | None = None
    ) -> None:
        """Describe a run that a decision has started.

        Args:
            start: The decision.
            desk: Where the run's guards are asked for; None: it has none.
        """
        self._start = start
        self._desk = desk
        self._guards: set[Guard] | None = None
        self._said: Reported | None = None
        self._cancel_reason = Reason.NONE
        self._job: Job | None = None
        self._payload: object = _UNREAD

    @property
    def job(self) -> Job:
        """The job as it was when the run was claimed, with its version."""
        if self._job is None:
            snapshot = Snapshot(version=self._start.version, state=JobState.ACTIVE)
            self._job = job_of_definition(self._start.definition, snapshot)
        return self._job

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._start.definition.id

    @property
    def run_id(self) -> str:
        """Identity of this attempt: job id, firing and attempt."""
        firing = self._start.run.firing
        return f"{self._start.definition.id}/{firing.key}/{firing.attempt}"

    @property
    def firing_id(self) -> str:
        """Identity of the firing, the same over all its attempts: job id and key."""
        return f"{self._start.definition.id}/{self._start.run.firing.key}"

    @property
    def fire_time(self) -> datetime:
        """The slot, or the instant at which the run was asked for; in UTC."""
        return moment(self._start.run.firing.slot)

    @property
    def due(self) -> datetime:
        """When this attempt was to start; in UTC.

        The fire time, moved and jittered as the job says; for a retry the end
        of its back-off.  A run that follows one that was lost or handed back is
        due since its fire time.
        """
        return moment(self._due)

    @property
    def lateness(self) -> timedelta:
        """How long after ``due`` the run was claimed, by the store's clock."""
        return timedelta(microseconds=self._behind)

    @property
    def late(self) -> bool:
        """Whether ``lateness`` is a second or more."""
        return self._behind >= LATE

    @property
    def _due(self) -> int:
        start = self._start
        try:
            return planning.attempt_due(start.definition, start.run.firing)
        except Exception:  # a trigger of the user's own, which may not be asked twice
            return start.run.firing.at

    @property
    def _behind(self) -> int:
        run = self._start.run
        try:
            due = planning.attempt_due(self._start.definition, run.firing)
        except Exception:  # a trigger of the user's own, which may not be asked twice
            due = run.firing.at
        return max(run.started - due, 0)

    @property
    def attempt(self) -> int:
        """1 for the first attempt at the firing."""
        return self._start.run.firing.attempt

    @property
    def fence(self) -> int:
        """Token of this attempt: later attempts at the job have greater ones.

        A database that remembers the greatest fence it has seen can refuse
        what a run writes after it was given up for lost.
        """
        return self._start.run.fence

    @property
    def cause(self) -> Cause:
        """Why there is a run: a slot, a keyword, or a person or program."""
        return self._start.run.firing.cause

    @property
    def keyword(self) -> str | None:
        """The keyword that was fired; None if the run has another cause."""
        if self.cause is not Cause.KEYWORD:
            return None
        return self._start.definition.spec.keyword

    @property
    def missed(self) -> int:
        """How many slots the run stands for beside its own."""
        return self._start.run.firing.missed

    @property
    def peer(self) -> str:
        """Incarnation id of the peer that does the run."""
        return self._start.run.owner

    @property
    def payload(self) -> Any:
        """What ``fire_job`` brought, as its JSON reads; None for nothing."""
        if self._payload is _UNREAD:
            self._payload = _decoded(self._start.run.firing.payload)
        return self._payload

    @property
    def cancelled(self) -> bool:
        """Whether the run is to end; a function in a thread should look at it."""
        return self._cancel_reason is not Reason.NONE

    @property
    def cancel_reason(self) -> Reason:
        """Why the run is to end; ``Reason.NONE`` while it may go on."""
        return self._cancel_reason

    def progress(self, done: float | None = None, note: str = "") -> None:
        """Say how far the run is, for whoever looks.

        Costs next to nothing, and never waits: the last word is kept, and written
        with the next extension of the run's lease, each third of it (5 seconds,
        unless the namespace says otherwise).  So it may be called as often as one
        likes, also from a thread, and a store that is away does no harm.  Every
        peer sees it, as ``job.progress`` and among ``scheduler.running()``, while
        the run lasts.

        Args:
            done: Which part of the work is done, 0 to 1; what is beyond is taken
                for the nearer end.  None: nobody knows.
            note: In a few words; beyond 200 characters it is cut.

        Raises:
            ConfigurationError: ``done`` is no number, or ``note`` no text.
        """
        # One reference is stored, so the loop's thread sees it whole.
        self._said = reported(done, note)

    def guard(
        self,
        name: str,
        *,
        ttl: timedelta | float = DEFAULT_TTL,
        linger: bool = False,
    ) -> Guard:
        """Return a guard of a name, which is not taken yet.

        For work that must not be done twice at a time, whichever job or peer does
        it: a file, a customer.  As often within a run as there are names.  What is
        still held when the run ends is released then.

        Args:
            name: What is guarded, 1 to 200 printable characters; the same for all
                jobs of the namespace.
            ttl: For how long the name outlives a holder that dies, and for how long
                it lingers: 0.1 seconds to 30 days, as a timedelta or seconds.
                Longer than the run may block the event loop.
            linger: Whether it stays taken for its ``ttl`` though the body has ended.

        Returns:
            To be used in ``async with`` (in a thread: ``with``), or by
            :meth:`~aiosched.Guard.acquire`.

        Raises:
            ConfigurationError: A name or time that cannot be used.
        """
        if self._guards is None:
            self._guards = set()
        return Guard(self._at_desk, name, ttl=ttl, linger=linger, run=self._guards)

    def _at_desk(self) -> GuardDesk:
        if self._desk is None:
            message = "this context belongs to no scheduler, which a guard needs"
            raise SchedulerStateError(message)
        return self._desk()

    def _cancel(self, reason: Reason) -> None:
        """Ask the run to end; for the runner.  The first reason stays.

        One reference is stored, so other threads see it without a lock.
        """
        if self._cancel_reason is Reason.NONE:
            self._cancel_reason = reason

    def __repr__(self) -> str:
        return f"<Context of run {self.run_id}>"


def _decoded(payload: Blob) -> Any:
    if isinstance(payload, Apart):
        message = "stores resolve payloads before they start a run"
        raise TypeError(message)
    return load_json(payload) if payload else None
