"""Jobs as classes with a name and a goal, as some schedulers have them."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Iterable
from typing import Any, Unpack

from aiosched.enums import Overlap
from aiosched.errors import ConfigurationError
from aiosched.jobs import Job, JobOptions, checks
from aiosched.scheduler import Scheduler
from aiosched.triggers.base import Trigger

__all__ = ["Task", "sequence_job", "task_job"]


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
    name = _name(task, "task")
    given_id = options.get("id")
    if given_id not in (None, name):
        raise ConfigurationError(
            "id", given_id, f"the task is called {name}", "leave the id out"
        )
    if name in scheduler.registry:
        raise ConfigurationError(
            "name", name, "another task has it", "let name() return one of its own"
        )
    given: JobOptions = {**options, "id": name}
    job = Job(name, trigger=trigger, **given)
    scheduler.register(task.goal, name=name)
    return job


def sequence_job(
    scheduler: Scheduler,
    name: str,
    tasks: Iterable[Task],
    trigger: Trigger | None = None,
    **options: Unpack[JobOptions],
) -> Job:
    """Register tasks that run one after another, and return their one job.

    Over all peers one of them runs at a time, in the order given, however long they
    take; tasks that may run beside each other get a job each.  Where one fails, those
    after it do not run, and neither do they where the run is stopped; a retry begins
    with the first.  The result has what each returned, by name.

    Args:
        scheduler: On which the tasks run.
        name: Of the job and its executor.
        tasks: One or more, each with a name of its own.  Their goals take no
            arguments, and are all coroutine functions (run on the loop) or all plain
            ones (run in one thread).
        trigger: When the first of them runs; None: once, now, or by ``keyword``.
        **options: Those of :class:`aiosched.Job`.  ``overlap`` says what becomes of a
            slot while they run: it is skipped, or with ``"queue"`` waits.

    Raises:
        ConfigurationError: Something of this cannot be used, or ``options`` would let
            two sequences run at a time.  Nothing is registered then.
    """
    checks.text_id("name", name, what="name of the sequence")
    if name in scheduler.registry:
        raise ConfigurationError(
            "name", name, "another executor has it", "give it one of its own"
        )
    given = _tasks(tasks)
    kinds = {inspect.iscoroutinefunction(task.goal) for task in given.values()}
    if len(kinds) > 1:
        problem = "some goals are coroutine functions, and some are not"
        raise ConfigurationError("tasks", list(given), problem, "make them all alike")
    overlap = options.get("overlap", Overlap.SKIP)
    if overlap == Overlap.ALLOW or options.get("max_running", 1) != 1:
        field = "overlap" if overlap == Overlap.ALLOW else "max_running"
        problem = "would let two sequences run at a time"
        remedy = 'leave it out, or write overlap="queue"'
        raise ConfigurationError(field, options.get(field), problem, remedy)
    fields: JobOptions = {"id": name, **options}
    job = Job(name, trigger=trigger, **fields)

    async def on_the_loop() -> dict[str, Any]:
        return {each: await task.goal() for each, task in given.items()}

    def in_a_thread() -> dict[str, Any]:
        return {each: task.goal() for each, task in given.items()}

    scheduler.register(on_the_loop if True in kinds else in_a_thread, name=name)
    return job


def _tasks(tasks: Iterable[Task]) -> dict[str, Task]:
    found: dict[str, Task] = {}
    remedy = "give one or more, each with a name of its own"
    for number, task in enumerate(tasks):
        name = _name(task, f"tasks[{number}]")
        if name in found:
            problem = "another task has this name"
            raise ConfigurationError(f"tasks[{number}]", name, problem, remedy)
        found[name] = task
    if not found:
        raise ConfigurationError("tasks", [], "are no tasks", remedy)
    return found


def _name(task: object, field: str) -> str:
    if not isinstance(task, Task):
        raise ConfigurationError(
            field, task, "is no Task", "derive its class from Task, and build it"
        )
    return checks.text_id("name", task.name(), what="name of the task")
