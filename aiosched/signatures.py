"""What arguments an executor takes, and how they become JSON and back.

A job's arguments are written once, when it is scheduled, and read for each
run; both ways go through the executor's annotations, so that what cannot be
run is refused before it is stored.  A payload joins them by name and wins.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from aiosched.depends import Node, ProvidedParameter, depends_on
from aiosched.errors import ArgumentsError, ConfigurationError
from aiosched.jobs.plain import dump_json, load_json
from aiosched.parameters import (
    BY_NAME,
    BY_POSITION,
    ContextParameter,
    Kind,
    Parameter,
    hints_of,
    is_context,
    parameter_of,
    takes_context,
)

__all__ = ["MAX_PAYLOAD", "Parameter", "Signature", "dump_payload"]

MAX_PAYLOAD = 1_048_576
"""Default bound of arguments and of payloads, in bytes of JSON."""


class _Nothing:
    def __repr__(self) -> str:
        return "<nothing>"


_NOTHING = _Nothing()


@dataclass(slots=True)
class _Placed:
    """Values by the parameter that takes them, each with its path."""

    named: dict[str, tuple[Any, str]]
    rest: list[tuple[Any, str]]
    more: dict[str, tuple[Any, str]]


class Signature:
    """The parameters of one executor, without its context."""

    __slots__ = (
        "_by_name",
        "_by_position",
        "_open",
        "_order",
        "_rest",
        "_shortcut",
        "owner",
        "parameters",
        "provided",
    )

    def __init__(
        self,
        owner: str,
        order: Sequence[Parameter],
        provided: Mapping[str, Node] | None = None,
    ) -> None:
        """Take parameters in order, the context being marked by its own object.

        Args:
            owner: What to call the executor in messages.
            order: All parameters, the context included.
            provided: Who fills those that no caller passes.
        """
        self.provided: Mapping[str, Node] = provided or {}
        self.owner: str = owner
        self._order = tuple(order)
        self.parameters: tuple[Parameter, ...] = tuple(
            p for p in order if not takes_context(p) and p.name not in self.provided
        )
        self._by_position = tuple(p for p in self.parameters if p.kind in BY_POSITION)
        self._by_name = {p.name: p for p in self.parameters if p.kind in BY_NAME}
        kinds = {p.kind: p for p in self.parameters}
        self._rest = kinds.get(Kind.VAR_POSITIONAL)
        self._open = kinds.get(Kind.VAR_KEYWORD)
        self._shortcut = self._without_arguments()

    @classmethod
    def of_run(cls, run: Callable[..., Any], owner: str) -> Signature:
        """Read an executor's ``run``, whose first parameter is the context.

        Raises:
            ConfigurationError: It has no place for the context.
        """
        given = list(inspect.signature(run).parameters.values())
        if given and given[0].kind in BY_POSITION:
            rest = given[1:]
        elif given and given[0].kind is Kind.VAR_POSITIONAL:
            rest = given
        else:
            raise ConfigurationError(
                "executor",
                owner,
                "its run takes no context",
                "write def run(self, context, ...)",
            )
        hints = hints_of(run, rest)
        context = Parameter("context", Kind.POSITIONAL_ONLY, required=False)
        order: list[Parameter] = [ContextParameter(context)]
        provided: dict[str, Node] = {}
        order += [_parameter(p, hints[p.name], owner, provided) for p in rest]
        return cls(owner, _passable(order, owner), provided)

    @classmethod
    def of_function(cls, function: Callable[..., Any], owner: str) -> Signature:
        """Read a function, which takes a context where it is annotated so."""
        given = list(inspect.signature(function).parameters.values())
        hints = hints_of(function, given)
        order: list[Parameter] = []
        found = False
        provided: dict[str, Node] = {}
        for parameter in given:
            variadic = parameter.kind in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)
            if not variadic and is_context(hints[parameter.name]):
                if found:
                    raise ConfigurationError(
                        "executor", owner, "takes two contexts", "take one"
                    )
                found = True
                order.append(ContextParameter(parameter))
            else:
                hint = hints[parameter.name]
                order.append(_parameter(parameter, hint, owner, provided))
        return cls(owner, _passable(order, owner), provided)

    @classmethod
    def of_names(
        cls, parameters: Iterable[tuple[str, str, bool]], owner: str
    ) -> Signature:
        """Build the shallow one of an executor that is known by hearsay.

        Args:
            parameters: (name, kind in lower case, required) of each.
            owner: Name of the executor.
        """
        order = [
            Parameter(name, Kind[kind.upper()], required)
            for name, kind, required in parameters
        ]
        return cls(owner, order)

    @classmethod
    def anything(cls, owner: str) -> Signature:
        """Build the one that takes whatever JSON can hold."""
        order = [
            Parameter("args", Kind.VAR_POSITIONAL, required=False),
            Parameter("kwargs", Kind.VAR_KEYWORD, required=False),
        ]
        return cls(owner, order)

    def names(self) -> tuple[tuple[str, str, bool], ...]:
        """Return (name, kind in lower case, required) of each parameter."""
        return tuple((p.name, p.kind.name.lower(), p.required) for p in self.parameters)

    # -- at schedule ---------------------------------------------------------------

    def dump(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        partial: bool = False,
        limit: int = MAX_PAYLOAD,
    ) -> bytes:
        """Check arguments and write them as ``[[args],{kwargs}]``.

        Args:
            args: Those by position, after the context.
            kwargs: Those by name.
            partial: Whether a payload may bring what is missing.
            limit: Most bytes they may take.

        Returns:
            Empty for no arguments.

        Raises:
            ArgumentsError: An argument is missing, unexpected or does not fit;
                ``field`` is its path, such as ``args[0].lock``.
        """
        placed = self._place(args, kwargs)
        if not partial:
            self._require(placed)
        if not args and not kwargs:
            return b""
        first = [
            self._taker_at(position).dump(value, f"args[{position}]")
            for position, value in enumerate(args)
        ]
        second = [
            to_json(name) + b":" + self._taker_of(name).dump(value, f"kwargs.{name}")
            for name, value in kwargs.items()
        ]
        text = b"[[" + b",".join(first) + b"],{" + b",".join(second) + b"}]"
        if len(text) > limit:
            raise _too_large("kwargs" if kwargs else "args", len(text), limit)
        return text

    def check(self, arguments: bytes, payload: bytes) -> None:
        """Check that stored arguments and a payload make a run together.

        Raises:
            ArgumentsError: They do not.
        """
        self._restored(arguments, payload)

    # -- at the run ----------------------------------------------------------------

    def bind(
        self, arguments: bytes, payload: bytes, context: object
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what the executor is to be called with.

        Raises:
            ArgumentsError: Stored arguments and payload no longer fit it.
        """
        if not arguments and not payload and self._shortcut is not None:
            if self._shortcut == "":
                return (context,), {}
            if self._shortcut == "-":
                return (), {}
            return (), {self._shortcut: context}
        placed = self._restored(arguments, payload)
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        gap = False
        for parameter in self._order:
            if takes_context(parameter):
                value = context
            elif parameter.name in self.provided:
                gap = True  # it is filled by name, behind the others
                continue
            elif parameter.name in placed.named:
                value = placed.named[parameter.name][0]
            elif parameter.kind is Kind.POSITIONAL_ONLY:
                value = parameter.default
            else:
                gap = gap or parameter.kind in BY_POSITION
                continue
            if gap or parameter.kind is Kind.KEYWORD_ONLY:
                kwargs[parameter.name] = value
            else:
                args.append(value)
        args.extend(value for value, _ in placed.rest)
        kwargs.update((name, value) for name, (value, _) in placed.more.items())
        return tuple(args), kwargs

    def _without_arguments(self) -> str | None:
        """Say how to call it with no argument, so that the common case is fast.

        Returns:
            ``""``: with the context alone; ``"-"``: with nothing; else the name by
            which the context is passed.  None: it takes more thought.
        """
        if any(parameter.required for parameter in self.parameters):
            return None
        contexts = [p for p in self._order if takes_context(p)]
        if not contexts:
            return "-"
        if contexts[0] is self._order[0]:
            return "" if contexts[0].kind in BY_POSITION else contexts[0].name
        return contexts[0].name if contexts[0].kind in BY_NAME else None

    # -- both ----------------------------------------------------------------------

    def _restored(self, arguments: bytes, payload: bytes) -> _Placed:
        args, kwargs = load_json(arguments) if arguments else ([], {})
        placed = self._place(args, kwargs)
        if payload:
            self._join(placed, load_json(payload))
        self._require(placed)
        for name, (value, path) in placed.named.items():
            taker = self._by_name.get(name) or self._positional(name)
            placed.named[name] = taker.restore(value, path), path
        if self._rest is not None:
            placed.rest = [(self._rest.restore(v, p), p) for v, p in placed.rest]
        if self._open is not None:
            for name, (value, path) in placed.more.items():
                placed.more[name] = self._open.restore(value, path), path
        return placed

    def _place(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Placed:
        placed = _Placed({}, [], {})
        for position, value in enumerate(args):
            path = f"args[{position}]"
            if position < len(self._by_position):
                placed.named[self._by_position[position].name] = value, path
            elif self._rest is not None:
                placed.rest.append((value, path))
            else:
                raise self._unexpected(path, value)
        for name, value in kwargs.items():
            path = f"kwargs.{name}"
            if name in self._by_name:
                if name in placed.named:
                    problem = (
                        f"is given by position as well, as {placed.named[name][1]}"
                    )
                    raise ArgumentsError(path, value, problem, "give it once")
                placed.named[name] = value, path
            elif self._open is not None:
                placed.more[name] = value, path
            else:
                raise self._unexpected(path, value)
        return placed

    def _join(self, placed: _Placed, payload: Any) -> None:
        """Let the payload's keys be arguments; it wins over the job's own."""
        if not isinstance(payload, dict) or not self.parameters:
            return
        for name, value in payload.items():
            path = f"payload.{name}"
            if name in self._by_name:
                placed.named[name] = value, path
            elif self._open is not None:
                placed.more[name] = value, path
            elif self._by_name:
                raise self._unexpected(path, value)

    def _require(self, placed: _Placed) -> None:
        for parameter in self.parameters:
            if parameter.required and parameter.name not in placed.named:
                by_position = parameter.kind is Kind.POSITIONAL_ONLY
                where = self.parameters.index(parameter)
                path = f"args[{where}]" if by_position else f"kwargs.{parameter.name}"
                raise ArgumentsError(
                    path,
                    _NOTHING,
                    f"{self.owner} needs the argument {parameter.name}",
                    "pass it with the job, or in the payload of its keyword",
                )

    def _taker_at(self, position: int) -> Parameter:
        if position < len(self._by_position):
            return self._by_position[position]
        if self._rest is None:
            raise self._unexpected(f"args[{position}]", _NOTHING)
        return self._rest

    def _taker_of(self, name: str) -> Parameter:
        taker = self._by_name.get(name) or self._open
        if taker is None:
            raise self._unexpected(f"kwargs.{name}", _NOTHING)
        return taker

    def _positional(self, name: str) -> Parameter:
        return next(p for p in self._by_position if p.name == name)

    def _unexpected(self, path: str, value: object) -> ArgumentsError:
        taken = ", ".join(p.name for p in self.parameters)
        return ArgumentsError(
            path,
            value,
            f"{self.owner} does not take it",
            f"it takes {taken}" if taken else "it takes no arguments",
        )


def _parameter(
    parameter: inspect.Parameter,
    annotation: object,
    owner: str,
    provided: dict[str, Node],
) -> Parameter:
    """Make a parameter; enter who fills it, if that is a provider."""
    marker = depends_on(parameter, annotation)
    if marker is None:
        return parameter_of(parameter, annotation)
    made = ProvidedParameter(parameter, owner)
    provided[parameter.name] = Node.of(marker.provider)
    return made


def _passable(order: list[Parameter], owner: str) -> list[Parameter]:
    """Refuse what would be filled by the arguments of a ``*args`` behind it."""
    filled = [
        p.name
        for p in order
        if isinstance(p, ProvidedParameter) and p.kind is not Kind.KEYWORD_ONLY
    ]
    if filled and any(p.kind is Kind.VAR_POSITIONAL for p in order):
        raise ConfigurationError(
            "executor",
            owner,
            f"{filled[0]} depends on a provider and stands before *args",
            "put it behind them, to be passed by name",
        )
    return order


def dump_payload(payload: object, *, limit: int = MAX_PAYLOAD) -> bytes:
    """Write what ``fire_job`` was given as JSON text.

    Returns:
        Empty for None.

    Raises:
        ArgumentsError: It cannot be written (``field`` is the path, such as
            ``payload.lock``), or takes more than ``limit`` bytes.
    """
    if payload is None:
        return b""
    text = dump_json(payload, "payload")
    if len(text) > limit:
        raise _too_large("payload", len(text), limit)
    return text


def _too_large(field: str, size: int, limit: int) -> ArgumentsError:
    return ArgumentsError(
        field,
        f"{size} bytes",
        f"takes more than {limit} bytes of JSON",
        "keep large data elsewhere and pass a reference to it",
    )
