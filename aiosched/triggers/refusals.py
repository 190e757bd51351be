"""Turning pydantic's complaints about a trigger into errors of our tree."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from aiosched.errors import TriggerError

__all__ = ["refusal"]


def refusal(error: ValidationError, name: str, fields: Iterable[str]) -> TriggerError:
    """Turn pydantic's first complaint into an error of our tree."""
    first = error.errors()[0]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, TriggerError):
        return inner
    field = ".".join(str(part) for part in first["loc"]) or "trigger"
    known = ", ".join(sorted(one for one in fields if one != "kind"))
    return TriggerError(
        field,
        first["input"],
        first["msg"][:1].lower() + first["msg"][1:],
        f"correct it ({name} takes {known})",
    )
