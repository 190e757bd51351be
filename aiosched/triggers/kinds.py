"""The kinds of triggers that are known, and triggers from stored data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aiosched.errors import TriggerError

if TYPE_CHECKING:
    from aiosched.triggers.base import Trigger

__all__ = ["registry", "trigger_class", "trigger_from_data", "trigger_kinds"]

registry: dict[str, type[Trigger]] = {}
"""Entered into by each class that has a kind."""


def trigger_from_data(data: Mapping[str, Any]) -> Trigger:
    """Build the trigger that :meth:`Trigger.to_data` described.

    Raises:
        TriggerError: The kind is not known, or a field is wrong.
    """
    if not isinstance(data, Mapping):
        raise TriggerError(
            "trigger", data, "is not a mapping", "give a dict with a kind"
        )
    kind = data.get("kind")
    cls = trigger_class(kind)
    if cls is None:
        raise _unknown_kind(kind)
    fields = cls.model_fields
    for name in data:
        if name not in fields:
            raise TriggerError(
                str(name),
                data[name],
                f"a trigger of kind {kind} has no such field",
                f"use {', '.join(sorted(fields))}",
            )
    for name, field in fields.items():
        if field.is_required() and name not in data:
            raise TriggerError(name, None, "is missing", f"a {kind} trigger needs it")
    arguments = {str(name): value for name, value in data.items() if name != "kind"}
    try:
        return cls(**arguments)
    except (TypeError, AttributeError) as error:
        if isinstance(error, TriggerError):
            raise
        raise TriggerError(
            "trigger", data, f"{kind}: {error}", "give what to_data() returned"
        ) from error


def trigger_class(kind: object) -> type[Trigger] | None:
    """Return the class of a kind, which plugins may bring.

    Returns:
        None if it is known neither here nor to a plugin.
    """
    if not isinstance(kind, str):
        return None
    if kind not in registry:
        from aiosched.triggers.plugins import TRIGGERS, find_plugins

        find_plugins(TRIGGERS)
    return registry.get(kind)


def _unknown_kind(kind: object) -> TriggerError:
    """Return the error for a kind that nobody knows."""
    from aiosched.triggers.plugins import TRIGGERS, find_plugins

    remedy = (
        f"use one of {', '.join(trigger_kinds())}, or install or import what defines it"
    )
    for plugin in find_plugins(TRIGGERS):
        if plugin.problem is not None:
            remedy += f"; the plugin {plugin.name} is broken: {plugin.problem}"
    return TriggerError("kind", kind, "is not the kind of a trigger", remedy)


def trigger_kinds() -> tuple[str, ...]:
    """Return the kinds that are known here, sorted."""
    return _sorted(tuple(registry))


@lru_cache(maxsize=8)
def _sorted(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(kinds))
