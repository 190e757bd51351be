"""``aiosched plan`` and ``aiosched apply``: what a file declares, beside the store."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from aiosched.cli.app import CannotError
from aiosched.cli.config import loaded
from aiosched.cli.printable import printable
from aiosched.config import Config
from aiosched.config.building import build, prepare, resolved
from aiosched.config.importing import look_in
from aiosched.errors import AioschedError, ConfigurationError
from aiosched.jobs import Job
from aiosched.jobs.plans import CHANGES, PlannedJob
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["Deployed", "apply_file", "print_plan"]

_MARKS = {"new": "+", "changed": "~", "off": "-", "orphaned": "-"}
_OUT = ("off", "orphaned")
_WRONG = ("unresolvable", "refused")
_HIDDEN = "***"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is to be deployed, and where.

    Attributes:
        file: The configuration; None: the one that is found.
        env: Its environment; None: the one it names.
        store: URL of the store, in place of the file's.
        namespace: In place of the file's.
        as_json: One JSON object rather than lines.
    """

    file: str | None
    env: str | None = None
    store: str | None = None
    namespace: str | None = None
    as_json: bool = False


def print_plan(deployed: Deployed) -> int:
    """Print what applying a file would do.

    Returns:
        0 if nothing, 1 if there is a difference.

    Raises:
        CannotError: The file or the store cannot be used, or does not answer.
    """
    planned = _run(_Deployment(deployed).plan())
    _print(planned, as_json=deployed.as_json)
    return 1 if any(one.differs for one in planned) else 0


def apply_file(deployed: Deployed, *, yes: bool, remove_orphans: bool) -> int:
    """Store what a file declares.

    Returns:
        0 if all of it is stored now; 1 if a job cannot be stored, and so nothing
        was, if somebody said no, or if a higher revision holds a job.

    Raises:
        CannotError: The file or the store cannot be used; nobody can be asked; or
            what is stored has changed since it was shown.
    """
    deployment = _Deployment(deployed)
    planned = _run(deployment.plan())
    wrong = [one for one in planned if one.change in _WRONG]
    todo = [one for one in planned if one.change in _todo(orphans=remove_orphans)]
    if wrong or not todo or not deployed.as_json:
        _print(planned, as_json=deployed.as_json)
    if wrong:
        print("nothing is applied", file=sys.stderr)
        return 1
    held = any(one.change == "held" for one in planned)
    if not todo:
        return 1 if held else 0
    if not yes and not _asked(len(todo)):
        print("nothing is applied", file=sys.stderr)
        return 1
    written = _run(deployment.carry_out(planned, todo))
    if deployed.as_json:
        _print(planned, as_json=True, written=written)
    else:
        print(f"applied: {', '.join(map(printable, written)) or 'nothing'}")
    return 1 if held or len(written) < len(todo) else 0


def _todo(*, orphans: bool) -> tuple[str, ...]:
    return ("new", "changed", "off", *(("orphaned",) if orphans else ()))


def _asked(number: int) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise CannotError("nobody can be asked here; say --yes to apply")
    jobs = "1 job" if number == 1 else f"{number} jobs"
    print(f"apply this to {jobs}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except AioschedError as error:
        lines = [printable(line) for line in str(error).splitlines()]
        raise CannotError("\n".join(lines)) from None
    except CannotError:
        raise
    except Exception as error:  # of the code that the file names
        log.debug("failed", exc_info=error, extra={"action": "failed"})
        raise CannotError(printable(f"{type(error).__name__}: {error}")) from None


class _Deployment:
    """One file, beside one store."""

    def __init__(self, deployed: Deployed) -> None:
        """Read the file.

        Raises:
            CannotError: It cannot be used, or names no store.
        """
        given = {"store": deployed.store, "namespace": deployed.namespace}
        self.config: Config = loaded(deployed.file, deployed.env, **given)
        if self.config.scheduler.store in (None, "memory://"):
            raise CannotError(
                f"{self.config.source} names no store that others see; write "
                'store = "redis://…" under [scheduler], or give --store'
            )
        look_in(Path())
        self.jobs: dict[str, Job] = {}
        self.broken: dict[str, str] = {}

    async def _client(self) -> Scheduler:
        """Return a scheduler that declares nothing, and knows what can be imported."""
        known = await prepare(self.config, jobs=False, run_jobs=False)
        self.jobs = {job.id: job for job in known.declared}
        for each in self.config.jobs:
            if each.off:
                continue
            try:
                job = resolved(each, known)
            except ConfigurationError as error:
                # A peer may have it, under its import path.
                job = each.job
                self.broken[each.id] = error.problem
            if self.jobs.setdefault(each.id, job) != job:
                problem, remedy = "is declared in code as well", "do one of the two"
                raise ConfigurationError(each.field, each.id, problem, remedy)
        # The same executors, and nothing that is stored by looking.
        client = build(self.config, run_jobs=False, name="cli")
        client.registry = known.registry
        return client

    async def plan(self) -> list[PlannedJob]:
        """Return what applying would do."""
        async with await self._client() as client:
            return await self._planned(client)

    async def _planned(self, client: Scheduler) -> list[PlannedJob]:
        off = [job.id for job in self.config.jobs if job.off]
        planned = await client.plan(
            self.jobs.values(), withdrawn=off, others=self.config.others
        )
        hidden = {job.id: job.hidden for job in self.config.jobs}
        told: list[PlannedJob] = []
        for one in planned:
            problem = one.problem
            if one.change == "unresolvable":
                problem = self.broken.get(one.job_id, problem)
            secret = hidden.get(one.job_id, frozenset())
            fields = {
                name: (_HIDDEN, _HIDDEN) if name in secret else pair
                for name, pair in one.fields.items()
            }
            told.append(replace(one, fields=fields, problem=problem))
        return told

    async def carry_out(
        self, shown: Sequence[PlannedJob], todo: Sequence[PlannedJob]
    ) -> list[str]:
        """Do what was shown; return the ids of the jobs that were written.

        Raises:
            CannotError: Something else is stored by now; nothing was written.
        """
        async with await self._client() as client:
            now = await self._planned(client)
            if [_essence(one) for one in now] != [_essence(one) for one in shown]:
                raise CannotError(
                    "what is stored has changed since it was shown, and nothing is "
                    "applied; look again"
                )
            ids = {one.job_id for one in todo}
            return await client.redeclare(
                [job for job in self.jobs.values() if job.id in ids],
                withdrawn=[one.job_id for one in todo if one.change in _OUT],
            )


def _essence(planned: PlannedJob) -> object:
    return planned.job_id, planned.change, planned.fields


# -- what people see --------------------------------------------------------------


def _print(
    planned: Sequence[PlannedJob], *, as_json: bool, written: Sequence[str] = ()
) -> None:
    counts = Counter[str](one.change for one in planned)
    if as_json:
        told = {
            "differs": any(one.differs for one in planned),
            "counts": {word: counts[word] for word in CHANGES},
            "jobs": [one.to_dict() for one in planned],
            "applied": list(written),
        }
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for one in planned:
        if one.differs:
            _print_job(one)
    said = ", ".join(f"{counts[word]} {word}" for word in CHANGES if counts[word])
    print(said or "no jobs")


def _print_job(one: PlannedJob) -> None:
    mark = _MARKS.get(one.change, "!")
    print(printable(f"{mark} {one.job_id}  {one.change}: it {CHANGES[one.change]}"))
    if one.problem:
        print(printable(f"    {one.problem}"))
    for name, (old, new) in one.fields.items():
        print(printable(f"    {name}: {_value(old)} -> {_value(new)}"))
    if one.change == "changed" and one.next_fire_time is not None:
        due = one.next_fire_time.isoformat(timespec="seconds")
        print(f"    due {due}: {'stays' if one.keeps_due else 'is reckoned anew'}")


def _value(value: Any) -> str:
    return value if value == _HIDDEN else json.dumps(value, ensure_ascii=False)
