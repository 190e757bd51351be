"""What an executor needs and no caller passes: providers, and the scope of a run.

A provider is a function.  What it returns, or yields, fills a parameter; what stands
behind its ``yield`` is done when the run has ended.  Providers may need the context,
and each other.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor as FutureExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from aiosched.errors import ConfigurationError
from aiosched.parameters import BY_NAME, Kind, Parameter, hints_of, is_context

__all__ = ["Depends", "Node", "ProvidedParameter", "Scope", "depends_on", "key_of"]

_INIT = attrgetter("__init__")
T = TypeVar("T")


class Depends:
    """Marks a parameter that a provider fills, in its annotation.

    ::

        async def get_session() -> AsyncIterator[Session]:
            async with Session() as session:
                yield session

        async def report(session: Annotated[Session, Depends(get_session)]) -> None:
            ...

    Attributes:
        provider: A function, coroutine function, generator or async generator
            function, or another callable.  Its own parameters are the context
            (annotated so), further dependencies, or have defaults.
    """

    __slots__ = ("provider",)

    def __init__(self, provider: Callable[..., Any]) -> None:
        """Name the provider.

        Raises:
            ConfigurationError: It cannot be called.
        """
        if not callable(provider):
            raise ConfigurationError(
                "provider",
                provider,
                "cannot be called",
                "write Depends(get_session), without calling it",
            )
        self.provider: Callable[..., Any] = provider

    def __repr__(self) -> str:
        return f"Depends({name_of(self.provider)})"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A provider, and what it needs itself.

    Attributes:
        provider: What is called.
        kind: ``value`` returns on the loop, ``thread`` in a thread; ``async`` and
            ``yield`` do so by a generator, with an end behind its ``yield``.
        context: Names of the parameters that take the context.
        needs: Providers by the parameters that they fill.
    """

    provider: Callable[..., Any]
    kind: str
    context: tuple[str, ...]
    needs: Mapping[str, Node]

    @classmethod
    def of(cls, provider: Callable[..., Any], above: tuple[object, ...] = ()) -> Node:
        """Read a provider, and all that it needs.

        Raises:
            ConfigurationError: It needs itself, or what nobody gives.
        """
        own = key_of(provider)
        if own in above:
            raise ConfigurationError(
                "provider", provider, "depends on itself", "break the circle"
            )
        try:
            given = list(inspect.signature(provider).parameters.values())
        except (ValueError, TypeError):  # of a built-in, which does not say
            given = []
        build = _INIT(provider) if isinstance(provider, type) else provider
        hints = hints_of(build, given)
        context: list[str] = []
        needs: dict[str, Node] = {}
        for one in given:
            marker = depends_on(one, hints[one.name])
            named = one.kind in BY_NAME
            if marker is not None and named:
                needs[one.name] = cls.of(marker.provider, (*above, own))
            elif named and is_context(hints[one.name]):
                context.append(one.name)
            elif one.default is one.empty and one.kind not in _VARIADIC:
                raise ConfigurationError(
                    "provider",
                    provider,
                    f"needs {one.name}, which nobody gives",
                    "annotate it with Context or Depends (so that it can be passed "
                    "by name), or give it a default",
                )
        return cls(provider, _kind_of(provider), tuple(context), needs)


_VARIADIC = (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)


def _kind_of(provider: Callable[..., Any]) -> str:
    inner: Any = provider
    while isinstance(inner, partial):
        inner = inner.func
    if not (inspect.isroutine(inner) or isinstance(inner, type)):
        inner = type(inner).__call__
    if inspect.isasyncgenfunction(inner):
        return "async"
    if inspect.isgeneratorfunction(inner):
        return "yield"
    if inspect.iscoroutinefunction(inner):
        return "value"
    return "thread"


def key_of(provider: Callable[..., Any]) -> object:
    """Return what makes two providers the same."""
    # A bound method is a new object each time; others may not be hashable.
    if inspect.ismethod(provider):
        return id(provider.__self__), provider.__func__
    return id(provider)


def name_of(provider: Callable[..., Any]) -> str:
    """Return what a provider is called."""
    return getattr(provider, "__qualname__", None) or repr(provider)


def depends_on(parameter: inspect.Parameter, annotation: object) -> Depends | None:
    """Return the mark of a parameter; None: it is an argument.

    Raises:
        ConfigurationError: It is marked where that is not seen.
    """
    if isinstance(parameter.default, Depends):
        raise ConfigurationError(
            parameter.name,
            parameter.default,
            "stands as a default",
            f"write {parameter.name}: Annotated[..., {parameter.default!r}]",
        )
    if isinstance(annotation, str) and "Depends(" in annotation:
        raise ConfigurationError(
            parameter.name,
            annotation,
            "has an annotation that cannot be resolved",
            "have all its names in the function's module, at run time and not for "
            "type checkers only",
        )
    if typing.get_origin(annotation) is not typing.Annotated:
        return None
    found = [one for one in typing.get_args(annotation) if isinstance(one, Depends)]
    return found[0] if found else None


class ProvidedParameter(Parameter):
    """Stands for what a provider fills among an executor's parameters."""

    __slots__ = ()

    def __init__(self, parameter: inspect.Parameter, owner: str) -> None:
        """Take name and kind of the parameter that it stands for.

        Raises:
            ConfigurationError: It cannot be passed by name.
        """
        if parameter.kind not in BY_NAME:
            raise ConfigurationError(
                "executor",
                owner,
                f"{parameter.name} depends on a provider, and has no name to be "
                "passed by",
                "put it where it can be passed by name",
            )
        super().__init__(parameter.name, parameter.kind, required=False)


class Scope:
    """What providers have made for one run."""

    def __init__(
        self,
        context: object,
        overrides: Mapping[object, Node],
        threads: FutureExecutor,
    ) -> None:
        """Begin with nothing.

        Args:
            context: Of the run.
            overrides: What is asked in place of a provider, by its key.
            threads: Where plain functions run.
        """
        self._context = context
        self._overrides = overrides
        self._threads = threads
        self._made: dict[object, Any] = {}
        self._ends: list[tuple[str, Callable[[BaseException | None], Awaitable[Any]]]]
        self._ends = []

    async def open(self, needs: Mapping[str, Node]) -> dict[str, Any]:
        """Return what fills the parameters; each provider is asked once.

        Raises:
            BaseException: Whatever a provider raises.
        """
        return {name: await self._value(node) for name, node in needs.items()}

    async def _value(self, node: Node) -> Any:
        key = key_of(node.provider)
        if key not in self._made:
            node = self._overrides.get(key, node)
            given = dict.fromkeys(node.context, self._context)
            given.update(await self.open(node.needs))
            self._made[key] = await self._make(node, given)
        return self._made[key]

    async def _make(self, node: Node, given: dict[str, Any]) -> Any:
        provider, name = node.provider, name_of(node.provider)
        if node.kind == "async":
            whole = asynccontextmanager(provider)(**given)
            value = await whole.__aenter__()
            self._ends.append((name, lambda error: whole.__aexit__(*_told(error))))
            return value
        if node.kind == "yield":
            return await self._enter(name, contextmanager(provider)(**given))
        if node.kind == "value":
            return await provider(**given)
        value = await self._in_thread(partial(provider, **given))
        # A callable that hands on to a coroutine function.
        return await value if inspect.isawaitable(value) else value

    async def _enter(self, name: str, whole: Any) -> Any:
        """Enter a plain generator; one that is cut short there is left all the same."""
        entered = False

        def enter() -> Any:
            nonlocal entered
            value = whole.__enter__()
            entered = True
            return value

        async def leave(error: BaseException | None) -> None:
            if entered:
                await self._in_thread(partial(whole.__exit__, *_told(error)))

        self._ends.append((name, leave))
        return await self._in_thread(enter)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Wait for a function in a thread, which cannot be cancelled."""
        inside = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, lambda: inside.run(call))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.done():
                await asyncio.wait([future])
            raise

    async def close(
        self, error: BaseException | None
    ) -> list[tuple[str, BaseException]]:
        """Do what stands behind each ``yield``, the last first.

        Args:
            error: What the run has raised; it is raised at each ``yield`` too.

        Returns:
            Which providers have failed there, and how.  That one swallows the
            error changes nothing for the others.
        """
        failed: list[tuple[str, BaseException]] = []
        for name, end in reversed(self._ends):
            try:
                await end(error)
            except GeneratorExit:
                raise
            except BaseException as raised:
                if raised is not error:
                    failed.append((name, raised))
        return failed


def _told(error: BaseException | None) -> Sequence[Any]:
    if error is None:
        return (None, None, None)
    return (type(error), error, error.__traceback__)
