"""From a configuration to a scheduler: modules are imported, executors registered."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from aiosched.config.declared import DeclaredJob
from aiosched.config.importing import imported, is_path, look_in
from aiosched.config.loading import Config
from aiosched.config.model import options_of
from aiosched.errors import (
    ConfigFileError,
    ConfigurationError,
    InvalidInputError,
    SchedulerStateError,
)
from aiosched.jobs import Job
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["build", "declare", "prepare", "resolved"]


def build(config: Config, **options: Any) -> Scheduler:
    """Return a scheduler with the settings of a configuration, and nothing more.

    Args:
        config: Which settings.
        **options: Options of :class:`aiosched.Scheduler` that outweigh them, such
            as ``clock`` or a ``store`` that is open already.

    Raises:
        ConfigurationError: An option cannot be used.
    """
    settings = config.scheduler
    given = {name: getattr(settings, name) for name in options_of(type(settings))}
    return Scheduler(**{**given, **options})


async def prepare(config: Config, *, jobs: bool = True, **options: Any) -> Scheduler:
    """Return a scheduler with all that a configuration names, not started.

    Modules are imported, ``run.app`` is called, executors that jobs name by an
    import path are registered, and the jobs are declared.  ``run.app_dir`` is added
    to the folders in which this process looks for modules.

    Args:
        config: Which.
        jobs: Whether the jobs of the file are declared, too.
        **options: As for :func:`build`.

    Raises:
        ConfigFileError: A module or name is not there, or two jobs are declared
            under one id; it names all that cannot be used.
    """
    if config.run.app_dir is not None:
        look_in(config.folder / config.run.app_dir)
    wrong: list[tuple[str, InvalidInputError]] = []
    for number, module in enumerate(config.run.imports):
        try:
            imported(module, f"run.imports[{number}]")
        except ConfigurationError as error:
            wrong.append(("", error))
    scheduler = build(config, **options)
    if config.run.app is not None:
        try:
            await _set_up(config.run.app, scheduler, config)
        except ConfigurationError as error:
            wrong.append(("", error))
    if wrong:
        raise ConfigFileError(config.source, wrong)
    if jobs:
        declare(scheduler, config.jobs, source=config.source)
    return scheduler


async def _set_up(path: str, scheduler: Scheduler, config: Config) -> None:
    found = imported(path, "run.app")
    if isinstance(found, Scheduler) or not callable(found):
        what = "a Scheduler" if isinstance(found, Scheduler) else "no function"
        problem = f"is {what}; the settings of the file are for one of their own"
        remedy = "name a function that takes the scheduler: def set_up(scheduler): …"
        raise ConfigurationError("run.app", path, problem, remedy)
    given = (scheduler, config) if _fits(found, scheduler, config) else (scheduler,)
    if not _fits(found, *given):
        problem = "can be called neither with scheduler and configuration, nor with one"
        remedy = "write def set_up(scheduler): … or def set_up(scheduler, config): …"
        raise ConfigurationError("run.app", path, problem, remedy)
    answer = found(*given)
    if inspect.isawaitable(answer):
        await answer


def _fits(function: Callable[..., Any], *given: object) -> bool:
    try:
        inspect.signature(function).bind(*given)
    except TypeError:
        return False
    except ValueError:  # it does not say what it takes
        return len(given) == 1
    return True


def resolved(declared: DeclaredJob, scheduler: Scheduler) -> Job:
    """Return a declared job, its executor found and registered.

    An executor that is registered already, under whatever name, stays as it is;
    otherwise it gets its import path for a name.

    Raises:
        ConfigurationError: The import path leads nowhere, or to what cannot be run.
    """
    job, registry = declared.job, scheduler.registry
    if not is_path(job.executor) or job.executor in registry:
        return job
    field = f"{declared.field}.executor"
    target = imported(job.executor, field)
    try:
        known = registry.find(target)
        if known is None:
            scheduler.register(target, name=job.executor)
    except ConfigurationError as error:
        raise ConfigurationError(
            field, job.executor, error.problem, error.remedy
        ) from None
    return job if known is None else job.with_changes(executor=known.name)


def declare(
    scheduler: Scheduler, jobs: Iterable[DeclaredJob], *, source: str = "jobs"
) -> None:
    """Declare jobs, and what is switched off as not to be there any more.

    Args:
        scheduler: Not started.
        jobs: As :func:`aiosched.config.declared_jobs` or a configuration has them.
        source: Where they come from, for errors.

    Raises:
        ConfigFileError: An executor cannot be found, or the scheduler has another
            job under an id; it names all that cannot be used.
        SchedulerStateError: The scheduler has been started.
    """
    wrong: list[tuple[str, InvalidInputError]] = []
    for each in jobs:
        try:
            if each.off:
                scheduler.withdraw(each.id)
                log.info(
                    "job %s is off: %s",
                    each.id,
                    each.off,
                    extra={"action": "job_off", "job_id": each.id},
                )
            else:
                scheduler.declare(resolved(each, scheduler))
        except SchedulerStateError:
            raise
        except InvalidInputError as error:
            field = error.field
            if not field.startswith(each.field):
                field = f"{each.field}.{field}"
            told = ConfigurationError(field, error.value, error.problem, error.remedy)
            wrong.append(("", told))
    if wrong:
        raise ConfigFileError(source, wrong)
