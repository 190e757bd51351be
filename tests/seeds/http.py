"""A real HTTP server on loopback, and what it was sent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

__all__ = ["KEY", "OTHER_KEY", "Asked", "Backend", "serving"]

KEY = "whsec_" + "a2V5" * 8
OTHER_KEY = "whsec_" + "b3Ro" * 8


@dataclass(frozen=True)
class Asked:
    """One request, as the server saw it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Backend:
    """An ASGI application that remembers, and answers as it is told.

    ``answers`` are given one after the other, then 200 for ever.
    """

    asked: list[Asked] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    hold: threading.Event | None = None

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, body))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        query = scope["query_string"].decode()
        self.asked.append(Asked(scope["method"], scope["path"], query, headers, body))
        if self.hold is not None:
            await asyncio.to_thread(self.hold.wait, 20)
        status, extra, text = self.answers.pop(0) if self.answers else (200, {}, b"")
        pairs = [(k.encode(), v.encode()) for k, v in extra.items()]
        start = {"type": "http.response.start", "status": status, "headers": pairs}
        await send(start)
        await send({"type": "http.response.body", "body": text})


class _Server(uvicorn.Server):
    """One that says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextmanager
def serving(
    app: Callable[..., Awaitable[None]],
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    port: int = 0,
) -> Iterator[str]:
    """Serve an application in a thread; its URL."""
    config = uvicorn.Config(
        app,
        port=port,
        log_config=None,
        lifespan="off",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, name="backend")
    thread.start()
    try:
        assert server.up.wait(20), "the server did not come up"
        bound = server.servers[0].sockets[0].getsockname()[1]
        yield f"http{'s' if certificate else ''}://127.0.0.1:{bound}"
    finally:
        server.should_exit = True
        thread.join(20)
