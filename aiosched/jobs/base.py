"""What the models have in common: pydantic's checks, our own refusals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema

from aiosched.errors import ConfigurationError, InvalidInputError

__all__ = ["Duration", "Model"]

Duration = Annotated[
    timedelta,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "duration"},
                {"type": "number", "description": "seconds"},
            ]
        }
    ),
]
"""A field that holds a timedelta, and is written as ISO 8601 text."""


class Model(BaseModel):
    """Pydantic's checks, with refusals from our own tree."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    def _fill(self, values: Mapping[str, Any]) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(error, type(self)) from None


def _refusal(error: ValidationError, cls: type[BaseModel]) -> InvalidInputError:
    """Turn pydantic's first complaint into an error of our tree."""
    first = error.errors()[0]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, InvalidInputError):
        return inner
    field = ".".join(str(part) for part in first["loc"])
    known = ", ".join(cls.model_fields)
    if first["type"] == "extra_forbidden":
        return ConfigurationError(
            field, first["input"], f"{cls.__name__} has no such field", f"use {known}"
        )
    return ConfigurationError(
        field, first["input"], first["msg"][:1].lower() + first["msg"][1:], "correct it"
    )
