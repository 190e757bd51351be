"""How the peers of a namespace come to agree on its terms; for all stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from aiosched.abc import Terms
from aiosched.errors import ConfigurationError

__all__ = ["agreed_terms"]

_NAMES = tuple(field.name for field in fields(Terms))


def agreed_terms(stored: Terms | None, wanted: Mapping[str, Any]) -> Terms:
    """Return the terms that hold, given what a peer insists on.

    Args:
        stored: What the namespace's first peer settled; None: this is it.
        wanted: Fields of :class:`Terms`; those left out are not insisted on.

    Raises:
        ConfigurationError: ``wanted`` contradicts ``stored``, has a field
            that there is not, or a value that can never be right.
    """
    for name, value in wanted.items():
        _check(name, value)
    if stored is None:
        return Terms(**wanted)
    for name, value in wanted.items():
        held = getattr(stored, name)
        if held != value:
            raise ConfigurationError(
                name,
                value,
                f"the first peer of this namespace set {held}",
                f"leave it out, set {held}, or use another namespace",
            )
    return stored


def _check(name: str, value: object) -> None:
    if name not in _NAMES:
        raise ConfigurationError(
            name, value, "is no term of a store", f"use one of {', '.join(_NAMES)}"
        )
    least = 0 if name == "steal_delay" else 1
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(
            name, value, "cannot be right", f"give a whole number of at least {least}"
        )
