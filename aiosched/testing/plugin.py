"""A pytest plugin: tests marked ``virtual`` run in virtual time.

Enable it in the topmost ``conftest.py``, beside pytest-asyncio 1.4 or later::

    pytest_plugins = ["aiosched.testing.plugin"]

and mark what shall not take real time::

    @pytest.mark.virtual
    async def test_three_days():
        await asyncio.sleep(3 * 86_400)

The mark takes the options of :class:`aiosched.testing.VirtualLoop`: ``start``,
``seed``, ``thread_delay``, and ``timeout`` (virtual seconds from the first
fixture on).  A parameter may bring it, too.  Asynchronous fixtures of such a
test run on the same loop, unless their ``loop_scope`` is wider.  In strict mode
the test needs ``@pytest.mark.asyncio`` as well.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from types import FunctionType
from typing import Any

import pytest

from aiosched.errors import ConfigurationError
from aiosched.testing.loop import VirtualLoop
from aiosched.testing.simulated import FAILURES, over_seeds

__all__: list[str] = []

_CHOSEN = "_asyncio_loop_factory"
_SEEDED = "_aiosched_seeded"
_Factories = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        "virtual(start=, seed=, thread_delay=, timeout=): run the asynchronous test "
        "on a virtual-time event loop",
    )
    config.addinivalue_line(
        "markers",
        "simulate(seeds=, incidents=, seconds=, start=, **options): run the "
        "asynchronous test with a simulated cluster, once a seed",
    )


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> None:
    """Stand for the cluster of each seed of a test that is marked ``simulate``."""
    if not getattr(getattr(request.node, "obj", None), _SEEDED, False):
        message = (
            f"{request.node.nodeid}: cluster needs @pytest.mark.simulate on the "
            "function itself"
        )
        raise pytest.UsageError(message)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: Any
) -> Generator[None, Any, Any]:
    """Make a marked coroutine function one that runs all its seeds."""
    # Nothing else is asked: what a test imports may raise, as Flask's proxies do.
    plain = type(obj) is FunctionType
    marks = getattr(obj, "pytestmark", ()) if plain else ()
    mark = next((m for m in marks if m.name == "simulate"), None)
    if mark is not None:
        setattr(collector.obj, name, _seeded(obj, mark))
        obj = getattr(collector.obj, name)
        yield
        return list(collector._genfunctions(name, obj))
    return (yield)


def _seeded(test: Callable[..., Any], mark: pytest.Mark) -> Callable[..., None]:
    options: dict[str, Any] = {"failures": (*FAILURES, pytest.fail.Exception)}
    options |= mark.kwargs
    seeds = options.pop("seeds", 20)

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        if mark.args:
            raise ConfigurationError(
                "mark.simulate",
                mark.args,
                "takes no arguments by position",
                "name them, such as seeds=20",
            )
        if not inspect.iscoroutinefunction(test):
            raise ConfigurationError(
                "mark.simulate",
                test,
                "stands on a function that is no coroutine function",
                "write async def",
            )
        fixtures.pop("cluster", None)
        failed = over_seeds(
            lambda cluster: test(*args, cluster=cluster, **fixtures), seeds, **options
        )
        if failed is not None:
            failed.error.add_note(str(failed))
            raise failed.error

    setattr(run, _SEEDED, True)
    return run


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Generator[None, _Factories | None, _Factories]:
    """Give marked tests a virtual loop, and others what they would have had."""
    others = yield
    mark = item.get_closest_marker("virtual")
    if mark is not None:
        return {"virtual": _factory(item, mark)}
    # pytest-asyncio wants an answer for every test once there is a plugin.
    return others or {"default": asyncio.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a virtual loop also where a parameter brings the mark.

    pytest-asyncio asks for loops while a test function is still one, before its
    parameters and their marks are known.
    """
    for item in items:
        mark = item.get_closest_marker("virtual")
        callspec = getattr(item, "callspec", None)
        if mark is not None and callspec is not None and _CHOSEN in callspec.params:
            callspec.params[_CHOSEN] = _factory(item, mark)


def _factory(item: pytest.Item, mark: pytest.Mark) -> Callable[[], VirtualLoop]:
    options: dict[str, Any] = dict(mark.kwargs)
    unknown = set(options) - {"start", "seed", "thread_delay", "timeout"}
    if mark.args or unknown:
        wrong = ", ".join(sorted(unknown)) or repr(mark.args)
        message = (
            f"{item.nodeid}: mark.virtual got {wrong}; it takes the keywords "
            "start, seed, thread_delay and timeout"
        )
        raise pytest.UsageError(message)
    if "timeout" in options:
        options["deadline"] = options.pop("timeout")
    return functools.partial(VirtualLoop, **options)
