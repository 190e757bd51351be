"""Names and the executors behind them.

Every scheduler has one registry.  It turns what users register (classes,
instances, functions) into :class:`Registered`, which knows how to check
arguments, how to call, and what to tell other peers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aiosched.abc import Executor, ExecutorInfo
from aiosched.depends import Depends, Node, key_of
from aiosched.errors import ConfigurationError, TriggerError, UnknownExecutorError
from aiosched.jobs import Job, checks
from aiosched.jobs.inputs import executor_name
from aiosched.jobs.snapshots import DEFAULT_QUEUE
from aiosched.results import describe_error, dump_result, error_names
from aiosched.signatures import MAX_PAYLOAD, Signature, dump_payload
from aiosched.triggers.base import Trigger

__all__ = [
    "MAX_PAYLOAD",
    "Around",
    "Registered",
    "Registry",
    "carries_schedule",
    "check_payload",
    "describe_error",
    "dump",
    "dump_payload",
    "dump_result",
    "error_names",
]


Around = Callable[[Callable[..., Any], Literal["coroutine", "thread"]], Any]
"""Makes of a function, or a coroutine function, one that surrounds its calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Registered:
    """One executor under its names.

    Attributes:
        name: What jobs call it.
        aliases: Further names, such as those that older jobs carry.
        kind: ``coroutine`` runs on the loop, ``thread`` in a thread.
        queue: Of jobs that do not name one; None: the default queue.
        target: What was registered.
        call: What to call with the arguments that ``bind`` returns.
        signature: What it takes.
    """

    name: str
    aliases: tuple[str, ...]
    kind: Literal["coroutine", "thread"]
    queue: str | None
    target: object
    call: Callable[..., Any]
    signature: Signature
    instance: object = None
    """The object with ``setup`` and ``teardown``; None for functions."""
    overrides: Mapping[object, Node] = field(default_factory=dict)
    """What is asked in place of providers; the registry's own."""
    job: Job | None = None
    """What an executor that carries its own schedule is to be declared as."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)

    def bind(
        self, arguments: bytes, payload: bytes, context: object
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what to call it with, decoded into the annotated types.

        Raises:
            ArgumentsError: Stored arguments and payload no longer fit it.
        """
        return self.signature.bind(arguments, payload, context)

    async def setup(self) -> None:
        """Await the executor's own ``setup``, if it has one."""
        await self._hook("setup")

    async def teardown(self) -> None:
        """Await the executor's own ``teardown``, if it has one."""
        await self._hook("teardown")

    async def _hook(self, name: str) -> None:
        hook = getattr(self.instance, name, None)
        if callable(hook):
            answer = hook()
            if inspect.isawaitable(answer):
                await answer

    def info(self, name: str | None = None) -> ExecutorInfo:
        """Return what other peers are told, under the name or an alias."""
        return ExecutorInfo(
            name or self.name, self.signature.names(), self.queue or DEFAULT_QUEUE
        )

    def infos(self) -> tuple[ExecutorInfo, ...]:
        """Return what other peers are told, once a name."""
        return tuple(self.info(name) for name in self.names)


class Registry:
    """The executors of one scheduler, by name and by what was registered."""

    def __init__(self) -> None:
        """Start without any."""
        self.around: Around | None = None
        """What surrounds the calls of whatever is registered from now on."""
        self._by_name: dict[str, Registered] = {}
        self._by_target: dict[object, list[Registered]] = {}
        self._overrides: dict[object, Node] = {}

    def register(
        self,
        target: object,
        *,
        name: str | None = None,
        aliases: Iterable[str] = (),
        queue: str | None = None,
    ) -> Registered:
        """Take in an executor.

        Registering the same thing in the same way again changes nothing.

        Args:
            target: A subclass of ``Executor`` (built without arguments) or an
                instance of one; a coroutine function (run on the loop); a plain
                function (run in a thread); any object with such a ``run``.
            name: What jobs call it; by default the class's or function's name.
            aliases: Further names for it.
            queue: Of jobs that do not name one.

        Raises:
            ConfigurationError: It cannot be run, or a name is taken.
        """
        own = checks.text_id("name", executor_name(target) if name is None else name)
        others = tuple(
            alias for alias in checks.tags("aliases", aliases) if alias != own
        )
        checks.queue("queue", queue)
        known = self._by_name.get(own)
        asked = (target, own, others, queue)
        if known is not None and asked == (
            known.target,
            known.name,
            known.aliases,
            known.queue,
        ):
            return known
        for taken in (own, *others):
            if taken in self._by_name:
                raise _name_taken(taken, self._by_name[taken])
        registered = _registered(target, own, others, queue, self._overrides)
        if self.around is not None:
            call = self.around(registered.call, registered.kind)
            registered = replace(registered, call=call)
        for each in registered.names:
            self._by_name[each] = registered
        for key in _keys(registered):
            self._by_target.setdefault(key, []).append(registered)
        return registered

    @contextmanager
    def override(
        self, provider: Callable[..., Any], by: Callable[..., Any]
    ) -> Iterator[None]:
        """Ask another provider in place of one, within a block.

        Raises:
            ConfigurationError: One of them cannot be a provider.
        """
        key = key_of(Depends(provider).provider)
        node = Node.of(Depends(by).provider)
        before = self._overrides.get(key)
        self._overrides[key] = node
        try:
            yield
        finally:
            if before is None:
                self._overrides.pop(key, None)
            else:
                self._overrides[key] = before

    def find(self, ref: object) -> Registered | None:
        """Return the executor that a name, class, instance or function means.

        Returns:
            None if it is not registered here.

        Raises:
            ConfigurationError: A class is registered under several names, or its
                name belongs to something else.
        """
        if isinstance(ref, str):
            return self._by_name.get(ref)
        found = self._by_target.get(_key(ref), [])
        if len(found) > 1:
            names = " or ".join(f'"{each.name}"' for each in found)
            raise ConfigurationError(
                "executor", ref, f"is registered as {names}", "name the one you mean"
            )
        if found:
            return found[0]
        name = executor_name(ref)
        if name in self._by_name:
            raise ConfigurationError(
                "executor",
                ref,
                f"the name {name} is registered for something else",
                "register it under a name of its own",
            )
        return None

    def resolve(self, ref: object) -> Registered:
        """Return the executor that a name, class, instance or function means.

        Raises:
            UnknownExecutorError: It is not registered here.
            ConfigurationError: As :meth:`find`.
        """
        found = self.find(ref)
        if found is None:
            name = ref if isinstance(ref, str) else executor_name(ref)
            raise UnknownExecutorError(name, self.names)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Every name and alias, sorted."""
        return tuple(sorted(self._by_name))

    def infos(self) -> tuple[ExecutorInfo, ...]:
        """Return what other peers are told of all executors."""
        return tuple(info for each in self for info in each.infos())

    def __iter__(self) -> Iterator[Registered]:
        """Yield each executor once, in the order of registration."""
        return iter({id(each): each for each in self._by_name.values()}.values())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name


def dump(
    known: Registered | ExecutorInfo | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    partial: bool = False,
    limit: int = MAX_PAYLOAD,
) -> bytes:
    """Check a job's arguments and write them as JSON text.

    Args:
        known: The executor; what a peer has advertised of it (names, kinds and
            what is required are checked); or None (anything that JSON can hold).
        args: Those by position, after the context.
        kwargs: Those by name.
        partial: Whether a payload may bring what is missing: the job has no
            trigger, or only a keyword makes it run.
        limit: Most bytes they may take.

    Returns:
        ``[[args],{kwargs}]``; empty for no arguments.

    Raises:
        ArgumentsError: An argument is missing, unexpected, does not fit, or
            cannot be written; ``field`` is its path, such as ``kwargs.lock``.
    """
    return signature_of(known).dump(args, kwargs, partial=partial, limit=limit)


def check_payload(
    known: Registered | ExecutorInfo | None,
    arguments: bytes,
    payload: object,
    *,
    limit: int = MAX_PAYLOAD,
) -> bytes:
    """Check that a payload and a job's arguments make a run together.

    The keys of a payload that is a mapping are arguments by name, and win over
    the job's.  If the executor takes none, and for any other payload, it is in
    ``context.payload`` only.

    Args:
        known: As for :func:`dump`.
        arguments: What :func:`dump` returned for the job.
        payload: What ``fire_job`` was given.
        limit: Most bytes it may take.

    Returns:
        Its JSON text, the same for all subscribers; empty for None.

    Raises:
        ArgumentsError: As :func:`dump`; the path begins with ``payload``.
    """
    text = dump_payload(payload, limit=limit)
    signature_of(known).check(arguments, text)
    return text


def signature_of(known: Registered | ExecutorInfo | None) -> Signature:
    """Return what is known of an executor's parameters."""
    if known is None:
        return Signature.anything("the executor")
    if isinstance(known, Registered):
        return known.signature
    return Signature.of_names(known.parameters, known.name)


def _registered(
    target: object,
    name: str,
    aliases: tuple[str, ...],
    queue: str | None,
    overrides: Mapping[object, Node],
) -> Registered:
    instance = _instance(target)
    if instance is None:
        call = _function(target)
        signature = Signature.of_function(call, name)
    else:
        call = _run_of(instance)
        signature = Signature.of_run(call, name)
    return Registered(
        name,
        aliases,
        "coroutine" if _is_coroutine(call) else "thread",
        queue,
        target,
        call,
        signature,
        instance,
        overrides,
        _own_job(instance, name),
    )


def carries_schedule(target: object) -> bool:
    """Return whether an executor says by itself when it runs."""
    own = target if isinstance(target, type) else type(target)
    return issubclass(own, Executor) and hasattr(target, "schedule")


def _own_job(instance: object, name: str) -> Job | None:
    """Return the job of an executor that carries its own schedule.

    Raises:
        TriggerError: What it says is no schedule.
    """
    if not carries_schedule(instance):
        return None
    said: Any = getattr(instance, "schedule", None)
    if callable(said) and not isinstance(said, Trigger):
        given = inspect.signature(said).parameters.values()
        if all(one.default is not one.empty for one in given):
            said = said()
    if inspect.iscoroutine(said):
        said.close()
    if said is not None and not isinstance(said, Trigger):
        raise TriggerError(
            "schedule",
            said,
            f"is what {name} says of when it runs, and no trigger",
            "let it be a trigger, such as every(10).minutes, or None to run once",
        )
    return Job(name, id=name, trigger=said)


def _instance(target: Any) -> object | None:
    """Return the object whose ``run`` does the work; None for a function."""
    if not isinstance(target, type):
        has_run = callable(getattr(target, "run", None))
        if isinstance(target, Executor) or has_run:
            found: object = target
            return found
        return None
    if not issubclass(target, Executor) and not callable(getattr(target, "run", None)):
        raise ConfigurationError(
            "executor",
            target,
            "is a class without a run",
            "derive it from Executor and define run(self, context, ...)",
        )
    missing = [
        parameter.name
        for parameter in inspect.signature(target).parameters.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if missing:
        raise ConfigurationError(
            "executor",
            target,
            f"its constructor needs {', '.join(missing)}",
            f"register an instance: register({target.__name__}(...))",
        )
    built: object = target()
    return built


def _run_of(instance: object) -> Callable[..., Any]:
    run: Callable[..., Any] | None = getattr(instance, "run", None)
    if not callable(run):
        raise ConfigurationError(
            "executor", instance, "has no run", "define run(self, context, ...)"
        )
    _refuse_generators(run)
    return run


def _function(target: object) -> Callable[..., Any]:
    if not callable(target):
        raise ConfigurationError(
            "executor",
            target,
            "can neither be called nor has it a run",
            "register a function, or a subclass of Executor",
        )
    _refuse_generators(target)
    _refuse_loose(target)
    return target


def _refuse_loose(target: Callable[..., Any]) -> None:
    """Refuse a method as it stands in the body of its class, without an object."""
    if not inspect.isfunction(target):
        return
    around = target.__qualname__.rpartition(".")[0]
    first = next(iter(inspect.signature(target).parameters), None)
    if around and not around.endswith("<locals>") and first == "self":
        raise ConfigurationError(
            "executor",
            target,
            "is a method without its object",
            "register that of an object, as in scheduler.register(box.empty), or "
            "derive the class from Executor and define run(self, context, ...)",
        )


def _refuse_generators(call: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise ConfigurationError(
            "executor", call, "is a generator", "return a value; do not yield"
        )


def _is_coroutine(call: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(call):
        return True
    return inspect.iscoroutinefunction(getattr(type(call), "__call__", None))  # noqa: B004 - the method itself is meant


def _keys(registered: Registered) -> list[object]:
    """Return all by which it may be meant: an instance also by its class."""
    keys = [_key(registered.target)]
    if registered.instance is not None:
        keys += [_key(registered.instance), _key(type(registered.instance))]
    return list(dict.fromkeys(keys))


def _key(target: object) -> object:
    # A bound method is a new object each time; others may not be hashable.
    if inspect.ismethod(target):
        return id(target.__self__), target.__func__
    return id(target)


def _name_taken(name: str, holder: Registered) -> ConfigurationError:
    return ConfigurationError(
        "name",
        name,
        f"is taken by {holder.target!r}",
        'give this executor another: register(..., name="...")',
    )
