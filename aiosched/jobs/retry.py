"""The rule by which failed runs are tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

from pydantic import Field, field_validator

from aiosched.jobs import checks
from aiosched.jobs.base import Duration, Model

if TYPE_CHECKING:
    from pydantic import ValidationInfo

__all__ = ["Retry", "RetryFields"]


class RetryFields(TypedDict, total=False):
    """What ``Retry`` takes beside ``attempts``."""

    delay: timedelta | float | str
    factor: float
    cap: timedelta | float | str
    jitter: float
    errors: Sequence[type[BaseException] | str]
    timeouts: bool


class Retry(Model):
    """When a failed run is tried again, and how long after.

    The back-off after attempt n is ``delay * factor ** (n - 1)``, at most
    ``cap``, and shortened by up to ``jitter`` of itself.
    """

    attempts: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Starts in all, the first included; runs lost with their peer do not count."""
    delay: Duration = timedelta(seconds=1)
    """Back-off before the second attempt."""
    factor: Annotated[float, Field(ge=1, le=1_000)] = 2.0
    """How much longer each further back-off is."""
    cap: Duration = timedelta(hours=1)
    """The longest back-off."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of the back-off that is varied, the same on every peer."""
    errors: tuple[str, ...] = ()
    """Names of the exception classes to retry, with their subclasses; none: all."""
    timeouts: bool = True
    """Whether a run that reached its time limit is retried."""

    def __init__(self, attempts: int = 3, **fields: Unpack[RetryFields]) -> None:
        """Check the fields; durations are timedeltas or seconds.

        Raises:
            ConfigurationError: A field cannot be used.
        """
        self._fill({"attempts": attempts, **fields})

    @field_validator("*", mode="before")
    @classmethod
    def _check(cls, value: object, info: ValidationInfo) -> object:
        name = info.field_name or ""
        match name:
            case "attempts":
                return checks.number(name, value, least=1, most=10_000)
            case "delay":
                return checks.duration(name, value, zero=True, none=False)
            case "cap":
                return checks.duration(name, value, none=False)
            case "factor":
                return checks.share(name, value, least=1, most=1_000)
            case "jitter":
                return checks.share(name, value, least=0, most=1)
            case "errors":
                return checks.error_names_given(name, value)
            case _:
                return checks.flag(name, value)
