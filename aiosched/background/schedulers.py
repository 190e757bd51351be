"""The two schedulers for programs without a loop: beside the program, or in it."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Self

from aiosched._api.options import grace_of
from aiosched.background.facade import Facade
from aiosched.jobs import checks
from aiosched.scheduler import DEFAULT_GRACE

__all__ = ["BackgroundScheduler", "BlockingScheduler"]


class BackgroundScheduler(Facade):
    """A scheduler in a thread of its own, for programs without an event loop.

    Takes what :class:`~aiosched.Scheduler` takes and has the same verbs, which
    return when they are done; any thread may call them, a function that is run
    as a job, too.  Used as ``with BackgroundScheduler(...)``, or with
    :meth:`start` and :meth:`shutdown`.

    A program that ends without a shutdown has its runs end within 5 seconds, or
    handed back.  In a child that was forked after the start it is a peer of its
    own, which the first call that needs it starts.
    """

    def start(self, *, paused: bool = False) -> None:
        """Start the thread, open the store, begin to run jobs.

        Returns when all of that is done.  If it fails, it may be called again.

        Args:
            paused: Claim nothing until :meth:`release`.

        Raises:
            SchedulerStateError: It was started before, or is closed.
            ConfigurationError: The namespace was begun with other terms, or a
                declared job cannot be stored.
            StoreUnavailableError: The store does not answer.
        """
        checks.flag("paused", paused)
        life = self._life()
        begun = life.home is not None
        try:
            life.start(paused=paused)
        except Exception:
            if not begun:
                self._renew(life)
            raise

    def run_forever(self) -> None:
        """Wait until :meth:`shutdown` is called elsewhere, or something fails.

        Starts the scheduler if it has not been started.  Ctrl-C shuts it down.

        Raises:
            Exception: What made the scheduler fail.
            KeyboardInterrupt: After the shutdown.
        """
        life = self._life()
        if life.home is None:
            self.start()
            life = self._life()
        try:
            if life.home is not None:
                life.home.over.wait()
        except BaseException:
            self.shutdown()
            raise
        if life.failure is not None:
            raise life.failure

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shut down; raise what made the scheduler fail, if nothing else did."""
        self._left(error)


class BlockingScheduler(Facade):
    """A scheduler that is the whole program: it runs in the thread that starts it.

    Takes what :class:`~aiosched.Scheduler` takes and has the same verbs.
    :meth:`start` returns when it has ended; other threads, and functions that
    are run as jobs, may call the verbs meanwhile.
    """

    def start(
        self,
        *,
        paused: bool = False,
        grace: timedelta | float | None = DEFAULT_GRACE,
    ) -> None:
        """Run until a signal, until :meth:`shutdown` elsewhere, or a failure.

        In the main thread SIGINT and SIGTERM shut it down, as Ctrl-C does: the
        first lets runs end, the second cancels them.  What the program did with
        these signals before is put back at the end.

        Args:
            paused: Claim nothing until :meth:`release`.
            grace: How long runs may take to end after the first signal; None:
                as long as they take.

        Raises:
            SchedulerStateError: It was started before, or is closed.
            ConfigurationError: The namespace was begun with other terms, or a
                declared job cannot be stored.
            StoreUnavailableError: The store does not answer at the start; it
                may be called again.
            Exception: What made the scheduler fail.
        """
        checks.flag("paused", paused)
        seconds = grace_of(grace)
        life = self._life()
        begun = life.home is not None
        try:
            life.run(paused=paused, grace=seconds)
        except Exception:
            if not begun and not life.served:
                self._renew(life)
            raise

    def run_forever(self) -> None:
        """Run until a signal, a shutdown or a failure: :meth:`start`."""
        self.start()
