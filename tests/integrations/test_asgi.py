"""Lifespans of ASGI: their order, what fails in them, and who knows the scheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware

from aiosched import (
    Context,
    InvalidInputError,
    Job,
    MemoryJobStore,
    Scheduler,
    SchedulerStateError,
    StoreUnavailableError,
)
from aiosched.integrations.asgi import (
    SchedulerMiddleware,
    lifespan,
    scheduler_of,
    send_lifespan,
)
from aiosched.integrations.fastapi import SchedulerDependency, current_scheduler

SCOPE: dict[str, Any] = {"type": "http"}


class Away(MemoryJobStore):
    """A store that does not answer."""

    async def open(self, *args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailableError("nobody is there")


async def nothing() -> Any:
    raise AssertionError("nobody is to ask or to answer")


async def silent(message: Any) -> None:
    raise AssertionError(f"nobody is to hear {message}")


class Logged:
    """An application that knows the protocol, and writes down what happens."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.seen.append(scope.get("state", {}).get("scheduler"))
            return
        while True:
            word = (await receive())["type"].removeprefix("lifespan.")
            self.events.append(word)
            await send({"type": f"lifespan.{word}.complete"})
            if word == "shutdown":
                return


class Noted(Scheduler):
    """A scheduler that writes down its start and its end."""

    def __init__(self, events: list[str], store: Any = None) -> None:
        super().__init__(store, run_jobs=False)
        self.noted = events

    async def start(self, *, paused: bool = False) -> None:
        await super().start(paused=paused)
        self.noted.append("scheduler started")

    async def shutdown(self, **options: Any) -> None:
        self.noted.append(f"scheduler ends {options}")
        await super().shutdown(**options)


# --- the middleware ----------------------------------------------------------------


async def test_the_scheduler_lives_inside_the_life_of_the_application() -> None:
    inner = Logged()
    app = SchedulerMiddleware(inner, lambda: Noted(inner.events), grace=3)
    async with send_lifespan(app) as state:
        assert isinstance(state["scheduler"], Scheduler)
        await app({**SCOPE}, nothing, silent)
        assert inner.seen == [state["scheduler"]]
    ends = "scheduler ends {'grace': 3.0}"
    # The second end is that of leaving the block; it is one end.
    assert inner.events == [
        "startup",
        "scheduler started",
        ends,
        "scheduler ends {}",
        "shutdown",
    ]


@pytest.mark.parametrize("how", ["raises", "returns", "asks and returns"])
async def test_an_application_may_know_nothing_of_lifespans(how: str) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            if how == "asks and returns":
                await receive()
            if how == "raises":
                raise ValueError("only http")
            return
        assert scheduler_of(scope).health().ok

    app = SchedulerMiddleware(inner, Scheduler)
    for _ in range(2):  # a function builds one each time
        async with send_lifespan(app) as state:
            await app({**SCOPE}, nothing, silent)
        assert not state["scheduler"].health().started


async def test_what_fails_at_the_start_is_told_and_the_application_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = Logged()
    app = SchedulerMiddleware(inner, lambda: Scheduler(Away()))
    with pytest.raises(SchedulerStateError, match="StoreUnavailableError: nobody is"):
        async with send_lifespan(app):
            raise AssertionError("it did not start")
    assert inner.events == ["startup", "shutdown"]
    assert "the scheduler has not started" in caplog.text


async def test_an_application_that_fails_itself_starts_no_scheduler() -> None:
    built: list[int] = []

    def build() -> Scheduler:
        built.append(1)
        return Scheduler()

    async def says_so(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def raises(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise LookupError("no database")

    for inner in (says_so, raises):
        with pytest.raises(SchedulerStateError, match="no database"):
            async with send_lifespan(SchedulerMiddleware(inner, build)):
                raise AssertionError("it did not start")
    assert not built


async def test_a_scheduler_that_has_failed_is_told_at_the_end() -> None:
    class Broken(MemoryJobStore):
        async def open(self, *args: Any, **kwargs: Any) -> Any:
            session = await super().open(*args, **kwargs)
            beat, beats = session.beat, []

            async def failing(*args: Any) -> Any:
                beats.append(args)
                if len(beats) > 1:
                    raise KeyError("this beat is broken")
                return await beat(*args)

            session.beat = failing  # type: ignore[method-assign]
            return session

    inner = Logged()
    app = SchedulerMiddleware(inner, lambda: Scheduler(Broken(), terms={"beat": 0.1}))

    async def serve() -> None:
        async with send_lifespan(app) as state:
            failed = asyncio.Event()
            state["scheduler"].on("service_failed", lambda _: failed.set())
            await failed.wait()

    with pytest.raises(SchedulerStateError, match="this beat is broken"):
        await serve()
    assert inner.events == ["startup", "shutdown"]


async def test_a_cancelled_lifespan_does_not_wait_for_runs() -> None:
    begun, cut = asyncio.Event(), asyncio.Event()

    async def long(context: Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.set()
            raise

    scheduler = Scheduler()
    scheduler.register(long)
    scheduler.declare(Job(long, id="long"))
    app = SchedulerMiddleware(Logged(), scheduler, grace=None)

    async def serve() -> None:
        async with send_lifespan(app):
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await begun.wait()
    serving.cancel()
    await asyncio.wait([serving])
    assert cut.is_set()
    assert not scheduler.health().started


async def test_an_application_that_goes_on_asking_is_told_of_its_end_once() -> None:
    heard: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        while True:
            word = (await receive())["type"]
            heard.append(word)
            await send({"type": f"{word}.complete"})

    app = SchedulerMiddleware(inner, lambda: Scheduler(Away()))

    async def serve() -> None:
        async with send_lifespan(app):
            raise AssertionError("it did not start")

    with pytest.raises(SchedulerStateError):
        await serve()
    assert heard == ["lifespan.startup", "lifespan.shutdown"]


async def test_late_requests_are_not_taken_for_a_server_without_lifespans(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = Logged()
    app = SchedulerMiddleware(inner, Scheduler)
    async with send_lifespan(app):
        pass
    await app({**SCOPE}, nothing, silent)
    assert inner.seen == [None]
    assert "lifespan" not in caplog.text


def test_a_key_that_the_applications_own_state_has_is_refused() -> None:
    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[Mapping[str, int]]:
        yield {"scheduler": 3}

    app = FastAPI(lifespan=lifespan(Scheduler, own))
    with pytest.raises(InvalidInputError, match="give another key"), TestClient(app):
        pass


async def test_a_server_without_lifespans_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = Logged()
    app = SchedulerMiddleware(inner, Scheduler)
    for _ in range(3):
        await app({**SCOPE}, nothing, silent)
    assert inner.seen == [None] * 3, "pages that need none are served"
    assert caplog.text.count("has sent no lifespan") == 1
    with pytest.raises(SchedulerStateError, match="TestClient"):
        scheduler_of(SCOPE)


async def test_two_schedulers_have_two_keys() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            assert scheduler_of(scope).namespace == "aiosched"
            assert scheduler_of(scope, key="other").namespace == "other"

    one = SchedulerMiddleware(inner, Scheduler)
    two = SchedulerMiddleware(one, lambda: Scheduler(namespace="other"), key="other")
    async with send_lifespan(two):
        await two({**SCOPE}, nothing, silent)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"scheduler": 3}, "scheduler"),
        ({"scheduler": lambda needed: needed}, "scheduler"),
        ({"scheduler": Scheduler, "grace": -1}, "grace"),
        ({"scheduler": Scheduler, "grace": "soon"}, "grace"),
        ({"scheduler": Scheduler, "key": ""}, "key"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(
    options: dict[str, Any], field: str
) -> None:
    for build in (lifespan, lambda **o: SchedulerMiddleware(Logged(), **o)):
        with pytest.raises(InvalidInputError) as caught:
            build(**options)
        assert caught.value.field == field


async def test_a_function_that_builds_something_else_fails_the_start() -> None:
    app = SchedulerMiddleware(Logged(), lambda: 3)  # type: ignore[arg-type,return-value]
    with pytest.raises(SchedulerStateError, match="of type int"):
        async with send_lifespan(app):
            raise AssertionError("it did not start")


# --- Starlette and FastAPI -----------------------------------------------------------


def test_a_lifespan_is_composed_with_the_applications_own() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[Mapping[str, str]]:
        events.append("opened")
        yield {"motto": "once"}
        events.append("closed")

    async def build() -> Scheduler:
        return Noted(events)

    app = FastAPI(lifespan=lifespan(build, own))

    @app.get("/")
    async def page(scheduler: SchedulerDependency) -> str:
        return scheduler.id

    found = set()
    for _ in range(2):  # as tests do
        with TestClient(app) as client:
            assert client.app_state["motto"] == "once"
            found.add(client.get("/").json())
    assert len(found) == 2
    assert events[:2] == ["opened", "scheduler started"]
    assert events[-1] == "closed"
    # The dependency can be replaced, and then nothing has to be started.
    app.dependency_overrides[current_scheduler] = lambda: Scheduler(name="fake")
    assert TestClient(app).get("/").status_code == 200


def test_a_scheduler_serves_once() -> None:
    app = FastAPI(lifespan=lifespan(Scheduler(run_jobs=False)))
    with TestClient(app):
        pass
    with pytest.raises(SchedulerStateError, match="build a new one"), TestClient(app):
        pass


def test_it_is_a_middleware_of_starlette_too() -> None:
    seen: list[Scheduler] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scheduler_of(scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = Starlette(middleware=[Middleware(SchedulerMiddleware, scheduler=Scheduler)])
    app.mount("/", page)
    with TestClient(app) as client:
        assert client.get("/").status_code == 200
    assert isinstance(seen[0], Scheduler)


def test_a_websocket_has_it_as_well() -> None:
    app = FastAPI(lifespan=lifespan(Scheduler))

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, scheduler: SchedulerDependency) -> None:
        await websocket.accept()
        await websocket.send_text(scheduler.namespace)
        await websocket.close()

    with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
        assert websocket.receive_text() == "aiosched"


def test_nothing_is_said_in_vain(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with TestClient(FastAPI(lifespan=lifespan(Scheduler))) as client:
        client.get("/")
    assert not [one for one in caplog.records if one.name == "aiosched"]
