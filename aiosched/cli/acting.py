"""Doing something to jobs: pause, resume, start, stop, remove, fire.

Each job is a decision of its own: what becomes of one says nothing of another, and
all of them are told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from aiosched.cli.codes import CannotError, ExitCode, code_of
from aiosched.cli.place import place_of, who, work
from aiosched.cli.printable import printable
from aiosched.cli.results import run_data, run_line
from aiosched.cli.selecting import Chosen, chosen_of, confirm, every_job
from aiosched.enums import JobState, Outcome
from aiosched.errors import JobError, WaitTimeoutError
from aiosched.jobs import Firing, Run
from aiosched.scheduler import Scheduler

__all__ = ["act", "fire"]

_AT_ONCE = 16
"""Jobs that are acted upon at a time."""
_PAST = {
    "start": "started",
    "stop": "stopped",
    "pause": "paused",
    "resume": "resumed",
    "remove": "removed",
}
_WORST = (
    ExitCode.UNAVAILABLE,
    ExitCode.NOT_FOUND,
    ExitCode.REFUSED,
    ExitCode.TIMED_OUT,
    ExitCode.FAILED,
)
"""Which code tells of several that something is wrong with."""


@dataclass(slots=True)
class _Deed:
    """What became of one job.

    Attributes:
        job_id: Which.
        word: What was done; empty: nothing.
        error: Why not.
        firing: What was made to run.
        run: How that ended, if somebody waited.
        code: How well it went.
    """

    job_id: str
    word: str = ""
    error: str = ""
    firing: Firing | None = None
    run: Run | None = None
    code: ExitCode = ExitCode.DONE

    def data(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.job_id,
            "done": self.word or None,
            "error": self.error or None,
            "firing": None if self.firing is None else self.firing.key,
            "run": None if self.run is None else run_data(self.run),
        }

    def line(self) -> str:
        """Return it for people."""
        if self.run is not None:
            return f"{printable(self.job_id)}  {run_line(run_data(self.run))}"
        return f"{self.word} {printable(self.job_id)}"


@dataclass(slots=True)
class _Deeds:
    """What became of all jobs."""

    done: list[_Deed] = field(default_factory=list)

    def tell(self, *, as_json: bool) -> int:
        """Print them, and return the exit code."""
        deeds = sorted(self.done, key=lambda deed: deed.job_id)
        if as_json:
            data = [deed.data() for deed in deeds]
            print(json.dumps(data, indent=2, ensure_ascii=False))
        for deed in deeds:
            if deed.error:
                print(f"aiosched: {printable(deed.error)}", file=sys.stderr)
            if (deed.word or deed.run) and not as_json:
                print(deed.line())
        codes = {deed.code for deed in deeds}
        return next((code for code in _WORST if code in codes), ExitCode.DONE)


def act(words: argparse.Namespace) -> int:
    """Act on the jobs that are chosen.

    Raises:
        CannotError: Nothing is chosen, or nobody said yes.
        AioschedError: The store does not answer, or a word cannot be stored.
    """
    if words.verb == "start" and words.timeout is not None and not words.wait:
        raise CannotError("--timeout goes with --wait")
    place, chosen = place_of(words), chosen_of(words)
    words.by = words.by or who()
    asked: list[str] | None = None
    if words.verb == "remove" or (words.verb == "stop" and not chosen.ids):
        # Outside any loop: Ctrl-C ends a question, and no beat is late meanwhile.
        asked = work(place, lambda client: _meant(client, chosen, words.verb))
        confirm(f"{words.verb} ... of {place.namespace}", asked, yes=words.yes)

    async def deed(scheduler: Scheduler) -> _Deeds:
        jobs = asked
        if jobs is None:
            jobs = await _meant(scheduler, chosen, words.verb)
        deeds = _Deeds(await _each(jobs, _verb(scheduler, words)))
        if words.verb == "start" and words.wait:
            await _wait(scheduler, deeds, words.timeout)
        if not chosen.ids:
            # Gone since they were listed: nobody named them.
            deeds.done = [deed for deed in deeds.done if not _passed(deed)]
        return deeds

    return work(place, deed).tell(as_json=words.json)


def fire(words: argparse.Namespace) -> int:
    """Fire a keyword.

    Raises:
        CannotError: Nobody is subscribed to it.
        AioschedError: As ``Scheduler.fire_job``.
    """
    if words.timeout is not None and not words.wait:
        raise CannotError("--timeout goes with --wait")

    async def deed(scheduler: Scheduler) -> _Deeds:
        firings = await scheduler.fire_job(
            words.keyword, words.payload, fire_id=words.fire_id, ttl=words.ttl
        )
        deeds = _Deeds([_Deed(one.job_id, "fired", firing=one) for one in firings])
        if words.wait:
            await _wait(scheduler, deeds, words.timeout)
        return deeds

    deeds = work(place_of(words), deed)
    if not deeds.done:
        if words.json:
            print("[]")
        raise CannotError(
            f"no job is subscribed to {words.keyword!r}: nothing was fired",
            ExitCode.NOT_FOUND,
        )
    return deeds.tell(as_json=words.json)


async def _meant(scheduler: Scheduler, chosen: Chosen, verb: str) -> list[str]:
    if chosen.ids:
        return list(chosen.ids)
    wanted = {"start": JobState.ACTIVE, "resume": JobState.PAUSED}.get(verb)
    jobs = await every_job(scheduler, chosen)
    return [job.id for job in jobs if wanted is None or job.state is wanted]


def _verb(
    scheduler: Scheduler, words: argparse.Namespace
) -> Callable[[str], Awaitable[_Deed]]:
    told = {"note": words.note, "by": words.by}

    async def do(job_id: str) -> Firing | None:
        match words.verb:
            case "start":
                return await scheduler.start_job(job_id, **told)
            case "stop":
                await scheduler.stop_job(job_id, **told)
            case "pause":
                await scheduler.pause(job_id, until=words.until, **told)
            case "resume":
                await scheduler.resume(job_id, **told)
            case _:
                await scheduler.remove_job(job_id, **told)
        return None

    async def one(job_id: str) -> _Deed:
        firing = await do(job_id)
        return _Deed(job_id, _PAST[words.verb], firing=firing)

    return one


async def _each(ids: list[str], verb: Callable[[str], Awaitable[_Deed]]) -> list[_Deed]:
    """Do it to each, some at a time; what concerns one job stops no other."""
    deeds: list[_Deed] = []
    left = iter(ids)

    async def go_on() -> None:
        for job_id in left:
            try:
                deeds.append(await verb(job_id))
            except JobError as error:
                deeds.append(_Deed(job_id, error=str(error), code=code_of(error)))

    await _together([go_on() for _ in range(min(_AT_ONCE, len(ids)))])
    return deeds


async def _together(works: list[Coroutine[Any, Any, None]]) -> None:
    """Do all of it; what goes wrong with one ends the others, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in works:
                group.create_task(one)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _passed(deed: _Deed) -> bool:
    return deed.code is ExitCode.NOT_FOUND


async def _wait(scheduler: Scheduler, deeds: _Deeds, timeout: Any) -> None:
    """Wait for what was made to run, and note how it ended."""

    async def one(deed: _Deed) -> None:
        assert deed.firing is not None  # noqa: S101 - only such are waited for
        try:
            deed.run = await scheduler.wait(deed.firing, timeout=timeout)
        except WaitTimeoutError as error:
            deed.error, deed.code = str(error), ExitCode.TIMED_OUT
            return
        except JobError as error:
            deed.error, deed.code = str(error), code_of(error)
            return
        if deed.run.outcome is not Outcome.SUCCEEDED:
            deed.code = ExitCode.FAILED

    await _together([one(deed) for deed in deeds.done if deed.firing is not None])
