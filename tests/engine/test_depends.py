"""Providers: what a run needs and no caller passes, made and ended with the run."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import pytest

from aiosched import (
    ArgumentsError,
    CancelJob,
    ConfigurationError,
    Context,
    Depends,
    Executor,
    Job,
    Outcome,
    Retry,
    Scheduler,
)
from tests.engine.kit import World

virtual = pytest.mark.virtual(timeout=100_000)

SAID: list[str] = []


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    SAID.clear()
    yield
    SAID.clear()


class Session:
    """What a run gets."""

    def __init__(self, of: str) -> None:
        self.of = of


def get_settings() -> dict[str, str]:
    SAID.append("settings")
    return {"url": "db"}


async def get_pool(settings: Annotated[dict[str, str], Depends(get_settings)]) -> str:
    SAID.append("pool")
    return f"pool of {settings['url']}"


async def get_session(
    context: Context, pool: Annotated[str, Depends(get_pool)]
) -> AsyncIterator[Session]:
    SAID.append("begin")
    try:
        yield Session(f"{pool} for {context.job_id}")
    except BaseException as error:
        SAID.append(f"rollback {type(error).__name__}")
        raise
    else:
        SAID.append("commit")
    finally:
        SAID.append("close")


def get_file(pool: Annotated[str, Depends(get_pool)]) -> Iterator[str]:
    SAID.append("open")
    yield f"file beside {pool}"
    SAID.append("shut")


InSession = Annotated[Session, Depends(get_session)]
InFile = Annotated[str, Depends(get_file)]


async def run(
    executor: Any, *, prepare: Callable[[Scheduler], Any] | None = None, **job: Any
) -> Any:
    """Run one job of an executor on a peer of its own; return its run."""
    async with Scheduler() as peer:
        with ExitStack() as stack:
            if prepare is not None:
                stack.enter_context(prepare(peer))
            peer.register(executor)
            scheduled = await peer.schedule(Job(executor, id="a", **job))
            return await peer.wait(scheduled, timeout=20)


# --- how they are made and ended ---


@virtual
async def test_a_run_gets_what_its_providers_make() -> None:
    async def report(
        context: Context, day: int, session: InSession, *, file: InFile, draft: bool
    ) -> list[Any]:
        SAID.append("run")
        return [context.job_id, day, session.of, file, draft]

    ended = await run(report, args=(3,), kwargs={"draft": True})
    assert ended.result == ["a", 3, "pool of db for a", "file beside pool of db", True]
    # Each once, in order, and ended in the reverse order behind the run.
    assert [
        *("settings", "pool", "begin", "open", "run"),
        *("shut", "commit", "close"),
    ] == SAID


async def test_functions_in_threads_get_them_too() -> None:
    """Providers that are coroutines stay on the loop, plain ones are in threads."""
    where: dict[str, int] = {}

    async def on_loop() -> AsyncIterator[str]:
        where["on_loop"] = threading.get_ident()
        yield "loop"

    def in_thread(context: Context) -> Iterator[str]:
        where["in_thread"] = threading.get_ident()
        yield context.job_id

    def work(
        first: Annotated[str, Depends(on_loop)],
        second: Annotated[str, Depends(in_thread)],
    ) -> str:
        where["work"] = threading.get_ident()
        return first + second

    assert (await run(work)).result == "loopa"
    assert where["on_loop"] == threading.get_ident()
    assert threading.get_ident() not in (where["in_thread"], where["work"])


@virtual
async def test_executors_that_are_classes_get_them_too() -> None:
    class Report(Executor):
        async def run(self, context: Context, day: int, session: InSession) -> str:
            return f"{day} {session.of}"

    assert (await run(Report, kwargs={"day": 7})).result == "7 pool of db for a"


@virtual
async def test_what_two_need_is_made_once_a_run() -> None:
    made: list[int] = []

    class Counter:
        """A provider may be any callable."""

        def __call__(self) -> int:
            made.append(1)
            return len(made)

        def again(self) -> int:
            made.append(1)
            return len(made)

    counter = Counter()
    one, two = Annotated[int, Depends(counter)], Annotated[int, Depends(counter.again)]
    three = Annotated[int, Depends(counter.again)]

    def sums(a: Any, b: Any) -> Any:
        return a + b

    async def work(
        a: Any, b: Any, c: Any, total: Annotated[int, Depends(sums)]
    ) -> list[Any]:
        return [a, b, c, total]

    work.__annotations__ |= {"a": one, "b": two, "c": three}
    sums.__annotations__ |= {"a": one, "b": two}
    assert (await run(work)).result == [1, 2, 2, 3]
    assert len(made) == 2
    assert (await run(work)).result == [3, 4, 4, 7], "and anew for the next"


@virtual
async def test_they_are_ended_when_the_run_fails() -> None:
    async def fails(session: InSession, file: InFile) -> None:
        raise LookupError("no such row")

    ended = await run(fails)
    assert ended.outcome is Outcome.FAILED
    assert ended.error.message == "no such row"
    assert SAID[-3:] == ["open", "rollback LookupError", "close"]


@virtual
async def test_they_are_ended_when_the_run_is_cancelled() -> None:
    async def waits(session: InSession) -> None:
        await asyncio.sleep(10_000)

    ended = await run(waits, timeout=5)
    assert ended.outcome is Outcome.TIMED_OUT
    assert SAID[-2:] == ["rollback CancelledError", "close"]


@virtual
async def test_a_shutdown_ends_them() -> None:
    async with World() as world:
        p0 = world.build("p0")
        inside = asyncio.Event()

        async def waits(session: InSession) -> None:
            inside.set()
            await asyncio.sleep(10_000)

        p0.register(waits)
        await world.start(p0)
        await p0.schedule(Job(waits, id="a"))
        await inside.wait()
        await p0.shutdown(force=True)
        assert SAID[-2:] == ["rollback CancelledError", "close"]


@virtual
async def test_the_wish_to_run_no_more_is_no_error_for_them() -> None:
    async def last(session: InSession) -> None:
        raise CancelJob("enough")

    ended = await run(last)
    assert (ended.outcome, ended.result) == (Outcome.SUCCEEDED, "enough")
    assert SAID[-2:] == ["commit", "close"]


# --- when they fail ---


@virtual
async def test_a_provider_that_raises_fails_the_run_which_is_tried_again() -> None:
    tries: list[int] = []

    async def flaky(context: Context) -> int:
        tries.append(context.attempt)
        if context.attempt < 3:
            raise ConnectionError("no database")
        return context.attempt

    async def work(session: InSession, attempt: Annotated[int, Depends(flaky)]) -> int:
        return attempt

    ended = await run(work, retry=Retry(attempts=3, delay=1))
    assert (ended.outcome, ended.result) == (Outcome.SUCCEEDED, 3)
    assert tries == [1, 2, 3]
    assert SAID.count("begin") == SAID.count("close") == 3
    assert SAID.count("rollback ConnectionError") == 2
    assert (await run(work)).outcome is Outcome.FAILED


@virtual
async def test_an_end_that_raises_fails_a_run_that_had_succeeded() -> None:
    """Or a commit that failed would be taken for one that did not."""

    async def committing() -> AsyncIterator[None]:
        yield
        raise ConnectionError("the commit failed")

    async def work(
        nothing: Annotated[None, Depends(committing)], session: InSession
    ) -> str:
        return "done"

    told: list[Any] = []

    def listening(peer: Scheduler) -> Any:
        peer.on("callback_failed", told.append)
        return ExitStack()

    ended = await run(work, prepare=listening)
    assert ended.outcome is Outcome.FAILED
    assert ended.error.message == "the commit failed"
    assert SAID[-2:] == ["commit", "close"], "the others were ended first"
    [event] = told
    assert "committing" in event.data["of"]
    assert isinstance(event.data["error"], ConnectionError)


@virtual
async def test_an_end_that_raises_keeps_no_other_from_ending() -> None:
    async def bad(session: InSession) -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise ValueError("at the end")

    async def work(first: Annotated[None, Depends(bad)]) -> None:
        raise LookupError("in the run")

    ended = await run(work)
    assert ended.error.message == "in the run", "the run's own error is told"
    assert SAID[-2:] == ["rollback LookupError", "close"]


@virtual
async def test_a_provider_that_swallows_the_error_makes_no_success() -> None:
    async def swallows() -> AsyncIterator[None]:
        try:
            yield
        except LookupError:
            SAID.append("swallowed")

    async def work(
        session: InSession, first: Annotated[None, Depends(swallows)]
    ) -> None:
        raise LookupError("in the run")

    assert (await run(work)).outcome is Outcome.FAILED
    assert SAID[-3:] == ["swallowed", "rollback LookupError", "close"]


@virtual
async def test_one_that_does_not_yield_or_yields_twice_fails_the_run() -> None:
    async def never() -> AsyncIterator[None]:
        if SAID:
            yield

    def twice() -> Iterator[None]:
        yield
        yield

    for provider in (never, twice):

        async def work(it: Any) -> None: ...

        work.__annotations__["it"] = Annotated[None, Depends(provider)]
        ended = await run(work)
        assert ended.outcome is Outcome.FAILED
        assert "yield" in ended.error.message or "stop" in ended.error.message


async def test_one_in_a_thread_that_is_cut_short_is_ended_all_the_same() -> None:
    go, begun = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        begun.set()
        assert go.wait(10)
        SAID.append("made")
        yield 1
        SAID.append("never: the run was cancelled")

    def in_order() -> Iterator[int]:
        try:
            yield from slow()
        finally:
            SAID.append("ended")

    async def work(it: Annotated[int, Depends(in_order)]) -> None:
        SAID.append("never: it was not entered")

    async with Scheduler() as peer:
        peer.register(work)
        job = await peer.schedule(Job(work, id="a", keep=60))
        await asyncio.to_thread(begun.wait, 10)
        stopping = asyncio.create_task(peer.stop_job(job))
        await stopping
        go.set()
        ended = await peer.wait(job, timeout=10)
        assert ended.outcome is Outcome.CANCELLED
    assert SAID == ["made", "ended"]


# --- what callers see ---


@virtual
async def test_callers_neither_pass_nor_see_them() -> None:
    async def report(day: int, session: InSession, *, file: InFile) -> None: ...

    async with Scheduler() as peer:
        peer.register(report)
        [info] = peer.registry.infos()
        assert [name for name, _, _ in info.parameters] == ["day"]
        for given in ({"day": 1, "session": 5}, {"session": 5}, {"day": 1, "file": 2}):
            with pytest.raises(ArgumentsError):
                await peer.schedule(Job(report, kwargs=given))
        with pytest.raises(ArgumentsError):
            await peer.schedule(Job(report, args=(1, 2)))
        await peer.schedule(Job(report, id="k", keyword="k"))
        with pytest.raises(ArgumentsError):
            await peer.fire_job("k", {"day": 1, "session": 5})
        await peer.fire_job("k", {"day": 1})


@virtual
async def test_a_test_puts_another_in_its_place() -> None:
    """Also where it is needed by others, with needs of its own; until the end."""

    def fake(context: Context, session_id: int = 4) -> str:
        return f"fake {session_id} of {context.job_id}"

    async def work(session: InSession) -> str:
        return session.of

    ended = await run(work, prepare=lambda peer: peer.override(get_pool, fake))
    assert ended.result == "fake 4 of a for a"
    assert "settings" not in SAID
    peer = Scheduler()
    with peer.override(get_pool, fake):
        with peer.override(get_pool, lambda: "inner"):
            pass
        assert len(peer.registry._overrides) == 1
    assert not peer.registry._overrides
    assert (await run(work)).result == "pool of db for a"
    with pytest.raises(ConfigurationError):
        peer.override(get_pool, 5).__enter__()  # type: ignore[arg-type]


# --- what is refused ---


def _needs_url(url: str) -> str:
    return url


def _circle(it: Any) -> None: ...


_circle.__annotations__["it"] = Annotated[Any, Depends(_circle)]


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        (_needs_url, "needs url, which nobody gives"),
        (_circle, "depends on itself"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_refused(
    provider: Callable[..., Any], said: str
) -> None:
    def work(it: Any) -> None: ...

    work.__annotations__["it"] = Annotated[Any, Depends(provider)]
    with pytest.raises(ConfigurationError, match=said):
        Scheduler().register(work)


def test_a_mark_where_it_is_not_seen_is_refused() -> None:
    def as_default(it: Any = Depends(get_settings)) -> None: ...  # noqa: B008

    def unresolved(it: Any) -> None: ...

    unresolved.__annotations__["it"] = "Annotated[Missing, Depends(get_settings)]"

    def by_position(it: InFile, /) -> None: ...

    def before_rest(it: InFile, *args: int) -> None: ...

    refused = {
        as_default: "stands as a default",
        unresolved: "cannot be resolved",
        by_position: "no name to be passed by",
        before_rest: r"before \*args",
    }
    for function, said in refused.items():
        with pytest.raises(ConfigurationError, match=said):
            Scheduler().register(function)
    with pytest.raises(ConfigurationError, match="cannot be called"):
        Depends(get_settings())  # type: ignore[arg-type]

    def behind_rest(*args: int, it: InFile) -> None: ...

    assert Scheduler().register(behind_rest) == "behind_rest"
