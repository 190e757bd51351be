"""The other end: an ASGI application that takes signed jobs and webhooks.

Plain ASGI 3, so that it can be mounted in FastAPI and Starlette, and served alone:
``app.mount("/v1/jobs", receiver)``.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from aiosched.clock import Clock, SystemClock
from aiosched.errors import ConfigurationError
from aiosched.instants import SECOND
from aiosched.integrations.http.replies import MemoryReplies, Replies, Reply
from aiosched.integrations.http.signing import (
    TOLERANCE,
    Secret,
    SignatureError,
    verify,
)
from aiosched.logs import log

__all__ = ["JobCall", "JobReceiver"]

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
F = TypeVar("F", bound=Callable[..., Any])

MOST_BODY = 1_048_576
"""Bytes of a request that are read, unless another bound is given."""


class _RefusedError(Exception):
    """A request that is answered by its status."""

    def __init__(
        self, status: int, problem: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class JobCall:
    """A request that was verified.

    Attributes:
        id: Of the message: the firing, the same over its attempts.
        name: Under which the handler is registered.
        headers: With names in lower case.
        body: As it came.
    """

    id: str
    name: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; None if it is empty.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.body) if self.body else None

    @property
    def attempt(self) -> int:
        """Which attempt at the firing it is; 0 if it does not say.  Not signed."""
        return _whole(self.headers.get("aiosched-attempt", ""))

    @property
    def fence(self) -> int:
        """Token of the attempt, greater in later ones; 0 for none.  Not signed."""
        return _whole(self.headers.get("aiosched-fence", ""))


class JobReceiver:
    """Verifies requests and calls the handlers that are registered by name.

    A message whose handler has answered is answered in the same way when it comes
    again, and the handler is not called.  One whose handler raises is answered
    with 500 and forgotten, so that the next attempt calls it again.

    Answers: 401 not to be believed, 404 no such handler, 405 not a POST, 409 it is
    being handled, 413 too long, 422 the id was used with another handler, 500 the
    handler raised, 503 the memory of replies fails.
    """

    def __init__(
        self,
        secret: Secret | str,
        *,
        tolerance: float = TOLERANCE,
        replies: Replies | None = None,
        most_body: int = MOST_BODY,
        clock: Clock | None = None,
    ) -> None:
        """Check the options.

        Args:
            secret: That of the sender; ``Secret(new, old)`` accepts both.
            tolerance: Seconds that a timestamp may be away from now, 1 to 3600.
            replies: Shared by all processes of the application; None: in memory,
                for one.
            most_body: Bytes of a request that are read.
            clock: For tests.

        Raises:
            ConfigurationError: A secret is no key, or a bound cannot be used.
        """
        one = secret if isinstance(secret, Secret) else Secret(secret)
        self._keys = one.keys()
        if not 1 <= tolerance <= 3_600:
            raise ConfigurationError(
                "tolerance", tolerance, "is no such time", "give 1 to 3600 seconds"
            )
        self._tolerance = tolerance
        self._clock = SystemClock() if clock is None else clock
        self._replies = MemoryReplies(clock=self._clock) if replies is None else replies
        self._most_body = most_body
        self._handlers: dict[str, Callable[..., Any]] = {}

    def handler(self, name: str) -> Callable[[F], F]:
        """Register a function, sync or async, that takes a :class:`JobCall`.

        What it returns is the answer, as JSON; a sync one runs in a thread.

        Args:
            name: The path below where the receiver is mounted: ``breaking-news``,
                ``news/breaking``.

        Raises:
            ConfigurationError: The name is none, or taken.
        """
        own = str(name).strip("/")
        if not own or any(not part.strip(".") for part in own.split("/")):
            raise ConfigurationError(
                "name", name, "is no path", 'give one, such as "breaking-news"'
            )
        if own in self._handlers:
            raise ConfigurationError("name", name, "is taken", "give another one")

        def decorate(function: F) -> F:
            self._handlers[own] = function
            return function

        return decorate

    # -- ASGI ------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the application of the ASGI specification."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            reply, headers = await self._answer(scope, receive)
        except _RefusedError as refused:
            body = json.dumps({"error": str(refused)}).encode()
            reply, headers = Reply(refused.status, body), dict(refused.headers)
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(reply.body)).encode()),
                    *((k.encode(), v.encode()) for k, v in headers.items()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(
        self, scope: Scope, receive: Receive
    ) -> tuple[Reply, dict[str, str]]:
        if scope["method"] != "POST":
            raise _RefusedError(405, "jobs are sent by POST", {"allow": "POST"})
        headers = _headers(scope["headers"])
        body = await self._body(headers, receive)
        try:
            now = self._clock.wall() / SECOND
            message = verify(self._keys, headers, body, now, tolerance=self._tolerance)
        except SignatureError as error:
            log.warning(
                "a request to %s is not to be believed: %s",
                _name_of(scope)[:100],
                error,
                extra={"action": "receiver_refused"},
            )
            raise _RefusedError(401, str(error)) from None
        call = JobCall(message, _name_of(scope), headers, body)
        handler = self._handlers.get(call.name)
        if handler is None:
            raise _RefusedError(404, "no handler is registered here")
        return await self._once(call, handler)

    async def _once(
        self, call: JobCall, handler: Callable[..., Any]
    ) -> tuple[Reply, dict[str, str]]:
        """Handle a message, unless that was or is being done."""
        # Of the name and not of the body: the id says which message it is, also
        # where a job was modified between two attempts; but nobody is to send one
        # handler's message to another.
        digest = hashlib.sha256(call.name.encode()).hexdigest()
        try:
            begun = await self._replies.begin(call.id, digest)
        except Exception as error:
            log.exception(
                "the memory of replies fails: %s",
                type(error).__name__,
                extra={"action": "replies_failed"},
            )
            raise _RefusedError(503, "cannot tell whether it was handled") from None
        if begun.state == "done" and begun.reply is not None:
            return begun.reply, {"idempotent-replayed": "true"}
        if begun.state == "other":
            raise _RefusedError(422, "its id was used with another handler")
        if begun.state == "busy":
            raise _RefusedError(409, "it is being handled", {"retry-after": "5"})
        try:
            reply = await _handled(handler, call)
        except BaseException:
            await self._remember(call, digest, None)
            raise
        await self._remember(call, digest, reply)
        return reply, {}

    async def _remember(self, call: JobCall, digest: str, reply: Reply | None) -> None:
        try:
            # Also where the server gives the request up meanwhile.
            await asyncio.shield(
                asyncio.ensure_future(self._replies.end(call.id, digest, reply))
            )
        except Exception as error:
            # It was handled: the answer is right, though a repetition is held
            # off only for as long as the message is.
            log.exception(
                "the memory of replies fails: %s",
                type(error).__name__,
                extra={"action": "replies_failed"},
            )

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        if _whole(headers.get("content-length", "")) > self._most_body:
            raise _RefusedError(413, f"it has more than {self._most_body} bytes")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(400, "it was cut short")
            body += message.get("body", b"")
            if len(body) > self._most_body:
                raise _RefusedError(413, f"it has more than {self._most_body} bytes")
            if not message.get("more_body"):
                return bytes(body)


async def _handled(handler: Callable[..., Any], call: JobCall) -> Reply:
    try:
        if inspect.iscoroutinefunction(handler):
            value = await handler(call)
        else:
            value = await asyncio.to_thread(handler, call)
            if inspect.isawaitable(value):
                value = await value
        return Reply(200, json.dumps(value).encode())
    except Exception as error:
        log.exception(
            "the handler of %s raised %s",
            call.name,
            type(error).__name__,
            extra={"action": "receiver_failed"},
        )
        raise _RefusedError(500, "the handler failed") from None


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers; of one that comes twice nothing is believed."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        headers[key] = "" if key in headers else value.decode("latin-1")
    return headers


def _name_of(scope: Scope) -> str:
    """Return the path below where it is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    return path.strip("/")


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0
