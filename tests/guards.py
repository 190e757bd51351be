"""Guards that watch every test: nothing may outlive the test that began it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Generator

import pytest

_LAST_STEPS = 20
_THREAD_GRACE = 2.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a coroutine test that leaves asyncio tasks behind."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _without_leaks(item.obj)
    return (yield)


def _without_leaks(
    test: Callable[..., Awaitable[None]],
) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def guarded(*args: object, **kwargs: object) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        leaked = await _leaked(before)
        if leaked:
            names = "\n".join(f"  {task!r}" for task in leaked)
            for task in leaked:
                task.cancel()
            await asyncio.gather(*leaked, return_exceptions=True)
            pytest.fail(f"the test left tasks behind:\n{names}", pytrace=False)

    return guarded


async def _leaked(before: set[asyncio.Task[object]]) -> list[asyncio.Task[object]]:
    """Return the tasks that are new and do not end by themselves at once."""
    for _ in range(_LAST_STEPS):
        leaked = [task for task in asyncio.all_tasks() - before if not task.done()]
        if not leaked:
            return []
        await asyncio.sleep(0)
    return leaked


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember which threads there were before the test's fixtures."""
    item.stash[_THREADS] = set(threading.enumerate())
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose threads live on when all its fixtures have ended."""
    result = yield
    before = item.stash[_THREADS]
    strays = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.daemon
    ]
    for thread in strays:
        thread.join(_THREAD_GRACE)
    strays = [thread for thread in strays if thread.is_alive()]
    if strays:
        pytest.fail(f"the test left threads behind: {strays}", pytrace=False)
    return result


_THREADS = pytest.StashKey[set[threading.Thread]]()
