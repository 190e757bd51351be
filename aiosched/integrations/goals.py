"""Jobs as classes with a name and a goal, as some schedulers have them."""

from __future__ import annotations

import abc
from typing import Any, Unpack

from aiosched.errors import ConfigurationError
from aiosched.jobs import Job, JobOptions, checks
from aiosched.scheduler import Scheduler
from aiosched.triggers.base import Trigger

__all__ = ["Task", "task_job"]


class Task(abc.ABC):
    """Work that has a name and a goal; nothing else of it is called.

    ``goal`` may be a coroutine function, which runs on the loop, or a plain one,
    which runs in a thread; with an annotated parameter it is given the context.
    """

    def name(self) -> str:
        """Return what the job is called; unique on its scheduler."""
        return type(self).__name__

    @abc.abstractmethod
    def goal(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work once."""


def task_job(
    scheduler: Scheduler,
    task: Task,
    trigger: Trigger | None = None,
    **options: Unpack[JobOptions],
) -> Job:
    """Register a task under its name, and return the job of that name.

    The job is for ``scheduler.declare`` before the start, or for
    ``scheduler.schedule`` after it.

    Args:
        scheduler: On which the task runs.
        task: An object with ``name`` and ``goal``.
        trigger: When it runs; None: once, now, or by ``keyword``.
        **options: Those of :class:`aiosched.Job`; the id is the name.

    Raises:
        ConfigurationError: It is no task, its name is no name, or another task has
            it; or an option cannot be used.  Nothing is registered then.
    """
    if not isinstance(task, Task):
        raise ConfigurationError(
            "task", task, "is no Task", "derive its class from Task, and build it"
        )
    name = checks.text_id("name", task.name(), what="name of the task")
    if options.get("id") not in (None, name):
        raise ConfigurationError(
            "id", options["id"], f"the task is called {name}", "leave the id out"
        )
    if name in scheduler.registry:
        raise ConfigurationError(
            "name", name, "another task has it", "let name() return one of its own"
        )
    given: JobOptions = {**options, "id": name}
    job = Job(name, trigger=trigger, **given)
    scheduler.register(task.goal, name=name)
    return job
