"""Small immutable classes that are made by the hundred thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from collections.abc import Callable
    from dataclasses import dataclass

    def value(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Decorate a dataclass that is immutable for whoever checks types.

        At run time nothing keeps it from being changed.  What would do so costs
        four times as much as building one without it, and made up an eighth of all
        that a worker does (``docs/explanation/performance.md``).
        """
        return dataclass(slots=slots, unsafe_hash=frozen)
