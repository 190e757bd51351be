"""A run whose executor needs what providers make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor as FutureExecutor
from typing import Any

from aiosched._engine.events import EventBus
from aiosched._engine.live import Live
from aiosched.depends import Scope
from aiosched.errors import CancelJob
from aiosched.logs import log
from aiosched.registry import Registered

__all__ = ["provided"]


async def provided(
    live: Live,
    registered: Registered,
    kwargs: Mapping[str, Any],
    enter: Callable[[dict[str, Any]], Awaitable[Any]],
    threads: FutureExecutor,
    bus: EventBus,
) -> Any:
    """Call an executor with what its providers make, and end that afterwards.

    Args:
        live: The run.
        registered: Its executor.
        kwargs: Arguments by name, without those that are provided.
        enter: Calls the executor with all arguments by name.
        threads: Where plain functions run.
        bus: Told of providers that fail at their ends.

    Raises:
        BaseException: Of the run; else what a provider has raised at its end,
            because what it was to do there (a commit) was not done.
    """
    scope = Scope(live.context, registered.overrides, threads)
    cancel = live.on_cancel
    failure: BaseException | None = None
    value: Any = None
    try:
        values = await scope.open(registered.signature.provided)
        value = await enter({**kwargs, **values})
    except CancelJob as wish:
        value = wish  # no error, so providers are not told of one
    except GeneratorExit:
        raise  # the loop is gone: nothing can be awaited any more
    except BaseException as error:
        failure = error
    live.on_cancel = cancel  # from here on it is not in a thread any more
    failed = await scope.close(failure)
    for name, raised in failed:
        log.warning(
            "the end of the provider %s failed, in a run of %s",
            name,
            live.job_id,
            exc_info=raised,
            extra={"action": "provider_failed", "job_id": live.job_id},
        )
        bus.emit("callback_failed", live.job_id, error=raised, of=name)
    if failure is None and failed:
        failure = failed[0][1]
    if failure is not None:
        raise failure
    return value
