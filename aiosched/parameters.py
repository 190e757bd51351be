"""The parameters of executors: their annotations, and values under them."""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import _ParameterKind as Kind
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import to_json

from aiosched.context import Context
from aiosched.errors import ArgumentsError
from aiosched.jobs.plain import dump_json

__all__ = [
    "BY_NAME",
    "BY_POSITION",
    "ContextParameter",
    "Kind",
    "Parameter",
    "adapter_for",
    "hints_of",
    "is_context",
    "parameter_of",
    "takes_context",
]

_CONTEXT_WORD = re.compile(r"(?:^|[^\w])Context(?:$|[^\w])")
_ANYTHING = (Any, object, inspect.Parameter.empty)
BY_POSITION = (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD)
BY_NAME = (Kind.POSITIONAL_OR_KEYWORD, Kind.KEYWORD_ONLY)
_NATIVE = (int, float, str, bool, type(None))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an executor.

    Attributes:
        required: Whether it must be given.
        adapter: Checks and converts its values; None: they pass as JSON.
        native: Whether its type is one that JSON has.
    """

    name: str
    kind: Kind
    required: bool
    default: Any = None
    adapter: TypeAdapter[Any] | None = None
    native: bool = False

    def dump(self, value: object, path: str) -> bytes:
        """Check a value and write it as JSON text that can be read back.

        Raises:
            ArgumentsError: It does not fit, or cannot be written.
        """
        adapter = self.adapter
        if adapter is None:
            return dump_json(value, path)
        try:
            valid = adapter.validate_python(value)
        except ValidationError as error:
            raise _misfit(error, path) from None
        try:
            text = dump_json(
                adapter.dump_python(valid, mode="json", warnings=False), path
            )
        except ArgumentsError:
            raise
        except ValueError:  # pydantic's, without saying where
            text = dump_json(valid, path)
        try:
            adapter.validate_json(text)
        except ValidationError as error:
            raise _misfit(error, path) from None
        return text

    def restore(self, value: Any, path: str) -> Any:
        """Turn what JSON text reads as into what the annotation says.

        Raises:
            ArgumentsError: It does not fit.
        """
        adapter = self.adapter
        if adapter is None:
            return value
        try:
            if self.native:
                return adapter.validate_python(value)
            # Strict types take text for a UUID or a date from JSON only.
            return adapter.validate_json(to_json(value))
        except ValidationError as error:
            raise _misfit(error, path) from None


class ContextParameter(Parameter):
    """Stands for the context among an executor's parameters."""

    __slots__ = ()

    def __init__(self, parameter: Parameter | inspect.Parameter) -> None:
        """Take name and kind of the parameter that it stands for."""
        super().__init__(parameter.name, parameter.kind, required=False)


def takes_context(parameter: Parameter) -> bool:
    """Return whether a parameter is the context's."""
    return type(parameter) is ContextParameter


def parameter_of(parameter: inspect.Parameter, annotation: object) -> Parameter:
    """Make a parameter of what :mod:`inspect` says, and its resolved annotation."""
    variadic = parameter.kind in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)
    has_default = parameter.default is not inspect.Parameter.empty
    return Parameter(
        parameter.name,
        parameter.kind,
        not variadic and not has_default,
        parameter.default if has_default else None,
        adapter_for(annotation),
        annotation in _NATIVE,
    )


def hints_of(
    function: Callable[..., Any], parameters: Iterable[inspect.Parameter]
) -> dict[str, object]:
    """Return the annotation of each parameter.

    What cannot be resolved (a name that only type checkers import, a class
    local to a function) stays the text that it is; its values pass unchecked.
    """
    inner = _innermost(function)
    try:
        hints: dict[str, Any] = typing.get_type_hints(inner, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        hints = {}
    scope = getattr(inner, "__globals__", {})
    found: dict[str, object] = {}
    for parameter in parameters:
        hint = hints.get(parameter.name, parameter.annotation)
        found[parameter.name] = _resolved(hint, scope) if type(hint) is str else hint
    return found


def is_context(annotation: object) -> bool:
    """Return whether an annotation asks for the context, or for it or None."""
    if isinstance(annotation, str):
        return _CONTEXT_WORD.search(annotation) is not None
    if isinstance(annotation, type):
        return issubclass(annotation, Context)
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return any(is_context(part) for part in typing.get_args(annotation))
    return False


def adapter_for(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what checks and converts values; None where anything goes."""
    if annotation in _ANYTHING or isinstance(annotation, str):
        return None
    loose = ConfigDict(arbitrary_types_allowed=True)
    for config in (None, loose):
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
            adapter.rebuild(raise_errors=True)
        except (PydanticUserError, NameError, TypeError):
            continue
        return adapter
    return None


def _innermost(function: Callable[..., Any]) -> Any:
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    if inspect.isroutine(inner) or isinstance(inner, type):
        return inspect.unwrap(inner)
    return type(inner).__call__


def _resolved(hint: str, scope: dict[str, Any]) -> object:
    # One name that cannot be found must not cost the others their checks.
    holder = types.SimpleNamespace(__annotations__={"it": hint})
    try:
        return typing.get_type_hints(holder, scope, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return hint


def _misfit(error: ValidationError, path: str) -> ArgumentsError:
    first = error.errors(include_url=False)[0]
    for part in first["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    text = first["msg"]
    return ArgumentsError(
        path, first["input"], text[:1].lower() + text[1:], "pass a value that fits"
    )
