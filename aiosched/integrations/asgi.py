"""A scheduler inside an ASGI application, whatever framework it is made with.

`The lifespan protocol <https://asgi.readthedocs.io/en/latest/specs/lifespan.html>`_
tells an application when its server begins and ends, once in each of the server's
processes.  The scheduler starts behind the application's own start, since jobs use
what that opens, and ends before the application's own end.

Nothing here imports a framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    MutableMapping,
)
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from aiosched.errors import ConfigurationError, SchedulerStateError
from aiosched.integrations.lifespans import (
    GRACE,
    Source,
    check_source,
    checked_grace,
    running,
)
from aiosched.jobs import checks
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["KEY", "SchedulerMiddleware", "lifespan", "scheduler_of", "send_lifespan"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]

KEY = "scheduler"
"""Where the scheduler lies in the state of a request."""


def scheduler_of(connection: Any, *, key: str = KEY) -> Scheduler:
    """Return the scheduler of the application that a request has reached.

    Args:
        connection: A request or websocket with an ASGI ``scope`` (of Starlette,
            FastAPI, Django or Quart), or the scope itself.
        key: The one that was given to the middleware or the lifespan.

    Raises:
        SchedulerStateError: There is none: the application was not given one, or
            its server has sent no lifespan.
    """
    scope = getattr(connection, "scope", connection)
    state = scope.get("state") if isinstance(scope, Mapping) else None
    found = state.get(key) if isinstance(state, Mapping) else None
    if isinstance(found, Scheduler):
        return found
    message = (
        f"the request carries no scheduler as state[{key!r}]; give the application "
        "one, and a server that sends lifespan (uvicorn, hypercorn; in tests "
        "enter the client: `with TestClient(app)`)"
    )
    raise SchedulerStateError(message)


def lifespan(
    scheduler: Source,
    inner: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    *,
    grace: timedelta | float | None = GRACE,
    key: str = KEY,
) -> Lifespan:
    """Return a lifespan for ``Starlette(lifespan=...)`` or ``FastAPI(lifespan=...)``.

    Args:
        scheduler: What runs: a function that builds it, or a scheduler.  That one
            serves once, so that an application that is started twice, as tests
            do, needs the function.
        inner: The application's own lifespan, which may yield a mapping of state.
            It is entered before the scheduler starts, and left behind its end.
        grace: How long runs may take to end when the server stops, as
            :meth:`Scheduler.shutdown` takes it.  Keep it below what the server
            and whoever stops that allow.
        key: Where requests find it, as :func:`scheduler_of` does.

    Returns:
        A function that takes the application.

    Raises:
        ConfigurationError: Something that cannot be used.
    """
    check_source(scheduler)
    seconds = checked_grace(grace)
    name = checks.text_id("key", key)

    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            state: Mapping[str, Any] = {}
            if inner is not None:
                state = await stack.enter_async_context(inner(app)) or {}
            if name in state:
                raise ConfigurationError(
                    "key",
                    name,
                    "is in the state of the application's own lifespan",
                    "give another key=",
                )
            held = await stack.enter_async_context(running(scheduler, grace=seconds))
            yield {**state, name: held}

    return both


class SchedulerMiddleware:
    """An ASGI application around another, with a scheduler that lives as long.

    For frameworks without a lifespan of their own, such as Django; it also suits
    every other one.  What fails at the start is told to the server as
    ``lifespan.startup.failed``, and the application that had started is ended.
    """

    def __init__(
        self,
        app: Application,
        scheduler: Source,
        *,
        grace: timedelta | float | None = GRACE,
        key: str = KEY,
    ) -> None:
        """Wrap an application; nothing is opened.

        Args:
            app: What it wraps.  It need not know the lifespan protocol.
            scheduler: As :func:`lifespan` takes it.
            grace: As :func:`lifespan` takes it.
            key: As :func:`lifespan` takes it.

        Raises:
            ConfigurationError: Something that cannot be used.
        """
        self._app = app
        check_source(scheduler)
        self._source = scheduler
        self._grace = checked_grace(grace)
        self._key = checks.text_id("key", key)
        self._current: Scheduler | None = None
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope: the lifespan, a request or a websocket."""
        if scope["type"] == "lifespan":
            self._warned = True  # of nothing: it is sent
            await _Lifetime(self._app, scope, receive, send, self._begun).serve()
            return
        if self._current is not None:
            scope.setdefault("state", {})[self._key] = self._current
        elif not self._warned:
            self._warned = True
            log.error(
                "the server has sent no lifespan, so no scheduler was started and "
                "no jobs run here; use a server that sends it, or with Daphne "
                "aiosched.integrations.twisted.attach_application",
                extra={"action": "lifespan_missing"},
            )
        await self._app(scope, receive, send)

    @asynccontextmanager
    async def _begun(
        self, state: MutableMapping[str, Any] | None
    ) -> AsyncIterator[None]:
        async with running(self._source, grace=self._grace) as scheduler:
            self._current = scheduler
            if state is not None:
                state[self._key] = scheduler
            try:
                yield
            finally:
                # What still comes is told that there is none.
                self._current = None


@asynccontextmanager
async def send_lifespan(application: Application) -> AsyncIterator[dict[str, Any]]:
    """Start an application, and end it at the end, as servers do.

    For those that do not, and for tests which call an application without a server.

    Args:
        application: Any of ASGI.  One that does not know the protocol is left alone.

    Yields:
        Its state; each request's scope is to carry a copy as ``state``.

    Raises:
        SchedulerStateError: It has failed to start, or to end.
    """
    state: dict[str, Any] = {}
    said: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    scope = {
        "type": "lifespan",
        "asgi": {"version": "3.0", "spec_version": "2.0"},
        "state": state,
    }
    serving = asyncio.get_running_loop().create_task(
        _quietly(application(scope, heard.get, said.put)), name="aiosched lifespan"
    )
    serving.add_done_callback(lambda _: said.put_nowait({}))
    try:
        await _exchange("startup", serving, heard, said)
        try:
            yield state
        except asyncio.CancelledError:
            raise  # who cancels does not want to wait
        except BaseException:
            await _exchange("shutdown", serving, heard, said)
            raise
        await _exchange("shutdown", serving, heard, said)
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def _quietly(served: Awaitable[None]) -> None:
    try:
        await served
    except Exception:  # as servers do: it may not know the protocol
        log.debug(
            "the lifespan has ended",
            exc_info=True,
            extra={"action": "lifespan_ended"},
        )


async def _exchange(
    phase: str,
    serving: asyncio.Task[None],
    heard: asyncio.Queue[Message],
    said: asyncio.Queue[Message],
) -> None:
    if serving.done() and said.empty():
        return
    heard.put_nowait({"type": f"lifespan.{phase}"})
    message = await said.get()
    if message.get("type") == f"lifespan.{phase}.failed":
        raise SchedulerStateError(message.get("message") or f"the {phase} has failed")


Begin = Callable[[MutableMapping[str, Any] | None], AbstractAsyncContextManager[None]]


class _Lifetime:
    """One lifespan of an application, and that of the scheduler inside it."""

    def __init__(
        self,
        app: Application,
        scope: Scope,
        receive: Receive,
        send: Send,
        begin: Begin,
    ) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._begin = begin
        self._inside = AsyncExitStack()
        self._asked = False  # the application knows the protocol
        self._answered = False  # the server knows whether it has started
        self._failed = False  # the scheduler has not
        self._stopping = False  # the server has asked for the end
        self._trouble: Exception | None = None

    async def serve(self) -> None:
        async with self._inside:  # whatever happens, the scheduler ends
            await self._through_the_application()

    async def _through_the_application(self) -> None:
        try:
            await self._app(self._scope, self._asks, self._says)
        except Exception as error:
            # Who does not know the protocol raises before it has asked for anything.
            if self._asked and not self._answered:
                await self._says(_failure("startup", error))
            if self._asked:
                raise
        if not self._asked:
            await self._receive()
        if not self._answered:
            await self._says({"type": "lifespan.startup.complete"})
        if not self._stopping and not self._failed:
            await self._asks()
            await self._says({"type": "lifespan.shutdown.complete"})

    async def _asks(self) -> Message:
        """Give the application what the server has to say."""
        self._asked = True
        if self._failed and not self._stopping:
            self._stopping = True  # told once; then there is nothing more to hear
            return {"type": "lifespan.shutdown"}
        message = await self._receive()
        if message["type"] == "lifespan.shutdown":
            self._stopping = True
            await self._end()
        return message

    async def _says(self, message: Message) -> None:
        """Give the server what the application has to say."""
        if self._failed:
            return  # it knows already, and waits for nothing more
        word = message["type"]
        if word == "lifespan.startup.complete":
            self._answered = True
            message = await self._start() or message
        elif word == "lifespan.startup.failed":
            self._answered = self._failed = True
        elif word == "lifespan.shutdown.complete" and self._trouble is not None:
            message = _failure("shutdown", self._trouble)
        await self._send(message)

    async def _start(self) -> Message | None:
        """Start the scheduler; return what is to be said if it does not."""
        try:
            await self._inside.enter_async_context(
                self._begin(self._scope.get("state"))
            )
        except Exception as error:
            self._failed = True
            log.exception(
                "the scheduler has not started", extra={"action": "startup_failed"}
            )
            return _failure("startup", error)
        return None

    async def _end(self) -> None:
        try:
            await self._inside.aclose()
        except Exception as error:  # told by the answer to the server
            self._trouble = error
            log.exception(
                "the scheduler has failed", extra={"action": "shutdown_failed"}
            )


def _failure(phase: str, error: Exception) -> Message:
    text = f"the scheduler: {type(error).__name__}: {error}"
    return {"type": f"lifespan.{phase}.failed", "message": text}
