"""Where the ids of new jobs come from.

A job draws its id when it is built, so that it can be named at once.  That is
the one place where chance enters the model; a simulation replaces the source
for the code that it runs, and its ids are the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from aiosched.clock import IdSource, random_id

__all__ = ["draw_id", "ids_from"]

_source: ContextVar[IdSource] = ContextVar("aiosched_ids", default=random_id)


def draw_id() -> str:
    """Draw an id from the source that is in force here."""
    return _source.get()()


@contextmanager
def ids_from(source: IdSource) -> Iterator[None]:
    """Draw ids from ``source`` inside the block and in the tasks it starts."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)
