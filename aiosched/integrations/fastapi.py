"""The scheduler of a FastAPI application, as a parameter of its routes.

::

    app = FastAPI(lifespan=lifespan(build))

    @app.post("/reports")
    async def order(scheduler: SchedulerDependency) -> ...
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from aiosched.integrations.asgi import lifespan, scheduler_of
from aiosched.scheduler import Scheduler

try:
    from fastapi import Depends
    from fastapi.requests import HTTPConnection
except ImportError as _missing:
    raise ImportError(
        "FastAPI is not installed: pip install 'aiosched[fastapi]'", name="fastapi"
    ) from _missing

__all__ = ["SchedulerDependency", "current_scheduler", "lifespan"]


def current_scheduler(connection: HTTPConnection) -> Scheduler:
    """Return the scheduler that serves a request or a websocket; a dependency.

    It is the one to replace in tests: ``app.dependency_overrides``.

    Raises:
        SchedulerStateError: The application was given none, or is not started.
    """
    return scheduler_of(connection)


SchedulerDependency: TypeAlias = Annotated[Scheduler, Depends(current_scheduler)]
"""Annotates a parameter of a route, or of another dependency."""
