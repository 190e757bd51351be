"""A short named claim for user code: one holder at a time, among all peers.

The store is authoritative for who holds a name, and by its clock the claim ends.
The holder judges it by its own monotonic clock, from before it was asked for, so it
gives up no later than the store does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from aiosched.clock import Clock
from aiosched.errors import (
    AioschedError,
    ConfigurationError,
    GuardHeldError,
    GuardLostError,
    SchedulerStateError,
    StoreError,
    StoreUnavailableError,
)
from aiosched.instants import SECOND
from aiosched.jobs import checks
from aiosched.messages import Guarded, GuardStep

__all__ = [
    "DEFAULT_TTL",
    "LEAST_TTL",
    "LONGEST_TTL",
    "Guard",
    "GuardDesk",
    "released_all",
]

T = TypeVar("T")

DEFAULT_TTL = 30.0
"""Seconds for which a name outlives a holder that dies, unless said otherwise."""

LEAST_TTL = 0.1
LONGEST_TTL = 86_400.0 * 30

_OVER = "its time was over before it could be extended"

_PATIENCE = 5.0
"""Seconds for which the end of a body waits for a store that does not answer."""


class GuardDesk(Protocol):
    """What a guard needs of its scheduler."""

    clock: Clock
    loop: asyncio.AbstractEventLoop

    def token(self) -> str:
        """Draw the token of a claim."""
        ...

    async def step(
        self, step: GuardStep, name: str, token: str, ttl: int = 0
    ) -> Guarded:
        """Ask the store."""
        ...

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin work that the end of the scheduler waits for."""
        ...

    def holds(self, guard: Guard, *, held: bool) -> None:
        """Note that a claim is to be kept, or is not any more."""
        ...

    def lost(self, guard: Guard, why: str) -> None:
        """Tell that a claim was lost."""
        ...


class Guard:
    """One name that is held by one holder at a time, among all peers.

    Made by ``context.guard(name)`` within a run, and by ``scheduler.guard(name)``
    anywhere::

        async with context.guard("file:42"):
            ...                     # nobody else is here

        if await context.guard("file:42", ttl=5, linger=True).acquire():
            ...                     # nobody else was asked to in the last 5 seconds

    ``async with`` raises :class:`~aiosched.GuardHeldError` where somebody else holds
    the name, so that work cannot be done unguarded by mistake; ``acquire`` answers.
    A function that runs in a thread writes ``with``.

    While it is held it is extended, each third of its ``ttl``.  It is released at
    the end of the body, and of the run.  If this process dies it is free when
    ``ttl`` has passed.  If it is lost before (the store was away for so long, the
    process was stopped), the body is cancelled and
    :class:`~aiosched.GuardLostError` is raised; a function in a thread cannot be
    cancelled, looks at :attr:`lost`, and hears of it at the end of its body.

    One guard is one claim: it may be taken again after it was released, but not
    twice at a time, not even by its holder.

    Attributes:
        name: What is guarded.
    """

    __slots__ = (
        "_at",
        "_before",
        "_body",
        "_deadline",
        "_desk",
        "_fence",
        "_linger",
        "_lost",
        "_renewal",
        "_run",
        "_struck",
        "_token",
        "_ttl",
        "name",
    )

    def __init__(
        self,
        desk: Callable[[], GuardDesk],
        name: str,
        *,
        ttl: timedelta | float = DEFAULT_TTL,
        linger: bool = False,
        run: set[Guard] | None = None,
    ) -> None:
        """Check the options; nothing is asked of the store yet.

        Args:
            desk: Where to ask.
            name: What is guarded.
            ttl: See ``Context.guard``.
            linger: See ``Context.guard``.
            run: The guards that the run holds, of which this is to be one.

        Raises:
            ConfigurationError: A name or time that cannot be used.
        """
        self.name: str = checks.text_id("name", name, what="name")
        self._ttl = _ttl_of(ttl)
        self._linger = checks.flag("linger", linger)
        self._desk = desk
        self._at: GuardDesk | None = None
        self._run = run
        self._token = ""
        self._fence = 0
        self._deadline = 0.0
        self._lost = ""
        self._renewal: asyncio.Task[None] | None = None
        self._body: asyncio.Task[Any] | None = None
        self._before = 0
        self._struck = False

    def __repr__(self) -> str:
        state = "lost" if self._lost else "held" if self._token else "not held"
        return f"<Guard of {self.name!r}, {state}>"

    @property
    def ttl(self) -> timedelta:
        """For how long the name outlives its holder."""
        return timedelta(seconds=self._ttl)

    @property
    def held(self) -> bool:
        """Whether it is held now, as far as is known here."""
        if not self._token or self._lost or self._at is None:
            return False
        return self._at.clock.monotonic() < self._deadline

    @property
    def lost(self) -> bool:
        """Whether it was held, and was lost before it was released."""
        # What only lingers comes to its end, and is not lost.
        return bool(self._lost) or (self._renewal is not None and not self.held)

    @property
    def fence(self) -> int:
        """Token of the present or last claim; 0 before the first.

        Later claims to the name have greater ones, by the store's clock.  A
        database that remembers the greatest that it has seen can refuse what a
        holder writes that has lost its claim and does not know it yet.
        """
        return self._fence

    # -- asking ------------------------------------------------------------

    async def acquire(self) -> bool:
        """Take the name if nobody holds it, without waiting for it.

        It is extended until it is released, or its run ends.  With ``linger`` it
        is neither: it stays taken for its ``ttl``, and that is all.

        Returns:
            Whether it is held now.

        Raises:
            SchedulerStateError: This guard is held already, or its scheduler is
                not started, or closed.
            ConfigurationError: The store keeps no guards.
            StoreUnavailableError: At worst nobody has the name until ``ttl`` has
                passed.
            StoreConflictError: Overtaken too often; call again.
            StoreDataError: Something else stands in the store in its place.
        """
        desk = self._desk()
        found = await self._take(desk)
        if found is None and not self._linger:
            self._keep(desk)
        return found is None

    async def release(self) -> None:
        """Let the name go; safe to call again, and where it is not held.

        A store that does not answer is waited for at most 5 seconds; then, too,
        the name is free when ``ttl`` has passed.
        """
        await self._end(freed=True)

    async def __aenter__(self) -> Self:
        """Take the name, and keep it to the end of the body.

        Raises:
            GuardHeldError: Somebody else holds it.
            AioschedError: As :meth:`acquire`.
        """
        await self._open()
        self._body = asyncio.current_task()
        self._before = 0 if self._body is None else self._body.cancelling()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release it, unless it is to linger.

        Raises:
            GuardLostError: It was lost meanwhile.
        """
        body, self._body = self._body, None
        cancelled = isinstance(error, asyncio.CancelledError)
        stayed = False
        if self._struck and body is not None and self._at is not None:
            stayed = await self._heard(self._at.clock, body, cancelled=cancelled)
        why = self._lost or (_OVER if self.lost else "")
        await self._end(freed=not self._linger)
        if stayed:
            raise asyncio.CancelledError from error
        if why and (error is None or (cancelled and self._struck)):
            self._struck = False
            raise GuardLostError(self.name, why) from error
        self._struck = False

    def __enter__(self) -> Self:
        """Take the name, and keep it, in a thread; see :meth:`__aenter__`.

        Raises:
            SchedulerStateError: On an event loop, where it would wait for itself.
        """
        return self._from_thread(self._open)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release it; see :meth:`__aexit__`."""
        lost = self._lost or (_OVER if self.lost else "")
        self._from_thread(lambda: self._end(freed=not self._linger))
        if lost and error is None:
            raise GuardLostError(self.name, lost)

    # -- inside ------------------------------------------------------------

    async def _take(self, desk: GuardDesk) -> Guarded | None:
        """Take the name; return who holds it if that is somebody else."""
        if self._token and (self._at is None or self.held):
            message = (
                f"{self!r} is taken already; release it first, or make another guard"
            )
            raise SchedulerStateError(message)
        await self._end(freed=False)  # of a claim that is over
        token = self._token = desk.token()
        begun = desk.clock.monotonic()
        # A task of its own: whoever is cancelled meanwhile does not know whether it
        # was taken, and what is released before it was taken stays taken.
        ttl = round(self._ttl * SECOND)
        asked = desk.start(
            desk.step(GuardStep.TAKE, self.name, token, ttl),
            f"aiosched guard {self.name} taken",
        )
        try:
            found = await asyncio.shield(asked)
        except BaseException as error:
            self._token = ""
            if not _unwritten(error):
                self._let_go(desk, token, asked)
            raise
        if found.claim != token:
            self._token = ""
            return found
        if desk.clock.monotonic() - begun >= self._ttl:
            self._token = ""
            self._let_go(desk, token)
            message = f"the store took longer than {self._ttl:g} s to answer"
            raise StoreUnavailableError(message)
        self._fence, self._deadline = found.fence, begun + self._ttl
        self._lost, self._struck = "", False
        # A scheduler that is closed meanwhile has no desk for newcomers.
        self._at = desk
        return None

    async def _open(self) -> Self:
        desk = self._desk()
        found = await self._take(desk)
        if found is not None:
            raise GuardHeldError(self.name, found.owner, found.left / SECOND)
        self._keep(desk)
        return self

    def _keep(self, desk: GuardDesk) -> None:
        """Extend it from now on."""
        name = f"aiosched guard {self.name}"
        self._renewal = desk.start(self._renew(desk, self._token), name)
        desk.holds(self, held=True)
        if self._run is not None:
            self._run.add(self)

    async def _renew(self, desk: GuardDesk, token: str) -> None:
        clock, ttl = desk.clock, round(self._ttl * SECOND)
        pause, trouble = self._ttl / 3, _OVER
        while True:
            await clock.sleep(max(min(pause, self._deadline - clock.monotonic()), 0.0))
            begun = clock.monotonic()
            if begun >= self._deadline:
                return self._lose(desk, trouble)
            pause = self._ttl / 3
            try:
                async with asyncio.timeout(self._deadline - begun):
                    found = await desk.step(GuardStep.EXTEND, self.name, token, ttl)
            except (StoreError, TimeoutError) as error:
                trouble = str(error) or "the store did not answer in time"
                pause /= 5
                continue
            except Exception as error:  # of a store of somebody's own
                return self._lose(desk, repr(error))
            if found.claim != token:
                return self._lose(desk, "its time was over, by the store's clock")
            self._deadline = begun + self._ttl

    def _lose(self, desk: GuardDesk, why: str) -> None:
        """Know that it is not held any more; stop the body."""
        if not self._token or self._lost:
            return
        self._lost = why
        desk.lost(self, why)
        if self._body is not None and not self._body.done():
            self._struck = True
            self._body.cancel()

    async def _heard(
        self, clock: Clock, body: asyncio.Task[Any], *, cancelled: bool
    ) -> bool:
        """Take back the cancellation that the loss has caused.

        Returns:
            Whether somebody else has asked for one, which is still to be heard.
        """
        if not cancelled:
            # The body ended by itself in the same step: it is still on its way.
            try:
                await clock.sleep(0)
            except asyncio.CancelledError:
                cancelled = True
        left = body.uncancel()
        if left > self._before:
            self._struck = False  # whoever has cancelled it is to be heard first
            return cancelled
        return False

    async def _end(self, *, freed: bool) -> None:
        """Stop to extend it, and let it go."""
        lost, self._lost = self.lost, ""
        desk, self._at = self._at, None
        token, self._token = self._token, ""
        if desk is None:
            return
        desk.holds(self, held=False)
        if self._run is not None:
            self._run.discard(self)
        works: list[asyncio.Task[None]] = []
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.cancel()
            works.append(renewal)
        if freed:
            # Also what was lost may still stand in the store; nobody waits for that.
            release = self._let_go(desk, token)
            works += [] if lost else [release]
        if works:
            await asyncio.wait(works, timeout=_PATIENCE)

    def _let_go(
        self,
        desk: GuardDesk,
        token: str,
        asked: asyncio.Task[Guarded] | None = None,
    ) -> asyncio.Task[None]:
        """Release a claim, whether or not anybody waits for it.

        Args:
            desk: Where it was made.
            token: Of the claim.
            asked: What takes it, if that may still be under way.
        """
        name = f"aiosched guard {self.name} released"
        return desk.start(_released(desk, self.name, token, asked), name)

    def _from_thread(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            message = 'write "async with" on an event loop; "with" is for threads'
            raise SchedulerStateError(message)
        loop = (self._at or self._desk()).loop
        if not loop.is_running():
            message = "the loop of the scheduler has ended"
            raise SchedulerStateError(message)
        return asyncio.run_coroutine_threadsafe(work(), loop).result()


async def released_all(guards: set[Guard]) -> None:
    """Release what a run still holds at its end."""
    ends = [guard._end(freed=not guard._linger) for guard in guards]
    await asyncio.gather(*ends)


async def _released(
    desk: GuardDesk, name: str, token: str, asked: asyncio.Task[Guarded] | None
) -> None:
    if asked is not None:
        await asyncio.wait([asked])
        if not asked.cancelled():
            asked.exception()  # who asked has heard of it, or is gone
    try:
        await desk.step(GuardStep.RELEASE, name, token)
    except AioschedError:
        return  # it is free when its time is over


def _unwritten(error: BaseException) -> bool:
    """Return whether it is certain that nothing was taken."""
    if isinstance(error, StoreError):
        return error.unwritten
    return isinstance(error, AioschedError)


def _ttl_of(value: Any) -> float:
    """Check for how long a name is held, in seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if number and LEAST_TTL <= float(seconds) <= LONGEST_TTL:
        return float(seconds)
    raise ConfigurationError(
        "ttl",
        value,
        "is no time for which a name can be held",
        f"give {LEAST_TTL} seconds to {LONGEST_TTL / 86_400:.0f} days, as a timedelta "
        "or as seconds",
    )
